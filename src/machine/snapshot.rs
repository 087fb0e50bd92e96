//! A machine as plain data, and back.

use core::fmt;
use std::sync::Arc;

use super::core::{Core, Ledger};
use super::{
    AfterStop, ComponentState, HaltReason, Machine, Phase, Record, State, StopStep, Timer,
};
use crate::policy::{Blame, Plan};

/// All that a machine knows, as plain data: to write down, to make up for a test, and to
/// [resume](Machine::resume) from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(
    clippy::exhaustive_structs,
    reason = "made to be written by hand, field by field"
)]
pub struct Snapshot {
    /// Where it is.
    pub state: State,
    /// The current or last epoch.
    pub epoch: u64,
    /// The current or last session.
    pub session: u64,
    /// Whether that session is open.
    pub session_open: bool,
    /// The last round of observations that was asked for; 0 if none was.
    pub round: u64,
    /// The last outage.
    pub outage: u64,
    /// Whether that outage is open.
    pub outage_open: bool,
    /// How often it relapsed lately.
    pub level: u32,
    /// Who is to blame.
    pub blame: Blame,
    /// Failed starts in a row; 0 unless the policy gives up after some number of them.
    pub failed_starts: u32,
    /// The armed timers, in the order of [`Timer::ALL`]. When they are due is the shell's to know.
    pub armed: Vec<Timer>,
    /// What each component is doing.
    pub slots: Vec<ComponentState>,
    /// What was counted since the last record was closed.
    pub record: Record,
    /// The number of hold-offs begun: it decides the next jitter.
    pub hold_offs: u64,
}

/// The largest number that a snapshot may give for what only grows, so that no run overflows it.
const LARGEST_COUNT: u64 = u64::MAX / 2;

/// Why a snapshot is not one that a machine of this plan could be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SnapshotError(&'static str);

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no machine of this plan can be there: {}", self.0)
    }
}

impl core::error::Error for SnapshotError {}

impl Machine {
    /// All that it knows, as plain data.
    pub fn snapshot(&self) -> Snapshot {
        let core = &self.core;
        Snapshot {
            state: self.state,
            epoch: core.epoch,
            session: core.session,
            session_open: core.session_open,
            round: core.round,
            outage: core.outage,
            outage_open: core.outage_open,
            level: core.level,
            blame: core.blame,
            failed_starts: core.failed_starts,
            armed: Timer::ALL
                .into_iter()
                .filter(|&timer| core.is_armed(timer))
                .collect(),
            slots: core.slots.clone(),
            record: core.ledger.record,
            hold_offs: core.ledger.hold_offs,
        }
    }

    /// A machine that goes on from a snapshot. It asks for no effects: whoever resumes it re-arms
    /// the timers, reopens the session that the snapshot names and asks for its round.
    ///
    /// # Errors
    ///
    /// A snapshot that contradicts itself or the plan.
    pub fn resume(plan: impl Into<Arc<Plan>>, snapshot: Snapshot) -> Result<Self, SnapshotError> {
        let mut core = Core::new(plan.into());
        if snapshot.slots.len() != core.slots.len() {
            return Err(SnapshotError(
                "`slots` must name each component of the layout",
            ));
        }
        core.epoch = snapshot.epoch;
        core.session = snapshot.session;
        core.session_open = snapshot.session_open;
        core.round = snapshot.round;
        core.outage = snapshot.outage;
        core.outage_open = snapshot.outage_open;
        core.level = snapshot.level;
        core.blame = snapshot.blame;
        core.failed_starts = snapshot.failed_starts;
        core.armed = snapshot
            .armed
            .iter()
            .fold(0, |armed, timer| armed | (1 << timer.index()));
        core.slots = snapshot.slots;
        core.ledger = Ledger {
            record: snapshot.record,
            hold_offs: snapshot.hold_offs,
        };
        core.recount();
        let machine = Self {
            state: snapshot.state,
            core,
        };
        match machine.contradiction() {
            None => Ok(machine),
            Some(what) => Err(SnapshotError(what)),
        }
    }

    /// What about this machine cannot be, if anything.
    fn contradiction(&self) -> Option<&'static str> {
        let core = &self.core;
        let policy = core.policy();
        let limit = policy.give_up_after().unwrap_or(1);
        let record = &core.ledger.record;
        let counts = [
            core.epoch,
            core.session,
            core.round,
            core.outage,
            core.ledger.hold_offs,
            record.reports,
            record.stale_reports,
            record.failed_starts,
        ];
        let room = counts.into_iter().all(|count| count <= LARGEST_COUNT);
        let checks = [
            (room, "a number that only grows has no room to grow"),
            (
                core.level <= policy.tuning().max_level(),
                "`level` is above the highest",
            ),
            (
                core.failed_starts < limit || self.phase().is_ended() || self.is_giving_up(),
                "`failed_starts` is at the limit",
            ),
            (self.slots_fit(), "`slots` do not fit the state"),
            (self.timers_fit(), "`armed` does not fit the state"),
            (
                self.details_fit(),
                "a number in `state` is out of its range",
            ),
            (
                core.session_open == self.wants_session().unwrap_or(core.session_open),
                "`session_open` does not fit the state",
            ),
            (
                !core.session_open || core.session > 0,
                "an open session has a number above 0",
            ),
            (
                self.phase() != Phase::Running || !core.outage_open,
                "an outage ends when Running is reached",
            ),
        ];
        checks
            .into_iter()
            .find_map(|(holds, what)| (!holds).then_some(what))
    }

    fn is_giving_up(&self) -> bool {
        matches!(
            self.state,
            State::ShuttingDown {
                then: AfterStop::Halt(_),
                ..
            }
        )
    }

    /// Whether the state wants a session to be open; `None` where both can be.
    fn wants_session(&self) -> Option<bool> {
        match self.state {
            State::Running { .. } | State::Monitoring { .. } | State::Restarting { .. } => {
                Some(true)
            }
            State::ShuttingDown {
                step: StopStep::Delaying,
                ..
            }
            | State::Drained
            | State::Ended(_) => Some(false),
            State::ShuttingDown { .. } => None,
        }
    }

    fn slots_fit(&self) -> bool {
        let core = &self.core;
        let layout = core.plan.layout();
        let all = |range: core::ops::Range<usize>, allowed: &[ComponentState]| {
            range
                .flat_map(|stage| layout.stage(stage))
                .all(|id| allowed.contains(&core.slots[id as usize]))
        };
        let stages = layout.stages();
        match self.state {
            State::Running { .. } => all(0..stages, &[ComponentState::Up]),
            State::Monitoring { .. } | State::Drained => all(0..stages, &[ComponentState::Down]),
            State::Ended(super::RunOutcome::Halted(HaltReason::Wedged)) => {
                core.wedged() > 0 && all(0..stages, &[ComponentState::Down, ComponentState::Wedged])
            }
            State::Ended(_) => all(0..stages, &[ComponentState::Down]),
            State::Restarting { stage, waiting } => {
                let stage = usize::from(stage);
                let starting = layout
                    .stage(stage)
                    .filter(|&id| core.slots[id as usize] == ComponentState::Starting)
                    .count();
                // In a stage that does not exist none is starting.
                waiting > 0
                    && starting == waiting as usize
                    && all(0..stage, &[ComponentState::Up])
                    && all(
                        stage..stage + 1,
                        &[ComponentState::Starting, ComponentState::Up],
                    )
                    && all(stage + 1..stages, &[ComponentState::Down])
            }
            State::ShuttingDown { stage, step, .. } => {
                let stage = usize::from(stage);
                let here = match step {
                    StopStep::Delaying => ComponentState::Up,
                    StopStep::Stopping => ComponentState::Stopping,
                    StopStep::Aborting => ComponentState::Aborting,
                };
                stage < stages
                    && core.live_in(stage as u16) > 0
                    && all(0..stage, &[ComponentState::Down, ComponentState::Up])
                    && all(stage..stage + 1, &[ComponentState::Down, here])
                    && all(
                        stage + 1..stages,
                        &[ComponentState::Down, ComponentState::Wedged],
                    )
            }
        }
    }

    fn timers_fit(&self) -> bool {
        let core = &self.core;
        let fenced = core
            .plan
            .layout()
            .lease_owner()
            .is_some_and(|owner| core.slot(owner) != ComponentState::Down);
        let wanted = |timer: Timer| match (timer, self.state) {
            (Timer::Stage, State::ShuttingDown { .. } | State::Restarting { .. }) => true,
            (Timer::HoldOff, State::Monitoring { evidence, done }) => evidence > 0 && !done,
            (Timer::Silence, _) => core.session_open,
            (Timer::Decay, State::Running { suspicion }) => suspicion > 0,
            (Timer::Stable, State::Running { .. }) => core.level > 0,
            (Timer::Fence, State::Running { .. } | State::Restarting { .. }) => fenced,
            _ => false,
        };
        Timer::ALL
            .into_iter()
            .all(|timer| core.is_armed(timer) == wanted(timer))
    }

    fn details_fit(&self) -> bool {
        let policy = self.core.policy();
        match self.state {
            State::Running { suspicion } => suspicion < policy.trip_threshold(),
            State::Monitoring { evidence, done } => {
                evidence <= policy.needed_evidence(self.core.level, self.core.blame)
                    && (!done || evidence > 0)
            }
            // Wedged is what a stop turns out to be, and nothing that it is meant for.
            State::ShuttingDown { then, .. } => then != AfterStop::Halt(HaltReason::Wedged),
            _ => true,
        }
    }
}
