//! Passes arrivals to the decider as soon as it has room for them.
//!
//! Nothing is decided here, not even the order: this only checks what has arrived. Texts and errors, which the decider
//! does not need, are [`Held`] in the meantime.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::held::Held;
use super::recorded::{Came, Words};
use crate::driver::pace::{self, Reports, Wake};
use crate::driver::{self, Arrival, Decider, Ended, LastWords, Observed, Renewed, Source};
use crate::shell::component::{Ending, StageRun};
use crate::shell::inbound::{
    Batch, ComponentAnswer, IncarnationId, ROOM_KEPT, RenewedLease, ReportTexts,
};
use crate::shell::probe::{Observation, SessionObservation};
use crate::shell::run_state::RunState;

pub(crate) struct Inbox {
    shared: Arc<RunState>,
    seen: mpsc::Receiver<SessionObservation>,
    /// Answers that were taken from the mailbox, and not passed on yet.
    answers: VecDeque<ComponentAnswer>,
    crowd: pace::Answers,
    reports: Reports<ReportTexts>,
    pub(crate) held: Held,
    /// The beginning of the run.
    began: Instant,
    /// The arrivals since the last step, if there is a hook.
    came: Option<Vec<Came>>,
}

impl Inbox {
    pub(crate) fn new(
        shared: Arc<RunState>,
        seen: mpsc::Receiver<SessionObservation>,
        has_hook: bool,
    ) -> Self {
        Self {
            held: Held::new(Arc::clone(&shared)),
            shared,
            seen,
            answers: VecDeque::new(),
            crowd: pace::Answers::default(),
            reports: Reports::default(),
            began: Instant::now(),
            came: has_hook.then(Vec::new),
        }
    }

    /// Notes that the run begins.
    pub(crate) fn begin(&mut self) {
        self.began = Instant::now();
    }

    /// The time since the run began.
    pub(crate) fn now(&self) -> Duration {
        self.since_the_begin(Instant::now())
    }

    fn since_the_begin(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.began)
    }

    pub(crate) fn at(&self, since_the_begin: Duration) -> Instant {
        self.began + since_the_begin
    }

    /// Takes the arrivals since the last call, if there is a hook.
    pub(crate) fn take_came(&mut self) -> Option<Vec<Came>> {
        self.came.as_mut().map(mem::take)
    }

    /// Reserves memory for the answers of a large stage. Otherwise an answering task would do it, and delay the others.
    pub(crate) fn make_room(&mut self, answers: usize) {
        let room = pace::room_for(answers);
        self.shared.mailbox.make_room(room);
        self.answers.reserve(room);
    }

    // Waiting.

    /// Sets when answers wake the supervisor, while this number of answers is awaited.
    ///
    /// Returns how long it may sleep at most because of them, or `None` if there is something to take already.
    pub(crate) fn await_answers(&mut self, awaited: usize) -> Option<Option<Duration>> {
        let Wake { answers, within } = self.crowd.wake(awaited);
        if !self.shared.mailbox.await_answers(answers) {
            return None;
        }
        if within.is_none() {
            // The memory for a large stage is released while nothing happens.
            self.answers.shrink_to(ROOM_KEPT);
        }
        Some(within)
    }

    /// When pending reports must be taken, if there are any.
    pub(crate) fn reports_at(&self) -> Option<Instant> {
        let waits = self.shared.mailbox.has_reports();
        waits.then(|| self.at(self.reports.again_at()))
    }

    /// The next observation.
    pub(crate) async fn observed(&mut self) -> Option<SessionObservation> {
        self.seen.recv().await
    }

    // Passing on.

    /// Passes all arrivals on, as far as there is room for them.
    pub(crate) fn bring_all(&mut self, decider: &mut Decider, stages: &[Option<StageRun>]) {
        let now = self.now();
        self.bring_answer(decider, stages, now);
        self.bring_lease(decider, now);
        if decider.has_room(Source::Shutdown) && self.shared.mailbox.take_shutdown() {
            self.bring(decider, Arrival::Shutdown, now, Vec::new);
        }
        if decider.has_room(Source::Command)
            && let Some((command, reply)) = self.shared.mailbox.take_command()
        {
            self.held.reply = Some(reply);
            self.bring(decider, Arrival::Command(command), now, Vec::new);
        }
        if decider.has_room(Source::Observation)
            && let Ok(seen) = self.seen.try_recv()
        {
            self.bring_observation(decider, seen, now);
        }
        self.bring_report(decider, now);
    }

    /// Passes on an arrival, for which there is room. `words` is called only if there is a hook.
    pub(crate) fn bring(
        &mut self,
        decider: &mut Decider,
        arrival: Arrival,
        at: Duration,
        words: impl FnOnce() -> Vec<Words>,
    ) {
        let has_room = decider.arrive(arrival);
        debug_assert!(has_room, "{arrival:?} is lost");
        if let Some(came) = &mut self.came {
            let words = words();
            came.push(Came { at, arrival, words });
        }
    }

    /// Whether the next answer is plain: without reports before it, and without a failure.
    ///
    /// Nearly all answers are, and there may be a hundred thousand.
    pub(crate) fn next_is_plain(&mut self) -> bool {
        if self.answers.is_empty() {
            self.shared.mailbox.take_answers(&mut self.answers);
        }
        let next = self.answers.front();
        matches!(
            next,
            Some(ComponentAnswer::Up(_) | ComponentAnswer::Gone(_, Some(_)))
        )
    }

    /// Passes on the next answer.
    pub(crate) fn bring_answer(
        &mut self,
        decider: &mut Decider,
        stages: &[Option<StageRun>],
        now: Duration,
    ) {
        if !decider.has_room(Source::Answer) {
            return;
        }
        if self.answers.is_empty() {
            self.shared.mailbox.take_answers(&mut self.answers);
        }
        let Some(answer) = self.answers.pop_front() else {
            return;
        };
        let (who, gone) = match answer {
            ComponentAnswer::Up(IncarnationId { component, epoch }) => {
                return self.bring(decider, Arrival::Up { component, epoch }, now, Vec::new);
            }
            // The component has never reported.
            ComponentAnswer::Gone(IncarnationId { component, epoch }, Some(how)) => {
                let ended = Ended {
                    component,
                    epoch,
                    how,
                    gone: true,
                    last_words: LastWords::NONE,
                };
                return self.bring(decider, Arrival::Ended(ended), now, Vec::new);
            }
            ComponentAnswer::Exited(who) => (who, false),
            ComponentAnswer::Gone(who, _) => (who, true),
        };
        let IncarnationId { component, epoch } = who;
        let stage = self.shared.plan.layout().stage_of(component);
        // Reports of an earlier epoch are stale.
        let stage = stage
            .and_then(|stage| stages[stage].as_ref())
            .filter(|stage| stage.epoch == epoch);
        let run = stage.map(|stage| stage.of(component));
        let said = run.into_iter().flat_map(|run| run.take_reports());
        let words = self
            .reports
            .last_words(component, epoch, said.map(Batch::split));
        let Ending { how, failure } = run.map_or(Ending::UNKNOWN, |run| run.take_ending());
        let texts = if self.came.is_some() {
            let failure = failure.iter();
            let said = words.iter().flatten().map(|(_, said)| &said.first);
            failure.chain(said).cloned().map(Words::Failure).collect()
        } else {
            Vec::new()
        };
        let incarnation = stage.map(|stage| stage.incarnation(component));
        self.held.failure = failure.zip(incarnation);
        let reported = words.iter().flatten().map(|(reported, _)| *reported);
        let last_words = reported.collect();
        for (place, word) in words.into_iter().enumerate() {
            if let Some((_, said)) = word {
                self.held.last_words[place] = Some(said);
            }
        }
        let ended = Ended {
            component,
            epoch,
            how,
            gone,
            last_words,
        };
        self.bring(decider, Arrival::Ended(ended), now, || texts);
    }

    /// Passes on a renewed lease, even if an earlier one waits, because the later one replaces it.
    fn bring_lease(&mut self, decider: &mut Decider, now: Duration) {
        let Some(RenewedLease {
            epoch,
            sent,
            expires,
        }) = self.shared.mailbox.take_lease()
        else {
            return;
        };
        // Read first: if the process is stopped here, the lease must not seem to last longer.
        let here = std::time::Instant::now();
        let remaining = expires.saturating_duration_since(Instant::now());
        self.held.lease = Some(here + remaining);
        self.held.renewal_sent = Some(sent);
        let expires = self.since_the_begin(expires);
        let renewed = Arrival::Renewed(Renewed { epoch, expires });
        self.bring(decider, renewed, now, Vec::new);
    }

    pub(crate) fn bring_observation(
        &mut self,
        decider: &mut Decider,
        seen: SessionObservation,
        now: Duration,
    ) {
        let SessionObservation {
            session,
            at,
            round,
            observation,
        } = seen;
        let what = match observation {
            Observation::Alive { .. } => driver::Seen::Alive,
            Observation::Failing { fatal, .. } => driver::Seen::Failing { fatal },
        };
        let observed = Observed {
            session,
            round,
            at: self.since_the_begin(at),
            seen: what,
        };
        let words = || {
            let (Observation::Alive { evidence: text } | Observation::Failing { reason: text, .. }) =
                &observation;
            vec![Words::Text((&**text).into())]
        };
        self.bring(decider, Arrival::Observed(observed), now, words);
        self.held.observation = Some(observation);
    }

    /// Passes on reports. In a storm they are taken together, and reports in between are combined where they are sent.
    fn bring_report(&mut self, decider: &mut Decider, now: Duration) {
        let mailbox = &self.shared.mailbox;
        if mailbox.has_reports() {
            let urgent = decider.reports_are_urgent() && mailbox.has_present_reports();
            if self.reports.may_gather(urgent, now) {
                let sources = mailbox.take_reports();
                let batches = sources.iter().flat_map(|source| source.take());
                self.reports.gather(batches.map(Batch::split), now);
            }
        }
        if decider.has_room(Source::Report)
            && let Some((reported, said)) = self.reports.take()
        {
            let first = || vec![Words::Failure(Arc::clone(&said.first))];
            self.bring(decider, Arrival::Reported(reported), now, first);
            self.held.report = Some(said);
        }
    }
}
