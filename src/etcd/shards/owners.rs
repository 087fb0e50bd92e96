//! Who owns which shard, for whoever wants to know.

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use super::claims::View;
use super::job::Shard;
use super::jobs::Jobs;
use super::work::Work;
use crate::etcd::host::clock::moment_of;

/// The owner of each shard of a work, as this node sees it. From [`Shards::owners`](crate::etcd::Shards::owners).
///
/// Empty before the node first takes part; the last that was known while it is away.
#[derive(Clone, Default)]
pub struct Owners(Option<OwnersView>);

#[derive(Clone)]
struct OwnersView {
    work: Arc<Work>,
    view: Arc<View>,
    jobs: Jobs,
}

/// Who owns a shard: who has claimed it. Its function may run there, drain, or wait after a failure. There is
/// nothing else that could own it, so a `match` on this stays complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "nothing else could own a shard")]
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
    pub(crate) fn new(work: Arc<Work>, view: Arc<View>, jobs: Jobs) -> Self {
        Self(Some(OwnersView { work, view, jobs }))
    }

    /// It holds every change up to this moment, and perhaps later ones: a quorum of etcd confirmed it to a
    /// question of that time. `None` before the node first takes part. When it gets older than some seconds,
    /// etcd does not answer, or the node is away.
    pub fn as_of(&self) -> Option<Instant> {
        self.0
            .as_ref()
            .and_then(|seen| seen.view.as_of)
            .map(moment_of)
    }

    /// All shards of this node's list, in their order, each by its name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Owner<'_>)> {
        self.0.iter().flat_map(|seen| {
            let names = seen.work.list.names().iter().enumerate();
            names.map(|(place, name)| (&**name, owner(&seen.view, place)))
        })
    }

    /// Who owns the shard of this name; `None` if this node's list has none.
    pub fn get(&self, name: &str) -> Option<Owner<'_>> {
        self.iter()
            .find(|(shard, _)| *shard == name)
            .map(|(_, owner)| owner)
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

impl<'a> IntoIterator for &'a Owners {
    type Item = (&'a str, Owner<'a>);
    type IntoIter = Box<dyn Iterator<Item = Self::Item> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.iter())
    }
}

impl fmt::Debug for Owners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // There may be very many.
        f.debug_struct("Owners")
            .field("shards", &self.iter().count())
            .field("unowned", &self.unowned().count())
            .field("as_of", &self.as_of())
            .finish_non_exhaustive()
    }
}

fn owner(view: &View, place: usize) -> Owner<'_> {
    match view.owner(place) {
        Ok(id) => Owner::Node(id),
        Err(since) => Owner::Nobody {
            // It is there for all that nobody can run.
            since: since.map_or_else(Instant::now, moment_of),
        },
    }
}
