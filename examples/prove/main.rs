#![forbid(unsafe_code)]
//! Every situation of many plans, visited: `cargo run --release --example prove`, and `-- large`
//! for what takes longer.

mod sizes;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use overwatch::explore::{Explorer, Proof};

use sizes::{Clock, Size};

fn main() -> ExitCode {
    let sizes = match std::env::args().nth(1).as_deref() {
        None => sizes::default_sizes(),
        Some("large") => sizes::large_sizes(),
        Some(other) => {
            eprintln!("there is no size {other:?}: give none, or `large`");
            return ExitCode::FAILURE;
        }
    };
    let (mut states, mut edges, mut spent) = (0, 0, Duration::ZERO);
    let each = |size: &Size, proof: &Proof, took: Duration| {
        let visited = proof.visited;
        states += visited.states;
        edges += visited.edges;
        spent += took;
        println!("{size}: {proof}; {took:.1?}");
    };
    match prove(&sizes, each) {
        Ok(()) => {
            println!(
                "{} plans: {states} states, {edges} edges, no law broken, and all that must happen does; {spent:.1?}",
                sizes.len()
            );
            ExitCode::SUCCESS
        }
        Err(refuted) => {
            eprintln!("{refuted}");
            ExitCode::FAILURE
        }
    }
}

/// Explores all of them on all cores, and tells of each in order; stops at the first that is not
/// proved.
fn prove(sizes: &[Size], mut each: impl FnMut(&Size, &Proof, Duration)) -> Result<(), String> {
    let next = AtomicUsize::new(0);
    let over = AtomicBool::new(false);
    let (tell, told) = mpsc::channel();
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            let tell = tell.clone();
            scope.spawn(|| {
                let tell = tell;
                while !over.load(Ordering::Relaxed) {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(size) = sizes.get(place) else {
                        return;
                    };
                    let began = Instant::now();
                    let proof = prove_one(size);
                    // Nobody listens any more once one failed.
                    let _ = tell.send((place, proof, began.elapsed()));
                }
            });
        }
        drop(tell);
        let mut early = BTreeMap::new();
        for (place, size) in sizes.iter().enumerate() {
            let (proof, took) = loop {
                if let Some(row) = early.remove(&place) {
                    break row;
                }
                match told.recv() {
                    Ok((place, proof, took)) => early.insert(place, (proof, took)),
                    Err(_) => return Err("a worker is gone".into()),
                };
            };
            match proof {
                Ok(proof) => each(size, &proof, took),
                Err(why) => {
                    over.store(true, Ordering::Relaxed);
                    return Err(format!("{size}: {why}"));
                }
            }
        }
        Ok(())
    })
}

fn prove_one(size: &Size) -> Result<Proof, String> {
    let plan = size.plan().map_err(in_words)?;
    let at_most = sizes::at_most(&plan);
    let explorer = Explorer::new(plan).map_err(in_words)?;
    let explorer = if size.clock != Clock::Off {
        explorer.with_clock()
    } else {
        explorer
    };
    let proof = explorer
        .with_max_states(200_000_000)
        .run()
        .map_err(in_words)?;
    // What was found on the graph is no more than what one works out by hand.
    match proof.longest {
        Some(found)
            if found.recovery > at_most[0]
                || found.shutdown > at_most[1]
                || found.rest > at_most[2] =>
        {
            Err(format!("{found}, and not {at_most:?} at most"))
        }
        _ => Ok(proof),
    }
}

fn in_words(error: impl Display) -> String {
    error.to_string()
}
