//! The transition trace, as a subscriber gets it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use overwatch::machine::Phase;
use overwatch::{Failure, Handle, Observation, Probe, RunError};
use tokio::task::JoinHandle;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::support::{Notes, bounded, policy, start, worker};

pub(super) type Fields = BTreeMap<&'static str, String>;

#[derive(Clone, Default)]
pub(super) struct Captured(Arc<Mutex<Vec<(Level, String, Fields)>>>);

impl<S: Subscriber> Layer<S> for Captured {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::new();
        event.record(&mut Recorder(&mut fields));
        let target = event.metadata().target().to_owned();
        self.0
            .lock()
            .unwrap()
            .push((*event.metadata().level(), target, fields));
    }
}

struct Recorder<'a>(&'a mut Fields);

impl Visit for Recorder<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Captured {
    /// Captures what is logged here until the guard is dropped.
    pub(super) fn begin() -> (Self, tracing::subscriber::DefaultGuard) {
        let captured = Self::default();
        let subscriber = tracing_subscriber::registry().with(captured.clone());
        (captured, tracing::subscriber::set_default(subscriber))
    }

    /// Everything so far.
    pub(super) fn all(&self) -> Vec<(Level, String, Fields)> {
        self.0.lock().unwrap().clone()
    }

    pub(super) fn at(&self, target: &str) -> Vec<(Level, Fields)> {
        let all = self.0.lock().unwrap();
        all.iter()
            .filter(|(_, at, _)| at == target)
            .map(|(level, _, fields)| (*level, fields.clone()))
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn each_transition_is_one_event_with_stable_fields() {
    let captured = Captured::default();
    let _guard =
        tracing::subscriber::set_default(tracing_subscriber::registry().with(captured.clone()));
    let running = start(&[2], policy().build().unwrap(), |builder, notes| {
        builder
            .component("pool", worker(notes, "pool"))
            .task("flaky", |ctx| async move {
                ctx.mark_ready();
                if ctx.epoch() == 1 {
                    ctx.sleep(Duration::from_millis(1500)).await;
                    return Err(Failure::new("no route").dependency());
                }
                ctx.stopping().await;
                Ok(())
            })
    });
    running.until_ready(2).await;
    running.handle.trip().unwrap();
    running.until_phase(Phase::Monitoring).await;
    running.handle.resume().unwrap();
    let _ = running.handle.is_responsive(Duration::from_secs(1)).await;
    running.handle.shutdown();
    let (ended, _) = running.end_unjudged().await;
    ended.unwrap();

    let lines: Vec<String> = captured
        .at("overwatch::transition")
        .into_iter()
        .map(|(level, fields)| {
            assert_eq!(fields["observe_only"], "false");
            let field = |name| fields.get(name).map_or("-", String::as_str).to_owned();
            let columns = [
                "from",
                "to",
                "cause",
                "component",
                "class",
                "epoch",
                "outage",
                "spent_ms",
                "relapse_level",
                "hold_off_ms",
                "reason",
            ];
            format!("{level} {}", columns.map(field).join("|"))
        })
        .collect();
    let expected = [
        "INFO Monitoring|Restarting|recovered|-|-|1|0|0|0|0|the dependency has proved itself: it is up",
        "INFO Restarting|Running|all_up|-|-|1|0|0|0|-|every component is up",
        "WARN Running|ShuttingDown|exited|flaky|dependency|1|1|1500|1|30000|\"flaky\" ended unasked: no route",
        "INFO ShuttingDown|Monitoring|all_gone|-|-|1|1|0|1|30000|every component is gone",
        "INFO Monitoring|Restarting|recovered|-|-|2|1|30500|1|30000|the dependency has proved itself: it is up",
        "INFO Restarting|Running|all_up|-|-|2|1|0|1|-|every component is up",
        "WARN Running|ShuttingDown|trip|-|-|2|2|0|2|60000|an operator tripped it",
        "INFO ShuttingDown|Monitoring|all_gone|-|-|2|2|0|2|60000|every component is gone",
        "INFO Monitoring|Stopped|shutdown|-|-|2|2|0|2|-|a shutdown was asked for",
    ];
    assert_eq!(lines, expected);

    let outages = captured.at("overwatch::outage");
    let counts =
        |fields: &Fields| ["outage", "reports", "failed_starts"].map(|name| fields[name].clone());
    assert_eq!(counts(&outages[1].1), ["1", "0", "0"]);
    let words: Vec<_> = outages
        .iter()
        .map(|(_, fields)| &*fields["message"])
        .collect();
    assert_eq!(
        words,
        [
            "the service is up for the first time",
            "the outage is over",
            "the outage ended with the run",
        ]
    );
    let effects = captured.at("overwatch::effect");
    assert!(effects.iter().all(|(level, _)| *level == Level::DEBUG) && effects.len() > 20);
    let ignored = captured.at("overwatch::ignored");
    assert_eq!(
        (ignored[0].0, &*ignored[0].1["why"]),
        (Level::DEBUG, "not_handled")
    );
    let probe: Vec<_> = captured
        .at("overwatch::probe")
        .into_iter()
        .map(|(_, fields)| fields["alive"].clone())
        .collect();
    assert_eq!(
        probe,
        ["true"],
        "told when it changes, not at each observation"
    );
    for (_, target, fields) in captured.all() {
        if ["transition", "component", "report", "probe", "outage"]
            .iter()
            .any(|it| target == format!("overwatch::{it}"))
        {
            nothing_is_said_twice(&fields);
        }
    }
}

/// Neither the message nor a field repeats the text of a field.
fn nothing_is_said_twice(fields: &Fields) {
    for (name, value) in fields.iter().filter(|(_, value)| value.contains(' ')) {
        for (other, text) in fields {
            assert!(
                name == other || !text.contains(value),
                "{other}: {fields:?}"
            );
        }
    }
    for name in ["from", "to"].iter().filter_map(|name| fields.get(name)) {
        assert!(!fields["message"].contains(name), "{fields:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_line_says_what_runs_and_under_which_policy() {
    let (captured, _guard) = Captured::begin();
    let second = Duration::from_secs(1);
    let policy = policy()
        .window(5 * second)
        .start_deadline(3 * second)
        .stop_deadline(2 * second)
        .abort_deadline(second)
        .give_up_after(3)
        .failure_limit(overwatch::policy::FailureLimit::new(5, 60 * second))
        .fence(overwatch::Fence::new(20 * second, 3 * second))
        .build()
        .unwrap();
    let (_feed, probe) = overwatch::feed();
    let idle = |ctx: overwatch::Context| async move {
        ctx.stopping().await;
        Ok(())
    };
    let service = overwatch::Overwatch::builder(probe)
        .policy(policy)
        .task("lease", idle)
        .lease_owner("lease")
        .next_stage()
        .task("a", idle)
        .task("b", idle)
        .build()
        .unwrap();
    let handle = service.handle();
    let run = tokio::spawn(service.run());
    tokio::time::sleep(second).await;
    handle.shutdown();
    bounded(run).await.unwrap().unwrap();
    let (level, target, fields) = captured.all().remove(0);
    assert_eq!((level, &*target), (Level::INFO, "overwatch::run"));
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        fields.join(" "),
        format!(
            "abort_deadline_ms=1000 at_ms=0 backoff_ms=1000 components=3 failure_limit=5 within 60s fence_renewal_ms=3000 fence_slack_ms=12000 fence_ttl_ms=20000 give_up_after=3 \
             max_hold_off_ms=300000 message=the run begins observe_only=false silence_limit_ms=5000 stable_after_ms=60000 stages=1, 2 \
             start_deadline_ms=3000 stop_budget_ms=6000 stop_deadline_ms=2000 trip_threshold=1 unready_delay_ms=0 version={version} window_ms=5000"
        )
    );
}

#[tokio::test(start_paused = true)]
async fn reports_are_told_with_their_count_and_first_and_last_reason() {
    let captured = Captured::default();
    let _guard =
        tracing::subscriber::set_default(tracing_subscriber::registry().with(captured.clone()));
    let running = start(&[1], policy().build().unwrap(), |builder, notes| {
        builder.component("a", worker(notes, "a"))
    });
    running.until_ready(1).await;
    for number in 1..=9 {
        running
            .handle
            .reporter()
            .report(Failure::new(format!("number {number}")));
    }
    running.until_ready(2).await;
    running.shut_down().await;
    let reports = captured.at("overwatch::report");
    assert_eq!(reports.len(), 1);
    let field = |name| reports[0].1[name].as_str();
    assert_eq!(
        [
            field("count"),
            field("first"),
            field("last"),
            field("class")
        ],
        ["9", "number 1", "number 9", "component"]
    );
}

#[tokio::test(start_paused = true)]
async fn how_the_dependency_fails_is_told_with_its_class_whenever_that_changes() {
    let captured = Captured::default();
    let _guard =
        tracing::subscriber::set_default(tracing_subscriber::registry().with(captured.clone()));
    let observed = [
        Observation::alive("fine"),
        Observation::failing("refused").with_class("unreachable"),
        Observation::failing("refused again").with_class("unreachable"),
        Observation::failing("alarm raised by member 1").with_class("corrupt"),
        Observation::failing("no idea"),
        Observation::alive("fine again"),
    ];
    let (handle, run) = watch_in_turn(&observed);
    bounded(handle.wait_for(|status| status.epoch == 2 && status.ready))
        .await
        .unwrap();
    handle.shutdown();
    bounded(run).await.unwrap().unwrap();
    let told: Vec<_> = captured
        .at("overwatch::probe")
        .into_iter()
        .map(|(level, fields)| {
            let field = |name| fields.get(name).map_or("-", String::as_str);
            format!(
                "{level} {}|{}|{}|{}",
                field("alive"),
                field("class"),
                field("message"),
                field("what")
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "INFO true|-|the dependency is alive|fine",
            "WARN false|unreachable|the dependency is failing|refused",
            "WARN false|corrupt|the dependency is failing|alarm raised by member 1",
            "WARN false|-|the dependency is failing|no idea",
            "INFO true|-|the dependency is alive|fine again",
        ]
    );
}

/// A service whose dependency is observed like that, ten seconds each, and for ever like the last.
pub(super) fn watch_in_turn(
    observed: &[Observation],
) -> (Handle, JoinHandle<Result<(), RunError>>) {
    struct InTurn(Vec<Observation>, AtomicUsize);

    #[async_trait::async_trait]
    impl Probe for InTurn {
        async fn observe(&self) -> Observation {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let index = self.1.fetch_add(1, Ordering::Relaxed) / 10;
            self.0[index.min(self.0.len() - 1)].clone()
        }
    }

    let service = crate::shell::replay::builder(InTurn(observed.to_vec(), AtomicUsize::new(0)))
        .component("a", worker(&Notes::default(), "a"))
        .policy(policy().build().unwrap())
        .build()
        .unwrap();
    let handle = service.handle();
    (handle, tokio::spawn(service.run()))
}

#[tokio::test(start_paused = true)]
async fn each_component_runs_in_a_span_of_its_name_and_epoch() {
    let captured = Spans::default();
    let _guard =
        tracing::subscriber::set_default(tracing_subscriber::registry().with(captured.clone()));
    let running = start(&[1], policy().build().unwrap(), |builder, _| {
        builder.task("singer", |ctx| async move {
            tracing::info!("la");
            ctx.mark_ready();
            ctx.stopping().await;
            Ok(())
        })
    });
    running.until_ready(1).await;
    running.shut_down().await;
    assert_eq!(
        *captured.0.lock().unwrap(),
        ["component component=singer epoch=1"]
    );
}

#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        _: &tracing::span::Id,
        _: Context<'_, S>,
    ) {
        let mut fields = Fields::new();
        attributes.record(&mut Recorder(&mut fields));
        let name = attributes.metadata().name();
        self.0.lock().unwrap().push(format!(
            "{name} component={} epoch={}",
            fields["component"], fields["epoch"]
        ));
    }
}
