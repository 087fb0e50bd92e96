//! Claims and views of them, as etcd shows them. Pure: times are durations since an origin.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::list::{Group, Identity, List};
use super::plan::plan;

/// The claim on a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// There is no claim. The shard may be claimed from this moment on.
    None {
        from: Duration,
        /// The last owner, if its claim has disappeared.
        last: Option<String>,
    },
    /// The last owner has released the shard.
    Released { revision: i64 },
    /// A node has the claim, under this lease.
    Held {
        by: String,
        lease: i64,
        /// The revision of the claim, from which the fencing token is made.
        revision: i64,
    },
}

impl Claim {
    /// The revision of the claim, if it belongs to this lease.
    pub(crate) fn of(&self, own: i64) -> Option<i64> {
        match *self {
            Self::Held {
                lease, revision, ..
            } if lease == own => Some(revision),
            _ => None,
        }
    }
}

/// All claims at one moment.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// The view contains all changes up to this one.
    pub(crate) revision: i64,
    /// The nodes that take part, each with its list of shards.
    pub(crate) on: BTreeMap<String, Identity>,
    /// The shards, grouped by the lists that contain them.
    pub(crate) groups: Arc<[Group]>,
    /// Whether the record of this node's list exists, if the list needs one.
    pub(crate) list_is_there: bool,
    /// Whether this node takes part under its current lease.
    pub(crate) taking_part: bool,
    /// The claim on each shard.
    pub(crate) claims: Vec<Claim>,
    /// For each shard: since when no node can run it, if none can.
    pub(crate) unowned: Arc<Vec<Option<Duration>>>,
    /// A quorum confirmed it to a question of this moment.
    pub(crate) as_of: Option<Duration>,
}

impl View {
    /// Whether each shard should run on this node. A shard that only some nodes know is planned among these.
    ///
    /// If a node comes back before its former claim is free, it still counts as the holder, although its lease ran out.
    /// Not all nodes know this, so it counts only for a short time.
    pub(crate) fn planned(&self, work: &str, list: &List, id: &str, now: Duration) -> Vec<bool> {
        let mut here = vec![false; self.claims.len()];
        for group in self.groups.iter() {
            let knows = |(_, list): &(&String, &Identity)| group.lists.contains(list);
            let members = self.on.iter().filter(knows);
            let members: Vec<&str> = members.map(|(id, _)| id.as_str()).collect();
            let at: BTreeMap<&str, usize> = members.iter().copied().zip(0..).collect();
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
            let own = at.get(id).copied();
            let planned = plan(&group.seed(work), &members, &shards, &holders);
            for (&place, planned) in group.places.iter().zip(planned) {
                here[place] = planned.is_some() && planned == own;
            }
        }
        here
    }

    /// The running shards whose claim under this lease is gone, or is another one than the given revision.
    pub(crate) fn lost(
        &self,
        own: i64,
        running: impl IntoIterator<Item = (usize, i64)>,
    ) -> Vec<usize> {
        let is_lost = |&(place, revision): &(usize, i64)| {
            let claim = self.claims.get(place);
            claim.and_then(|claim| claim.of(own)) != Some(revision)
        };
        let lost = running.into_iter().filter(is_lost);
        lost.map(|(place, _)| place).collect()
    }

    /// The owner of a shard. The error is since when it has none, as far as that was seen.
    pub(crate) fn owner(&self, place: usize) -> Result<&str, Option<Duration>> {
        match &self.claims[place] {
            // A key that no node wrote is no owner.
            Claim::Held { by, .. } if !by.is_empty() => Ok(by),
            _ => Err(self.unowned[place]),
        }
    }

    /// The shards that no node can run, and since when.
    pub(crate) fn unowned(&self) -> impl Iterator<Item = (usize, Duration)> + '_ {
        let all = self.unowned.iter().enumerate();
        all.filter_map(|(place, since)| since.map(|since| (place, since)))
    }
}

/// How long the last owner is remembered after its claim is free, so that it can claim the shard first.
pub(crate) const REMEMBERED: Duration = Duration::from_secs(1);
