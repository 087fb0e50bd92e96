//! A thousand seeds in a release build; a sixteenth of them in a debug build, which is some thirty
//! times slower.

use std::ops::Range;

use overwatch_simulated::{Episode, Scenario, Traffic, simulate};

/// As many of these as the build can do.
fn share(seeds: Range<u64>) -> Range<u64> {
    let share = if cfg!(debug_assertions) { 16 } else { 1 };
    seeds.start..seeds.start + (seeds.end - seeds.start) / share
}

fn judge(seeds: Range<u64>) {
    let seeds = share(seeds);
    let mut wrong = Vec::new();
    for seed in seeds {
        if let Err(why) = simulate(&Scenario::of(seed)) {
            wrong.push((seed, why));
        }
    }
    for (seed, why) in &wrong {
        println!("== seed {seed}: {why}");
    }
    let seeds: Vec<u64> = wrong.iter().map(|(seed, _)| *seed).collect();
    assert!(seeds.is_empty(), "seeds {seeds:?}");
}

macro_rules! seeds {
    ($($test:ident: $seeds:expr;)*) => {
        $(#[test]
        fn $test() {
            judge($seeds);
        })*
    };
}

seeds! {
    seeds_0_to_124: 0..125;
    seeds_125_to_249: 125..250;
    seeds_250_to_374: 250..375;
    seeds_375_to_499: 375..500;
    seeds_500_to_624: 500..625;
    seeds_625_to_749: 625..750;
    seeds_750_to_874: 750..875;
    seeds_875_to_999: 875..1000;
}

/// Half of the scenarios with this episode show what it is there for.
fn shows(episode: Episode, what: impl Fn(&Traffic) -> usize) {
    let seeds = if cfg!(debug_assertions) { 125 } else { 1_000 };
    let scenarios = (0..seeds).map(Scenario::of);
    let with_it = scenarios.filter(|scenario| scenario.has(episode));
    // Those that are refused are told of by the tests above.
    let outcomes: Vec<_> = with_it.filter_map(|it| simulate(&it).ok()).collect();
    let shown = outcomes.iter().filter(|it| what(&it.traffic) > 0).count();
    assert!(
        shown > 0 && shown * 2 >= outcomes.len(),
        "{episode:?} shows in {shown} of {}",
        outcomes.len()
    );
}

#[test]
fn replies_do_overtake_each_other() {
    shows(Episode::Reordered, |traffic| traffic.overtakings);
}

#[test]
fn replies_do_arrive_after_their_time() {
    shows(Episode::OneLate, |traffic| traffic.late);
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..20 {
        let scenario = Scenario::of(seed);
        let traces = [(); 2].map(|()| simulate(&scenario).unwrap_or_else(|why| panic!("{why}")));
        assert_eq!(traces[0], traces[1], "seed {seed}");
    }
}
