//! The health endpoints, asked as an orchestrator asks them.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use overwatch::http::{Detail, router, router_with};
use overwatch::machine::{Effect, Phase};
use overwatch::test_util::FakeDependency;
use overwatch::{Observation, Status};
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::ServiceExt;

use super::support::{Notes, bounded, policy, start, worker};
use super::trace::watch_in_turn;

async fn get(app: &Router, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["cache-control"], "no-store");
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 16).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn check(app: &Router) -> (StatusCode, Value) {
    let answers = [ask(app, "/status/check").await, ask(app, "/readyz").await];
    assert_eq!(answers[0], answers[1]);
    let [answer, _] = answers;
    answer
}

async fn ask(app: &Router, path: &str) -> (StatusCode, Value) {
    let (code, body) = get(app, path).await;
    let mut body: Value = serde_json::from_str(&body).unwrap();
    let since = body["since"].take();
    let since = since.as_str().unwrap();
    assert!(since.len() == 24 && since.ends_with('Z'), "{since}");
    (code, body)
}

#[tokio::test(start_paused = true)]
async fn status_check_is_200_when_ready_and_503_otherwise_and_livez_stays() {
    let running = start(&[1], policy().build().unwrap(), |builder, notes| {
        builder.component("a", worker(notes, "a"))
    });
    let app: Router = Router::new().merge(router(running.handle.clone()));

    running.until_ready(1).await;
    let (code, body) = check(&app).await;
    assert_eq!(code, StatusCode::OK);
    let expected = json!({
        "ready": true, "phase": "Running", "since": null, "epoch": 1,
        "reason": "every component is up", "awaited": null, "outage": 0, "level": 0, "hold_off_ms": null,
        "dependency": {"alive": true, "class": null, "what": "it is up", "seen_ago_ms": 0},
    });
    assert_eq!(body, expected);

    running.dependency.fail("connection refused");
    running.until_phase(Phase::Monitoring).await;
    let (code, body) = check(&app).await;
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        body["reason"],
        "the dependency is failing: connection refused"
    );
    assert_eq!(
        (&body["phase"], &body["epoch"], &body["outage"]),
        (&json!("Monitoring"), &json!(1), &json!(1))
    );
    assert!(
        body["awaited"]
            .as_str()
            .unwrap()
            .starts_with("the dependency to be seen alive")
    );
    assert_eq!(
        get(&app, "/livez").await,
        (StatusCode::OK, "alive\n".into())
    );

    running.dependency.recover();
    running.until_ready(2).await;
    assert_eq!(check(&app).await.0, StatusCode::OK);
    running.shut_down().await;
    let (code, body) = check(&app).await;
    assert_eq!(
        (code, &body["phase"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("Stopped"))
    );
    assert_eq!(get(&app, "/livez").await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn the_bare_body_has_the_state_and_nothing_else() {
    let running = start(&[1], policy().build().unwrap(), |builder, notes| {
        builder.component("a", worker(notes, "a"))
    });
    let app: Router = router_with(running.handle.clone(), Detail::Bare);
    running.until_ready(1).await;
    let body = r#"{"ready":true,"phase":"Running"}"#;
    assert_eq!(get(&app, "/readyz").await, (StatusCode::OK, body.into()));
    running.dependency.fail("connection refused");
    running.until_phase(Phase::Monitoring).await;
    let body = r#"{"ready":false,"phase":"Monitoring"}"#;
    for path in ["/status/check", "/readyz"] {
        let answer = get(&app, path).await;
        assert_eq!(answer, (StatusCode::SERVICE_UNAVAILABLE, body.into()));
    }
    assert_eq!(get(&app, "/livez").await.0, StatusCode::OK);
    running.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn what_components_have_to_say_is_told_as_long_as_they_are_the_present_ones() {
    let running = start(&[1, 1], policy().build().unwrap(), |builder, notes| {
        let says = |ctx: overwatch::Context| async move {
            ctx.mark_ready();
            ctx.note(&format!("epoch {}", ctx.epoch()));
            ctx.stopping().await;
            Ok(())
        };
        builder
            .component("silent", worker(notes, "silent"))
            .next_stage()
            .task("says", says)
    });
    let app: Router = router(running.handle.clone());
    for epoch in [1, 2] {
        running.until_ready(epoch).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let told = json!({"says": format!("epoch {epoch}")});
        assert_eq!(check(&app).await.1["notes"], told);
        let components = running.handle.components();
        let notes: Vec<_> = components.iter().map(|it| it.note.as_deref()).collect();
        assert_eq!(notes, [None, Some(&*format!("epoch {epoch}"))]);
        running.dependency.fail("down");
        running.until_phase(Phase::Monitoring).await;
        running.dependency.recover();
    }
    running.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn status_check_tells_the_class_of_a_failing_dependency() {
    let observed = [
        Observation::alive("fine"),
        Observation::failing("alarm raised by member 1").with_class("corrupt"),
        Observation::alive("fine again"),
    ];
    let (handle, run) = watch_in_turn(&observed);
    let app: Router = router(handle.clone());
    for (epoch, phase, dependency) in [
        (
            1,
            Phase::Running,
            json!({"alive": true, "class": null, "what": "fine"}),
        ),
        (
            1,
            Phase::Monitoring,
            json!({"alive": false, "class": "corrupt", "what": "alarm raised by member 1"}),
        ),
        (
            2,
            Phase::Running,
            json!({"alive": true, "class": null, "what": "fine again"}),
        ),
    ] {
        bounded(handle.wait_for(|status| (status.epoch, status.phase) == (epoch, phase)))
            .await
            .unwrap();
        let mut seen = check(&app).await.1["dependency"].take();
        // It is seen once a second.
        let seen_ago = seen.as_object_mut().unwrap().remove("seen_ago_ms");
        assert!(seen_ago.unwrap().as_u64().unwrap() <= 1_000);
        assert_eq!(seen, dependency);
    }
    handle.shutdown();
    bounded(run).await.unwrap().unwrap();
}

/// An answer is told again only while nothing new is published, and not for long.
#[tokio::test(start_paused = true)]
async fn status_check_tells_what_is_so_now() {
    let running = start(&[1], policy().build().unwrap(), |builder, notes| {
        builder.component("a", worker(notes, "a"))
    });
    let app: Router = router(running.handle.clone());
    running.until_ready(1).await;
    assert_eq!(check(&app).await.0, StatusCode::OK);
    running.handle.trip().unwrap();
    running.until(|status| !status.ready).await;
    assert_eq!(check(&app).await.0, StatusCode::SERVICE_UNAVAILABLE);

    let began = Instant::now();
    for reason in ["connection refused", "no route"] {
        running.dependency.fail(reason);
        let seen = |status: &Status| status.dependency.as_ref().map(|sight| sight.what.clone());
        running
            .until(|status| seen(status).as_deref() == Some(reason))
            .await;
        assert_eq!(check(&app).await.1["dependency"]["what"], reason);
    }
    assert!(began.elapsed() < Duration::from_millis(100));

    running.dependency.recover();
    running
        .until(|status| {
            status
                .dependency
                .as_ref()
                .is_some_and(|sight| sight.alive == Some(true))
        })
        .await;
    let awaited = check(&app).await.1["awaited"].take();
    let counts_down = "the dependency to stay alive for at least another ";
    assert!(awaited.as_str().unwrap().starts_with(counts_down));
    tokio::time::sleep(Duration::from_millis(150)).await;
    let later = check(&app).await.1["awaited"].take();
    assert!(later.as_str().unwrap().starts_with(counts_down));
    assert_ne!(awaited, later);
    running.shut_down().await;
}

/// Readiness is off before anything else: also here, where all else is still to be told.
#[tokio::test(start_paused = true)]
async fn status_check_is_503_amid_the_step_that_trips() {
    let app: Arc<OnceLock<Router>> = Arc::default();
    let amid = Arc::new(Mutex::new(None));
    let service = crate::shell::replay::builder(FakeDependency::new().probe())
        .component("a", worker(&Notes::default(), "a"))
        .on_step({
            let (app, amid) = (Arc::clone(&app), Arc::clone(&amid));
            move |step| {
                if step.effects.first() == Some(&Effect::Ready(false)) {
                    let answer = get(app.get().unwrap(), "/status/check");
                    let answer = pin!(answer).poll(&mut Context::from_waker(Waker::noop()));
                    *amid.lock().unwrap() = Some(answer);
                }
            }
        })
        .build()
        .unwrap();
    let handle = service.handle();
    let app = app.get_or_init(|| router(handle.clone()));
    let run = tokio::spawn(service.run());
    bounded(handle.wait_until_ready()).await.unwrap();
    assert_eq!(check(app).await.0, StatusCode::OK);
    handle.trip().unwrap();
    bounded(handle.wait_for(|status| !status.ready))
        .await
        .unwrap();
    let Some(Poll::Ready((code, _))) = amid.lock().unwrap().take() else {
        panic!("it is not answered at once");
    };
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
    handle.shutdown();
    bounded(run).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn before_the_run_nothing_is_ready_or_alive() {
    let (_, probe) = overwatch::feed();
    let service = crate::shell::replay::builder(probe)
        .task("a", |_| async { Ok(()) })
        .build()
        .unwrap();
    let app: Router = router(service.handle());
    let (code, body) = check(&app).await;
    assert_eq!(
        (code, &body["reason"]),
        (
            StatusCode::SERVICE_UNAVAILABLE,
            &json!("the run has not begun")
        )
    );
    assert_eq!(get(&app, "/livez").await.0, StatusCode::SERVICE_UNAVAILABLE);
}
