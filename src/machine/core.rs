//! The data that all states share: components, session, timers and level.

use core::hash::{Hash, Hasher};
use core::time::Duration;
use std::sync::Arc;

use super::{
    Cause, ComponentId, Effect, FailureClass, Hops, IgnoreReason, Input, Phase, Record, State,
    Timer, Transition, any_command,
};
use crate::policy::{Blame, Plan, Policy};

/// The state of a component, as far as the machine knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ComponentState {
    /// Not started, or confirmed gone.
    Down,
    /// Asked to start.
    Starting,
    /// Reported that it is up.
    Up,
    /// Asked to stop.
    Stopping,
    /// Aborted.
    Aborting,
    /// Not gone within the abort deadline.
    Wedged,
    /// Returned without an error, [as it may](crate::policy::Layout::with_one_shot), and is gone.
    Finished,
}

impl ComponentState {
    /// All states, from `Down` to `Finished`.
    pub const ALL: [Self; 7] = [
        Self::Down,
        Self::Starting,
        Self::Up,
        Self::Stopping,
        Self::Aborting,
        Self::Wedged,
        Self::Finished,
    ];
}

/// The data that all states share.
///
/// Equality and hash leave out the ledger: counts that only grow, and the number of the next jitter. The hash also
/// leaves out the plan, which never changes.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) plan: Arc<Plan>,
    pub(super) epoch: u64,
    pub(super) session: u64,
    pub(super) session_open: bool,
    /// How often one more observation was requested.
    pub(super) round: u64,
    pub(super) outage: u64,
    pub(super) outage_open: bool,
    pub(super) level: u32,
    pub(super) blame: Blame,
    /// Failed starts in a row; counted only if the policy gives up after some number of them.
    pub(super) failed_starts: u32,
    /// One bit per timer.
    pub(super) armed: u8,
    pub(super) slots: Vec<ComponentState>,
    /// Per stage: how many components are neither down nor finished nor wedged. Derived from `slots`.
    pub(super) live: Vec<u32>,
    /// How many components are wedged. Derived from `slots`.
    pub(super) wedged: u32,
    pub(super) ledger: Ledger,
}

/// Counters that only grow. No decision depends on them except the jitter, a pure function of seed and number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ledger {
    pub(super) record: Record,
    pub(super) hold_offs: u64,
}

impl Clone for Core {
    fn clone(&self) -> Self {
        Self {
            plan: Arc::clone(&self.plan),
            slots: self.slots.clone(),
            live: self.live.clone(),
            ..*self
        }
    }

    /// Allocates nothing when there is room: the explorer calls this for every edge.
    fn clone_from(&mut self, source: &Self) {
        if !Arc::ptr_eq(&self.plan, &source.plan) {
            self.plan = Arc::clone(&source.plan);
        }
        self.slots.clone_from(&source.slots);
        self.live.clone_from(&source.live);
        *self = Self {
            plan: Arc::clone(&self.plan),
            slots: core::mem::take(&mut self.slots),
            live: core::mem::take(&mut self.live),
            ..*source
        };
    }
}

impl PartialEq for Core {
    fn eq(&self, other: &Self) -> bool {
        (self.epoch, self.session, self.session_open, self.round)
            == (other.epoch, other.session, other.session_open, other.round)
            && (self.outage, self.outage_open) == (other.outage, other.outage_open)
            && (self.level, self.blame, self.failed_starts, self.armed)
                == (other.level, other.blame, other.failed_starts, other.armed)
            && self.slots == other.slots
            && self.plan == other.plan
    }
}

impl Eq for Core {}

impl Hash for Core {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.epoch, self.session, self.session_open, self.round).hash(hasher);
        (self.outage, self.outage_open).hash(hasher);
        (self.level, self.blame, self.failed_starts, self.armed).hash(hasher);
        self.slots.hash(hasher);
    }
}

/// The results of one input: its effects, and the hops so far.
pub(super) struct Cx<'a> {
    effects: &'a mut Vec<Effect>,
    from: State,
    hops: Hops,
    /// The state of a component that ended, before it did.
    pub(super) was: ComponentState,
}

impl<'a> Cx<'a> {
    pub(super) fn new(effects: &'a mut Vec<Effect>, from: State, was: ComponentState) -> Self {
        Self {
            effects,
            from,
            hops: Hops::default(),
            was,
        }
    }

    pub(super) fn emit(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Records a hop, including one through a state that has nothing to wait for.
    pub(super) fn hop(&mut self, to: Phase, cause: Cause, epoch: u64) {
        self.hops.push(Transition {
            from: self.phase(),
            to,
            cause,
            epoch,
        });
    }

    /// The phase of the machine after the hops so far.
    pub(super) fn phase(&self) -> Phase {
        self.hops
            .last()
            .map_or_else(|| self.from.phase(), |hop| hop.to)
    }

    pub(super) fn into_hops(self) -> Hops {
        self.hops
    }
}

impl Core {
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        let layout = plan.layout();
        Self {
            epoch: 0,
            session: 0,
            session_open: false,
            round: 0,
            outage: 0,
            outage_open: false,
            level: 0,
            blame: Blame::Component,
            failed_starts: 0,
            armed: 0,
            slots: vec![ComponentState::Down; layout.components()],
            live: vec![0; layout.stages()],
            wedged: 0,
            ledger: Ledger::default(),
            plan,
        }
    }

    /// See [`Checked::normalize`](crate::law::Checked::normalize).
    pub(super) fn normalize(&mut self) {
        self.epoch = 1;
        self.session = 1;
        self.round = 1;
        self.outage = 1;
        self.ledger.hold_offs = 0;
        self.ledger.record = self.ledger.record.relative(self.outage_open);
    }

    /// Derives the counts from the slots, after the slots were set from outside.
    pub(super) fn recount(&mut self) {
        self.live.fill(0);
        self.wedged = 0;
        for (stage, live) in self.live.iter_mut().enumerate() {
            for id in self.plan.layout().stage(stage) {
                match self.slots[id as usize] {
                    ComponentState::Down | ComponentState::Finished => {}
                    ComponentState::Wedged => self.wedged += 1,
                    _ => *live += 1,
                }
            }
        }
    }

    pub(super) fn policy(&self) -> &Policy {
        self.plan.policy()
    }

    pub(super) fn component_state(&self, component: ComponentId) -> ComponentState {
        self.slots
            .get(component.index())
            .copied()
            .unwrap_or(ComponentState::Down)
    }

    pub(super) fn wedged(&self) -> u32 {
        self.wedged
    }

    pub(super) fn live_in(&self, stage: u16) -> u32 {
        self.live[usize::from(stage)]
    }

    /// Refuses a stale input, with the reason: no handler may see it.
    ///
    /// For any other input this updates the component, the timer or the record that the input is about, before a
    /// handler sees it. Returns the state that a component was in before it ended.
    #[inline]
    pub(super) fn admit(&mut self, input: &Input) -> Result<ComponentState, IgnoreReason> {
        match *input {
            Input::Alive { session, .. } | Input::Failing { session, .. }
                if !self.session_open || session != self.session =>
            {
                return Err(IgnoreReason::OtherSession);
            }
            Input::Alive { round, .. } if round > self.round => {
                return Err(IgnoreReason::NotAwaited);
            }
            Input::Alive { .. } | Input::Failing { .. } => {}
            Input::Up { component, epoch } => {
                if self.alive(component, epoch)? != ComponentState::Starting {
                    return Err(IgnoreReason::NotAwaited);
                }
                self.slots[component.index()] = ComponentState::Up;
            }
            Input::Gone {
                component, epoch, ..
            } => {
                let was = self.alive(component, epoch)?;
                self.slots[component.index()] = ComponentState::Down;
                if was == ComponentState::Wedged {
                    self.wedged -= 1;
                } else {
                    let stage = self.plan.layout().stage_of(component).unwrap_or_default();
                    self.live[stage] -= 1;
                }
                return Ok(was);
            }
            Input::Exited {
                component, epoch, ..
            } => return self.alive(component, epoch),
            Input::Report {
                component,
                epoch,
                class,
                count,
            } => {
                let count = u64::from(count.max(1));
                let admitted = match component {
                    Some(component) => self.alive(component, epoch).map(|_| ()),
                    // A failure that a restart cannot fix counts in every epoch.
                    None if class == FailureClass::Fatal => Ok(()),
                    None => self.current(epoch),
                };
                if let Err(why) = admitted {
                    self.ledger.record.stale_reports += count;
                    return Err(why);
                }
                self.ledger.record.reports += count;
            }
            Input::Fired(timer) => {
                if !self.is_armed(timer) {
                    return Err(IgnoreReason::NotArmed);
                }
                self.armed &= !bit(timer);
            }
            Input::LeaseRenewed { epoch, .. } => {
                let owner = self.plan.layout().lease_owner();
                self.alive(owner.ok_or(IgnoreReason::NotHandled)?, epoch)?;
            }
            Input::FailedTooOften { component } => {
                if self.policy().failure_limit().is_none() {
                    return Err(IgnoreReason::NotHandled);
                }
                if self.plan.layout().stage_of(component).is_none() {
                    return Err(IgnoreReason::NotAlive);
                }
            }
            Input::Shutdown | any_command!() | Input::Frozen => {}
        }
        Ok(ComponentState::Down)
    }

    /// The state of a component that is alive in this epoch; an error for any other component.
    #[inline]
    fn alive(&self, component: ComponentId, epoch: u64) -> Result<ComponentState, IgnoreReason> {
        self.current(epoch)?;
        match self.component_state(component) {
            ComponentState::Down | ComponentState::Finished => Err(IgnoreReason::NotAlive),
            slot => Ok(slot),
        }
    }

    #[inline]
    fn current(&self, epoch: u64) -> Result<(), IgnoreReason> {
        if epoch == self.epoch {
            Ok(())
        } else {
            Err(IgnoreReason::OtherEpoch)
        }
    }

    // Timers.

    pub(super) fn is_armed(&self, timer: Timer) -> bool {
        self.armed & bit(timer) != 0
    }

    pub(super) fn arm(&mut self, timer: Timer, after: Duration, cx: &mut Cx<'_>) {
        self.armed |= bit(timer);
        cx.emit(Effect::Arm { timer, after });
    }

    pub(super) fn disarm(&mut self, timer: Timer, cx: &mut Cx<'_>) {
        if self.is_armed(timer) {
            self.armed &= !bit(timer);
            cx.emit(Effect::Disarm { timer });
        }
    }

    pub(super) fn disarm_all_but(&mut self, keep: &[Timer], cx: &mut Cx<'_>) {
        for timer in Timer::ALL {
            if !keep.contains(&timer) {
                self.disarm(timer, cx);
            }
        }
    }

    pub(super) fn arm_silence(&mut self, cx: &mut Cx<'_>) {
        self.arm(Timer::Silence, self.policy().silence_limit(), cx);
    }

    /// Arms the fence for a lease that is valid for `remaining`. Returns `false` if stopping must begin at once.
    pub(super) fn arm_fence(&mut self, remaining: Duration, cx: &mut Cx<'_>) -> bool {
        match self.plan.fence_after(remaining) {
            Some(after) => {
                self.arm(Timer::Fence, after, cx);
                true
            }
            None => false,
        }
    }

    // The session with the dependency.

    pub(super) fn open_session(&mut self, cx: &mut Cx<'_>) {
        if !self.session_open {
            self.session_open = true;
            self.session += 1;
            cx.emit(Effect::OpenSession {
                session: self.session,
            });
        }
    }

    pub(super) fn close_session(&mut self, cx: &mut Cx<'_>) {
        if self.session_open {
            self.session_open = false;
            cx.emit(Effect::CloseSession {
                session: self.session,
            });
        }
    }

    /// Requests an observation that begins from now on.
    pub(super) fn ask(&mut self, cx: &mut Cx<'_>) {
        self.round += 1;
        cx.emit(Effect::Ask { round: self.round });
    }

    // Level and outage.

    pub(super) fn raise_level(&mut self) {
        self.level = (self.level + 1).min(self.policy().tuning().max_level());
    }

    pub(super) fn level_at_least_one(&mut self) {
        self.level = self.level.max(1);
    }

    pub(super) fn blame_if_dependency(&mut self, input: &Input) {
        if input.blames_dependency() {
            self.blame = Blame::Dependency;
        }
    }

    pub(super) fn close_outage(&mut self, cx: &mut Cx<'_>) {
        let record = core::mem::take(&mut self.ledger.record);
        self.outage_open = false;
        cx.emit(Effect::OutageClosed(Record {
            outage: self.outage,
            ..record
        }));
    }
}

fn bit(timer: Timer) -> u8 {
    1 << timer.index()
}
