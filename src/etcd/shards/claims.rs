//! Who has what, as etcd tells it.

use std::collections::{BTreeMap, HashMap};
use std::str::from_utf8;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Work;
use super::list::{Identity, List, Others, parse_record};
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
    /// Who takes part, and with which list of shards.
    pub(super) on: BTreeMap<String, Identity>,
    /// What is known of these lists.
    pub(super) lists: Others,
    /// Whether what others need to know of this node's list is there, if there is any such thing.
    pub(super) list_is_there: bool,
    /// Whether this node does, under its present lease.
    pub(super) taking_part: bool,
    /// For each shard.
    pub(super) claims: Vec<Claim>,
    /// The shards that nobody can run, and since when.
    pub(super) unowned: BTreeMap<usize, Instant>,
    /// A quorum confirmed it to a question of this moment.
    pub(super) as_of: Option<Instant>,
}

impl View {
    /// Whether each shard should be at this node. Those that only some of the nodes know are planned among
    /// them.
    ///
    /// Whoever is back before its claim is free is its holder still, in spite of a lease that ran out.
    /// Not all nodes know that, so it does not hold for long.
    pub(super) fn planned(&self, work: &str, list: &List, id: &str, now: Instant) -> Vec<bool> {
        let mut here = vec![false; self.claims.len()];
        let groups = list.groups(&self.lists);
        let is_alone = groups.len() == 1;
        for group in groups {
            let knows = |(_, list): &(&String, &Identity)| group.lists.contains(list);
            let members = self.on.iter().filter(knows);
            let members: Vec<&str> = members.map(|(id, _)| id.as_str()).collect();
            let at: HashMap<&str, usize> = members.iter().copied().zip(0..).collect();
            let holder = |&place: &usize| match &self.claims[place] {
                Claim::Held { by, .. } => at.get(by.as_str()).copied(),
                Claim::None {
                    from,
                    last: Some(last),
                } if now < *from + REMEMBERED => at.get(last.as_str()).copied(),
                _ => None,
            };
            let holders: Vec<Option<usize>> = group.places.iter().map(holder).collect();
            let shards: Vec<u64> = list.numbers(&group.places).collect();
            // Or one member would be preferred in all groups.
            let seed = match is_alone {
                true => work.to_owned(),
                false => format!("{work} {:?}", group.lists),
            };
            let own = at.get(id).copied();
            let planned = plan(&seed, &members, &shards, &holders);
            for (&place, planned) in group.places.iter().zip(planned) {
                here[place] = planned.is_some() && planned == own;
            }
        }
        here
    }
}

/// Makes views of a mirror, and remembers since when nobody has a claim.
pub(super) struct Follower {
    keys: WorkKeys,
    /// The key by which this node takes part.
    own: Vec<u8>,
    places: HashMap<Arc<str>, usize>,
    identity: Identity,
    /// The key of the record of this node's list, if it needs one.
    own_list: Option<Vec<u8>>,
    /// The records of lists, as they were last read, each with its revision.
    records: BTreeMap<u64, (i64, Arc<[u64]>)>,
    /// How long a claim that has vanished is left alone.
    grace: Duration,
    /// For each shard without a claim: from when on it may be claimed, and who had it.
    vacant: Vec<(Instant, Option<String>)>,
    /// The shards that nobody can run, and since when.
    unowned: BTreeMap<usize, Instant>,
    strange: Strange,
}

impl Follower {
    pub(super) fn new(keys: WorkKeys, own: &str, work: &Work, grace: Duration) -> Self {
        let own_list = work.list.identity().record_name();
        Self {
            own_list: own_list.map(|name| keys.list(&name).into()),
            keys,
            own: own.into(),
            places: work.list.names().iter().cloned().zip(0..).collect(),
            identity: work.list.identity(),
            records: BTreeMap::new(),
            grace,
            vacant: vec![(Instant::now(), None); work.list.len()],
            unowned: BTreeMap::new(),
            strange: Strange::default(),
        }
    }

    pub(super) fn view(&mut self, mirror: &mut Mirror, news: News, now: Instant) -> View {
        let removed = mirror.take_removed();
        let view = self.read(
            mirror.entries(),
            mirror.revision(),
            &removed,
            news == News::Anew,
            now,
        );
        View {
            as_of: mirror.as_of(),
            ..view
        }
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
        let (mut on, mut foreign) = (BTreeMap::new(), Vec::new());
        let mut records = BTreeMap::new();
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
                (Some(WorkKey::On { id, lease }), _, Some(value)) if lease == entry.lease => {
                    if let Some(list) = Identity::parse(value) {
                        // Of one that is there twice the later says what it has.
                        let newest = on.entry(id).or_insert((entry.revision, list));
                        *newest = (*newest).max((entry.revision, list));
                        continue;
                    }
                }
                (Some(WorkKey::List { hash }), ..) if entry.lease != 0 => {
                    let before = self.records.remove(&hash);
                    let known = before.filter(|(revision, _)| *revision == entry.revision);
                    let known = known.map(|(_, numbers)| numbers);
                    if let Some(numbers) = known.or_else(|| parse_record(&entry.value)) {
                        records.insert(hash, (entry.revision, numbers));
                        continue;
                    }
                }
                // It may be of a list that is not this node's.
                (Some(WorkKey::Shard { .. }), None, Some(_)) => {
                    foreign.push(key);
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
        self.records = records;
        let on: BTreeMap<String, Identity> = on
            .into_iter()
            .map(|(id, (_, list))| (id.to_owned(), list))
            .collect();
        if on.values().all(|&list| list == self.identity) {
            for key in foreign {
                self.strange.seen(key, "left alone");
            }
        }
        let known = |list| match list {
            Identity::Named { hash, .. } => self.records.get(&hash).map(|(_, it)| Arc::clone(it)),
            Identity::Numbered(_) => None,
        };
        let is_unowned = |claim: &Claim| match claim {
            // By something that no node wrote.
            Claim::Held { by, .. } => by.is_empty(),
            Claim::None { .. } | Claim::Released { .. } => true,
        };
        let before = std::mem::take(&mut self.unowned);
        let unowned = claims.iter().enumerate();
        let unowned = unowned.filter(|(_, claim)| is_unowned(claim));
        self.unowned = unowned
            .map(|(place, _)| (place, before.get(&place).copied().unwrap_or(now)))
            .collect();
        View {
            unowned: self.unowned.clone(),
            as_of: None,
            revision,
            taking_part: entries.contains_key(&self.own),
            lists: on.values().map(|&list| (list, known(list))).collect(),
            list_is_there: self
                .own_list
                .as_ref()
                .is_none_or(|key| entries.contains_key(key)),
            on,
            claims,
        }
    }

    fn place(&self, key: &[u8]) -> Option<usize> {
        match self.keys.parse(from_utf8(key).ok()?)? {
            WorkKey::Shard { name } => self.places.get(name).copied(),
            WorkKey::On { .. } | WorkKey::List { .. } => None,
        }
    }
}

/// For how long after its claim is free, so that it can claim it first.
pub(super) const REMEMBERED: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
