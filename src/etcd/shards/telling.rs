//! What is told of a work as a whole: that nodes have several lists of shards, and that nobody owns some.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Level;

use super::Work;
use super::claims::View;
use super::list::Identity;
use crate::etcd::line::TARGET;
use crate::shell::log;

/// What was told last.
#[derive(Default)]
pub(super) struct Telling {
    /// The lists of others.
    lists: BTreeSet<Identity>,
    /// Whether shards have no owner for long.
    unowned: bool,
}

impl Telling {
    /// Logs what is new, and tells when there may be something new without another view.
    pub(super) fn look(&mut self, work: &Work, view: &View, now: Instant) -> Option<Instant> {
        self.tell_lists(work, view);
        self.tell_unowned(work, view, now)
    }

    fn tell_lists(&mut self, work: &Work, view: &View) {
        let own = work.list.identity();
        let others = view.on.iter().filter(|(_, list)| **list != own);
        let others: BTreeMap<Identity, &String> = others.map(|(id, list)| (*list, id)).collect();
        for (list, id) in &others {
            if self.lists.contains(list) {
                continue;
            }
            let (id, work) = ((*id).clone(), work.name.clone());
            let which = match list.count() == own.count() {
                true => ", which are not the same",
                false => "",
            };
            let (theirs, ours) = (list.count(), own.count());
            log(Level::WARN, move |at_ms| {
                tracing::warn!(target: TARGET, at_ms, work,
                    "{id} runs this work with {theirs} shards, this node with {ours}{which}. Each shard runs at \
                     a node that knows it; give all nodes the same shards"
                );
            });
        }
        if others.is_empty() && !self.lists.is_empty() {
            let work = work.name.clone();
            log(Level::INFO, move |at_ms| {
                tracing::info!(target: TARGET, at_ms, work, "all nodes run this work with the same shards");
            });
        }
        self.lists = others.into_keys().collect();
    }

    fn tell_unowned(&mut self, work: &Work, view: &View, now: Instant) -> Option<Instant> {
        let for_long = |since: Instant| now >= since + FOR_LONG;
        let unowned = view.unowned.iter().filter(|(_, since)| for_long(**since));
        let unowned: Vec<(usize, Instant)> = unowned.map(|(&at, &since)| (at, since)).collect();
        if !unowned.is_empty() && !self.unowned {
            let (of, name) = (work.list.len(), work.name.clone());
            let what = describe(work, &unowned, now);
            let count = unowned.len();
            log(Level::WARN, move |at_ms| {
                tracing::warn!(target: TARGET, at_ms, work = name,
                    "{count} of {of} shards have no owner, and run nowhere: {what}"
                );
            });
        }
        if unowned.is_empty() && self.unowned {
            let work = work.name.clone();
            log(Level::INFO, move |at_ms| {
                tracing::info!(target: TARGET, at_ms, work, "all shards have an owner again");
            });
        }
        self.unowned = !unowned.is_empty();
        let later = view.unowned.values().filter(|since| !for_long(**since));
        later.min().map(|&since| since + FOR_LONG)
    }
}

/// Some of them, and for how long nobody has had each.
pub(super) fn describe(work: &Work, unowned: &[(usize, Instant)], now: Instant) -> String {
    let mut text = String::new();
    for &(place, since) in unowned.iter().take(MOST_NAMES) {
        let separator = if text.is_empty() { "" } else { ", " };
        let seconds = now.saturating_duration_since(since).as_secs();
        let _ = write!(text, "{separator}{} for {seconds} s", work.list.name(place));
    }
    if let Some(more) = unowned
        .len()
        .checked_sub(MOST_NAMES)
        .filter(|&more| more > 0)
    {
        let _ = write!(text, ", and {more} more");
    }
    text
}

const MOST_NAMES: usize = 3;
/// A node that dies leaves its shards without an owner for a second and as long as a claim takes.
const FOR_LONG: Duration = Duration::from_secs(5);
