//! The list of members.

use std::collections::BTreeMap;
use std::collections::btree_map;

use tokio::time::Instant;

use super::registration::registered;
use crate::etcd::records::{Entry, ForeignKeys, Mirror, Prefix, warn_of};

/// A member as the other members see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    metadata: Vec<u8>,
    incarnation: i64,
}

impl Member {
    /// The metadata that the member has set.
    pub fn metadata(&self) -> &[u8] {
        &self.metadata
    }

    /// The number of this incarnation of the member: etcd's revision when the member joined.
    ///
    /// It changes each time the member joins. As long as the store is the same, it is higher than all before.
    pub fn incarnation(&self) -> i64 {
        self.incarnation
    }
}

/// The members at one moment, by id. From [`Membership::members`](crate::etcd::Membership::members).
///
/// ```
/// use overwatch::etcd::Members;
///
/// fn print(members: &Members) {
///     for (id, member) in members.iter() {
///         println!("{id} joined at revision {}", member.incarnation());
///     }
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    members: BTreeMap<String, Member>,
    as_of: Option<Instant>,
}

impl Members {
    pub(crate) fn read(prefix: &Prefix, mirror: &Mirror, foreign: &mut ForeignKeys) -> Self {
        let nodes = registered(prefix, mirror.entries(), foreign);
        warn_of(foreign);
        let member = |(id, entry): (&str, &Entry)| {
            let member = Member {
                metadata: entry.value.clone(),
                incarnation: entry.revision,
            };
            (id.to_owned(), member)
        };
        Self {
            members: nodes.into_iter().map(member).collect(),
            as_of: mirror.as_of(),
        }
    }

    /// The moment up to which the list contains every change, and perhaps later ones.
    ///
    /// A quorum of etcd confirmed the list in answer to a request of that moment. It is `None` before the node first
    /// joins. It is refreshed as often as the lease is renewed, and at least every 2 s. If it gets older, etcd does not
    /// answer.
    pub fn as_of(&self) -> Option<Instant> {
        self.as_of
    }

    /// The member with this id.
    pub fn get(&self, id: &str) -> Option<&Member> {
        self.members.get(id)
    }

    /// All members and their ids, in the order of the ids.
    pub fn iter(&self) -> btree_map::Iter<'_, String, Member> {
        self.members.iter()
    }

    /// The number of members.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

impl<'a> IntoIterator for &'a Members {
    type Item = (&'a String, &'a Member);
    type IntoIter = btree_map::Iter<'a, String, Member>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
