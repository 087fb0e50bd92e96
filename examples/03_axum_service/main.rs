#![forbid(unsafe_code)]
//! Lesson 3: an axum API that cannot live without a database.
//!
//! `cargo run --example 03_axum_service`, and in other terminals:
//!
//! ```text
//! nc -lk 5432                         # the database: stop it, start it again
//! while sleep 1; do curl -s -o /dev/null -w '%{http_code} ' localhost:8081/status/check; done
//! curl localhost:8080/orders/7        # twice, then once more after an outage
//! ```
//!
//! - What outlives epochs is made in `main` and captured: here the connection pool.
//! - What must begin anew is local to a component: here the leadership of the scheduler and the cache of
//!   the API. After an outage they could be wrong.
//! - `ctx.stopping()` is the future that axum's graceful shutdown takes.
//! - `?` takes any error; `.dependency()` says that the dependency is to blame for it.
//! - Health is served *beside* the run. A component would be stopped in an outage, which is when it is
//!   asked. It has a thread of its own, and answers also while all others are blocked.

mod api;
mod pool;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use overwatch::{BuildError, Classify, Context, Failure, Overwatch, Policy, Probe, http, polled};
use tokio::net::{TcpListener, TcpStream};

use pool::Pool;

const DATABASE: &str = "127.0.0.1:5432";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let interval = Duration::from_secs(1);
    // A probe that asks more than whether somebody listens is better: `SELECT 1`, or lesson 2.
    let database = polled(interval, 2 * interval, || async {
        TcpStream::connect(DATABASE).await?;
        Ok(())
    });
    let pool = Arc::new(Pool::default());
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
            // Made anew in each epoch, and so is the cache in it.
            axum::serve(listener, api::router(ctx.epoch(), pool))
                .with_graceful_shutdown(ctx.stopping())
                .await?;
            Ok(())
        })
        .build()
}

async fn scheduler(ctx: Context, pool: Arc<Pool>) -> Result<(), Failure> {
    // Made anew in each epoch: after an outage somebody else may lead.
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
