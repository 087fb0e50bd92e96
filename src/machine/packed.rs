//! Packs a machine into a few bytes, because the explorer keeps millions of machines.

use super::core::Ledger;
use super::{AfterStop, ComponentState, HaltReason, Machine, Record, RunOutcome, State, StopStep};
use crate::pack::{Packer, Unpacker};
use crate::policy::Blame;

impl Machine {
    /// Writes everything in which two normalized machines of one plan can differ.
    pub(crate) fn pack(&self, to: &mut Packer<'_>) {
        let core = &self.core;
        let (kind, first, second) = match self.state {
            State::Running { suspicion } => (0, suspicion, 0),
            State::ShuttingDown { stage, step, then } => {
                (1, stage.into(), step as u32 * 8 + code(then))
            }
            State::Monitoring { evidence, done } => (2, evidence, done.into()),
            State::Restarting { stage, waiting } => (3, stage.into(), waiting),
            State::Drained => (4, 0, 0),
            State::Ended(RunOutcome::Stopped) => (5, code(AfterStop::Stop), 0),
            State::Ended(RunOutcome::Halted(why)) => (5, code(AfterStop::Halt(why)), 0),
        };
        to.count(kind);
        to.count(first);
        to.count(second);
        to.flags([
            core.session_open,
            core.outage_open,
            core.blame == Blame::Dependency,
            !core.outage_open && !core.ledger.record.is_empty(),
        ]);
        to.count(core.level);
        to.count(core.failed_starts);
        to.count(core.armed.into());
        for slot in &core.slots {
            to.count(*slot as u32);
        }
    }

    /// Restores a packed machine. The plan must be the same.
    pub(crate) fn unpack(&mut self, from: &mut Unpacker<'_>) {
        let (kind, first, second) = (from.count(), from.count(), from.count());
        self.state = match kind {
            0 => State::Running { suspicion: first },
            1 => State::ShuttingDown {
                stage: first as u16,
                step: [StopStep::Delaying, StopStep::Stopping, StopStep::Aborting]
                    [(second / 8) as usize],
                then: decode(second % 8),
            },
            2 => State::Monitoring {
                evidence: first,
                done: second == 1,
            },
            3 => State::Restarting {
                stage: first as u16,
                waiting: second,
            },
            4 => State::Drained,
            _ => State::Ended(match decode(first) {
                AfterStop::Halt(why) => RunOutcome::Halted(why),
                _ => RunOutcome::Stopped,
            }),
        };
        let core = &mut self.core;
        (core.epoch, core.session, core.round, core.outage) = (1, 1, 1, 1);
        let [session_open, outage_open, dependency, told] = from.flags();
        core.session_open = session_open;
        core.outage_open = outage_open;
        core.blame = if dependency {
            Blame::Dependency
        } else {
            Blame::Component
        };
        core.ledger = Ledger {
            record: Record {
                reports: told.into(),
                ..Record::default()
            },
            hold_offs: 0,
        };
        core.level = from.count();
        core.failed_starts = from.count();
        core.armed = from.byte();
        for slot in &mut core.slots {
            *slot = ComponentState::ALL[from.byte() as usize];
        }
        core.recount();
    }
}

/// What follows a stop, as a number below 8.
pub(crate) fn code(then: AfterStop) -> u32 {
    match then {
        AfterStop::Monitor => 0,
        AfterStop::Drain => 1,
        AfterStop::Stop => 2,
        AfterStop::Halt(HaltReason::GaveUp) => 3,
        AfterStop::Halt(HaltReason::Fatal) => 4,
        AfterStop::Halt(HaltReason::Wedged) => 5,
    }
}

pub(crate) fn decode(code: u32) -> AfterStop {
    match code {
        0 => AfterStop::Monitor,
        1 => AfterStop::Drain,
        2 => AfterStop::Stop,
        3 => AfterStop::Halt(HaltReason::GaveUp),
        4 => AfterStop::Halt(HaltReason::Fatal),
        _ => AfterStop::Halt(HaltReason::Wedged),
    }
}
