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
use tokio::time::{Instant, sleep_until};

use self::event::{Detail, Event, Fatal};
use self::inbox::Inbox;
use self::publish::{Notice, Trail};
use super::component::Begin;
use super::describe::overdue;
use super::log::{Log, Recorded};
use super::service_watch::ServiceWatch;
use super::session::Sessions;
use super::shared::Shared;
use super::stage::StageRun;
use super::status::{Few, Sight};
use super::trace;
use super::watchdog::Watchdog;
use super::{Probe, RunError};
use crate::driver::{Arrival, Decided, Decider, Decision, Source, Tell};
use crate::machine::{Cause, Effect, End, How, Input, Phase, Slot, Step, Timer, Why};
use crate::policy::ComponentId;

/// How many plain answers are taken before anything else has its turn.
const PLAIN_AT_ONCE: usize = 32;
/// How long the end of the probe's last call is waited for where the run is halted.
const HALTED_WITHIN: Duration = Duration::from_millis(100);
/// The most effects of one step besides aborts. See
/// [`Machine::handle`](crate::machine::Machine::handle).
const EFFECTS_BESIDES: usize = 9;

pub(super) struct Supervisor {
    shared: Arc<Shared>,
    /// Takes every decision.
    decider: Decider,
    inbox: Inbox,
    components: Arc<[Arc<dyn Begin>]>,
    /// The last run of each stage.
    stages: Vec<Option<StageRun>>,
    sessions: Sessions,
    watchdog: Option<Watchdog>,
    log: Log,
    has_hook: bool,
    /// Whether the runtime of the components polls them. Nobody could tell who is polled by it.
    service: Option<ServiceWatch>,

    /// Of the present step.
    effects: Vec<Effect>,
    /// What was last published of each machine.
    trail: Trail,
    shown_trail: Trail,
    cause: Cause,
    /// The level that was published.
    level: u32,
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
        let (sessions, seen) =
            Sessions::new(probe, probe_runtime, apart, probe_is_apart, log.clone());
        // Room for all that one step may ask for: a stop must not wait for memory.
        let layout = plan.layout();
        let largest = (0..layout.stages()).map(|stage| layout.stage(stage).len());
        let effects = Vec::with_capacity(largest.max().unwrap_or_default() + EFFECTS_BESIDES);
        let decider = match observe_only {
            true => Decider::dry_run(Arc::clone(plan)),
            false => Decider::live(Arc::clone(plan)),
        };
        let service = apart.then(|| {
            let limit = plan.policy().silence_limit();
            ServiceWatch::new(runtime, limit, probe_is_apart)
        });
        Self {
            decider,
            inbox: Inbox::new(Arc::clone(&shared), seen, has_hook),
            stages: (0..layout.stages()).map(|_| None).collect(),
            components: components.into(),
            sessions,
            watchdog,
            log,
            has_hook,
            service,
            effects,
            trail: Trail::new(),
            shown_trail: Trail::new(),
            cause: Cause::Boot,
            level: 0,
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
        self.inbox.begin();
        self.trail = Trail::new();
        self.shown_trail = Trail::new();
        while self.ended.is_none() {
            let (at, decision) = self.next().await;
            self.follow(at, decision);
            // What is plain is taken by the dozen; the rest of the time is for others.
            for _ in 0..PLAIN_AT_ONCE {
                match self.next_plain() {
                    Some((at, decision)) if self.ended.is_none() => self.follow(at, decision),
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

    /// The next step, as soon as there is one, and when it was decided.
    async fn next(&mut self) -> (Duration, Decision) {
        loop {
            // A flood of inputs must not starve what shares the task with this loop.
            tokio::task::consume_budget().await;
            if self.shared.is_abandoned() {
                // It is about to be dropped, and takes no step any more.
                std::future::pending::<()>().await;
            }
            self.end_if_hook_panicked();
            self.shared.answer_ping();
            let text_due = self.settle();
            self.look_at_service();
            self.inbox.bring_all(&mut self.decider, &self.stages);
            let now = self.inbox.now();
            match self.decider.next(now, &mut self.effects) {
                Decided::Step(decision) => return (now, decision),
                Decided::Drop(source) => {
                    self.inbox.forget(source);
                    self.record(now, None, &[]);
                }
                Decided::WhySilent { since } => {
                    let why = Arrival::Silent(self.why_silent(since));
                    self.inbox.bring(&mut self.decider, why, now, Vec::new);
                }
                Decided::Wait(until) => self.wait(until, text_due).await,
            }
        }
    }

    /// The next step, if what is next is an answer without a story.
    fn next_plain(&mut self) -> Option<(Duration, Decision)> {
        if self.shared.is_abandoned()
            || !self.inbox.next_is_plain()
            || !self.decider.has_room(Source::Answer)
        {
            return None;
        }
        let now = self.inbox.now();
        self.inbox
            .bring_answer(&mut self.decider, &self.stages, now);
        match self.decider.next(now, &mut self.effects) {
            Decided::Step(decision) => Some((now, decision)),
            // It has an answer to tell.
            _ => None,
        }
    }

    /// Waits until something may have arrived, or is due.
    async fn wait(&mut self, until: Option<Duration>, text_due: Option<Instant>) {
        let awaited = self.decider.machine().awaited() as usize;
        let Some(answers_within) = self.inbox.await_answers(awaited) else {
            return;
        };
        let asleep_since = Instant::now();
        let due = until.map(|until| self.inbox.at(until));
        let answers_due = answers_within.map(|within| asleep_since + within);
        let reports_due = self.inbox.reports_at();
        let room = self.decider.has_room(Source::Observation);
        let mut seen = None;
        tokio::select! {
            biased;
            () = self.shared.mailbox.woken() => {}
            () = wait_until(due) => {}
            () = wait_until(answers_due) => {}
            () = wait_until(reports_due) => {}
            () = wait_until(text_due) => {}
            () = wait_until(self.service.as_ref().map(ServiceWatch::look_at)) => {}
            news = self.inbox.observed(), if room => seen = news,
        }
        self.excuse(asleep_since);
        if let Some(seen) = seen {
            let now = self.inbox.now();
            self.inbox.bring_observation(&mut self.decider, seen, now);
        }
    }

    /// What follows from a step: first what it asks for, then what there is to say of it. Before all is
    /// carried out no user code runs but the wakers of those who are told, no text is made, and nothing waits
    /// for anybody.
    fn follow(&mut self, at: Duration, decision: Decision) {
        let carried = decision.carried;
        if carried.is_dry() {
            return self.show(at, decision);
        }
        let effects = mem::take(&mut self.effects);
        // Before anything else, so that nobody is sent here any more.
        if let Some(Effect::Ready(false)) = effects.first() {
            self.shared.set_ready(false);
        }
        let Some((tell, step)) = decision.told else {
            self.carry_out(&effects, carried);
            self.record(at, Some(decision), &effects);
            let outage = self.outage_of(&effects);
            self.announce(decision, [None; 2], outage, None, Detail::Nothing);
            trace::effects(&self.log, &effects, false);
            self.effects = effects;
            self.is_published = false;
            self.settle();
            return;
        };
        let input = tell.input;
        let level_changed = self.level != self.decider.machine().level();
        if step == Step::Absorbed && effects.is_empty() && !level_changed && is_plain(&tell) {
            // Of a large stage nearly all are: others are still awaited, so there is nothing to carry out and
            // nothing to tell.
            self.record(at, Some(decision), &[]);
            self.effects = effects;
            let _ = self.inbox.event(&tell);
            return self.note_slots(&input);
        }
        let mut late = None;
        for hop in step.transitions() {
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
        let Event {
            detail,
            fatal,
            news,
            ..
        } = self.inbox.event(&tell);
        let is_ignored = matches!(step, Step::Ignored(_));
        if matches!(input, Input::LeaseRenewed { .. }) && !is_ignored {
            self.watch_fence(self.inbox.lease_due());
        }
        self.carry_out(&effects, carried);
        self.note_slots(&input);

        // All is done. From here on it is told.
        self.record(at, Some(decision), &effects);
        if self.fatal.is_none() && !is_ignored {
            self.fatal = fatal;
            if matches!(input, Input::Failing { fatal: true, .. }) {
                self.fatal = detail.fatal_observation();
            }
        }
        if let Step::Ignored(why) = step {
            trace::ignored(&self.log, input, why);
        }
        self.tell(news);
        let is_observation = matches!(input, Input::Alive { .. } | Input::Failing { .. });
        self.level = self.decider.machine().level();
        if is_observation || !effects.is_empty() || level_changed {
            self.is_published = false;
        }
        let outage = self.outage_of(&effects);
        let hops = [step.transitions().next(), step.transitions().nth(1)];
        if hops[0].is_some() || outage.is_some() {
            let early = late.map(|late| overdue(late, &self.shared));
            self.announce(decision, hops, outage, early, detail);
        } else if !is_ignored {
            self.note_observation(detail);
        }
        trace::effects(&self.log, &effects, false);
        self.settle();
        self.effects = effects;
    }

    /// The same for a step that only shows what would be done.
    fn show(&mut self, at: Duration, decision: Decision) {
        let effects = mem::take(&mut self.effects);
        self.carry_out(&effects, decision.carried);
        self.record(at, Some(decision), &effects);
        if let Some((tell, step)) = decision.told {
            let Event { detail, news, .. } = self.inbox.event(&tell);
            self.tell(news);
            let hops = [step.transitions().next(), step.transitions().nth(1)];
            if hops[0].is_some() {
                self.announce(decision, hops, None, None, detail);
            } else if !matches!(step, Step::Ignored(_)) {
                self.note_observation(detail);
            }
        }
        trace::effects(&self.log, &effects, true);
        self.settle();
        self.effects = effects;
    }

    fn record(&mut self, at: Duration, decision: Option<Decision>, effects: &[Effect]) {
        if self.has_hook {
            self.log.step(Recorded {
                at,
                came: self.inbox.take_came(),
                decision,
                effects: effects.to_vec(),
                missed: 0,
            });
        }
    }

    /// Keeps what status pages tell of components.
    fn note_slots(&mut self, input: &Input) {
        let machine = self.decider.machine();
        match *input {
            Input::Up { component, .. } => {
                self.shared.set_slot(component, machine.slot(component));
            }
            Input::Gone {
                component, epoch, ..
            } => {
                let stage = self.shared.plan.layout().stage_of(component);
                let stage = stage.and_then(|stage| self.stages[stage].as_ref());
                if let Some(stage) = stage.filter(|stage| stage.epoch == epoch) {
                    stage.gone(component);
                }
                self.shared.set_slot(component, machine.slot(component));
            }
            Input::Fired(Timer::Stage) => {
                for id in (0..self.components.len() as u32).map(ComponentId) {
                    if machine.slot(id) == Slot::Wedged {
                        self.shared.set_slot(id, Slot::Wedged);
                    }
                }
            }
            _ => {}
        }
    }

    fn end_if_hook_panicked(&self) {
        if self.log.hook_panicked()
            && let Some(panic) = self.log.take_hook_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }

    // The end.

    fn finish(&mut self) -> Result<(), RunError> {
        let wedged: Vec<Arc<str>> = (0..self.components.len() as u32)
            .map(ComponentId)
            .filter(|&id| self.decider.machine().slot(id) == Slot::Wedged)
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

/// Whether there is nothing to say of it: a component is up, or has ended without an error.
fn is_plain(tell: &Tell) -> bool {
    matches!(
        tell.input,
        Input::Up { .. }
            | Input::Gone {
                how: How::Returned,
                ..
            }
    )
}

async fn wait_until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
