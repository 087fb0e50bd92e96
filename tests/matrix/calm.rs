//! What must pass unnoticed.

use std::time::Duration;

use etcd_client::Client;
use overwatch_test_support::proxy::Mode;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::cluster::Cluster;
use crate::service::Service;
use crate::stall::Stall;
use crate::{Seen, version};

/// Something that happens to a healthy cluster, again and again.
#[derive(Clone, Copy, Debug)]
pub struct Calm {
    /// What an operator would call it.
    pub name: &'static str,
    /// How many members the cluster has.
    pub members: usize,
    /// How often it happens in one run of the service.
    pub rounds: u32,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    LeaderMoves,
    LeaderDies,
    LeaderHangs,
    /// For longer than a lease lives, by default.
    LeaderHangsForLong,
    LeadersDiskStalls,
    FollowerDies,
    FollowerHangs,
    FollowerRestarts,
    RollingRestart,
    OneCutOff,
    Compaction,
    Defragmentation,
    Latency,
    Busy,
    Stalled,
    TokenExpires,
}

const fn calm(name: &'static str, members: usize, rounds: u32, what: What) -> Calm {
    Calm {
        name,
        members,
        rounds,
        what,
    }
}

/// All of them, for each version.
pub const CALM: [Calm; 21] = [
    calm("leader moved", 3, 20, What::LeaderMoves),
    calm("leader killed and restarted", 3, 20, What::LeaderDies),
    calm("leader hung for 6 s", 3, 5, What::LeaderHangs),
    calm("leader hung for 15 s", 3, 3, What::LeaderHangsForLong),
    calm(
        "leader's disk stalled for 10 s",
        3,
        5,
        What::LeadersDiskStalls,
    ),
    calm("follower killed for 6 s", 3, 5, What::FollowerDies),
    calm("follower hung for 6 s", 3, 5, What::FollowerHangs),
    calm("follower restarted", 3, 20, What::FollowerRestarts),
    calm("rolling restart of all", 3, 5, What::RollingRestart),
    calm("each member cut off for 6 s", 3, 6, What::OneCutOff),
    calm("compaction", 1, 20, What::Compaction),
    calm("compaction", 3, 20, What::Compaction),
    calm("defragmentation of all", 1, 20, What::Defragmentation),
    calm("defragmentation of all", 3, 20, What::Defragmentation),
    calm("500 ms slower for 6 s", 1, 5, What::Latency),
    calm("500 ms slower for 6 s", 3, 5, What::Latency),
    calm("8 writers at full speed for 10 s", 1, 5, What::Busy),
    calm("8 writers at full speed for 10 s", 3, 5, What::Busy),
    calm(
        "CPU of the probe's host stalled for 1 s",
        1,
        20,
        What::Stalled,
    ),
    calm(
        "CPU of the probe's host stalled for 1 s",
        3,
        20,
        What::Stalled,
    ),
    calm("token expired (after 2 s)", 1, 5, What::TokenExpires),
];

/// Whatever trips it late does so within that.
const AFTERMATH: Duration = Duration::from_secs(6);

impl Calm {
    /// Runs it; `rounds` instead of its own number, if given. Needs a runtime of one thread, so that
    /// it can be stalled.
    pub async fn run(&self, etcd: &str, rounds: Option<u32>) -> Seen {
        let more: &[&str] = match self.what {
            What::TokenExpires => &["--auth-token-ttl", "2"],
            _ => &[],
        };
        let version = version(etcd);
        let mut cluster = Cluster::start(version, self.members, more).await;
        let mut config = cluster.config(&cluster.all());
        if self.what == What::TokenExpires {
            cluster.lock().await;
            // Each use lengthens a token's life, so it is to be used less often than it lives.
            config = config
                .with_user("narrow", "right")
                .with_sentinel_key("app/sentinel")
                .with_progress_interval(Duration::from_secs(1))
                .with_read_interval(Duration::from_secs(4));
        }
        let service = Service::start(config, Duration::from_secs(3));
        service.ready().await;
        let began = Instant::now();
        let rounds = rounds.unwrap_or(self.rounds);
        for number in 0..rounds {
            self.round(number as usize, &mut cluster).await;
        }
        sleep(AFTERMATH).await;
        let told = service.failing_since(began);
        let turns = service.turns_since(began);
        let trips = turns.iter().filter(|(_, ready)| !ready).count();
        let mut wrong = Vec::new();
        if trips > 0 || !told.is_empty() {
            wrong.push(format!("{trips} trips, told {:?}", told.first()));
        }
        if self.what == What::TokenExpires && !cluster.log(0).contains("invalid auth token") {
            wrong.push("no token has expired".to_owned());
        }
        service.end().await;
        let (members, name) = (self.members, self.name);
        let etcd = version.told();
        let told = told.len();
        let line = format!("| {etcd} | {members} | {name} | {rounds} | {trips} | {told} |");
        Seen::new(line, wrong)
    }

    async fn round(&self, number: usize, cluster: &mut Cluster) {
        let second = Duration::from_secs(1);
        match self.what {
            What::LeaderMoves => {
                let leader = cluster.leader().await;
                let next = (leader + 1) % cluster.members.len();
                let status = cluster.client(next).await.status().await.expect("a status");
                let id = status.header().expect("a header").member_id();
                let moved = cluster.client(leader).await.move_leader(id).await;
                moved.expect("the leader moves");
                sleep(2 * second).await;
            }
            What::LeaderDies => {
                let leader = cluster.leader().await;
                cluster.members[leader].kill();
                sleep(4 * second).await;
                cluster.members[leader].restart().await;
                sleep(2 * second).await;
            }
            What::LeaderHangs | What::LeaderHangsForLong => {
                let leader = cluster.leader().await;
                cluster.members[leader].hang();
                let hangs_for = match self.what {
                    What::LeaderHangsForLong => 15,
                    _ => 6,
                };
                sleep(hangs_for * second).await;
                cluster.members[leader].resume();
                sleep(3 * second).await;
            }
            What::LeadersDiskStalls => {
                let leader = cluster.leader().await;
                let stall = Stall::of(cluster.members[leader].pid());
                sleep(10 * second).await;
                drop(stall);
                sleep(3 * second).await;
            }
            What::FollowerDies => {
                let follower = (cluster.leader().await + 1) % cluster.members.len();
                cluster.members[follower].kill();
                sleep(6 * second).await;
                cluster.members[follower].restart().await;
                sleep(second).await;
            }
            What::FollowerHangs => {
                let follower = (cluster.leader().await + 1) % cluster.members.len();
                cluster.members[follower].hang();
                sleep(6 * second).await;
                cluster.members[follower].resume();
                sleep(second).await;
            }
            What::FollowerRestarts => {
                let follower = (cluster.leader().await + 1) % cluster.members.len();
                cluster.members[follower].restart().await;
                sleep(second).await;
            }
            What::RollingRestart => {
                for index in cluster.all() {
                    cluster.members[index].restart().await;
                    // An operator waits until the member is back in the cluster, and a bit.
                    sleep(3 * second).await;
                }
            }
            What::OneCutOff => {
                let index = number % cluster.members.len();
                cluster.set_one(index, Mode::BlackHole);
                sleep(6 * second).await;
                cluster.set_one(index, Mode::Pass);
                sleep(2 * second).await;
            }
            What::Compaction => {
                let mut client = cluster.client(0).await;
                let mut revision = 0;
                for number in 0..50 {
                    let put = client.put("compacted", number.to_string(), None).await;
                    revision = put.expect("a put").header().expect("a header").revision();
                }
                cluster.compact(revision).await;
                sleep(second).await;
            }
            What::Defragmentation => {
                cluster.defragment().await;
                sleep(second).await;
            }
            What::Latency => {
                cluster.set(Mode::Delay(Duration::from_millis(250)));
                sleep(6 * second).await;
                cluster.set(Mode::Pass);
                sleep(2 * second).await;
            }
            What::Busy => {
                let mut writers = JoinSet::new();
                for _ in 0..8 {
                    writers.spawn(write(cluster.client(0).await));
                }
                sleep(10 * second).await;
                writers.shutdown().await;
            }
            What::Stalled => {
                sleep(Duration::from_millis(700)).await;
                // On a runtime of one thread nothing at all goes on meanwhile.
                std::thread::sleep(second);
                sleep(second).await;
            }
            What::TokenExpires => sleep(6 * second).await,
        }
    }
}

async fn write(mut client: Client) {
    for number in 0_u64.. {
        let put = client
            .put(format!("busy/{}", number % 1000), vec![b'x'; 1024], None)
            .await;
        put.expect("a put");
    }
}
