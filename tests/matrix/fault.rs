//! What must be seen, and recovered from, in time.

use std::time::Duration;

use etcd_client::{AlarmAction, AlarmType};
use overwatch::etcd::EtcdConfig;
use overwatch_test_support::etcd::Version;
use overwatch_test_support::proxy::Mode;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::cluster::Cluster;
use crate::service::Service;
use crate::stall::Stall;
use crate::{Seen, version};

/// One fault of one kind of cluster.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What an operator would call it.
    pub name: &'static str,
    /// How many members the cluster has.
    pub members: usize,
    /// The class that the probe must tell.
    pub class: &'static str,
    /// Not ready within so many seconds.
    pub limit: f64,
    fault: Fault,
    /// Which members the probe is told of.
    of: Of,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    All,
    /// The one that leads.
    Leader,
    /// One that survives.
    Survivor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Kill,
    Hang,
    Network(Mode),
    QuorumLost,
    NoSpace,
    Corrupt,
    Stall,
    Wipe,
    Permission,
    UserLost,
}

const fn row(
    name: &'static str,
    members: usize,
    fault: Fault,
    of: Of,
    class: &'static str,
    limit: f64,
) -> Row {
    Row {
        name,
        members,
        class,
        limit,
        fault,
        of,
    }
}

const SLOW: Mode = Mode::Delay(Duration::from_secs(1));

/// All rows, for each version.
pub const FAULTS: [Row; 30] = [
    row("killed", 1, Fault::Kill, Of::All, "unreachable", 0.1),
    row("all killed", 3, Fault::Kill, Of::All, "unreachable", 0.1),
    row("hung", 1, Fault::Hang, Of::All, "unreachable", 5.0),
    row("all hung", 3, Fault::Hang, Of::All, "unreachable", 5.0),
    row(
        "black hole",
        1,
        Fault::Network(Mode::BlackHole),
        Of::All,
        "unreachable",
        5.0,
    ),
    row(
        "black hole",
        3,
        Fault::Network(Mode::BlackHole),
        Of::All,
        "unreachable",
        5.0,
    ),
    row(
        "replies lost",
        1,
        Fault::Network(Mode::Deaf),
        Of::All,
        "unreachable",
        5.0,
    ),
    row(
        "replies lost",
        3,
        Fault::Network(Mode::Deaf),
        Of::All,
        "unreachable",
        5.0,
    ),
    row(
        "questions lost",
        1,
        Fault::Network(Mode::Mute),
        Of::All,
        "unreachable",
        5.0,
    ),
    row(
        "questions lost",
        3,
        Fault::Network(Mode::Mute),
        Of::All,
        "unreachable",
        5.0,
    ),
    row(
        "connections closed",
        1,
        Fault::Network(Mode::Cut),
        Of::All,
        "unreachable",
        3.0,
    ),
    row(
        "connections closed",
        3,
        Fault::Network(Mode::Cut),
        Of::All,
        "unreachable",
        3.0,
    ),
    row(
        "connections reset",
        1,
        Fault::Network(Mode::Reset),
        Of::All,
        "unreachable",
        3.0,
    ),
    row(
        "connections reset",
        3,
        Fault::Network(Mode::Reset),
        Of::All,
        "unreachable",
        3.0,
    ),
    row(
        "quorum lost",
        3,
        Fault::QuorumLost,
        Of::All,
        "no_leader",
        5.0,
    ),
    row(
        "quorum lost, only the survivor known",
        3,
        Fault::QuorumLost,
        Of::Survivor,
        "no_leader",
        5.0,
    ),
    row("out of space", 1, Fault::NoSpace, Of::All, "no_space", 12.0),
    row("out of space", 3, Fault::NoSpace, Of::All, "no_space", 12.0),
    row("corrupt", 1, Fault::Corrupt, Of::All, "corrupt", 12.0),
    row("corrupt", 3, Fault::Corrupt, Of::All, "corrupt", 12.0),
    row("disk stalled", 1, Fault::Stall, Of::All, "write_path", 12.0),
    row(
        "leader's disk stalled, only the leader known",
        3,
        Fault::Stall,
        Of::Leader,
        "write_path",
        12.0,
    ),
    row(
        "2 s slower",
        1,
        Fault::Network(SLOW),
        Of::All,
        "too_slow",
        8.0,
    ),
    row(
        "2 s slower",
        3,
        Fault::Network(SLOW),
        Of::All,
        "too_slow",
        8.0,
    ),
    row("wiped", 1, Fault::Wipe, Of::All, "store_reset", 3.0),
    row("all wiped", 3, Fault::Wipe, Of::All, "store_reset", 3.0),
    row(
        "permission revoked",
        1,
        Fault::Permission,
        Of::All,
        "permission",
        5.0,
    ),
    row(
        "permission revoked",
        3,
        Fault::Permission,
        Of::All,
        "permission",
        5.0,
    ),
    row(
        "user removed",
        1,
        Fault::UserLost,
        Of::All,
        "unauthenticated",
        5.0,
    ),
    row(
        "user removed",
        3,
        Fault::UserLost,
        Of::All,
        "unauthenticated",
        5.0,
    ),
];

/// A fault outlasts the window by that, and whatever trips the service once more has that time.
const MORE: Duration = Duration::from_secs(2);
/// How much later than the window it may be ready again.
const SLACK: f64 = 1.0;
/// No fault is waited for longer.
const MOST: Duration = Duration::from_secs(20);
/// etcd's database is some 20 kB when it is empty; a few large values fill this.
const SMALL_QUOTA: &[&str] = &["--quota-backend-bytes", "4194304"];

/// One of several tries of a row, each with a cluster and a service of its own.
#[derive(Clone, Copy, Debug)]
pub struct Try {
    /// When the fault strikes, from when the service is ready on.
    pub after: Duration,
    /// Whether it strikes once more while the window runs, so that the window must begin anew.
    pub relapse: bool,
}

/// What one try showed.
struct Tried {
    /// Seconds to not ready, or to the reset that was told; none if that never came.
    lost: Option<f64>,
    /// Seconds from healing to ready.
    ready: f64,
    class: &'static str,
    trips: usize,
    wrong: Vec<String>,
}

impl Row {
    /// Makes all tries at once, and shows the worst of each number.
    pub async fn run(&self, etcd: &str, window: Duration, tries: &[Try]) -> Seen {
        let mut worst = Tried {
            lost: Some(0.0),
            ready: 0.0,
            class: self.class,
            trips: 1,
            wrong: Vec::new(),
        };
        let version = version(etcd);
        let tries = tries
            .iter()
            .map(|&how| self.attempt(version, window, how))
            .collect::<JoinSet<_>>();
        for tried in tries.join_all().await {
            worst.lost = worst
                .lost
                .zip(tried.lost)
                .map(|(one, other)| one.max(other));
            worst.ready = worst.ready.max(tried.ready);
            worst.trips = worst.trips.max(tried.trips);
            if tried.class != self.class {
                worst.class = tried.class;
            }
            worst.wrong.extend(tried.wrong);
        }
        let Tried {
            lost,
            ready,
            class,
            trips,
            wrong,
        } = worst;
        let (members, name, limit) = (self.members, self.name, self.limit);
        let lost = lost.map_or("-".to_owned(), |lost| format!("{lost:.2}"));
        let (most, again) = (most(window), trips.saturating_sub(1));
        let etcd = version.told();
        let line = format!(
            "| {etcd} | {members} | {name} | {class} | {lost} | {limit} | {ready:.2} | {most} | {again} |"
        );
        Seen::new(line, wrong)
    }

    async fn attempt(self, version: Version, window: Duration, how: Try) -> Tried {
        let more = match self.fault {
            Fault::NoSpace => SMALL_QUOTA,
            _ => &[],
        };
        let mut cluster = Cluster::start(version, self.members, more).await;
        let (config, known) = self.config(&mut cluster).await;
        let service = Service::start(config, window);
        service.ready().await;
        sleep(how.after).await;

        let struck_at = Instant::now();
        let (mut stall, struck) = self.strike(&mut cluster, &known, &service).await;
        let lost_at = service.not_ready(MOST).await;
        sleep(window + MORE).await;
        let mut healing_at = Instant::now();
        let mut healed_at = self.heal(&mut cluster, &mut stall).await;
        let first_healed_at = healed_at;
        if how.relapse {
            sleep(window.mul_f64(0.6)).await;
            (stall, _) = self.strike(&mut cluster, &known, &service).await;
            sleep(window + MORE).await;
            healing_at = Instant::now();
            healed_at = self.heal(&mut cluster, &mut stall).await;
        }
        service.ready().await;
        sleep(MORE).await;

        let turns = service.turns_since(struck_at);
        let told = service.failing_since(struck_at);
        let ready_at = turns.iter().find(|(_, ready)| *ready).map(|(at, _)| *at);
        let ready_at = ready_at.expect("it was waited for");
        let mut wrong = Vec::new();
        let mut refuse = |what: String| wrong.push(format!("{how:?}: {what}"));
        let after = |at: Instant, since: Instant| at.saturating_duration_since(since).as_secs_f64();

        // The wipe itself is a kill; what matters is what is told of the store afterwards.
        let wiped = self.fault == Fault::Wipe;
        let class = told
            .iter()
            .find(|(_, class, _)| !wiped || *class == self.class);
        let (seen_at, since) = if wiped {
            (class.map(|(at, ..)| *at), first_healed_at)
        } else {
            (lost_at, struck)
        };
        let lost = seen_at.map(|at| after(at, since));
        if lost.is_none_or(|lost| lost > self.limit) {
            refuse(format!(
                "not ready after {lost:?} s, allowed {}",
                self.limit
            ));
        }
        let class = class.map_or("-", |(_, class, _)| *class);
        if class != self.class {
            refuse(format!("told {:?}, expected {}", told.first(), self.class));
        }
        let trips = turns.iter().filter(|(_, ready)| !ready).count();
        if trips != 1 || !service.handle.is_ready() {
            refuse(format!("not ready {trips} times instead of once"));
        }
        let ready = after(ready_at, healed_at);
        if ready > most(window) {
            refuse(format!("ready {ready:.2} s after healing"));
        }
        // Nobody knows better than the probe when it was healed, but it was not before this.
        let last_told_at = told.last().map_or(healing_at, |(at, ..)| *at);
        if ready_at < healing_at.max(last_told_at) + window {
            refuse("ready before the window has passed".to_owned());
        }
        service.end().await;
        Tried {
            lost,
            ready,
            class,
            trips,
            wrong,
        }
    }

    /// The probe's, and the members that it is told of.
    async fn config(&self, cluster: &mut Cluster) -> (EtcdConfig, Vec<usize>) {
        let members = match self.of {
            Of::All => cluster.all(),
            Of::Leader => vec![cluster.leader().await],
            Of::Survivor => vec![cluster.members.len() - 1],
        };
        let config = cluster.config(&members);
        let config = match self.fault {
            Fault::Permission | Fault::UserLost => {
                cluster.lock().await;
                config
                    .with_user("narrow", "right")
                    .with_sentinel_key("app/sentinel")
            }
            Fault::Wipe => {
                // A store whose revision can go back.
                for _ in 0..10 {
                    let written = cluster.client(0).await.put("written", "x", None).await;
                    written.expect("a put");
                }
                config
            }
            _ => config,
        };
        (config, members)
    }

    /// Returns when the fault is there.
    async fn strike(
        &self,
        cluster: &mut Cluster,
        known: &[usize],
        service: &Service,
    ) -> (Option<Stall>, Instant) {
        let mut stall = None;
        let mut since = Instant::now();
        match self.fault {
            Fault::Kill => {
                // Each returns when that process is gone.
                cluster.members.iter_mut().for_each(|member| member.kill());
                since = Instant::now();
            }
            Fault::Hang => cluster.members.iter().for_each(|member| member.hang()),
            Fault::Network(mode) => cluster.set(mode),
            Fault::QuorumLost => cluster.members[..2]
                .iter_mut()
                .for_each(|member| member.kill()),
            Fault::NoSpace => {
                cluster.fill().await;
                since = Instant::now();
            }
            Fault::Corrupt => {
                cluster
                    .alarm(0, AlarmAction::Activate, AlarmType::Corrupt)
                    .await
            }
            Fault::Stall => {
                let leader = match self.of {
                    Of::Leader => known[0],
                    Of::All | Of::Survivor => cluster.leader().await,
                };
                stall = Some(Stall::of(cluster.members[leader].pid()));
                since = Instant::now();
            }
            Fault::Wipe => {
                cluster.members.iter_mut().for_each(|member| member.kill());
                service.not_ready(MOST).await;
            }
            Fault::Permission => {
                let mut client = cluster.client(0).await;
                let revoked = client.user_revoke_role("narrow", "narrow").await;
                revoked.expect("the role is revoked");
            }
            Fault::UserLost => {
                let deleted = cluster.client(0).await.user_delete("narrow").await;
                deleted.expect("the user is deleted");
            }
        }
        (stall, since)
    }

    /// Returns when etcd does its work again.
    async fn heal(&self, cluster: &mut Cluster, stall: &mut Option<Stall>) -> Instant {
        match self.fault {
            Fault::Kill | Fault::QuorumLost => {
                // Whoever runs goes on.
                let dead = if self.fault == Fault::Kill {
                    cluster.members.len()
                } else {
                    2
                };
                cluster.members[..dead]
                    .iter_mut()
                    .for_each(|member| member.launch());
            }
            Fault::Hang => cluster.members.iter().for_each(|member| member.resume()),
            Fault::Network(_) => {
                cluster.set(Mode::Pass);
                return Instant::now();
            }
            Fault::NoSpace => cluster.make_room().await,
            Fault::Corrupt => {
                cluster
                    .alarm(0, AlarmAction::Deactivate, AlarmType::Corrupt)
                    .await
            }
            Fault::Stall => *stall = None,
            Fault::Wipe => cluster
                .members
                .iter_mut()
                .for_each(|member| member.wipe_and_launch()),
            Fault::Permission => {
                cluster.grant_narrow().await;
                return Instant::now();
            }
            Fault::UserLost => {
                cluster.admit_narrow().await;
                return Instant::now();
            }
        }
        match self.of {
            Of::Survivor => cluster.healed(cluster.members.len() - 1).await,
            Of::All | Of::Leader => cluster.healed(0).await,
        }
    }
}

fn most(window: Duration) -> f64 {
    window.as_secs_f64() + SLACK
}
