//! The endpoints as an axum router, and the body of a health answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use tokio::time::Instant;

use super::live::Live;
use crate::machine::Phase;
use crate::shell::publish::Status;
use crate::shell::service::{Handle, Summaries};
use crate::shell::sync::lock;

/// A health answer is valid only now, so it must not be cached.
const NO_STORE: (HeaderName, &str) = (header::CACHE_CONTROL, "no-store");

/// How long the texts of an answer are reused while nothing new is published.
///
/// Countdowns in them have a resolution of a tenth of a second, and to list awaited components all components are read.
const A_MOMENT: Duration = Duration::from_millis(100);

/// The most notes in an answer: an answer is made up to ten times a second.
const MOST_NOTES: usize = 100;

/// How much `/status/check` and `/readyz` say. [`router_with`] and [`serve_with`](super::serve_with) take it.
///
/// The code is the same with each: 200 or 503.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Detail {
    /// All of [`HealthBody`]. Texts of errors are in it, with secrets hidden, and names of hosts.
    #[default]
    Full,
    /// Only `ready` and `phase`: `{"ready":false,"phase":"Monitoring"}`. For endpoints that everybody can ask.
    Bare,
}

/// The body of `/status/check` and `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HealthBody {
    /// Whether the service is ready.
    pub ready: bool,
    /// The name of the state: `Running`, `ShuttingDown`, `Monitoring`, `Restarting`, `Drained`, `Stopped` or `Halted`.
    pub phase: &'static str,
    /// When this state was entered: RFC 3339, UTC, with milliseconds.
    pub since: String,
    /// The number of the current epoch, or of the last one; 0 before the first start.
    pub epoch: u64,
    /// Why the service is not ready now, in words, and with what the outage began. If it is ready: the cause of the state.
    pub reason: String,
    /// What must happen before the service is ready again; `null` while it is ready.
    pub awaited: Option<String>,
    /// The number of the current outage, or of the last one. Boot is outage 0.
    pub outage: u64,
    /// How often the service relapsed lately; the hold-off grows with this level.
    pub level: u32,
    /// How long the dependency must stay alive before the next start, in milliseconds. `null` if no start follows. See
    /// [`Status::hold_off`](crate::Status::hold_off).
    pub hold_off_ms: Option<u64>,
    /// The last observation of the dependency; `null` before the first one.
    pub dependency: Option<DependencyBody>,
    /// In observe-only: the state in which the service would be. Otherwise omitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would_be: Option<&'static str>,
    /// The [notes](crate::Context::note) of at most 100 components, by their names. Omitted if there are none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<String, String>,
    /// How many more components have a note. Omitted if all are listed.
    #[serde(skip_serializing_if = "is_none_left")]
    pub more_notes: usize,
}

fn is_none_left(count: &usize) -> bool {
    *count == 0
}

/// The last observation of the dependency, in a [`HealthBody`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DependencyBody {
    /// Whether the dependency is alive; `null` if it was, and was not seen since the supervisor last began to observe it. See
    /// [`DependencyStatus::alive`](crate::DependencyStatus::alive).
    pub alive: Option<bool>,
    /// The class of the failure, if it fails and the probe returned one.
    pub class: Option<&'static str>,
    /// The evidence, or the reason of the failure and what to do.
    pub what: String,
    /// How long ago this was observed, in milliseconds.
    pub seen_ago_ms: u64,
}

/// The body with [`Detail::Bare`].
#[derive(Serialize)]
struct BareBody {
    ready: bool,
    phase: &'static str,
}

/// A router with `/status/check`, `/readyz` and `/livez`, to merge into a router with any state.
///
/// Serve it beside the run, not in one of its components: components are stopped during an outage, which is when the
/// endpoints are needed. [`serve`](super::serve) does this from a separate thread.
///
/// ```no_run
/// # async fn example(service: overwatch::Overwatch) -> Result<(), Box<dyn std::error::Error>> {
/// let app = axum::Router::new()
///     .route("/", axum::routing::get(|| async { "hello" }))
///     .merge(overwatch::http::router(service.handle()));
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
/// let server = tokio::spawn(async move { axum::serve(listener, app).await });
/// service.run_until_signal().await?;
/// server.abort();
/// # Ok(())
/// # }
/// ```
pub fn router<S: Clone + Send + Sync + 'static>(handle: Handle) -> Router<S> {
    router_with(handle, Detail::Full)
}

/// As [`router`], with a choice of how much `/status/check` and `/readyz` say.
///
/// ```
/// use overwatch::http::{Detail, router_with};
///
/// /// For a port that everybody can reach.
/// fn public(run: overwatch::Handle) -> axum::Router {
///     router_with(run, Detail::Bare)
/// }
/// ```
pub fn router_with<S: Clone + Send + Sync + 'static>(handle: Handle, detail: Detail) -> Router<S> {
    Router::new()
        .route("/status/check", get(ready))
        .route("/readyz", get(ready))
        .route("/livez", get(live))
        .with_state(Arc::new(Health::new(handle, detail)))
}

/// The current answer of `/status/check`, for your own handlers.
///
/// ```
/// use axum::http::StatusCode;
/// use overwatch::Handle;
///
/// async fn health(run: Handle) -> (StatusCode, String) {
///     let (code, body) = overwatch::http::health(&run);
///     (code, serde_json::to_string(&body).unwrap_or_default())
/// }
/// ```
pub fn health(handle: &Handle) -> (StatusCode, HealthBody) {
    let status = handle.status();
    let (notes, more_notes) = handle.notes(MOST_NOTES);
    let body = HealthBody {
        ready: status.ready,
        phase: status.phase.as_str(),
        since: humantime::format_rfc3339_millis(since(&status)).to_string(),
        epoch: status.epoch,
        reason: status.reason.to_string(),
        awaited: status.awaited,
        outage: status.outage,
        level: status.level,
        hold_off_ms: status.hold_off.map(millis),
        dependency: status.dependency.map(|sight| DependencyBody {
            alive: sight.alive,
            class: sight.class,
            what: sight.what.to_string(),
            seen_ago_ms: millis(sight.seen_ago),
        }),
        would_be: status.would_be.map(Phase::as_str),
        notes,
        more_notes,
    };
    (code(body.ready), body)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// When the current state was entered, by the clock of the system.
fn since(status: &Status) -> SystemTime {
    let since = SystemTime::now().checked_sub(status.time_in_phase);
    // A clock that was never set may be closer to its epoch than that.
    since.map_or(SystemTime::UNIX_EPOCH, |since| {
        since.max(SystemTime::UNIX_EPOCH)
    })
}

/// The state that the endpoints share.
struct Health {
    handle: Handle,
    detail: Detail,
    said: Mutex<CachedAnswer>,
    live: Live,
}

/// The last answer. It is reused for a moment, unless something new is published.
struct CachedAnswer {
    news: Summaries,
    /// The readiness that the answer was made with.
    flag: bool,
    code: StatusCode,
    body: Bytes,
    /// `None` before the first answer.
    until: Option<Instant>,
}

impl Health {
    fn new(handle: Handle, detail: Detail) -> Self {
        let said = CachedAnswer {
            news: handle.news(),
            flag: false,
            code: StatusCode::SERVICE_UNAVAILABLE,
            body: Bytes::new(),
            until: None,
        };
        Self {
            handle,
            detail,
            said: Mutex::new(said),
            live: Live::default(),
        }
    }

    /// The answer for now. Its readiness is always current.
    fn says(&self) -> (StatusCode, Bytes) {
        let mut said = lock(&self.said);
        let flag = self.handle.is_ready();
        let good = said.until.is_some_and(|until| Instant::now() < until);
        if said.news.any() || said.flag != flag || !good {
            let (code, body) = health(&self.handle);
            (said.flag, said.code) = (flag, code);
            // Strings and numbers can always be serialized.
            let body = match self.detail {
                Detail::Full => serde_json::to_vec(&body),
                Detail::Bare => serde_json::to_vec(&BareBody {
                    ready: body.ready,
                    phase: body.phase,
                }),
            };
            said.body = body.unwrap_or_default().into();
            said.until = Some(Instant::now() + A_MOMENT);
        }
        (said.code, said.body.clone())
    }
}

async fn ready(State(health): State<Arc<Health>>) -> Response {
    let (code, body) = health.says();
    let json = (header::CONTENT_TYPE, "application/json");
    (code, [json, NO_STORE], body).into_response()
}

async fn live(State(health): State<Arc<Health>>) -> Response {
    let alive = health.live.check(&health.handle).await;
    let says = alive.err().unwrap_or("alive\n");
    (code(alive.is_ok()), [NO_STORE], says).into_response()
}

fn code(good: bool) -> StatusCode {
    if good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}
