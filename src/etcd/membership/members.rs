//! Who is there.

use std::collections::BTreeMap;
use std::collections::btree_map;

use tokio::time::Instant;

use super::registration::registered;
use crate::etcd::records::{Entry, ForeignKeys, Mirror, Prefix, warn_of};

/// A member as the others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    metadata: Vec<u8>,
    incarnation: i64,
}

impl Member {
    /// The metadata that the node has set.
    pub fn metadata(&self) -> &[u8] {
        &self.metadata
    }

    /// Another one each time that the node joins, and higher than all that were there before, as long as
    /// the store is the same: etcd's revision at that moment.
    pub fn incarnation(&self) -> i64 {
        self.incarnation
    }
}

/// The members at one moment, by id. From [`Membership::members`](crate::etcd::Membership::members).
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

    /// The list holds every change up to this moment, and perhaps later ones: a quorum of etcd
    /// confirmed it to a question of that time. None before the node first joined.
    ///
    /// It is renewed as often as the lease, and every 2 s at least. When it gets older, etcd does not
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

    /// How many there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
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
