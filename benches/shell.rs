//! Start and stop of many trivial components, and what they hold while they run.

pub(crate) mod contenders;

use tokio::runtime::{Builder, Runtime};

use crate::counting;
use crate::lines::{Limit, Lines, by_turns, median, ms, ratios};
use contenders::{Contender, Place, Took};

/// The most that start, stop and bytes may be of what they are bare.
const START_STOP_LIMIT: f64 = 1.3;
const BYTES_LIMIT: f64 = 1.5;
/// How many components, and how many rounds with as many.
const SIZES: [(usize, usize); 3] = [(1_000, 101), (10_000, 101), (100_000, 21)];
const WARM_UP: usize = 2;

pub(crate) fn measure(lines: &mut Lines) {
    let runtime = runtime();
    let main = Place::main(&runtime);
    for (components, rounds) in SIZES {
        let took = by_turns::<_, 4>(WARM_UP, rounds, |who| {
            Contender::ALL[who].run(&runtime, &main, components, || {})
        });
        for (what, of) in PARTS {
            let times = took.each_ref().map(|took| took.iter().map(of).collect());
            let what = format!("shell: {what} of {components}");
            compare(lines, &what, times, components, START_STOP_LIMIT, "ms");
        }
    }
    spawned(lines, &runtime);
    for (components, _) in &SIZES[1..] {
        let held = Contender::ALL.map(|who| vec![held(&runtime, &main, who, *components)]);
        let what = format!("shell: bytes of each of {components}");
        compare(lines, &what, held, *components, BYTES_LIMIT, "bytes");
    }
}

type Part = (&'static str, fn(&Took) -> f64);

const PARTS: [Part; 2] = [
    ("start", |took| ms(took.start)),
    ("stop", |took| ms(took.stop)),
];

/// What it costs that a spawned run takes a thread of its own: bare stays on its worker.
fn spawned(lines: &mut Lines, runtime: &Runtime) {
    let (components, rounds) = SIZES[1];
    let took = by_turns::<_, 2>(WARM_UP, rounds, |who| {
        Contender::ALL[who].run(runtime, &Place::Worker, components, || {})
    });
    for (what, of) in PARTS {
        let [ours, bare] = took
            .each_ref()
            .map(|took| took.iter().map(of).collect::<Vec<_>>());
        let what = format!("shell: {what} of {components}, spawned / bare");
        let more = format!("{:.2} / {:.2} ms", median(&ours), median(&bare));
        lines.rounds(&what, &ratios(&ours, &bare), Limit::None, more);
    }
}

/// Two workers, as many as there are where this is measured.
pub(crate) fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all();
    builder.build().expect("a runtime")
}

/// One line for each of the others.
fn compare(
    lines: &mut Lines,
    what: &str,
    all: [Vec<f64>; 4],
    components: usize,
    limit: f64,
    unit: &str,
) {
    let [ours, others @ ..] = &all;
    for (who, theirs) in Contender::ALL[1..].iter().zip(others) {
        let limit = match who {
            // Of few components the fixed costs show.
            Contender::Bare if components < 10_000 => Limit::None,
            Contender::Bare => Limit::AtMost(limit),
            _ => Limit::Below(1.0),
        };
        let what = format!("{what} / {}", who.name());
        let more = format!("{:.2} / {:.2} {unit}", median(ours), median(theirs));
        match ratios(ours, theirs)[..] {
            [exact] => lines.exact(&what, exact, limit, more),
            ref ratios => lines.rounds(&what, ratios, limit, more),
        }
    }
}

/// Bytes that a component holds while it runs, names and all.
fn held(runtime: &Runtime, main: &Place, who: Contender, components: usize) -> f64 {
    let mut held = 0;
    counting::begin();
    who.run(runtime, main, components, || {
        // What runs on the other worker is settled by then.
        std::thread::sleep(std::time::Duration::from_millis(200));
        held = counting::so_far().held;
    });
    counting::end();
    held as f64 / components as f64
}
