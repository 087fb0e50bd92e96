//! Code of the user that the supervisor has a reason to call: it may be slow or block for ever, and
//! must run neither between the news and what follows from it, nor on the thread that supervises.

use std::error::Error;
use std::fmt;
use std::panic::panic_any;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as Poller, Wake};
use std::thread;
use std::time::Duration;

use overwatch::machine::{Input, Phase};
use overwatch::{Builder, Context, Failure, Handle, ProbeMode};

use super::scene::{
    Latency, News, Observer, SOON, Slow, Takes, Times, assert_prompt, measure, policy, service,
    service_with, settled,
};
use super::support::{CONTROL, Run, WAYS, Way, Workers, await_here, in_each, ms, within};

/// An error whose text takes its time.
#[derive(Debug)]
struct SlowText(Slow);

impl fmt::Display for SlowText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.take();
        f.write_str("slow")
    }
}

impl Error for SlowText {}

/// An error, or what a panic throws, whose drop takes its time.
#[derive(Debug)]
struct SlowDrop(Slow);

impl fmt::Display for SlowDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("slow to drop")
    }
}

impl Error for SlowDrop {}

impl Drop for SlowDrop {
    fn drop(&mut self) {
        self.0.take();
    }
}

/// How each case runs: how long the user's code takes, and where the service runs.
fn cases() -> Vec<(Takes, Way)> {
    let all = Takes::BOTH.into_iter();
    all.flat_map(|takes| WAYS.map(|way| (takes, way))).collect()
}

/// Nothing waits for this code: the service is not ready at once, its components are told to stop at
/// once, and the supervisor answers while the code is still at it.
fn holds_up_nobody(scene: impl Fn(&Slow, &Times) -> Builder + Sync) {
    in_each(&cases(), |(takes, way)| {
        let tries = (0..takes.tries()).map(|_| attempt(takes, way, &scene));
        let tries: Vec<_> = tries.collect();
        assert_prompt(&format!("{takes:?} {way:?}"), takes, &tries);
    });
}

fn attempt(takes: Takes, way: Way, scene: &impl Fn(&Slow, &Times) -> Builder) -> Latency {
    let (slow, _opens) = Slow::new(takes);
    let times = Times::default();
    // One may be blocked, and one may hold the driver.
    let workers = Workers::new(4);
    let service = scene(&slow, &times).build().unwrap();
    times.set_outside(service.handle().reporter());
    let run = settled(Run::start(&workers, way, service));
    slow.arm();
    times.ring();
    let latency = measure(&run, &times);
    within(SOON, "the code was called", || !slow.threads().is_empty());
    // What is fatal has ended it.
    let answers = is_responsive(&run.handle) || run.phase() == Phase::Halted;
    slow.release();
    let _ = run.shut_down();
    not_on_the_control_thread(&slow);
    assert!(answers, "the supervisor answers");
    latency
}

fn is_responsive(handle: &Handle) -> bool {
    await_here(handle.is_responsive(Duration::from_secs(2)))
}

fn not_on_the_control_thread(slow: &Slow) {
    let threads = slow.threads();
    assert!(
        !threads.iter().any(|thread| thread == CONTROL),
        "{threads:?}"
    );
}

/// The same where a component brings the news.
fn told_like_that(
    tell: impl Fn(&Context, &Slow) -> Option<Result<(), Failure>> + Clone + Send + Sync + 'static,
) {
    holds_up_nobody(|slow, times| {
        let (slow, tell) = (slow.clone(), tell.clone());
        let news = News::told(move |ctx| tell(ctx, &slow));
        service(Observer::new(times, &news), news)
    });
}

// The text of an error.

#[test]
fn the_text_of_an_error_that_is_reported() {
    told_like_that(|ctx, slow| {
        ctx.report(SlowText(slow.clone()));
        None
    });
}

#[test]
fn the_text_of_an_error_that_is_reported_from_outside() {
    holds_up_nobody(|slow, times| {
        let (slow, outside) = (slow.clone(), times.clone());
        let news = News::told(move |_| {
            let (reporter, error) = (outside.outside(), SlowText(slow.clone()));
            // A thread that knows nothing of any runtime.
            thread::spawn(move || reporter.report(error));
            None
        });
        service(Observer::new(times, &news), news)
    });
}

#[test]
fn the_text_of_an_error_that_a_sub_task_returns() {
    told_like_that(|ctx, slow| {
        let error = SlowText(slow.clone());
        ctx.spawn::<()>(async { Err(error.into()) });
        None
    });
}

#[test]
fn the_text_of_an_error_that_blocking_work_returns() {
    told_like_that(|ctx, slow| {
        let error = SlowText(slow.clone());
        ctx.spawn_blocking::<()>(|| Err(error.into()));
        None
    });
}

#[test]
fn the_text_of_an_error_that_a_component_returns() {
    told_like_that(|_, slow| Some(Err(SlowText(slow.clone()).into())));
}

/// It ends the run, which shows it.
#[test]
fn the_text_of_a_fatal_error() {
    told_like_that(|_, slow| Some(Err(Failure::from(SlowText(slow.clone())).fatal())));
}

// The drop of an error.

#[test]
fn the_drop_of_an_error_that_is_reported() {
    told_like_that(|ctx, slow| {
        ctx.report(SlowDrop(slow.clone()));
        None
    });
}

#[test]
fn the_drop_of_an_error_that_a_component_returns() {
    told_like_that(|_, slow| Some(Err(SlowDrop(slow.clone()).into())));
}

/// Of a storm the last one is kept until the supervisor takes the whole.
#[test]
fn the_drop_of_the_last_error_of_a_storm() {
    const STORM: u32 = 1_000;
    holds_up_nobody(|slow, times| {
        let slow = slow.clone();
        let news = News::told(move |ctx| {
            for number in 1..STORM {
                ctx.report(Failure::new(format!("number {number}")));
            }
            // Only with this one are they as many as trip.
            ctx.report(SlowDrop(slow.clone()));
            None
        });
        service_with(
            Observer::new(times, &news),
            news,
            policy().trip_threshold(STORM),
        )
    });
}

/// What was reported and not taken when the run is over, too.
#[test]
fn the_drop_of_errors_that_are_stale() {
    in_each(&WAYS, |way| {
        let (slow, _opens) = Slow::new(Takes::ForEver);
        let times = Times::default();
        let error = slow.clone();
        let news = News::told(move |ctx| {
            // The first one trips; of the others nobody wants to know any more.
            for _ in 0..3 {
                ctx.report(Failure::new("first"));
                thread::sleep(ms(30));
            }
            ctx.report(SlowDrop(error.clone()));
            None
        });
        let workers = Workers::new(4);
        let service = service(Observer::new(&times, &news), news);
        let run = settled(Run::start(&workers, way, service.build().unwrap()));
        slow.arm();
        times.ring();
        within(SOON, "it is dropped", || !slow.threads().is_empty());
        assert!(is_responsive(&run.handle));
        not_on_the_control_thread(&slow);
        slow.release();
        run.shut_down().unwrap();
    });
}

// What a panic throws.

#[test]
fn the_drop_of_what_a_component_throws() {
    told_like_that(|_, slow| panic_any(SlowDrop(slow.clone())));
}

#[test]
fn the_drop_of_what_a_sub_task_throws() {
    told_like_that(|ctx, slow| {
        let payload = SlowDrop(slow.clone());
        ctx.spawn::<()>(async { panic_any(payload) });
        None
    });
}

#[test]
fn the_drop_of_what_blocking_work_throws() {
    told_like_that(|ctx, slow| {
        let payload = SlowDrop(slow.clone());
        ctx.spawn_blocking::<()>(|| panic_any(payload));
        None
    });
}

#[test]
fn the_drop_of_what_a_probe_throws() {
    holds_up_nobody(|slow, times| {
        let mut probe = Observer::new(times, &News::Failing);
        let slow = slow.clone();
        probe.failing = Box::new(move || panic_any(SlowDrop(slow.clone())));
        service(probe, News::Failing)
    });
}

// What is called.

#[test]
fn a_hook_for_each_step() {
    holds_up_nobody(|slow, times| {
        let slow = slow.clone();
        let probe = Observer::new(times, &News::Failing);
        service(probe, News::Failing).on_step(crate::shell::replay::replayed(move |step| {
            if let Some(Input::Failing { .. }) = step.input {
                slow.take();
            }
        }))
    });
}

#[test]
fn a_probe_that_is_told_that_a_start_depends_on_it() {
    holds_up_nobody(|slow, times| {
        let mut probe = Observer::new(times, &News::Failing);
        let slow = slow.clone();
        probe.set_mode = Box::new(move |mode| {
            if mode == ProbeMode::Proving {
                slow.take();
            }
        });
        service(probe, News::Failing)
    });
}

/// It is called while the service is stopped: that the supervisor does what it is told meanwhile is all
/// there is to see.
#[test]
fn a_probe_that_is_told_to_hurry() {
    in_each(&WAYS, |way| {
        let (slow, _opens) = Slow::new(Takes::ForEver);
        let times = Times::default();
        let mut probe = Observer::new(&times, &News::Failing);
        let hurried = slow.clone();
        probe.hurry = Box::new(move || hurried.take());
        let workers = Workers::new(4);
        let service = service(probe, News::Failing);
        let run = settled(Run::start(&workers, way, service.build().unwrap()));
        slow.arm();
        run.handle.trip().unwrap();
        within(SOON, "the probe is hurried", || !slow.threads().is_empty());
        assert!(is_responsive(&run.handle));
        run.handle.drain().unwrap();
        within(Duration::from_secs(2), "it is drained", || {
            run.phase() == Phase::Drained
        });
        not_on_the_control_thread(&slow);
        slow.release();
        run.shut_down().unwrap();
    });
}

/// Whoever follows a run may do so on any executor, and be woken by its code: after all that a transition
/// asks for.
#[test]
fn a_waker_of_who_follows_the_run() {
    struct SlowWaker(Slow);

    impl Wake for SlowWaker {
        fn wake(self: Arc<Self>) {
            self.0.take();
        }
    }

    for (takes, way) in cases() {
        let tries = (0..takes.tries()).map(|_| {
            let (slow, _opens) = Slow::new(takes);
            let times = Times::default();
            let workers = Workers::new(4);
            let service = service(Observer::new(&times, &News::Failing), News::Failing);
            let run = settled(Run::start(&workers, way, service.build().unwrap()));
            let waker = Arc::new(SlowWaker(slow.clone())).into();
            let mut transitions = run.handle.transitions();
            let next = pin!(transitions.next());
            let pending = next.poll(&mut Poller::from_waker(&waker)).is_pending();
            assert!(pending);
            slow.arm();
            times.ring();
            let latency = measure(&run, &times);
            within(SOON, "it is woken", || !slow.threads().is_empty());
            slow.release();
            run.shut_down().unwrap();
            latency
        });
        let tries: Vec<_> = tries.collect();
        assert_prompt(&format!("{takes:?} {way:?}"), takes, &tries);
    }
}
