//! A resolver that never answers holds up nobody, least of all the end of the process.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use overwatch::etcd::{EtcdConfig, EtcdProbe, Membership};
use overwatch::{Overwatch, Policy, polled};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Tells a child what to play.
const PART: &str = "OVERWATCH_TEST_NAMES_PART";
/// A name that no file of the system's has.
const ENDPOINT: &str = "http://etcd.overwatch-test.invalid:2379";
const SECOND: Duration = Duration::from_secs(1);

/// The body of every child: a service whose etcd has a name.
#[test]
#[ignore = "the body of the child processes of this file's tests, which run it"]
fn child() {
    let part = std::env::var(PART).expect("run by its parent");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let etcd = EtcdConfig::new([ENDPOINT]).expect("a valid endpoint");
    let idle = |ctx: overwatch::Context| async move {
        ctx.mark_ready();
        ctx.stopping().await;
        Ok(())
    };
    let service = match &*part {
        "probe" => Overwatch::builder(EtcdProbe::new(etcd).expect("valid")).task("idle", idle),
        "membership" => {
            let membership = Membership::builder(etcd, "nodes", "a");
            let membership = membership.build().expect("a valid membership");
            let policy = Policy::builder()
                .start_deadline(5 * SECOND)
                .stop_deadline(2 * SECOND)
                .abort_deadline(SECOND / 2)
                .build()
                .expect("a valid policy");
            let always = polled(SECOND / 10, SECOND, || async { Ok(()) });
            Overwatch::builder(always)
                .policy(policy)
                .lease_holder("membership", membership)
        }
        other => panic!("nothing to play: {other}"),
    };
    let service = service.build().expect("a valid service");
    runtime
        .block_on(service.run_until_signal())
        .expect("an orderly end");
    println!("stopped");
    // As at the end of `main`.
    drop(runtime);
}

/// Takes questions and answers none, at an address of its own. It needs root, for the port.
struct SilentResolver {
    socket: UdpSocket,
    dir: TempDir,
}

impl SilentResolver {
    fn start() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(77);
        let (id, next) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let address = Ipv4Addr::new(127, next, (id >> 8) as u8, id as u8);
        let socket = UdpSocket::bind((address, 53)).unwrap_or_else(|error| {
            panic!("cannot listen on {address}:53 ({error}): run this test as root")
        });
        socket
            .set_read_timeout(Some(20 * SECOND))
            .expect("a timeout");
        let dir = tempfile::tempdir().expect("a directory");
        let resolv = format!("nameserver {address}\noptions timeout:30 attempts:1\n");
        fs::write(dir.path().join("resolv.conf"), resolv).expect("a file");
        fs::write(dir.path().join("nsswitch.conf"), "hosts: files dns\n").expect("a file");
        Self { socket, dir }
    }

    /// Starts a child whose names are looked up here: in a mount namespace of its own.
    fn child(&self, part: &str) -> Ended {
        let mount = "mount --bind \"$1/resolv.conf\" /etc/resolv.conf \
             && mount --bind \"$1/nsswitch.conf\" /etc/nsswitch.conf && shift && exec \"$@\"";
        let own = std::env::current_exe().expect("a path");
        let child = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", mount, "sh"])
            .arg(self.dir.path())
            .arg(own)
            .args(["--exact", "names::child", "--ignored", "--nocapture"])
            .env(PART, part)
            .stdout(Stdio::piped())
            .spawn();
        Ended(child.unwrap_or_else(|error| panic!("cannot run unshare (util-linux): {error}")))
    }

    /// Waits until somebody asks.
    fn asked(&self) {
        let mut question = [0; 512];
        self.socket
            .recv(&mut question)
            .expect("the name is looked up");
    }
}

/// Ended by its own id when dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ends_soon_after_it_has_stopped(part: &str) {
    let resolver = SilentResolver::start();
    let mut child = resolver.child(part);
    resolver.asked();
    // From here on a thread waits for an answer, for 30 s.
    let asked = Instant::now();
    // It does, and it is no thread of a runtime's, which that would wait for.
    let threads = fs::read_dir(format!("/proc/{}/task", child.0.id())).expect("its threads");
    let names = threads.filter_map(|thread| {
        // A thread may end at any moment.
        let name = fs::read_to_string(thread.ok()?.path().join("comm")).ok()?;
        Some(name.trim_end().to_owned())
    });
    let waiting = names.filter(|name| name == "overwatch-name").count();
    assert_eq!(waiting, 1, "one thread waits for the name");
    kill_process(Pid::from_child(&child.0), Signal::TERM).expect("it runs");
    let out = child.0.stdout.take().expect("piped");
    // Kept, so that it can say more.
    let mut lines = BufReader::new(out).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("stopped")), "in order");
    let since = Instant::now();
    let status = child.0.wait().expect("it ends");
    println!(
        "stopped after {:?}, ended {:?} later",
        since - asked,
        since.elapsed()
    );
    assert!(status.success(), "{status}");
    // A second, and two for a busy machine.
    assert!(since.elapsed() <= 3 * SECOND, "{:?}", since.elapsed());
    assert!(
        asked.elapsed() < 25 * SECOND,
        "it was not the resolver that gave up"
    );
}

#[test]
fn a_probe_whose_look_up_hangs_holds_up_no_process() {
    ends_soon_after_it_has_stopped("probe");
}

#[test]
fn a_membership_whose_look_up_hangs_holds_up_no_process() {
    ends_soon_after_it_has_stopped("membership");
}
