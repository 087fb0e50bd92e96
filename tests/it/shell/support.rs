//! A service under judgement: every step that the real shell takes is read by the monitor.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use overwatch::law::Monitor;
use overwatch::machine::Phase;
use overwatch::policy::{Layout, Plan};
use overwatch::test_util::FakeDependency;
use overwatch::{
    BuildError, Builder, Failure, Handle, Overwatch, Policy, RunError, Status, Tuning,
};
use tokio::task::JoinHandle;

use super::replay::Replay;

/// How late tokio may fire a timer on a paused clock: it counts in milliseconds.
const GRANULARITY: Duration = Duration::from_millis(2);

/// A service that runs, its dependency, and what was noted of it.
pub(crate) struct Running {
    pub(crate) handle: Handle,
    pub(crate) dependency: FakeDependency,
    pub(crate) notes: Notes,
    judged: Judged,
    run: JoinHandle<Result<(), RunError>>,
}

/// What components note, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    pub(crate) fn add(&self, note: impl Into<String>) {
        self.0.lock().expect("no note panics").push(note.into());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().expect("no note panics").clone()
    }

    pub(crate) fn count(&self, note: &str) -> usize {
        self.all().iter().filter(|other| *other == note).count()
    }
}

/// The steps, in words, and the first law that was broken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Judged(Arc<Mutex<(Vec<String>, Option<String>)>>);

/// The policy of a test: production's shape, with a backoff that is easy to read in traces.
pub(crate) fn policy() -> overwatch::policy::PolicyBuilder {
    Policy::builder().tuning(tuning())
}

pub(crate) fn tuning() -> Tuning {
    Tuning::default().with_jitter(Duration::ZERO)
}

/// Lets the monitor read along.
pub(crate) fn judged(builder: Builder, policy: Policy, stages: &[usize]) -> (Builder, Judged) {
    let layout = Layout::new(stages).expect("a layout without gaps");
    let plan = Plan::new(policy.clone(), layout).expect("a plan that works");
    judged_by(builder.policy(policy), plan)
}

pub(crate) fn judged_by(builder: Builder, plan: Plan) -> (Builder, Judged) {
    let monitor = Monitor::new(plan, Some(GRANULARITY));
    read_along(builder, monitor)
}

/// The same in real time, in which a timer may be late on a busy machine.
pub(crate) fn judged_in_real_time(builder: Builder, plan: Plan) -> (Builder, Judged) {
    let monitor = Monitor::new(plan, None);
    read_along(builder, monitor)
}

/// The monitor judges each step, and all are taken again from what arrived.
fn read_along(builder: Builder, mut monitor: Monitor) -> (Builder, Judged) {
    let mut replay = Replay::default();
    let judged = Judged::default();
    let sink = judged.clone();
    let mut last = Duration::ZERO;
    let builder = builder.on_step(move |step| {
        assert_eq!(step.missed, 0, "the monitor reads all steps");
        let replayed = replay.read(&step);
        let verdict = match &step.input {
            _ if step.observe_only => Ok(()),
            None if step.is_boot => monitor.boot(step.effects),
            None => Ok(()),
            Some(input) => {
                let elapsed = step.at - last;
                last = step.at;
                monitor.step(elapsed, input, step.effects)
            }
        };
        let verdict = verdict.map_err(|violation| violation.to_string());
        let verdict = verdict.and(replayed);
        let mut sink = sink.0.lock().expect("no judgement panics");
        sink.0.push(format!(
            "{:?} {:?} {:?} {:?}",
            step.at, step.input, step.step, step.effects
        ));
        if let (Err(violation), None) = (verdict, &sink.1) {
            sink.1 = Some(violation);
        }
    });
    (builder, judged)
}

impl Judged {
    pub(crate) fn trace(&self) -> Vec<String> {
        self.0.lock().expect("no judgement panics").0.clone()
    }

    pub(crate) fn acquit(&self) {
        let judged = self.0.lock().expect("no judgement panics");
        if let Some(violation) = &judged.1 {
            panic!("{violation}\n{}", judged.0.join("\n"));
        }
    }
}

/// Runs a service of these stages. `add` gets the builder, the notes and the handle-to-be.
pub(crate) fn start(
    stages: &[usize],
    policy: Policy,
    add: impl FnOnce(Builder, &Notes) -> Builder,
) -> Running {
    try_start(stages, policy, add).expect("a service that can be built")
}

pub(crate) fn try_start(
    stages: &[usize],
    policy: Policy,
    add: impl FnOnce(Builder, &Notes) -> Builder,
) -> Result<Running, BuildError> {
    let dependency = FakeDependency::new();
    let notes = Notes::default();
    let builder = add(Overwatch::builder(dependency.probe()), &notes);
    let (builder, judged) = judged(builder, policy, stages);
    let service = builder.build()?;
    let handle = service.handle();
    let run = tokio::spawn(service.run());
    Ok(Running {
        handle,
        dependency,
        notes,
        judged,
        run,
    })
}

/// Runs a service by this plan, which is that of the builder.
pub(crate) fn start_by(plan: Plan, add: impl FnOnce(Builder, &Notes) -> Builder) -> Running {
    let dependency = FakeDependency::new();
    let notes = Notes::default();
    let builder = Overwatch::builder(dependency.probe()).policy(plan.policy().clone());
    let (builder, judged) = judged_by(add(builder, &notes), plan);
    let service = builder.build().expect("a service that can be built");
    let handle = service.handle();
    let run = tokio::spawn(service.run());
    Running {
        handle,
        dependency,
        notes,
        judged,
        run,
    }
}

impl Running {
    /// Waits for a status; not longer than an hour of the paused clock.
    pub(crate) async fn until(&self, wanted: impl FnMut(&Status) -> bool) -> Status {
        bounded(self.handle.wait_for(wanted))
            .await
            .expect("the run goes on")
    }

    pub(crate) async fn until_ready(&self, epoch: u64) -> Status {
        self.until(|status| status.ready && status.epoch == epoch)
            .await
    }

    pub(crate) async fn until_phase(&self, phase: Phase) -> Status {
        self.until(|status| status.phase == phase).await
    }

    /// Waits for the end, which the monitor must have nothing against.
    pub(crate) async fn end(self) -> (Result<(), RunError>, Vec<String>) {
        let judged = self.judged.clone();
        let end = self.end_unjudged().await;
        judged.acquit();
        end
    }

    /// The same where a blocked thread makes timers later than the monitor allows.
    pub(crate) async fn end_unjudged(self) -> (Result<(), RunError>, Vec<String>) {
        let ended = bounded(self.run).await.expect("the run does not panic");
        assert!(!self.handle.is_ready(), "ready after the end");
        (ended, self.judged.trace())
    }

    /// Shuts down in order.
    pub(crate) async fn shut_down(self) -> Vec<String> {
        self.handle.shutdown();
        let (ended, trace) = self.end().await;
        ended.expect("an ordered stop");
        trace
    }

    /// Shuts down where some components do not stop well.
    pub(crate) async fn shut_down_uncleanly(self) -> Vec<String> {
        self.handle.shutdown();
        let (ended, trace) = self.end().await;
        let error = ended.expect_err("something does not stop well");
        assert_eq!(error.why(), None, "{error}");
        assert!(!error.unclean_stops().is_empty(), "{error}");
        trace
    }

    /// Drops the run as it is.
    pub(crate) async fn abandon(self) -> (Handle, Notes) {
        self.run.abort();
        let ended = bounded(self.run).await;
        assert!(ended.is_err_and(|error| error.is_cancelled()));
        self.judged.acquit();
        (self.handle, self.notes)
    }
}

/// A bound for waits that end by an event.
pub(crate) async fn bounded<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(3600), work)
        .await
        .expect("it should have happened within the hour")
}

/// A component that works until told to stop, and notes its life.
pub(crate) fn worker(notes: &Notes, name: &'static str) -> impl overwatch::Component + use<> {
    let notes = notes.clone();
    overwatch::component_fn(move |ctx: overwatch::Context| async move {
        notes.add(format!("{name} up {}", ctx.epoch()));
        ctx.mark_ready();
        ctx.stopping().await;
        notes.add(format!("{name} stopped {}", ctx.epoch()));
        Ok::<(), Failure>(())
    })
}

/// The tasks that are alive in this runtime, once it is quiet.
pub(crate) async fn alive_tasks() -> usize {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}
