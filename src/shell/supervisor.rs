//! The one loop: take one input, hand it to the machine, carry out all its effects, then the next.

mod effects;
mod event;
mod follow;
mod held;
mod inbox;
mod publish;
mod service;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime;
use tokio::time::{Instant, sleep_until};

use self::event::{Detail, Fatal};
use self::inbox::Inbox;
use self::publish::{Notice, Trail};
use super::component::Begin;
use super::log::Log;
use super::service_watch::ServiceWatch;
use super::session::Sessions;
use super::shared::Shared;
use super::stage::StageRun;
use super::status::DependencyStatus;
use super::watchdog::Watchdog;
use super::{Probe, RunError};
use crate::driver::{Arrival, Decided, Decider, Decision, Source};
use crate::machine::{Cause, ComponentState, Effect, HaltReason, RunOutcome};
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
    dependency: Option<DependencyStatus>,
    fatal: Option<Fatal>,
    ended: Option<RunOutcome>,

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
            // What is plain is taken by the dozen, without a look at the clock; the rest of the time is for
            // others.
            for _ in 0..PLAIN_AT_ONCE {
                match self.next_plain(at) {
                    Some(decision) if self.ended.is_none() => self.follow(at, decision),
                    _ => break,
                }
            }
        }
        // A process that is about to be left waits for nobody.
        let within = match self.ended {
            Some(RunOutcome::Halted(_)) => HALTED_WITHIN,
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
            match self.ask(now) {
                Asked::Step(decision) => return (now, decision),
                Asked::Again => {}
                Asked::Wait(until) => self.wait(until, text_due).await,
            }
        }
    }

    /// The next step, if what has arrived next is an answer without a story.
    fn next_plain(&mut self, now: Duration) -> Option<Decision> {
        let plain = self.inbox.next_is_plain() && self.decider.has_room(Source::Answer);
        if !plain || self.shared.is_abandoned() {
            return None;
        }
        self.inbox
            .bring_answer(&mut self.decider, &self.stages, now);
        match self.ask(now) {
            Asked::Step(decision) => Some(decision),
            Asked::Again | Asked::Wait(_) => None,
        }
    }

    /// Asks the decider what is next.
    fn ask(&mut self, now: Duration) -> Asked {
        match self.decider.next(now, &mut self.effects) {
            Decided::Step(decision) => return Asked::Step(decision),
            Decided::Drop(source) => {
                self.inbox.held.forget(source);
                self.record(now, None, &[]);
            }
            Decided::WhySilent { since } => {
                let why = Arrival::Silent(self.why_silent(since));
                self.inbox.bring(&mut self.decider, why, now, Vec::new);
            }
            Decided::Wait(until) => return Asked::Wait(until),
        }
        Asked::Again
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
            Some(news) = self.inbox.observed(), if room => seen = Some(news),
        }
        self.excuse(asleep_since);
        if let Some(seen) = seen {
            let now = self.inbox.now();
            self.inbox.bring_observation(&mut self.decider, seen, now);
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
            .filter(|&id| self.decider.machine().slot(id) == ComponentState::Wedged)
            .map(|id| Arc::clone(self.shared.name(id)))
            .collect();
        let mut reason = Arc::from("");
        self.shared.summary.send_modify(|summary| {
            summary.over = true;
            reason = Arc::clone(&summary.reason);
        });
        self.shared.journal.close();
        match self.ended {
            Some(RunOutcome::Halted(why)) => Err(RunError {
                why,
                reason,
                failure: self
                    .fatal
                    .take()
                    .filter(|_| matches!(why, HaltReason::Fatal | HaltReason::Wedged)),
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

/// What the decider answered.
enum Asked {
    Step(Decision),
    Again,
    /// Nothing is there before then.
    Wait(Option<Duration>),
}

async fn wait_until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
