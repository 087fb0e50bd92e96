//! Who has what, as etcd tells it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::str::from_utf8;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Work;
use super::plan::plan;
use crate::etcd::keys::{WorkKey, WorkKeys};
use crate::etcd::mirror::{Entry, Mirror, News, Strange};

/// Who has claimed a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Nobody. It may be claimed from this moment on.
    None {
        from: Instant,
        /// Who had it when it vanished.
        last: Option<String>,
    },
    /// Nobody: its last owner has released it.
    Released { revision: i64 },
    /// A node, by this lease.
    Held {
        by: String,
        lease: i64,
        /// Of the claim: the fencing token.
        revision: i64,
    },
}

/// All claims at one moment.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// It holds all changes up to this one.
    pub(super) revision: i64,
    /// Who takes part, sorted.
    pub(super) on: BTreeSet<String>,
    /// Whether this node does, under its present lease.
    pub(super) taking_part: bool,
    /// For each shard.
    pub(super) claims: Vec<Claim>,
}

impl View {
    /// Whether each shard should be at this node.
    ///
    /// Whoever is back before its claim is free is its holder still, in spite of a lease that ran out.
    /// Not all nodes know that, so it does not hold for long.
    pub(super) fn planned(&self, work: &str, id: &str, now: Instant) -> Vec<bool> {
        let members: Vec<&str> = self.on.iter().map(String::as_str).collect();
        let places: HashMap<&str, usize> = members.iter().copied().zip(0..).collect();
        let holders: Vec<Option<usize>> = self
            .claims
            .iter()
            .map(|claim| match claim {
                Claim::Held { by, .. } => places.get(by.as_str()).copied(),
                Claim::None {
                    from,
                    last: Some(last),
                } if now < *from + REMEMBERED => places.get(last.as_str()).copied(),
                _ => None,
            })
            .collect();
        let own = places.get(id).copied();
        let planned = plan(work, &members, &holders);
        planned
            .into_iter()
            .map(|place| place.is_some() && place == own)
            .collect()
    }
}

/// Makes views of a mirror, and remembers since when nobody has a claim.
pub(super) struct Follower {
    keys: WorkKeys,
    /// The key by which this node takes part.
    own: Vec<u8>,
    places: HashMap<Arc<str>, usize>,
    /// How long a claim that has vanished is left alone.
    grace: Duration,
    /// For each shard without a claim: from when on it may be claimed, and who had it.
    vacant: Vec<(Instant, Option<String>)>,
    strange: Strange,
}

impl Follower {
    pub(super) fn new(keys: WorkKeys, own: &str, work: &Work, grace: Duration) -> Self {
        Self {
            keys,
            own: own.into(),
            places: work.shards.iter().cloned().zip(0..).collect(),
            grace,
            vacant: vec![(Instant::now(), None); work.shards.len()],
            strange: Strange::default(),
        }
    }

    pub(super) fn view(&mut self, mirror: &mut Mirror, news: News, now: Instant) -> View {
        let removed = mirror.take_removed();
        self.read(
            mirror.entries(),
            mirror.revision(),
            &removed,
            news == News::Anew,
            now,
        )
    }

    fn read(
        &mut self,
        entries: &BTreeMap<Vec<u8>, Entry>,
        revision: i64,
        removed: &[(Vec<u8>, Entry)],
        anew: bool,
        now: Instant,
    ) -> View {
        if anew {
            // Nobody knows what had a claim, and lost it, while nobody was looking.
            self.vacant.fill((now + self.grace, None));
        }
        for (key, entry) in removed {
            // What was released before is nobody's work.
            if let Some(place) = self.place(key) {
                let by = from_utf8(&entry.value).unwrap_or_default();
                self.vacant[place] = if by.is_empty() {
                    (now, None)
                } else {
                    (now + self.grace, Some(by.to_owned()))
                };
            }
        }
        let mut on = BTreeSet::new();
        let vacant = self.vacant.iter().cloned();
        let mut claims: Vec<Claim> = vacant
            .map(|(from, last)| Claim::None { from, last })
            .collect();
        for (key, entry) in entries {
            let parsed = from_utf8(key).ok().and_then(|key| self.keys.parse(key));
            // No node writes without a lease, or anything that is no text.
            let value = from_utf8(&entry.value).ok().filter(|_| entry.lease != 0);
            let place = match parsed {
                Some(WorkKey::Shard { name }) => self.places.get(name).copied(),
                _ => None,
            };
            match (parsed, place, value) {
                (Some(WorkKey::On { id, lease }), _, Some(_)) if lease == entry.lease => {
                    on.insert(id.to_owned());
                    continue;
                }
                (_, Some(place), Some("")) => {
                    claims[place] = Claim::Released {
                        revision: entry.revision,
                    };
                    continue;
                }
                (_, Some(place), value) => {
                    // What is in the way of a claim is one, whoever wrote it.
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
            self.strange.seen(
                key,
                match place {
                    Some(_) => "its shard runs nowhere until that key is deleted",
                    None => "left alone",
                },
            );
        }
        View {
            revision,
            taking_part: entries.contains_key(&self.own),
            on,
            claims,
        }
    }

    fn place(&self, key: &[u8]) -> Option<usize> {
        match self.keys.parse(from_utf8(key).ok()?)? {
            WorkKey::Shard { name } => self.places.get(name).copied(),
            WorkKey::On { .. } => None,
        }
    }
}

/// For how long after its claim is free, so that it can claim it first.
pub(super) const REMEMBERED: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
