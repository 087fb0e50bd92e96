//! Turns a machine into plain data, and back.

use core::fmt;
use std::sync::Arc;

use super::core::{Core, Ledger};
use super::{
    AfterStop, ComponentId, ComponentState, HaltReason, Machine, Phase, Record, State, StopStep,
    Timer,
};
use crate::policy::{Blame, Plan};

/// Everything that a machine knows, as plain data.
///
/// It can be stored, made up for a test, and [resumed](Machine::resume).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(
    clippy::exhaustive_structs,
    reason = "made to be written by hand, field by field"
)]
pub struct Snapshot {
    /// The state of the machine.
    pub state: State,
    /// The current or last epoch.
    pub epoch: u64,
    /// The current or last session.
    pub session: u64,
    /// Whether that session is open.
    pub session_open: bool,
    /// The last round of observations that was requested; 0 if none was.
    pub round: u64,
    /// The number of the last outage.
    pub outage: u64,
    /// Whether the last outage is still open.
    pub outage_open: bool,
    /// The level: how often the service relapsed lately.
    pub level: u32,
    /// What is at fault.
    pub blame: Blame,
    /// Failed starts in a row; 0 unless the policy gives up after some number of them.
    pub failed_starts: u32,
    /// The armed timers, in the order of [`Timer::ALL`]. Only the shell knows when they are due.
    pub armed: Vec<Timer>,
    /// The state of each component.
    pub component_states: Vec<ComponentState>,
    /// The counts since the last record was closed.
    pub record: Record,
    /// How many hold-offs have begun. This number determines the next jitter.
    pub hold_offs: u64,
}

/// The largest value that a snapshot may have for a number that only grows, so that no run overflows it.
const LARGEST_COUNT: u64 = u64::MAX / 2;

/// Why no machine of this plan can be in the state that a snapshot describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SnapshotError(&'static str);

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no machine of this plan can be there: {}", self.0)
    }
}

impl core::error::Error for SnapshotError {}

impl Machine {
    /// Returns everything that this machine knows, as plain data.
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
            component_states: core.slots.clone(),
            record: core.ledger.record,
            hold_offs: core.ledger.hold_offs,
        }
    }

    /// Creates a machine that continues from a snapshot.
    ///
    /// It requests no effects. The caller must re-arm the timers, reopen the session that the snapshot names, and
    /// request its round.
    ///
    /// # Errors
    ///
    /// If the snapshot contradicts itself or the plan.
    pub fn resume(plan: impl Into<Arc<Plan>>, snapshot: Snapshot) -> Result<Self, SnapshotError> {
        let mut core = Core::new(plan.into());
        if snapshot.component_states.len() != core.slots.len() {
            return Err(SnapshotError(
                "`component_states` must name each component of the layout",
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
        core.slots = snapshot.component_states;
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

    /// Why this machine is impossible, if it is.
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
            (self.slots_fit(), "`component_states` do not fit the state"),
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

    /// Whether a session must be open in this state; `None` if both are possible.
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
        let may_finish = |id: usize| layout.is_one_shot(ComponentId(id as u32));
        let finished = |slot: &ComponentState| *slot == ComponentState::Finished;
        let mut slots = core.slots.iter().enumerate();
        if slots.any(|(id, slot)| finished(slot) && !may_finish(id)) {
            return false;
        }
        let stages = layout.stages();
        match self.state {
            State::Running { .. } => {
                let ends = core.policy().end_when_finished() && core.slots.iter().all(finished);
                let is_over = ends && !core.slots.is_empty();
                !is_over && all(0..stages, &[ComponentState::Up, ComponentState::Finished])
            }
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
                // In a stage that does not exist, no component is starting.
                waiting > 0
                    && starting == waiting as usize
                    && all(0..stage, &[ComponentState::Up, ComponentState::Finished])
                    && all(
                        stage..stage + 1,
                        &[
                            ComponentState::Starting,
                            ComponentState::Up,
                            ComponentState::Finished,
                        ],
                    )
                    && all(stage + 1..stages, &[ComponentState::Down])
            }
            State::ShuttingDown { stage, step, .. } => {
                let stage = usize::from(stage);
                let here = match step {
                    // In the delay it may have finished, and is down.
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
            .is_some_and(|owner| core.component_state(owner) != ComponentState::Down);
        let wanted = |timer: Timer| match (timer, self.state) {
            (Timer::Stage, State::ShuttingDown { .. } | State::Restarting { .. }) => true,
            (Timer::HoldOff, State::Monitoring { evidence, done }) => evidence > 0 && !done,
            (Timer::Silence, _) => core.session_open,
            (Timer::Decay, State::Running { suspicion }) => suspicion > 0,
            (Timer::Stable, State::Running { .. }) => core.level > 0,
            (
                Timer::Fence,
                State::Running { .. }
                | State::Restarting { .. }
                | State::ShuttingDown {
                    step: StopStep::Delaying,
                    ..
                },
            ) => fenced,
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
            // A stop can end as wedged, but it never has that as its goal.
            State::ShuttingDown { then, .. } => then != AfterStop::Halt(HaltReason::Wedged),
            _ => true,
        }
    }
}
