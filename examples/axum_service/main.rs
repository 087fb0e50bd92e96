#![forbid(unsafe_code)]
//! An axum API and a background scheduler that cannot live without a database.
//! `cargo run --example axum_service`, and in other terminals:
//!
//! ```text
//! while sleep 1; do curl -s -o /dev/null -w '%{http_code} ' localhost:8081/status/check; done
//! curl localhost:8080/orders/7        # again, then after an outage
//! nc -lk 5432                         # the database: stop it, start it again
//! ```
//!
//! What to learn from it:
//!
//! - What outlives epochs is made in `main` and captured: the connection pool.
//! - What must begin afresh is a local of a component: the scheduler's leadership, the API's cache.
//! - `ctx.stopping()` is what axum's graceful shutdown wants.
//! - `?` works on any error; `.dependency()` says that it was the database's fault.
//! - Health is served *beside* the run. As a component it would be stopped in an outage, which is
//!   just when it is asked. It has a thread of its own: it answers while all others are blocked.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use overwatch::{BuildError, Classify, Context, Failure, Overwatch, Policy, Probe, http, polled};
use tokio::net::{TcpListener, TcpStream};

const DATABASE: &str = "127.0.0.1:5432";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let pool = Arc::new(Pool::default());
    let every = Duration::from_secs(1);
    let database = polled(every, 2 * every, || async {
        TcpStream::connect(DATABASE).await?;
        Ok(())
    });
    let service = service(database, Policy::default(), "127.0.0.1:8080".parse()?, pool)?;

    let _health = http::serve(([127, 0, 0, 1], 8081), service.handle())?;
    println!("the API is at port 8080, /status/check at port 8081, the database at {DATABASE}");
    service.run_until_signal().await?;
    Ok(())
}

fn service(
    database: impl Probe,
    policy: Policy,
    address: SocketAddr,
    pool: Arc<Pool>,
) -> Result<Overwatch, BuildError> {
    let jobs = Arc::clone(&pool);
    Overwatch::builder(database)
        .policy(policy)
        .task("scheduler", |ctx| scheduler(ctx, jobs))
        // The API is started when the scheduler is up, and stopped before it.
        .next_stage()
        .task("api", move |ctx| async move {
            let listener = TcpListener::bind(address).await?;
            ctx.mark_ready();
            axum::serve(listener, api(ctx.epoch(), pool))
                .with_graceful_shutdown(ctx.stopping())
                .await?;
            Ok(())
        })
        .build()
}

/// Runs jobs while it is the leader.
async fn scheduler(ctx: Context, pool: Arc<Pool>) -> Result<(), Failure> {
    // Per epoch: nobody may believe to be the leader still, after an outage.
    let mut is_leader = false;
    ctx.mark_ready();
    while ctx.sleep(Duration::from_millis(200)).await {
        if !is_leader {
            pool.query("acquire leadership").await.dependency()?;
            is_leader = true;
        }
        pool.query("run the next job").await.dependency()?;
    }
    Ok(())
}

fn api(epoch: u64, pool: Arc<Pool>) -> Router {
    let orders = Orders {
        epoch,
        pool,
        cache: Mutex::default(),
    };
    Router::new()
        .route("/orders/{id}", get(order))
        .with_state(Arc::new(orders))
}

struct Orders {
    epoch: u64,
    pool: Arc<Pool>,
    /// Per epoch: what was cached before an outage may have changed meanwhile.
    cache: Mutex<BTreeMap<u64, String>>,
}

async fn order(State(orders): State<Arc<Orders>>, Path(id): Path<u64>) -> String {
    let cached = orders.cached().get(&id).cloned();
    let (order, from) = match cached {
        Some(order) => (order, "cache"),
        None => (orders.load(id).await, "database"),
    };
    let epoch = orders.epoch;
    format!("{order} from the {from}, in epoch {epoch}\n")
}

impl Orders {
    async fn load(&self, id: u64) -> String {
        let order = match self.pool.query("select an order").await {
            Ok(()) => format!("order {id}"),
            // The caller must know; that the database is in trouble is the probe's to tell.
            Err(error) => return error.to_string(),
        };
        self.cached().insert(id, order.clone());
        order
    }

    fn cached(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, String>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stands for the pool of your database driver: it reconnects by itself, so it can outlive epochs.
#[derive(Debug, Default)]
struct Pool {
    queries: AtomicU64,
}

impl Pool {
    async fn query(&self, _sql: &str) -> std::io::Result<()> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
