//! What ends a process: signals, a wedged thread, a fence that has passed. Each runs in a child.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use overwatch::policy::Fence;
use overwatch::{Failure, Overwatch, Policy, Tuning};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

/// Tells a child what to play.
const PART: &str = "OVERWATCH_TEST_CHILD_PART";

/// The body of every child: a service in which something goes wrong.
#[test]
#[ignore = "the body of the child processes of this file's tests, which run it"]
fn child() {
    let part = std::env::var(PART).expect("run by its parent");
    let (_feed, probe) = overwatch::feed();
    _feed.alive("once is enough for this test");
    let ms = Duration::from_millis;
    let policy = Policy::builder()
        .silence_limit(Duration::from_secs(600))
        .start_deadline(ms(100))
        .abort_deadline(ms(50));
    let runtime = |threads| {
        let mut builder = match threads {
            1 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        builder.enable_all().build().unwrap()
    };
    let say = |ctx: &overwatch::Context| {
        ctx.ready();
        println!("up");
    };
    match &*part {
        "obedient" => {
            let service = Overwatch::watching(probe)
                .policy(policy.build().unwrap())
                .task("obedient", move |ctx| async move {
                    say(&ctx);
                    ctx.stopping().await;
                    println!("stopped");
                    Ok(())
                });
            runtime(2)
                .block_on(service.build().unwrap().run_until_signal())
                .unwrap();
        }
        "deaf" => {
            let policy = policy
                .stop_deadline(Duration::from_secs(600))
                .build()
                .unwrap();
            let service =
                Overwatch::watching(probe)
                    .policy(policy)
                    .task("deaf", move |ctx| async move {
                        say(&ctx);
                        ctx.stopping().await;
                        println!("told");
                        std::future::pending::<Result<(), Failure>>().await
                    });
            runtime(2)
                .block_on(service.build().unwrap().run_until_signal())
                .unwrap();
        }
        "wedged" => {
            let policy = policy.stop_deadline(ms(50)).build().unwrap();
            let service =
                Overwatch::watching(probe)
                    .policy(policy)
                    .task("stuck", move |ctx| async move {
                        say(&ctx);
                        ctx.stopping().await;
                        loop {
                            std::thread::park();
                        }
                    });
            runtime(2).block_on(service.build().unwrap().run_or_exit());
        }
        "frozen" => {
            let fence = Fence::new(ms(1000), ms(50)).with_margin(ms(100));
            let tuning = Tuning::default();
            let policy = policy
                .stop_deadline(ms(100))
                .fence(fence)
                .tuning(tuning)
                .build()
                .unwrap();
            let service = Overwatch::watching(probe)
                .policy(policy)
                .lease_owner("frozen")
                .fence_watchdog()
                .task("frozen", move |ctx| async move {
                    say(&ctx);
                    tokio::task::yield_now().await;
                    // The only thread of the runtime: supervisor and timers are frozen with it.
                    loop {
                        std::thread::park();
                    }
                });
            runtime(1)
                .block_on(service.build().unwrap().run_until_signal())
                .unwrap();
        }
        "renewed" => {
            let fence = Fence::new(ms(1000), ms(300)).with_margin(ms(100));
            let policy = policy
                .start_deadline(ms(500))
                .stop_deadline(ms(50))
                .fence(fence);
            let tuning = Tuning::default().backoff(ms(5)).jitter(Duration::ZERO);
            // In its second epoch the stages below the lease's owner are slow, so that the deadline
            // of the first passes before the owner is started.
            let slow = move |ctx: overwatch::Context| async move {
                if ctx.epoch() == 2 {
                    ctx.sleep(ms(450)).await;
                }
                ctx.ready();
                ctx.stopping().await;
                Ok(())
            };
            let first: Arc<OnceLock<overwatch::Context>> = Arc::default();
            let owner = move |ctx: overwatch::Context| async move {
                ctx.ready();
                if ctx.epoch() == 1 {
                    let _ = first.set(ctx);
                    return Err(Failure::new("once"));
                }
                for _ in 0..8 {
                    ctx.lease_renewed(Instant::now(), ms(1000));
                    ctx.sleep(ms(200)).await;
                    // What the first epoch asked for is answered now, and says that all is over.
                    let old = first.get().expect("set in epoch 1");
                    old.lease_renewed(Instant::now() - ms(990), ms(1000));
                }
                println!("still up");
                ctx.stopping().await;
                Ok(())
            };
            let (feed, probe) = overwatch::feed();
            let service = Overwatch::watching(probe)
                .policy(policy.tuning(tuning).build().unwrap())
                .task("below", slow)
                .then()
                .task("above", slow)
                .then()
                .task("owner", owner)
                .lease_owner("owner")
                .fence_watchdog();
            runtime(2).block_on(async {
                tokio::spawn(async move {
                    loop {
                        feed.alive("tick");
                        tokio::time::sleep(ms(2)).await;
                    }
                });
                service.build().unwrap().run_until_signal().await.unwrap();
            });
        }
        other => panic!("no such part: {other}"),
    }
}

struct Played {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

fn play(part: &str) -> Played {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "shell::process::child",
            "--nocapture",
        ])
        .env(PART, part)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    Played { child, lines }
}

impl Played {
    /// Reads on until the child says this.
    fn until(mut self, what: &str) -> Self {
        let said = self
            .lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| line.contains(what));
        assert!(said, "the child never said {what:?}");
        self
    }

    fn signal(self, signal: Signal) -> Self {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self
    }

    fn end(mut self) -> (ExitStatus, String) {
        let mut errors = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut errors)
            .unwrap();
        (self.child.wait().unwrap(), errors)
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        // It has ended in a test that passed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_signal_stops_in_order() {
    for signal in [Signal::TERM, Signal::INT] {
        let (status, errors) = play("obedient")
            .until("up")
            .signal(signal)
            .until("stopped")
            .end();
        assert!(status.success(), "{status} {errors}");
    }
}

#[test]
fn a_second_signal_leaves_at_once() {
    let played = play("deaf")
        .until("up")
        .signal(Signal::TERM)
        .until("told")
        .signal(Signal::INT);
    let (status, _) = played.end();
    assert_eq!(status.code(), Some(130));
}

/// Also where nobody reads what it says at last.
#[test]
fn run_or_exit_needs_no_reader() {
    let mut played = play("wedged").until("up");
    drop(played.child.stderr.take());
    kill_process(Pid::from_child(&played.child), Signal::TERM).unwrap();
    assert_eq!(played.child.wait().unwrap().code(), Some(1));
}

#[test]
fn run_or_exit_leaves_a_process_that_a_wedged_thread_would_keep() {
    let (status, errors) = play("wedged").until("up").signal(Signal::TERM).end();
    assert_eq!(status.code(), Some(1), "{errors}");
    assert!(errors.contains("wedged: stuck"), "{errors}");
}

/// The deadline of an epoch that is over, and renewals that are told too late, abort nobody.
#[test]
fn the_watchdog_leaves_a_healthy_process_alone() {
    let played = play("renewed").until("still up").signal(Signal::TERM);
    let (status, errors) = played.end();
    assert!(status.success(), "{status} {errors}");
}

#[test]
fn the_watchdog_aborts_a_frozen_process_before_its_lease_runs_out() {
    let played = play("frozen").until("up");
    let up = std::time::Instant::now();
    let (status, errors) = played.end();
    assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()), "{errors}");
    assert!(errors.contains("the fence has passed"), "{errors}");
    assert!(
        up.elapsed() >= Duration::from_millis(500),
        "not before it must: {:?}",
        up.elapsed()
    );
}
