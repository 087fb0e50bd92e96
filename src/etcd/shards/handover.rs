//! What a node gives up when it stops: each claim once, when the work under it has stopped. Pure.

use std::collections::BTreeMap;

use super::claims::View;
use super::reconcile::{Release, RunningShard};

/// The end of the work of one node.
pub(crate) struct HandOver {
    /// What has stopped and is not released yet.
    stopped: Vec<Release>,
    /// Whether etcd answers. Where it does not, the lease tells the others.
    answering: bool,
}

impl HandOver {
    /// Of what the newest view shows, and of claims that were made and are not seen in one.
    pub(crate) fn new(
        view: Option<&View>,
        lease: i64,
        unseen: &[usize],
        running: &BTreeMap<usize, RunningShard>,
        answering: bool,
    ) -> Self {
        let claims = view.iter().flat_map(|view| view.claims.iter().enumerate());
        let own = claims.filter_map(|(place, claim)| Some((place, Some(claim.of(lease)?))));
        // Nothing was begun under these, if there are any.
        let all = own.chain(unseen.iter().map(|&place| (place, None)));
        let stopped = all.filter(|(place, _)| !running.contains_key(place));
        Self {
            stopped: stopped.collect(),
            answering,
        }
    }

    /// The function has ended that ran under this claim.
    pub(crate) fn ended(&mut self, place: usize, claim: i64) {
        self.stopped.push((place, Some(claim)));
    }

    /// What is to be released now.
    pub(crate) fn release(&mut self) -> Vec<Release> {
        let mut stopped = core::mem::take(&mut self.stopped);
        if !self.answering {
            return Vec::new();
        }
        // A shard once in a transaction, and no more.
        stopped.sort_unstable();
        stopped.dedup_by_key(|(place, _)| *place);
        stopped
    }

    /// Whether etcd has released it.
    pub(crate) fn released(&mut self, released: bool) {
        self.answering = released;
    }
}

#[cfg(test)]
mod tests;
