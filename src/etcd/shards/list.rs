//! The list of shards of this node, and those of other nodes.
//!
//! During an upgrade of a service nodes may have different lists. The record by which a node takes part identifies its
//! list. Each shard is planned over all nodes that know it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::fmt::Write;
use std::sync::Arc;

use crate::etcd::basics::{EtcdConfigError, named};
use crate::etcd::records::{Entry, check_name};

/// The shards of a work on this node.
///
/// A shard has a *place* in the list, and a *number* that is the same on all nodes.
#[derive(Debug)]
pub(crate) struct List {
    names: Vec<Arc<str>>,
    numbers: Vec<u64>,
    /// All places, in the order of the numbers, which is the same on all nodes.
    order: Vec<usize>,
    identity: Identity,
}

/// Identifies a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Identity {
    /// This number of shards, numbered from 0.
    Numbered(u32),
    /// This number of named shards, with a hash of all names. A separate record contains their numbers.
    Named { count: u32, hash: u64 },
}

/// The lists of other nodes; for named shards with their sorted numbers.
pub(crate) type Others = BTreeMap<Identity, Option<Arc<[u64]>>>;

/// The shards that the same nodes know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// The places of the shards, in the order of their numbers.
    pub(crate) places: Vec<usize>,
    /// The lists that contain them.
    pub(crate) lists: BTreeSet<Identity>,
}

impl Group {
    /// The seed of the plan for these shards.
    ///
    /// It depends only on the group, so all nodes that know the group make the same plan. It differs between groups,
    /// because otherwise one member would be preferred in all of them.
    pub(crate) fn seed(&self, work: &str) -> String {
        let mut seed = work.to_owned();
        if self.lists.len() > 1 {
            for list in &self.lists {
                let _ = write!(seed, " {list}");
            }
        }
        seed
    }
}

impl List {
    pub(crate) fn numbered(count: u32) -> Self {
        let names = (0..count).map(|number| number.to_string().into());
        Self::new(names.collect(), |_| Identity::Numbered(count))
    }

    /// A list of named shards. The names are sorted, so all nodes number them in the same way.
    pub(crate) fn named(names: &BTreeSet<String>) -> Self {
        let names = names.iter().map(|name| name.as_str().into());
        Self::new(names.collect(), |names| Identity::Named {
            count: names.len() as u32,
            hash: names
                .iter()
                .fold(0, |hash, name| named(&format!("{hash:x}"), name)),
        })
    }

    fn new(names: Vec<Arc<str>>, identity: impl FnOnce(&[Arc<str>]) -> Identity) -> Self {
        let numbers: Vec<u64> = names.iter().map(|name| number(name)).collect();
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_by_key(|&place| numbers[place]);
        Self {
            identity: identity(&names),
            names,
            numbers,
            order,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn name(&self, place: usize) -> &Arc<str> {
        &self.names[place]
    }

    pub(crate) fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// The numbers of these places.
    pub(crate) fn numbers<'a>(&'a self, places: &'a [usize]) -> impl Iterator<Item = u64> + 'a {
        places.iter().map(|&place| self.numbers[place])
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// The content of its record, if it needs one.
    pub(crate) fn record(&self) -> Option<Vec<u8>> {
        match self.identity {
            Identity::Numbered(_) => None,
            Identity::Named { .. } => Some(
                self.numbers(&self.order)
                    .flat_map(u64::to_be_bytes)
                    .collect(),
            ),
        }
    }

    /// Groups the shards by the lists that contain them. Lists whose content is not known yet are ignored.
    pub(crate) fn groups(&self, others: &Others) -> Vec<Group> {
        let others = others.iter().filter(|(list, _)| **list != self.identity);
        let others: Vec<_> = others.take(MOST_LISTS).collect();
        let mut groups: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for &place in &self.order {
            let mut who = 0;
            for (at, (list, numbers)) in others.iter().enumerate() {
                if self.is_in(place, **list, numbers.as_deref()) {
                    who |= 1 << at;
                }
            }
            groups.entry(who).or_default().push(place);
        }
        let group = |(who, places): (u64, Vec<usize>)| {
            let know = others.iter().enumerate();
            let know = know.filter(|(at, _)| who & (1 << at) != 0);
            let mut lists: BTreeSet<Identity> = know.map(|(_, (list, _))| **list).collect();
            lists.insert(self.identity);
            Group { places, lists }
        };
        groups.into_iter().map(group).collect()
    }

    /// Whether a shard of this list is also in another list.
    fn is_in(&self, place: usize, other: Identity, numbers: Option<&[u64]>) -> bool {
        match (other, numbers) {
            (Identity::Named { .. }, Some(numbers)) => {
                numbers.binary_search(&self.numbers[place]).is_ok()
            }
            (Identity::Named { .. }, None) => false,
            (Identity::Numbered(count), _) => match self.identity {
                Identity::Numbered(_) => place < count as usize,
                Identity::Named { .. } => {
                    let name = &*self.names[place];
                    let number: Option<u32> = name.parse().ok();
                    number.is_some_and(|number| number < count && *name == number.to_string())
                }
            },
        }
    }
}

/// The lists of all nodes, as far as their records show them.
pub(crate) struct Lists {
    own: Arc<List>,
    /// The numbers of lists of named shards, each with the revision of its record.
    records: BTreeMap<u64, (i64, Arc<[u64]>)>,
    /// The lists that the groups were made from.
    known: Others,
    groups: Arc<[Group]>,
}

impl Lists {
    /// The lists of other nodes, in addition to this node's own list.
    pub(crate) fn new(own: &Arc<List>) -> Self {
        let known = Others::new();
        Self {
            groups: own.groups(&known).into(),
            known,
            own: Arc::clone(own),
            records: BTreeMap::new(),
        }
    }

    /// Takes a record. Returns `false` if no node wrote it.
    pub(crate) fn take(&mut self, hash: u64, entry: &Entry) -> bool {
        let known = self.records.get(&hash);
        if known.is_some_and(|(revision, _)| *revision == entry.revision) {
            return true;
        }
        let Some(numbers) = parse_record(&entry.value) else {
            return false;
        };
        self.records.insert(hash, (entry.revision, numbers));
        true
    }

    /// Groups the shards for nodes with these lists.
    ///
    /// The content of a list stays known as long as a node has the list, even while its record is missing.
    pub(crate) fn groups(&mut self, lists: impl Iterator<Item = Identity>) -> Arc<[Group]> {
        let mut known = Others::new();
        let mut records = BTreeMap::new();
        for list in lists {
            let record = match list {
                Identity::Named { hash, .. } => self.records.remove_entry(&hash),
                Identity::Numbered(_) => None,
            };
            if let Some((hash, record)) = record {
                known.insert(list, Some(Arc::clone(&record.1)));
                records.insert(hash, record);
            } else {
                known.entry(list).or_insert(None);
            }
        }
        self.records = records;
        if known != self.known {
            self.groups = self.own.groups(&known).into();
            self.known = known;
        }
        Arc::clone(&self.groups)
    }
}

/// The sorted numbers in the record of a list of named shards; `None` if no node wrote the record.
pub(crate) fn parse_record(value: &[u8]) -> Option<Arc<[u64]>> {
    let (numbers, []) = value.as_chunks::<8>() else {
        return None;
    };
    let numbers: Arc<[u64]> = numbers.iter().copied().map(u64::from_be_bytes).collect();
    numbers.is_sorted().then_some(numbers)
}

impl Identity {
    /// Parses an identity; `None` if no node wrote it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let parsed = match text.split_once('/') {
            None => Self::Numbered(text.parse().ok()?),
            Some((count, hash)) => Self::Named {
                count: count.parse().ok()?,
                hash: u64::from_str_radix(hash, 16).ok()?,
            },
        };
        (parsed.to_string() == text).then_some(parsed)
    }

    pub(crate) fn count(self) -> u32 {
        match self {
            Self::Numbered(count) | Self::Named { count, .. } => count,
        }
    }

    /// The end of the key of its record, if it has one.
    pub(crate) fn record_name(self) -> Option<String> {
        match self {
            Self::Numbered(_) => None,
            Self::Named { hash, .. } => Some(format!("{hash:016x}")),
        }
    }
}

/// The form in a record.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numbered(count) => write!(f, "{count}"),
            Self::Named { count, hash } => write!(f, "{count}/{hash:016x}"),
        }
    }
}

/// The number of a shard, from its name.
///
/// Two of 100,000 names have the same number once in some billions of lists. Then only the plan would differ, on nodes
/// with different lists.
fn number(name: &str) -> u64 {
    named("shard", name)
}

/// Further lists are not distinguished. During an upgrade there are two.
const MOST_LISTS: usize = 63;

/// Checks the number of shards.
pub(crate) fn check_count(count: usize) -> Result<(), EtcdConfigError> {
    let problem = match count {
        0 => "there are none: give at least one".to_owned(),
        1..=MAX_SHARDS => return Ok(()),
        _ => format!("there are more than {MAX_SHARDS}: put several jobs into one shard"),
    };
    Err(bad("shards", problem))
}

/// Checks how many shards may move at a time.
pub(crate) fn check_moving(shards: u32) -> Result<usize, EtcdConfigError> {
    if shards == 0 {
        let problem = "is 0, so that a node which comes never gets a shard: give at least 1";
        return Err(bad("with_max_moving", problem.to_owned()));
    }
    Ok(shards as usize)
}

/// Checks and sorts the names of jobs: each must be valid, and be given once.
pub(crate) fn sorted<S: Into<String>>(
    names: impl IntoIterator<Item = S>,
) -> Result<BTreeSet<String>, EtcdConfigError> {
    // At most one more than are allowed, to see that there are too many.
    let names = names.into_iter().take(MAX_SHARDS + 1);
    let names: Vec<String> = names.map(Into::into).collect();
    check_count(names.len())?;
    let mut sorted = BTreeSet::new();
    for name in names {
        check_name("shards", &name)?;
        if sorted.contains(&name) {
            let problem = format!("{name:?} is given twice: give each job a name of its own");
            return Err(bad("shards", problem));
        }
        sorted.insert(name);
    }
    Ok(sorted)
}

fn bad(knob: &'static str, problem: String) -> EtcdConfigError {
    EtcdConfigError::BadSetting { knob, problem }
}

/// Each node makes a plan for all shards whenever anything changes.
const MAX_SHARDS: usize = 100_000;

#[cfg(test)]
mod tests;
