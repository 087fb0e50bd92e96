//! What is there to be taken, and in which order.
//!
//! Component answers and lease renewals, timers that are due, commands, observations, reports.
//! Answers come first because an answer that is already there must not lose against its own
//! deadline; for the same reason an observation that is already there goes before the silence timer.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::{A_FEW, Detail, Event, RETURNED, Supervisor};
use crate::machine::{Class, How, Input, Phase, Timer};
use crate::shell::Observation;
use crate::shell::incarnation::Ending;
use crate::shell::mailbox::{Answer, Command, Lease, ROOM_KEPT, Who};
use crate::shell::observe::Observed;
use crate::shell::service_watch::{ServiceWatch, Silent};
use crate::shell::stage::StageRun;
use crate::shell::trace::News;

/// How long an answer of a crowd waits at most, so that status pages are true.
const ANSWER_PACE: Duration = Duration::from_millis(10);
/// How soon reports are taken again.
const REPORT_PACE: Duration = Duration::from_millis(10);

impl Supervisor {
    pub(super) async fn next(&mut self) -> Event {
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
            self.tell_shadow_of_time();
            if let Some(event) = self.look_at_service().or_else(|| self.waiting()) {
                return event;
            }
            // Of a crowd that is awaited, one more that is up or gone decides nothing: half of them
            // are waited for, then half of the rest, down to the last one.
            let awaited = self.machine.awaited() as usize;
            self.crowd = awaited > A_FEW || (self.crowd && awaited > 0);
            let wake_at = if self.crowd { awaited.div_ceil(2) } else { 1 };
            let many = wake_at > 1;
            if !self.shared.mailbox.await_answers(wake_at) {
                continue;
            }
            if !many {
                // What a large stage needed is not held while nothing happens.
                self.answers.shrink_to(ROOM_KEPT);
            }
            let asleep_since = Instant::now();
            tokio::select! {
                biased;
                () = self.shared.mailbox.woken() => {}
                () = self.timers.wait() => {}
                () = sleep(ANSWER_PACE), if many => {}
                () = wait_for_shadow(&self.observed) => {}
                () = sleep_until(self.reports_due), if self.shared.mailbox.has_reports() => {}
                () = wait_until(text_due) => {}
                () = wait_until(self.service.as_ref().map(ServiceWatch::look_at)) => {}
                Some(seen) = self.seen.recv(), if self.observation.is_none() => self.observation = Some(seen),
            }
            self.excuse(asleep_since);
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

    /// The next answer that is there already, if it is one without a story: no reports before it, no
    /// failure with it, and it is its turn. Nearly all are, and there may be a hundred thousand.
    pub(super) fn plain_answer(&mut self) -> Option<Input> {
        if self.last_words.is_some() || self.shared.is_abandoned() {
            return None;
        }
        if self.answers.is_empty() {
            self.shared.mailbox.take_answers(&mut self.answers);
        }
        let answer = *self.answers.front()?;
        let input = match answer {
            Answer::Up(Who { component, epoch }) => Input::Up { component, epoch },
            Answer::Gone(Who { component, epoch }, Some(how)) if self.reports.is_empty() => {
                Input::Gone {
                    component,
                    epoch,
                    how,
                }
            }
            Answer::Exited(_) | Answer::Gone(..) => return None,
        };
        self.answers.pop_front();
        Some(input)
    }

    fn answered(&mut self) -> Option<Event> {
        if let Some(last) = self.last_words.take() {
            // What it reported before it ended counts, and would be stale afterwards.
            if let Some(report) = self.next_batch() {
                self.last_words = Some(last);
                return Some(report);
            }
            return Some(self.told(last));
        }
        if self.answers.is_empty() {
            self.shared.mailbox.take_answers(&mut self.answers);
        }
        let Some(answer) = self.answers.pop_front() else {
            let Lease { epoch, expires, .. } = self.shared.mailbox.take_lease()?;
            // Read first: if the process stands still here, the lease does not last longer for that.
            let now = std::time::Instant::now();
            let remaining = expires.saturating_duration_since(Instant::now());
            self.lease_due = Some(now + remaining);
            return Some(Input::LeaseRenewed { epoch, remaining }.into());
        };
        if let Answer::Exited(who) | Answer::Gone(who, _) = answer
            && let Some(stage) = self.stage_run(who)
        {
            let run = stage.of(who.component);
            // Once: one that goes on reporting must not hold back that it has ended.
            let said = run.take_reports();
            let unasked = stage.told().is_none();
            let how = run.how();
            let waiting = self.reports.len();
            self.reports.extend(said);
            let said = self.reports.iter().skip(waiting);
            let gravest = said.map(|batch| batch.class).max();
            if !self.reports.is_empty() {
                // A report that trips makes of the end an answer to a stop, whose class nobody asks
                // for. So where the end was unasked and is the graver of the two, it is told first.
                let end_first = unasked && gravest < Some(how.class());
                let exited = end_first.then(|| self.told(Answer::Exited(who)));
                if exited.is_none() || matches!(answer, Answer::Gone(..)) {
                    self.last_words = Some(answer);
                }
                return exited.or_else(|| self.answered());
            }
        }
        Some(self.told(answer))
    }

    /// The stage of the incarnation that answers. `None` if that is over: what it says is stale.
    fn stage_run(&self, who: Who) -> Option<&StageRun> {
        let stage = self.stage_of(who.component)?;
        (stage.epoch == who.epoch).then_some(stage)
    }

    /// What an answer tells.
    fn told(&self, answer: Answer) -> Event {
        let (who, gone) = match answer {
            Answer::Up(Who { component, epoch }) => return Input::Up { component, epoch }.into(),
            Answer::Exited(who) => (who, false),
            Answer::Gone(who, _) => (who, true),
        };
        let Who { component, epoch } = who;
        let stage = self.stage_run(who);
        let ending = stage.map(|stage| stage.of(component).take_ending());
        let Ending { how, failure } = ending.unwrap_or(Ending::UNKNOWN);
        let input = if gone {
            Input::Gone {
                component,
                epoch,
                how,
            }
        } else {
            Input::Exited {
                component,
                epoch,
                how,
            }
        };
        let name = self.shared.name(component);
        let detail = match (&failure, how) {
            (Some(told), _) => Detail::Told(Arc::clone(told)),
            (None, How::Returned) => Detail::Plain(RETURNED),
            (None, _) => Detail::Nothing,
        };
        let news = failure.as_ref().map(|told| News::ComponentFailed {
            name: Arc::clone(name),
            told: Arc::clone(told),
            stopping: stage.is_some_and(|stage| stage.told().is_some()),
        });
        let fatal = failure.filter(|told| told.class() == Class::Fatal);
        Event {
            input,
            detail,
            fatal: fatal.map(|told| (Some(Arc::clone(name)), told)),
            news,
        }
    }

    fn end_if_hook_panicked(&self) {
        if self.log.hook_panicked()
            && let Some(panic) = self.log.take_hook_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }

    fn due(&mut self) -> Option<Event> {
        let (at, timer) = self.timers.due()?;
        if timer == Timer::Silence && self.was_heard(at, self.machine.phase()) {
            return self.observation();
        }
        if timer == Timer::Silence && self.observed.is_none() {
            match self.why_silent(at) {
                Silent::Polled => {}
                Silent::Frozen => {
                    let limit = self.shared.plan.policy().silence_limit();
                    self.timers.postpone(Timer::Silence, limit);
                    return Some(Input::Frozen.into());
                }
                Silent::Thawed(stuck_for) => {
                    self.timers.postpone(Timer::Silence, stuck_for);
                    // A clean run has no gap, whatever it comes from.
                    let voids = self.machine.phase() == Phase::Monitoring;
                    return voids.then(|| Input::Frozen.into());
                }
            }
        }
        self.timers.disarm(timer);
        // In observe-only the real machine hears nothing of the dependency: its silence means nothing.
        let detail = if timer == Timer::Silence && self.observed.is_none() {
            Detail::Silence
        } else {
            Detail::Nothing
        };
        Some(Event {
            detail,
            ..Input::Fired(timer).into()
        })
    }

    /// Whether an observation waits that goes before a silence which is due. In Monitoring a clean
    /// run has no gap, so there it must have been made in time; elsewhere any sign of life will do.
    pub(super) fn was_heard(&mut self, due: Instant, phase: Phase) -> bool {
        if self.observation.is_none() {
            self.observation = self.seen.try_recv().ok();
        }
        let limit = self.shared.plan.policy().silence_limit();
        self.observation.as_ref().is_some_and(|seen| {
            let in_time = phase != Phase::Monitoring || seen.at <= due;
            in_time && seen.at.elapsed() < limit
        })
    }

    fn commanded(&mut self) -> Option<Event> {
        if self.shared.mailbox.take_shutdown() {
            return Some(Input::Shutdown.into());
        }
        let input = match self.shared.mailbox.take_command()? {
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
        let (session, round) = (seen.session, seen.round);
        let current = match &self.observed {
            Some(observed) => observed.session(),
            None => self.machine.session(),
        };
        let current = current == Some(session);
        let input = match &seen.observation {
            // What was seen so long ago is no sign of life any more.
            Observation::Alive { .. }
                if seen.at.elapsed() >= self.shared.plan.policy().silence_limit() =>
            {
                return None;
            }
            Observation::Alive { .. } => Input::Alive { session, round },
            &Observation::Failing { fatal, .. } => Input::Failing { session, fatal },
        };
        let detail = if current {
            Detail::Observed(seen.observation)
        } else {
            Detail::Nothing
        };
        Some(Event {
            detail,
            ..input.into()
        })
    }

    /// Reports; those of a storm come together, and what comes in between is coalesced where it is
    /// sent.
    fn reported(&mut self) -> Option<Event> {
        if self.shared.mailbox.has_reports() && self.may_take_reports() {
            let before = self.reports.len();
            for source in self.shared.mailbox.take_reports() {
                self.reports.extend(source.take());
            }
            if self.reports.len() > before {
                self.reports_due = Instant::now() + REPORT_PACE;
            }
            // Whoever it comes from, what is grave goes first.
            let waiting = self.reports.make_contiguous();
            waiting.sort_by_key(|batch| Reverse(batch.class));
        }
        self.next_batch()
    }

    /// Not too soon after the last ones; but what brings a trip nearer waits for nobody. There are no
    /// more of these than the threshold, and a timer would be late where components keep the workers
    /// busy.
    fn may_take_reports(&self) -> bool {
        let trips = |phase| matches!(phase, Phase::Running | Phase::Restarting);
        let observed = self.observed.as_ref().map(Observed::phase);
        let trips = trips(self.machine.phase()) && observed.is_none_or(trips);
        (trips && self.shared.mailbox.has_present_reports())
            || (self.reports.is_empty() && self.reports_due <= Instant::now())
    }

    fn next_batch(&mut self) -> Option<Event> {
        let batch = self.reports.front_mut()?;
        // What waited too long is told first, with the epoch before, to be counted as stale.
        let (epoch, waiting) = match batch.stale {
            0 => (batch.epoch, &mut batch.count),
            _ => (batch.epoch.wrapping_sub(1), &mut batch.stale),
        };
        let count = u32::try_from(*waiting).unwrap_or(u32::MAX);
        *waiting -= u64::from(count);
        let first = Arc::clone(&batch.first);
        let mut event = Event::from(Input::Report {
            component: batch.component,
            epoch,
            class: batch.class,
            count,
        });
        if batch.count == 0 {
            let batch = self.reports.pop_front()?;
            let name = batch.component.map(|id| Arc::clone(self.shared.name(id)));
            event.news = Some(News::Reported {
                name: name.clone(),
                class: batch.class,
                count,
                first: Arc::clone(&first),
                last: batch.last,
            });
            event.fatal = (batch.class == Class::Fatal).then_some((name, batch.first));
        }
        event.detail = Detail::Told(first);
        Some(event)
    }
}

async fn wait_until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

async fn wait_for_shadow(observed: &Option<Observed>) {
    match observed {
        Some(observed) => observed.timers.wait().await,
        None => std::future::pending().await,
    }
}
