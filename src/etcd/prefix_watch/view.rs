//! The values below a prefix, as readers see them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::freshness::{age, is_current};
use super::values::{Keys, Values};
use crate::etcd::host::clock;

/// The newest values of a [`PrefixWatch`](crate::etcd::PrefixWatch). From
/// [`PrefixWatch::view`](crate::etcd::PrefixWatch::view).
///
/// It is cheap to clone, and can be read from any task and thread; a read waits for nothing. It survives the epochs:
/// while the service is stopped, it shows the last known values, and their [`age`](Self::age) grows.
///
/// ```
/// use overwatch::etcd::PrefixView;
///
/// async fn follow(mut limits: PrefixView<u32>) {
///     while let Some(now) = limits.changed().await {
///         for (name, limit) in &now {
///             println!("{name} may take {limit}");
///         }
///     }
/// }
///
/// fn may_take(limits: &PrefixView<u32>, name: &str) -> u32 {
///     if !limits.is_current() {
///         return 1; // carefully, because nobody knows the limit at the moment
///     }
///     limits.get(name).map_or(10, |limit| *limit)
/// }
/// ```
pub struct PrefixView<T> {
    snapshots: watch::Receiver<PrefixSnapshot<T>>,
    max_age: Option<Duration>,
}

impl<T> PrefixView<T> {
    pub(crate) fn new(
        snapshots: watch::Receiver<PrefixSnapshot<T>>,
        max_age: Option<Duration>,
    ) -> Self {
        Self { snapshots, max_age }
    }

    /// All values as they are now. The snapshot does not change any more.
    pub fn snapshot(&self) -> PrefixSnapshot<T> {
        self.snapshots.borrow().clone()
    }

    /// The value of one key, by the part of the key after the prefix.
    ///
    /// If the present value could not be parsed, this is the last one that could.
    pub fn get(&self, name: &str) -> Option<Arc<T>> {
        self.snapshots.borrow().value(name).cloned()
    }

    /// Waits until something has changed since this view was made, or since the last call, and returns all values.
    ///
    /// The first complete list is a change as well. Several changes may be combined, and changes are published 20 times
    /// a second at most. Returns `None` when there will be no more, because the component was dropped. This may be
    /// cancelled: no change is lost.
    pub async fn changed(&mut self) -> Option<PrefixSnapshot<T>> {
        self.snapshots.changed().await.ok()?;
        Some(self.snapshots.borrow_and_update().clone())
    }

    /// How old the values are: since when they may have changed without being seen.
    ///
    /// A quorum of etcd confirmed them in answer to a request that was sent then. The next request is sent 2 s after the
    /// answer, so normally this is at most 2 s and the time of two requests. It is `None` before the first complete list. The time in which the whole machine is
    /// suspended does not count.
    pub fn age(&self) -> Option<Duration> {
        let as_of = self.snapshots.borrow().as_of;
        age(as_of.map(clock::time_of), clock::now())
    }

    /// Whether the values were confirmed lately: their [`age`](Self::age) is at most 10 s, or at most
    /// [`max_age`](crate::etcd::PrefixWatch::with_max_age) if one is set.
    pub fn is_current(&self) -> bool {
        is_current(self.age(), self.max_age)
    }
}

/// Clones are independent: each of them sees each change. A clone counts the same changes as seen as its original.
impl<T> Clone for PrefixView<T> {
    fn clone(&self) -> Self {
        Self {
            snapshots: self.snapshots.clone(),
            max_age: self.max_age,
        }
    }
}

impl<T> fmt::Debug for PrefixView<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrefixView")
            .field("snapshot", &self.snapshot())
            .field("age", &self.age())
            .finish_non_exhaustive()
    }
}

/// All values of a [`PrefixWatch`](crate::etcd::PrefixWatch) at one moment, in the order of their names.
///
/// The name of a value is the part of its key after the prefix. Cheap to clone.
pub struct PrefixSnapshot<T> {
    keys: Arc<Keys<T>>,
    revision: i64,
    as_of: Option<Instant>,
}

impl<T> PrefixSnapshot<T> {
    pub(crate) fn new(keys: Arc<Keys<T>>, revision: i64, as_of: Option<Instant>) -> Self {
        Self {
            keys,
            revision,
            as_of,
        }
    }

    /// Before the first complete list.
    pub(crate) fn of_nothing() -> Self {
        let (keys, _) = Values::new(String::new()).publish();
        Self::new(keys, 0, None)
    }

    /// The value with this name. If the present value could not be parsed, this is the last one that could.
    pub fn get(&self, name: &str) -> Option<&T> {
        self.value(name).map(|value| &**value)
    }

    fn value(&self, name: &str) -> Option<&Arc<T>> {
        self.keys.named.get(name)?.value.as_ref()
    }

    /// All values and their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.keys.good().map(|(name, value)| (name, &**value))
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        self.keys.good().count()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.keys.good().next().is_none()
    }

    /// The names of the keys whose present value was rejected, each with the reason.
    ///
    /// [`get`](Self::get) returns the last good value of such a key, if this process has seen one.
    pub fn rejected(&self) -> impl Iterator<Item = (&str, &str)> {
        self.keys.rejected()
    }

    /// The snapshot contains all changes up to this revision of etcd; 0 before the first complete list.
    ///
    /// It is that of the list, or of the last change below the prefix. Other changes in etcd do not raise it, and a
    /// confirmation does not either. After the store was wiped or restored it may be lower than before.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The moment up to which the snapshot contains every change, and perhaps later ones. It is `None` before the first
    /// complete list.
    pub fn as_of(&self) -> Option<Instant> {
        self.as_of
    }
}

impl<T> Clone for PrefixSnapshot<T> {
    fn clone(&self) -> Self {
        Self {
            keys: Arc::clone(&self.keys),
            ..*self
        }
    }
}

impl<'a, T> IntoIterator for &'a PrefixSnapshot<T> {
    type Item = (&'a str, &'a T);
    type IntoIter = Box<dyn Iterator<Item = Self::Item> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.iter())
    }
}

impl<T> fmt::Debug for PrefixSnapshot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // There may be very many, and values may be secret.
        f.debug_struct("PrefixSnapshot")
            .field("values", &self.len())
            .field("rejected", &self.rejected().count())
            .field("revision", &self.revision)
            .field("as_of", &self.as_of)
            .finish()
    }
}
