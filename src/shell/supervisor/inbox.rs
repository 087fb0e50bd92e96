//! What is there to be taken, and in which order.
//!
//! Component answers and lease renewals, timers that are due, commands, observations, reports.
//! Answers come first because an answer that is already there must not lose against its own
//! deadline; for the same reason an observation that is already there goes before the silence timer.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Event, Supervisor};
use crate::machine::{Class, How, Input, Timer};
use crate::policy::ComponentId;
use crate::shell::incarnation::Incarnation;
use crate::shell::observe::Observed;
use crate::shell::shared::{Answer, Command};
use crate::shell::{Failure, Observation, trace};

impl Supervisor {
    pub(super) async fn next(&mut self) -> Event {
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
        // What waited too long is told first, with the epoch before, to be counted as stale.
        let (epoch, waiting) = match batch.stale {
            0 => (batch.epoch, &mut batch.count),
            _ => (batch.epoch.wrapping_sub(1), &mut batch.stale),
        };
        let count = u32::try_from(*waiting).unwrap_or(u32::MAX);
        *waiting -= u64::from(count);
        let first = batch.first.text();
        let mut event = Event::from(Input::Report {
            component: batch.component,
            epoch,
            class: batch.class,
            count,
        });
        if batch.count == 0 {
            let batch = self.reports.pop_front()?;
            let name = batch.component.map(|id| Arc::clone(self.shared.name(id)));
            let last = batch.last.as_ref().map(Failure::text);
            let class = batch.class.as_str();
            trace::reported(name.as_deref(), class, count, &first, last.as_deref());
            event.fatal = (batch.class == Class::Fatal).then_some((name, batch.first));
        }
        event.detail = Some(first.into());
        Some(event)
    }
}

/// What an ended component tells.
fn ended(incarnation: &Incarnation, input: impl FnOnce(ComponentId, u64, How) -> Input) -> Event {
    let ending = incarnation.take_ending();
    let detail = match (&ending.failure, ending.how) {
        (Some(failure), _) => Some(failure.text().into()),
        (None, How::Returned) => Some("it returned".into()),
        (None, _) => None,
    };
    if let Some(failure) = &ending.failure {
        let stopping = incarnation.signal.told().is_some();
        trace::component_failed(incarnation.name(), &failure.text(), stopping);
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
