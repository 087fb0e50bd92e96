//! Messages about a work as a whole: how many shards run here, different lists, and shards without an owner.
//!
//! Pure: new messages are returned, and the caller logs them.

use core::time::Duration;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt::Write;

use super::claims::View;
use super::list::{Identity, List};

/// What was last reported.
#[derive(Default)]
pub(crate) struct Announcer {
    note: String,
    /// The lists of other nodes.
    lists: BTreeSet<Identity>,
    /// Whether it was logged that shards have no owner for long.
    unowned: bool,
}

/// The new messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// For status pages.
    pub(crate) note: Option<String>,
    /// For the log, in order.
    pub(crate) lines: Vec<Line>,
    /// When there may be a new message without another view.
    pub(crate) again: Option<Duration>,
}

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A node has other shards than this one: so many.
    OtherShards {
        node: String,
        theirs: u32,
        ours: u32,
    },
    /// All nodes have the same shards again.
    SameShards,
    /// So many of all shards have had no owner for long: some of them in words.
    Unowned {
        count: usize,
        of: usize,
        shards: String,
    },
    /// All shards have an owner again.
    Owned,
}

impl Announcer {
    /// Returns the new messages. `here` is the number of shards that run here.
    pub(crate) fn look(&mut self, list: &List, view: &View, here: usize, now: Duration) -> Told {
        let mut told = Told {
            note: self.note(list, view, here, now),
            ..Told::default()
        };
        self.tell_lists(list, view, &mut told.lines);
        told.again = self.tell_unowned(list, view, now, &mut told.lines);
        told
    }

    fn note(&mut self, list: &List, view: &View, here: usize, now: Duration) -> Option<String> {
        let mut note = format!("runs {here} of {} shards", list.len());
        let count = view.unowned().count();
        if count > 0 {
            let what = describe(list, view.unowned(), now);
            let _ = write!(note, "; {count} have no owner: {what}");
        }
        if note == self.note {
            return None;
        }
        self.note.clone_from(&note);
        Some(note)
    }

    fn tell_lists(&mut self, list: &List, view: &View, lines: &mut Vec<Line>) {
        let own = list.identity();
        let others = view.on.iter().filter(|(_, list)| **list != own);
        let others: BTreeMap<Identity, &String> = others.map(|(id, list)| (*list, id)).collect();
        for (list, id) in &others {
            if !self.lists.contains(list) {
                lines.push(Line::OtherShards {
                    node: (*id).clone(),
                    theirs: list.count(),
                    ours: own.count(),
                });
            }
        }
        if others.is_empty() && !self.lists.is_empty() {
            lines.push(Line::SameShards);
        }
        self.lists = others.into_keys().collect();
    }

    fn tell_unowned(
        &mut self,
        list: &List,
        view: &View,
        now: Duration,
        lines: &mut Vec<Line>,
    ) -> Option<Duration> {
        let for_long = |since: Duration| now >= since + FOR_LONG;
        let unowned = || view.unowned().filter(|&(_, since)| for_long(since));
        let count = unowned().count();
        if count > 0 && !self.unowned {
            let (of, shards) = (list.len(), describe(list, unowned(), now));
            lines.push(Line::Unowned { count, of, shards });
        }
        if count == 0 && self.unowned {
            lines.push(Line::Owned);
        }
        self.unowned = count > 0;
        let later = view.unowned().filter(|&(_, since)| !for_long(since));
        later.map(|(_, since)| since + FOR_LONG).min()
    }
}

/// Lists some of the shards without an owner, and for how long each has had none.
fn describe(
    list: &List,
    mut unowned: impl Iterator<Item = (usize, Duration)>,
    now: Duration,
) -> String {
    let mut text = String::new();
    for (place, since) in unowned.by_ref().take(MOST_NAMES) {
        let separator = if text.is_empty() { "" } else { ", " };
        let seconds = now.saturating_sub(since).as_secs();
        let name = list.name(place);
        let _ = write!(text, "{separator}shard {name} ({seconds} s)");
    }
    let more = unowned.count();
    if more > 0 {
        let _ = write!(text, ", and {more} more");
    }
    text
}

const MOST_NAMES: usize = 3;
/// If a node dies, its shards have no owner for a second plus the time of a claim.
const FOR_LONG: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
