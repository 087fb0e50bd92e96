//! Whether everything is as it should be.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Cluster, LOOK_EVERY, Node};
use crate::process::Said;
use crate::record::now;

/// How long everything must stay in balance to count as balanced.
const STEADY_FOR: Duration = Duration::from_secs(1);

impl Cluster {
    /// Waits until everything is as it should be and stays so, and returns when that began.
    pub(crate) async fn balanced(&mut self, within: Duration) -> Result<u64, String> {
        let deadline = Instant::now() + within;
        let mut since = None;
        loop {
            self.look()?;
            let at = now();
            match self.is_balanced().await {
                Ok(()) => {
                    let since = *since.get_or_insert(at);
                    if Duration::from_nanos(at - since) >= STEADY_FOR {
                        return Ok(since);
                    }
                }
                Err(why) if Instant::now() >= deadline => {
                    return Err(format!(
                        "waited {within:?} for everything to be well: {why}"
                    ));
                }
                Err(_) => since = None,
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until each shard runs somewhere, and returns when that was.
    pub(crate) async fn covered(&mut self, within: Duration) -> Result<u64, String> {
        let deadline = Instant::now() + within;
        loop {
            self.look()?;
            match self.owners() {
                Ok(_) => return Ok(now()),
                Err(why) if Instant::now() >= deadline => {
                    return Err(format!("waited {within:?} for all shards to run: {why}"));
                }
                Err(_) => sleep(LOOK_EVERY / 10).await,
            }
        }
    }

    /// Waits until a node is ready.
    pub(crate) async fn ready(&mut self, node: usize, within: Duration) -> Result<(), String> {
        let deadline = Instant::now() + within;
        loop {
            self.look()?;
            let Said { ready, reason, .. } = self.said(node)?;
            if ready {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let id = self.id(node);
                return Err(format!("waited {within:?} for {id} to be ready: {reason}"));
            }
            sleep(LOOK_EVERY / 10).await;
        }
    }

    /// Waits until each shard runs somewhere and goes on to do so, whoever has it, and returns when that
    /// began.
    pub(crate) async fn covered_steadily(&mut self, within: Duration) -> Result<u64, String> {
        let deadline = Instant::now() + within;
        let mut since = self.covered(within).await?;
        loop {
            sleep(LOOK_EVERY / 10).await;
            self.look()?;
            match self.owners() {
                Ok(_) if Duration::from_nanos(now() - since) >= STEADY_FOR => return Ok(since),
                Ok(_) => {}
                Err(_) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    since = self.covered(left).await?;
                }
            }
        }
    }

    /// Which node runs each shard; an error if one runs nowhere, or twice.
    fn owners(&self) -> Result<BTreeMap<u32, usize>, String> {
        let mut owners = BTreeMap::new();
        for (node, Node { id, process, .. }) in self.nodes.iter().enumerate() {
            let process = process.map(|number| &self.processes[number]);
            for &shard in process.iter().flat_map(|process| process.jobs.values()) {
                if let Some(other) = owners.insert(shard, node) {
                    let other = self.id(other);
                    return Err(format!("shard {shard} runs on {other} and on {id}"));
                }
            }
        }
        let mut shards = 0..self.known_shards();
        match shards.find(|shard| !owners.contains_key(shard)) {
            Some(shard) => Err(format!("shard {shard} runs nowhere")),
            None => Ok(owners),
        }
    }

    /// How many shards there are, for the node that knows most of them.
    fn known_shards(&self) -> u32 {
        let known = |node: &Node| node.process.map(|number| self.processes[number].shards);
        let known = self.nodes.iter().filter_map(known).max();
        known.unwrap_or(self.wanted.shards)
    }

    /// Waits until each node is ready and has its share, and returns when that was.
    pub(crate) async fn shared_out(&mut self, within: Duration) -> Result<u64, String> {
        let deadline = Instant::now() + within;
        loop {
            self.look()?;
            match self.are_shared_out() {
                Ok(_) => return Ok(now()),
                Err(why) if Instant::now() >= deadline => {
                    return Err(format!("waited {within:?} for shares: {why}"));
                }
                Err(_) => sleep(LOOK_EVERY / 10).await,
            }
        }
    }

    /// Whether all nodes are ready, each shard runs once, and none has more than its share.
    fn are_shared_out(&self) -> Result<BTreeMap<u32, usize>, String> {
        for Node { id, process, .. } in &self.nodes {
            let process = process.ok_or_else(|| format!("{id} does not run"))?;
            let Said { ready, reason, .. } = self.processes[process].said();
            if !ready {
                return Err(format!("{id} is not ready: {reason}"));
            }
        }
        let owners = self.owners()?;
        for (node, Node { id, .. }) in self.nodes.iter().enumerate() {
            let (load, share) = (self.load(node), self.wanted.share());
            if load > share {
                return Err(format!("{id} has {load} shards, and its share is {share}"));
            }
        }
        Ok(owners)
    }

    /// Whether the shards are shared out, and just this is in etcd.
    async fn is_balanced(&self) -> Result<(), String> {
        let owners = self.are_shared_out()?;
        let keys = self.keys().await?;
        let ids: BTreeSet<&str> = self.nodes.iter().map(|node| node.id.as_str()).collect();
        let members: BTreeSet<&str> = keys.members.keys().map(String::as_str).collect();
        if members != ids {
            return Err(format!("the members in etcd are {members:?}"));
        }
        let mut taking_part = keys.taking_part.clone();
        taking_part.sort();
        if !taking_part
            .iter()
            .map(|(id, lease)| (id, lease))
            .eq(&keys.members)
        {
            return Err(format!(
                "the members in etcd are {:?}, and those who take part {taking_part:?}",
                keys.members
            ));
        }
        for (shard, &node) in &owners {
            let id = self.id(node);
            let claim = keys.claims.get(&shard.to_string());
            let lease = keys.members.get(id).copied().unwrap_or_default();
            if claim != Some(&(id.to_owned(), lease)) {
                return Err(format!(
                    "shard {shard} runs on {id}; its claim is {claim:?}"
                ));
            }
        }
        // A member and its part are two keys.
        if keys.all.len() != 2 * ids.len() + owners.len() {
            return Err(format!("these keys are in etcd: {:?}", keys.all));
        }
        Ok(())
    }

    /// Waits until nothing is left in etcd.
    pub(crate) async fn nothing_left(&self, within: Duration) -> Result<(), String> {
        let deadline = Instant::now() + within;
        loop {
            let left = self.keys().await?.all;
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(format!(
                    "all nodes have left, and these keys have not: {left:?}"
                ));
            }
            sleep(LOOK_EVERY).await;
        }
    }
}
