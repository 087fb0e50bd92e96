//! A job that blocks its thread for good ends only with its process, and nobody does it beside that: two
//! nodes, each a process of its own that is built like the program in the guide's chapter on clusters, and two shards.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{env, io, process, thread};

use overwatch::etcd::{EtcdConfig, EtcdProbe, Membership, Shard, Shards};
use overwatch::machine::HaltReason;
use overwatch::{Failure, Handle, Overwatch, Policy};
use overwatch_test_support::etcd::Etcd;
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::nodes::{PREFIX, WORK, within};
use super::{BUSY, SECOND};

/// The deadlines leave room for a busy machine: half of the margin is for the abort of a process.
const TTL: Duration = Duration::from_secs(10);
const MARGIN: Duration = Duration::from_secs(1);
const START: Duration = Duration::from_secs(4);
const STOP: Duration = Duration::from_secs(1);
const ABORT: Duration = Duration::from_millis(500);
/// Two stages: the shards, which the blocked job outlives, and then the membership, which waits for it.
const STAGES: u32 = 2;
/// How long a node may take until it works.
const UP_WITHIN: Duration = Duration::from_secs(30);
/// 128 + SIGTERM.
const TERMINATED: i32 = 143;

/// Tells a child what it is: how it runs, its id and etcd's URL.
const NODE: &str = "OVERWATCH_CLUSTER_TEST_NODE";
/// What a child says. All but the last two are of a shard.
const BEGINS: &str = "begins";
const WORKS: &str = "works";
const BLOCKS: &str = "blocks";
const ENDS: &str = "ends";
const MOVED: &str = "moved";
const OVER: &str = "over";
/// At the end of how a node runs.
const IN_A_TASK: &str = "-in-a-task";

/// The next look at this makes a job block.
static BLOCK: AtomicBool = AtomicBool::new(false);
/// Whether a task of the job blocks, and not its function.
static IN_TASK: AtomicBool = AtomicBool::new(false);

#[test]
#[ignore = "the body of the child processes, which the other tests run"]
fn child() {
    let told = env::var(NODE).expect("run by its parent");
    let told: Vec<&str> = told.split(' ').collect();
    let [how, id, url] = told[..] else {
        panic!("what to do with {told:?}?");
    };
    // Ends the line that the test runner has begun.
    println!();
    thread::spawn(listen);
    let in_task = how.strip_suffix(IN_A_TASK);
    IN_TASK.store(in_task.is_some(), Ordering::Relaxed);
    node(in_task.unwrap_or(how), id, url);
}

/// One line is the order to block; the end of input is the end of the parent.
fn listen() {
    while io::stdin()
        .read_line(&mut String::new())
        .is_ok_and(|n| n > 0)
    {
        BLOCK.store(true, Ordering::Relaxed);
    }
    process::exit(2);
}

/// Where this returns the runtime is dropped, which waits for threads that are blocked.
#[tokio::main(worker_threads = 2)]
async fn node(how: &str, id: &str, url: &str) {
    let etcd = EtcdConfig::new([url]).expect("a valid endpoint");
    let membership = Membership::builder(etcd.clone(), PREFIX, id)
        .ttl(TTL)
        .margin(MARGIN)
        .build()
        .expect("a valid membership");
    let checks = Shards::new(&membership, WORK, 2, job).expect("valid shards");
    let policy = Policy::builder()
        .window(Duration::from_millis(500))
        .start_deadline(START)
        .stop_deadline(STOP)
        .abort_deadline(ABORT);
    let service = Overwatch::builder(EtcdProbe::new(etcd).expect("valid"))
        .policy(policy.build().expect("a valid policy"))
        .lease_holder("membership", membership)
        .component("checks", checks);
    let service = match how {
        "unwatched" => service.fence_watchdog(false),
        _ => service,
    };
    let service = service.build().expect("a valid service");
    tokio::spawn(tell(service.handle()));
    if how == "exits" {
        return service.run_or_exit().await;
    }
    let error = service.run_until_signal().await.expect_err("it is wedged");
    assert_eq!(error.why(), Some(HaltReason::Wedged), "{error}");
    println!("{OVER} - {}", now().as_nanos());
}

/// Says what becomes of the node: for whoever reads why a test failed.
async fn tell(handle: Handle) {
    let mut transitions = handle.transitions();
    while let Ok(Some(moved)) = transitions.next().await {
        let (from, to, reason) = (moved.from, moved.to, moved.reason);
        println!(
            "{MOVED} - {} {from:?} -> {to:?}: {reason}",
            now().as_nanos()
        );
    }
}

async fn job(shard: Shard) -> Result<(), Failure> {
    say(BEGINS, &shard);
    while shard.sleep(Duration::from_millis(50)).await {
        shard.check()?;
        say(WORKS, &shard);
        if BLOCK.swap(false, Ordering::Relaxed) {
            say(BLOCKS, &shard);
            let task = shard.clone();
            match IN_TASK.load(Ordering::Relaxed) {
                true => drop(shard.spawn::<()>(async move { block(&task) })),
                false => block(&shard),
            }
        }
    }
    say(ENDS, &shard);
    Ok(())
}

/// Works on, and never comes back.
fn block(shard: &Shard) -> ! {
    loop {
        thread::park_timeout(Duration::from_millis(100));
        say(WORKS, shard);
    }
}

fn say(what: &str, shard: &Shard) {
    println!("{what} {} {}", shard.index(), now().as_nanos());
}

/// By a clock that all processes of a machine share.
fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    // It counts from the boot of the machine, so neither part is negative.
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// What a child said.
#[derive(Clone, Debug, PartialEq)]
struct Said {
    what: String,
    shard: Option<u32>,
    at: Duration,
    more: String,
}

impl Said {
    /// `None` if it is the test runner's.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(4, ' ');
        let (what, shard, at) = (words.next()?, words.next()?, words.next()?);
        let known = [BEGINS, WORKS, BLOCKS, ENDS, MOVED, OVER].contains(&what);
        known.then(|| Self {
            what: what.to_owned(),
            shard: shard.parse().ok(),
            at: Duration::from_nanos(at.parse().expect("a time")),
            more: words.next().unwrap_or_default().to_owned(),
        })
    }
}

/// A process. It is killed when this is dropped.
struct Node {
    process: Child,
    input: ChildStdin,
    lines: UnboundedReceiver<Said>,
    said: Vec<Said>,
    errors: JoinHandle<String>,
}

impl Node {
    fn start(how: &str, id: &str, etcd: &Etcd) -> Self {
        let mut process = Command::new(env::current_exe().expect("this program"))
            .args(["--ignored", "--exact", "cluster::blocked::child"])
            .arg("--nocapture")
            .env(NODE, format!("{how} {id} {}", etcd.url()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a process");
        let output = process.stdout.take().expect("it is piped");
        let (tell, told) = unbounded_channel();
        tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(said) = Said::parse(&line)
                    && tell.send(said).is_err()
                {
                    break;
                }
            }
        });
        let mut output = process.stderr.take().expect("it is piped");
        let errors = tokio::spawn(async move {
            let mut errors = String::new();
            let _ = output.read_to_string(&mut errors).await;
            errors
        });
        Self {
            input: process.stdin.take().expect("it is piped"),
            lines: told,
            said: Vec::new(),
            errors,
            process,
        }
    }

    /// Reads on until it says this, of the shard if one is given.
    async fn until(&mut self, limit: Duration, what: &str, shard: Option<u32>) -> Said {
        self.until_after(limit, what, shard, Duration::ZERO).await
    }

    /// The same for what it said after this time.
    async fn until_after(
        &mut self,
        limit: Duration,
        what: &str,
        shard: Option<u32>,
        after: Duration,
    ) -> Said {
        let waited = timeout(limit, async {
            while let Some(said) = self.lines.recv().await {
                self.said.push(said.clone());
                let of_it = shard.is_none() || said.shard == shard;
                if of_it && said.what == what && said.at > after {
                    return Ok(said);
                }
            }
            Err((&mut self.errors).await)
        });
        match waited.await {
            Ok(Ok(said)) => said,
            Ok(Err(errors)) => panic!("it never {what} {shard:?}: {errors:?}{}", self.story()),
            Err(_) => panic!("not within {limit:?}: {what} {shard:?}{}", self.story()),
        }
    }

    /// Returns the job that blocks from then on.
    async fn block(&mut self) -> Said {
        self.input.write_all(b"block\n").await.expect("it listens");
        self.until(UP_WITHIN, BLOCKS, None).await
    }

    /// Returns when that was.
    fn signal(&self) -> Duration {
        let id = self.process.id().expect("it was not waited for");
        let id = Pid::from_raw(id.cast_signed()).expect("not zero");
        let at = now();
        kill_process(id, Signal::TERM).expect("it lives");
        at
    }

    /// Waits for its end. Returns how it ended, when that was seen, and what it wrote to stderr.
    async fn ended(&mut self, limit: Duration) -> (ExitStatus, Duration, String) {
        let status = within(limit, "the process has ended", self.process.wait()).await;
        let at = now();
        while let Some(said) = self.lines.recv().await {
            self.said.push(said);
        }
        let errors = (&mut self.errors).await.expect("no panic");
        (status.expect("it is a child"), at, errors)
    }

    /// All but its work.
    fn story(&self) -> String {
        let said = self.said.iter().filter(|said| said.what != WORKS);
        let lines = said.map(|said| {
            let Said {
                what,
                shard,
                at,
                more,
            } = said;
            format!("\n{at:?} {what} {shard:?} {more}")
        });
        lines.collect()
    }

    /// When it did something for this shard last.
    fn last(&self, shard: u32) -> Duration {
        let of_it = self.said.iter().rfind(|said| said.shard == Some(shard));
        of_it.expect("it worked on it").at
    }
}

/// Two nodes that have a shard each. The first one's job blocks, and it was told to stop after that.
struct Scene {
    first: Node,
    second: Node,
    shard: u32,
    blocked: Duration,
    told: Duration,
    _etcd: Etcd,
}

impl Scene {
    async fn play(how: &str) -> Self {
        let etcd = Etcd::start().await;
        let mut first = Node::start(how, "node-1", &etcd);
        for shard in [0, 1] {
            first.until(UP_WITHIN, WORKS, Some(shard)).await;
        }
        let mut second = Node::start("exits", "node-2", &etcd);
        second.until(UP_WITHIN, BEGINS, None).await;
        let blocked = first.block().await;
        let shard = blocked.shard.expect("it is a job");
        // A blocked thread alone is no reason for anything.
        for _ in 0..10 {
            first.until(UP_WITHIN, WORKS, Some(shard)).await;
        }
        Self {
            told: first.signal(),
            first,
            second,
            shard,
            blocked: blocked.at,
            _etcd: etcd,
        }
    }

    /// The second node takes over, after the first one's last piece of work and as soon as is promised
    /// after its end.
    async fn is_taken_over(&mut self, ended: Duration) {
        let (told, last) = (self.told, self.first.last(self.shard));
        println!("told at {told:?}, worked until {last:?}, ended at {ended:?}");
        let (shard, blocked) = (Some(self.shard), self.blocked);
        let begins = self
            .second
            .until_after(2 * UP_WITHIN, BEGINS, shard, blocked);
        let begun = begins.await.at;
        println!("taken over at {begun:?}");
        let done = self.second.said.iter();
        let mut done = done.filter(|said| said.shard == shard && said.at > blocked);
        assert!(
            done.all(|said| said.at > last) && last > told,
            "it runs twice, or stopped by itself:{}\nand{}",
            self.first.story(),
            self.second.story()
        );
        // One that is not up itself takes nothing over: a busy machine may make etcd too slow for it.
        let moves = self.second.said.iter().filter(|said| said.what == MOVED);
        if moves.filter(|moved| moved.at > told).count() == 0 {
            let limit = TTL + SECOND + 2 * BUSY;
            assert!(begun <= ended + limit, "{}", self.second.story());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_with_a_job_that_blocks_for_good_is_left() {
    let mut scene = Scene::play("exits").await;
    let (status, ended, errors) = scene.first.ended(UP_WITHIN).await;
    assert_eq!(status.code(), Some(1), "{status} {errors}");
    // They are said within 100 ms, or not at all.
    assert!(
        errors.is_empty() || errors.contains("still not gone: checks"),
        "{errors}"
    );
    let took = ended - scene.told;
    println!("left after {took:?}: {errors}");
    assert!(took >= STOP + ABORT, "not before it must: {took:?}");
    assert!(took <= STAGES * (STOP + ABORT) + 2 * BUSY, "{took:?}");
    scene.is_taken_over(ended).await;
}

/// The run is over, `main` has returned, and the drop of its runtime waits for the blocked thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_stays_after_main_is_aborted_before_its_lease_runs_out() {
    let mut scene = Scene::play("returns").await;
    let over = scene.first.until(UP_WITHIN, OVER, None).await.at;
    let (status, ended, errors) = scene.first.ended(TTL + UP_WITHIN).await;
    let aborted = Some(Signal::ABORT.as_raw());
    assert_eq!(status.signal(), aborted, "{status} {errors}");
    println!("over at {over:?}, aborted after {:?}", ended - over);
    assert!(scene.first.last(scene.shard) > over, "it stayed");
    scene.is_taken_over(ended).await;
}

/// The function has ended, and a task of the shard stays: the lease is not given up before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_blocks_for_good_keeps_its_shard_until_the_process_is_aborted() {
    let mut scene = Scene::play(&format!("returns{IN_A_TASK}")).await;
    let over = scene.first.until(UP_WITHIN, OVER, None).await.at;
    let (status, ended, errors) = scene.first.ended(TTL + UP_WITHIN).await;
    let aborted = Some(Signal::ABORT.as_raw());
    assert_eq!(status.signal(), aborted, "{status} {errors}");
    assert!(scene.first.last(scene.shard) > over, "it stayed");
    scene.is_taken_over(ended).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_stays_after_main_ends_at_the_next_signal() {
    let mut scene = Scene::play("unwatched").await;
    let shard = Some(scene.shard);
    scene.first.until(UP_WITHIN, OVER, None).await;
    for _ in 0..3 {
        scene.first.until(UP_WITHIN, WORKS, shard).await;
    }
    let again = scene.first.signal();
    let (status, ended, errors) = scene.first.ended(UP_WITHIN).await;
    assert_eq!(status.code(), Some(TERMINATED), "{status} {errors}");
    let took = ended - again;
    println!("ended after {took:?}");
    assert!(took <= BUSY, "{took:?}");
    scene.is_taken_over(ended).await;
}
