//! What one event costs in the machine, beside a plain match of the same table, and how often the
//! machine allocates once it runs. Run with `cargo bench --no-default-features --bench machine`.

#![allow(
    unsafe_code,
    reason = "a global allocator that counts is unsafe to implement"
)]

mod by_hand;

use std::alloc::{GlobalAlloc, Layout as Memory, System};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use overwatch::machine::{Class, Effect, How, Input, Machine, Slot, Timer};
use overwatch::policy::{ComponentId, Layout, Plan, Policy, Tuning};

use by_hand::ByHand;

/// How many times the cost of the plain match the machine may cost.
const LIMIT: f64 = 2.0;
const WARM_UP: usize = 3;
const ROUNDS: usize = 15;

/// How many outages one round has, and how many observations there are between two of them.
const OUTAGES: usize = 200;
const CALM: usize = 1_000;

fn main() {
    // Test runners ask benches for their tests; there are none.
    if std::env::args().any(|arg| arg == "--list") {
        return;
    }
    let plan = plan();
    same_effects(&plan, &noise(&plan));
    let script = script(&plan);
    same_effects(&plan, &script);

    let (mut machine, mut by_hand) = (Vec::new(), Vec::new());
    for round in 0..WARM_UP + ROUNDS {
        let times = (time_machine(&plan, &script), time_by_hand(&plan, &script));
        if round >= WARM_UP {
            machine.push(times.0);
            by_hand.push(times.1);
        }
    }
    let (machine, by_hand) = (median(machine), median(by_hand));
    let per_event = |time: Duration| time.as_secs_f64() * 1e9 / script.len() as f64;
    let ratio = machine.as_secs_f64() / by_hand.as_secs_f64();
    println!(
        "machine: {:.1} ns/event, by hand {:.1} ns/event, ratio {ratio:.2} (limit {LIMIT:.2})",
        per_event(machine),
        per_event(by_hand),
    );
    let allocations = count_allocations(&plan, &script);
    println!(
        "machine: {allocations} allocations in {} events (limit 0)",
        script.len()
    );
}

/// Sixteen components on three stages, as a service would have them.
fn plan() -> Arc<Plan> {
    let policy = Policy::builder()
        .trip_threshold(3)
        .tuning(Tuning::default().jitter_seed(7));
    let policy = policy.build().expect("a policy that works");
    let layout = Layout::new(&[4, 8, 4]).expect("no gaps");
    Arc::new(Plan::new(policy, layout).expect("a plan that works"))
}

/// A realistic life, recorded once: observations all day, now and then a report that does not trip,
/// and at times an outage in which everything is stopped and started again.
fn script(plan: &Arc<Plan>) -> Vec<Input> {
    let mut recorder = Recorder::new(plan);
    recorder.recover();
    for outage in 0..OUTAGES {
        for calm in 0..CALM {
            recorder.alive();
            if calm % 50 == 0 {
                recorder.report(Class::Component);
                recorder.alive();
                recorder.tell(Input::Fired(Timer::Decay));
            }
        }
        recorder.tell(Input::Fired(Timer::Stable));
        match outage % 3 {
            0 => recorder.report(Class::Critical),
            1 => recorder.tell(Input::Fired(Timer::Silence)),
            _ => recorder.gone(ComponentId(9)),
        }
        recorder.recover();
    }
    recorder.inputs
}

/// Anything at all, sensible or not, so that the two are compared everywhere.
fn noise(plan: &Arc<Plan>) -> Vec<Input> {
    let mut recorder = Recorder::new(plan);
    let mut seed = 1_u64;
    let mut pick = |below: u64| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    const CLASSES: [Class; 3] = [Class::Component, Class::Dependency, Class::Critical];
    for _ in 0..200_000 {
        let machine = &recorder.machine;
        let component = ComponentId(pick(17) as u32);
        let epoch = machine.epoch() + u64::from(pick(20) == 0);
        let session = machine.session().unwrap_or_default() + u64::from(pick(20) == 0);
        let class = CLASSES[pick(3) as usize];
        let how = if pick(2) == 0 {
            How::Returned
        } else {
            How::Failed(class)
        };
        recorder.tell(match pick(40) {
            0 => Input::Report {
                component: None,
                epoch,
                class,
                count: pick(3) as u32,
            },
            1 => Input::Failing { session },
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
            4 => Input::Drain,
            5 | 6 => Input::Resume,
            7 => Input::Trip,
            8 => Input::Reset,
            9 => Input::Up { component, epoch },
            10 | 11 => Input::Fired(Timer::ALL[1 + pick(5) as usize]),
            12 if machine.phase() == overwatch::machine::Phase::Restarting => {
                Input::Fired(Timer::Stage)
            }
            13..=25 => Input::Alive { session },
            _ => {
                recorder.answer();
                continue;
            }
        });
    }
    recorder.tell(Input::Shutdown);
    recorder.answer_all();
    recorder.inputs
}

/// A machine that is told things, and what it was told.
struct Recorder {
    machine: Machine,
    effects: Vec<Effect>,
    inputs: Vec<Input>,
}

impl Recorder {
    fn new(plan: &Arc<Plan>) -> Self {
        let mut effects = Vec::new();
        let machine = Machine::new(Arc::clone(plan), &mut effects);
        Self {
            machine,
            effects,
            inputs: Vec::new(),
        }
    }

    fn tell(&mut self, input: Input) {
        self.inputs.push(input);
        self.effects.clear();
        let _ = self.machine.handle(input, &mut self.effects);
    }

    fn alive(&mut self) {
        let session = self.machine.session().unwrap_or_default();
        self.tell(Input::Alive { session });
    }

    fn report(&mut self, class: Class) {
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
            how: How::Returned,
        });
    }

    /// The answer to one question that is open. Whether there was one.
    fn answer(&mut self) -> bool {
        let epoch = self.machine.epoch();
        for id in 0..self.machine.plan().layout().components() as u32 {
            let component = ComponentId(id);
            match self.machine.slot(component) {
                Slot::Starting => self.tell(Input::Up { component, epoch }),
                Slot::Stopping | Slot::Aborting | Slot::Wedged => self.gone(component),
                Slot::Up | Slot::Down => continue,
            }
            return true;
        }
        false
    }

    fn answer_all(&mut self) {
        while self.answer() {}
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

fn same_effects(plan: &Arc<Plan>, script: &[Input]) {
    let (mut expected, mut effects) = (Vec::new(), Vec::new());
    let mut machine = Machine::new(Arc::clone(plan), &mut expected);
    let mut by_hand = ByHand::new(Arc::clone(plan), &mut effects);
    assert_eq!(effects, expected);
    for input in script {
        expected.clear();
        effects.clear();
        let step = machine.handle(*input, &mut expected);
        by_hand.handle(*input, &mut effects);
        assert_eq!(
            effects,
            expected,
            "{input:?}: {step:?} in {:?}",
            machine.state()
        );
    }
}

fn time_machine(plan: &Arc<Plan>, script: &[Input]) -> Duration {
    let mut effects = Vec::with_capacity(64);
    let mut machine = Machine::new(Arc::clone(plan), &mut effects);
    let began = Instant::now();
    for input in script {
        effects.clear();
        let step = machine.handle(*black_box(input), &mut effects);
        black_box(&step);
        black_box(&effects);
    }
    began.elapsed()
}

fn time_by_hand(plan: &Arc<Plan>, script: &[Input]) -> Duration {
    let mut effects = Vec::with_capacity(64);
    let mut by_hand = ByHand::new(Arc::clone(plan), &mut effects);
    let began = Instant::now();
    for input in script {
        effects.clear();
        by_hand.handle(*black_box(input), &mut effects);
        black_box(&effects);
    }
    began.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn count_allocations(plan: &Arc<Plan>, script: &[Input]) -> u64 {
    let mut effects = Vec::with_capacity(64);
    let mut machine = Machine::new(Arc::clone(plan), &mut effects);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for input in script {
        effects.clear();
        let _ = machine.handle(*input, &mut effects);
    }
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static COUNTING: Counting = Counting;

/// The system's allocator, with a count of how often it was asked for memory.
struct Counting;

// SAFETY: every call is passed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, memory: Memory) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(memory) }
    }

    unsafe fn dealloc(&self, at: *mut u8, memory: Memory) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(at, memory) }
    }

    unsafe fn realloc(&self, at: *mut u8, memory: Memory, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.realloc(at, memory, size) }
    }
}
