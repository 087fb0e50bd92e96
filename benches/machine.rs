//! What one input costs in the machine, beside a plain match of the same table: by the clock and in
//! instructions; how often the machine allocates; and how the time of a whole outage grows.

mod by_hand;
mod scripts;

use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use overwatch::machine::{Effect, Input, Machine, Step};
use overwatch::policy::Plan;

use crate::counting;
use crate::lines::{Limit, Lines, by_turns, median, on_the_core, ratios};
use by_hand::ByHand;
use scripts::Script;

/// The argument that runs one script for `callgrind` to count.
pub(crate) const UNDER_CALLGRIND: &str = "under-callgrind";

/// How many times the cost of the plain match the machine may cost.
const LIMIT: f64 = 2.0;
/// How many times the cost of one component of a thousand may one of a million cost.
const LINEAR: f64 = 1.5;
const WARM_UP: usize = 3;
const ROUNDS: usize = 15;
/// How often a script is run in one round.
const AGAIN: u32 = 10;

pub(crate) fn measure(lines: &mut Lines) {
    scripts::noise().iter().for_each(same_effects);
    let mix = scripts::mix();
    same_effects(&mix);
    one_input(lines, &mix);
    for script in scripts::of_each_state() {
        same_effects(&script);
        one_input(lines, &script);
    }
    instructions(lines);
    allocations(lines);
    outages(lines);
}

/// Either of the two.
trait Machinery {
    fn at_boot(plan: Arc<Plan>, effects: &mut Vec<Effect>) -> Self;
    fn take(&mut self, input: Input, effects: &mut Vec<Effect>);
}

impl Machinery for Machine {
    fn at_boot(plan: Arc<Plan>, effects: &mut Vec<Effect>) -> Self {
        Machine::new(plan, effects)
    }

    fn take(&mut self, input: Input, effects: &mut Vec<Effect>) {
        let step: Step = self.handle(input, effects);
        black_box(&step);
    }
}

impl Machinery for ByHand {
    fn at_boot(plan: Arc<Plan>, effects: &mut Vec<Effect>) -> Self {
        ByHand::new(plan, effects)
    }

    fn take(&mut self, input: Input, effects: &mut Vec<Effect>) {
        self.handle(input, effects);
    }
}

fn one_input(lines: &mut Lines, script: &Script) {
    let [ours, theirs] = by_turns::<_, 2>(WARM_UP, ROUNDS, |who| match who {
        0 => nanos(time::<Machine>(script), script.timed.len()),
        _ => nanos(time::<ByHand>(script), script.timed.len()),
    });
    let what = format!("machine: an input, {} / by hand", script.name);
    let more = format!("{:.1} / {:.1} ns", median(&ours), median(&theirs));
    lines.rounds(&what, &ratios(&ours, &theirs), Limit::AtMost(LIMIT), more);
}

/// Takes in all inputs of a script, and times those that are to be timed, again and again.
fn time<M: Machinery>(script: &Script) -> Duration {
    let mut effects = Vec::with_capacity(script.room);
    let mut spent = Duration::ZERO;
    for _ in 0..AGAIN {
        let mut machine = M::at_boot(Arc::clone(&script.plan), &mut effects);
        drive(&mut machine, &script.before, &mut effects);
        let began = on_the_core();
        drive(&mut machine, &script.timed, &mut effects);
        spent += on_the_core() - began;
    }
    spent / AGAIN
}

/// Kept by itself, so that `callgrind` can count what happens in it.
#[inline(never)]
fn drive<M: Machinery>(machine: &mut M, inputs: &[Input], effects: &mut Vec<Effect>) {
    for input in inputs {
        effects.clear();
        machine.take(*black_box(input), effects);
        black_box(&effects);
    }
}

fn nanos(time: Duration, inputs: usize) -> f64 {
    time.as_secs_f64() * 1e9 / inputs as f64
}

/// The two must ask for the same, or they would not be comparable.
fn same_effects(script: &Script) {
    let (mut expected, mut effects) = (Vec::new(), Vec::new());
    let mut machine = Machine::new(Arc::clone(&script.plan), &mut expected);
    let mut by_hand = ByHand::new(Arc::clone(&script.plan), &mut effects);
    assert_eq!(effects, expected);
    for input in script.before.iter().chain(&script.timed) {
        expected.clear();
        effects.clear();
        let step = machine.handle(*input, &mut expected);
        by_hand.handle(*input, &mut effects);
        let state = machine.state();
        assert_eq!(effects, expected, "{input:?}: {step:?} in {state:?}");
    }
}

/// What is timed allocates nothing, and neither does a whole outage: the steady state of a service.
fn allocations(lines: &mut Lines) {
    let scripts = scripts::of_each_state().into_iter();
    for script in scripts.chain([scripts::mix(), scripts::outage(1_000)]) {
        let mut effects = Vec::with_capacity(script.room);
        let mut machine = Machine::new(Arc::clone(&script.plan), &mut effects);
        drive(&mut machine, &script.before, &mut effects);
        counting::begin();
        drive(&mut machine, &script.timed, &mut effects);
        let counted = counting::end();
        let what = format!("machine: allocations, {}", script.name);
        let more = format!("in {} inputs", script.timed.len());
        lines.exact(&what, counted.allocations as f64, Limit::Exactly(0.0), more);
    }
    // That the count counts.
    counting::begin();
    drop(black_box(Box::new(1)));
    assert_eq!(counting::end().allocations, 1);
}

// Whole outages.

/// How many components, and how many outages a round has, so that rounds are about as long.
const SIZES: [(usize, usize); 7] = [
    (1, 100_000),
    (10, 50_000),
    (100, 10_000),
    (1_000, 1_000),
    (10_000, 100),
    (100_000, 10),
    (1_000_000, 1),
];
/// Where a thousand and a million stand in there.
const THOUSAND: usize = 3;
const MILLION: usize = 6;

fn outages(lines: &mut Lines) {
    let scripts = SIZES.map(|(components, _)| scripts::outage(components));
    let times = by_turns::<_, 7>(1, 9, |who| {
        let outages = SIZES[who].1;
        let script = &scripts[who];
        let mut effects = Vec::with_capacity(script.room);
        let mut machine = Machine::new(Arc::clone(&script.plan), &mut effects);
        drive(&mut machine, &script.before, &mut effects);
        // Epochs and sessions have gone on after an outage, so each begins with the same machine.
        let began = on_the_core();
        for _ in 0..outages {
            let mut again = black_box(machine.clone());
            drive(&mut again, &script.timed, &mut effects);
        }
        let both = on_the_core() - began;
        let began = on_the_core();
        for _ in 0..outages {
            drop(black_box(machine.clone()));
        }
        let spent = both.saturating_sub(on_the_core() - began);
        assert!(
            !spent.is_zero(),
            "it takes longer than to make the machines"
        );
        nanos(spent, outages * SIZES[who].0)
    });
    for (who, (components, _)) in SIZES.into_iter().enumerate() {
        let what = format!("machine: ns of an outage, each of {components}");
        lines.rounds(&what, &times[who], Limit::None, "");
    }
    let ratios = ratios(&times[MILLION], &times[THOUSAND]);
    let what = "machine: outage, each of 1000000 / each of 1000";
    lines.rounds(what, &ratios, Limit::AtMost(LINEAR), "");
}

// Instructions.

fn instructions(lines: &mut Lines) {
    let names = scripts::of_each_state()
        .into_iter()
        .map(|script| script.name);
    for name in ["mix"].into_iter().chain(names) {
        let what = format!("machine: instructions, {name} / by hand");
        match count(name, "machine").zip(count(name, "by-hand")) {
            Some((ours, theirs)) => {
                let more = format!("{ours:.1} / {theirs:.1} instructions");
                // The limit is one of time; here it must be kept as well.
                lines.exact(&what, ours / theirs, Limit::AtMost(LIMIT), more);
            }
            None => lines.missing(&what, NO_VALGRIND),
        }
    }
    let outage = count("1000000", "machine").zip(count("1000", "machine"));
    let what = "machine: instructions, each of 1000000 / of 1000";
    match outage {
        Some((million, thousand)) => {
            let more = format!("{million:.1} / {thousand:.1} instructions");
            lines.exact(what, million / thousand, Limit::AtMost(LINEAR), more);
        }
        None => lines.missing(what, NO_VALGRIND),
    }
}

const NO_VALGRIND: &str = "install valgrind, which counts instructions";

/// Instructions of one input, or of one component's outage, counted by `callgrind`.
fn count(what: &str, who: &str) -> Option<f64> {
    let this = std::env::current_exe().ok()?;
    let counted = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        // Only the last part of the run is counted.
        .args([
            "--collect-atstart=no",
            "--toggle-collect=*under_callgrind*counted*",
        ])
        .arg(this)
        .args(["--here", UNDER_CALLGRIND, what, who])
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&counted.stderr);
    let (_, collected) = said.rsplit_once("Collected :")?;
    let instructions: f64 = collected.split_whitespace().next()?.parse().ok()?;
    let each = what
        .parse()
        .unwrap_or_else(|_| scripts::named(what).timed.len());
    (instructions > 0.0).then(|| instructions / each as f64)
}

/// What is run for [`count`].
pub(crate) fn under_callgrind(what: &str, who: &str) {
    let script = match what.parse() {
        Ok(components) => scripts::outage(components),
        Err(_) => scripts::named(what),
    };
    #[inline(never)]
    fn counted<M: Machinery>(machine: &mut M, inputs: &[Input], effects: &mut Vec<Effect>) {
        drive(machine, inputs, effects);
    }
    fn run<M: Machinery>(script: &Script) {
        let mut effects = Vec::with_capacity(script.room);
        let mut machine = M::at_boot(Arc::clone(&script.plan), &mut effects);
        drive(&mut machine, &script.before, &mut effects);
        counted(&mut machine, &script.timed, &mut effects);
    }
    match who {
        "machine" => run::<Machine>(&script),
        _ => run::<ByHand>(&script),
    }
}
