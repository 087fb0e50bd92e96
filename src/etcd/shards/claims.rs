//! Who has what, as etcd tells it. Pure, as all that is told the time as what has passed since an origin.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::list::{Group, Identity, List};
use super::plan::plan;

/// Who has claimed a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Nobody. It may be claimed from this moment on.
    None {
        from: Duration,
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

impl Claim {
    /// The revision of the claim, if it is one of this lease.
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
    /// It holds all changes up to this one.
    pub(crate) revision: i64,
    /// Who takes part, and with which list of shards.
    pub(crate) on: BTreeMap<String, Identity>,
    /// The shards by who knows them.
    pub(crate) groups: Arc<[Group]>,
    /// Whether what others need to know of this node's list is there, if there is any such thing.
    pub(crate) list_is_there: bool,
    /// Whether this node does, under its present lease.
    pub(crate) taking_part: bool,
    /// For each shard.
    pub(crate) claims: Vec<Claim>,
    /// For each shard: since when nobody can run it, if that is so.
    pub(crate) unowned: Arc<Vec<Option<Duration>>>,
    /// A quorum confirmed it to a question of this moment.
    pub(crate) as_of: Option<Duration>,
}

impl View {
    /// Whether each shard should be at this node. Those that only some of the nodes know are planned among
    /// them.
    ///
    /// Whoever is back before its claim is free is its holder still, in spite of a lease that ran out.
    /// Not all nodes know that, so it does not hold for long.
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

    /// Of the shards that run here under this lease, each with the revision of its claim: those whose claim is gone,
    /// or is another one.
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

    /// Who owns a shard. Otherwise since when nobody does, as far as that was seen.
    pub(crate) fn owner(&self, place: usize) -> Result<&str, Option<Duration>> {
        match &self.claims[place] {
            // What no node wrote owns nothing.
            Claim::Held { by, .. } if !by.is_empty() => Ok(by),
            _ => Err(self.unowned[place]),
        }
    }

    /// The shards that nobody can run, and since when.
    pub(crate) fn unowned(&self) -> impl Iterator<Item = (usize, Duration)> + '_ {
        let all = self.unowned.iter().enumerate();
        all.filter_map(|(place, since)| since.map(|since| (place, since)))
    }
}

/// For how long after its claim is free, so that it can claim it first.
pub(crate) const REMEMBERED: Duration = Duration::from_secs(1);
