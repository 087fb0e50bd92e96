//! What must hold of what the probe told, whatever the scenario.

use std::time::Duration;

use overwatch::Observation;

use crate::net::Traffic;
use crate::scenario::{Episode, Scenario, Scene};

/// What the probe told, and when.
pub type Told = (Duration, Observation);

/// What is to be told of an episode: its class, and within what time; none if nothing may be told.
fn expected(episode: Episode) -> Option<(&'static str, u64)> {
    match episode {
        // A simulated host that crashed refuses no connection: it is silent.
        Episode::Silent | Episode::CutToMembers | Episode::CutFromMembers | Episode::Crash => {
            Some(("unreachable", 5_000))
        }
        // At once.
        Episode::HangUps => Some(("unreachable", 500)),
        Episode::NoLeader => Some(("no_leader", 5_000)),
        // A proposal is made every 8 s, and waited for.
        Episode::Stalled => Some(("write_path", 11_500)),
        // Three reads, one after the other.
        Episode::Slow => Some(("too_slow", 8_000)),
        // With the next proposal.
        Episode::NoSpace => Some(("no_space", 8_200)),
        Episode::Corrupt => Some(("corrupt", 8_200)),
        // With the next read.
        Episode::Wiped => Some(("store_reset", 1_500)),
        // The same, and once each member has refused two of them, at the pace of doubt.
        Episode::Denied => Some(("permission", 3_500)),
        Episode::Reordered
        | Episode::Election
        | Episode::Pause
        | Episode::OneCutOff
        | Episode::OneCutTo
        | Episode::OneCutFrom
        | Episode::OneCrashed
        | Episode::OneHangsUp
        | Episode::OneLate
        | Episode::AlarmsHidden => None,
    }
}

/// Within what time after its end it is alive again.
fn recovers_within(episode: Episode) -> Duration {
    Duration::from_millis(match episode {
        // The simulated network sends nothing twice. So an attempt to connect that began just before
        // the end, and of which something was lost, waits for its whole timeout of 2 s; only the next
        // one gets through. (What is lost on the way to a member is refused at once.)
        Episode::CutFromMembers => 2_200,
        // The progress of a watch is not asked for twice. Was that just before the end, then it comes
        // 2 s late, which is not good enough; only the next answer is.
        Episode::Slow => 2_200,
        // In doubt everything is tried again every 500 ms, or more often.
        _ => 600,
    })
}

/// How much later than the limit anything may be: the ticks and the latency of the simulated network.
const GRAIN: Duration = Duration::from_millis(100);

/// The longest time between two observations, as [`EtcdConfig`](overwatch::etcd::EtcdConfig) promises it.
const LONGEST_GAP: Duration = Duration::from_millis(4_750);
/// The same while some member answers at once: a period, and the latency budget until it is asked.
const LONGEST_GAP_IN_CALM: Duration = Duration::from_millis(2_400);

/// Judges a trace: what the probe told, and when.
///
/// # Errors
///
/// The first thing that is not as it must be.
pub fn judge(scenario: &Scenario, trace: &[Told], traffic: &Traffic) -> Result<(), String> {
    let began = trace.first().map(|(at, _)| *at);
    if began.is_none_or(|at| at > Duration::from_millis(500)) {
        return Err(format!("the first observation is {began:?}"));
    }
    never_silent(scenario, trace)?;
    let mut rest = trace;
    for scene in &scenario.scenes {
        if let Some((class, limit)) = expected(scene.episode) {
            let limit = Duration::from_millis(limit) + GRAIN;
            rest = fault(calm(rest, scene.begins)?, *scene, class, limit)?;
        }
    }
    calm(rest, scenario.end())?;
    once_per_wipe(scenario, trace)?;
    bounded(scenario, traffic)
}

/// Something is told often enough, whatever it is, and to the very end.
fn never_silent(scenario: &Scenario, trace: &[Told]) -> Result<(), String> {
    let mut last = Duration::ZERO;
    for at in trace.iter().map(|(at, _)| *at).chain([scenario.end()]) {
        let mut scenes = scenario.scenes.iter();
        let longest = if scenes.all(|scene| scene.episode.is_of_one() || !concerns(scene, last, at))
        {
            LONGEST_GAP_IN_CALM + GRAIN
        } else {
            LONGEST_GAP
        };
        if at > last + longest {
            return Err(format!("nothing was told from {last:?} to {at:?}"));
        }
        last = at;
    }
    Ok(())
}

/// Whether a scene, or what comes of it, has to do with that time.
fn concerns(scene: &Scene, from: Duration, to: Duration) -> bool {
    scene.begins < to && from < scene.ends + recovers_within(scene.episode) + GRAIN
}

/// Alive all the time until then. Returns the rest.
fn calm(trace: &[Told], until: Duration) -> Result<&[Told], String> {
    let (calm, rest) = trace.split_at(trace.partition_point(|(at, _)| *at < until));
    match calm.iter().find(|(_, seen)| !is_alive(seen)) {
        Some((at, seen)) => Err(format!("all was well until {until:?}, but {at:?} {seen:?}")),
        None => Ok(rest),
    }
}

/// Told in time and with its class until it is alive again: not before the end, but soon after it.
/// Returns the rest.
fn fault<'a>(
    trace: &'a [Told],
    scene: Scene,
    class: &str,
    limit: Duration,
) -> Result<&'a [Told], String> {
    let Scene {
        episode,
        begins,
        ends,
        ..
    } = scene;
    let first = trace.iter().position(|(_, seen)| !is_alive(seen));
    let trace = &trace[first.unwrap_or(trace.len())..];
    let told_at = match trace.first() {
        Some((at, _)) if *at <= begins + limit => *at,
        told => return Err(format!("{episode:?} from {begins:?} was told by {told:?}")),
    };
    let again = trace.iter().position(|(_, seen)| is_alive(seen));
    let (failing, rest) = trace.split_at(again.unwrap_or(trace.len()));
    if let Some((at, seen)) = failing.iter().find(|(_, seen)| !is_of(class, seen)) {
        return Err(format!(
            "{episode:?} from {begins:?}: expected {class}, but {at:?} {seen:?}"
        ));
    }
    // A reset is over once it is told.
    let over = ends.max(told_at);
    match rest.first() {
        Some((at, seen)) if *at < ends => {
            Err(format!("{episode:?} until {ends:?}, but {at:?} {seen:?}"))
        }
        Some((at, _)) if *at <= over + recovers_within(episode) + GRAIN => Ok(rest),
        told => Err(format!(
            "{episode:?} until {ends:?}, alive again by {told:?}"
        )),
    }
}

fn is_alive(seen: &Observation) -> bool {
    matches!(seen, Observation::Alive { .. })
}

fn is_of(class: &str, seen: &Observation) -> bool {
    matches!(seen, Observation::Failing { class: Some(told), .. } if *told == class)
}

fn once_per_wipe(scenario: &Scenario, trace: &[Told]) -> Result<(), String> {
    let wipes = scenario.scenes.iter();
    let wipes = wipes.filter(|scene| scene.episode == Episode::Wiped);
    let wipes = wipes.count();
    let told = trace.iter().filter(|(_, seen)| is_of("store_reset", seen));
    match told.count() {
        told if told == wipes => Ok(()),
        told => Err(format!("{told} store resets were told of {wipes}")),
    }
}

/// How many connections to one member may be begun, and how many questions may reach it, in any ten
/// seconds that an episode has to do with.
fn most(episode: Episode) -> (usize, usize) {
    match episode {
        // The longest pause is one of 300 ms.
        Episode::CutToMembers | Episode::HangUps => (36, 22),
        // An attempt takes the connect timeout of 2 s.
        Episode::Silent | Episode::CutFromMembers | Episode::Crash => (6, 24),
        // Reads every 500 ms, and the member itself.
        Episode::Denied => (1, 52),
        // After 3 s the member ends the watch and takes no other: the longest pause is one of 300 ms. All
        // checks every 500 ms, and the member itself.
        Episode::NoLeader => (36, 76),
        Episode::Stalled | Episode::Slow => (1, 52),
        // An alarm takes three questions.
        Episode::NoSpace | Episode::Corrupt => (1, 100),
        Episode::Reordered => (1, 32),
        Episode::Election | Episode::Pause => (2, 26),
        // Others can be asked. A first failure may be one of many, and so is looked into at once; later
        // the pauses double up to 5 s.
        Episode::OneCutOff | Episode::OneCutTo | Episode::OneCutFrom | Episode::OneCrashed => {
            (8, 14)
        }
        Episode::OneLate => (8, 16),
        // The pauses double up to 500 ms, and a connection lives for 750 ms in the mean.
        Episode::OneHangsUp => (14, 28),
        // Everything is proved once more.
        Episode::Wiped => (1, 24),
        Episode::AlarmsHidden => (1, 16),
    }
}

/// The same while nothing happens: in ten seconds 8 reads, 2 proposals and a progress request, and a
/// little more at first.
const MOST_IN_CALM: (usize, usize) = (1, 12);
/// Of a single member a read follows each proposal, and the first time there are two of these.
const MOST_OF_A_SINGLE_MEMBER: (usize, usize) = (1, 16);
const TEN_SECONDS: Duration = Duration::from_secs(10);

/// No storms.
fn bounded(scenario: &Scenario, traffic: &Traffic) -> Result<(), String> {
    for member in 0..scenario.members {
        for (from, connections) in in_ten_seconds(&traffic.attempts, member) {
            let (most, _) = most_from(scenario, from);
            if connections > most {
                return Err(format!(
                    "{connections} connections with member {member} in the ten seconds from \
                     {from:?}, expected {most} at most"
                ));
            }
        }
        for (from, requests) in in_ten_seconds(&traffic.requests, member) {
            let (_, most) = most_from(scenario, from);
            if requests > most {
                return Err(format!(
                    "{requests} requests to member {member} in the ten seconds from {from:?}, \
                     expected {most} at most"
                ));
            }
        }
    }
    Ok(())
}

/// How often something happened to a member, counted from each time that it did.
pub(crate) fn in_ten_seconds(
    times: &[(Duration, usize)],
    member: usize,
) -> impl Iterator<Item = (Duration, usize)> {
    let times = times.iter().filter(move |(_, of)| *of == member);
    let times: Vec<Duration> = times.map(|(at, _)| *at).collect();
    (0..times.len()).map(move |first| {
        let end = times.partition_point(|at| *at < times[first] + TEN_SECONDS);
        (times[first], end - first)
    })
}

fn most_from(scenario: &Scenario, from: Duration) -> (usize, usize) {
    let in_calm = match scenario.members {
        1 => MOST_OF_A_SINGLE_MEMBER,
        _ => MOST_IN_CALM,
    };
    let scenes = scenario.scenes.iter();
    scenes
        .filter(|scene| concerns(scene, from, from + TEN_SECONDS))
        .map(|scene| most(scene.episode))
        .fold(in_calm, |a, b| (a.0.max(b.0), a.1.max(b.1)))
}
