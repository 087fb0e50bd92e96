//! What is seen of the machine when all that it can do is visited.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use overwatch::explore::{Edge, Explorer};
use overwatch::machine::{
    Cause, Command, ComponentState, Effect, Exit, FailureClass, Input, Machine, Phase, Step, Timer,
};
use overwatch::policy::Plan;

/// All that was seen. Nothing in it depends on the order in which it was.
pub(super) struct Explored {
    /// Where every run begins, and why.
    pub(super) boot: (Phase, Cause),
    /// Every hop, and why it was made.
    pub(super) hops: BTreeMap<(Phase, Phase), Causes>,
    /// Where the machine says that the run is over.
    pub(super) ends: BTreeSet<Phase>,
    /// What becomes of each kind of input in each phase, and what is asked for then.
    pub(super) outcomes: BTreeMap<(Phase, Kind), BTreeMap<Outcome, Asked>>,
}

/// Causes by name, in groups of what is alike; and of which classes each was.
pub(super) type Causes = BTreeMap<(Group, &'static str), BTreeSet<FailureClass>>;

/// What sort of thing a cause is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    Progress,
    Failure,
    Command,
    RunOutcome,
}

impl Group {
    fn of(cause: Cause) -> Self {
        match cause {
            Cause::Boot | Cause::Recovered | Cause::AllUp | Cause::AllGone | Cause::Finished => {
                Self::Progress
            }
            Cause::Report { .. }
            | Cause::Exited { .. }
            | Cause::StartFailed { .. }
            | Cause::StartOverdue
            | Cause::Failing
            | Cause::Silence
            | Cause::Fence
            | Cause::Frozen => Self::Failure,
            Cause::Shutdown => Self::Command,
            Cause::FailedTooOften { .. } => Self::Failure,
            Cause::Wedged | Cause::GaveUp | Cause::Fatal => Self::RunOutcome,
            _ if (Command::ALL.iter()).any(|command| command.cause() == Some(cause)) => {
                Self::Command
            }
            _ => panic!("a cause of no group: {cause:?}"),
        }
    }
}

/// Inputs that can be told apart before the machine has said anything of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Report(FailureClass),
    Alive,
    AliveBefore,
    Failing { fatal: bool },
    Up,
    Exited { fatal: bool },
    Gone { fatal: bool },
    Fired(Timer),
    LeaseRenewed { in_time: bool },
    Shutdown,
    Command(Command),
    Frozen,
    FailedTooOften,
    Finished { gone: bool },
    Stale,
}

impl Kind {
    fn of(input: Input, machine: &Machine) -> Self {
        if is_stale(input, machine) {
            return Self::Stale;
        }
        if let Some(command) = input.command() {
            return Self::Command(command);
        }
        if let Input::Gone { component, how, .. } | Input::Exited { component, how, .. } = input
            && how == Exit::Returned
            && machine.plan().layout().is_one_shot(component)
            && matches!(
                machine.component_state(component),
                ComponentState::Starting | ComponentState::Up
            )
        {
            let gone = matches!(input, Input::Gone { .. });
            return Self::Finished { gone };
        }
        match input {
            Input::Report { class, .. } => Self::Report(class),
            Input::Alive { round, .. } if round < machine.round() => Self::AliveBefore,
            Input::Alive { .. } => Self::Alive,
            Input::Failing { fatal, .. } => Self::Failing { fatal },
            Input::Up { .. } => Self::Up,
            Input::Exited { how, .. } => Self::Exited {
                fatal: how.class() == FailureClass::Fatal,
            },
            Input::Gone { how, .. } => Self::Gone {
                fatal: how.class() == FailureClass::Fatal,
            },
            Input::Fired(timer) => Self::Fired(timer),
            Input::LeaseRenewed { remaining, .. } => Self::LeaseRenewed {
                in_time: machine.plan().fence_after(remaining).is_some(),
            },
            Input::Shutdown => Self::Shutdown,
            Input::Frozen => Self::Frozen,
            Input::FailedTooOften { .. } => Self::FailedTooOften,
            other => panic!("an input of no kind: {other:?}"),
        }
    }
}

/// Whether it speaks of what is not there: another epoch or session, a component that is not alive
/// or answers what it was not asked, a timer that is not armed, a lease that nobody holds.
fn is_stale(input: Input, machine: &Machine) -> bool {
    let other = |epoch| epoch != machine.epoch();
    let slot = |component| match machine.component_state(component) {
        // Nothing of it is left.
        ComponentState::Finished => ComponentState::Down,
        slot => slot,
    };
    match input {
        // What no restart could mend is true in every epoch.
        Input::Report {
            component: None,
            class: FailureClass::Fatal,
            ..
        } => false,
        Input::Report {
            component, epoch, ..
        } => {
            other(epoch)
                || component.is_some_and(|component| slot(component) == ComponentState::Down)
        }
        Input::Alive { session, round } => {
            machine.session() != Some(session) || round > machine.round()
        }
        Input::Failing { session, .. } => machine.session() != Some(session),
        Input::Up { component, epoch } => {
            other(epoch) || slot(component) != ComponentState::Starting
        }
        Input::Exited {
            component, epoch, ..
        }
        | Input::Gone {
            component, epoch, ..
        } => other(epoch) || slot(component) == ComponentState::Down,
        Input::FailedTooOften { component } => {
            let plan = machine.plan();
            plan.policy().failure_limit().is_none() || plan.layout().stage_of(component).is_none()
        }
        Input::Fired(timer) => !machine.is_armed(timer),
        Input::LeaseRenewed { epoch, .. } => {
            let owner = machine.plan().layout().lease_owner();
            other(epoch) || owner.is_none_or(|owner| slot(owner) == ComponentState::Down)
        }
        _ => false,
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Report(class) => write!(f, "report {class}"),
            Self::Alive => f.write_str("alive"),
            Self::AliveBefore => f.write_str("alive of a past round"),
            Self::Failing { fatal: false } => f.write_str("failing"),
            Self::Failing { fatal: true } => f.write_str("failing fatally"),
            Self::Up => f.write_str("up"),
            Self::Exited { fatal: false } => f.write_str("exited"),
            Self::Exited { fatal: true } => f.write_str("exited fatal"),
            Self::Gone { fatal: false } => f.write_str("gone"),
            Self::Gone { fatal: true } => f.write_str("gone fatal"),
            Self::Fired(timer) => write!(f, "{timer} fired"),
            Self::LeaseRenewed { in_time: true } => f.write_str("lease renewed"),
            Self::LeaseRenewed { in_time: false } => f.write_str("lease renewed too late"),
            Self::Shutdown => f.write_str("shutdown"),
            Self::Command(command) => f.write_str(command.as_str()),
            Self::Frozen => f.write_str("frozen"),
            Self::FailedTooOften => f.write_str("failed too often"),
            Self::Finished { gone: true } => f.write_str("finished"),
            Self::Finished { gone: false } => f.write_str("finished, still held"),
            Self::Stale => f.write_str("stale input"),
        }
    }
}

/// What became of an input.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    Ignored(&'static str),
    Absorbed,
    Moved(Vec<(Phase, &'static str)>),
}

impl From<Step> for Outcome {
    fn from(step: Step) -> Self {
        match step {
            Step::Ignored(why) => Self::Ignored(why.as_str()),
            Step::Absorbed => Self::Absorbed,
            Step::Moved(hops) => Self::Moved(
                hops.iter()
                    .map(|hop| (hop.to, hop.cause.as_str()))
                    .collect(),
            ),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ignored(why) => write!(f, "ignored ({why})"),
            Self::Absorbed => f.write_str("absorbed"),
            Self::Moved(hops) => {
                let hops = hops.iter().map(|(to, cause)| format!("→ {to} ({cause})"));
                f.write_str(&hops.collect::<Vec<_>>().join(" "))
            }
        }
    }
}

/// What is asked for with one outcome.
#[derive(Default)]
pub(super) struct Asked {
    /// How often the outcome was seen at all.
    times: u64,
    /// How often this came with it.
    with: BTreeMap<Ask, u64>,
    /// What came before what.
    before: BTreeSet<(Ask, Ask)>,
}

/// An effect, without its details.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ask {
    Ready(bool),
    Start,
    Stop,
    Abort,
    OpenSession,
    CloseSession,
    OneMore,
    Arm(Timer),
    Disarm(Timer),
    OpenOutage,
    CloseOutage,
    Ended,
}

impl From<&Effect> for Ask {
    fn from(effect: &Effect) -> Self {
        match *effect {
            Effect::Ready(on) => Self::Ready(on),
            Effect::StartStage { .. } => Self::Start,
            Effect::StopStage { .. } => Self::Stop,
            Effect::Abort { .. } => Self::Abort,
            Effect::OpenSession { .. } => Self::OpenSession,
            Effect::CloseSession { .. } => Self::CloseSession,
            Effect::Ask { .. } => Self::OneMore,
            Effect::Arm { timer, .. } => Self::Arm(timer),
            Effect::Disarm { timer } => Self::Disarm(timer),
            Effect::OutageOpened { .. } => Self::OpenOutage,
            Effect::OutageClosed(_) => Self::CloseOutage,
            Effect::Ended(_) => Self::Ended,
        }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(true) => f.write_str("ready on"),
            Self::Ready(false) => f.write_str("ready off"),
            Self::Start => f.write_str("start stage"),
            Self::Stop => f.write_str("stop stage"),
            Self::Abort => f.write_str("abort"),
            Self::OpenSession => f.write_str("open session"),
            Self::CloseSession => f.write_str("close session"),
            Self::OneMore => f.write_str("ask"),
            Self::Arm(timer) => write!(f, "arm {timer}"),
            Self::Disarm(timer) => write!(f, "disarm {timer}"),
            Self::OpenOutage => f.write_str("open outage"),
            Self::CloseOutage => f.write_str("close outage"),
            Self::Ended => f.write_str("ended"),
        }
    }
}

impl Asked {
    fn note(&mut self, effects: &[Effect]) {
        self.times += 1;
        let mut asks: Vec<Ask> = effects.iter().map(Ask::from).collect();
        asks.dedup();
        for (at, &ask) in asks.iter().enumerate() {
            let before = &asks[..at];
            if !before.contains(&ask) {
                *self.with.entry(ask).or_default() += 1;
            }
            self.before.extend(before.iter().map(|&first| (first, ask)));
        }
    }

    /// What can come, in the order in which it does, and whether it always comes.
    pub(super) fn in_order(&self) -> Vec<(Ask, bool)> {
        let mut left: Vec<Ask> = self.with.keys().copied().collect();
        let mut order = Vec::new();
        while !left.is_empty() {
            let waits = |ask| {
                left.iter()
                    .any(|&first| self.before.contains(&(first, ask)))
            };
            let next = left.iter().position(|&ask| !waits(ask));
            let ask = left.remove(next.expect("effects come in one order"));
            order.push((ask, self.with[&ask] == self.times));
        }
        order
    }
}

impl Explored {
    /// Nothing is seen yet but how a machine begins.
    pub(super) fn at_boot(plan: &Arc<Plan>) -> Self {
        let mut effects = Vec::new();
        let machine = Machine::new(Arc::clone(plan), &mut effects);
        let cause = effects.iter().find_map(|effect| match *effect {
            Effect::OutageOpened { cause, .. } => Some(cause),
            _ => None,
        });
        Self {
            boot: (machine.phase(), cause.expect("boot is outage 0")),
            hops: BTreeMap::new(),
            ends: BTreeSet::new(),
            outcomes: BTreeMap::new(),
        }
    }

    /// Everything that can happen under this plan.
    pub(super) fn visit(&mut self, plan: Arc<Plan>) {
        let explorer = Explorer::new(plan).expect("a plan of small numbers");
        let visited = explorer.visit(|edge| self.note(&edge));
        visited.unwrap_or_else(|unproved| panic!("{unproved}"));
    }

    fn note(&mut self, edge: &Edge<'_>) {
        for hop in edge.step.transitions() {
            let causes = self.hops.entry((hop.from, hop.to)).or_default();
            let classes = causes
                .entry((Group::of(hop.cause), hop.cause.as_str()))
                .or_default();
            classes.extend(hop.cause.class());
        }
        if edge
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::Ended(_)))
        {
            self.ends.insert(edge.to.phase());
        }
        let kind = Kind::of(edge.input, edge.from);
        let outcomes = self.outcomes.entry((edge.from.phase(), kind)).or_default();
        let asked = outcomes.entry(Outcome::from(edge.step)).or_default();
        asked.note(edge.effects);
    }
}
