//! What belongs to a job besides its function.

use super::*;

/// Sends its name when it is dropped.
struct Dropped(Arc<Mutex<Vec<&'static str>>>, &'static str);

impl Drop for Dropped {
    fn drop(&mut self) {
        lock(&self.0).push(self.1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_shard_has_ended_only_when_its_tasks_have() {
    let (_session, shard) = shard(3_600 * SECOND);
    let (begun, kept) = (Instant::now(), shard.clone());
    let stopping = async {
        sleep(SECOND).await;
        kept.stop();
    };
    let run = shard.run(|shard| {
        Box::pin(async move {
            let task = shard.clone();
            let told = shard.spawn(async move {
                task.stopping().await;
                let more = task.clone();
                task.spawn(async move {
                    sleep(5 * SECOND).await;
                    more.check()?;
                    Ok(())
                });
                sleep(SECOND).await;
                Ok(17)
            });
            shard.stopping().await;
            drop(told);
            Ok(())
        })
    });
    let (outcome, ()) = tokio::join!(run, stopping);
    assert_eq!(
        (outcome.how, begun.elapsed()),
        (ShardExit::Returned, 6 * SECOND)
    );
    assert!(kept.check().is_err() && kept.hold().is_none());
    assert_eq!(
        kept.spawn(async { Ok(1) }).await,
        None,
        "there is none after the end"
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_is_asked_to_stop_when_the_function_has_returned() {
    let (_session, shard) = shard(3_600 * SECOND);
    let kept = shard.clone();
    let run = shard.run(|shard| {
        let task = shard.clone();
        shard.spawn(async move {
            task.stopping().await;
            Ok(())
        });
        Box::pin(async { Err(Failure::new("not today")) })
    });
    let outcome = run.await;
    assert_eq!(outcome.how, ShardExit::Failed(FailureClass::Component));
    assert!(!kept.is_moving(), "it failed, and nobody asked it to stop");
}

#[tokio::test(start_paused = true)]
async fn the_failure_of_a_task_is_that_of_the_shard() {
    type Task = fn() -> Result<(), Failure>;
    let tasks: [(Task, _); 3] = [
        (
            || Err(Failure::new("no more").dependency()),
            FailureClass::Dependency,
        ),
        (|| panic!("no more"), FailureClass::Component),
        (|| Err(Failure::new("no more").fatal()), FailureClass::Fatal),
    ];
    for (task, class) in tasks {
        let (_session, shard) = shard(3_600 * SECOND);
        let kept = shard.clone();
        let run = shard.run(move |shard| {
            Box::pin(async move {
                let told = shard.spawn(async move { task() });
                assert_eq!(told.await, None);
                shard.stopping().await;
                // This follows from it.
                Err(Failure::new("the task is gone"))
            })
        });
        let outcome = run.await;
        assert_eq!(outcome.how, ShardExit::Failed(class));
        let failure = outcome.failure.expect("a failure").to_string();
        assert!(failure.contains("no more"), "{failure}");
        assert!(!kept.is_moving());
    }
}

#[tokio::test(start_paused = true)]
async fn tasks_are_dropped_when_the_shard_is_lost_or_the_lease_runs_out() {
    for by_claim in [true, false] {
        let (_session, shard) = shard(3 * SECOND);
        let (order, begun) = (Arc::default(), Instant::now());
        let (lose, of_task) = (shard.clone(), Dropped(Arc::clone(&order), "task"));
        let run = shard.run(move |shard| {
            Box::pin(async move {
                shard.spawn(async move {
                    let _dropped = of_task;
                    std::future::pending::<Result<(), Failure>>().await
                });
                std::future::pending().await
            })
        });
        let losing = async {
            if by_claim {
                sleep(SECOND).await;
                lose.lose();
            }
        };
        let (outcome, ()) = tokio::join!(run, losing);
        assert_eq!(outcome.how, ShardExit::Lost);
        let after = if by_claim { 1 } else { 3 };
        assert_eq!(begun.elapsed(), after * SECOND);
        assert_eq!(*lock(&order), ["task"]);
    }
}

/// Its worker would begin the shard once more on this node, beside what is left.
#[tokio::test(start_paused = true)]
async fn a_hold_is_waited_for_also_when_the_shard_is_lost() {
    for is_lost in [true, false] {
        let (_session, shard) = shard(3_600 * SECOND);
        let (begun, kept) = (Instant::now(), shard.clone());
        let run = shard.run(|shard| {
            let hold = shard.hold().expect("it runs");
            assert_eq!(format!("{hold:?}").matches("Shard").count(), 2);
            let held = shard.clone();
            tokio::spawn(async move {
                held.stopping().await;
                sleep(2 * SECOND).await;
                drop(hold);
            });
            Box::pin(async move {
                shard.stopping().await;
                Ok(())
            })
        });
        let stopping = async {
            kept.stop();
            if is_lost {
                kept.lose();
                assert!(kept.hold().is_some(), "it is not polled yet");
                tokio::task::yield_now().await;
                assert!(kept.check().is_err());
            }
        };
        let (_, ()) = tokio::join!(run, stopping);
        assert_eq!(begun.elapsed(), 2 * SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn it_knows_its_epoch() {
    let (_session, shard) = shard(SECOND);
    assert_eq!(shard.epoch(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_shard_reports_is_that_of_the_component_unless_the_shard_is_lost() {
    let component = incarnation();
    let (_session, shard) = shard_of(component.clone(), SECOND);
    let reported = || -> Vec<String> {
        let reports = component.reports().take();
        reports.map(|it| it.first.failure().text()).collect()
    };
    shard.report(Failure::new("the replica is behind"));
    assert_eq!(reported(), ["the replica is behind"]);
    shard.lose();
    shard.report(Failure::new("not my replica any more"));
    assert!(reported().is_empty());
    shard.report(Failure::new("the disk is gone").fatal());
    assert_eq!(reported(), ["the disk is gone"]);
}

/// The service could not end a task that blocks: its lease must not be revoked, or another node does the same work.
#[tokio::test]
async fn what_is_left_of_a_shard_keeps_the_lease_when_its_function_was_aborted() {
    for in_task in [true, false] {
        let (_session, shard) = shard(3_600 * SECOND);
        let (work, (release, blocked)) = (shard.0.work.clone(), std::sync::mpsc::channel::<()>());
        let (tell, told) = tokio::sync::oneshot::channel();
        let run = tokio::spawn(shard.run(move |shard| {
            Box::pin(async move {
                let wait = move || assert!(blocked.recv().is_err());
                if in_task {
                    shard.spawn_blocking(move || {
                        wait();
                        Ok(())
                    });
                } else {
                    let hold = shard.hold();
                    std::thread::spawn(move || {
                        wait();
                        drop(hold);
                    });
                }
                tell.send(()).expect("somebody waits");
                std::future::pending().await
            })
        }));
        told.await.expect("it runs");
        run.abort();
        assert!(run.await.is_err());
        assert_eq!(work.receiver_count(), 1);
        drop(release);
        work.closed().await;
    }
}

/// The condition is of this claim: the key is that of the shard, and the revision that of the claim.
#[tokio::test(start_paused = true)]
async fn the_guard_is_of_the_claim() {
    let (_session, shard) = shard(SECOND);
    let expected = Compare::mod_revision("nodes/work/checks/shard/0", CompareOp::Equal, 1);
    assert_eq!(format!("{:?}", shard.guard()), format!("{expected:?}"));
}

#[tokio::test(start_paused = true)]
async fn a_caught_failure_goes_to_what_awaits_it_and_the_shard_goes_on() {
    let (_session, shard) = shard(3_600 * SECOND);
    let kept = shard.clone();
    let run = shard.run(|shard| {
        Box::pin(async move {
            let failed = shard.spawn_caught::<()>(async { Err(Failure::new("reset by peer")) });
            assert_eq!(failed.await.expect_err("failed").text(), "reset by peer");
            let panicked = shard.spawn_caught::<()>(async { panic!("this panic is wanted") });
            let text = panicked.await.expect_err("panicked").text();
            assert!(text.contains("this panic is wanted"), "{text}");
            let blocking = shard.spawn_blocking_caught(|| Ok("7x".parse::<u32>()?));
            let text = blocking.await.expect_err("no number").text();
            assert!(text.contains("invalid digit"), "{text}");
            assert_eq!(shard.spawn_caught(async { Ok(5) }).await.expect("done"), 5);
            assert!(!shard.is_stopping());
            Ok(())
        })
    });
    assert_eq!(run.await.how, ShardExit::Returned);
    let never = kept.spawn_caught(async { Ok(5) }).await;
    assert!(never.is_err(), "there is none after the end");
    assert!(kept.spawn_blocking_caught(|| Ok(5)).await.is_err());
}

/// Of one that is lost nothing is said: its tasks are dropped.
#[tokio::test(start_paused = true)]
async fn a_caught_task_is_awaited_with_the_shard_and_dropped_when_it_is_lost() {
    for is_lost in [false, true] {
        let (_session, shard) = shard(3_600 * SECOND);
        let (begun, kept) = (Instant::now(), shard.clone());
        let run = shard.run(|shard| {
            Box::pin(async move {
                let task = shard.spawn_caught(async {
                    sleep(5 * SECOND).await;
                    Ok(())
                });
                shard.stopping().await;
                drop(task);
                Ok(())
            })
        });
        let ending = async {
            sleep(SECOND).await;
            match is_lost {
                true => kept.lose(),
                false => kept.stop(),
            }
        };
        let (outcome, ()) = tokio::join!(run, ending);
        let (how, after) = match is_lost {
            true => (ShardExit::Lost, SECOND),
            false => (ShardExit::Returned, 5 * SECOND),
        };
        assert_eq!((outcome.how, begun.elapsed()), (how, after));
    }
}

#[tokio::test(start_paused = true)]
async fn the_failure_of_blocking_work_is_that_of_the_shard_which_waits_for_it() {
    let (_session, shard) = shard(3_600 * SECOND);
    let run = shard.run(|shard| {
        Box::pin(async move {
            let counted = shard.spawn_blocking(|| Ok(17));
            assert_eq!(counted.await, Some(17));
            let task = shard.clone();
            shard.spawn_blocking::<()>(move || {
                while !task.is_stopping() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(Failure::new("the disk is full"))
            });
            Ok(())
        })
    });
    let outcome = run.await;
    assert_eq!(outcome.how, ShardExit::Failed(FailureClass::Component));
    let failure = outcome.failure.expect("a failure").text();
    assert_eq!(failure, "the disk is full");
}

/// The only thread for blocking work is taken until the shard is lost.
#[test]
fn blocking_work_of_a_lost_shard_never_begins() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || blocked.recv());
        let (_session, shard) = shard(3_600 * SECOND);
        let (lose, began) = (shard.clone(), Arc::new(AtomicBool::new(false)));
        let begins = Arc::clone(&began);
        let run = shard.run(move |shard| {
            Box::pin(async move {
                let task = shard.spawn_blocking(move || {
                    begins.store(true, Ordering::Relaxed);
                    Ok(())
                });
                lose.lose();
                drop(release);
                task.await;
                std::future::pending().await
            })
        });
        assert_eq!(run.await.how, ShardExit::Lost);
        assert!(!began.load(Ordering::Relaxed));
    });
}

#[tokio::test(start_paused = true)]
async fn a_resource_that_nobody_provides_is_a_failure_with_what_to_do() {
    let (_session, shard) = shard(SECOND);
    let failure = shard.resource::<u32>().expect_err("there is none");
    let text = failure.text();
    assert!(text.contains("call `ctx.provide(..)`"), "{text}");
}
