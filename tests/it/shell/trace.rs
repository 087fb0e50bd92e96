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

type Fields = BTreeMap<&'static str, String>;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<(Level, String, Fields)>>>);

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
    fn at(&self, target: &str) -> Vec<(Level, Fields)> {
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
                "reason",
            ];
            format!("{level} {}", columns.map(field).join("|"))
        })
        .collect();
    let expected = [
        "INFO Monitoring|Restarting|recovered|-|-|1|0|0|the dependency has proved itself: it is up",
        "INFO Restarting|Running|all_up|-|-|1|0|0|every component is up",
        "WARN Running|ShuttingDown|exited|flaky|dependency|1|1|1500|\"flaky\" ended unasked: no route",
        "INFO ShuttingDown|Monitoring|all_gone|-|-|1|1|0|every component is gone",
        "INFO Monitoring|Restarting|recovered|-|-|2|1|30500|the dependency has proved itself: it is up",
        "INFO Restarting|Running|all_up|-|-|2|1|0|every component is up",
        "WARN Running|ShuttingDown|trip|-|-|2|2|0|an operator tripped it",
        "INFO ShuttingDown|Monitoring|all_gone|-|-|2|2|0|every component is gone",
        "INFO Monitoring|Stopped|shutdown|-|-|2|2|0|a shutdown was asked for",
    ];
    assert_eq!(lines, expected);

    let outages = captured.at("overwatch::outage");
    let counts =
        |fields: &Fields| ["outage", "reports", "failed_starts"].map(|name| fields[name].clone());
    assert_eq!(counts(&outages[1].1), ["1", "0", "0"]);
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
                "{level} {}|{}|{}",
                field("alive"),
                field("class"),
                field("message")
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "INFO true|-|the dependency is alive: fine",
            "WARN false|unreachable|the dependency is failing: refused",
            "WARN false|corrupt|the dependency is failing: alarm raised by member 1",
            "WARN false|-|the dependency is failing: no idea",
            "INFO true|-|the dependency is alive: fine again",
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
        ["component name=singer epoch=1"]
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
            "{name} name={} epoch={}",
            fields["name"], fields["epoch"]
        ));
    }
}
