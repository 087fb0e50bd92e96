//! The one loop: take one input, hand it to the machine, carry out all its effects, then the next.
//!
//! What waits is taken in this order: component answers and lease renewals, timers that are due,
//! commands, observations, reports. Answers come first because an answer that is already there must
//! not lose against its own deadline; for the same reason an observation that is already there goes
//! before the silence timer.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::describe::describe;
use super::incarnation::{Hold, Incarnation, StopSignal};
use super::journal::{Outage, Transitioned};
use super::observe::{Observed, Route};
use super::overwatch::{Hook, StepRecord};
use super::reporter::Batch;
use super::session::{Seen, Sessions};
use super::shared::{Answer, Command, Shared};
use super::timers::Timers;
use super::watchdog::Watchdog;
use super::{Component, Failure, Observation, Probe, RunError, trace};
use crate::machine::{
    Cause, Class, Effect, End, How, Input, Machine, Phase, Slot, Step, Timer, Transition, Why,
};
use crate::policy::ComponentId;

pub(super) struct Supervisor {
    shared: Arc<Shared>,
    machine: Machine,
    components: Vec<Arc<dyn Component>>,
    tasks: Vec<Option<Task>>,
    /// One for each stage of the current epoch.
    signals: Vec<Arc<StopSignal>>,
    timers: Timers,
    sessions: Sessions,
    seen: mpsc::Receiver<Seen>,
    observed: Option<Observed>,
    watchdog: Option<Watchdog>,
    on_step: Option<Hook>,

    // What was taken and not handed over yet.
    answers: VecDeque<Answer>,
    observation: Option<Seen>,
    reports: VecDeque<Batch>,

    effects: Vec<Effect>,
    began: Instant,
    entered: Instant,
    transitions: u64,
    cause: Cause,
    hold_off_due: Option<Instant>,
    stage_due: Option<Instant>,
    dependency: Option<(bool, Arc<str>)>,
    fatal: Option<(Option<Arc<str>>, Failure)>,
    ended: Option<End>,
}

/// The main task of a component.
struct Task {
    incarnation: Arc<Incarnation>,
    abort: AbortHandle,
}

/// An input, and what it said in words.
struct Event {
    input: Input,
    detail: Option<Cow<'static, str>>,
    /// A fatal failure that came with it.
    fatal: Option<(Option<Arc<str>>, Failure)>,
}

impl From<Input> for Event {
    fn from(input: Input) -> Self {
        Self {
            input,
            detail: None,
            fatal: None,
        }
    }
}

impl Supervisor {
    pub(super) fn new(
        shared: Arc<Shared>,
        components: Vec<Arc<dyn Component>>,
        probe: Arc<dyn Probe>,
        observe_only: bool,
        watchdog: Option<Watchdog>,
        on_step: Option<Hook>,
    ) -> Self {
        let (mut sessions, seen) = Sessions::new(probe);
        let plan = &shared.plan;
        let mut effects = Vec::new();
        let machine = Machine::new(Arc::clone(plan), &mut effects);
        let observed = observe_only.then(|| Observed::new(Arc::clone(plan), &mut sessions));
        let now = Instant::now();
        Self {
            machine,
            tasks: components.iter().map(|_| None).collect(),
            signals: (0..plan.layout().stages())
                .map(|_| Arc::default())
                .collect(),
            components,
            timers: Timers::default(),
            sessions,
            seen,
            observed,
            watchdog,
            on_step,
            answers: VecDeque::new(),
            observation: None,
            reports: VecDeque::new(),
            effects,
            began: now,
            entered: now,
            transitions: 0,
            cause: Cause::Boot,
            hold_off_due: None,
            stage_due: None,
            dependency: None,
            fatal: None,
            ended: None,
            shared,
        }
    }

    pub(super) async fn run(mut self) -> Result<(), RunError> {
        self.boot();
        while self.ended.is_none() {
            let event = self.next().await;
            self.take(event);
        }
        let policy = self.shared.plan.policy();
        self.sessions.join(policy.abort_deadline()).await;
        self.finish()
    }

    // What is there to be taken.

    async fn next(&mut self) -> Event {
        loop {
            // A flood of inputs must not starve what shares the task with this loop.
            tokio::task::consume_budget().await;
            self.shared.answer_ping();
            self.tell_shadow_of_time();
            if let Some(event) = self.waiting() {
                return event;
            }
            tokio::select! {
                biased;
                () = self.shared.woken() => {}
                () = self.timers.wait() => {}
                () = wait_for_shadow(&self.observed) => {}
                Some(seen) = self.seen.recv(), if self.observation.is_none() => self.observation = Some(seen),
            }
        }
    }

    /// The next input that is there already.
    fn waiting(&mut self) -> Option<Event> {
        self.answered()
            .or_else(|| self.due())
            .or_else(|| self.commanded())
            .or_else(|| self.observation())
            .or_else(|| self.reported())
    }

    fn answered(&mut self) -> Option<Event> {
        if self.answers.is_empty() {
            self.shared.take_answers(&mut self.answers);
        }
        let Some(answer) = self.answers.pop_front() else {
            let lease = self.shared.take_lease()?;
            let remaining = lease.expires.saturating_duration_since(Instant::now());
            self.watch_fence(remaining);
            let epoch = lease.epoch;
            return Some(Input::LeaseRenewed { epoch, remaining }.into());
        };
        Some(match answer {
            Answer::Up { component, epoch } => Input::Up { component, epoch }.into(),
            Answer::Exited(incarnation) => {
                ended(&incarnation, |component, epoch, how| Input::Exited {
                    component,
                    epoch,
                    how,
                })
            }
            Answer::Gone(incarnation) => ended(&incarnation, |component, epoch, how| Input::Gone {
                component,
                epoch,
                how,
            }),
        })
    }

    fn due(&mut self) -> Option<Event> {
        let timer = self.timers.due()?;
        if timer == Timer::Silence
            && let Some(event) = self.observation()
        {
            return Some(event);
        }
        self.timers.disarm(timer);
        // In observe-only the real machine hears nothing of the dependency: its silence means nothing.
        if timer == Timer::Silence && self.observed.is_none() {
            let limit = self.shared.plan.policy().silence_limit();
            self.note_dependency(false, &format!("no sign of life for {limit:?}"));
        }
        Some(Input::Fired(timer).into())
    }

    fn commanded(&mut self) -> Option<Event> {
        if self.shared.take_shutdown() {
            return Some(Input::Shutdown.into());
        }
        let input = match self.shared.take_command()? {
            Command::Drain => Input::Drain,
            Command::Resume => Input::Resume,
            Command::Trip => Input::Trip,
            Command::Reset => Input::Reset,
        };
        Some(input.into())
    }

    fn observation(&mut self) -> Option<Event> {
        let seen = match self.observation.take() {
            Some(seen) => seen,
            None => self.seen.try_recv().ok()?,
        };
        let session = seen.session;
        let (input, alive, what) = match seen.observation {
            // What was seen so long ago is no sign of life any more.
            Observation::Alive { .. }
                if seen.at.elapsed() >= self.shared.plan.policy().silence_limit() =>
            {
                return None;
            }
            Observation::Alive { evidence } => (Input::Alive { session }, true, evidence),
            Observation::Failing { reason } => (Input::Failing { session }, false, reason),
        };
        let current = match &self.observed {
            Some(observed) => observed.session(),
            None => self.machine.session(),
        };
        if current == Some(session) {
            self.note_dependency(alive, &what);
        }
        Some(Event {
            input,
            detail: Some(what),
            fatal: None,
        })
    }

    fn note_dependency(&mut self, alive: bool, what: &str) {
        if self
            .dependency
            .as_ref()
            .is_none_or(|(was_alive, _)| *was_alive != alive)
        {
            trace::observed(alive, what);
        }
        self.dependency = Some((alive, what.into()));
    }

    fn reported(&mut self) -> Option<Event> {
        if self.reports.is_empty() {
            self.reports = self.shared.take_reports()?.take().into();
        }
        let batch = self.reports.front_mut()?;
        let Batch {
            component,
            epoch,
            class,
            ..
        } = *batch;
        // What waited too long is told first, with the epoch before, to be counted as stale.
        if batch.stale > 0 {
            let count = u32::try_from(batch.stale).unwrap_or(u32::MAX);
            batch.stale -= u64::from(count);
            let epoch = epoch.wrapping_sub(1);
            return Some(
                Input::Report {
                    component,
                    epoch,
                    class,
                    count,
                }
                .into(),
            );
        }
        let count = u32::try_from(batch.count).unwrap_or(u32::MAX);
        batch.count -= u64::from(count);
        let name = component.map(|component| Arc::clone(self.shared.name(component)));
        let first = batch.first.to_string();
        if batch.count == 0 {
            let batch = self.reports.pop_front()?;
            let last = batch.last.as_ref().map(ToString::to_string);
            trace::reported(
                name.as_deref(),
                class.as_str(),
                u64::from(count),
                &first,
                last.as_deref(),
            );
            let fatal = (class == Class::Fatal).then_some((name, batch.first));
            return Some(Event {
                input: Input::Report {
                    component,
                    epoch,
                    class,
                    count,
                },
                detail: Some(first.into()),
                fatal,
            });
        }
        Some(Event {
            input: Input::Report {
                component,
                epoch,
                class,
                count,
            },
            detail: Some(first.into()),
            fatal: None,
        })
    }

    // What is done with it.

    fn boot(&mut self) {
        self.shared.enter(tokio::runtime::Handle::current());
        self.began = Instant::now();
        self.entered = self.began;
        let effects = mem::take(&mut self.effects);
        self.record(None, None, &effects);
        self.carry_out(&effects, None);
        self.effects = effects;
        self.publish(&[], None);
        self.reassure();
    }

    /// Hands an event to whoever is to be told.
    fn take(&mut self, event: Event) {
        if self.observed.is_none() {
            self.step(event);
            return;
        }
        let Route { real, shadow } = Observed::route(event.input, self.machine.session());
        if let (Some(observed), Some(input)) = (&mut self.observed, shadow) {
            observed.handle(
                input,
                event.detail.as_deref(),
                &self.shared,
                &mut self.sessions,
            );
        }
        if let Some(input) = real {
            self.step(Event { input, ..event });
        }
        self.reassure();
    }

    /// One step of the machine.
    fn step(&mut self, event: Event) {
        let input = event.input;
        let mut effects = mem::take(&mut self.effects);
        effects.clear();
        let step = self.machine.handle(input, &mut effects);
        // Before anything else, so that nobody is sent here any more.
        if let Some(Effect::Ready(false)) = effects.first() {
            self.shared.ready.store(false, Ordering::Release);
        }
        if let Step::Ignored(why) = step {
            trace::ignored(&input, why);
        } else if self.fatal.is_none() {
            self.fatal = event.fatal;
        }
        self.record(Some(input), Some(step), &effects);
        self.note_slots(&input);
        let hops: Vec<Transition> = step.transitions().collect();
        if !hops.is_empty() {
            self.publish(&hops, event.detail.as_deref());
        }
        self.carry_out(&effects, event.detail.as_deref());
        if input == Input::Fired(Timer::HoldOff) && self.observed.is_none() {
            // From here on only the next observation is waited for.
            self.sessions.hurry();
        }
        let observed = matches!(input, Input::Alive { .. } | Input::Failing { .. });
        if observed || !effects.is_empty() {
            self.publish(&[], None);
        }
        self.effects = effects;
    }

    fn record(&mut self, input: Option<Input>, step: Option<Step>, effects: &[Effect]) {
        if let Some(on_step) = &mut self.on_step {
            on_step(StepRecord {
                at: self.began.elapsed(),
                input,
                step,
                effects,
            });
        }
    }

    /// Keeps what status pages tell of components.
    fn note_slots(&mut self, input: &Input) {
        match *input {
            Input::Up { component, .. } => self
                .shared
                .set_slot(component, self.machine.slot(component)),
            Input::Gone { component, .. } if component.index() < self.tasks.len() => {
                let slot = self.machine.slot(component);
                self.shared.set_slot(component, slot);
                if slot == Slot::Down {
                    self.tasks[component.index()] = None;
                }
            }
            Input::Fired(Timer::Stage) => {
                for id in (0..self.tasks.len() as u32).map(ComponentId) {
                    if self.machine.slot(id) == Slot::Wedged {
                        self.shared.set_slot(id, Slot::Wedged);
                    }
                }
            }
            _ => {}
        }
    }

    fn carry_out(&mut self, effects: &[Effect], detail: Option<&str>) {
        for effect in effects {
            trace::effect(effect, false);
            match *effect {
                Effect::Ready(ready) => self.shared.ready.store(ready, Ordering::Release),
                Effect::Start { component, epoch } => self.start(component, epoch),
                Effect::Stop { component, .. } => self.stop(component),
                Effect::Abort { component, .. } => self.abort(component),
                // In observe-only the shadow has the probe.
                Effect::OpenSession { .. } | Effect::CloseSession { .. }
                    if self.observed.is_some() => {}
                Effect::OpenSession { session } => self.sessions.open(session),
                Effect::CloseSession { .. } => self.sessions.close(),
                Effect::Arm { timer, after } => {
                    let due = self.timers.arm(timer, after);
                    self.note_due(timer, Some(due));
                }
                Effect::Disarm { timer } => {
                    self.timers.disarm(timer);
                    self.note_due(timer, None);
                }
                Effect::OutageOpened { outage, cause } => self.shared.journal.open_outage(Outage {
                    number: outage,
                    reason: describe(cause, detail, &self.shared).into(),
                    began: Instant::now(),
                    lasted: None,
                    record: crate::machine::Record::default(),
                }),
                Effect::OutageClosed(record) => {
                    let lasted = self.shared.journal.close_outage(record, Instant::now());
                    trace::outage_closed(record, lasted.map(|lasted| lasted.as_millis() as u64));
                }
                Effect::Ended(end) => self.ended = Some(end),
            }
        }
    }

    fn note_due(&mut self, timer: Timer, due: Option<Instant>) {
        match timer {
            Timer::HoldOff => self.hold_off_due = due,
            Timer::Stage => self.stage_due = due,
            _ => {}
        }
    }

    fn start(&mut self, component: ComponentId, epoch: u64) {
        let stage = self
            .shared
            .plan
            .layout()
            .stage_of(component)
            .unwrap_or_default();
        let signal = &mut self.signals[stage];
        if self.shared.plan.layout().stage(stage).start == component.0 {
            // The first of its stage: the signal of the last epoch has done its work.
            *signal = Arc::default();
        }
        let incarnation = Incarnation::new(
            component,
            epoch,
            Arc::clone(signal),
            Arc::clone(&self.shared),
        );
        let hold = Hold::first(&incarnation);
        self.shared.epoch.store(epoch, Ordering::Release);
        self.shared.set_slot(component, Slot::Starting);
        if self.shared.plan.layout().lease_owner() == Some(component)
            && let Some(fence) = self.shared.plan.policy().fence()
        {
            self.watch_fence(fence.ttl());
        }
        let task = tokio::spawn(
            Arc::clone(&incarnation).run(Arc::clone(&self.components[component.index()]), hold),
        );
        let abort = task.abort_handle();
        self.tasks[component.index()] = Some(Task { incarnation, abort });
    }

    fn stop(&mut self, component: ComponentId) {
        self.shared.set_slot(component, Slot::Stopping);
        if let Some(task) = &self.tasks[component.index()] {
            // One signal serves the whole stage; all but the first call find it given.
            let within = self.shared.plan.policy().stop_deadline();
            task.incarnation.signal.stop(self.cause, within);
        }
    }

    fn abort(&mut self, component: ComponentId) {
        self.shared.set_slot(component, Slot::Aborting);
        if let Some(task) = &self.tasks[component.index()] {
            task.abort.abort();
            task.incarnation.abort_sub_tasks();
        }
    }

    fn watch_fence(&self, remaining: std::time::Duration) {
        if let (Some(watchdog), Some(fence)) = (&self.watchdog, self.shared.plan.policy().fence()) {
            // All is to be gone a margin before the lease expires. Half of the margin is left for
            // the confirmation, the other half for the abort.
            let left = remaining.saturating_sub(fence.margin() / 2);
            watchdog.set(std::time::Instant::now() + left);
        }
    }

    /// Publishes the transitions and what else changed.
    fn publish(&mut self, hops: &[Transition], detail: Option<&str>) {
        let now = Instant::now();
        for hop in hops {
            let transitioned = Transitioned {
                number: self.transitions,
                at: now,
                from: hop.from,
                to: hop.to,
                cause: hop.cause,
                reason: describe(hop.cause, detail, &self.shared).into(),
                epoch: hop.epoch,
                outage: self.machine.outage(),
                spent: now - self.entered,
            };
            self.entered = now;
            self.transitions += 1;
            if hop.to == Phase::ShuttingDown {
                self.cause = hop.cause;
            }
            trace::transition(&transitioned, &self.shared, false);
            self.shared.summary.send_modify(|summary| {
                summary.phase = hop.to;
                // That everything is gone is no news to who asks why; why it had to go is.
                if hop.cause != Cause::AllGone {
                    summary.reason = Arc::clone(&transitioned.reason);
                }
            });
            self.shared.journal.push(transitioned);
        }
        let monitoring = self.machine.phase() == Phase::Monitoring;
        self.shared.summary.send_modify(|summary| {
            if self.transitions == 0 {
                summary.reason = describe(Cause::Boot, None, &self.shared).into();
            }
            summary.entered = Some(self.entered);
            summary.epoch = self.machine.epoch();
            summary.outage = self.machine.outage();
            summary.outage_open = self.machine.outage_is_open();
            summary.level = self.machine.level();
            summary.dependency.clone_from(&self.dependency);
            summary.hold_off_due = self
                .hold_off_due
                .filter(|_| monitoring && self.machine.is_armed(Timer::HoldOff));
            summary.stage_due = self.stage_due;
        });
    }

    // Observe-only.

    /// In observe-only the real machine is told that all is well whenever it waits for that.
    fn reassure(&mut self) {
        while self.observed.is_some()
            && self.machine.phase() == Phase::Monitoring
            && !self.machine.is_armed(Timer::HoldOff)
            && let Some(session) = self.machine.session()
        {
            self.step(Input::Alive { session }.into());
        }
    }

    fn tell_shadow_of_time(&mut self) {
        if let Some(observed) = &mut self.observed {
            while let Some(timer) = observed.timers.due() {
                observed.handle(Input::Fired(timer), None, &self.shared, &mut self.sessions);
            }
        }
    }

    // The end.

    fn finish(&mut self) -> Result<(), RunError> {
        let wedged: Vec<Arc<str>> = (0..self.tasks.len() as u32)
            .map(ComponentId)
            .filter(|&id| self.machine.slot(id) == Slot::Wedged)
            .map(|id| Arc::clone(self.shared.name(id)))
            .collect();
        let mut reason = Arc::from("");
        self.shared.summary.send_modify(|summary| {
            summary.over = true;
            reason = Arc::clone(&summary.reason);
        });
        self.shared.journal.close();
        match self.ended {
            Some(End::Halted(why)) => Err(RunError {
                why,
                reason,
                failure: self
                    .fatal
                    .take()
                    .filter(|_| matches!(why, Why::Fatal | Why::Wedged)),
                wedged,
            }),
            _ => Ok(()),
        }
    }
}

impl Drop for Supervisor {
    /// However the run ends, readiness is off and nothing of it goes on.
    fn drop(&mut self) {
        self.shared.abandon();
        for task in self.tasks.iter().flatten() {
            task.incarnation
                .signal
                .stop(self.cause, std::time::Duration::ZERO);
            task.abort.abort();
            task.incarnation.abort_sub_tasks();
        }
    }
}

/// What an ended component tells.
fn ended(incarnation: &Incarnation, input: impl FnOnce(ComponentId, u64, How) -> Input) -> Event {
    let ending = incarnation.take_ending();
    let detail = match (&ending.failure, ending.how) {
        (Some(failure), _) => Some(failure.to_string().into()),
        (None, How::Returned) => Some("it returned".into()),
        (None, _) => None,
    };
    if let Some(failure) = &ending.failure {
        let stopping = incarnation.signal.told().is_some();
        trace::component_failed(incarnation.name(), &failure.to_string(), stopping);
    }
    let fatal = ending
        .failure
        .filter(|failure| failure.class() == Class::Fatal);
    Event {
        input: input(incarnation.component, incarnation.epoch, ending.how),
        detail,
        fatal: fatal.map(|failure| (Some(Arc::clone(incarnation.name())), failure)),
    }
}

async fn wait_for_shadow(observed: &Option<Observed>) {
    match observed {
        Some(observed) => observed.timers.wait().await,
        None => std::future::pending().await,
    }
}
