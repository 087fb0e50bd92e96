//! One node: a process that takes its share of the work. It is what a service of yours would be.

mod job;

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use overwatch::etcd::{EtcdConfig, EtcdProbe, Membership, Shard, Shards};
use overwatch::machine::Phase;
use overwatch::{Handle, Overwatch, Policy, Tuning};
use overwatch_examples::endpoint::Endpoint;

use crate::record::Recorder;
use job::Job;

/// The word by which this program is told to be a node.
pub(crate) const NODE: &str = "node";
/// Below this everything is that the nodes write.
pub(crate) const PREFIX: &str = "demo/";
/// What the nodes share out.
pub(crate) const WORK: &str = "checks";
/// How a node says that it is ready, or not.
pub(crate) const READY: &str = "ready";
pub(crate) const NOT_READY: &str = "not ready: ";
/// The line on its standard input by which a node is told that one of its jobs is to block, for good.
pub(crate) const BLOCK: &str = "block";
/// How a node says which job blocks.
pub(crate) const BLOCKED: &str = "blocked: shard ";

/// How long etcd must prove itself after an outage.
const WINDOW: Duration = Duration::from_secs(3);
/// How long a stage may take to stop, and then to be aborted.
const STOP: Duration = Duration::from_secs(1);
const ABORT: Duration = Duration::from_millis(500);
/// How much longer than its jobs a node that drains may take to stop.
const DRAINED_WITHIN: Duration = Duration::from_millis(200);

/// What a node is told when it is started.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) id: String,
    /// Where it reaches the members of etcd.
    pub(crate) etcd: Vec<String>,
    pub(crate) shards: u32,
    pub(crate) ttl: Duration,
    /// What its jobs ask; none if they do nothing.
    pub(crate) target: Option<Endpoint>,
    /// Where they write down what they do.
    pub(crate) record: PathBuf,
    /// How long its jobs go on with their work when they are told to stop.
    pub(crate) drain: Duration,
    /// How often etcd's store was put back to an earlier state, and the nodes started again after it.
    pub(crate) generation: u16,
}

impl Told {
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let target = self.target.map_or("-".to_owned(), |at| at.to_string());
        vec![
            NODE.into(),
            self.id.clone().into(),
            self.etcd.join(",").into(),
            self.shards.to_string().into(),
            self.ttl.as_secs().to_string().into(),
            target.into(),
            self.record.clone().into(),
            self.drain.as_millis().to_string().into(),
            self.generation.to_string().into(),
        ]
    }

    /// From what follows [`NODE`].
    pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Option<Self> {
        let arguments: Vec<OsString> = arguments.collect();
        let [id, etcd, shards, ttl, target, record, drain, generation] =
            arguments.try_into().ok()?;
        let target = match target.to_str()? {
            "-" => None,
            address => Some(Endpoint(address.parse().ok()?)),
        };
        Some(Self {
            id: id.to_str()?.to_owned(),
            etcd: etcd.to_str()?.split(',').map(str::to_owned).collect(),
            shards: shards.to_str()?.parse().ok()?,
            ttl: Duration::from_secs(ttl.to_str()?.parse().ok()?),
            target,
            record: record.into(),
            drain: Duration::from_millis(drain.to_str()?.parse().ok()?),
            generation: generation.to_str()?.parse().ok()?,
        })
    }

    /// How long a stage may take to stop.
    fn stop_deadline(&self) -> Duration {
        if self.drain.is_zero() {
            STOP
        } else {
            STOP.max(self.drain + DRAINED_WITHIN)
        }
    }
}

/// Is a node, until it is told to stop or nobody holds the other end of its standard input.
#[tokio::main]
pub(crate) async fn run(told: Told) -> ExitCode {
    let block = Arc::new(AtomicBool::new(false));
    std::thread::spawn({
        let block = Arc::clone(&block);
        move || obey_the_parent(&block)
    });
    let service = match service(&told, block) {
        Ok(service) => service,
        Err(error) => return failed(&*error),
    };
    tokio::spawn(tell(service.handle()));
    // A job whose thread is blocked must not go on when another node has its shard.
    service.run_or_exit().await;
    ExitCode::SUCCESS
}

fn failed(error: &dyn Error) -> ExitCode {
    let _ = writeln!(io::stderr(), "{error}");
    ExitCode::FAILURE
}

/// A service whose jobs run on one node at a time.
fn service(told: &Told, block: Arc<AtomicBool>) -> Result<Overwatch, Box<dyn Error>> {
    let mut etcd = EtcdConfig::new(&told.etcd)?;
    if !told.drain.is_zero() {
        // The time that it takes to stop leaves less than an election, and there is none while a node drains.
        etcd = etcd.with_election_timeout(Duration::from_millis(600));
    }
    let membership = Membership::builder(etcd.clone(), PREFIX, &told.id)
        .metadata(format!("process {}", std::process::id()))
        .ttl(told.ttl)
        .token_generation(told.generation)
        .build()?;
    let job = Arc::new(Job {
        recorder: Recorder::create(&told.record)?,
        target: told.target,
        drain: told.drain,
        block,
    });
    let shards = Shards::new(&membership, WORK, told.shards, move |shard: Shard| {
        Arc::clone(&job).run(shard)
    })?;
    let policy = Policy::builder()
        .window(WINDOW)
        .start_deadline(start_deadline(told.ttl, told.stop_deadline()))
        .stop_deadline(told.stop_deadline())
        .abort_deadline(ABORT)
        .tuning(
            Tuning::default()
                .with_jitter_seed_from(&told.id)
                // Each relapse would double the window; here one fault shall not lengthen the next.
                .with_growth(1),
        )
        .build()?;
    let service = Overwatch::builder(EtcdProbe::new(etcd)?)
        .policy(policy)
        .lease_holder("membership", membership.clone())
        .component(WORK, shards)
        .build()?;
    tokio::spawn(tell_members(membership));
    Ok(service)
}

/// What the lease leaves for a start. The server gives it a second less than the time to live; from
/// that go a tenth, or a second, for clocks that drift, and the time to stop two stages. Half a
/// second more is for the lease's owner, who cannot renew it all the time.
fn start_deadline(ttl: Duration, stop: Duration) -> Duration {
    let second = Duration::from_secs(1);
    let margin = second.max(ttl / 10);
    let left = ttl.saturating_sub(second + margin + 2 * (stop + ABORT) + second / 2);
    left.min(10 * second)
}

/// Says what becomes of the node.
async fn tell(handle: Handle) {
    let mut transitions = handle.transitions();
    while let Ok(Some(moved)) = transitions.next().await {
        let (from, to, reason) = (moved.from, moved.to, moved.reason);
        match (from, to) {
            (_, Phase::Running) => say(READY),
            (Phase::Running, _) => say(&format!("{NOT_READY}{reason}")),
            _ => {}
        }
        say(&format!("{from:?} -> {to:?}: {reason}"));
    }
}

/// Says whom it sees. The list is renewed all the time; what counts is who is in it.
async fn tell_members(membership: Membership) {
    let mut members = membership.members();
    let mut told = String::new();
    while members.changed().await.is_ok() {
        let ids: Vec<String> = members
            .borrow_and_update()
            .iter()
            .map(|(id, member)| {
                let metadata = String::from_utf8_lossy(member.metadata());
                format!("{id} ({metadata})")
            })
            .collect();
        let line = format!("members: {}", ids.join(", "));
        if line != told {
            say(&line);
            told = line;
        }
    }
}

/// A parent that has left is no reason to panic.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Standard input ends when the parent does.
fn obey_the_parent(block: &AtomicBool) {
    for line in io::stdin().lock().lines() {
        match line {
            Ok(line) if line == BLOCK => block.store(true, Ordering::Relaxed),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    std::process::exit(1);
}
