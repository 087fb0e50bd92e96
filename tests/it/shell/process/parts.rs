//! What the children play.

use std::error::Error;
use std::fmt;
use std::future::{Future, pending};
use std::io::{Write, stderr, stdout};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use overwatch::policy::{Fence, PolicyBuilder};
use overwatch::{Builder, Context, Failure, Overwatch, Policy, Tuning};
use tokio::runtime::Runtime;
use tokio::time::Instant;

const LONG: Duration = Duration::from_secs(600);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) fn play(part: &str) {
    match part {
        "obedient" => {
            let service = watching().policy(plain()).task("obedient", obedient);
            let service = build(service);
            let handle = service.handle();
            let ended = workers(2).block_on(service.run_until_signal());
            ended.unwrap();
            println!("{:?}", handle.report().and_then(|report| report.signal()));
        }
        "unclean or exit" => {
            let service = watching()
                .policy(plain())
                .task("unclean", |ctx| async move {
                    obedient(ctx).await?;
                    Err(Failure::new("the file was not flushed"))
                });
            workers(2).block_on(build(service).run_or_exit());
            println!("returned");
        }
        "obedient or exit" => {
            let service = watching().policy(plain()).task("obedient", obedient);
            workers(2).block_on(build(service).run_or_exit());
            println!("returned");
        }
        "deaf" => deaf(),
        "deaf, stderr full" => {
            fill(stderr());
            block_on_stderr();
            deaf();
        }
        "blocked in place" => {
            let service = blocked(1).policy(plain());
            let _ = in_place().block_on(build(service).run_until_signal());
        }
        "blocked on workers" => on_workers(blocked(2).policy(plain()), LONG),
        "over: stopped" => {
            let service = build(watching().policy(plain()).task("obedient", obedient));
            let handle = service.handle();
            workers(2).block_on(async {
                let (ended, ()) = tokio::join!(service.run_until_signal(), async {
                    handle.wait_until_ready().await.unwrap();
                    handle.shutdown();
                });
                ended.unwrap();
            });
            over();
        }
        "over: halted" => {
            let service = watching().policy(plain()).task("fatal", |_| async {
                Err(Failure::new("beyond repair").fatal())
            });
            let ended = workers(2).block_on(build(service).run_until_signal());
            ended.unwrap_err();
            over();
        }
        "over: dropped" => {
            let service = build(watching().policy(plain()).task("obedient", obedient));
            let handle = service.handle();
            workers(2).block_on(async {
                tokio::select! {
                    _ = service.run_until_signal() => panic!("it was never told to stop"),
                    ready = handle.wait_until_ready() => drop(ready.unwrap()),
                }
            });
            over();
        }
        "over: panicked" => {
            let service = watching().policy(plain()).task("obedient", obedient);
            let service = build(service.on_step(|step| {
                assert!(step.is_boot, "this panic is wanted");
            }));
            let workers = workers(2);
            let run = workers.spawn(service.run_until_signal());
            assert!(workers.block_on(run).unwrap_err().is_panic());
            over();
        }
        "one after the other" => {
            for number in 1..=3 {
                let service = watching().policy(plain()).task("obedient", move |ctx| {
                    says(ctx, format!("up {number}"), format!("stopped {number}"))
                });
                let ended = workers(2).block_on(build(service).run_until_signal());
                ended.unwrap();
            }
            over();
        }
        "two at once" => {
            let deaf = || build(watching().policy(plain()).task("deaf", stays));
            let ended = workers(2).block_on(async {
                tokio::join!(deaf().run_until_signal(), deaf().run_until_signal())
            });
            unreachable!("{ended:?}");
        }
        "wedged" => wedged(),
        "wedged, stderr full" => {
            fill(stderr());
            block_on_stderr();
            wedged();
        }
        "wedged, stdout full" => {
            fill(stdout());
            print!("there is no room for this, and no end of line");
            wedged_complaining();
        }
        "wedged, stdout buffered" => {
            print!("there is no end of line");
            wedged_complaining();
        }
        "sticky" => {
            let sticky = Arc::new(Sticky);
            let service = watching().policy(plain()).task("sticky", move |_| {
                let _sticky = &sticky;
                async { Err(Failure::new("beyond repair").fatal()) }
            });
            workers(2).block_on(build(service).run_or_exit());
        }
        "never polled again" => {
            let service = watching().policy(plain()).task("fatal", |_| async {
                // The next task of the only worker.
                tokio::spawn(async { park() });
                Err(Failure::new("beyond repair").fatal())
            });
            let worker = workers(1);
            worker.spawn(build(service).run_or_exit());
            park();
        }
        "frozen" => frozen(),
        "frozen, stderr full" => {
            fill(stderr());
            block_on_stderr();
            frozen();
        }
        "fenced on workers" => on_workers(fenced(blocked(2)), LONG),
        "fenced on workers, off" => on_workers(fenced(blocked(2)).fence_watchdog(false), 2 * TTL),
        "fenced on workers, observed" => on_workers(fenced(blocked(2)).observe_only(), 2 * TTL),
        "fenced in place" => {
            thread::spawn(|| {
                thread::sleep(2 * TTL);
                println!("past the fence");
            });
            let _ = in_place().block_on(build(fenced(blocked(1))).run_until_signal());
        }
        "fenced and wedged" => {
            let service = fenced(watching().task("blocked 0", |ctx| async move {
                up(&ctx);
                ctx.stopping().await;
                park()
            }));
            let workers = workers(2);
            let halted = workers.block_on(build(service).run_until_signal());
            halted.unwrap_err();
            over();
        }
        "fenced and well" => {
            let service = fenced(watching().task("blocked 0", |ctx| async move {
                ctx.mark_ready();
                for renewals in 0.. {
                    ctx.lease_renewed(Instant::now(), TTL);
                    if renewals == 10 {
                        println!("still up");
                    }
                    if !ctx.sleep(ms(50)).await {
                        break;
                    }
                }
                Ok(())
            }));
            let ended = workers(2).block_on(build(service).run_until_signal());
            ended.unwrap();
        }
        "renewed" => renewed(),
        other => panic!("no such part: {other}"),
    }
}

// Services.

fn watching() -> Builder {
    let (feed, probe) = overwatch::feed();
    feed.alive("once is enough for this test");
    // Or else the probe says that nobody feeds it.
    std::mem::forget(feed);
    crate::shell::replay::builder(probe)
}

fn build(service: Builder) -> Overwatch {
    service.build().unwrap()
}

fn policy() -> PolicyBuilder {
    Policy::builder()
        .silence_limit(LONG)
        .start_deadline(Duration::from_secs(60))
        .stop_deadline(LONG)
        .abort_deadline(ms(50))
}

fn plain() -> Policy {
    policy().build().unwrap()
}

/// The time to live of the lease in [`fenced`].
const TTL: Duration = Duration::from_secs(2);

/// A lease that `blocked 0` owns.
fn fenced(service: Builder) -> Builder {
    let policy = policy()
        .start_deadline(ms(1000))
        .stop_deadline(ms(100))
        .fence(Fence::new(TTL, ms(50)).with_margin(ms(400)));
    let policy = policy.build().unwrap();
    service.policy(policy).lease_owner("blocked 0")
}

/// So many components that block their threads for good, as soon as all of them are up.
fn blocked(count: usize) -> Builder {
    let begun = Arc::new(AtomicUsize::new(0));
    (0..count).fold(watching(), |service, number| {
        let begun = Arc::clone(&begun);
        service.task(
            format!("blocked {number}"),
            move |ctx: Context| async move {
                ctx.mark_ready();
                if begun.fetch_add(1, Ordering::Relaxed) + 1 == count {
                    println!("all blocked");
                }
                park()
            },
        )
    })
}

fn deaf() {
    let service = watching().policy(plain()).task("deaf", stays);
    let ended = workers(2).block_on(build(service).run_until_signal());
    ended.unwrap();
}

fn wedged() {
    wedged_once(|ctx| up(&ctx));
}

fn wedged_complaining() {
    wedged_once(|ctx| {
        ctx.mark_ready();
        eprintln!("up");
    });
}

/// Wedged after it was told to stop, and left then.
fn wedged_once(up: fn(Context)) {
    let policy = policy().stop_deadline(ms(50)).build().unwrap();
    let service = watching()
        .policy(policy)
        .task("stuck", move |ctx: Context| async move {
            up(ctx.clone());
            ctx.stopping().await;
            park()
        });
    workers(2).block_on(build(service).run_or_exit());
}

fn frozen() {
    let fence = Fence::new(ms(1000), ms(50)).with_margin(ms(100));
    let policy = policy().start_deadline(ms(100)).stop_deadline(ms(100));
    let service = watching()
        .policy(policy.fence(fence).build().unwrap())
        .lease_owner("frozen")
        .fence_watchdog(true)
        .task("frozen", |ctx| async move {
            up(&ctx);
            tokio::task::yield_now().await;
            // The only thread of the runtime: supervisor and timers are frozen with it.
            park()
        });
    let ended = in_place().block_on(build(service).run_until_signal());
    ended.unwrap();
}

fn renewed() {
    let fence = Fence::new(ms(1000), ms(300)).with_margin(ms(100));
    let policy = policy()
        .start_deadline(ms(500))
        .stop_deadline(ms(50))
        .fence(fence);
    let tuning = Tuning::default()
        .with_backoff(ms(5))
        .with_jitter(Duration::ZERO);
    // In its second epoch the stages below the lease's owner are slow, so that the deadline
    // of the first passes before the owner is started.
    let slow = move |ctx: Context| async move {
        if ctx.epoch() == 2 {
            ctx.sleep(ms(450)).await;
        }
        ctx.mark_ready();
        ctx.stopping().await;
        Ok(())
    };
    let first: Arc<OnceLock<Context>> = Arc::default();
    let owner = move |ctx: Context| async move {
        ctx.mark_ready();
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
    let service = crate::shell::replay::builder(probe)
        .policy(policy.tuning(tuning).build().unwrap())
        .task("below", slow)
        .next_stage()
        .task("above", slow)
        .next_stage()
        .task("owner", owner)
        .lease_owner("owner")
        .fence_watchdog(true);
    workers(2).block_on(async {
        tokio::spawn(async move {
            loop {
                feed.alive("tick");
                tokio::time::sleep(ms(2)).await;
            }
        });
        build(service).run_until_signal().await.unwrap();
    });
}

// Components.

fn up(ctx: &Context) {
    ctx.mark_ready();
    println!("up");
}

fn obedient(ctx: Context) -> impl Future<Output = Result<(), Failure>> + Send + 'static {
    says(ctx, "up".into(), "stopped".into())
}

async fn says(ctx: Context, up: String, stopped: String) -> Result<(), Failure> {
    ctx.mark_ready();
    println!("{up}");
    ctx.stopping().await;
    println!("{stopped}");
    Ok(())
}

/// Never stops by itself.
fn stays(ctx: Context) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>> {
    Box::pin(async move {
        up(&ctx);
        ctx.stopping().await;
        println!("told");
        pending().await
    })
}

/// Blocks whoever drops it.
#[derive(Debug)]
struct Sticky;

impl fmt::Display for Sticky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sticky")
    }
}

impl Error for Sticky {}

impl Drop for Sticky {
    fn drop(&mut self) {
        park()
    }
}

// Threads, and what they block on.

fn in_place() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

fn workers(count: usize) -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(count).enable_all().build().unwrap()
}

/// Runs a service in a task of two workers, and says when so much time has passed. The main thread
/// does not help: it sleeps.
fn on_workers(service: Builder, time: Duration) {
    let workers = workers(2);
    workers.spawn(build(service).run_until_signal());
    thread::sleep(time);
    println!("past the fence");
    park()
}

/// Stays, and does nothing.
fn over() {
    println!("over");
    park()
}

fn park() -> ! {
    loop {
        thread::park();
    }
}

/// Writes to a pipe that nobody reads until no byte more goes in.
fn fill(pipe: impl AsFd) {
    rustix::io::ioctl_fionbio(&pipe, true).unwrap();
    // What is larger may not go in where a byte does.
    for size in [4096, 1] {
        while rustix::io::write(&pipe, &[b'.'; 4096][..size]).is_ok() {}
    }
    rustix::io::ioctl_fionbio(&pipe, false).unwrap();
}

/// A thread that waits for room in stderr, and has its lock meanwhile.
fn block_on_stderr() {
    let (tell, locked) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let mut stderr = stderr().lock();
        tell.send(()).unwrap();
        let _ = stderr.write_all(b"nobody reads this");
    });
    locked.recv().unwrap();
}
