//! The list of shards that a node was given, and those of other nodes.
//!
//! While one version of a service takes the place of another the nodes may have several lists. What a list
//! is, the record says by which a node takes part. So a shard is planned over all nodes that know it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::fmt::Write;
use std::sync::Arc;

use crate::etcd::basics::{EtcdConfigError, named};
use crate::etcd::records::{Entry, check_name};

/// The shards of a work, as this node was given them. A shard has a *place* in the list, and a *number* that
/// is the same on all nodes.
#[derive(Debug)]
pub(crate) struct List {
    names: Vec<Arc<str>>,
    numbers: Vec<u64>,
    /// All places, in the order of the numbers: in one order on all nodes.
    order: Vec<usize>,
    identity: Identity,
}

/// What tells one list from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Identity {
    /// The shards that are numbered from 0, so many.
    Numbered(u32),
    /// So many with names, all of which make up the hash. A record of its own has their numbers.
    Named { count: u32, hash: u64 },
}

/// The lists that others have: the numbers of each, sorted, for those with names.
pub(crate) type Others = BTreeMap<Identity, Option<Arc<[u64]>>>;

/// The shards that the same nodes know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// In the order of their numbers.
    pub(crate) places: Vec<usize>,
    /// The lists that have them.
    pub(crate) lists: BTreeSet<Identity>,
}

impl Group {
    /// What the plan of these shards is seeded with. It follows from the group alone, so that all who know it plan
    /// alike, and is another one for each group: or one member would be preferred in all of them.
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

    /// Of names that are sorted, so that all nodes number them alike.
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

    /// What its record holds, if it needs one.
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

    /// The shards by who knows them, where others have these lists. One that is not known yet is left out of
    /// account.
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

    /// Whether a shard of this list is in another one, too.
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

/// The lists that nodes have, as far as their records tell.
pub(crate) struct Lists {
    own: Arc<List>,
    /// The numbers of lists with names, each with the revision of its record.
    records: BTreeMap<u64, (i64, Arc<[u64]>)>,
    /// The lists that the groups are of.
    known: Others,
    groups: Arc<[Group]>,
}

impl Lists {
    /// Those that others have besides this node's own.
    pub(crate) fn new(own: &Arc<List>) -> Self {
        let known = Others::new();
        Self {
            groups: own.groups(&known).into(),
            known,
            own: Arc::clone(own),
            records: BTreeMap::new(),
        }
    }

    /// Takes a record. `false` if no node wrote that.
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

    /// The shards by who knows them, where nodes have these lists. What a list has is known as long as one of them
    /// has it, also while its record is not there.
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

/// What the record of a list with names holds: their numbers, sorted. `None` if no node wrote that.
pub(crate) fn parse_record(value: &[u8]) -> Option<Arc<[u64]>> {
    let (numbers, []) = value.as_chunks::<8>() else {
        return None;
    };
    let numbers: Arc<[u64]> = numbers.iter().copied().map(u64::from_be_bytes).collect();
    numbers.is_sorted().then_some(numbers)
}

impl Identity {
    /// `None` for what no node wrote.
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

    /// The key of its record ends with this, if it has one.
    pub(crate) fn record_name(self) -> Option<String> {
        match self {
            Self::Numbered(_) => None,
            Self::Named { hash, .. } => Some(format!("{hash:016x}")),
        }
    }
}

/// As it is in a record.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numbered(count) => write!(f, "{count}"),
            Self::Named { count, hash } => write!(f, "{count}/{hash:016x}"),
        }
    }
}

/// The number of a shard, by its name. (That two of 100,000 names have one number would happen once in some
/// billions of lists; then only the plan would differ on nodes whose lists differ.)
fn number(name: &str) -> u64 {
    named("shard", name)
}

/// More than that are not told apart from each other: while services are replaced there are two.
const MOST_LISTS: usize = 63;

/// Whether there may be so many shards.
pub(crate) fn check_count(count: usize) -> Result<(), EtcdConfigError> {
    let problem = match count {
        0 => "there are none: give at least one".to_owned(),
        1..=MAX_SHARDS => return Ok(()),
        _ => format!("there are more than {MAX_SHARDS}: put several jobs into one shard"),
    };
    Err(bad("shards", problem))
}

/// How many shards may be on their way at once.
pub(crate) fn check_moving(shards: u32) -> Result<usize, EtcdConfigError> {
    if shards == 0 {
        let problem = "is 0, so that a node which comes never gets a shard: give at least 1";
        return Err(bad("moving_at_most", problem.to_owned()));
    }
    Ok(shards as usize)
}

/// The names of jobs in their order, if each can be one and is there once.
pub(crate) fn sorted<S: Into<String>>(
    names: impl IntoIterator<Item = S>,
) -> Result<BTreeSet<String>, EtcdConfigError> {
    // No more than are allowed are taken, and one that tells that there are more.
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

/// Each node plans for all shards whenever anything changes.
const MAX_SHARDS: usize = 100_000;

#[cfg(test)]
mod tests;
