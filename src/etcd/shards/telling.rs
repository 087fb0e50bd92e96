//! What is told of a work as a whole: how much of it runs here, that nodes have several lists of shards, and
//! that nobody owns some.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Level;

use super::Work;
use super::claims::View;
use super::list::Identity;
use crate::Context;
use crate::etcd::line::TARGET;
use crate::shell::log;

/// What was told last.
#[derive(Default)]
pub(super) struct Telling {
    note: String,
    /// The lists of others.
    lists: BTreeSet<Identity>,
    /// Whether shards have no owner for long.
    unowned: bool,
}

impl Telling {
    /// Tells what is new, and returns when there may be something new without another view. So many shards run
    /// here.
    pub(super) fn look(
        &mut self,
        ctx: &Context,
        work: &Work,
        view: &View,
        here: usize,
        now: Instant,
    ) -> Option<Instant> {
        self.note(ctx, work, view, here, now);
        self.tell_lists(work, view);
        self.tell_unowned(work, view, now)
    }

    /// For status pages.
    fn note(&mut self, ctx: &Context, work: &Work, view: &View, here: usize, now: Instant) {
        let mut note = format!("runs {here} of {} shards", work.list.len());
        let count = view.unowned().count();
        if count > 0 {
            let what = describe(work, view.unowned(), now);
            let _ = write!(note, "; {count} have no owner: {what}");
        }
        if note != self.note {
            ctx.note(&note);
            self.note = note;
        }
    }

    fn tell_lists(&mut self, work: &Work, view: &View) {
        let own = work.list.identity();
        let others = view.on.iter().filter(|(_, list)| **list != own);
        let others: BTreeMap<Identity, &String> = others.map(|(id, list)| (*list, id)).collect();
        for (list, id) in &others {
            if self.lists.contains(list) {
                continue;
            }
            let text = differing(id, *list, own);
            let work = work.name.clone();
            log(
                Level::WARN,
                move |at_ms| tracing::warn!(target: TARGET, at_ms, work, "{text}"),
            );
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
        let unowned = || view.unowned().filter(|&(_, since)| for_long(since));
        let count = unowned().count();
        if count > 0 && !self.unowned {
            let of = work.list.len();
            let what = describe(work, unowned(), now);
            let work = work.name.clone();
            log(Level::WARN, move |at_ms| {
                tracing::warn!(target: TARGET, at_ms, work,
                    "{count} of {of} shards have no owner, and run nowhere: {what}"
                );
            });
        }
        if count == 0 && self.unowned {
            let work = work.name.clone();
            log(Level::INFO, move |at_ms| {
                tracing::info!(target: TARGET, at_ms, work, "all shards have an owner again");
            });
        }
        self.unowned = count > 0;
        let later = view.unowned().filter(|&(_, since)| !for_long(since));
        later.map(|(_, since)| since + FOR_LONG).min()
    }
}

/// That a node has another list than this one.
fn differing(id: &str, theirs: Identity, ours: Identity) -> String {
    let (theirs, ours) = (theirs.count(), ours.count());
    let which = match theirs == ours {
        true => ", which are not the same",
        false => "",
    };
    format!(
        "{id} runs this work with {theirs} shards, this node with {ours}{which}. Each shard runs at a node \
         that knows it; give all nodes the same shards"
    )
}

/// Some of them, and for how long nobody has had each.
fn describe(
    work: &Work,
    mut unowned: impl Iterator<Item = (usize, Instant)>,
    now: Instant,
) -> String {
    let mut text = String::new();
    for (place, since) in unowned.by_ref().take(MOST_NAMES) {
        let separator = if text.is_empty() { "" } else { ", " };
        let seconds = now.saturating_duration_since(since).as_secs();
        let name = work.list.name(place);
        let _ = write!(text, "{separator}shard {name} ({seconds} s)");
    }
    let more = unowned.count();
    if more > 0 {
        let _ = write!(text, ", and {more} more");
    }
    text
}

const MOST_NAMES: usize = 3;
/// A node that dies leaves its shards without an owner for a second and as long as a claim takes.
const FOR_LONG: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
