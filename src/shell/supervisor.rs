//! The one loop: take one input, hand it to the machine, carry out all its effects, then the next.

mod effects;
mod event;
mod inbox;
mod publish;
mod service;

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use self::event::{Detail, Event, Fatal, RETURNED, plain_event};
use self::publish::{Notice, UNKNOWN};
use super::component::Begin;
use super::describe::overdue;
use super::log::Log;
use super::mailbox::Answer;
use super::observe::{Observed, Route};
use super::reporter::Batch;
use super::service_watch::{ServiceWatch, Silent};
use super::session::{Seen, Sessions};
use super::shared::Shared;
use super::stage::StageRun;
use super::status::{Few, Sight};
use super::timers::Timers;
use super::trace;
use super::watchdog::Watchdog;
use super::{Probe, RunError};
use crate::machine::{Cause, Effect, End, Input, Machine, Phase, Slot, Step, Timer, Why};
use crate::policy::ComponentId;

/// Of a stage of up to so many each answer is taken when it comes.
const A_FEW: usize = 64;
/// How many plain answers are taken before anything else has its turn.
const PLAIN_AT_ONCE: usize = 32;
/// For how many reports there is room from the begin: what one of them asks for waits for no memory.
const A_FEW_REPORTS: usize = 8;
/// How long the end of the probe's last call is waited for where the run is halted.
const HALTED_WITHIN: Duration = Duration::from_millis(100);
/// The most effects of one step besides aborts. See
/// [`Machine::handle`](crate::machine::Machine::handle).
const EFFECTS_BESIDES: usize = 9;

pub(super) struct Supervisor {
    shared: Arc<Shared>,
    machine: Machine,
    components: Arc<[Arc<dyn Begin>]>,
    /// The last run of each stage.
    stages: Vec<Option<StageRun>>,
    timers: Timers,
    sessions: Sessions,
    seen: mpsc::Receiver<Seen>,
    observed: Option<Observed>,
    watchdog: Option<Watchdog>,
    log: Log,
    has_hook: bool,
    /// Whether the runtime of the components polls them. Nobody could tell who is polled by it.
    service: Option<ServiceWatch>,

    // What was taken and not handed over yet.
    answers: VecDeque<Answer>,
    /// More than a few were awaited, and some still are: see [`Supervisor::next`].
    crowd: bool,
    observation: Option<Seen>,
    reports: VecDeque<Batch>,
    /// When reports may be taken again.
    reports_due: Instant,
    /// The end of a component, held back until the reports before it are told.
    last_words: Option<Answer>,

    effects: Vec<Effect>,
    began: Instant,
    entered: Instant,
    transitions: u64,
    cause: Cause,
    /// The level that was published.
    level: u32,
    hold_off_due: Option<Instant>,
    stage_due: Option<Instant>,
    /// When the lease runs out that the last renewal was about, on the watchdog's clock.
    lease_due: Option<std::time::Instant>,
    dependency: Option<Sight>,
    fatal: Option<Fatal>,
    ended: Option<End>,

    /// What is still to be published, in order.
    notices: VecDeque<Notice>,
    /// Whether what is published besides is up to date.
    is_published: bool,
    is_abandoned: bool,
}

/// What a supervisor is made of.
pub(super) struct Parts {
    pub(super) shared: Arc<Shared>,
    pub(super) components: Vec<Arc<dyn Begin>>,
    pub(super) probe: Arc<dyn Probe>,
    pub(super) observe_only: bool,
    pub(super) watchdog: Option<Watchdog>,
    /// Where components run.
    pub(super) runtime: runtime::Handle,
    /// Where the probe is called.
    pub(super) probe_runtime: runtime::Handle,
    pub(super) log: Log,
    /// Whether the log has a hook.
    pub(super) has_hook: bool,
    /// Whether this has a thread of its own.
    pub(super) apart: bool,
}

impl Supervisor {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts {
            shared,
            components,
            probe,
            observe_only,
            watchdog,
            runtime,
            probe_runtime,
            log,
            has_hook,
            apart,
        } = parts;
        let plan = &shared.plan;
        let probe_is_apart = probe_runtime.id() != runtime.id();
        let (mut sessions, seen) =
            Sessions::new(probe, probe_runtime, apart, probe_is_apart, log.clone());
        // Room for all that one step may ask for: a stop must not wait for memory.
        let layout = plan.layout();
        let largest = (0..layout.stages()).map(|stage| layout.stage(stage).len());
        let mut effects = Vec::with_capacity(largest.max().unwrap_or_default() + EFFECTS_BESIDES);
        let machine = Machine::new(Arc::clone(plan), &mut effects);
        let observed = observe_only.then(|| Observed::new(Arc::clone(plan), &mut sessions, &log));
        let now = Instant::now();
        let service = apart.then(|| {
            let limit = plan.policy().silence_limit();
            ServiceWatch::new(runtime, limit, probe_is_apart)
        });
        Self {
            machine,
            stages: (0..layout.stages()).map(|_| None).collect(),
            components: components.into(),
            timers: Timers::default(),
            sessions,
            seen,
            observed,
            watchdog,
            log,
            has_hook,
            service,
            answers: VecDeque::new(),
            crowd: false,
            observation: None,
            reports: VecDeque::with_capacity(A_FEW_REPORTS),
            reports_due: now,
            last_words: None,
            effects,
            began: now,
            entered: now,
            transitions: 0,
            cause: Cause::Boot,
            level: 0,
            hold_off_due: None,
            stage_due: None,
            lease_due: None,
            dependency: None,
            fatal: None,
            ended: None,
            notices: VecDeque::new(),
            is_published: false,
            is_abandoned: false,
            shared,
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Supervises to the end.
    ///
    /// # Panics
    ///
    /// If the hook did.
    pub(super) async fn run(&mut self) -> Result<(), RunError> {
        self.boot();
        while self.ended.is_none() {
            let event = self.next().await;
            self.take(event);
            // What is plain is taken by the dozen; the rest of the time is for others.
            for _ in 0..PLAIN_AT_ONCE {
                match self.plain_answer() {
                    Some(input) if self.ended.is_none() => self.take_plain(input),
                    _ => break,
                }
            }
        }
        // A process that is about to be left waits for nobody.
        let within = match self.ended {
            Some(End::Halted(_)) => HALTED_WITHIN,
            _ => self.shared.plan.policy().abort_deadline(),
        };
        self.sessions.join(within).await;
        while let Some(due) = self.settle() {
            tokio::select! {
                biased;
                () = self.shared.mailbox.woken() => {}
                () = sleep_until(due) => {}
            }
        }
        self.finish()
    }

    fn boot(&mut self) {
        self.began = Instant::now();
        self.entered = self.began;
        let effects = mem::take(&mut self.effects);
        self.tell_probe_of_phase();
        self.carry_out(&effects);
        self.record(None, None, &effects);
        let outage = self.outage_of(&effects);
        self.announce([None; 2], outage, None, Detail::Nothing);
        trace::effects(&self.log, &effects, false);
        self.effects = effects;
        self.is_published = false;
        self.settle();
        self.reassure();
    }

    /// Hands an event to whoever is to be told.
    fn take(&mut self, event: Event) {
        if self.observed.is_none() {
            self.step(event);
            return;
        }
        let Route { real, shadow } = Observed::route(event.input, &self.machine);
        if let (Some(observed), Some(input)) = (&mut self.observed, shadow) {
            // Nothing is done in observe-only that could be late.
            event.detail.await_text(self.service.is_none());
            let text = event.detail.known_text();
            let text = text.unwrap_or(Some(UNKNOWN.into()));
            observed.handle(
                input,
                text.as_deref(),
                &self.shared,
                &mut self.sessions,
                &self.log,
            );
        }
        match real {
            Some(input) => self.step(Event { input, ..event }),
            None => {
                self.tell(event.news);
                self.note_observation(event.detail);
                self.settle();
            }
        }
        self.reassure();
    }

    /// The same for an answer without a story. Of a large stage nearly all are: others are still
    /// awaited, so there is nothing to carry out and nothing to tell.
    fn take_plain(&mut self, input: Input) {
        if self.observed.is_some() {
            return self.take(plain_event(input));
        }
        self.effects.clear();
        let step = self.machine.handle(input, &mut self.effects);
        let plain = step == Step::Absorbed && self.effects.is_empty();
        if plain && self.level == self.machine.level() {
            self.record(Some(input), Some(step), &[]);
            self.note_slots(&input);
        } else {
            self.follow(plain_event(input), step);
        }
    }

    /// One step of the machine.
    fn step(&mut self, event: Event) {
        self.effects.clear();
        let step = self.machine.handle(event.input, &mut self.effects);
        self.follow(event, step);
    }

    /// What follows from a step: first what it asks for, then what there is to say of it. Before all is
    /// carried out no user code runs but the wakers of those who are told, no text is made, and nothing waits
    /// for anybody.
    fn follow(&mut self, event: Event, step: Step) {
        let Event {
            input,
            detail,
            fatal,
            news,
        } = event;
        let effects = mem::take(&mut self.effects);
        // Before anything else, so that nobody is sent here any more.
        if let Some(Effect::Ready(false)) = effects.first() {
            self.shared.set_ready(false);
        }
        let hops = step.transitions();
        let mut late = None;
        for hop in hops {
            match hop.to {
                Phase::ShuttingDown => self.cause = hop.cause,
                // Everything is gone, so no lease allows anything any more.
                Phase::Monitoring | Phase::Drained => self.watch_fence(None),
                _ => {}
            }
            if hop.cause == Cause::StartOverdue {
                // Who is not up is known only until it is told to stop.
                late = Some(Few::doing(&self.shared, &[Slot::Starting]));
            }
        }
        match (step, input) {
            (Step::Ignored(_), _) => {}
            (_, Input::LeaseRenewed { .. }) => self.watch_fence(self.lease_due),
            _ if self.fatal.is_none() => self.fatal = fatal,
            _ => {}
        }
        self.tell_probe_of_phase();
        self.carry_out(&effects);
        self.note_slots(&input);

        // All is done. From here on it is told.
        if self.fatal.is_none() && matches!(input, Input::Failing { fatal: true, .. }) {
            self.fatal = detail.fatal_observation();
        }
        self.record(Some(input), Some(step), &effects);
        if let Step::Ignored(why) = step {
            trace::ignored(&self.log, input, why);
        }
        self.tell(news);
        let is_observation = matches!(input, Input::Alive { .. } | Input::Failing { .. });
        let level_changed = self.level != self.machine.level();
        self.level = self.machine.level();
        if is_observation || !effects.is_empty() || level_changed {
            self.is_published = false;
        }
        let outage = self.outage_of(&effects);
        let hops = [step.transitions().next(), step.transitions().nth(1)];
        if hops[0].is_some() || outage.is_some() {
            let early = late.map(|late| overdue(late, &self.shared));
            self.announce(hops, outage, early, detail);
        } else {
            self.note_observation(detail);
        }
        trace::effects(&self.log, &effects, false);
        self.settle();
        self.effects = effects;
    }

    /// Makes room for what a large stage will answer: whoever answers holds up the others while it
    /// does that itself.
    fn expect_answers(&mut self, answers: usize) {
        if answers > A_FEW {
            self.shared.mailbox.make_room(answers);
            self.answers.reserve(answers);
        }
    }

    fn tell_probe_of_phase(&mut self) {
        // In observe-only the shadow has the probe.
        if self.observed.is_none() {
            self.sessions.enter(self.machine.phase());
        }
    }

    fn record(&mut self, input: Option<Input>, step: Option<Step>, effects: &[Effect]) {
        if self.has_hook {
            self.log.step(self.began.elapsed(), input, step, effects);
        }
    }

    /// Keeps what status pages tell of components.
    fn note_slots(&mut self, input: &Input) {
        match *input {
            Input::Up { component, .. } => self
                .shared
                .set_slot(component, self.machine.slot(component)),
            Input::Gone {
                component, epoch, ..
            } => {
                let stage = self.shared.plan.layout().stage_of(component);
                let stage = stage.and_then(|stage| self.stages[stage].as_ref());
                if let Some(stage) = stage.filter(|stage| stage.epoch == epoch) {
                    stage.gone(component);
                }
                self.shared
                    .set_slot(component, self.machine.slot(component));
            }
            Input::Fired(Timer::Stage) => {
                for id in (0..self.components.len() as u32).map(ComponentId) {
                    if self.machine.slot(id) == Slot::Wedged {
                        self.shared.set_slot(id, Slot::Wedged);
                    }
                }
            }
            _ => {}
        }
    }

    // Observe-only.

    /// In observe-only the real machine is told that all is well whenever it waits for that.
    fn reassure(&mut self) {
        while self.observed.is_some()
            && !self.shared.is_abandoned()
            && self.machine.phase() == Phase::Monitoring
            && !self.machine.is_armed(Timer::HoldOff)
            && let Some(session) = self.machine.session()
        {
            let round = self.machine.round();
            self.step(Input::Alive { session, round }.into());
        }
    }

    fn tell_shadow_of_time(&mut self) {
        while let Some(observed) = &self.observed
            && let Some((at, timer)) = observed.timers.due()
        {
            let phase = observed.phase();
            let mut input = Input::Fired(timer);
            if timer == Timer::Silence {
                if self.was_heard(at, phase) {
                    return;
                }
                let postponed = match self.why_silent(at) {
                    Silent::Polled => None,
                    Silent::Frozen => {
                        input = Input::Frozen;
                        Some(self.shared.plan.policy().silence_limit())
                    }
                    Silent::Thawed(stuck_for) => {
                        // A clean run has no gap, whatever it comes from.
                        if phase == Phase::Monitoring {
                            input = Input::Frozen;
                        }
                        Some(stuck_for)
                    }
                };
                if let (Some(observed), Some(by)) = (&mut self.observed, postponed) {
                    observed.timers.postpone(Timer::Silence, by);
                    if input != Input::Frozen {
                        continue;
                    }
                } else {
                    self.note_observation(Detail::Silence);
                    self.settle();
                }
            }
            if let Some(observed) = &mut self.observed {
                observed.handle(input, None, &self.shared, &mut self.sessions, &self.log);
            }
        }
    }

    // The end.

    fn finish(&mut self) -> Result<(), RunError> {
        let wedged: Vec<Arc<str>> = (0..self.components.len() as u32)
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

impl Supervisor {
    /// However the run ends, readiness is off and nothing of it goes on.
    pub(super) fn abandon(&mut self) {
        if self.is_abandoned {
            return;
        }
        self.shared.abandon();
        self.sessions.close();
        for stage in self.stages.iter().flatten() {
            stage.stop(self.cause, Duration::ZERO);
            // A run that ended in its own way has seen each component go, or has aborted it.
            if self.ended.is_none() {
                stage.abort_all();
            }
        }
        if self.service.is_none() {
            // In place, where nothing waits to be written. The hook is the user's.
            self.log.close(Duration::ZERO);
        }
        self.is_abandoned = true;
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.abandon();
    }
}
