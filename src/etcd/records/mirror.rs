//! A copy of all keys below a prefix, updated by a watch and checked by reads.
//!
//! A watch alone can be silent for ever. So at an interval a linearizable read asks for the number of keys
//! and the last change. If the copy agrees, it is as new as that request. If it
//! still disagrees at the next check, it is made anew.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{
    Client, Error, GetOptions, KeyValue, SortOrder, SortTarget, WatchOptions, WatchResponse,
    WatchStream,
};
use tokio::time::{Instant, sleep_until};
use tracing::Level;

use super::copy_check::{Checked, CopyCheck, Digest, LONGEST_UNCHECKED, Pauses, ReadState};
use super::entry::Entry;
use super::foreign_keys::{ForeignKeys, Warning};
use super::key_copy::{KeyChanges, KeyCopy, Listing};
use super::not_current::NotCurrent;
use super::size_limit::SizeLimit;
use crate::etcd::basics::{EtcdError, Fault, Loudness, TARGET};
use crate::etcd::client::{ExpectedCluster, Failover, Turn, next};
use crate::etcd::host::clock;
use crate::shell::log::log;

/// Logs the new warnings about keys that no node wrote.
pub(crate) fn warn_of(foreign: &mut ForeignKeys) {
    for Warning { key, what } in foreign.take_warnings() {
        log(Level::WARN, move |at_ms| {
            tracing::warn!(target: TARGET, at_ms, key, what, "a key that no node wrote");
        });
    }
}

/// The copy, with its watch and its checks. All work is done within [`next`](Self::next), which may be dropped.
pub(crate) struct Mirror {
    failover: Arc<Failover>,
    /// The cluster that the keys must belong to.
    expected: ExpectedCluster,
    /// The cluster of this copy.
    of: ExpectedCluster,
    prefix: String,
    limit: SizeLimit,
    /// The most keys that are read by one request.
    page: i64,
    copy: KeyCopy,
    watch: Option<WatchStream>,
    as_of: Option<Instant>,
    check: CopyCheck,
    checking: Option<Checking>,
    /// The turn of the failover when it was last read. In a later turn another member is asked than the one with the
    /// watch.
    turn: Turn,
}

/// A pending check.
type Checking = Pin<Box<dyn Future<Output = Result<ReadState, EtcdError>> + Send>>;

impl Mirror {
    /// A mirror of the keys of this cluster below the prefix.
    pub(crate) fn new(
        failover: Arc<Failover>,
        cluster: u64,
        prefix: impl Into<String>,
        every: Duration,
    ) -> Self {
        let expected = ExpectedCluster::Cluster(cluster);
        let check = CopyCheck::new(every, Pauses::SHORT, clock::now());
        Self::with(
            failover,
            expected,
            prefix.into(),
            SizeLimit::NONE,
            PAGE,
            check,
        )
    }

    /// A mirror of keys that anybody may write, of any size up to this limit.
    ///
    /// If no cluster is expected, each copy is of the cluster that answers first. While the endpoints belong to several
    /// clusters, no copy is made, and none is confirmed.
    pub(crate) fn bounded(
        failover: Arc<Failover>,
        expected: ExpectedCluster,
        prefix: String,
        limit: SizeLimit,
        pauses: Pauses,
    ) -> Self {
        let check = CopyCheck::new(LONGEST_UNCHECKED, pauses, clock::now());
        Self::with(
            failover,
            expected,
            prefix,
            limit,
            PAGE_OF_FOREIGN_KEYS,
            check,
        )
    }

    fn with(
        failover: Arc<Failover>,
        expected: ExpectedCluster,
        prefix: String,
        limit: SizeLimit,
        page: i64,
        check: CopyCheck,
    ) -> Self {
        Self {
            turn: failover.turn(),
            failover,
            expected,
            of: expected,
            prefix,
            limit,
            page,
            copy: KeyCopy::default(),
            watch: None,
            as_of: None,
            check,
            checking: None,
        }
    }

    pub(crate) fn entries(&self) -> &BTreeMap<Vec<u8>, Entry> {
        self.copy.entries()
    }

    /// Takes the keys that were removed since the last call, with their last state. Empty after the copy was made anew.
    pub(crate) fn take_removed(&mut self) -> Vec<(Vec<u8>, Entry)> {
        self.copy.take_removed()
    }

    /// The copy contains all changes up to this revision.
    pub(crate) fn revision(&self) -> i64 {
        self.copy.revision()
    }

    /// The copy is at least as new as this; `None` before it was first made.
    pub(crate) fn as_of(&self) -> Option<Instant> {
        self.as_of
    }

    /// Waits until the copy has changed or was confirmed. It never gives up while etcd does not answer.
    pub(crate) async fn next(&mut self) -> KeyChanges {
        loop {
            if let Ok(news) = self.step().await {
                return news;
            }
        }
    }

    /// Waits until the copy has changed or was confirmed, or until one attempt has failed. The next call tries again.
    pub(crate) async fn step(&mut self) -> Result<KeyChanges, NotCurrent> {
        loop {
            let Some(watch) = &mut self.watch else {
                sleep_until(clock::moment_of(self.check.rest_until())).await;
                match self.make().await {
                    Ok(()) => return Ok(KeyChanges::Anew),
                    Err(cause) => return Err(self.not_made(cause)),
                }
            };
            let check = async {
                if let Some(checking) = &mut self.checking {
                    return Some(checking.await);
                }
                sleep_until(clock::moment_of(self.check.check_at())).await;
                None
            };
            tokio::select! {
                biased;
                message = next(watch) => match message.and_then(|message| self.of.believe(message)) {
                    Ok(message) => if self.take(&message) {
                        let (keys, bytes) = (self.copy.entries().len(), self.copy.bytes());
                        let Some(why) = self.limit.exceeded(&self.prefix, keys, bytes) else {
                            if let Some(as_of) = self.check.advanced(self.copy.revision(), clock::now()) {
                                self.as_of = Some(clock::moment_of(as_of));
                            }
                            return Ok(KeyChanges::Changed);
                        };
                        // It is made anew when there is less.
                        self.watch = None;
                        return Err(self.not_made(NotCurrent::TooLarge(why)));
                    },
                    Err(cause) => {
                        let (prefix, class, why) =
                            (self.prefix.clone(), cause.fault.as_str(), cause.text);
                        log(Level::DEBUG, move |at_ms| {
                            tracing::debug!(target: TARGET, at_ms, prefix, class, why, "the watch ended");
                        });
                        self.watch = None;
                        self.check.ended(clock::now());
                    }
                },
                () = self.failover.moved(self.turn) => {
                    self.turn = self.failover.turn();
                    self.check.moved(clock::now());
                }
                checked = check => match checked {
                    None => {
                        self.check.checking(self.copy.revision(), clock::now());
                        self.checking = Some(self.read_state());
                    }
                    Some(answer) => {
                        self.checking = None;
                        match answer {
                            Ok(read) => if self.is_confirmed(read) {
                                return Ok(KeyChanges::Confirmed);
                            },
                            Err(cause) => return Err(self.not_checked(cause.into())),
                        }
                    }
                },
            }
        }
    }

    /// Reads all keys, and watches them from there on.
    async fn make(&mut self) -> Result<(), NotCurrent> {
        let sent = Instant::now();
        let mut of = self.expected;
        self.failover.undivided(of)?;
        let longest_message = self.limit.longest_message();
        let mut listing = Listing::new(&self.prefix);
        loop {
            let options = GetOptions::new()
                .with_range(listing.end())
                .with_limit(self.page)
                .with_revision(listing.revision());
            let key = listing.from().to_owned();
            let ask = |client: Client| async move {
                // Foreign values may make a page this large.
                let client = client.kv_client();
                let mut client = client.max_decoding_message_size(longest_message);
                client.get(key, Some(options)).await
            };
            let page = self.failover.ask(of, ask).await;
            let page = page.map_err(|cause| self.not_read(cause))?;
            let header = page.header().ok_or_else(EtcdError::without_header)?;
            of = of.or_bound_to(header.cluster_id());
            listing.announced(page.count());
            let keys = page.kvs().iter().map(entry);
            let more = listing.page(header.revision(), keys, page.more());
            let (keys, bytes) = (listing.keys(), listing.bytes());
            if let Some(why) = self.limit.exceeded(&self.prefix, keys, bytes) {
                return Err(NotCurrent::TooLarge(why));
            }
            if !more {
                break;
            }
        }
        let options = WatchOptions::new()
            .with_range(listing.end())
            .with_start_revision(listing.watched_from());
        let prefix = self.prefix.clone();
        let ask = |client: Client| async move {
            let client = client.watch_client();
            let mut client = client.max_decoding_message_size(longest_message);
            let mut watch = client.watch(prefix, Some(options)).await?;
            let message = watch.message().await?;
            let begun =
                message.ok_or_else(|| Error::WatchError("the server ended the watch".into()))?;
            Ok((watch, begun))
        };
        let (watch, begun) = self.failover.ask(of, ask).await?;
        if begun.canceled() {
            return Err(EtcdError::of_canceled_watch(begun.cancel_reason()).into());
        }
        self.of = of;
        self.watch = Some(watch);
        self.copy = listing.finish();
        self.as_of = Some(sent);
        self.check.made(clock::now());
        self.checking = None;
        // This copy is newer than any earlier turn.
        self.turn = self.failover.turn();
        Ok(())
    }

    /// Why a page could not be read.
    fn not_read(&self, cause: EtcdError) -> NotCurrent {
        match self.limit.exceeded_by_page(&self.prefix, &cause) {
            Some(why) => NotCurrent::TooLarge(why),
            None => cause.into(),
        }
    }

    /// Notes and logs that the copy could not be made.
    fn not_made(&mut self, cause: NotCurrent) -> NotCurrent {
        let loudness = self.check.not_made(&cause, clock::now());
        self.log(
            loudness,
            &cause,
            "cannot follow what is below the prefix",
            "what is below the prefix is read with a new token",
        );
        cause
    }

    /// Notes and logs that the copy could not be checked.
    fn not_checked(&mut self, cause: NotCurrent) -> NotCurrent {
        let loudness = self.check.not_checked(&cause, clock::now());
        self.log(
            loudness,
            &cause,
            "cannot confirm what is below the prefix",
            "what is below the prefix is confirmed with a new token",
        );
        cause
    }

    fn log(
        &self,
        loudness: Loudness,
        cause: &NotCurrent,
        warning: &'static str,
        with_new_token: &'static str,
    ) {
        let (prefix, cause) = (self.prefix.clone(), cause.clone());
        match loudness {
            Loudness::Warn => log(Level::WARN, move |at_ms| {
                let (class, why) = (cause.fault().map(Fault::as_str), cause.text());
                tracing::warn!(target: TARGET, at_ms, prefix, class, why, "{warning}");
            }),
            Loudness::Debug => log(Level::DEBUG, move |at_ms| {
                let why = cause.text();
                tracing::debug!(target: TARGET, at_ms, prefix, why, "{with_new_token}");
            }),
            Loudness::Silent => {}
        }
    }

    /// Takes a message of the watch. Returns whether anything changed.
    fn take(&mut self, message: &WatchResponse) -> bool {
        for event in message.events() {
            if let Some(kv) = event.kv() {
                let (key, entry) = entry(kv);
                self.copy.changed(key, kv.version(), entry);
            }
        }
        !message.events().is_empty()
    }

    /// Whether what was read confirms the copy.
    fn is_confirmed(&mut self, read: ReadState) -> bool {
        let (copy, revision) = (self.copy.digest(), self.copy.revision());
        match self.check.checked(read, copy, revision, clock::now()) {
            Checked::Confirmed(as_of) => {
                self.as_of = Some(clock::moment_of(as_of));
                true
            }
            Checked::Again => false,
            Checked::Deaf => {
                let prefix = self.prefix.clone();
                log(Level::DEBUG, move |at_ms| {
                    tracing::debug!(target: TARGET, at_ms, prefix, "the watch does not tell what is read");
                });
                self.watch = None;
                false
            }
        }
    }

    /// Reads the state of the keys for a check.
    fn read_state(&self) -> Checking {
        let (failover, prefix) = (Arc::clone(&self.failover), self.prefix.clone());
        let (expected, of) = (self.expected, self.of);
        Box::pin(async move {
            let options = GetOptions::new()
                .with_prefix()
                .with_sort(SortTarget::Mod, SortOrder::Descend)
                .with_limit(1)
                .with_keys_only();
            let ask = |mut client: Client| async move { client.get(prefix, Some(options)).await };
            let answer = failover.ask(of, ask).await?;
            // The copy may be of the wrong one of several clusters.
            failover.undivided(expected)?;
            let header = answer.header().ok_or_else(EtcdError::without_header)?;
            let newest = answer.kvs().first().map(KeyValue::mod_revision);
            Ok(ReadState {
                digest: Digest::of(answer.count(), newest),
                revision: header.revision(),
            })
        })
    }
}

fn entry(kv: &KeyValue) -> (Vec<u8>, Entry) {
    let entry = Entry {
        value: kv.value().to_owned(),
        lease: kv.lease(),
        revision: kv.mod_revision(),
    };
    (kv.key().to_owned(), entry)
}

/// This number of keys fits well into one answer.
const PAGE: i64 = 200;
/// Fewer, because values of others may be large.
const PAGE_OF_FOREIGN_KEYS: i64 = 50;
