//! A layer that refuses requests while the service is not ready.

use std::future::Future;
use std::pin::Pin;

use axum::extract::{Request, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::middleware::{FromFnLayer, Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use crate::shell::service::Handle;

/// Long enough that clients do not flood a service that comes back, and short beside the window of 30 s.
const RETRY_AFTER: (HeaderName, &str) = (header::RETRY_AFTER, "5");
/// The refusal is valid only now.
const NO_STORE: (HeaderName, &str) = (header::CACHE_CONTROL, "no-store");

/// The layer that [`require_ready`] makes.
pub type RequireReady = FromFnLayer<RefuseFn, Handle, (State<Handle>, Request)>;

type RefuseFn = fn(State<Handle>, Request, Next) -> Answer;

type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A layer that answers 503 while the service is not ready, except during the unready delay, so that your routes refuse at
/// once.
///
/// The answer has a short text as its body, and `Retry-After: 5`. The text does not say what is wrong, because your clients
/// read it; `/status/check` does. While the service is ready, a request costs one atomic load and some allocations more.
///
/// This is for routes that are served beside the run, and so are reachable during an outage as well. Add the layer before
/// you [merge](super::router) the health endpoints, which must answer during an outage.
///
/// During the [unready delay](crate::Tuning::with_unready_delay) of a requested stop it lets requests pass: the components
/// still work, and load balancers may send requests until they see that the service is not ready.
///
/// The layer looks once, when a request arrives. A handler that is at work when the service trips runs to its end, so work
/// that must not go on after a trip belongs in a component.
///
/// ```no_run
/// use axum::{Router, routing::get};
/// use overwatch::{Overwatch, http};
///
/// async fn serve(service: Overwatch) -> Result<(), Box<dyn std::error::Error>> {
///     let app = Router::new()
///         .route("/orders", get(|| async { "all orders" }))
///         .layer(http::require_ready(service.handle()))
///         .merge(http::router(service.handle()));
///     let listener = tokio::net::TcpListener::bind("0.0.0.0:8080").await?;
///     let api = tokio::spawn(async move { axum::serve(listener, app).await });
///     service.run_until_signal().await?;
///     api.abort();
///     Ok(())
/// }
/// ```
pub fn require_ready(handle: Handle) -> RequireReady {
    let refuse: RefuseFn = |State(handle), request, next| Box::pin(answer(handle, request, next));
    from_fn_with_state(handle, refuse)
}

async fn answer(handle: Handle, request: Request, next: Next) -> Response {
    if handle.is_serving() {
        return next.run(request).await;
    }
    let code = StatusCode::SERVICE_UNAVAILABLE;
    (code, [RETRY_AFTER, NO_STORE], "the service is not ready\n").into_response()
}
