//! The loop: takes one input, passes it to the machine, carries out all its effects, then takes the next one.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime;
use tokio::time::{Instant, sleep_until};

use super::executor::Executor;
use super::inbox::Inbox;
use super::notice::{OutageNews, TEXT_WITHIN};
use super::publisher::Publisher;
use super::service_guard::ServiceGuard;
use super::service_watch::ServiceWatch;
use super::step_text::{Detail, Fatal, StepText, is_plain};
use super::stop_failures::StopFailures;
use super::watchdog::Watchdog;
use crate::driver::{Arrival, Decided, Decider, Decision, Silence, Source, Tell};
use crate::machine::{Cause, ComponentState, Effect, HaltReason, Input, Phase, RunOutcome, Step};
use crate::shell::component::Begin;
use crate::shell::failure::{ReportParts, RunError, RunReport, UncleanStop};
use crate::shell::log::Log;
use crate::shell::probe::{Probe, Sessions};
use crate::shell::publish::trace;
use crate::shell::run_state::RunState;

/// How many plain answers are taken before anything else is checked.
const PLAIN_AT_ONCE: usize = 32;
/// How long to wait for the end of the probe's last call if the run is halted.
const HALTED_WITHIN: Duration = Duration::from_millis(100);
/// The most effects of one step in addition to aborts. See
/// [`Machine::handle`](crate::machine::Machine::handle).
const EFFECTS_BESIDES: usize = 9;

pub(crate) struct Supervisor {
    shared: Arc<RunState>,
    /// Makes every decision.
    decider: Decider,
    inbox: Inbox,
    executor: Executor,
    publisher: Publisher,
    /// Watches the runtime of the components, if the run has a separate thread.
    guard: Option<ServiceGuard>,
    log: Log,
    /// The effects of the current step.
    effects: Vec<Effect>,
    /// The published level.
    level: u32,
    fatal: Option<Fatal>,
    stop_failures: StopFailures,
    unclean_stop_is_error: bool,
    is_abandoned: bool,
}

/// The arguments of [`Supervisor::new`].
pub(crate) struct Parts {
    pub(crate) shared: Arc<RunState>,
    pub(crate) components: Vec<Arc<dyn Begin>>,
    pub(crate) probe: Arc<dyn Probe>,
    pub(crate) observe_only: bool,
    pub(crate) watchdog: Option<Watchdog>,
    /// Where components run.
    pub(crate) runtime: runtime::Handle,
    /// Where the probe is called.
    pub(crate) probe_runtime: runtime::Handle,
    pub(crate) log: Log,
    /// Whether the log has a hook.
    pub(crate) has_hook: bool,
    pub(crate) unclean_stop_is_error: bool,
    /// Whether the run has a separate thread.
    pub(crate) apart: bool,
}

impl Supervisor {
    pub(crate) fn new(parts: Parts) -> Self {
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
            unclean_stop_is_error,
            apart,
        } = parts;
        let plan = &shared.plan;
        let probe_is_apart = probe_runtime.id() != runtime.id();
        let (sessions, seen) =
            Sessions::new(probe, probe_runtime, apart, probe_is_apart, log.clone());
        // Room for the effects of any step, because a stop must not wait for memory.
        let layout = plan.layout();
        let largest = (0..layout.stages()).map(|stage| layout.stage(stage).len());
        let effects = Vec::with_capacity(largest.max().unwrap_or_default() + EFFECTS_BESIDES);
        let decider = match observe_only {
            true => Decider::dry_run(Arc::clone(plan)),
            false => Decider::live(Arc::clone(plan)),
        };
        let guard = apart.then(|| {
            let limit = plan.policy().silence_limit();
            let watch = ServiceWatch::new(runtime, limit, probe_is_apart);
            ServiceGuard::new(watch, Arc::clone(&shared), log.clone())
        });
        Self {
            decider,
            inbox: Inbox::new(Arc::clone(&shared), seen, has_hook),
            executor: Executor::new(Arc::clone(&shared), components, sessions, watchdog),
            publisher: Publisher::new(Arc::clone(&shared), log.clone(), !apart),
            guard,
            log,
            effects,
            level: 0,
            fatal: None,
            stop_failures: StopFailures::default(),
            unclean_stop_is_error,
            is_abandoned: false,
            shared,
        }
    }

    pub(crate) fn shared(&self) -> &Arc<RunState> {
        &self.shared
    }

    /// Supervises to the end.
    ///
    /// # Panics
    ///
    /// If the hook panicked.
    pub(crate) async fn run(&mut self) -> Result<(), RunError> {
        self.inbox.begin();
        self.publisher.begin(self.decider.is_dry_run());
        while self.executor.ended().is_none() {
            let (at, decision) = self.next().await;
            self.follow(at, decision);
            // Several plain answers are taken without reading the clock. After that other tasks are polled.
            for _ in 0..PLAIN_AT_ONCE {
                match self.next_plain(at) {
                    Some(decision) if self.executor.ended().is_none() => self.follow(at, decision),
                    _ => break,
                }
            }
        }
        // A process that is about to exit waits only for a moment.
        let within = match self.executor.ended() {
            Some(RunOutcome::Halted(_)) => HALTED_WITHIN,
            _ => self.shared.plan.policy().abort_deadline(),
        };
        self.executor.join_session(within).await;
        while let Some(due) = self.settle() {
            tokio::select! {
                biased;
                () = self.shared.mailbox.woken() => {}
                () = sleep_until(due) => {}
            }
        }
        // Its error names what components said. They make these texts themselves.
        let texts_due = Instant::now() + TEXT_WITHIN;
        while !self.stop_failures.are_known() && Instant::now() < texts_due {
            self.shared.await_text();
            if self.stop_failures.are_known() {
                break;
            }
            tokio::select! {
                biased;
                () = self.shared.mailbox.woken() => {}
                () = sleep_until(texts_due) => {}
            }
        }
        self.finish()
    }

    /// Publishes what can be published. Returns when to do so again, if something waits.
    fn settle(&mut self) -> Option<Instant> {
        self.publisher.settle(&self.decider, &self.inbox)
    }

    /// The next step, as soon as there is one, and when it was decided.
    async fn next(&mut self) -> (Duration, Decision) {
        loop {
            // A flood of inputs must not starve the other futures of this task.
            tokio::task::consume_budget().await;
            if self.shared.is_abandoned() {
                // The run is about to be dropped, and must make no further step.
                std::future::pending::<()>().await;
            }
            self.end_if_hook_panicked();
            self.shared.answer_ping();
            let text_due = self.settle();
            self.look_at_service();
            self.inbox
                .bring_all(&mut self.decider, self.executor.stages());
            let now = self.inbox.now();
            match self.ask(now) {
                DeciderAnswer::Step(decision) => return (now, decision),
                DeciderAnswer::Again => {}
                DeciderAnswer::Wait(until) => self.wait(until, text_due).await,
            }
        }
    }

    /// The next step, if the next arrival is a plain answer.
    fn next_plain(&mut self, now: Duration) -> Option<Decision> {
        let plain = self.inbox.next_is_plain() && self.decider.has_room(Source::Answer);
        if !plain || self.shared.is_abandoned() {
            return None;
        }
        self.inbox
            .bring_answer(&mut self.decider, self.executor.stages(), now);
        match self.ask(now) {
            DeciderAnswer::Step(decision) => Some(decision),
            DeciderAnswer::Again | DeciderAnswer::Wait(_) => None,
        }
    }

    /// Asks the decider for the next step.
    fn ask(&mut self, now: Duration) -> DeciderAnswer {
        match self.decider.next(now, &mut self.effects) {
            Decided::Step(decision) => return DeciderAnswer::Step(decision),
            Decided::Drop(source) => {
                self.inbox.held.forget(source);
                self.record(now, None, &[]);
            }
            Decided::WhySilent { since } => {
                let why = Arrival::Silent(self.why_silent(since));
                self.inbox.bring(&mut self.decider, why, now, Vec::new);
            }
            Decided::Wait(until) => return DeciderAnswer::Wait(until),
        }
        DeciderAnswer::Again
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
            () = wait_until(self.guard.as_ref().map(ServiceGuard::look_at)) => {}
            Some(incident) = self.inbox.observed(), if room => seen = Some(incident),
        }
        self.excuse(asleep_since);
        if let Some(seen) = seen {
            let now = self.inbox.now();
            self.inbox.bring_observation(&mut self.decider, seen, now);
        }
    }

    // What the guard measures.

    fn excuse(&mut self, asleep_since: Instant) {
        let guard = self.guard.as_mut();
        if let Some(late) = guard.and_then(|guard| guard.take_lateness(asleep_since)) {
            let at = self.inbox.now();
            let arrival = Arrival::Late { at, by: late };
            self.inbox.bring(&mut self.decider, arrival, at, Vec::new);
            self.publisher.mark_outdated();
        }
    }

    fn look_at_service(&mut self) {
        let froze = self.guard.as_mut().is_some_and(ServiceGuard::look_if_due);
        if froze && self.decider.has_room(Source::Runtime) {
            let now = self.inbox.now();
            self.inbox
                .bring(&mut self.decider, Arrival::Froze, now, Vec::new);
        }
    }

    fn why_silent(&mut self, since: Duration) -> Silence {
        let heard_at = self.inbox.at(since);
        match &mut self.guard {
            Some(guard) => guard.why_silent(heard_at),
            None => Silence::Polled,
        }
    }

    // Following a step.

    /// Follows a step: first carries out its effects, then publishes it.
    ///
    /// Until all effects are carried out, no user code runs except wakers, no text is made, and nothing is waited for.
    fn follow(&mut self, at: Duration, decision: Decision) {
        let effects = mem::take(&mut self.effects);
        match decision.told {
            _ if decision.carried.is_dry() => self.show(at, decision, &effects),
            None => self.boot(at, decision, &effects),
            Some((tell, step)) => self.take_step(at, decision, tell, step, &effects),
        }
        self.effects = effects;
    }

    /// Carries out the first effects of the machine.
    fn boot(&mut self, at: Duration, decision: Decision, effects: &[Effect]) {
        self.executor.unready_first(effects, &self.decider);
        self.carry_out(effects, decision);
        self.record(at, Some(decision), effects);
        let overruns = self.executor.take_overruns();
        let machine = self.decider.machine();
        self.publisher.follow(effects, overruns, machine);
        let (outage, nothing) = (OutageNews::of(effects), Detail::Nothing);
        self.publisher
            .announce(decision, &self.decider, outage, None, nothing, None);
        trace::effects(&self.log, effects, false);
        self.publisher.mark_outdated();
        self.settle();
    }

    fn take_step(
        &mut self,
        at: Duration,
        decision: Decision,
        tell: Tell,
        step: Step,
        effects: &[Effect],
    ) {
        self.executor.unready_first(effects, &self.decider);
        let input = tell.input;
        let level_changed = self.level != self.decider.machine().level();
        if step == Step::Absorbed && effects.is_empty() && !level_changed && is_plain(&tell) {
            // In a large stage this applies to nearly all answers: others are still awaited, so there is nothing to
            // carry out and nothing to publish.
            self.record(at, Some(decision), &[]);
            self.inbox.held.forget(tell.source);
            return self.executor.note_slots(&input, &self.decider);
        }
        // The components that are not up are known only until they are asked to stop.
        let overdue = step
            .transitions()
            .any(|hop| hop.cause == Cause::StartOverdue);
        let late = overdue.then(|| self.publisher.late());
        self.executor.note_moves(step.transitions(), &self.decider);
        let StepText {
            detail,
            fatal,
            incident,
        } = self.inbox.held.event(&tell);
        let is_ignored = matches!(step, Step::Ignored(_));
        if matches!(input, Input::LeaseRenewed { .. }) && !is_ignored {
            self.executor.watch_fence(self.inbox.held.lease);
            self.publisher.note_renewal(self.inbox.held.renewal_sent);
        }
        self.carry_out(effects, decision);
        self.executor.note_slots(&input, &self.decider);
        self.inbox
            .held
            .answer_command(tell.source, decision.changed);

        // All effects are carried out. From here on the step is published.
        match step.transitions().any(|hop| hop.to == Phase::ShuttingDown) {
            true => self.stop_failures = StopFailures::default(),
            false => self.stop_failures.note(&input, &detail),
        }
        self.record(at, Some(decision), effects);
        if self.fatal.is_none() && !is_ignored {
            self.fatal = match input {
                Input::Failing { fatal: true, .. } => detail.fatal_observation(),
                _ => fatal,
            };
        }
        if let Step::Ignored(why) = step {
            trace::ignored(&self.log, input, why);
        }
        self.publisher.log(incident);
        let is_observation = matches!(input, Input::Alive { .. } | Input::Failing { .. });
        self.level = self.decider.machine().level();
        if is_observation || !effects.is_empty() || level_changed {
            self.publisher.mark_outdated();
        }
        let has_moved = step.transitions().next().is_some();
        let outage = OutageNews::of(effects);
        let is_limit = matches!(input, Input::FailedTooOften { .. }) && !is_ignored;
        if has_moved || outage.is_some() || is_limit {
            let early = late.map(|late| self.publisher.overdue(late));
            let early = early.or_else(|| self.fence_reason(input, step));
            let (decider, fatal) = (&self.decider, self.fatal.as_ref());
            self.publisher
                .announce(decision, decider, outage, early, detail, fatal);
        } else if !is_ignored {
            let session = self.decider.observer().session();
            self.publisher.note_observation(detail, session);
        }
        let overruns = self.executor.take_overruns();
        let machine = self.decider.machine();
        self.publisher.follow(effects, overruns, machine);
        trace::effects(&self.log, effects, false);
        self.settle();
    }

    /// Follows a step of a dry run.
    fn show(&mut self, at: Duration, decision: Decision, effects: &[Effect]) {
        self.carry_out(effects, decision);
        self.record(at, Some(decision), effects);
        if let Some((tell, step)) = decision.told {
            let StepText {
                detail, incident, ..
            } = self.inbox.held.event(&tell);
            self.publisher.log(incident);
            let is_ignored = matches!(step, Step::Ignored(_));
            if matches!(tell.input, Input::LeaseRenewed { .. }) && !is_ignored {
                self.publisher.note_renewal(self.inbox.held.renewal_sent);
            }
            if step.transitions().next().is_some() {
                let early = self.fence_reason(tell.input, step);
                let (decider, fatal) = (&self.decider, self.fatal.as_ref());
                self.publisher
                    .announce(decision, decider, None, early, detail, fatal);
            } else if !is_ignored {
                let session = self.decider.observer().session();
                self.publisher.note_observation(detail, session);
            }
        }
        // Otherwise the status would fall behind the log.
        self.publisher.mark_outdated();
        trace::effects(&self.log, effects, true);
        self.settle();
    }

    /// Why the fence tripped, if it did.
    fn fence_reason(&self, input: Input, step: Step) -> Option<String> {
        let trips = step.transitions().any(|hop| hop.cause == Cause::Fence);
        trips.then(|| self.publisher.fence(input))
    }

    fn carry_out(&mut self, effects: &[Effect], decision: Decision) {
        let (decider, inbox) = (&self.decider, &mut self.inbox);
        self.executor
            .carry_out(effects, decision.carried, decider, inbox);
    }

    fn record(&mut self, at: Duration, decision: Option<Decision>, effects: &[Effect]) {
        let came = self.inbox.take_came();
        self.publisher.record(at, came, decision, effects);
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
        let published = &self.shared.published;
        let name = |id| Arc::clone(self.shared.name(id));
        let machine = self.decider.machine();
        let wedged = published
            .roster
            .ids()
            .filter(|&id| machine.component_state(id) == ComponentState::Wedged);
        let unclean = self.decider.unclean_ends();
        let report = RunReport::new(ReportParts {
            outcome: self.executor.ended(),
            reason: published.reason(),
            unclean_stops: unclean
                .map(|(id, end)| UncleanStop {
                    component: name(id),
                    how: end,
                    what: self.stop_failures.words(id, end),
                })
                .collect(),
            wedged: wedged.map(name).collect(),
            signal: published.signal(),
        });
        published.end(report.clone());
        let is_halted = matches!(self.executor.ended(), Some(RunOutcome::Halted(_)));
        let is_unclean = self.unclean_stop_is_error && !report.unclean_stops().is_empty();
        if !is_halted && !is_unclean {
            return Ok(());
        }
        let may_be_fatal = matches!(
            self.executor.ended(),
            Some(RunOutcome::Halted(HaltReason::Fatal | HaltReason::Wedged))
        );
        let failure = self.fatal.take().filter(|_| may_be_fatal);
        Err(RunError { report, failure })
    }
}

impl Supervisor {
    /// Turns readiness off and ends everything of the run, however the run has ended.
    pub(crate) fn abandon(&mut self) {
        if self.is_abandoned {
            return;
        }
        self.shared.abandon();
        // Who awaits an answer to a command gets none.
        self.inbox.held.reply = None;
        self.executor.abandon();
        if self.guard.is_none() {
            // In place, where no event waits to be written. This drops the hook, which is a value of the user.
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
enum DeciderAnswer {
    Step(Decision),
    Again,
    /// There is nothing to do before then.
    Wait(Option<Duration>),
}

async fn wait_until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
