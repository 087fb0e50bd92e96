//! The defects of the ancestor, the `overwatch` package of the Go program 9volt, each as a test that
//! would fail on the same mistake. Those that the pure machine can show by itself are in
//! `stories.rs`; those that need a real etcd are in `tests/etcd` and in `tests/outage`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use overwatch::machine::Phase;
use overwatch::{Context, Failure, Observation, Policy, Probe};

use super::support::{Notes, Running, alive_tasks, bounded, policy, start, tuning, worker};

/// How many are at work at once, now and at most.
#[derive(Clone, Default)]
struct Crowd(Arc<(AtomicI32, AtomicI32)>);

struct Member(Crowd);

impl Crowd {
    fn enter(&self) -> Member {
        let now = self.0.0.fetch_add(1, Ordering::AcqRel) + 1;
        self.0.1.fetch_max(now, Ordering::AcqRel);
        Member(self.clone())
    }

    fn most(&self) -> i32 {
        self.0.1.load(Ordering::Acquire)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.0.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn outages(running: &Running, epochs: std::ops::RangeInclusive<u64>) {
    for epoch in epochs {
        running.dependency.fail("down");
        running.until_phase(Phase::Monitoring).await;
        running.dependency.recover();
        running.until_ready(epoch).await;
    }
}

/// A window that does not grow, so that many outages are quick.
fn steady() -> Policy {
    policy()
        .tuning(tuning().with_max_hold_off(Duration::from_secs(30)))
        .build()
        .unwrap()
}

/// D2: a hung probe counted as healthy.
#[tokio::test(start_paused = true)]
async fn d02_a_hung_probe_is_never_health() {
    let running = start(&[1], steady(), |builder, notes| {
        builder.component("a", worker(notes, "a"))
    });
    running.until_ready(1).await;
    running.dependency.hang();
    running.until(|status| !status.ready).await;
    tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
    assert_eq!(running.notes.all(), ["a up 1", "a stopped 1"]);
    running.shut_down().await;
}

struct Counting<P>(P, Crowd);

#[async_trait::async_trait]
impl<P: Probe> Probe for Counting<P> {
    async fn observe(&self) -> Observation {
        let _member = self.1.enter();
        self.0.observe().await
    }
}

/// D3: after recovery the old probe went on retrying for ever.
#[tokio::test(start_paused = true)]
async fn d03_there_is_one_probe_however_many_outages() {
    let dependency = overwatch::test_util::FakeDependency::new();
    let crowd = Crowd::default();
    let service = crate::shell::replay::builder(Counting(dependency.probe(), crowd.clone()))
        .component("a", worker(&Notes::default(), "a"))
        .policy(steady())
        .build()
        .unwrap();
    let handle = service.handle();
    let run = tokio::spawn(service.run());
    for epoch in 1..=5 {
        bounded(handle.wait_for(|status| status.ready && status.epoch == epoch))
            .await
            .unwrap();
        dependency.hang();
        bounded(handle.wait_for(|status| !status.ready))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        dependency.recover();
    }
    assert_eq!(crowd.most(), 1);
    handle.shutdown();
    bounded(run).await.unwrap().unwrap();
    assert_eq!(
        crowd.0.0.load(Ordering::Acquire),
        0,
        "and none after the end"
    );
}

/// D4: a failure during the restart ran a second stop beside it, and ended healthy while stopped.
#[tokio::test(start_paused = true)]
async fn d04_a_failure_during_the_restart_unwinds_it() {
    let running = start(&[1, 1], steady(), |builder, notes| {
        builder
            .component("pool", worker(notes, "pool"))
            .next_stage()
            .task("slow", |ctx| async move {
                ctx.sleep(Duration::from_secs(5)).await;
                ctx.mark_ready();
                ctx.stopping().await;
                Ok(())
            })
    });
    running.until_ready(1).await;
    running.dependency.fail("down");
    running.until_phase(Phase::Monitoring).await;
    running.dependency.recover();
    running.until_phase(Phase::Restarting).await;
    running
        .handle
        .reporter()
        .report(Failure::new("again").dependency());
    let status = running
        .until(|status| status.phase == Phase::Monitoring && status.epoch == 2)
        .await;
    assert!(!status.ready);
    assert_eq!(running.notes.count("pool stopped 2"), 1, "stopped once");
    running.until_ready(3).await;
    running.shut_down().await;
}

/// D5: a start failure left components half started, and nothing retried.
#[tokio::test(start_paused = true)]
async fn d05_a_failed_start_is_unwound_and_retried() {
    let running = start(&[1, 1], steady(), |builder, notes| {
        builder
            .component("pool", worker(notes, "pool"))
            .next_stage()
            .task("late", |ctx| async move {
                if ctx.epoch() < 3 {
                    return Err(Failure::new("not yet"));
                }
                ctx.mark_ready();
                ctx.stopping().await;
                Ok(())
            })
    });
    running.until_ready(3).await;
    let story = [
        "pool up 1",
        "pool stopped 1",
        "pool up 2",
        "pool stopped 2",
        "pool up 3",
    ];
    assert_eq!(running.notes.all(), story);
    running.shut_down().await;
}

/// D6: a dependency that flapped during the restart led to a fatal exit.
#[tokio::test(start_paused = true)]
async fn d06_flapping_during_the_restart_is_survived() {
    let running = start(&[1], steady(), |builder, _| {
        builder.task("slow", |ctx| async move {
            ctx.sleep(Duration::from_secs(5)).await;
            ctx.mark_ready();
            ctx.stopping().await;
            Ok(())
        })
    });
    for epoch in 1..=10 {
        running
            .until(|status| status.phase == Phase::Restarting && status.epoch == epoch)
            .await;
        running.dependency.fail("flap");
        running.until_phase(Phase::Monitoring).await;
        running.dependency.recover();
    }
    running.until_ready(11).await;
    running.shut_down().await;
}

/// D7: a stop failure was ignored, and a later start ran on a live component.
#[tokio::test(start_paused = true)]
async fn d07_nothing_is_started_beside_its_earlier_incarnation() {
    let crowd = Crowd::default();
    let members = crowd.clone();
    let running = start(&[1], steady(), |builder, _| {
        builder.task("slow to leave", move |ctx: Context| async move {
            let member = members.enter();
            ctx.spawn(async move {
                // It fails to stop in time, and is aborted at last.
                let _member = member;
                std::future::pending::<Result<(), Failure>>().await
            });
            ctx.mark_ready();
            ctx.stopping().await;
            Err(Failure::new("could not stop"))
        })
    });
    running.until_ready(1).await;
    outages(&running, 2..=5).await;
    running.shut_down_uncleanly().await;
    assert_eq!(crowd.most(), 1);
}

/// D8: health flipped only after all stops, so one hung stop meant 200 for ever.
#[tokio::test(start_paused = true)]
async fn d08_health_flips_before_the_first_stop() {
    let seen = Notes::default();
    let handle_slot: Arc<std::sync::OnceLock<overwatch::Handle>> = Arc::default();
    let running = start(&[1, 1], steady(), |builder, _| {
        let look = |name: &'static str| {
            let (seen, handle) = (seen.clone(), Arc::clone(&handle_slot));
            move |ctx: Context| async move {
                ctx.mark_ready();
                ctx.stopping().await;
                let ready = handle.get().unwrap().is_ready();
                seen.add(format!("{name} told to stop, ready: {ready}"));
                if name == "hung" {
                    std::future::pending::<()>().await;
                }
                Ok(())
            }
        };
        builder
            .task("below", look("below"))
            .next_stage()
            .task("hung", look("hung"))
    });
    handle_slot.set(running.handle.clone()).unwrap();
    running.until_ready(1).await;
    running.dependency.fail("down");
    running.until(|status| !status.ready).await;
    running.until_phase(Phase::Monitoring).await;
    assert_eq!(
        seen.all(),
        [
            "hung told to stop, ready: false",
            "below told to stop, ready: false"
        ]
    );
    running.dependency.recover();
    running.until_ready(2).await;
    running.shut_down_uncleanly().await;
}

/// D9: from the third outage on, stale entries blocked the stop path.
#[tokio::test(start_paused = true)]
async fn d09_late_reports_of_earlier_outages_block_nothing() {
    let kept: Arc<std::sync::Mutex<Vec<overwatch::Reporter>>> = Arc::default();
    let keep = Arc::clone(&kept);
    let running = start(&[1], steady(), |builder, _| {
        builder.task("chatty", move |ctx: Context| {
            keep.lock().unwrap().push(ctx.reporter());
            async move {
                ctx.mark_ready();
                ctx.stopping().await;
                ctx.report(Failure::new("while stopping"));
                Ok(())
            }
        })
    });
    running.until_ready(1).await;
    for epoch in 2..=12 {
        outages(&running, epoch..=epoch).await;
        // Those of all epochs but the present one.
        let late = kept.lock().unwrap();
        for reporter in &late[..late.len() - 1] {
            for _ in 0..100 {
                reporter.report(Failure::new("of long ago").critical());
            }
        }
    }
    assert!(running.handle.is_responsive(Duration::from_secs(1)).await);
    assert_eq!(running.handle.status().epoch, 12);
    assert!(running.handle.is_ready());
    running.shut_down().await;
}

/// D11: data races on the health message and the outage flag.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d11_status_is_consistent_from_any_thread() {
    let ms = Duration::from_millis;
    let quick = tuning()
        .with_backoff(ms(1))
        .with_max_hold_off(ms(5))
        .with_min_evidence(1);
    let policy = Policy::builder()
        .window(ms(5))
        .tuning(quick)
        .build()
        .unwrap();
    let dependency = overwatch::test_util::FakeDependency::observed_every(ms(1));
    let service = crate::shell::replay::builder(dependency.probe())
        .component("a", worker(&Notes::default(), "a"))
        .policy(policy)
        .build()
        .unwrap();
    let handle = service.handle();
    let run = tokio::spawn(service.run());
    bounded(handle.wait_until_ready()).await.unwrap();
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (handle, done) = (handle.clone(), Arc::clone(&done));
            std::thread::spawn(move || {
                let mut last = 0;
                while !done.load(Ordering::Acquire) {
                    let status = handle.status();
                    assert!(status.epoch >= last, "epochs only grow");
                    let running = status.phase == Phase::Running;
                    assert!(!status.ready || running, "ready in {status:?}");
                    let says_up = &*status.reason == "every component is up";
                    // Readiness goes off first; the rest follows.
                    let stopping = running && !status.ready;
                    assert_eq!(running && !stopping, says_up, "{status:?}");
                    last = status.epoch;
                }
            })
        })
        .collect();
    for _ in 0..50 {
        let before = handle.status().epoch;
        handle.trip().unwrap();
        bounded(handle.wait_for(|status| status.ready && status.epoch > before))
            .await
            .unwrap();
    }
    done.store(true, Ordering::Release);
    for reader in readers {
        reader.join().unwrap();
    }
    handle.shutdown();
    bounded(run).await.unwrap().unwrap();
}

/// D12: the leadership flag survived into the restart, and stopping did not leave the cluster.
#[tokio::test(start_paused = true)]
async fn d12_what_an_epoch_made_is_gone_with_it() {
    let running = start(&[1], steady(), |builder, notes| {
        let notes = notes.clone();
        builder.task("member", move |ctx: Context| async move {
            let mut leader = false;
            notes.add(format!("joins, leader: {leader}"));
            ctx.mark_ready();
            leader |= ctx.sleep(Duration::from_secs(1)).await;
            ctx.stopping().await;
            notes.add(format!("leaves, leader: {leader}"));
            Ok(())
        })
    });
    running.until_ready(1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    outages(&running, 2..=2).await;
    assert_eq!(
        running.notes.all(),
        [
            "joins, leader: false",
            "leaves, leader: true",
            "joins, leader: false"
        ]
    );
    running.shut_down().await;
}

/// D13: stop joined nothing, and each outage leaked a task.
#[tokio::test(start_paused = true)]
async fn d13_no_outage_leaks_a_task() {
    let running = start(&[1], steady(), |builder, _| {
        builder.task("parent", |ctx| async move {
            for _ in 0..10 {
                ctx.spawn(std::future::pending::<Result<(), Failure>>());
            }
            ctx.mark_ready();
            ctx.stopping().await;
            Ok(())
        })
    });
    running.until_ready(1).await;
    let tasks = alive_tasks().await;
    outages(&running, 2..=10).await;
    assert_eq!(alive_tasks().await, tasks);
    running.shut_down_uncleanly().await;
}

/// D14: components were stopped in start order, and blocked on channels whose readers were gone.
#[tokio::test(start_paused = true)]
async fn d14_a_writer_is_stopped_before_its_reader() {
    let running = start(&[1, 1], steady(), |builder, notes| {
        let (send, receive) = tokio::sync::mpsc::channel::<u32>(1);
        let receive = Arc::new(tokio::sync::Mutex::new(receive));
        let notes = notes.clone();
        builder
            .task("reader", move |ctx: Context| async move {
                ctx.mark_ready();
                while ctx
                    .until_stopping(async { receive.lock().await.recv().await })
                    .await
                    .is_some()
                {}
                Ok(())
            })
            .next_stage()
            .task("writer", move |ctx: Context| async move {
                ctx.mark_ready();
                while !ctx.is_stopping() {
                    send.send(1).await?;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                // The reader must still be there for the last words.
                for _ in 0..10 {
                    send.send(2).await?;
                }
                notes.add("flushed");
                Ok(())
            })
    });
    running.until_ready(1).await;
    outages(&running, 2..=3).await;
    assert_eq!(running.notes.count("flushed"), 2);
    running.shut_down().await;
}

/// D16: several components could not report at all.
#[tokio::test(start_paused = true)]
async fn d16_every_component_can_report() {
    for culprit in ["task", "service", "sub-task"] {
        let running = start(&[3], steady(), |builder, _| {
            let reports = move |name: &'static str| {
                move |ctx: Context| async move {
                    ctx.mark_ready();
                    if ctx.epoch() == 1 && name == culprit {
                        ctx.sleep(Duration::from_secs(1)).await;
                        let reporter = ctx.reporter();
                        std::thread::spawn(move || reporter.report(Failure::new("trouble")))
                            .join()
                            .unwrap();
                    }
                    ctx.stopping().await;
                    Ok(())
                }
            };
            builder
                .task("task", reports("task"))
                .task("service", reports("service"))
                .task("sub-task", reports("sub-task"))
        });
        running.until_ready(1).await;
        let status = running.until(|status| !status.ready).await;
        let reason = format!("{culprit:?} reported a component failure: trouble");
        assert!(status.reason.ends_with(&reason), "{}", status.reason);
        running.shut_down().await;
    }
}

/// D17: 30 s in the documents, 10 s in the code, not configurable.
#[test]
fn d17_the_window_is_what_the_documents_say_and_can_be_set() {
    assert_eq!(Policy::default().window(), Duration::from_secs(30));
    let readme = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
    assert!(readme.contains("30 s"));
    let policy = Policy::builder()
        .window(Duration::from_secs(7))
        .build()
        .unwrap();
    assert_eq!(policy.window(), Duration::from_secs(7));
}

/// D20: its own Stop was a stub.
#[tokio::test(start_paused = true)]
async fn d20_a_shutdown_works_from_every_phase() {
    for phase in [
        Phase::Running,
        Phase::ShuttingDown,
        Phase::Monitoring,
        Phase::Restarting,
        Phase::Drained,
    ] {
        let before = alive_tasks().await;
        let running = start(&[1], steady(), |builder, _| {
            builder.task("slow", |ctx| async move {
                ctx.sleep(Duration::from_secs(1)).await;
                ctx.mark_ready();
                ctx.stopping().await;
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(())
            })
        });
        match phase {
            Phase::Monitoring => running.dependency.fail("down"),
            Phase::Drained => drop(running.handle.drain().unwrap()),
            Phase::ShuttingDown => {
                running.until_ready(1).await;
                running.handle.trip().unwrap();
            }
            _ => {}
        }
        running.until_phase(phase).await;
        running.shut_down().await;
        assert_eq!(alive_tasks().await, before, "after a shutdown in {phase}");
    }
}
