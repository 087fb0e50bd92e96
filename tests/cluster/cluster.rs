//! All that is started: etcd, a target for the checks, and the nodes, each cut off from the rest of
//! the world at will.

mod balance;
mod blocking;
mod orders;
mod second;
mod traces;

pub(crate) use orders::{Endpoints, Orders};

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use overwatch_examples::endpoint::{Endpoint, serve};
use overwatch_test_support::proxy::{Mode, Proxy};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::arguments::Wanted;
use crate::etcd::{self, Keys, Member};
use crate::judge::{Found, Trail};
use crate::node::{PREFIX, WORK};
use crate::process::Process;
use crate::record::now;
use crate::screen::Screen;

/// How often the records are read.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a node may take to leave. Its policy allows for three seconds.
const LEAVE_WITHIN: Duration = Duration::from_secs(10);

/// Everything that was started; dropping it ends it.
pub(crate) struct Cluster {
    pub(crate) wanted: Wanted,
    pub(crate) screen: Screen,
    nodes: Vec<Node>,
    /// Every process that a node ever was.
    processes: Vec<Process>,
    pub(crate) members: Vec<Member>,
    /// The members of another etcd, which has nothing to do with the first.
    second: Vec<Member>,
    /// When the store was put back to an earlier state, and tokens went back with it.
    pub(crate) restored: Vec<u64>,
    binary: OsString,
    target: Endpoint,
    serving: JoinHandle<io::Result<()>>,
    dir: TempDir,
}

struct Node {
    id: String,
    /// To each member of etcd one.
    proxies: Vec<Proxy>,
    /// To each member of the second etcd one, while there is a second.
    to_second: Vec<Proxy>,
    orders: Orders,
    /// The process that it is, if any.
    process: Option<usize>,
    shown: Shown,
}

/// What was shown last of a node, and when; and what would be shown now.
#[derive(Default)]
struct Shown {
    last: String,
    next: String,
    at: Option<Instant>,
}

impl Cluster {
    /// Starts etcd and the target, and no node yet.
    pub(crate) async fn start(wanted: Wanted, binary: OsString) -> Result<Self, String> {
        let dir = tempfile::Builder::new()
            .prefix("overwatch-cluster-")
            .tempdir();
        let dir = dir.map_err(|error| format!("no directory for etcd and the records: {error}"))?;
        let members = Member::start(wanted.members, &binary, dir.path()).await?;
        let bound = Endpoint::bind().await;
        let (target, listener) = bound.map_err(|error| format!("no port is free: {error}"))?;
        let checked = Router::new().fallback(get(|| async { "up" }));
        let mut nodes = Vec::new();
        for number in 1..=wanted.nodes {
            let mut proxies = Vec::new();
            for member in &members {
                proxies.push(Proxy::start(member.address()).await);
            }
            nodes.push(Node {
                id: format!("node-{number}"),
                proxies,
                to_second: Vec::new(),
                orders: Orders::usual(&wanted),
                process: None,
                shown: Shown::default(),
            });
        }
        Ok(Self {
            wanted,
            screen: Screen::new(),
            nodes,
            processes: Vec::new(),
            members,
            second: Vec::new(),
            restored: Vec::new(),
            binary,
            target,
            serving: serve(listener, checked),
            dir,
        })
    }

    /// Where logs and records are, from now on for good.
    pub(crate) fn keep(&mut self) -> PathBuf {
        self.dir.disable_cleanup(true);
        self.dir.path().to_owned()
    }

    pub(crate) fn id(&self, node: usize) -> &str {
        &self.nodes[node].id
    }

    /// The process that a node is.
    pub(crate) fn process(&self, node: usize) -> Result<usize, String> {
        let process = self.nodes[node].process;
        process.ok_or_else(|| format!("{} does not run", self.id(node)))
    }

    /// Starts a node's process.
    pub(crate) fn launch(&mut self, node: usize) -> Result<(), String> {
        let number = self.processes.len();
        let id = self.nodes[node].id.clone();
        let record = self.dir.path().join(format!("{id}.{number}.record"));
        let told = self.told(node, record);
        let log = self.dir.path().join(format!("{id}.log"));
        let started = Process::start(&told, node, &log, self.screen);
        let process = started.map_err(|error| format!("{id} cannot be started: {error}"))?;
        self.processes.push(process);
        self.nodes[node].process = Some(number);
        Ok(())
    }

    /// SIGKILL; returns when the process is gone.
    pub(crate) fn kill(&mut self, node: usize) -> Result<(), String> {
        self.with(node, Process::end)?;
        self.nodes[node].process = None;
        Ok(())
    }

    /// SIGTERM.
    pub(crate) fn tell_to_stop(&mut self, node: usize) -> Result<(), String> {
        self.with(node, |process| process.signal(Signal::TERM))
    }

    /// SIGTERM; returns when the processes have ended, which must be well.
    pub(crate) async fn leave(&mut self, nodes: &[usize]) -> Result<(), String> {
        for &node in nodes {
            self.tell_to_stop(node)?;
        }
        self.left(nodes).await
    }

    /// Returns when processes that were told to stop have ended, which must be well.
    pub(crate) async fn left(&mut self, nodes: &[usize]) -> Result<(), String> {
        let deadline = Instant::now() + LEAVE_WITHIN;
        for &node in nodes {
            let status = loop {
                if let Some(status) = self.with(node, Process::ended)? {
                    break status;
                }
                if Instant::now() >= deadline {
                    let id = self.id(node);
                    return Err(format!("waited {LEAVE_WITHIN:?} for {id} to leave"));
                }
                sleep(LOOK_EVERY / 5).await;
            };
            self.kill(node)?;
            if !status.success() {
                return Err(format!("{} has not left well: {status}", self.id(node)));
            }
        }
        Ok(())
    }

    /// SIGSTOP.
    pub(crate) fn hang(&mut self, node: usize) -> Result<(), String> {
        self.with(node, Process::hang)
    }

    /// SIGCONT.
    pub(crate) fn resume(&mut self, node: usize) -> Result<(), String> {
        self.with(node, Process::resume)
    }

    /// Does something to the process that a node is.
    fn with<T>(
        &mut self,
        node: usize,
        does: impl FnOnce(&mut Process) -> io::Result<T>,
    ) -> Result<T, String> {
        let number = self.process(node)?;
        let done = does(&mut self.processes[number]);
        done.map_err(|error| format!("{}: {error}", self.id(node)))
    }

    /// Cuts a node off from etcd: bytes vanish, on old connections and on new ones.
    pub(crate) fn cut_off(&self, node: usize) {
        for proxy in &self.nodes[node].proxies {
            proxy.set(Mode::BlackHole);
        }
    }

    /// What was held back arrives late, as packets do that were sent again.
    pub(crate) fn join_up(&self, node: usize) {
        for proxy in &self.nodes[node].proxies {
            proxy.set(Mode::Pass);
        }
    }

    /// How often each node was ready and then was not, and which process it is.
    pub(crate) fn trips(&self) -> Vec<(Option<usize>, u32)> {
        let trips = |process: usize| self.processes[process].said().trips;
        self.nodes
            .iter()
            .map(|node| (node.process, node.process.map_or(0, trips)))
            .collect()
    }

    /// How many shards a node has.
    pub(crate) fn load(&self, node: usize) -> usize {
        let process = self.nodes[node].process;
        process.map_or(0, |process| self.processes[process].jobs.len())
    }

    /// What is in the records so far.
    pub(crate) fn found(&self) -> Found {
        let trails: Vec<&Trail> = self.processes.iter().map(|one| &one.trail).collect();
        Found::of(&trails, &self.restored, now())
    }

    /// Reads the records, and shows what has changed. A node that has ended by itself is an error, but
    /// for one with a job that blocks, and for one that stood still beyond its lease: its watchdog
    /// aborts it when it goes on. That one is started again at once, as an orchestrator would.
    pub(crate) fn look(&mut self) -> Result<(), String> {
        for node in self.all() {
            if self.nodes[node].process.is_some() {
                self.with(node, Process::read)?;
                if let Some(status) = self.with(node, Process::ended)? {
                    let process = &self.processes[self.process(node)?];
                    let (stale, blocked) = (process.stood_still(self.wanted.ttl), process.blocked);
                    self.kill(node)?;
                    let id = self.id(node);
                    if blocked && !status.success() {
                        self.screen.say(id, &format!("has ended: {status}"));
                        continue;
                    }
                    if !stale || status.signal() != Some(Signal::ABORT.as_raw()) {
                        return Err(format!("{id} has ended by itself: {status}"));
                    }
                    let what = "was aborted by its watchdog, and is started again";
                    self.screen.say(id, what);
                    self.launch(node)?;
                }
            }
            self.show(node);
        }
        Ok(())
    }

    fn show(&mut self, node: usize) {
        let process = self.nodes[node].process;
        let now = match process.map(|number| &self.processes[number]) {
            None => "down".to_owned(),
            Some(process) => {
                let word = match process.said().ready {
                    _ if process.is_hung() => "hung",
                    true => "ready",
                    false => "not ready",
                };
                let shards: BTreeSet<u32> = process.jobs.values().copied().collect();
                let numbers: Vec<String> = shards.iter().map(u32::to_string).collect();
                match numbers.len() {
                    0 => word.to_owned(),
                    count => format!("{word} {count}: {}", numbers.join(" ")),
                }
            }
        };
        let Node { id, shown, .. } = &mut self.nodes[node];
        // Many jobs that start one after the other are one change.
        let settled = shown.next == now;
        let overdue = shown
            .at
            .is_none_or(|at| at.elapsed() > Duration::from_secs(1));
        if shown.last != now && (settled || overdue) {
            self.screen.say(id, &now);
            shown.last.clone_from(&now);
            shown.at = Some(Instant::now());
        }
        shown.next = now;
    }

    /// Lets time pass.
    pub(crate) async fn pause(&mut self, time: Duration) -> Result<(), String> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.look()?;
            sleep(LOOK_EVERY.min(until - Instant::now())).await;
        }
        Ok(())
    }

    /// What is in etcd.
    pub(crate) async fn keys(&self) -> Result<Keys, String> {
        Keys::read(&self.members, PREFIX, WORK).await
    }

    /// Deletes the claims on these shards.
    pub(crate) async fn delete_claims(&self, shards: &[u32]) -> Result<(), String> {
        let keys = shards
            .iter()
            .map(|shard| format!("{PREFIX}work/{WORK}/shard/{shard}"));
        etcd::delete(&self.members, &keys.collect::<Vec<_>>()).await
    }

    /// Takes away the lease of a node.
    pub(crate) async fn revoke(&self, node: usize) -> Result<(), String> {
        let keys = self.keys().await?;
        let id = self.id(node);
        let lease = keys.members.get(id);
        let lease = lease.ok_or_else(|| format!("{id} is no member"))?;
        etcd::revoke(&self.members, *lease).await
    }

    /// All nodes.
    pub(crate) fn all(&self) -> Vec<usize> {
        (0..self.nodes.len()).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
