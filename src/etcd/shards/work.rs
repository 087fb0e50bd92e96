//! A work: its name, its list of shards and its function.

use std::sync::Arc;

use super::job::{JobFuture, Shard};
use super::list::List;
use crate::shell::failure::Failure;

/// The name, the list of shards and the function of a work.
pub(crate) struct Work {
    pub(crate) name: String,
    pub(crate) list: Arc<List>,
    job: Box<Job>,
}

/// Begins one incarnation of one shard.
type Job = dyn Fn(Shard) -> JobFuture + Send + Sync;

impl Work {
    pub(crate) fn new<F, Fut>(name: String, list: List, job: F) -> Self
    where
        F: FnOnce(Shard) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let job = move |shard| -> JobFuture { Box::pin((job.clone())(shard)) };
        Self {
            name,
            list: Arc::new(list),
            job: Box::new(job),
        }
    }

    pub(crate) fn begin(&self, shard: Shard) -> JobFuture {
        (self.job)(shard)
    }
}
