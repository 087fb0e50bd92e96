//! The list of shards that a node was given, and those of other nodes.
//!
//! While one version of a service takes the place of another the nodes may have several lists. What a list
//! is, the record says by which a node takes part. So a shard is planned over all nodes that know it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::etcd::hash::named;

/// The shards of a work, as this node was given them. A shard has a *place* in the list, and a *number* that
/// is the same on all nodes.
pub(super) struct List {
    names: Vec<Arc<str>>,
    numbers: Vec<u64>,
    /// All places, in the order of the numbers: in one order on all nodes.
    order: Vec<usize>,
    identity: Identity,
}

/// What tells one list from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Identity {
    /// The shards that are numbered from 0, so many.
    Numbered(u32),
    /// So many with names, all of which make up the hash. A record of its own has their numbers.
    Named { count: u32, hash: u64 },
}

/// The lists that others have: the numbers of each, sorted, for those with names.
pub(super) type Others = BTreeMap<Identity, Option<Arc<[u64]>>>;

/// The shards that the same nodes know.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// In the order of their numbers.
    pub(super) places: Vec<usize>,
    /// The lists that have them.
    pub(super) lists: BTreeSet<Identity>,
}

impl List {
    pub(super) fn numbered(count: u32) -> Self {
        let names = (0..count).map(|number| number.to_string().into());
        Self::new(names.collect(), |_| Identity::Numbered(count))
    }

    /// Of names that are sorted, so that all nodes number them alike.
    pub(super) fn named(names: &BTreeSet<String>) -> Self {
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

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn name(&self, place: usize) -> &Arc<str> {
        &self.names[place]
    }

    pub(super) fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// The numbers of these places.
    pub(super) fn numbers<'a>(&'a self, places: &'a [usize]) -> impl Iterator<Item = u64> + 'a {
        places.iter().map(|&place| self.numbers[place])
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// What its record holds, if it needs one.
    pub(super) fn record(&self) -> Option<Vec<u8>> {
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
    pub(super) fn groups(&self, others: &Others) -> Vec<Group> {
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

/// What the record of a list with names holds: their numbers, sorted. `None` if no node wrote that.
pub(super) fn parse_record(value: &[u8]) -> Option<Arc<[u64]>> {
    let (numbers, []) = value.as_chunks::<8>() else {
        return None;
    };
    let numbers: Arc<[u64]> = numbers.iter().copied().map(u64::from_be_bytes).collect();
    numbers.is_sorted().then_some(numbers)
}

impl Identity {
    /// `None` for what no node wrote.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let parsed = match text.split_once('/') {
            None => Self::Numbered(text.parse().ok()?),
            Some((count, hash)) => Self::Named {
                count: count.parse().ok()?,
                hash: u64::from_str_radix(hash, 16).ok()?,
            },
        };
        (parsed.to_string() == text).then_some(parsed)
    }

    pub(super) fn count(self) -> u32 {
        match self {
            Self::Numbered(count) | Self::Named { count, .. } => count,
        }
    }

    /// The key of its record ends with this, if it has one.
    pub(super) fn record_name(self) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> List {
        List::named(&names.iter().map(|&name| name.to_owned()).collect())
    }

    fn others(lists: &[&List]) -> Others {
        let known = |list: &&List| {
            let record = list.record();
            (
                list.identity(),
                record.and_then(|record| parse_record(&record)),
            )
        };
        lists.iter().map(known).collect()
    }

    /// The names that each group has, and how many lists know them.
    fn grouped(list: &List, others: &Others) -> Vec<(Vec<String>, usize)> {
        let groups = list.groups(others).into_iter();
        let mut groups: Vec<_> = groups
            .map(|Group { places, lists }| {
                let names = places.iter().map(|&place| list.name(place).to_string());
                let mut names: Vec<String> = names.collect();
                names.sort();
                (names, lists.len())
            })
            .collect();
        groups.sort();
        groups
    }

    fn group(names: &[&str], lists: usize) -> (Vec<String>, usize) {
        (names.iter().map(|&name| name.to_owned()).collect(), lists)
    }

    #[test]
    fn a_list_alone_is_one_group() {
        let (three, letters) = (List::numbered(3), names(&["a", "b"]));
        assert_eq!(
            grouped(&three, &Others::new()),
            [group(&["0", "1", "2"], 1)]
        );
        assert_eq!(
            grouped(&three, &others(&[&three])),
            [group(&["0", "1", "2"], 1)]
        );
        assert_eq!(
            grouped(&letters, &others(&[&letters])),
            [group(&["a", "b"], 1)]
        );
    }

    #[test]
    fn what_several_lists_know_is_a_group_of_its_own() {
        let (two, four) = (List::numbered(2), List::numbered(4));
        let both = others(&[&two, &four]);
        assert_eq!(grouped(&two, &both), [group(&["0", "1"], 2)]);
        let halves = [group(&["0", "1"], 2), group(&["2", "3"], 1)];
        assert_eq!(grouped(&four, &both), halves);

        let (old, new) = (names(&["a", "b", "c"]), names(&["b", "c", "d"]));
        let both = others(&[&old, &new]);
        assert_eq!(
            grouped(&old, &both),
            [group(&["a"], 1), group(&["b", "c"], 2)]
        );
        assert_eq!(
            grouped(&new, &both),
            [group(&["b", "c"], 2), group(&["d"], 1)]
        );

        // One that has names, and one that has numbers; "01" is no number of a shard.
        let mixed = names(&["01", "1", "7"]);
        let both = others(&[&mixed, &four]);
        assert_eq!(
            grouped(&mixed, &both),
            [group(&["01", "7"], 1), group(&["1"], 2)]
        );
        assert_eq!(
            grouped(&four, &both),
            [group(&["0", "2", "3"], 1), group(&["1"], 2)]
        );
    }

    #[test]
    fn all_who_know_a_group_see_it_in_one_order_and_with_the_same_lists() {
        let (old, new) = (names(&["a", "b", "c", "x"]), names(&["b", "c", "d", "x"]));
        let both = others(&[&old, &new]);
        let shared = |list: &List| {
            let groups = list.groups(&both).into_iter();
            let mut shared = groups.filter(|group| group.lists.len() == 2);
            let Group { places, lists } = shared.next().expect("they share some");
            let names: Vec<Arc<str>> = places.iter().map(|&at| list.name(at).clone()).collect();
            (names, list.numbers(&places).collect::<Vec<u64>>(), lists)
        };
        assert_eq!(shared(&old), shared(&new));
    }

    #[test]
    fn a_list_whose_names_are_not_known_yet_counts_for_nothing() {
        let (old, new) = (names(&["a", "b"]), names(&["b", "c"]));
        let unknown = Others::from([(new.identity(), None)]);
        assert_eq!(grouped(&old, &unknown), [group(&["a", "b"], 1)]);
    }

    #[test]
    fn records_are_read_as_they_were_written_and_nothing_else_is() {
        for list in [List::numbered(7), names(&["a", "b"]), names(&["ab"])] {
            let written = list.identity().to_string();
            assert_eq!(Identity::parse(&written), Some(list.identity()));
        }
        for junk in [
            "",
            "x",
            "-1",
            "+1",
            "01",
            "1/",
            "1/x",
            "1/ff",
            "1/0/0",
            "4294967296",
        ] {
            assert_eq!(Identity::parse(junk), None, "{junk}");
        }
        assert_ne!(
            names(&["a", "bc"]).identity(),
            names(&["ab", "c"]).identity()
        );
        assert_ne!(names(&["0", "1"]).identity(), List::numbered(2).identity());
        assert_eq!(parse_record(&[0; 9]), None);
        assert_eq!(parse_record(&[[0xff; 8], [0; 8]].concat()), None);
    }

    /// Nodes of several versions plan together.
    #[test]
    fn numbers_are_the_same_for_ever() {
        assert_eq!(number("0"), NUMBER_OF_0);
        assert_eq!(names(&["a", "b"]).identity().to_string(), IDENTITY_OF_A_B);
    }

    const NUMBER_OF_0: u64 = 17_780_328_861_165_268_161;
    const IDENTITY_OF_A_B: &str = "2/38c74b3922549f95";
}
