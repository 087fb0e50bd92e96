//! Makes views of a work from etcd's records. Pure.

use core::str::from_utf8;
use core::time::Duration;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::claims::{Claim, View};
use super::list::{Identity, List, Lists};
use crate::etcd::records::{Entry, ForeignKeys, WorkKey, WorkKeys};

/// Makes views from a mirror, and remembers since when a shard has no claim.
pub(crate) struct Follower {
    keys: WorkKeys,
    /// The key by which this node takes part.
    own: Vec<u8>,
    /// The key of the record of this node's list, if it needs one.
    own_list: Option<Vec<u8>>,
    places: BTreeMap<Arc<str>, usize>,
    lists: Lists,
    /// How long a shard stays free after its claim has disappeared.
    grace: Duration,
    /// For each shard without a claim: when it may be claimed, and its last owner.
    vacant: Vec<(Duration, Option<String>)>,
    /// For each shard: since when no node can run it, if none can.
    unowned: Arc<Vec<Option<Duration>>>,
    /// The leases of nodes that take part, and of nodes that no longer do but still have claims.
    of_nodes: BTreeSet<i64>,
    /// The keys that no node wrote, with their warnings.
    pub(crate) foreign: ForeignKeys,
}

impl Follower {
    pub(crate) fn new(
        keys: WorkKeys,
        own: &str,
        list: &Arc<List>,
        grace: Duration,
        now: Duration,
    ) -> Self {
        let own_list = list.identity().record_name();
        Self {
            own_list: own_list.map(|name| keys.list(&name).into()),
            keys,
            own: own.into(),
            places: list.names().iter().cloned().zip(0..).collect(),
            lists: Lists::new(list),
            grace,
            vacant: vec![(now, None); list.len()],
            unowned: Arc::new(vec![None; list.len()]),
            of_nodes: BTreeSet::new(),
            foreign: ForeignKeys::default(),
        }
    }

    /// The view of these records, which contain all changes up to a revision.
    ///
    /// `removed` are the records that were removed since the last view, with their last state. `anew` if the records
    /// were read anew, so that the changes in between are unknown.
    pub(crate) fn read(
        &mut self,
        entries: &BTreeMap<Vec<u8>, Entry>,
        revision: i64,
        removed: &[(Vec<u8>, Entry)],
        anew: bool,
        now: Duration,
    ) -> View {
        if anew {
            // It is unknown which claims disappeared in between.
            self.vacant.fill((now + self.grace, None));
        }
        self.take_removed(removed, now);
        let (mut on, mut leases, mut foreign) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        let vacant = self.vacant.iter().cloned();
        let mut claims: Vec<Claim> = vacant
            .map(|(from, last)| Claim::None { from, last })
            .collect();
        for (key, entry) in entries {
            let parsed = from_utf8(key).ok().and_then(|key| self.keys.parse(key));
            // Nodes only write text, and always with a lease.
            let value = from_utf8(&entry.value).ok().filter(|_| entry.lease != 0);
            let place = match parsed {
                Some(WorkKey::Shard { name }) => self.places.get(name).copied(),
                _ => None,
            };
            match (parsed, place, value) {
                (Some(WorkKey::On { id, lease }), _, Some(value)) if lease == entry.lease => {
                    if let Some(list) = Identity::parse(value) {
                        leases.insert(lease);
                        // If a node has two records, the later one counts.
                        let newest = on.entry(id).or_insert((entry.revision, list));
                        *newest = (*newest).max((entry.revision, list));
                        continue;
                    }
                }
                (Some(WorkKey::List { hash }), ..)
                    if entry.lease != 0 && self.lists.take(hash, entry) =>
                {
                    continue;
                }
                (Some(WorkKey::Shard { .. }), None, Some(_)) => {
                    foreign.push((key, entry.lease));
                    continue;
                }
                (_, Some(place), Some("")) => {
                    claims[place] = Claim::Released {
                        revision: entry.revision,
                    };
                    continue;
                }
                (_, Some(place), value) => {
                    // A key in the place of a claim counts as a claim, even if no node wrote it.
                    claims[place] = Claim::Held {
                        by: value.unwrap_or_default().to_owned(),
                        lease: entry.lease,
                        revision: entry.revision,
                    };
                    if value.is_some() {
                        continue;
                    }
                }
                _ => {}
            }
            self.foreign.seen(
                key,
                match place {
                    Some(_) => "its shard runs nowhere until that key is deleted",
                    None => "left alone",
                },
            );
        }
        self.take_foreign(&foreign, leases);
        self.note_unowned(&claims, now);
        let on: BTreeMap<String, Identity> = on
            .into_iter()
            .map(|(id, (_, list))| (id.to_owned(), list))
            .collect();
        let is_there = |key: &Vec<u8>| entries.contains_key(key);
        View {
            revision,
            taking_part: is_there(&self.own),
            list_is_there: self.own_list.as_ref().is_none_or(is_there),
            groups: self.lists.groups(on.values().copied()),
            on,
            claims,
            unowned: Arc::clone(&self.unowned),
            as_of: None,
        }
    }

    fn take_removed(&mut self, removed: &[(Vec<u8>, Entry)], now: Duration) {
        for (key, entry) in removed {
            // A released shard is free at once.
            if let Some(place) = self.place(key) {
                let by = from_utf8(&entry.value).unwrap_or_default();
                self.vacant[place] = if by.is_empty() {
                    (now, None)
                } else {
                    (now + self.grace, Some(by.to_owned()))
                };
            }
        }
    }

    /// Finds foreign keys among the claims on shards that this node does not know.
    ///
    /// Such a claim is not foreign if it belongs to a node that takes part under one of these leases, or to a node that
    /// has left and still drains.
    fn take_foreign(&mut self, foreign: &[(&Vec<u8>, i64)], leases: BTreeSet<i64>) {
        let before = core::mem::replace(&mut self.of_nodes, leases);
        for &(key, lease) in foreign {
            if before.contains(&lease) {
                self.of_nodes.insert(lease);
            }
            if !self.of_nodes.contains(&lease) {
                self.foreign.seen(key, "left alone");
            }
        }
    }

    fn note_unowned(&mut self, claims: &[Claim], now: Duration) {
        for (place, claim) in claims.iter().enumerate() {
            let is_owned = match claim {
                // An empty owner means a key that no node wrote.
                Claim::Held { by, .. } => !by.is_empty(),
                Claim::None { .. } | Claim::Released { .. } => false,
            };
            if is_owned == self.unowned[place].is_some() {
                Arc::make_mut(&mut self.unowned)[place] = (!is_owned).then_some(now);
            }
        }
    }

    fn place(&self, key: &[u8]) -> Option<usize> {
        match self.keys.parse(from_utf8(key).ok()?)? {
            WorkKey::Shard { name } => self.places.get(name).copied(),
            WorkKey::On { .. } | WorkKey::List { .. } => None,
        }
    }
}

/// How long to wait before the next view, after one that took from `begun` to `now`.
pub(crate) fn rest_after(begun: Duration, now: Duration) -> Duration {
    now.saturating_sub(begun) * REST
}

/// How many times longer than the making of a view this pause is.
const REST: u32 = 3;

#[cfg(test)]
mod tests;
