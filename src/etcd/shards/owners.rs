//! Who owns which shard, for whoever wants to know.

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use super::Work;
use super::claims::{Claim, View};
use super::job::Shard;
use super::jobs::Jobs;

/// Who owns which shard of a work, as this node sees it. From [`Shards::owners`](super::Shards::owners).
///
/// Empty before the node first takes part; the last that was known while it is away.
#[derive(Clone, Default)]
pub struct Owners(Option<Seen>);

#[derive(Clone)]
struct Seen {
    work: Arc<Work>,
    view: Arc<View>,
    jobs: Jobs,
}

/// Who owns a shard: who has claimed it. Its function may run there, drain, or wait after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner<'a> {
    /// The node with this id.
    Node(&'a str),
    /// Nobody, so that it runs nowhere.
    Nobody {
        /// Since when, as far as this node has seen.
        since: Instant,
    },
}

impl Owners {
    pub(super) fn new(work: Arc<Work>, view: Arc<View>, jobs: Jobs) -> Self {
        Self(Some(Seen { work, view, jobs }))
    }

    /// It holds every change up to this moment, and perhaps later ones: a quorum of etcd confirmed it to a
    /// question of that time. `None` before the node first takes part. When it gets older than some seconds,
    /// etcd does not answer, or the node is away.
    pub fn as_of(&self) -> Option<Instant> {
        self.0.as_ref().and_then(|seen| seen.view.as_of)
    }

    /// All shards of this node's list, in their order, each by its name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Owner<'_>)> {
        self.0.iter().flat_map(|seen| {
            let names = seen.work.list.names().iter().map(|name| &**name);
            let owners = seen.view.claims.iter().enumerate();
            names.zip(owners.map(|(place, claim)| seen.view.owner(place, claim)))
        })
    }

    /// The shards that nobody owns, and since when. Where all is well a shard has no owner for a second or two
    /// when its node has died, and for some milliseconds when it moves.
    pub fn unowned(&self) -> impl Iterator<Item = (&str, Instant)> {
        self.iter().filter_map(|(name, owner)| match owner {
            Owner::Node(_) => None,
            Owner::Nobody { since } => Some((name, since)),
        })
    }

    /// The shards whose function runs at this node now (and not as of when the rest was seen).
    pub fn here(&self) -> Vec<Shard> {
        let jobs = self.0.iter().flat_map(|seen| seen.jobs.all().into_values());
        jobs.filter(|shard| !shard.is_given_up()).collect()
    }
}

impl fmt::Debug for Owners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl View {
    fn owner<'a>(&self, place: usize, claim: &'a Claim) -> Owner<'a> {
        match (claim, self.unowned.get(&place)) {
            (Claim::Held { by, .. }, None) => Owner::Node(by),
            (_, since) => Owner::Nobody {
                // It is there for all that nobody holds.
                since: since.copied().unwrap_or_else(Instant::now),
            },
        }
    }
}
