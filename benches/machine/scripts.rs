//! What the machine is told: recorded once, from a machine that answers.

use std::sync::Arc;
use std::time::Duration;

use overwatch::machine::{
    ComponentState, Effect, Exit, FailureClass, Input, Machine, Phase, Timer,
};
use overwatch::policy::{ComponentId, Fence, Layout, Plan, Policy, Tuning};

/// Inputs for a machine of this plan.
pub(super) struct Script {
    pub(super) name: &'static str,
    pub(super) plan: Arc<Plan>,
    /// Told first, and not timed.
    pub(super) before: Vec<Input>,
    pub(super) timed: Vec<Input>,
    /// How many effects one input may ask for.
    pub(super) room: usize,
}

/// How many outages the mix has, and how many observations there are between two of them.
const OUTAGES: usize = 200;
const CALM: usize = 1_000;
/// How many components there are where one state is looked at, and how many inputs at least.
const MANY: usize = 20_000;

/// A realistic life of sixteen components on three stages: observations all day, now and then a
/// report that does not trip, and at times an outage in which everything is stopped and started
/// again.
pub(super) fn mix() -> Script {
    let mut recorder = Recorder::new(&[4, 8, 4]);
    recorder.recover();
    for outage in 0..OUTAGES {
        for calm in 0..CALM {
            recorder.alive();
            if calm % 50 == 0 {
                recorder.report(FailureClass::Component);
                recorder.alive();
                recorder.tell(Input::Fired(Timer::Decay));
            }
        }
        recorder.tell(Input::Fired(Timer::Stable));
        match outage % 3 {
            0 => recorder.report(FailureClass::Critical),
            1 => recorder.tell(Input::Fired(Timer::Silence)),
            _ => recorder.gone(ComponentId(9)),
        }
        recorder.recover();
    }
    recorder.script("mix")
}

/// The mix, or that of a state.
pub(super) fn named(name: &str) -> Script {
    let all = of_each_state().into_iter().chain([mix()]);
    let mut found = all.filter(|script| script.name == name);
    found.next().expect("there is such a script")
}

/// In each state what usually comes there, many times over.
pub(super) fn of_each_state() -> Vec<Script> {
    vec![
        running(),
        shutting_down(),
        monitoring(),
        restarting(),
        drained(),
        ended(),
    ]
}

fn running() -> Script {
    let mut recorder = Recorder::new(&[4, 8, 4]);
    recorder.recover();
    recorder.begin();
    while recorder.inputs.len() < MANY {
        recorder.alive();
        recorder.alive();
        recorder.report(FailureClass::Component);
        recorder.alive();
        recorder.tell(Input::Fired(Timer::Decay));
    }
    recorder.stayed_in(Phase::Running);
    recorder.script("Running")
}

fn shutting_down() -> Script {
    let mut recorder = Recorder::new(&[MANY]);
    recorder.recover();
    recorder.report(FailureClass::Component);
    recorder.report(FailureClass::Component);
    recorder.report(FailureClass::Component);
    recorder.begin();
    // The last one would move it on.
    for id in 1..MANY as u32 {
        recorder.gone(ComponentId(id));
        if id % 4 == 0 {
            recorder.alive();
        }
    }
    recorder.stayed_in(Phase::ShuttingDown);
    recorder.script("ShuttingDown")
}

fn monitoring() -> Script {
    let mut recorder = Recorder::new(&[4, 8, 4]);
    recorder.recover();
    recorder.report(FailureClass::Critical);
    recorder.answer_all();
    recorder.begin();
    while recorder.inputs.len() < MANY {
        for _ in 0..5 {
            recorder.alive();
        }
        let session = recorder.machine.session().unwrap_or_default();
        recorder.tell(Input::Failing {
            session,
            fatal: false,
        });
        recorder.alive();
        recorder.tell(Input::Fired(Timer::Silence));
        recorder.report(FailureClass::Dependency);
    }
    recorder.stayed_in(Phase::Monitoring);
    recorder.script("Monitoring")
}

fn restarting() -> Script {
    let mut recorder = Recorder::new(&[MANY]);
    recorder.alive();
    recorder.begin();
    let epoch = recorder.machine.epoch();
    for id in 1..MANY as u32 {
        let component = ComponentId(id);
        recorder.tell(Input::Up { component, epoch });
        if id % 4 == 0 {
            recorder.alive();
        }
    }
    recorder.stayed_in(Phase::Restarting);
    recorder.script("Restarting")
}

fn drained() -> Script {
    let mut recorder = Recorder::new(&[4, 8, 4]);
    recorder.recover();
    recorder.tell(Input::Drain);
    recorder.tell(Input::Fired(Timer::Stage));
    recorder.answer_all();
    recorder.begin();
    while recorder.inputs.len() < MANY {
        recorder.alive();
        recorder.report(FailureClass::Component);
        recorder.tell(Input::Drain);
        recorder.tell(Input::Trip);
        recorder.tell(Input::Reset);
    }
    recorder.stayed_in(Phase::Drained);
    recorder.script("Drained")
}

fn ended() -> Script {
    let mut recorder = Recorder::new(&[4, 8, 4]);
    recorder.recover();
    recorder.tell(Input::Shutdown);
    recorder.tell(Input::Fired(Timer::Stage));
    recorder.answer_all();
    recorder.begin();
    while recorder.inputs.len() < MANY {
        recorder.alive();
        recorder.report(FailureClass::Component);
        recorder.gone(ComponentId(9));
        recorder.tell(Input::Shutdown);
    }
    recorder.stayed_in(Phase::Stopped);
    recorder.script("Ended")
}

/// One whole outage of so many components on one stage.
pub(super) fn outage(components: usize) -> Script {
    let mut recorder = Recorder::new(&[components]);
    recorder.recover();
    recorder.begin();
    recorder.report(FailureClass::Critical);
    let all = 0..components as u32;
    for id in all.clone() {
        recorder.gone(ComponentId(id));
    }
    while recorder.machine.phase() == Phase::Monitoring {
        recorder.alive();
        if recorder.machine.is_armed(Timer::HoldOff) {
            recorder.tell(Input::Fired(Timer::HoldOff));
        }
    }
    let epoch = recorder.machine.epoch();
    for component in all.map(ComponentId) {
        recorder.tell(Input::Up { component, epoch });
    }
    recorder.stayed_in(Phase::Running);
    recorder.script("outage")
}

/// How many lives of noise there are, and the most inputs in one of them.
const LIVES: u64 = 200;
const LIFE: usize = 2_000;

/// Lives in which anything may be told, sensible or not, so that the two are compared everywhere.
pub(super) fn noise() -> Vec<Script> {
    (0..LIVES).map(noisy_life).collect()
}

fn noisy_life(seed: u64) -> Script {
    // Every second life has a fence, and gives up. With a fence nothing is delayed.
    let mut recorder = Recorder::by(if seed.is_multiple_of(2) {
        delayed_plan()
    } else {
        fenced_plan()
    });
    let mut seed = seed + 1;
    let mut pick = |below: u64| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    const CLASSES: [FailureClass; 3] = [
        FailureClass::Component,
        FailureClass::Dependency,
        FailureClass::Critical,
    ];
    while recorder.inputs.len() < LIFE && !recorder.machine.phase().is_ended() {
        let machine = &recorder.machine;
        let component = ComponentId(pick(17) as u32);
        let epoch = machine.epoch() + u64::from(pick(20) == 0);
        let session = machine.session().unwrap_or_default() + u64::from(pick(20) == 0);
        let class = match pick(100) {
            0 => FailureClass::Fatal,
            other => CLASSES[other as usize % 3],
        };
        let how = match pick(5) {
            0 | 1 => Exit::Returned,
            2 => Exit::Aborted,
            _ => Exit::Failed(class),
        };
        recorder.tell(match pick(40) {
            0 => Input::Report {
                component: (pick(2) == 0).then_some(component),
                epoch,
                class,
                count: pick(3) as u32,
            },
            1 => Input::Failing {
                session,
                fatal: pick(50) == 0,
            },
            2 => Input::Exited {
                component,
                epoch,
                how,
            },
            3 => Input::Gone {
                component,
                epoch,
                how,
            },
            4 => match pick(20) {
                0 => Input::Shutdown,
                _ => Input::Drain,
            },
            5 | 6 => Input::Resume,
            7 => Input::Trip,
            8 => Input::Reset,
            9 => Input::Up { component, epoch },
            10 | 11 => Input::Fired(Timer::ALL[1 + pick(5) as usize]),
            // More often than not a start goes well, and nobody has to be aborted.
            12 if machine.phase() == Phase::Restarting || pick(4) == 0 => {
                Input::Fired(Timer::Stage)
            }
            13 | 14 => Input::LeaseRenewed {
                epoch,
                remaining: TTL.mul_f64(pick(11) as f64 / 10.0),
            },
            15..=25 => Input::Alive {
                session,
                round: machine.round(),
            },
            26 => Input::Frozen,
            _ => {
                recorder.answer();
                continue;
            }
        });
    }
    if !recorder.machine.phase().is_ended() {
        recorder.tell(Input::Shutdown);
        recorder.answer_all();
    }
    recorder.script("noise")
}

/// How long a lease is good for.
const TTL: Duration = Duration::from_secs(600);

fn fenced_plan() -> Plan {
    let fence = Fence::new(TTL, TTL / 3);
    let policy = Policy::builder()
        .trip_threshold(3)
        .give_up_after(3)
        .fence(fence);
    let policy = policy.build().expect("a policy that works");
    let layout = Layout::new(&[4, 8, 4]).expect("no gaps");
    let layout = layout.with_lease_owner(ComponentId(5));
    Plan::new(policy, layout).expect("a plan that works")
}

fn delayed_plan() -> Plan {
    let tuning = Tuning::default()
        .with_jitter_seed(7)
        .with_unready_delay(Duration::from_secs(5));
    let policy = Policy::builder().trip_threshold(3).tuning(tuning);
    let policy = policy.build().expect("a policy that works");
    let layout = Layout::new(&[4, 8, 4]).expect("no gaps");
    Plan::new(policy, layout).expect("a plan that works")
}

/// A machine that is told things, and what it was told.
struct Recorder {
    machine: Machine,
    effects: Vec<Effect>,
    before: Vec<Input>,
    inputs: Vec<Input>,
    room: usize,
}

impl Recorder {
    fn new(stages: &[usize]) -> Self {
        let policy = Policy::builder()
            .trip_threshold(3)
            .tuning(Tuning::default().with_jitter_seed(7));
        let policy = policy.build().expect("a policy that works");
        let layout = Layout::new(stages).expect("no gaps");
        Self::by(Plan::new(policy, layout).expect("a plan that works"))
    }

    fn by(plan: Plan) -> Self {
        let mut effects = Vec::new();
        let machine = Machine::new(plan, &mut effects);
        Self {
            machine,
            effects,
            before: Vec::new(),
            inputs: Vec::new(),
            room: 64,
        }
    }

    /// What was told so far is not to be timed.
    fn begin(&mut self) {
        self.before.append(&mut self.inputs);
    }

    /// Where the script must be at its end; else it is not what it is called.
    fn stayed_in(&self, phase: Phase) {
        assert_eq!(self.machine.phase(), phase);
    }

    fn script(self, name: &'static str) -> Script {
        Script {
            name,
            plan: Arc::clone(self.machine.plan()),
            before: self.before,
            timed: self.inputs,
            room: self.room,
        }
    }

    fn tell(&mut self, input: Input) {
        self.inputs.push(input);
        self.effects.clear();
        let _ = self.machine.handle(input, &mut self.effects);
        self.room = self.room.max(self.effects.len());
    }

    fn alive(&mut self) {
        let session = self.machine.session().unwrap_or_default();
        let round = self.machine.round();
        self.tell(Input::Alive { session, round });
    }

    fn report(&mut self, class: FailureClass) {
        let epoch = self.machine.epoch();
        self.tell(Input::Report {
            component: None,
            epoch,
            class,
            count: 1,
        });
    }

    fn gone(&mut self, component: ComponentId) {
        let epoch = self.machine.epoch();
        self.tell(Input::Gone {
            component,
            epoch,
            how: Exit::Returned,
        });
    }

    /// The answer to one question that is open, from this component on. Who gave it.
    fn answer_from(&mut self, first: u32) -> Option<u32> {
        let epoch = self.machine.epoch();
        for id in first..self.machine.plan().layout().components() as u32 {
            let component = ComponentId(id);
            match self.machine.component_state(component) {
                ComponentState::Starting => self.tell(Input::Up { component, epoch }),
                ComponentState::Stopping | ComponentState::Aborting | ComponentState::Wedged => {
                    self.gone(component)
                }
                ComponentState::Up | ComponentState::Down | ComponentState::Finished => continue,
            }
            return Some(id);
        }
        None
    }

    fn answer(&mut self) -> bool {
        self.answer_from(0).is_some()
    }

    fn answer_all(&mut self) {
        // The answer of the last of a stage opens the next stage, which may stand before it.
        while let Some(mut last) = self.answer_from(0) {
            while let Some(next) = self.answer_from(last) {
                last = next;
            }
        }
    }

    fn recover(&mut self) {
        self.answer_all();
        while !self.machine.is_ready() {
            self.alive();
            if self.machine.is_armed(Timer::HoldOff) {
                self.tell(Input::Fired(Timer::HoldOff));
            }
            self.answer_all();
        }
    }
}
