//! The published owners of the shards.

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
/// It is empty before the node first takes part. While the node does not take part, it shows the last known owners.
///
/// ```
/// use overwatch::etcd::Owners;
///
/// fn print(owners: &Owners) {
///     for (shard, owner) in owners.iter() {
///         println!("{shard}: {owner:?}");
///     }
///     for (shard, since) in owners.unowned() {
///         println!("{shard} has had no owner for {:?}", since.elapsed());
///     }
/// }
/// ```
#[derive(Clone, Default)]
pub struct Owners(Option<OwnersView>);

#[derive(Clone)]
struct OwnersView {
    work: Arc<Work>,
    view: Arc<View>,
    jobs: Jobs,
}

/// The owner of a shard: the node that has claimed it.
///
/// On that node the function may run, be about to stop, or wait after a failure. No further variant can be added, so
/// a `match` stays complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "nothing else could own a shard")]
pub enum Owner<'a> {
    /// The node with this id.
    Node(&'a str),
    /// No node, so the shard runs nowhere.
    Nobody {
        /// Since when, as far as this node has seen.
        since: Instant,
    },
}

impl Owners {
    pub(crate) fn new(work: Arc<Work>, view: Arc<View>, jobs: Jobs) -> Self {
        Self(Some(OwnersView { work, view, jobs }))
    }

    /// The moment up to which this contains every change, and perhaps later ones.
    ///
    /// A quorum of etcd confirmed it in answer to a request of that moment. It is `None` before the node first takes
    /// part. If it gets older than some seconds, etcd does not answer, or the node does not take part.
    pub fn as_of(&self) -> Option<Instant> {
        self.0
            .as_ref()
            .and_then(|seen| seen.view.as_of)
            .map(moment_of)
    }

    /// All shards of this node's list, in order: the name and the owner of each.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Owner<'_>)> {
        self.0.iter().flat_map(|seen| {
            let names = seen.work.list.names().iter().enumerate();
            names.map(|(place, name)| (&**name, owner(&seen.view, place)))
        })
    }

    /// The owner of the shard with this name; `None` if this node's list has no such shard.
    pub fn get(&self, name: &str) -> Option<Owner<'_>> {
        self.iter()
            .find(|(shard, _)| *shard == name)
            .map(|(_, owner)| owner)
    }

    /// The shards without an owner, and since when they have none.
    ///
    /// Normally a shard has no owner for a second or two if its node has died, and for some milliseconds when it moves.
    pub fn unowned(&self) -> impl Iterator<Item = (&str, Instant)> {
        self.iter().filter_map(|(name, owner)| match owner {
            Owner::Node(_) => None,
            Owner::Nobody { since } => Some((name, since)),
        })
    }

    /// The shards whose function runs on this node now, and not as of [`as_of`](Self::as_of).
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
            // A shard without an owner always has a time here.
            since: since.map_or_else(Instant::now, moment_of),
        },
    }
}
