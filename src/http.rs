//! Health endpoints: served from a separate thread, or as an axum router to merge into yours.
//! Feature `http`; [`serve`] needs the feature `http-server`.
//!
//! | path | answer |
//! | --- | --- |
//! | `/status/check`, `/readyz` | 200 when the service is ready, otherwise 503 |
//! | `/livez` | 200 while the supervisor itself answers and the service's runtime is not frozen, also during an outage; otherwise 503 |
//!
//! Let an orchestrator restart the process only because of `/livez`: a restart does not end an outage of the
//! dependency, and a whole fleet that restarts at once makes the outage worse.
//!
//! # `serve` or `router`
//!
//! [`serve`] answers from a separate thread and runtime, so it still answers while every thread
//! of the service's runtime is blocked. It limits connections, requests and time.
//!
//! ```no_run
//! # #[cfg(feature = "http-server")]
//! # async fn example(service: overwatch::Overwatch) -> Result<(), Box<dyn std::error::Error>> {
//! let _health = overwatch::http::serve(([0, 0, 0, 0], 8081), service.handle())?;
//! service.run_until_signal().await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`router`] is for a server that you already have. It answers on the runtime of that server: if all threads of that
//! runtime are blocked, it does not answer. Serve it beside the run, not in one of its components: components are
//! stopped during an outage, which is when the endpoints are needed.
//!
//! ```no_run
//! # async fn example(service: overwatch::Overwatch, app: axum::Router) -> Result<(), Box<dyn std::error::Error>> {
//! let app = app.merge(overwatch::http::router(service.handle()));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! let health = tokio::spawn(async move { axum::serve(listener, app).await });
//! service.run_until_signal().await?;
//! health.abort();
//! # Ok(())
//! # }
//! ```
//!
//! # Your own routes
//!
//! [`require_ready`] is a layer for them: while the service is not ready, except during the unready delay, they
//! answer 503 at once.
//!
//! # The body of `/status/check` and `/readyz`
//!
//! The body is a [`HealthBody`] as JSON. While nothing new is published, its texts may be a tenth of a second old. Its
//! readiness is always current.
//!
//! ```json
//! {
//!   "ready": false,
//!   "phase": "Monitoring",
//!   "since": "2026-11-30T14:45:22.955Z",
//!   "epoch": 1,
//!   "reason": "the dependency is failing: Connection refused (os error 111)",
//!   "awaited": "the dependency to be seen alive, and then to stay alive for about 30.0s; it is failing: Connection refused (os error 111)",
//!   "outage": 1,
//!   "level": 1,
//!   "hold_off_ms": 30000,
//!   "dependency": {
//!     "alive": false,
//!     "class": null,
//!     "what": "Connection refused (os error 111)",
//!     "seen_ago_ms": 700
//!   }
//! }
//! ```
//!
//! # What a flood of requests costs the supervisor
//!
//! | request | cost for the supervisor |
//! | --- | --- |
//! | `/status/check`, `/readyz` | a read lock of the published status, for the time of a copy that allocates nothing. The texts are made after that, without a lock that the supervisor takes, and at most ten times a second while nothing new is published |
//! | `/livez` | one ping at a time, and none for 100 ms after an answer |
//!
//! At most 64 requests for `/livez` wait at a time, each for 2 s at most. Further requests are answered at
//! once: with 200 if the supervisor has answered within the last 2 s, otherwise with 503.

// Without the server there is less to link to.
#![cfg_attr(not(feature = "http-server"), allow(rustdoc::broken_intra_doc_links))]

mod live;
mod require_ready;
mod router;
#[cfg(feature = "http-server")]
mod server;
#[cfg(test)]
mod tests;

pub use require_ready::{RequireReady, require_ready};
pub use router::{DependencyBody, Detail, HealthBody, health, router, router_with};
#[cfg(feature = "http-server")]
pub use server::{Server, serve, serve_with};
