//! The judge refuses what it should: traces made by hand, falsified in one place.

use std::ops::Range;
use std::time::Duration;

use overwatch::Observation;
use overwatch_simulated::{Episode, Scenario, Scene, Told, Traffic, judge};

#[test]
fn a_probe_that_does_as_it_should_is_believed() {
    assert_eq!(judged(Episode::Silent, |_| {}), Ok(()));
    assert_eq!(judged(Episode::Wiped, |_| {}), Ok(()));
    assert_eq!(judged(Episode::Election, |_| {}), Ok(()));
}

#[test]
fn silence_is_refused_wherever_it_is() {
    refused(Episode::Silent, "the first observation", |trace| {
        trace.retain(|(at, _)| *at > s(1.0));
    });
    for (from, to) in [(5.0, 6.8), (21.5, 26.5), (25.0, 29.9), (31.0, 36.0)] {
        refused(Episode::Silent, "nothing was told from", |trace| {
            trace.retain(|(at, _)| *at < s(from) || *at > s(to));
        });
    }
    // For good: before it fails, while it does, and afterwards.
    for from in [5.0, 21.5, 28.0, 30.0, 34.0] {
        for episode in [Episode::Silent, Episode::Election] {
            refused(episode, "nothing was told from", |trace| {
                trace.retain(|(at, _)| *at < s(from));
            });
        }
    }
}

#[test]
fn silence_is_believed_while_all_members_are_concerned() {
    let silent = |trace: &mut Vec<Told>| trace.retain(|(at, _)| *at < s(20.0) || *at > s(23.5));
    assert_eq!(judged(Episode::Election, silent), Ok(()));
    for episode in [Episode::OneCutOff, Episode::OneLate] {
        refused(episode, "nothing was told from", silent);
    }
}

#[test]
fn a_fault_that_is_told_wrongly_is_refused() {
    refused(Episode::Silent, "expected unreachable", |trace| {
        replace(trace, 24.0..26.0, || failing("no_leader"));
    });
    refused(Episode::Silent, "expected unreachable", |trace| {
        replace(trace, 27.0..29.0, || failing("write_path"));
    });
    refused(Episode::Silent, "was told by Some", |trace| {
        replace(trace, 20.0..25.2, alive);
    });
    refused(Episode::Silent, "was told by None", |trace| {
        replace(trace, 20.0..40.0, alive);
    });
    refused(Episode::Silent, "until 30s, but", |trace| {
        replace(trace, 27.0..28.5, alive);
    });
    refused(Episode::Silent, "until 30s, alive again by Some", |trace| {
        replace(trace, 30.0..32.0, || failing("unreachable"));
    });
    refused(Episode::Silent, "until 30s, alive again by None", |trace| {
        replace(trace, 30.0..40.0, || failing("unreachable"));
    });
}

#[test]
fn an_alarm_that_is_false_is_refused() {
    for (from, to) in [(3.0, 4.5), (18.5, 20.0), (34.0, 35.5), (37.0, 40.0)] {
        refused(Episode::Silent, "all was well until", |trace| {
            replace(trace, from..to, || failing("unreachable"));
        });
    }
    refused(Episode::Election, "all was well until", |trace| {
        replace(trace, 20.0..22.0, || failing("no_leader"));
    });
}

#[test]
fn a_reset_is_told_once() {
    refused(Episode::Wiped, "2 store resets were told of 1", |trace| {
        insert(trace, 20.5, failing("store_reset"));
    });
    refused(Episode::Wiped, "all was well until", |trace| {
        replace(trace, 25.0..26.4, || failing("store_reset"));
    });
    refused(Episode::Wiped, "was told by None", |trace| {
        replace(trace, 0.0..40.0, alive);
    });
    refused(Episode::Election, "all was well until", |trace| {
        replace(trace, 20.0..21.4, || failing("store_reset"));
    });
}

#[test]
fn a_storm_is_refused() {
    let scenario = scenario(Episode::Silent);
    let trace = good(&scenario);
    let connections = |attempts| {
        let requests = Vec::new();
        judge(&scenario, &trace, &traffic(attempts, requests))
    };
    assert_eq!(connections(often(20.0, 2.0, 5)), Ok(()));
    for many in [often(20.0, 1.0, 10), often(5.0, 1.0, 2)] {
        let refused = connections(many).expect_err("too many");
        assert!(refused.contains("connections with member 0"), "{refused}");
    }
    let requests = |requests| judge(&scenario, &trace, &traffic(Vec::new(), requests));
    assert_eq!(requests(often(0.0, 0.9, 10)), Ok(()));
    for many in [often(20.0, 0.4, 25), often(0.0, 0.55, 18)] {
        let refused = requests(many).expect_err("too many");
        assert!(refused.contains("requests to member 0"), "{refused}");
    }
}

fn refused(episode: Episode, why: &str, change: impl FnOnce(&mut Vec<Told>)) {
    let refused = judged(episode, change).expect_err(why);
    assert!(refused.contains(why), "expected {why}, refused: {refused}");
}

fn judged(episode: Episode, change: impl FnOnce(&mut Vec<Told>)) -> Result<(), String> {
    let scenario = scenario(episode);
    let mut trace = good(&scenario);
    change(&mut trace);
    judge(&scenario, &trace, &Traffic::default())
}

/// From 20 s to 30 s.
fn scenario(episode: Episode) -> Scenario {
    let scene = Scene {
        episode,
        begins: s(20.0),
        ends: if episode == Episode::Wiped {
            s(20.0)
        } else {
            s(30.0)
        },
        member: 0,
    };
    Scenario {
        members: 1,
        scenes: vec![scene],
        latency: Duration::ZERO,
        seed: 0,
    }
}

/// What a good probe tells.
fn good(scenario: &Scenario) -> Vec<Told> {
    let every_period = (0..).map(|n| s(0.1) + s(1.4) * n);
    let until_end = every_period.take_while(|at| *at < scenario.end());
    let mut trace: Vec<Told> = until_end.map(|at| (at, alive())).collect();
    match scenario.scenes[0].episode {
        Episode::Silent => {
            trace.retain(|(at, _)| !(s(21.5)..s(23.5)).contains(at));
            replace(&mut trace, 23.5..30.0, || failing("unreachable"));
            insert(&mut trace, 30.4, alive());
        }
        Episode::Wiped => {
            insert(&mut trace, 20.5, failing("store_reset"));
            insert(&mut trace, 20.6, alive());
        }
        _ => {}
    }
    trace
}

fn insert(trace: &mut Vec<Told>, at: f64, seen: Observation) {
    let index = trace.partition_point(|(other, _)| *other <= s(at));
    trace.insert(index, (s(at), seen));
}

fn replace(trace: &mut [Told], within: Range<f64>, by: impl Fn() -> Observation) {
    let within = s(within.start)..s(within.end);
    for (at, seen) in trace {
        if within.contains(at) {
            *seen = by();
        }
    }
}

fn traffic(attempts: Vec<(Duration, usize)>, requests: Vec<(Duration, usize)>) -> Traffic {
    Traffic {
        attempts,
        requests,
        ..Traffic::default()
    }
}

/// So many times at the only member.
fn often(from: f64, every: f64, count: u32) -> Vec<(Duration, usize)> {
    let times = (0..count).map(|n| s(from + every * f64::from(n)));
    times.map(|at| (at, 0)).collect()
}

fn alive() -> Observation {
    Observation::alive("it answers")
}

fn failing(class: &'static str) -> Observation {
    Observation::failing("it does not").with_class(class)
}

fn s(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}
