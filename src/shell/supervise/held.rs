//! Texts and errors that belong to inputs in the decider.
//!
//! The decider does not need them. They are published when the machine gets the input that they belong to.

use std::sync::Arc;

use tokio::time::Instant;

use super::step_text::{Detail, RETURNED, StepText};
use crate::driver::{Source, Tell};
use crate::machine::{Exit, FailureClass, Input, Timer};
use crate::shell::component::Incarnation;
use crate::shell::failure::ReportedFailure;
use crate::shell::inbound::{CommandOutcome, CommandReply, ReportTexts};
use crate::shell::probe::Observation;
use crate::shell::publish::trace::Incident;
use crate::shell::run_state::RunState;

pub(crate) struct Held {
    shared: Arc<RunState>,
    /// The failure of a component, and its incarnation.
    pub(crate) failure: Option<(Arc<ReportedFailure>, Incarnation)>,
    /// The last reports of a component that has ended, by class.
    pub(crate) last_words: [Option<ReportTexts>; 4],
    pub(crate) observation: Option<Observation>,
    pub(crate) report: Option<ReportTexts>,
    /// Where the answer to the command goes.
    pub(crate) reply: Option<CommandReply>,
    /// Until when the last renewed lease is valid, on the watchdog's clock.
    pub(crate) lease: Option<std::time::Instant>,
    /// When the last renewal was sent.
    pub(crate) renewal_sent: Option<Instant>,
}

impl Held {
    pub(crate) fn new(shared: Arc<RunState>) -> Self {
        Self {
            shared,
            failure: None,
            last_words: [const { None }; 4],
            observation: None,
            report: None,
            reply: None,
            lease: None,
            renewal_sent: None,
        }
    }

    /// The texts that belong to an input of the machine.
    pub(crate) fn event(&mut self, tell: &Tell) -> StepText {
        match tell.source {
            Source::Answer => self.answered(tell.input),
            Source::LastWords(class) => {
                let said = self.last_words[class as usize].take();
                let (event, said) = self.reported(tell, said);
                self.last_words[class as usize] = said;
                event
            }
            Source::Report => {
                let said = self.report.take();
                let (event, said) = self.reported(tell, said);
                self.report = said;
                event
            }
            Source::Observation => StepText {
                detail: match self.observation.take() {
                    Some(observation) => Detail::Observed(observation),
                    None => Detail::Nothing,
                },
                ..StepText::default()
            },
            Source::Timer if tell.input == Input::Fired(Timer::Silence) => StepText {
                detail: Detail::Silence,
                ..StepText::default()
            },
            _ => StepText::default(),
        }
    }

    /// Answers a command that the machine has got.
    pub(crate) fn answer_command(&mut self, source: Source, changed: bool) {
        if source != Source::Command {
            return;
        }
        if let Some(reply) = self.reply.take() {
            reply.answer(match changed {
                true => CommandOutcome::Accepted,
                false => CommandOutcome::NoEffect,
            });
        }
    }

    /// Drops the texts of this source.
    pub(crate) fn forget(&mut self, source: Source) {
        match source {
            Source::Observation => self.observation = None,
            Source::Answer => self.failure = None,
            _ => {}
        }
    }

    fn answered(&mut self, input: Input) -> StepText {
        let (component, how) = match input {
            Input::Exited { component, how, .. } | Input::Gone { component, how, .. } => {
                (component, how)
            }
            _ => return StepText::default(),
        };
        let failure = self.failure.take();
        let detail = match (&failure, how) {
            (Some((told, _)), _) => Detail::Failure(Arc::clone(told)),
            (None, Exit::Returned) => Detail::Plain(RETURNED),
            (None, _) => Detail::Nothing,
        };
        let name = self.shared.name(component);
        let incident = failure
            .as_ref()
            .map(|(told, incarnation)| Incident::ComponentFailed {
                name: Arc::clone(name),
                told: Arc::clone(told),
                stopping: incarnation.stage().told().is_some(),
            });
        // Of a component that was aborted it is only what it said.
        let is_fatal = how.class() == FailureClass::Fatal;
        let fatal = failure.filter(|(told, _)| is_fatal && told.class() == FailureClass::Fatal);
        StepText {
            detail,
            fatal: fatal.map(|(told, _)| (Some(Arc::clone(name)), told)),
            incident,
        }
    }

    /// The texts of a report, and what is left until all its inputs were passed to the machine.
    fn reported(&self, tell: &Tell, said: Option<ReportTexts>) -> (StepText, Option<ReportTexts>) {
        let mut event = StepText::default();
        let Some(said) = said else {
            return (event, None);
        };
        event.detail = Detail::Failure(Arc::clone(&said.first));
        let Input::Report { class, count, .. } = tell.input else {
            return (event, Some(said));
        };
        if !tell.is_all {
            return (event, Some(said));
        }
        // In a dry run the machine gets no component.
        let name = said.component.map(|id| Arc::clone(self.shared.name(id)));
        event.fatal =
            (class == FailureClass::Fatal).then(|| (name.clone(), Arc::clone(&said.first)));
        event.incident = Some(Incident::Reported {
            name,
            class,
            count,
            first: said.first,
            last: said.last,
        });
        (event, None)
    }
}
