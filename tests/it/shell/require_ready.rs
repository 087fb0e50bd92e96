//! Routes behind the layer that refuses while the service is not ready.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use axum::routing::get;
use overwatch::http::{require_ready, router};
use overwatch::machine::Phase;
use tower::ServiceExt;

use super::support::{policy, start, tuning, worker};

async fn ask(app: &Router, method: Method, path: &str) -> (StatusCode, Option<String>, String) {
    let request = Request::builder().method(method).uri(path);
    let request = request.body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    let (code, again) = (response.status(), header("retry-after"));
    if again.is_some() {
        assert_eq!(header("cache-control").as_deref(), Some("no-store"));
    }
    let body = to_bytes(response.into_body(), 1 << 16).await.unwrap();
    (code, again, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn routes_refuse_at_once_while_the_service_is_not_ready() {
    let running = start(&[1], policy().build().unwrap(), |builder, notes| {
        builder.component("a", worker(notes, "a"))
    });
    let handle = running.handle.clone();
    let app: Router = Router::new()
        .route(
            "/orders",
            get(|| async { "all orders" }).post(|| async { "ordered" }),
        )
        .layer(require_ready(handle.clone()))
        .merge(router(handle.clone()));
    let answered = |body: &str| (StatusCode::OK, None, body.to_owned());
    let refused = || {
        let body = "the service is not ready\n".to_owned();
        (StatusCode::SERVICE_UNAVAILABLE, Some("5".to_owned()), body)
    };

    assert_eq!(
        ask(&app, Method::GET, "/orders").await,
        refused(),
        "before the start"
    );
    running.until_ready(1).await;
    assert_eq!(
        ask(&app, Method::GET, "/orders").await,
        answered("all orders")
    );
    assert_eq!(
        ask(&app, Method::POST, "/orders").await,
        answered("ordered")
    );

    running.dependency.fail("connection refused");
    running.until_phase(Phase::Monitoring).await;
    assert_eq!(ask(&app, Method::GET, "/orders").await, refused());
    assert_eq!(ask(&app, Method::POST, "/orders").await, refused());
    // What was merged after the layer is not behind it.
    assert_eq!(ask(&app, Method::GET, "/livez").await, answered("alive\n"));
    let (code, again, body) = ask(&app, Method::GET, "/readyz").await;
    assert_eq!((code, again), (StatusCode::SERVICE_UNAVAILABLE, None));
    assert!(body.contains("connection refused"), "{body}");

    running.dependency.recover();
    running.until_ready(2).await;
    assert_eq!(
        ask(&app, Method::GET, "/orders").await,
        answered("all orders")
    );
    running.shut_down().await;
    assert_eq!(
        ask(&app, Method::GET, "/orders").await,
        refused(),
        "after the end"
    );
}

/// The layer is also one for a single route, and for a router with a state.
#[tokio::test(start_paused = true)]
async fn the_layer_fits_where_axum_takes_layers() {
    let running = start(&[1], policy().build().unwrap(), |builder, notes| {
        builder.component("a", worker(notes, "a"))
    });
    let layer = require_ready(running.handle.clone());
    let open =
        get(|axum::extract::State(text): axum::extract::State<&'static str>| async move { text });
    let app: Router = Router::new()
        .route("/open", open.clone())
        .route("/closed", open.layer(layer.clone()))
        .nest(
            "/inner",
            Router::new()
                .route("/closed", get(|| async {}))
                .route_layer(layer),
        )
        .with_state("answered");
    let code = async |path| ask(&app, Method::GET, path).await.0;
    assert_eq!(code("/open").await, StatusCode::OK);
    assert_eq!(code("/closed").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(code("/inner/closed").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(code("/inner/unknown").await, StatusCode::NOT_FOUND);
    running.until_ready(1).await;
    assert_eq!(code("/closed").await, StatusCode::OK);
    assert_eq!(code("/inner/closed").await, StatusCode::OK);
    running.shut_down().await;
}

/// Load balancers send requests until they have seen that the service is not ready.
#[tokio::test(start_paused = true)]
async fn requests_are_served_during_the_unready_delay_and_not_after_it() {
    let delay = Duration::from_secs(3);
    let policy = policy().tuning(tuning().with_unready_delay(delay));
    let running = start(&[1], policy.build().unwrap(), |builder, _| {
        builder.task("slow", |ctx: overwatch::Context| async move {
            ctx.mark_ready();
            ctx.stopping().await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            Ok(())
        })
    });
    let handle = running.handle.clone();
    let app: Router = Router::new()
        .route("/orders", get(|| async {}))
        .layer(require_ready(handle.clone()));
    let code = async || ask(&app, Method::GET, "/orders").await.0;
    running.until_ready(1).await;
    assert!(handle.is_serving());
    // A drain that nothing is left of, and then a shutdown.
    for is_last in [false, true] {
        let drained = match is_last {
            true => Phase::Stopped,
            false => Phase::Drained,
        };
        match is_last {
            true => handle.shutdown(),
            false => drop(handle.drain().unwrap()),
        }
        let status = running.until(|status| !status.ready).await;
        assert!(handle.is_serving() && !handle.is_ready());
        // What ends the run has no start after it.
        assert_eq!(status.hold_off.is_none(), is_last);
        assert_eq!(code().await, StatusCode::OK);
        tokio::time::sleep(delay - Duration::from_millis(10)).await;
        assert_eq!(code().await, StatusCode::OK);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(code().await, StatusCode::SERVICE_UNAVAILABLE);
        assert!(!handle.is_serving());
        if is_last {
            break;
        }
        running.until_phase(drained).await;
        assert_eq!(code().await, StatusCode::SERVICE_UNAVAILABLE);
        handle.resume().unwrap();
        running.until_ready(2).await;
        // A trip has no delay.
        handle.trip().unwrap();
        running.until(|status| !status.ready).await;
        assert!(!handle.is_serving());
        running.until_ready(3).await;
    }
    running.end().await.0.expect("an ordered stop");
    assert!(!handle.is_serving());
}
