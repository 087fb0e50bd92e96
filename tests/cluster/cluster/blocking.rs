//! A node one of whose jobs blocks its thread for good.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Cluster, LOOK_EVERY};
use crate::process::Process;

/// How long a job may take to see that it is to block. It looks twenty times a second.
const BLOCKED_WITHIN: Duration = Duration::from_secs(2);

impl Cluster {
    /// This node, or the next one that has a job.
    pub(crate) fn busy_from(&self, node: usize) -> usize {
        let count = self.nodes.len();
        let mut nodes = (node..node + count).map(|node| node % count);
        nodes.find(|&node| self.load(node) > 0).unwrap_or(node)
    }

    /// Has one job of a node block, and returns its shard.
    pub(crate) async fn block(&mut self, node: usize) -> Result<u32, String> {
        self.with(node, Process::block)?;
        let deadline = Instant::now() + BLOCKED_WITHIN;
        loop {
            self.look()?;
            if let Some(shard) = self.said(node)?.blocked {
                return Ok(shard);
            }
            if Instant::now() >= deadline {
                let id = self.id(node);
                return Err(format!(
                    "waited {BLOCKED_WITHIN:?} for a job of {id} to block"
                ));
            }
            sleep(LOOK_EVERY / 5).await;
        }
    }

    /// Waits until the process of such a node has ended by itself.
    pub(crate) async fn ended(&mut self, node: usize, within: Duration) -> Result<(), String> {
        let deadline = Instant::now() + within;
        loop {
            self.look()?;
            if self.nodes[node].process.is_none() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let id = self.id(node);
                return Err(format!(
                    "waited {within:?} for {id}, whose job blocks, to end its process"
                ));
            }
            // Until this is known the job counts as active.
            sleep(LOOK_EVERY / 10).await;
        }
    }
}
