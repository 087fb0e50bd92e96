//! The watch of a prefix as a component, and its configuration.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::yield_now;
use tracing::Level;

use super::changes::Changes;
use super::follow::{Tell, follow};
use super::freshness::{Freshness, Standing};
use super::settings::{DEFAULT_LIMIT, check_max_age, check_max_bytes, check_max_keys};
use super::values::Values;
use super::view::{PrefixSnapshot, PrefixView};
use crate::etcd::basics::{EtcdConfigError, TARGET};
use crate::etcd::client::{EtcdConfig, ExpectedCluster, Failover};
use crate::etcd::host::{KEYS, clock};
use crate::etcd::records::{Mirror, Pauses, Prefix, SizeLimit};
use crate::shell::component::{Component, Context};
use crate::shell::failure::Failure;
use crate::shell::log::log;

/// Keeps the values below a prefix of etcd current in this process, e.g. a configuration.
///
/// It is a [`Component`]: it is up when it has read all values. A [`PrefixView`] shows the values.
///
/// 1. [`new`](Self::new) with a clone of the probe's configuration, the prefix, and a function that parses one value;
/// 2. [`view`](Self::view), for everything that reads the values;
/// 3. add it in a stage before the components that need the values.
///
/// ```no_run
/// use overwatch::Overwatch;
/// use overwatch::etcd::{EtcdConfig, EtcdProbe, PrefixWatch};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let etcd = EtcdConfig::new(["http://127.0.0.1:2379"])?;
/// let limits = PrefixWatch::new(etcd.clone(), "limits/", |_name, value| {
///     Ok(std::str::from_utf8(value)?.trim().parse::<u32>()?)
/// })?;
/// let view = limits.view();
/// let service = Overwatch::builder(EtcdProbe::new(etcd)?)
///     .component("limits", limits)
///     .next_stage()
///     .task("worker", move |ctx| {
///         let view = view.clone();
///         async move {
///             ctx.mark_ready();
///             while ctx.sleep(std::time::Duration::from_secs(1)).await {
///                 println!("uploads: {:?}, {:?} old", view.get("uploads"), view.age());
///             }
///             Ok(())
///         }
///     })
///     .build()?;
/// service.run_or_exit().await;
/// # Ok(())
/// # }
/// ```
///
/// # How it stays current
///
/// It reads all keys, and then watches them. Because a watch can be silent for ever, a linearizable read compares the
/// values with the store every 2 s. So a view knows how old it is: [`PrefixView::age`].
///
/// | what happens | consequence |
/// | --- | --- |
/// | a leader election | the values get older until it is over |
/// | the watched member dies or hangs | another member is asked; if the watch misses changes, all keys are read again |
/// | the watch falls behind a compaction, or ends for another reason | all keys are read again |
/// | the store was wiped or restored | all keys are read again; values that are gone disappear |
/// | endpoints lead to several clusters | nothing counts as confirmed, so the values get older, until all agree, as for [a lease](crate::etcd#one-cluster); changes of the watched member are still shown |
/// | etcd is away | the values get older; reading is tried again after 100 ms at first, and 2 s at most |
///
/// None of these is a failure of the component: the [probe](crate::etcd::EtcdProbe) decides whether etcd has failed.
/// [`with_max_age`](Self::with_max_age) makes it one when it takes too long.
///
/// # What does not pass by itself
///
/// The user may not read the prefix, or there is more below it than [is allowed](#memory):
///
/// - **If this process has not read the values yet**, the component ends with a [dependency](Failure::dependency)
///   failure that says so: there is nothing that it could show.
/// - **Later** it keeps the values that it has, and they get older. In a later epoch it tries to read them, and comes up
///   with the known ones if they cannot be read for such a reason. A warning in the log, the component's
///   [note](crate::ComponentStatus::note) and the age show it.
///
/// So one write below the prefix, e.g. of a value that is too large, does not stop the nodes that run. But until somebody
/// mends it, no *new* process can start. And with [`with_max_age`](Self::with_max_age) all nodes end at that age, at about
/// the same time, and cannot start again.
///
/// # Values that cannot be parsed
///
/// If the function returns an error or panics, the value is *rejected*: the last good value of that key stays, and all
/// other keys are not affected. (A key that had no good value since the process started has no value.) Each rejected
/// value is logged as a warning, several at once in one line. [`PrefixSnapshot::rejected`] shows them with the reasons,
/// and the component's note shows how many there are. The class of the error has no effect. Keys that are not UTF-8 are
/// rejected as well.
///
/// The function is called once for each value that has changed, on the service's runtime. It must not block.
///
/// # Memory
///
/// By default at most 10,000 keys, and 4 MiB of keys and values together, are accepted:
/// [`with_max_keys`](Self::with_max_keys), [`with_max_bytes`](Self::with_max_bytes). The process holds
///
/// - the keys and values as they are in etcd. While all keys are read anew, there are about three copies of them: the old
///   one, the new one, and the one on its way to the parser. For a moment there may be five, if the parser is slow;
/// - the parsed values. While they change, old ones live as long as a reader has a snapshot with them;
/// - about 500 bytes for each key.
///
/// With the largest limits, 100,000 keys and 64 MiB, this is 120 MiB and the parsed values, and 370 MiB for a moment. A
/// message of etcd that cannot be within the limit is refused before it is read.
///
/// While there is more than the limit, all is read again after 100 ms at first, and after 30 s at most: as long may it
/// take until the values are current again when somebody has mended it.
///
/// # What it costs
///
/// Every 2 s one read, for which etcd looks at all keys and values below the prefix: with 100 nodes and 1 MiB these are
/// 50 MiB a second. So keep only what is needed below the prefix. The answer is one key without its value. Each node
/// also has a watch and a connection of its own, apart from those of the probe.
///
/// While there is too much below the prefix, etcd sends up to [`with_max_bytes`](Self::with_max_bytes) to each node every
/// 30 s.
pub struct PrefixWatch<T> {
    config: Arc<EtcdConfig>,
    failover: Arc<Failover>,
    prefix: Prefix,
    parse: Box<Parse<T>>,
    limit: SizeLimit,
    max_age: Option<Duration>,
    /// Locked by the incarnation that runs.
    values: Mutex<Values<T>>,
    snapshots: watch::Sender<PrefixSnapshot<T>>,
}

type Parse<T> = dyn Fn(&str, &[u8]) -> Result<T, Failure> + Send + Sync;

impl<T: Send + Sync + 'static> PrefixWatch<T> {
    /// Makes a watch of all keys below a prefix. A slash is added to the prefix if it does not end with one.
    ///
    /// `parse` gets the name of a value, which is the part of the key after the prefix, and its bytes. Any error becomes
    /// a [`Failure`] by `?`.
    ///
    /// # Errors
    ///
    /// If the prefix is empty, has more than 512 bytes, or contains white space or control characters; if the
    /// configuration of etcd cannot work.
    pub fn new(
        etcd: EtcdConfig,
        prefix: impl AsRef<str>,
        parse: impl Fn(&str, &[u8]) -> Result<T, Failure> + Send + Sync + 'static,
    ) -> Result<Self, EtcdConfigError> {
        etcd.check()?;
        let prefix = Prefix::parse(prefix.as_ref())?;
        let (patience, config) = (etcd.timing.request_timeout, Arc::new(etcd));
        Ok(Self {
            failover: Arc::new(Failover::new(Arc::clone(&config), patience)),
            values: Mutex::new(Values::new(prefix.all().to_owned())),
            config,
            prefix,
            parse: Box::new(parse),
            limit: DEFAULT_LIMIT,
            max_age: None,
            snapshots: watch::Sender::new(PrefixSnapshot::of_nothing()),
        })
    }

    /// Sets how old the values may become. By default there is no limit.
    ///
    /// If the values could not be confirmed for this long, the component ends with a [dependency](Failure::dependency)
    /// failure, which contains the last cause: the service trips, and starts again with values that are current. Set it
    /// if the service does harm with old values. The age is also that of [`PrefixView::is_current`].
    ///
    /// A start has as long to read the values. It never comes up with known values that are older.
    ///
    /// The age counts in all nodes, so what makes the values old for one of them mostly stops all of them at about the
    /// same time: also [one write](Self#what-does-not-pass-by-itself) that is too large.
    ///
    /// # Errors
    ///
    /// If it is more than a day, or not longer than what passes by itself: with the default configuration 10 s, for an
    /// election and the failover to another member.
    pub fn with_max_age(mut self, age: Duration) -> Result<Self, EtcdConfigError> {
        self.max_age = Some(check_max_age(age, &self.config.timing)?);
        Ok(self)
    }

    /// Sets how many keys may be below the prefix; 10,000 by default.
    ///
    /// # Errors
    ///
    /// If it is 0, or above 100,000.
    pub fn with_max_keys(mut self, keys: usize) -> Result<Self, EtcdConfigError> {
        self.limit.keys = check_max_keys(keys)?;
        Ok(self)
    }

    /// Sets how many bytes all keys and values together may have; 4 MiB by default.
    ///
    /// # Errors
    ///
    /// If it is 0, or above 64 MiB.
    pub fn with_max_bytes(mut self, bytes: usize) -> Result<Self, EtcdConfigError> {
        self.limit.bytes = check_max_bytes(bytes)?;
        Ok(self)
    }

    /// A view of the values. Call this before the watch is added to a service; clone the view for further readers.
    pub fn view(&self) -> PrefixView<T> {
        PrefixView::new(self.snapshots.subscribe(), self.max_age)
    }
}

impl<T: Send + Sync + 'static> PrefixWatch<T> {
    /// Takes changes, and publishes the values that follow from them.
    async fn take(&self, values: &mut Values<T>, changes: Changes) {
        values.drop_removed(&changes);
        for (number, (key, entry)) in changes.changed.into_iter().enumerate() {
            values.put(key, &entry, |name, value| self.parse(name, value));
            // There may be very many.
            if number % AT_ONCE == AT_ONCE - 1 {
                yield_now().await;
            }
        }
        let (keys, changed) = values.publish();
        let as_of = changes.as_of.map(clock::moment_of);
        let mut newest = PrefixSnapshot::new(keys, changes.revision, as_of);
        self.snapshots.send_if_modified(|snapshot| {
            std::mem::swap(snapshot, &mut newest);
            changed
        });
        // Not while the snapshot is locked: the drop of a value is user code.
        drop(newest);
        if let Some(rejected) = values.take_rejected() {
            let prefix = self.prefix.all().to_owned();
            log(Level::WARN, move |at_ms| {
                tracing::warn!(target: TARGET, at_ms, prefix, rejected, "a value was rejected");
            });
        }
    }

    fn parse(&self, name: &str, value: &[u8]) -> Result<T, String> {
        let parsed = catch_unwind(AssertUnwindSafe(|| (self.parse)(name, value)));
        let parsed = parsed.unwrap_or_else(|panic| Err(Failure::from_panic(panic)));
        parsed.map_err(|failure| failure.text())
    }

    /// Follows the keys, on the thread for keys.
    async fn follow(&self, tell: Tell) -> Failure {
        let prefix = self.prefix.all();
        let expected = self.config.expected();
        let seed = || RandomState::new().hash_one(0);
        let seed = self.config.jitter_seed.unwrap_or_else(seed);
        let mirror = Mirror::bounded(
            Arc::clone(&self.failover),
            expected.map_or(ExpectedCluster::Any, ExpectedCluster::Cluster),
            prefix.to_owned(),
            self.limit,
            Pauses::spread(seed),
        );
        // What an earlier epoch has read.
        let known = self.snapshots.borrow().as_of().map(clock::time_of);
        let freshness = Freshness::new(prefix.to_owned(), self.max_age, known, clock::now());
        let why = match KEYS.run(follow(mirror, freshness, tell)).await {
            Ok(Some(why)) => why,
            Ok(None) => "the values have no reader any more".to_owned(),
            Err(_) => "the thread of etcd's clients has ended".to_owned(),
        };
        Failure::new(why).dependency()
    }
}

#[async_trait::async_trait]
impl<T: Send + Sync + 'static> Component for PrefixWatch<T> {
    async fn run(&self, ctx: Context) -> Result<(), Failure> {
        let mut values = self.values.lock().await;
        // What an earlier connection knows may be outdated.
        self.failover.reopen();
        let (changes, mut changed) = mpsc::channel(1);
        let (standing, mut stands) = watch::channel(Standing::default());
        let mut following = pin!(ctx.as_part_of_run(self.follow(Tell { changes, standing })));
        let mut note = String::new();
        loop {
            tokio::select! {
                biased;
                () = ctx.stopping() => return Ok(()),
                Some(changes) = changed.recv() => {
                    let taken = ctx.until_stopping(self.take(&mut values, changes));
                    if taken.await.is_none() {
                        return Ok(());
                    }
                    ctx.mark_ready();
                }
                Ok(()) = stands.changed() => {}
                failure = &mut following => return Err(failure),
            }
            let standing = stands.borrow_and_update().clone();
            if standing.uses_known {
                ctx.mark_ready();
            }
            let newest = values.note(standing.trouble.as_deref());
            if newest != note {
                ctx.note(&newest);
                note = newest;
            }
        }
    }
}

impl<T> fmt::Debug for PrefixWatch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrefixWatch")
            .field("prefix", &self.prefix)
            .field("limit", &self.limit)
            .field("max_age", &self.max_age)
            .finish_non_exhaustive()
    }
}

/// How many values are parsed before other tasks get their turn.
const AT_ONCE: usize = 50;
