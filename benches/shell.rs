//! Start and stop of many trivial components, and what they hold while they run.

pub(crate) mod contenders;

use tokio::runtime::{Builder, Runtime};

use crate::counting;
use crate::lines::{Limit, Lines, by_turns, median, ms, ratios};
use contenders::{Contender, Place, Took};

/// The most that start, stop and bytes may be of what they are bare.
const START_STOP_LIMIT: f64 = 1.3;
const BYTES_LIMIT: f64 = 1.5;
/// The peers are to be beaten.
const PEERS_LIMIT: Limit = Limit::Below(1.0);
/// How many components, and how many rounds with as many.
const SIZES: [(usize, usize); 3] = [(1_000, 301), (10_000, 101), (100_000, 15)];
const WARM_UP: usize = 2;
/// How many rounds of bytes, which hardly differ.
const BYTES_ROUNDS: usize = 5;

pub(crate) fn measure(lines: &mut Lines) {
    let runtime = runtime();
    let main = Place::main(&runtime);
    for (place, where_) in [(&main, ""), (&Place::Worker, ", spawned")] {
        for (components, rounds) in SIZES {
            let took = by_turns::<_, 4>(WARM_UP, rounds, |who| {
                Contender::ALL[who].run(&runtime, place, components, || {})
            });
            // Of few components the fixed costs show, as a wake-up of a thread.
            let bare = match components {
                ..10_000 => Limit::None,
                _ => Limit::AtMost(START_STOP_LIMIT),
            };
            for (what, of) in PARTS {
                let times = took.each_ref().map(|took| took.iter().map(of).collect());
                let what = format!("shell: {what} of {components}{where_}");
                compare(lines, &what, times, bare, "ms");
            }
        }
    }
    for (components, _) in SIZES {
        let held = by_turns::<_, 4>(1, BYTES_ROUNDS, |who| {
            held(&runtime, &main, Contender::ALL[who], components)
        });
        let what = format!("shell: bytes of each of {components}");
        compare(lines, &what, held, Limit::AtMost(BYTES_LIMIT), "bytes");
    }
}

type Part = (&'static str, fn(&Took) -> f64);

const PARTS: [Part; 2] = [
    ("start", |took| ms(took.start)),
    ("stop", |took| ms(took.stop)),
];

/// Two workers, as many as there are where this is measured.
pub(crate) fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all();
    builder.build().expect("a runtime")
}

/// One line for each of the others. The limit is that of bare.
fn compare(lines: &mut Lines, what: &str, all: [Vec<f64>; 4], bare: Limit, unit: &str) {
    let [ours, others @ ..] = &all;
    for (who, theirs) in Contender::ALL[1..].iter().zip(others) {
        let limit = match who {
            Contender::Bare => bare,
            _ => PEERS_LIMIT,
        };
        let what = format!("{what} / {}", who.name());
        let more = format!("{:.2} / {:.2} {unit}", median(ours), median(theirs));
        lines.rounds(&what, &ratios(ours, theirs), limit, more);
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
