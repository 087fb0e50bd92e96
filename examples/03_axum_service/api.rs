//! The API: orders, read through a cache.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;

use crate::pool::Pool;

struct Orders {
    epoch: u64,
    pool: Arc<Pool>,
    cache: Mutex<BTreeMap<u64, String>>,
}

pub(crate) fn router(epoch: u64, pool: Arc<Pool>) -> Router {
    let cache = Mutex::default();
    let orders = Orders { epoch, pool, cache };
    Router::new()
        .route("/orders/{id}", get(order))
        .with_state(Arc::new(orders))
}

async fn order(State(orders): State<Arc<Orders>>, Path(id): Path<u64>) -> String {
    let epoch = orders.epoch;
    if let Some(order) = orders.cached().get(&id) {
        return format!("{order} from the cache, in epoch {epoch}\n");
    }
    // A request that fails is answered. That the database is in trouble is reported by the probe.
    if let Err(error) = orders.pool.query("select an order").await {
        return format!("{error}\n");
    }
    let order = format!("order {id}");
    orders.cached().insert(id, order.clone());
    format!("{order} from the database, in epoch {epoch}\n")
}

impl Orders {
    fn cached(&self) -> MutexGuard<'_, BTreeMap<u64, String>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
