//! What happens in a simulation, as a seed decides.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::etcd::{EtcdConfig, EtcdProbe};
use crate::fake::{Condition, Member, PORT, World};
use crate::judged::judge;
use crate::net::{Chance, Simulated};
use crate::shell::lock;
use crate::{Observation, Probe};

/// Something that happens to the cluster or to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Episode {
    /// Nobody says anything, and connections stay.
    Silent,
    /// What the probe sends is lost.
    CutToMembers,
    /// What the members send is lost.
    CutFromMembers,
    /// Connections are accepted and closed at once.
    HangUps,
    /// The hosts crash, and come up again.
    Crash,
    /// There is no leader.
    NoLeader,
    /// Nothing is committed.
    Stalled,
    /// Every reply takes two seconds more.
    Slow,
    /// The alarm NOSPACE.
    NoSpace,
    /// The alarm CORRUPT.
    Corrupt,
    /// The data is lost.
    Wiped,
    /// The user may not read any more.
    Denied,
    /// Nothing to be seen: replies overtake each other while the store moves on.
    Reordered,
    /// Nothing to be seen: an election of 2.5 s.
    Election,
    /// Nothing to be seen: one reply that arrives after its time, for one pause of 2.5 s.
    Pause,
    /// Nothing to be seen: one of several members is cut off.
    OneCutOff,
    /// Nothing to be seen: one of several members crashes.
    OneCrashed,
    /// Nothing to be seen: the list of alarms is not for this user any more.
    AlarmsHidden,
}

/// All that a seed decides.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// One or three.
    pub members: usize,
    /// What happens, when it begins, and how long it lasts.
    pub episodes: Vec<(Episode, Duration, Duration)>,
    latency: Duration,
    seed: u64,
}

impl Episode {
    const ALL: [Self; 18] = [
        Self::Silent,
        Self::CutToMembers,
        Self::CutFromMembers,
        Self::HangUps,
        Self::Crash,
        Self::NoLeader,
        Self::Stalled,
        Self::Slow,
        Self::NoSpace,
        Self::Corrupt,
        Self::Wiped,
        Self::Denied,
        Self::Reordered,
        Self::Election,
        Self::Pause,
        Self::OneCutOff,
        Self::OneCrashed,
        Self::AlarmsHidden,
    ];

    fn needs_three(self) -> bool {
        matches!(self, Self::OneCutOff | Self::OneCrashed)
    }
}

impl Scenario {
    /// The scenario of a seed.
    pub fn of(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let members = if chance.below(2) == 0 { 1 } else { 3 };
        let mut episodes = Vec::new();
        let mut at = Duration::ZERO;
        for _ in 0..=chance.below(2) {
            let episode = loop {
                let index = chance.below(Episode::ALL.len() as u64) as usize;
                let episode = Episode::ALL[index];
                if members == 1 && episode.needs_three() {
                    continue;
                }
                break episode;
            };
            at += chance.ms(9_000, 18_000);
            let lasts = match episode {
                Episode::Election | Episode::Pause => Duration::from_millis(2_500),
                Episode::Wiped => Duration::ZERO,
                Episode::Stalled | Episode::NoSpace | Episode::Corrupt => chance.ms(13_000, 16_000),
                _ => chance.ms(9_000, 13_000),
            };
            episodes.push((episode, at, lasts));
            at += lasts;
            if episode == Episode::AlarmsHidden {
                // It takes a minute until the probe looks whether it may see them again.
                break;
            }
        }
        Self {
            members,
            episodes,
            latency: chance.ms(2, 20),
            seed,
        }
    }

    fn end(&self) -> Duration {
        let last = self.episodes.last().map(|(_, at, lasts)| *at + *lasts);
        last.unwrap_or_default() + Duration::from_secs(9)
    }

    fn hosts(&self) -> Vec<String> {
        (0..self.members)
            .map(|index| format!("etcd-{index}"))
            .collect()
    }
}

/// What the probe told, and when.
pub(crate) type Trace = Vec<(Duration, Observation)>;

/// Runs a scenario and judges it. Returns the trace, line by line.
///
/// # Errors
///
/// What is not as it must be, with the scenario and the trace.
pub fn simulate(scenario: &Scenario) -> Result<String, String> {
    let world = Arc::new(World::new(scenario.seed));
    let trace: Arc<Mutex<Trace>> = Arc::default();
    let dial = Simulated::default();
    let attempts = Arc::clone(&dial.attempts);
    let mut sim = turmoil::Builder::new()
        .rng_seed(scenario.seed)
        .simulation_duration(scenario.end() + Duration::from_secs(5))
        .tick_duration(Duration::from_millis(5))
        .min_message_latency(scenario.latency / 2)
        .max_message_latency(scenario.latency)
        .tcp_capacity(4096)
        .build();
    for (index, host) in scenario.hosts().into_iter().enumerate() {
        let member = Member {
            world: Arc::clone(&world),
            id: index as u64 + 1,
        };
        sim.host(host, move || member.clone().serve());
    }
    let (told, config) = (Arc::clone(&trace), config(scenario));
    let (probed, director, end) = (Arc::new(dial), scenario.clone(), scenario.end());
    sim.client("probe", async move {
        let probe = EtcdProbe::dialing(config, probed)?;
        let began = Instant::now();
        while began.elapsed() < end {
            if let Ok(observation) =
                tokio::time::timeout(end - began.elapsed(), probe.observe()).await
            {
                lock(&told).push((began.elapsed(), observation));
            }
        }
        Ok(())
    });
    let mut steps = director.steps();
    loop {
        while steps.first().is_some_and(|(at, ..)| sim.elapsed() >= *at) {
            let (_, episode, begins) = steps.remove(0);
            turn(&mut sim, &director, &world, episode, begins);
        }
        match sim.step() {
            Ok(true) => break,
            Ok(false) => {}
            Err(error) => return Err(format!("{scenario:?}: {error}")),
        }
    }
    let trace = std::mem::take(&mut *lock(&trace));
    let lines: Vec<String> = trace
        .iter()
        .map(|(at, observation)| format!("{at:?} {observation:?}"))
        .collect();
    let (attempts, requests) = (attempts.load(Ordering::Relaxed), world.requests());
    let text = format!(
        "{}\n{attempts} connections, {requests} requests\n",
        lines.join("\n")
    );
    match judge(scenario, &trace, attempts, requests) {
        Ok(()) => Ok(text),
        Err(wrong) => Err(format!("{wrong}\n{scenario:?}\n{text}")),
    }
}

fn config(scenario: &Scenario) -> EtcdConfig {
    let hosts = scenario.hosts();
    let urls = hosts.iter().map(|host| format!("http://{host}:{PORT}"));
    let config = EtcdConfig::new(urls).expect("valid endpoints");
    config.jitter_seed(scenario.seed)
}

impl Scenario {
    /// When each episode begins and ends.
    fn steps(&self) -> Vec<(Duration, Episode, bool)> {
        let of = |&(episode, at, lasts): &(Episode, Duration, Duration)| {
            [(at, episode, true), (at + lasts, episode, false)]
        };
        self.episodes.iter().flat_map(of).collect()
    }
}

/// Begins or ends an episode.
fn turn(
    sim: &mut turmoil::Sim<'_>,
    scenario: &Scenario,
    world: &World,
    episode: Episode,
    begins: bool,
) {
    let hosts = scenario.hosts();
    let condition = |change: &dyn Fn(&mut Condition)| {
        let mut now = Condition::GOOD;
        if begins {
            change(&mut now);
        }
        world.set(now);
    };
    match (episode, begins) {
        (Episode::CutToMembers, true) => hosts
            .iter()
            .for_each(|host| sim.partition_oneway("probe", &**host)),
        (Episode::CutToMembers, false) => hosts
            .iter()
            .for_each(|host| sim.repair_oneway("probe", &**host)),
        (Episode::CutFromMembers, true) => hosts
            .iter()
            .for_each(|host| sim.partition_oneway(&**host, "probe")),
        (Episode::CutFromMembers, false) => hosts
            .iter()
            .for_each(|host| sim.repair_oneway(&**host, "probe")),
        (Episode::OneCutOff, true) => sim.partition("probe", &*hosts[0]),
        (Episode::OneCutOff, false) => sim.repair("probe", &*hosts[0]),
        (Episode::OneCrashed, true) => sim.crash(&*hosts[0]),
        (Episode::OneCrashed, false) => sim.bounce(&*hosts[0]),
        (Episode::Crash, true) => hosts.iter().for_each(|host| sim.crash(&**host)),
        (Episode::Crash, false) => hosts.iter().for_each(|host| sim.bounce(&**host)),
        (Episode::HangUps, _) => {
            condition(&|condition| condition.hangs_up = true);
            if begins {
                // What is open is closed as well.
                hosts.iter().for_each(|host| sim.bounce(&**host));
            }
        }
        (Episode::Wiped, true) => world.wipe(),
        (Episode::Wiped, false) => {}
        (Episode::Silent | Episode::Pause, _) => condition(&|condition| condition.speaks = false),
        (Episode::NoLeader | Episode::Election, _) => {
            condition(&|condition| condition.leader = false)
        }
        (Episode::Stalled, _) => condition(&|condition| condition.commits = false),
        (Episode::Slow, _) => condition(&|condition| condition.slower = Duration::from_secs(2)),
        (Episode::NoSpace, _) => condition(&|condition| condition.alarm = 1),
        (Episode::Corrupt, _) => condition(&|condition| condition.alarm = 2),
        (Episode::Denied, _) => condition(&|condition| condition.permits = false),
        (Episode::Reordered, _) => {
            condition(&|condition| condition.spread = Duration::from_millis(900));
        }
        (Episode::AlarmsHidden, _) => condition(&|condition| condition.shows_alarms = false),
    }
}
