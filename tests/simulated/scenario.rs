//! What happens in a simulation, as a seed decides.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use overwatch::Probe;
use overwatch::etcd::{EtcdConfig, EtcdProbe};
use tokio::time::Instant;

use crate::etcd::{Cluster, Condition, LATE_WAY, Member, PORT, Settings, Whom};
use crate::judged::{Told, judge};
use crate::lock;
use crate::net::{Chance, HOST, Simulated, Traffic};

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
    /// Nothing to be seen: a pause of up to 3.1 s, in which a question may be given up.
    Pause,
    /// Nothing to be seen: one of several members is cut off.
    OneCutOff,
    /// Nothing to be seen: what the probe sends to one of several members is lost.
    OneCutTo,
    /// Nothing to be seen: what one of several members sends is lost.
    OneCutFrom,
    /// Nothing to be seen: one of several members crashes.
    OneCrashed,
    /// Nothing to be seen: one of several members closes each connection soon after it was made.
    OneHangsUp,
    /// Nothing to be seen: half the replies of one of several members arrive after their time.
    OneLate,
    /// Nothing to be seen: the list of alarms is not for this user any more.
    AlarmsHidden,
}

/// An episode, and its time.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    /// What happens.
    pub episode: Episode,
    /// When it begins.
    pub begins: Duration,
    /// When it ends.
    pub ends: Duration,
    /// Whom it happens to, if to one member only.
    pub member: usize,
}

/// All that a seed decides.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// One or three.
    pub members: usize,
    /// What happens, one after the other.
    pub scenes: Vec<Scene>,
    /// How long a message takes at most.
    pub latency: Duration,
    /// For all other chance.
    pub seed: u64,
}

impl Episode {
    const ALL: [Self; 22] = [
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
        Self::OneCutTo,
        Self::OneCutFrom,
        Self::OneCrashed,
        Self::OneHangsUp,
        Self::OneLate,
        Self::AlarmsHidden,
    ];

    /// Whether it happens to one of several members.
    pub(crate) fn is_of_one(self) -> bool {
        matches!(
            self,
            Self::OneCutOff
                | Self::OneCutTo
                | Self::OneCutFrom
                | Self::OneCrashed
                | Self::OneHangsUp
                | Self::OneLate
        )
    }

    /// Whether both can be in one scenario: what tells the one is turned off for the other.
    fn goes_with(self, other: Self) -> bool {
        let both = [self, other];
        !(both.contains(&Self::Slow) && both.contains(&Self::Reordered))
    }
}

impl Scenario {
    /// The scenario of a seed.
    pub fn of(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let members = if chance.below(2) == 0 { 1 } else { 3 };
        let mut scenes: Vec<Scene> = Vec::new();
        let mut at = Duration::ZERO;
        for _ in 0..=chance.below(2) {
            let episode = loop {
                let index = chance.below(Episode::ALL.len() as u64) as usize;
                let episode = Episode::ALL[index];
                let fits = scenes.iter().all(|scene| episode.goes_with(scene.episode));
                if fits && (members == 3 || !episode.is_of_one()) {
                    break episode;
                }
            };
            let begins = at + chance.ms(9_000, 18_000);
            let lasts = match episode {
                Episode::Election => Duration::from_millis(2_500),
                Episode::Pause => chance.ms(2_500, 3_100),
                Episode::Wiped => Duration::ZERO,
                Episode::Stalled | Episode::NoSpace | Episode::Corrupt => chance.ms(13_000, 16_000),
                _ => chance.ms(9_000, 13_000),
            };
            at = begins + lasts;
            scenes.push(Scene {
                episode,
                begins,
                ends: at,
                member: chance.below(members as u64) as usize,
            });
            if episode == Episode::AlarmsHidden {
                // It takes a minute until the probe looks whether it may see them again.
                break;
            }
        }
        Self {
            members,
            scenes,
            latency: chance.ms(2, 20),
            seed,
        }
    }

    /// Whether an episode is part of it.
    pub fn has(&self, episode: Episode) -> bool {
        self.scenes.iter().any(|scene| scene.episode == episode)
    }

    /// When it is over.
    pub fn end(&self) -> Duration {
        let last = self.scenes.last().map(|scene| scene.ends);
        last.unwrap_or_default() + Duration::from_secs(9)
    }

    fn hosts(&self) -> Vec<String> {
        (0..self.members)
            .map(|index| format!("{HOST}{index}"))
            .collect()
    }
}

/// What came of a scenario.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the probe told, line by line.
    pub trace: String,
    /// What went over the network.
    pub traffic: Traffic,
}

/// Runs a scenario and judges it.
///
/// # Errors
///
/// What is not as it must be, with the scenario and the trace.
pub fn simulate(scenario: &Scenario) -> Result<Outcome, String> {
    let traffic: Arc<Mutex<Traffic>> = Arc::default();
    let cluster = Cluster::new(Settings::default(), scenario.seed, Arc::clone(&traffic));
    let cluster = Arc::new(cluster);
    let trace: Arc<Mutex<Vec<Told>>> = Arc::default();
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
            cluster: Arc::clone(&cluster),
            index,
        };
        sim.host(host, move || member.clone().serve());
    }
    let leader = Arc::clone(&cluster);
    sim.host("leader", move || Arc::clone(&leader).lead());
    let (told, config) = (
        Arc::clone(&trace),
        config(scenario).dialing(Arc::new(Simulated::new(Arc::clone(&traffic), &[]))),
    );
    let end = scenario.end();
    sim.client("probe", async move {
        let probe = EtcdProbe::new(config)?;
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
    let mut turns = scenario.turns().into_iter().peekable();
    loop {
        while let Some((_, scene, begins)) = turns.next_if(|(at, ..)| sim.elapsed() >= *at) {
            turn(&mut sim, scenario, &cluster, scene, begins);
        }
        match sim.step() {
            Ok(true) => break,
            Ok(false) => {}
            Err(error) => return Err(format!("{scenario:?}: {error}")),
        }
    }
    let trace = std::mem::take(&mut *lock(&trace));
    let traffic = std::mem::take(&mut *lock(&traffic));
    let lines: Vec<String> = trace
        .iter()
        .map(|(at, observation)| format!("{at:?} {observation:?}"))
        .collect();
    let lines = lines.join("\n");
    match judge(scenario, &trace, &traffic) {
        Ok(()) => Ok(Outcome {
            trace: lines,
            traffic,
        }),
        Err(wrong) => Err(format!("{wrong}\n{scenario:?}\n{lines}\n{traffic}")),
    }
}

fn config(scenario: &Scenario) -> EtcdConfig {
    let hosts = scenario.hosts();
    let urls = hosts.iter().map(|host| format!("http://{host}:{PORT}"));
    let config = EtcdConfig::new(urls).expect("valid endpoints");
    let config = config.with_jitter_seed(scenario.seed);
    if scenario.has(Episode::Reordered) {
        // Only what is slow can be overtaken, and it is not slowness that is looked for here.
        return config.with_slow_answers(100);
    }
    config
}

impl Scenario {
    /// When each scene begins and ends.
    fn turns(&self) -> Vec<(Duration, Scene, bool)> {
        let of = |&scene: &Scene| [(scene.begins, scene, true), (scene.ends, scene, false)];
        self.scenes.iter().flat_map(of).collect()
    }
}

/// Begins or ends a scene.
fn turn(
    sim: &mut turmoil::Sim<'_>,
    scenario: &Scenario,
    cluster: &Cluster,
    scene: Scene,
    begins: bool,
) {
    let hosts = scenario.hosts();
    let one = &*hosts[scene.member];
    let at = sim.elapsed();
    let condition = |change: &dyn Fn(&mut Condition)| {
        let mut now = Condition::GOOD;
        if begins {
            change(&mut now);
        }
        cluster.set(now, at);
    };
    match (scene.episode, begins) {
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
        (Episode::OneCutOff, true) => sim.partition("probe", one),
        (Episode::OneCutOff, false) => sim.repair("probe", one),
        (Episode::OneCutTo, true) => sim.partition_oneway("probe", one),
        (Episode::OneCutTo, false) => sim.repair_oneway("probe", one),
        (Episode::OneCutFrom, true) => sim.partition_oneway(one, "probe"),
        (Episode::OneCutFrom, false) => sim.repair_oneway(one, "probe"),
        (Episode::OneCrashed, true) => sim.crash(one),
        (Episode::OneCrashed, false) => sim.bounce(one),
        (Episode::Crash, true) => hosts.iter().for_each(|host| sim.crash(&**host)),
        (Episode::Crash, false) => hosts.iter().for_each(|host| sim.bounce(&**host)),
        (Episode::HangUps, _) => {
            condition(&|condition| condition.hangs_up = Whom::All);
            if begins {
                // What is open is closed as well.
                hosts.iter().for_each(|host| sim.bounce(&**host));
            }
        }
        (Episode::OneHangsUp, _) => {
            condition(&|condition| condition.hangs_up = Whom::One(scene.member));
            if begins {
                sim.bounce(one);
            }
        }
        (Episode::OneLate, _) => {
            condition(&|condition| condition.late = Whom::One(scene.member));
            let way = if begins { LATE_WAY } else { scenario.latency };
            // Both ways, so that the reply is on its way when the probe gives up.
            sim.set_link_latency("probe", one, way);
        }
        (Episode::Wiped, true) => cluster.wipe(),
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
            condition(&|condition| condition.spread = Duration::from_millis(1_800));
        }
        (Episode::AlarmsHidden, _) => condition(&|condition| condition.shows_alarms = false),
    }
}
