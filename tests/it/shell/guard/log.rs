//! A log that is slow or stuck: nothing but the log waits for it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use overwatch::machine::Phase;
use overwatch::{CommandAnswer, CommandError, Context as Component, Failure, TransitionEvent};
use rustix::process::Signal;
use tracing::field::{Field, Visit};
use tracing::instrument::WithSubscriber;
use tracing::span::{Attributes, Id};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use super::child::play_unread;
use super::scene::{
    News, Observer, SOON, Slow, Takes, Times, assert_prompt, measure, service, settled,
};
use super::support::{
    CONTROL, Run, USER, Way, Workers, await_here, in_each, lock, ms, quick, within,
};

/// Where a subscriber takes its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spot {
    Enabled,
    NewSpan,
    Exit,
    Close,
    Event,
}

/// A subscriber that takes its time with what is ours, and keeps what it was given.
#[derive(Clone)]
struct Logger {
    level: Level,
    spot: Spot,
    slow: Slow,
    written: Arc<Mutex<Vec<Written>>>,
}

#[derive(Clone, Debug)]
struct Written {
    target: String,
    fields: BTreeMap<&'static str, String>,
}

impl Logger {
    fn new(spot: Spot, slow: &Slow) -> Self {
        Self {
            level: Level::INFO,
            spot,
            slow: slow.clone(),
            written: Arc::default(),
        }
    }

    fn dispatch(&self) -> Dispatch {
        Dispatch::new(tracing_subscriber::registry().with(self.clone()))
    }

    fn pause(&self, spot: Spot, metadata: &Metadata<'_>) {
        if spot == self.spot && metadata.target().starts_with("overwatch") {
            self.slow.take();
        }
    }

    fn pause_at<S: Subscriber + for<'a> LookupSpan<'a>>(
        &self,
        spot: Spot,
        id: &Id,
        ctx: &Context<'_, S>,
    ) {
        if let Some(span) = ctx.span(id) {
            self.pause(spot, span.metadata());
        }
    }

    /// What was written, or is about to be: at one target.
    fn at(&self, target: &str) -> Vec<Written> {
        let written = lock(&self.written);
        let at = written.iter().filter(|event| event.target == target);
        at.cloned().collect()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Logger {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        // Ask each time.
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.pause(Spot::Enabled, metadata);
        *metadata.level() <= self.level
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        self.pause(Spot::NewSpan, attributes.metadata());
    }

    fn on_exit(&self, id: &Id, ctx: Context<'_, S>) {
        self.pause_at(Spot::Exit, id, &ctx);
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        self.pause_at(Spot::Close, &id, &ctx);
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.pause(Spot::Event, event.metadata());
        lock(&self.written).push(Written {
            target: event.metadata().target().to_owned(),
            fields: fields.0,
        });
    }
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

/// How a subscriber is installed for the run alone.
#[derive(Clone, Copy, Debug)]
enum Installed {
    /// It is the default of the thread of `main`.
    ForTheThread,
    /// It is that of the future that runs the service, and nothing else.
    ForTheRun(Way),
}

const INSTALLED: [Installed; 3] = [
    Installed::ForTheThread,
    Installed::ForTheRun(Way::Main),
    Installed::ForTheRun(Way::Spawned),
];

fn run(workers: &Workers, how: Installed, logger: &Logger, service: overwatch::Builder) -> Run {
    let log = logger.dispatch();
    let service = service.build().unwrap();
    settled(match how {
        Installed::ForTheThread => {
            let runtime = workers.handle();
            Run::start_in_main(service, move |run| {
                tracing::dispatcher::with_default(&log, || runtime.block_on(run))
            })
        }
        Installed::ForTheRun(way) => {
            Run::start_with(workers, way, service, |run| run.with_subscriber(log))
        }
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Failing,
    Report,
    FailedEnd,
    PlainEnd,
}

impl What {
    const ALL: [Self; 4] = [Self::Failing, Self::Report, Self::FailedEnd, Self::PlainEnd];

    fn news(self) -> News {
        match self {
            Self::Failing => News::Failing,
            Self::Report => News::told(|ctx| {
                ctx.report(Failure::new("a hiccup"));
                None
            }),
            Self::FailedEnd => News::told(|_| Some(Err(Failure::new("no more")))),
            Self::PlainEnd => News::told(|_| Some(Ok(()))),
        }
    }
}

/// After all news, with the subscriber installed in each way.
fn is_prompt_beside(spot: Spot, takes: Takes) {
    let cases: Vec<_> = What::ALL
        .into_iter()
        .flat_map(|what| INSTALLED.map(|installed| (what, installed)))
        .collect();
    in_each(&cases, |(what, installed)| {
        let tries = (0..takes.tries()).map(|_| {
            let (slow, _opens) = Slow::new(takes);
            let logger = Logger::new(spot, &slow);
            let times = Times::default();
            let news = what.news();
            let workers = Workers::new(2);
            let service = service(Observer::new(&times, &news), news);
            let run = run(&workers, installed, &logger, service);
            slow.arm();
            times.ring();
            let latency = measure(&run, &times);
            within(SOON, "something was logged", || !slow.threads().is_empty());
            slow.release();
            run.shut_down().unwrap();
            latency
        });
        let tries: Vec<_> = tries.collect();
        let what = format!("{spot:?} {takes:?} {what:?} {installed:?}");
        assert_prompt(&what, takes, &tries);
    });
}

#[test]
fn a_slow_line_is_not_waited_for() {
    is_prompt_beside(Spot::Event, Takes::Long);
}

#[test]
fn a_writer_that_blocks_is_not_waited_for() {
    is_prompt_beside(Spot::Event, Takes::ForEver);
}

#[test]
fn a_slow_filter_is_not_waited_for() {
    is_prompt_beside(Spot::Enabled, Takes::Long);
}

#[test]
fn a_filter_that_blocks_is_not_waited_for() {
    is_prompt_beside(Spot::Enabled, Takes::ForEver);
}

/// The end of a component is news before the subscriber is told that its span is left, and closed.
#[test]
fn a_subscriber_that_is_slow_where_a_span_ends_is_not_waited_for() {
    for spot in [Spot::Exit, Spot::Close] {
        in_each(&INSTALLED, |installed| {
            let (slow, _opens) = Slow::new(Takes::ForEver);
            let logger = Logger::new(spot, &slow);
            let times = Times::default();
            let News::Told(end) = What::FailedEnd.news() else {
                panic!("a component ends");
            };
            // In the poll that ends: an earlier one would block where it leaves the span.
            let armed = slow.clone();
            let news = News::told(move |ctx| {
                armed.arm();
                end(ctx)
            });
            let workers = Workers::new(4);
            let service = service(Observer::new(&times, &news), news);
            let run = run(&workers, installed, &logger, service);
            times.ring();
            let latency = measure(&run, &times);
            slow.release();
            run.shut_down().unwrap();
            assert_prompt(
                &format!("{spot:?} {installed:?}"),
                Takes::ForEver,
                &[latency],
            );
        });
    }
}

/// The span of a component belongs to that component, and holds up no other.
#[test]
fn a_subscriber_that_blocks_in_new_span_holds_up_components_only() {
    in_each(&INSTALLED, |installed| {
        let (slow, _opens) = Slow::new(Takes::ForEver);
        let logger = Logger::new(Spot::NewSpan, &slow);
        let times = Times::default();
        // Two of these are blocked with the two components.
        let workers = Workers::new(4);
        let news = What::FailedEnd.news();
        let service = service(Observer::new(&times, &news), news);
        let run = run(&workers, installed, &logger, service);
        slow.arm();
        times.ring();
        within(SOON, "a span is made in epoch 2", || {
            !slow.threads().is_empty()
        });
        assert!(await_here(run.handle.is_responsive(Duration::from_secs(2))));
        run.handle.drain().unwrap();
        within(Duration::from_secs(2), "it is drained", || {
            matches!(run.phase(), Phase::ShuttingDown | Phase::Drained)
        });
        let threads = slow.threads();
        let of_workers = format!("{USER}worker");
        assert!(
            threads.iter().all(|thread| *thread == of_workers),
            "{threads:?}"
        );
        slow.release();
        run.shut_down().unwrap();
    });
}

/// What the log says of a state besides its name.
fn words(to: Phase) -> &'static str {
    match to {
        Phase::Running => "the service is ready",
        Phase::ShuttingDown => "the service is not ready, and is being stopped",
        Phase::Monitoring => {
            "everything is stopped, and the dependency must first stay alive for a while"
        }
        Phase::Restarting => "components are being started",
        Phase::Drained => "the service is drained",
        Phase::Stopped => "the run is over",
        Phase::Halted => "the run cannot go on",
    }
}

/// What is logged of transitions is what was published, in order, with all the fields.
fn assert_all_are_logged(logger: &Logger, published: &[TransitionEvent]) {
    let expected: Vec<_> = published
        .iter()
        .map(|seen| {
            let mut fields = BTreeMap::from([
                ("from", seen.from.as_str().to_owned()),
                ("to", seen.to.as_str().to_owned()),
                ("cause", seen.cause.as_str().to_owned()),
                ("reason", seen.reason.to_string()),
                ("epoch", seen.epoch.to_string()),
                ("outage", seen.outage.to_string()),
                ("spent_ms", seen.spent.as_millis().to_string()),
                ("observe_only", "false".to_owned()),
                ("relapse_level", seen.level.to_string()),
                ("message", words(seen.to).to_owned()),
            ]);
            if seen.cause.component().is_some() {
                fields.insert("component", "teller".to_owned());
            }
            if let Some(hold_off) = seen.hold_off {
                fields.insert("hold_off_ms", hold_off.as_millis().to_string());
            }
            if let Some(class) = seen.cause.class() {
                fields.insert("class", class.as_str().to_owned());
            }
            fields
        })
        .collect();
    let logged = || -> Vec<_> {
        let at = logger.at("overwatch::transition");
        at.into_iter().map(|event| event.fields).collect()
    };
    within(SOON, "all transitions are logged", || {
        logged().len() >= expected.len()
    });
    let mut logged = logged();
    // Each has its own time, however late it is written.
    let at: Vec<u64> = logged
        .iter_mut()
        .map(|fields| fields.remove("at_ms").unwrap().parse().unwrap())
        .collect();
    let (Some(first), Some(first_at)) = (published.first(), at.first()) else {
        panic!("nothing was published");
    };
    for (seen, at) in published.iter().zip(&at) {
        let (after, logged) = ((seen.at - first.at).as_millis() as u64, at - first_at);
        // It is logged when its text is there, and long before it is written.
        assert!(logged.abs_diff(after) < 1_000, "{at} ms, {published:?}");
    }
    assert_eq!(logged, expected);
}

#[test]
fn while_the_writer_blocks_all_goes_on_and_what_it_missed_comes_later() {
    in_each(&INSTALLED, |installed| {
        let (slow, _opens) = Slow::new(Takes::ForEver);
        let logger = Logger::new(Spot::Event, &slow);
        let times = Times::default();
        let news = What::Report.news();
        let workers = Workers::new(2);
        let service = service(Observer::new(&times, &news), news);
        let mut run = run(&workers, installed, &logger, service);
        slow.arm();
        times.ring();
        within(SOON, "ready again", || {
            run.handle.is_ready() && run.handle.status().epoch == 2
        });
        assert_eq!(slow.gate().waiting(), 1, "it is still blocked");
        let mut published = run.seen_up_to(Phase::Running);
        let to: Vec<_> = published.iter().map(|seen| seen.to.as_str()).collect();
        assert_eq!(
            to,
            [
                "Restarting",
                "Running",
                "ShuttingDown",
                "Monitoring",
                "Restarting",
                "Running"
            ]
        );
        assert!(await_here(run.handle.is_responsive(Duration::from_secs(2))));
        // So that what is written after that is late by more than what is allowed.
        thread::sleep(ms(1_500));
        slow.release();
        run.shut_down().unwrap();
        published.extend(run.seen());
        assert_all_are_logged(&logger, &published);
    });
}

/// What cannot be kept is counted, and a transition is the last to be lost.
#[test]
fn what_a_blocked_writer_never_gets_is_counted() {
    const FLOOD: usize = 5_000;
    in_each(&INSTALLED, |installed| {
        let (slow, _opens) = Slow::new(Takes::ForEver);
        let logger = Logger {
            level: Level::DEBUG,
            ..Logger::new(Spot::Event, &slow)
        };
        let times = Times::default();
        let workers = Workers::new(2);
        let service = service(Observer::new(&times, &News::Failing), News::Failing);
        let mut run = run(&workers, installed, &logger, service);
        slow.arm();
        times.ring();
        within(SOON, "it is stopped", || run.phase() == Phase::Monitoring);
        // A resume is ignored there, and each one that is ignored is an event.
        let send = |command: &dyn Fn() -> Result<CommandAnswer, CommandError>| {
            within(SOON, "the command is taken", || command().is_ok());
        };
        for _ in 0..FLOOD {
            send(&|| run.handle.resume());
            // Two of one kind that wait beside each other would be one.
            send(&|| run.handle.reset());
        }
        times.calm();
        within(SOON, "ready again", || run.handle.is_ready());
        slow.release();
        run.shut_down().unwrap();
        assert_all_are_logged(&logger, &run.seen());
        let lost = || -> usize {
            let said = logger.at("overwatch::log").into_iter();
            let lost = said.filter_map(|event| event.fields.get("lost")?.parse::<usize>().ok());
            lost.sum()
        };
        within(SOON, "what was lost is said", || lost() > 0);
        // What waits is bounded; the rest is for what came before and after.
        let ignored = logger.at("overwatch::ignored").len();
        assert!(ignored <= 1_200, "{ignored} were kept");
        let written = lock(&logger.written).len();
        assert!(
            written + lost() >= FLOOD,
            "{written} written and {} lost of more than {FLOOD}",
            lost()
        );
    });
}

/// At the end what waits is written, for a second at most.
#[test]
fn the_end_waits_for_the_log_but_not_for_ever() {
    in_each(&INSTALLED, |installed| {
        let (slow, _opens) = Slow::new(Takes::ForEver);
        let logger = Logger::new(Spot::Event, &slow);
        let times = Times::default();
        let workers = Workers::new(2);
        let scene = || service(Observer::new(&times, &News::Failing), News::Failing);

        // One that writes at once has all when the run has returned.
        let mut quick = run(&workers, installed, &logger, scene());
        quick.shut_down().unwrap();
        let logged = logger.at("overwatch::transition").len();
        assert_eq!(logged, quick.seen().len());

        let mut stuck = run(&workers, installed, &logger, scene());
        slow.arm();
        stuck.handle.shutdown();
        stuck.result_within(Duration::from_secs(5)).unwrap();
        assert_eq!(slow.gate().waiting(), 1, "it is still blocked");
        let last = stuck.seen().pop().map(|seen| seen.to);
        assert_eq!(last, Some(Phase::Stopped));
    });
}

/// No line is written by the thread that supervises.
#[test]
fn the_subscriber_is_called_on_a_thread_that_may_block() {
    in_each(&INSTALLED, |installed| {
        for spot in [Spot::Enabled, Spot::Event] {
            let (slow, _opens) = Slow::new(Takes::Long);
            let logger = Logger::new(spot, &slow);
            let times = Times::default();
            let workers = Workers::new(2);
            let news = What::FailedEnd.news();
            let service = service(Observer::new(&times, &news), news);
            let run = run(&workers, installed, &logger, service);
            slow.arm();
            times.ring();
            within(SOON, "something was logged", || !slow.threads().is_empty());
            slow.release();
            run.shut_down().unwrap();
            let threads = slow.threads();
            let main = format!("{USER}main");
            let may_not = |thread: &String| *thread == CONTROL || *thread == main;
            assert!(!threads.iter().any(may_not), "{spot:?}: {threads:?}");
        }
    });
}

/// A service in a child process whose subscriber writes more to stderr than fits into a pipe.
pub(super) fn mute_child(how: &str) {
    struct Talkative(Arc<AtomicBool>);

    impl<S: Subscriber> Layer<S> for Talkative {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            if self.0.load(Ordering::Relaxed) {
                let _ = std::io::stderr().write_all(&[b'.'; 128 * 1024]);
            }
        }
    }

    let obeys = how == "obedient";
    let talks: Arc<AtomicBool> = Arc::default();
    let log = Dispatch::new(tracing_subscriber::registry().with(Talkative(Arc::clone(&talks))));
    let (feed, probe) = overwatch::feed();
    feed.alive("once is enough");
    let policy = quick()
        .silence_limit(Duration::from_secs(600))
        .stop_deadline(Duration::from_secs(600));
    let service = crate::shell::replay::builder(probe)
        .policy(policy.build().unwrap())
        .task("a", move |ctx: Component| async move {
            ctx.mark_ready();
            // Until all that is logged of the start was.
            ctx.sleep(ms(200)).await;
            talks.store(true, Ordering::Relaxed);
            println!("up");
            ctx.stopping().await;
            println!("told");
            if !obeys {
                std::future::pending::<()>().await;
            }
            Ok(())
        })
        .build()
        .unwrap();
    let workers = Workers::new(2);
    let run = || workers.handle().block_on(service.run_until_signal());
    tracing::dispatcher::with_default(&log, run).unwrap();
    println!("returned");
}

#[test]
fn a_signal_stops_in_order_though_nobody_reads_the_log() {
    let mut child = play_unread("mute obedient");
    child.until(SOON, "up");
    child.signal(Signal::TERM);
    child.until(Duration::from_secs(5), "told");
    child.until(Duration::from_secs(5), "returned");
    let status = child.end(Duration::from_secs(5));
    assert!(status.success(), "{status}");
}

#[test]
fn a_second_signal_leaves_though_nobody_reads_the_log() {
    for second in [Signal::TERM, Signal::INT] {
        let mut child = play_unread("mute deaf");
        child.until(SOON, "up");
        child.signal(Signal::TERM);
        child.until(Duration::from_secs(5), "told");
        thread::sleep(ms(100));
        child.signal(second);
        let status = child.end(Duration::from_secs(5));
        assert_eq!(status.code(), Some(128 + second.as_raw()));
    }
}
