//! A world for the machine to live in: plans, and an environment that answers, lies, repeats itself,
//! comes late, or stays silent, as a list of plain actions tells it.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use overwatch::law::{Checked, Violation};
use overwatch::machine::{
    Cause, Command, ComponentState, Effect, Exit, FailureClass, IgnoreReason, Input, Machine,
    Phase, Record, Step, Timer,
};
use overwatch::policy::{
    ComponentId, FailureLimit, Fence, Layout, Plan, Policy, PolicyBuilder, Tuning,
};
use proptest::prelude::*;

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Every reason to ignore an input.
pub(crate) const IGNORED: [IgnoreReason; 6] = [
    IgnoreReason::OtherEpoch,
    IgnoreReason::OtherSession,
    IgnoreReason::NotAlive,
    IgnoreReason::NotAwaited,
    IgnoreReason::NotArmed,
    IgnoreReason::NotHandled,
];

/// Every cause by its name, since causes carry data, but for those of commands. The first is that of boot, which no
/// input has.
const CAUSES: [&str; 18] = [
    "boot",
    "report",
    "exited",
    "start_failed",
    "start_overdue",
    "failing",
    "silence",
    "fence",
    "frozen",
    "shutdown",
    "recovered",
    "all_up",
    "all_gone",
    "finished",
    "wedged",
    "failed_too_often",
    "gave_up",
    "fatal",
];

/// Every cause by its name, that of boot first.
pub(crate) fn causes() -> impl Iterator<Item = &'static str> {
    let of_commands = Command::ALL.iter().filter_map(|command| command.cause());
    CAUSES.into_iter().chain(of_commands.map(Cause::as_str))
}

/// A policy of small numbers, in milliseconds: every timer is within reach of a short test.
pub(crate) fn small_policy() -> PolicyBuilder {
    Policy::builder()
        .window(ms(30))
        .silence_limit(ms(8))
        .start_deadline(ms(20))
        .stop_deadline(ms(10))
        .abort_deadline(ms(5))
        .tuning(small_tuning())
}

pub(crate) fn small_tuning() -> Tuning {
    Tuning::default()
        .with_backoff(ms(4))
        .with_max_hold_off(ms(100))
        .with_max_level(4)
        .with_min_evidence(2)
        .with_decay(ms(15))
        .with_stable_after(ms(25))
        .with_jitter(ms(0))
}

/// A policy of the least numbers that still tell one deadline from another, so that all that a plan
/// can get into is soon visited.
pub(crate) fn tiny_policy() -> PolicyBuilder {
    Policy::builder()
        .window(ms(2))
        .silence_limit(ms(2))
        .start_deadline(ms(2))
        .stop_deadline(ms(1))
        .abort_deadline(ms(1))
        .tuning(tiny_tuning())
}

pub(crate) fn tiny_tuning() -> Tuning {
    Tuning::default()
        .with_backoff(ms(1))
        .with_max_hold_off(ms(4))
        .with_max_level(2)
        .with_min_evidence(2)
        .with_decay(ms(1))
        .with_stable_after(ms(1))
        .with_jitter(ms(0))
}

pub(crate) fn plan(policy: PolicyBuilder, stages: &[usize]) -> Arc<Plan> {
    let policy = policy.build().expect("a policy that works");
    let layout = Layout::new(stages).expect("a layout without gaps");
    Arc::new(Plan::new(policy, layout).expect("a plan that works"))
}

/// The same under a lease of 120 ms that `#0` owns, with a margin of 2 ms.
pub(crate) fn fenced(policy: PolicyBuilder, stages: &[usize]) -> Arc<Plan> {
    fenced_by(policy, small_fence(), stages)
}

/// The same under this lease, which `#0` owns.
pub(crate) fn fenced_by(policy: PolicyBuilder, fence: Fence, stages: &[usize]) -> Arc<Plan> {
    let policy = policy.fence(fence).build();
    let layout = Layout::new(stages).expect("a layout without gaps");
    let layout = layout.with_lease_owner(ComponentId(0));
    Arc::new(Plan::new(policy.expect("a policy that works"), layout).expect("a plan that works"))
}

pub(crate) fn small_fence() -> Fence {
    Fence::new(ms(120), ms(10)).with_margin(ms(2))
}

/// An observation of this session, begun after the last one that was asked for.
pub(crate) fn alive(machine: &Machine, session: u64) -> Input {
    let round = machine.round();
    Input::Alive { session, round }
}

pub(crate) fn failing(session: u64) -> Input {
    let fatal = false;
    Input::Failing { session, fatal }
}

pub(crate) fn starts(effect: &Effect) -> bool {
    matches!(effect, Effect::StartStage { .. })
}

pub(crate) fn stops(effect: &Effect) -> bool {
    matches!(effect, Effect::StopStage { .. })
}

/// Every switch of the policy that changes behaviour, at random.
pub(crate) fn any_plan() -> impl Strategy<Value = Arc<Plan>> {
    any_plan_with_jitter(ms(3))
}

/// The same, with hold-offs that are lengthened by up to so much.
pub(crate) fn any_plan_with_jitter(jitter: Duration) -> impl Strategy<Value = Arc<Plan>> {
    let stages = prop_oneof![
        1 => Just(vec![]),
        12 => prop::collection::vec(1_usize..=3, 1..=4).prop_filter("0 to 8 components", |stages| stages.iter().sum::<usize>() <= 8),
    ];
    (
        stages,
        1_u32..=3,
        prop::bool::weighted(0.4),
        prop::option::weighted(0.3, 1_u32..=3),
        prop::bool::weighted(0.7),
        any::<u64>(),
    )
        .prop_map(move |(stages, threshold, fenced, give_up, delay, seed)| {
            // So short that one walk has room for many outages.
            let mut tuning = small_tuning()
                .with_max_hold_off(ms(30))
                .with_max_level(3)
                .with_decay(ms(6))
                .with_stable_after(ms(10))
                .with_jitter(jitter)
                .with_jitter_seed(seed);
            if delay {
                tuning = tuning.with_unready_delay(ms(9));
            }
            let mut builder = small_policy()
                .window(ms(12))
                .trip_threshold(threshold)
                .tuning(tuning);
            if let Some(limit) = give_up {
                builder = builder.give_up_after(limit);
            }
            let components: usize = stages.iter().sum();
            let mut layout = Layout::new(&stages).expect("no gaps");
            if seed.is_multiple_of(3) && components > 0 {
                layout = layout
                    .with_start_deadline(stages.len() - 1, ms(25))
                    .with_stop_deadline(0, ms(7));
            }
            // Some components may finish, and in some plans that is the end. The owner of a lease may not.
            if seed % 7 < 2 {
                let limit = FailureLimit::new(3, ms(100)).with_drain(seed % 7 == 1);
                builder = builder.failure_limit(limit);
            }
            let owner = (fenced && components > 0).then(|| (seed % components as u64) as u32);
            if seed % 5 < 2 {
                let may_finish =
                    |&id: &u32| Some(id) != owner && !(seed >> (8 + id)).is_multiple_of(3);
                for id in (0..components as u32).filter(may_finish) {
                    layout = layout.with_one_shot(ComponentId(id));
                }
                builder = builder.end_when_finished(seed % 5 == 1);
            }
            if let Some(owner) = owner.map(ComponentId) {
                layout = layout.with_lease_owner(owner);
                builder = builder.fence(small_fence());
            }
            Arc::new(Plan::new(builder.build().expect("works"), layout).expect("works"))
        })
}

/// One thing that the world does. Numbers are taken modulo what there is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    /// Answer the longest-standing question: up, or gone.
    Answer,
    /// Answer all of them, and those that the answers raise.
    AnswerAll,
    /// The dependency is seen alive in the present session.
    Alive,
    /// It is seen to fail.
    Fail,
    /// Any input, sensible or not.
    Noise(Noise),
    /// An operator's command.
    Command(u8),
    /// Time passes: up to the next deadline, or as many milliseconds.
    Wait(Option<u64>),
}

/// An input made of small numbers, most of which are near the right one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    pub(crate) kind: u8,
    pub(crate) component: u32,
    pub(crate) detail: u32,
    pub(crate) number: i8,
}

pub(crate) fn any_action() -> impl Strategy<Value = Action> {
    let number = prop_oneof![8 => Just(0_i8), 1 => Just(-1), 1 => Just(1)];
    let noise =
        (0_u8..11, 0_u32..9, 0_u32..64, number).prop_map(|(kind, component, detail, number)| {
            Noise {
                kind,
                component,
                detail,
                number,
            }
        });
    // Mostly a world that works, so that walks get to Running, and back, before they end.
    prop_oneof![
        20 => Just(Action::Answer),
        2 => Just(Action::AnswerAll),
        24 => Just(Action::Alive),
        1 => Just(Action::Fail),
        6 => noise.prop_map(Action::Noise),
        4 => (0_u8..32).prop_map(Action::Command),
        10 => prop_oneof![1 => Just(None), 12 => (0_u64..6).prop_map(Some)].prop_map(Action::Wait),
    ]
}

/// How many things happen in one walk.
pub(crate) fn walk_length() -> std::ops::Range<usize> {
    1..200
}

/// A machine under judgement, in a world that owns the clock.
pub(crate) struct World {
    pub(crate) checked: Checked,
    pub(crate) now: Duration,
    last_input: Duration,
    timed: bool,
    due: [Option<Duration>; 6],
    /// Questions that nobody has answered yet.
    pub(crate) open: Vec<(ComponentId, u64)>,
    /// The effects of the last step.
    pub(crate) effects: Vec<Effect>,
    /// All that happened.
    pub(crate) tape: Vec<Turn>,
}

/// One step, as it was recorded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Turn {
    /// Since the turn before.
    pub(crate) elapsed: Duration,
    /// `None` at boot.
    pub(crate) input: Option<Input>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) step: Option<Step>,
}

impl World {
    pub(crate) fn new(plan: Arc<Plan>, timed: bool) -> Result<Self, Violation> {
        let mut effects = Vec::new();
        let checked = Checked::new(plan, timed.then_some(Duration::ZERO), &mut effects)?;
        let boot = Turn {
            elapsed: Duration::ZERO,
            input: None,
            effects: effects.clone(),
            step: None,
        };
        let mut world = Self {
            checked,
            now: Duration::ZERO,
            last_input: Duration::ZERO,
            timed,
            due: [None; 6],
            open: Vec::new(),
            effects,
            tape: vec![boot],
        };
        world.carry_out();
        Ok(world)
    }

    pub(crate) fn machine(&self) -> &Machine {
        self.checked.machine()
    }

    /// All that happened, in words, for the one who reads a failure.
    pub(crate) fn trace(&self) -> String {
        let mut now = Duration::ZERO;
        let mut lines = String::new();
        for turn in &self.tape {
            now += turn.elapsed;
            let Turn {
                input,
                effects,
                step,
                ..
            } = turn;
            let _ = writeln!(lines, "{now:>6?} {input:?} -> {step:?} {effects:?}");
        }
        lines
    }

    /// Does one thing. In a timed world all timers that are due by then fire first, in order.
    pub(crate) fn act(&mut self, action: Action) -> Result<(), Violation> {
        match action {
            Action::Answer => {
                while !self.open.is_empty() {
                    let (component, epoch) = self.open.remove(0);
                    if let Some(answer) = self.answer(component, epoch) {
                        return self.input(answer);
                    }
                }
                Ok(())
            }
            Action::AnswerAll => self.answer_all(),
            Action::Alive => {
                let session = self.machine().session().unwrap_or_default();
                self.input(alive(self.machine(), session))
            }
            Action::Fail => {
                let session = self.machine().session().unwrap_or_default();
                self.input(failing(session))
            }
            Action::Noise(noise) => self.input(self.noise(noise)),
            Action::Command(command) => self.input(match command {
                0 => Input::Shutdown,
                1..=11 => Input::Drain,
                12..=22 => Input::Resume,
                23..=28 => Input::Trip,
                // The last of the first four, and those that came later.
                more => {
                    let rest = &Command::ALL[3..];
                    rest[usize::from(more) % rest.len()].input()
                }
            }),
            Action::Wait(how_long) => self.wait(how_long),
        }
    }

    /// A world on a clock that got as far as Running.
    pub(crate) fn running(plan: Arc<Plan>) -> Result<Self, Violation> {
        let mut world = Self::new(plan, true)?;
        world.act(Action::Alive)?;
        world.answer_all()?;
        assert_eq!(world.phase(), Phase::Running, "{}", world.trace());
        Ok(world)
    }

    pub(crate) fn phase(&self) -> Phase {
        self.machine().phase()
    }

    /// Answers all questions, and those that the answers raise.
    pub(crate) fn answer_all(&mut self) -> Result<(), Violation> {
        while !self.open.is_empty() {
            self.act(Action::Answer)?;
        }
        Ok(())
    }

    /// A report from outside of any component.
    pub(crate) fn report(&mut self, class: FailureClass, count: u32) -> Result<(), Violation> {
        let epoch = self.machine().epoch();
        self.input(Input::Report {
            component: None,
            epoch,
            class,
            count,
        })
    }

    pub(crate) fn gone(&mut self, component: u32, how: Exit) -> Result<(), Violation> {
        let epoch = self.machine().epoch();
        let component = ComponentId(component);
        self.open.retain(|&question| question != (component, epoch));
        self.input(Input::Gone {
            component,
            epoch,
            how,
        })
    }

    /// The dependency is seen alive every other millisecond, for so long.
    pub(crate) fn stay_alive(&mut self, how_long: u64) -> Result<(), Violation> {
        for _ in 0..how_long / 2 {
            self.act(Action::Alive)?;
            self.wait(Some(2))?;
        }
        Ok(())
    }

    /// The dependency stays alive and components answer: how long until Running? `None` if the run
    /// ends first, or if that takes for ever.
    pub(crate) fn recover(&mut self) -> Result<Option<Duration>, Violation> {
        let began = self.now;
        for _ in 0..400 {
            self.answer_all()?;
            match self.phase() {
                Phase::Running => return Ok(Some(self.now - began)),
                Phase::Stopped | Phase::Halted => break,
                _ => {}
            }
            self.act(Action::Alive)?;
            self.answer_all()?;
            if self.phase() != Phase::Running {
                self.wait(Some(1))?;
            }
        }
        Ok(None)
    }

    /// Every transition, one a line: when, whereto, and why.
    pub(crate) fn history(&self) -> String {
        let mut now = Duration::ZERO;
        let mut lines = String::new();
        for turn in &self.tape {
            now += turn.elapsed;
            for hop in turn.step.iter().flat_map(Step::transitions) {
                let _ = writeln!(lines, "{now:?} {} ({})", hop.to, hop.cause);
            }
        }
        lines
    }

    /// How often it asked for this so far.
    pub(crate) fn how_often(&self, wanted: fn(&Effect) -> bool) -> usize {
        self.all_effects().filter(|effect| wanted(effect)).count()
    }

    fn all_effects(&self) -> impl Iterator<Item = &Effect> {
        self.tape.iter().flat_map(|turn| &turn.effects)
    }

    /// The records of all outages that are over.
    pub(crate) fn records(&self) -> Vec<Record> {
        let record = |effect: &Effect| match *effect {
            Effect::OutageClosed(record) => Some(record),
            _ => None,
        };
        self.all_effects().filter_map(record).collect()
    }

    /// The answer that the component's last order asks for, if it has not been given yet.
    fn answer(&self, component: ComponentId, epoch: u64) -> Option<Input> {
        let gone = Input::Gone {
            component,
            epoch,
            how: Exit::Returned,
        };
        // What may finish does so at once, in every other epoch.
        let machine = self.machine();
        let finishes = machine.plan().layout().is_one_shot(component) && epoch.is_multiple_of(2);
        match machine.component_state(component) {
            ComponentState::Starting if finishes => Some(gone),
            ComponentState::Starting => Some(Input::Up { component, epoch }),
            ComponentState::Stopping | ComponentState::Aborting | ComponentState::Wedged => {
                Some(gone)
            }
            ComponentState::Up | ComponentState::Down | ComponentState::Finished => None,
        }
    }

    fn noise(&self, noise: Noise) -> Input {
        let near = |number: u64| number.saturating_add_signed(i64::from(noise.number));
        let component = ComponentId(noise.component);
        let epoch = near(self.machine().epoch());
        let class = FailureClass::ALL[(noise.detail % 7 / 2) as usize];
        let how = match noise.detail / 8 % 3 {
            0 => Exit::Returned,
            1 => Exit::Aborted,
            _ => Exit::Failed(class),
        };
        match noise.kind {
            0 => Input::Up { component, epoch },
            1 => Input::Gone {
                component,
                epoch,
                how,
            },
            2 => Input::Exited {
                component,
                epoch,
                how,
            },
            3 | 8 => Input::Report {
                component: (noise.component < 8).then_some(component),
                epoch,
                class,
                count: noise.detail % 3,
            },
            4 if noise.detail.is_multiple_of(2) => Input::Alive {
                session: near(self.machine().session().unwrap_or_default()),
                round: self.machine().round(),
            },
            4 => Input::Alive {
                session: self.machine().session().unwrap_or_default(),
                round: near(self.machine().round()),
            },
            5 => Input::Failing {
                session: near(self.machine().session().unwrap_or_default()),
                fatal: noise.detail.is_multiple_of(32),
            },
            9 => Input::Frozen,
            10 => Input::FailedTooOften { component },
            6 if !self.timed => Input::Fired(Timer::ALL[noise.detail as usize % Timer::ALL.len()]),
            _ => Input::LeaseRenewed {
                epoch,
                remaining: ms(u64::from(noise.detail) * 2),
            },
        }
    }

    /// Lets time pass: to the next deadline, or by this many milliseconds.
    pub(crate) fn wait(&mut self, how_long: Option<u64>) -> Result<(), Violation> {
        let next = self.next_due();
        if !self.timed {
            // Any armed timer may fire at any moment.
            let armed: Vec<Timer> = Timer::ALL
                .into_iter()
                .filter(|timer| self.due[timer.index()].is_some())
                .collect();
            let Some(&timer) = armed.get(how_long.unwrap_or_default() as usize) else {
                return Ok(());
            };
            return self.input(Input::Fired(timer));
        }
        let until = match (how_long, next) {
            (Some(how_long), _) => self.now + ms(how_long),
            (None, Some((due, _))) => due,
            (None, None) => return Ok(()),
        };
        while let Some((due, timer)) = self.next_due().filter(|&(due, _)| due <= until) {
            self.now = self.now.max(due);
            self.input(Input::Fired(timer))?;
        }
        self.now = self.now.max(until);
        Ok(())
    }

    fn next_due(&self) -> Option<(Duration, Timer)> {
        let due = Timer::ALL
            .into_iter()
            .filter_map(|timer| Some((self.due[timer.index()]?, timer)));
        due.min()
    }

    /// Hands over an input now.
    pub(crate) fn input(&mut self, input: Input) -> Result<(), Violation> {
        if let Input::Fired(timer) = input {
            self.due[timer.index()] = None;
        }
        let elapsed = self.now - self.last_input;
        self.last_input = self.now;
        let judged = self.checked.handle(elapsed, input, &mut self.effects);
        self.tape.push(Turn {
            elapsed,
            input: Some(input),
            effects: self.effects.clone(),
            step: judged.as_ref().ok().copied(),
        });
        self.demand_few_effects();
        judged.map(|_step| self.carry_out())
    }

    /// What [`Machine::handle`] promises to a caller that wants no allocation.
    fn demand_few_effects(&self) {
        let aborts = |effect: &&Effect| matches!(effect, Effect::Abort { .. });
        let late = self.effects.iter().filter(aborts).count();
        assert!(self.effects.len() <= late + 9, "{:?}", self.effects);
    }

    /// Keeps the timers and notes the questions.
    fn carry_out(&mut self) {
        for effect in &self.effects {
            match *effect {
                Effect::Arm { timer, after } => self.due[timer.index()] = Some(self.now + after),
                Effect::Disarm { timer } => self.due[timer.index()] = None,
                // Who is gone already is asked in vain, which an answer sees.
                Effect::StartStage { stage, epoch } | Effect::StopStage { stage, epoch } => {
                    let ids = self.checked.machine().plan().layout().stage(stage.into());
                    self.open.extend(ids.map(|id| (ComponentId(id), epoch)));
                }
                Effect::Abort { component, epoch } => self.open.push((component, epoch)),
                _ => {}
            }
        }
    }
}
