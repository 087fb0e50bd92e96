//! What must hold of what the probe told, whatever the scenario.

use std::time::Duration;

use crate::Observation;
use crate::scenario::{Episode, Scenario, Trace};

/// What is to be told of an episode: its class, and within what time; none if nothing may be told.
fn expected(episode: Episode) -> Option<(&'static str, u64)> {
    match episode {
        // A simulated host that crashed refuses no connection: it is silent.
        Episode::Silent | Episode::CutToMembers | Episode::CutFromMembers | Episode::Crash => {
            Some(("unreachable", 5_000))
        }
        Episode::HangUps => Some(("unreachable", 3_000)),
        Episode::NoLeader => Some(("no_leader", 5_000)),
        Episode::Stalled => Some(("write_path", 12_000)),
        Episode::Slow => Some(("too_slow", 8_000)),
        Episode::NoSpace => Some(("no_space", 12_000)),
        Episode::Corrupt => Some(("corrupt", 12_000)),
        Episode::Wiped => Some(("store_reset", 3_000)),
        Episode::Denied => Some(("permission", 5_000)),
        Episode::Reordered
        | Episode::Election
        | Episode::Pause
        | Episode::OneCutOff
        | Episode::OneCrashed
        | Episode::AlarmsHidden => None,
    }
}

/// How long after its end it may be felt.
fn recovers_within(episode: Episode) -> Duration {
    match episode {
        // What was lost is not sent again by the simulated network, so a new connection must be made,
        // and the attempt under way may have begun just before.
        Episode::CutToMembers | Episode::CutFromMembers => Duration::from_millis(3_200),
        // Replies that are under way already stay late.
        Episode::Slow => Duration::from_millis(3_200),
        _ => Duration::from_millis(1_000),
    }
}

/// How much later than the limit anything may be: the ticks and the latency of the simulated network.
const GRAIN: Duration = Duration::from_millis(100);

pub(crate) fn judge(
    scenario: &Scenario,
    trace: &Trace,
    attempts: u64,
    requests: u64,
) -> Result<(), String> {
    let began = trace.first().map(|(at, _)| *at);
    if began.is_none_or(|at| at > Duration::from_millis(500)) {
        return Err(format!("the first observation is {began:?}"));
    }
    let mut calm_since = Duration::ZERO;
    for &(episode, begins, lasts) in &scenario.episodes {
        calm(trace, calm_since, begins)?;
        let ends = begins + lasts;
        match expected(episode) {
            None => {
                calm(trace, begins, ends)?;
                calm_since = ends;
            }
            Some((class, limit)) => {
                let limit = Duration::from_millis(limit) + GRAIN;
                fault(trace, episode, class, (begins, ends), limit)?;
                calm_since = ends + recovers_within(episode) + GRAIN;
                if episode == Episode::Wiped {
                    calm_since = begins + limit;
                }
            }
        }
    }
    calm(trace, calm_since, Duration::MAX)?;
    once_per_wipe(scenario, trace)?;
    bounded(scenario, attempts, requests)
}

/// Alive all the time, and told so often enough.
fn calm(trace: &Trace, from: Duration, to: Duration) -> Result<(), String> {
    let within = trace.iter().filter(|(at, _)| (from..to).contains(at));
    let mut last = from;
    for (at, observation) in within {
        if !matches!(observation, Observation::Alive { .. }) {
            return Err(format!(
                "from {from:?} to {to:?} all was well, but {at:?} {observation:?}"
            ));
        }
        if *at > last + Duration::from_millis(4_750) {
            return Err(format!("nothing was told from {last:?} to {at:?}"));
        }
        last = *at;
    }
    Ok(())
}

/// Told with its class and in time, and not alive from then to the end.
fn fault(
    trace: &Trace,
    episode: Episode,
    class: &str,
    (begins, ends): (Duration, Duration),
    limit: Duration,
) -> Result<(), String> {
    let of_class = |observation: &Observation| matches!(observation, Observation::Failing { class: Some(told), .. } if *told == class);
    let until = if episode == Episode::Wiped {
        begins + limit
    } else {
        ends
    };
    let mut within = trace.iter().filter(|(at, _)| (begins..until).contains(at));
    let first = within.find(|(_, seen)| matches!(seen, Observation::Failing { .. }));
    let Some((at, first)) = first else {
        return Err(format!("{episode:?} from {begins:?} was not told"));
    };
    if !of_class(first) {
        return Err(format!(
            "{episode:?} from {begins:?}: expected {class}, told {first:?}"
        ));
    }
    if *at > begins + limit {
        return Err(format!("{episode:?} from {begins:?} was told at {at:?}"));
    }
    if episode == Episode::Wiped {
        return Ok(());
    }
    match within.find(|(_, seen)| matches!(seen, Observation::Alive { .. })) {
        Some((at, seen)) => Err(format!("{episode:?} until {ends:?}, but {at:?} {seen:?}")),
        None => Ok(()),
    }
}

fn once_per_wipe(scenario: &Scenario, trace: &Trace) -> Result<(), String> {
    let wipes = scenario
        .episodes
        .iter()
        .filter(|(episode, ..)| *episode == Episode::Wiped)
        .count();
    let told = trace.iter().filter(|(_, observation)| {
        matches!(
            observation,
            Observation::Failing {
                class: Some("store_reset"),
                ..
            }
        )
    });
    match told.count() {
        told if told == wipes => Ok(()),
        told => Err(format!("{told} store resets were told of {wipes}")),
    }
}

/// No storms: a few questions a second at most in trouble, one a second else; the same for connections.
fn bounded(scenario: &Scenario, attempts: u64, requests: u64) -> Result<(), String> {
    let troubled: Duration = scenario.episodes.iter().map(|(_, _, lasts)| *lasts).sum();
    let troubled = troubled.as_secs_f64() + 5.0 * scenario.episodes.len() as f64;
    let all = scenario
        .episodes
        .last()
        .map_or(0.0, |(_, at, lasts)| (*at + *lasts).as_secs_f64())
        + 9.0;
    let members = scenario.members as f64;
    let most_attempts = members * (2.0 + 4.0 * troubled);
    let most_requests = all + members * (6.0 + 10.0 * troubled);
    if attempts as f64 > most_attempts {
        return Err(format!(
            "{attempts} connections, expected {most_attempts} at most"
        ));
    }
    if requests as f64 > most_requests {
        return Err(format!(
            "{requests} requests, expected {most_requests} at most"
        ));
    }
    Ok(())
}
