//! The releases of a node that stops: each claim once, when the work under it has stopped. Pure.

use std::collections::BTreeMap;

use super::claims::View;
use super::reconcile::{Release, RunningShard};

/// The claims that a stopping node must release.
pub(crate) struct HandOver {
    /// The shards that have stopped and are not released yet.
    stopped: Vec<Release>,
    /// Whether etcd answers. If it does not, the others take over when the lease has ended.
    answering: bool,
}

impl HandOver {
    /// From the newest view, and the claims that were made and are not in a view yet.
    pub(crate) fn new(
        view: Option<&View>,
        lease: i64,
        unseen: &[usize],
        running: &BTreeMap<usize, RunningShard>,
        answering: bool,
    ) -> Self {
        let claims = view.iter().flat_map(|view| view.claims.iter().enumerate());
        let own = claims.filter_map(|(place, claim)| Some((place, Some(claim.of(lease)?))));
        // No work was begun under these claims, if they exist.
        let all = own.chain(unseen.iter().map(|&place| (place, None)));
        let stopped = all.filter(|(place, _)| !running.contains_key(place));
        Self {
            stopped: stopped.collect(),
            answering,
        }
    }

    /// Notes that the function under this claim has ended.
    pub(crate) fn ended(&mut self, place: usize, claim: i64) {
        self.stopped.push((place, Some(claim)));
    }

    /// The claims to release now.
    pub(crate) fn release(&mut self) -> Vec<Release> {
        let mut stopped = core::mem::take(&mut self.stopped);
        if !self.answering {
            return Vec::new();
        }
        // Each shard at most once in a transaction.
        stopped.sort_unstable();
        stopped.dedup_by_key(|(place, _)| *place);
        stopped
    }

    /// Notes whether the release succeeded.
    pub(crate) fn released(&mut self, released: bool) {
        self.answering = released;
    }
}

#[cfg(test)]
mod tests;
