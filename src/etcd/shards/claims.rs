//! Who has what, as etcd tells it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::list::{Group, Identity, List};
use super::plan::plan;

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
    /// The shards by who knows them.
    pub(super) groups: Arc<[Group]>,
    /// Whether what others need to know of this node's list is there, if there is any such thing.
    pub(super) list_is_there: bool,
    /// Whether this node does, under its present lease.
    pub(super) taking_part: bool,
    /// For each shard.
    pub(super) claims: Vec<Claim>,
    /// For each shard: since when nobody can run it, if that is so.
    pub(super) unowned: Arc<Vec<Option<Instant>>>,
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
        for group in self.groups.iter() {
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
            let own = at.get(id).copied();
            let planned = plan(&group.seed(work), &members, &shards, &holders);
            for (&place, planned) in group.places.iter().zip(planned) {
                here[place] = planned.is_some() && planned == own;
            }
        }
        here
    }

    /// The shards that nobody can run, and since when.
    pub(super) fn unowned(&self) -> impl Iterator<Item = (usize, Instant)> + '_ {
        let all = self.unowned.iter().enumerate();
        all.filter_map(|(place, since)| since.map(|since| (place, since)))
    }
}

/// For how long after its claim is free, so that it can claim it first.
pub(super) const REMEMBERED: Duration = Duration::from_secs(1);
