//! How late a lease's renewals reach the supervisor while components keep all workers busy, and that
//! nothing trips for that.
//!
//! Renewals are made as the client of etcd makes them: by a thread with a runtime of its own. Beside them
//! the same timer in another thread like that, which tells nobody; and in a task of the service's
//! runtime, where it waits behind the components.
//!
//! What its probe sees must not trip it either. A probe that is polled elsewhere, as that of etcd is,
//! never does. One that is polled by the busy workers waits for its turn like everything else there, so
//! it does not as long as a turn of all components is short beside the silence limit. With ten thousand
//! times a millisecond a turn takes five seconds, the silence limit itself: that is only shown.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use overwatch::machine::{Input, Phase};
use overwatch::{
    Context, Failure, Fence, Handle, Overwatch, Policy, RunError, Transitions, polled,
};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use crate::lines::{Limit, Lines, median, ms, percentile, ratios};
use crate::shell::runtime;

/// How many components, and for how long each works between two awaits.
const LOADS: [(usize, Duration); 2] = [
    (200, Duration::from_millis(5)),
    (10_000, Duration::from_millis(1)),
];
/// How much later than the timer in a thread of its own a renewal may be: another thread has to be
/// woken that takes it, on a machine whose cores are all busy.
const LIMIT: f64 = 3.0;
/// That of a policy by default.
const SILENCE_LIMIT: Duration = Duration::from_secs(5);
/// Longer than anything waits for its turn.
const LONG: Duration = Duration::from_secs(3600);
const TTL: Duration = Duration::from_secs(15);
/// How often the lease is renewed: oftener than need be, for more figures.
const EVERY: Duration = Duration::from_millis(100);
/// How many rounds, and of how many renewals each: a minute for each load.
const ROUNDS: usize = 5;
const RENEWALS: usize = 120;
/// How often a probe looks, and how long that may take.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_WITHIN: Duration = Duration::from_secs(2);

pub(crate) fn measure(lines: &mut Lines) {
    for (components, work) in LOADS {
        under_load(lines, components, work);
    }
}

fn under_load(lines: &mut Lines, components: usize, work: Duration) {
    let runtime = runtime();
    let load = Arc::new(Load {
        is_on: AtomicBool::new(false),
        work,
    });
    let renewals = Arc::new(Mutex::new(Vec::new()));
    let owner = Arc::new(Mutex::new(None));
    let holder = Running::start(&runtime, holder(components, &load, &renewals, &owner));
    let watcher = Running::start(&runtime, watcher());

    // All are at work once each had its turn. The lease is renewed from now on.
    load.is_on.store(true, Ordering::Release);
    let turn = components as u32 * work;
    let before = turn.as_millis().div_ceil(EVERY.as_millis()) as usize;
    let number = before + ROUNDS * RENEWALS;
    let first = Instant::now() + EVERY;
    let due = move |number: usize| first + EVERY * number as u32;
    // Between two renewals, so that nobody is woken together with them.
    let between = move |number| due(number) + EVERY / 2;
    let is_over = Arc::new(AtomicBool::new(false));
    let queued = runtime.spawn({
        let is_over = Arc::clone(&is_over);
        async move { late(number, between, |_| (), &is_over).await }
    });
    let alone = thread::scope(|scope| {
        let renew = |due: Instant| {
            let owner = owner.lock().expect("no panic");
            let owner: &Context = owner.as_ref().expect("it has begun");
            owner.lease_renewed(due.into(), TTL);
        };
        scope.spawn({
            let is_over = &is_over;
            move || own_runtime().block_on(late(number, due, renew, is_over))
        });
        own_runtime().block_on(late(number, between, |_| (), &is_over))
    });
    is_over.store(true, Ordering::Release);
    let trips = [&holder, &watcher].map(Running::trips);
    load.is_on.store(false, Ordering::Release);
    let queued = runtime.block_on(queued).expect("it does not panic");
    for service in [holder, watcher] {
        service.stop(&runtime);
    }

    let name = format!("{components} x {} ms", work.as_millis());
    let renewals = std::mem::take(&mut *renewals.lock().expect("no panic"));
    // Of two at once the supervisor takes the later one.
    let missing = number - renewals.len();
    let [renewals, alone] = [&renewals, &alone].map(|all| last(all));
    for part in [50, 99] {
        let of = |all: &[Duration]| -> f64 {
            let times: Vec<f64> = all.iter().copied().map(ms).collect();
            percentile(&times, part)
        };
        let rounds = |all: &[Duration]| all.chunks(RENEWALS).map(of).collect::<Vec<_>>();
        let (ours, alone) = (rounds(renewals), rounds(alone));
        let what = format!("lease: {name}, late p{part} / a timer");
        let more = format!(
            "{:.2} / {:.2} ms; in a task {:.0} ms",
            median(&ours),
            median(&alone),
            of(&queued)
        );
        let limit = Limit::AtMost(LIMIT);
        lines.rounds(&what, &ratios(&ours, &alone), limit, more);
    }
    let most = renewals.iter().max().copied().unwrap_or_default();
    let more = format!("the latest {:.1} ms", ms(most));
    let what = format!("lease: {name}, renewals that were overtaken");
    lines.exact(&what, missing as f64, Limit::None, more);
    let none = Limit::Exactly(0.0);
    let in_time = components as u32 * work < SILENCE_LIMIT;
    for (what, trips, limit) in [
        ("trips, probe elsewhere", &trips[0], none),
        (
            "trips, probe on the same workers",
            &trips[1],
            if in_time { none } else { Limit::None },
        ),
    ] {
        let what = format!("lease: {name}, {what}");
        let more = format!(
            "in {:.0} s; {trips:?}",
            (EVERY * (ROUNDS * RENEWALS) as u32).as_secs_f64()
        );
        lines.exact(&what, trips.len() as f64, limit, more);
    }
}

/// What components do.
struct Load {
    is_on: AtomicBool,
    work: Duration,
}

impl Load {
    /// One turn.
    async fn turn(&self) {
        if !self.is_on.load(Ordering::Acquire) {
            return tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let began = Instant::now();
        while began.elapsed() < self.work {
            spin_loop();
        }
        tokio::task::yield_now().await;
    }
}

/// Keeps the workers busy, and has a lease. What its probe sees does not depend on them.
fn holder(
    components: usize,
    load: &Arc<Load>,
    renewals: &Arc<Mutex<Vec<Duration>>>,
    owner: &Arc<Mutex<Option<Context>>>,
) -> Overwatch {
    let policy = Policy::builder()
        .silence_limit(SILENCE_LIMIT)
        // The lease must leave time for both.
        .start_deadline(Duration::from_secs(5))
        .stop_deadline(Duration::from_secs(5))
        .fence(Fence::new(TTL, EVERY));
    let (renewals, owner) = (Arc::clone(renewals), Arc::clone(owner));
    let mut builder =
        Overwatch::builder(overwatch::isolated(polled(LOOK_EVERY, LOOK_WITHIN, look)))
            .policy(policy.build().expect("it works"))
            .lease_owner("owner")
            // A trip is to be seen.
            .fence_watchdog(false)
            .on_step(move |record| {
                if let Some(Input::LeaseRenewed { remaining, .. }) = record.input {
                    // It was sent when it was due, so this is how late it is by now.
                    let late = TTL.saturating_sub(remaining);
                    renewals.lock().expect("no panic").push(late);
                }
            })
            .task("owner", move |ctx: Context| async move {
                // Of the present epoch, if it trips after all.
                *owner.lock().expect("no panic") = Some(ctx.clone());
                ctx.mark_ready();
                ctx.stopping().await;
                Ok(())
            });
    for number in 0..components {
        let load = Arc::clone(load);
        builder = builder.task(format!("{number}"), move |ctx: Context| async move {
            ctx.mark_ready();
            while ctx.until_stopping(load.turn()).await.is_some() {}
            Ok(())
        });
    }
    builder.build().expect("it can be built")
}

/// A service beside it, on the same workers, and so is its probe.
fn watcher() -> Overwatch {
    let policy = Policy::builder()
        .silence_limit(SILENCE_LIMIT)
        .stop_deadline(LONG);
    Overwatch::builder(polled(LOOK_EVERY, LOOK_WITHIN, look))
        .policy(policy.build().expect("it works"))
        .task("one", |ctx| async move {
            ctx.mark_ready();
            ctx.stopping().await;
            Ok(())
        })
        .build()
        .expect("it can be built")
}

async fn look() -> Result<(), Failure> {
    Ok(())
}

/// A service that runs.
struct Running {
    handle: Handle,
    /// Since it was ready.
    transitions: Mutex<Transitions>,
    run: JoinHandle<Result<(), RunError>>,
}

impl Running {
    fn start(runtime: &Runtime, service: Overwatch) -> Self {
        let handle = service.handle();
        let run = runtime.spawn(service.run());
        let ready = runtime.block_on(handle.wait_until_ready());
        ready.expect("it gets ready");
        Self {
            transitions: Mutex::new(handle.transitions()),
            handle,
            run,
        }
    }

    /// Why it stopped running, each time.
    fn trips(&self) -> Vec<String> {
        let runtime = own_runtime();
        let mut transitions = self.transitions.lock().expect("no panic");
        let mut trips = Vec::new();
        // Those that there are by now.
        while let Ok(Ok(Some(transition))) = runtime.block_on(async {
            tokio::time::timeout(Duration::from_millis(10), transitions.next()).await
        }) {
            if transition.from == Phase::Running {
                trips.push(transition.reason.to_string());
            }
        }
        trips
    }

    fn stop(self, runtime: &Runtime) {
        self.handle.shutdown();
        let ended = runtime.block_on(self.run).expect("it does not panic");
        ended.expect("it stops");
    }
}

fn own_runtime() -> Runtime {
    let mut runtime = Builder::new_current_thread();
    runtime.enable_all().build().expect("a runtime")
}

/// Those that count: all were at work by then.
fn last(all: &[Duration]) -> &[Duration] {
    &all[all.len().saturating_sub(ROUNDS * RENEWALS)..]
}

/// Does something at so many instants, or until it is over. How late it was.
async fn late(
    number: usize,
    due: impl Fn(usize) -> Instant,
    mut each: impl FnMut(Instant),
    is_over: &AtomicBool,
) -> Vec<Duration> {
    let mut late = Vec::with_capacity(number);
    while late.len() < number && !is_over.load(Ordering::Acquire) {
        let due = due(late.len());
        sleep_until(due.into()).await;
        late.push(due.elapsed());
        each(due);
    }
    late
}
