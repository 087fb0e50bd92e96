//! A copy of all keys below a prefix, kept up by a watch and checked by reads.
//!
//! A watch alone can be silent for ever. So every so often a linearizable read asks how many keys
//! there are and which was changed last: if the copy agrees, it is as new as that question; if it
//! goes on disagreeing, it is made anew.

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

use super::backoff::PAUSE;
use super::belief::Of;
use super::cause::Cause;
use super::connection::next;
use super::entry::Entry;
use super::line::{Line, TARGET};
use super::strange::{Strange, Warning};
use crate::shell::log;

/// Logs what is newly known of keys that nobody of ours wrote.
pub(super) fn warn_of(strange: &mut Strange) {
    for Warning { key, what } in strange.take_warnings() {
        log(Level::WARN, move |at_ms| {
            tracing::warn!(target: TARGET, at_ms, key, "nothing that a node wrote: {what}");
        });
    }
}

/// What is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The copy was made anew; what lies between is not known.
    Anew,
    /// Keys changed.
    Changed,
    /// Nothing changed, and the copy is newer than before.
    Confirmed,
}

/// The copy, and what keeps it up. All is done within [`next`](Self::next), which may be dropped.
pub(super) struct Mirror {
    line: Arc<Line>,
    /// The cluster whose keys these are.
    of: Of,
    prefix: String,
    /// How often it is checked.
    every: Duration,
    entries: BTreeMap<Vec<u8>, Entry>,
    /// What was removed, as it last was, since this was asked.
    removed: Vec<(Vec<u8>, Entry)>,
    /// The copy holds all changes up to this one.
    revision: i64,
    watch: Option<WatchStream>,
    as_of: Option<Instant>,
    check_at: Instant,
    /// When it was last checked, or begun to be.
    checked_at: Instant,
    checking: Option<Checking>,
    /// The turn of the line when that was last looked at. In a later one another member answers than the one
    /// that is watched.
    turn: usize,
    /// When the watch was begun, or another is to be at the earliest.
    begun: Instant,
    rest_until: Instant,
    failing: bool,
    /// The copy's revision when a read last disagreed with it.
    doubt: Option<i64>,
}

type Checking = Pin<Box<dyn Future<Output = Result<Digest, Cause>> + Send>>;

/// What tells two states of the keys apart: after the last change keys can only have been deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Digest {
    sent: Instant,
    count: i64,
    newest: i64,
}

impl Mirror {
    /// Of the keys that this cluster has below the prefix.
    pub(super) fn new(
        line: Arc<Line>,
        cluster: u64,
        prefix: impl Into<String>,
        every: Duration,
    ) -> Self {
        let now = Instant::now();
        Self {
            turn: line.turn(),
            line,
            of: Of::Cluster(cluster),
            prefix: prefix.into(),
            every: every.min(LONGEST_UNCHECKED),
            entries: BTreeMap::new(),
            removed: Vec::new(),
            revision: 0,
            watch: None,
            as_of: None,
            check_at: now,
            checked_at: now,
            checking: None,
            begun: now,
            rest_until: now,
            failing: false,
            doubt: None,
        }
    }

    pub(super) fn entries(&self) -> &BTreeMap<Vec<u8>, Entry> {
        &self.entries
    }

    /// The keys that were removed since this was last asked, each as it last was. Empty after the copy
    /// was made anew.
    pub(super) fn take_removed(&mut self) -> Vec<(Vec<u8>, Entry)> {
        std::mem::take(&mut self.removed)
    }

    /// The copy holds all changes up to this revision.
    pub(super) fn revision(&self) -> i64 {
        self.revision
    }

    /// The copy is at least as new as this; none before it was first made.
    pub(super) fn as_of(&self) -> Option<Instant> {
        self.as_of
    }

    /// Waits until there is something new. It never gives up: while etcd does not answer, nothing is
    /// new.
    pub(super) async fn next(&mut self) -> News {
        loop {
            let Some(watch) = &mut self.watch else {
                sleep_until(self.rest_until).await;
                match self.make().await {
                    Ok(()) => {
                        self.failing = false;
                        return News::Anew;
                    }
                    Err(cause) => {
                        if !std::mem::replace(&mut self.failing, true) {
                            let (prefix, fault, why) =
                                (self.prefix.clone(), cause.fault, cause.text);
                            log(Level::WARN, move |at_ms| {
                                tracing::warn!(target: TARGET, at_ms, prefix, %fault, why, "cannot follow what is below the prefix");
                            });
                        }
                        self.rest_until = Instant::now() + PAUSE;
                        continue;
                    }
                }
            };
            let check = async {
                if let Some(checking) = &mut self.checking {
                    return Some(checking.await);
                }
                sleep_until(self.check_at).await;
                None
            };
            tokio::select! {
                biased;
                message = next(watch) => match message.and_then(|message| self.of.believe(message)) {
                    Ok(message) => if self.take(&message) {
                        return News::Changed;
                    },
                    Err(cause) => {
                        let (prefix, fault, why) = (self.prefix.clone(), cause.fault, cause.text);
                        log(Level::DEBUG, move |at_ms| {
                            tracing::debug!(target: TARGET, at_ms, prefix, %fault, why, "the watch ended");
                        });
                        self.watch = None;
                        self.rest_until = self.begun + SHORTEST_WATCH;
                    }
                },
                // A check that fails moves on itself. Where every member refuses at once, checks would
                // follow each other without a pause.
                () = self.line.moved(self.turn) => {
                    self.turn = self.line.turn();
                    self.check_at = Instant::now().max(self.checked_at + DOUBT);
                }
                checked = check => match checked {
                    None => {
                        self.checked_at = Instant::now();
                        self.checking = Some(digest(&self.line, self.of, &self.prefix));
                    }
                    Some(told) => {
                        self.checking = None;
                        if self.judge(told) {
                            return News::Confirmed;
                        }
                    }
                },
            }
        }
    }

    /// Reads all keys, and watches them from there on.
    async fn make(&mut self) -> Result<(), Cause> {
        let sent = Instant::now();
        let (mut entries, mut revision, mut from) =
            (BTreeMap::new(), 0, self.prefix.clone().into_bytes());
        let end = end_of(&self.prefix);
        loop {
            let options = GetOptions::new()
                .with_range(end.clone())
                .with_limit(PAGE)
                .with_revision(revision);
            let key = from.clone();
            let ask = |client: Client| async move {
                // As large as foreign values may make a page.
                let client = client.kv_client();
                let mut client = client.max_decoding_message_size(LARGEST_PAGE);
                client.get(key, Some(options)).await
            };
            let page = self.line.ask(self.of, ask).await?;
            let header = page.header().ok_or_else(Cause::without_header)?;
            // The first page says of which revision the others must be.
            if revision == 0 {
                revision = header.revision();
            }
            entries.extend(page.kvs().iter().map(entry));
            match page.kvs().last() {
                Some(last) if page.more() => from = after(last),
                _ => break,
            }
        }
        let options = WatchOptions::new()
            .with_range(end)
            .with_start_revision(revision.saturating_add(1));
        let prefix = self.prefix.clone();
        let ask = |client: Client| async move {
            let client = client.watch_client();
            let mut client = client.max_decoding_message_size(LARGEST_PAGE);
            let mut watch = client.watch(prefix, Some(options)).await?;
            let message = watch.message().await?;
            let begun =
                message.ok_or_else(|| Error::WatchError("the server ended the watch".into()))?;
            Ok((watch, begun))
        };
        let (watch, begun) = self.line.ask(self.of, ask).await?;
        if begun.canceled() {
            return Err(Cause::of_canceled_watch(begun.cancel_reason()));
        }
        self.watch = Some(watch);
        self.entries = entries;
        self.removed.clear();
        self.revision = revision;
        self.as_of = Some(sent);
        self.begun = Instant::now();
        self.check_at = self.begun + self.every;
        self.checking = None;
        self.doubt = None;
        // Whoever was asked last, this is newer.
        self.turn = self.line.turn();
        Ok(())
    }

    /// Whether anything changed.
    fn take(&mut self, message: &WatchResponse) -> bool {
        for event in message.events() {
            let Some(kv) = event.kv() else { continue };
            self.revision = self.revision.max(kv.mod_revision());
            // The type of an event is not asked for: the library panics on one that it does not know.
            if kv.version() == 0 {
                self.removed.extend(self.entries.remove_entry(kv.key()));
            } else {
                let (key, entry) = entry(kv);
                self.entries.insert(key, entry);
            }
        }
        !message.events().is_empty()
    }

    /// Whether the copy is confirmed.
    fn judge(&mut self, told: Result<Digest, Cause>) -> bool {
        let Ok(told) = told else {
            self.check_at = Instant::now() + self.every;
            return false;
        };
        let newest = self.entries.values().map(|entry| entry.revision).max();
        if told.count == self.entries.len() as i64 && told.newest == newest.unwrap_or_default() {
            self.as_of = Some(told.sent);
            self.check_at = Instant::now() + self.every;
            self.doubt = None;
            return true;
        }
        // A change that is under way will have come when it is asked again; after that the watch is
        // deaf.
        if self.doubt == Some(self.revision) {
            let prefix = self.prefix.clone();
            log(Level::DEBUG, move |at_ms| {
                tracing::debug!(target: TARGET, at_ms, prefix, "the watch does not tell what is read");
            });
            self.watch = None;
        }
        self.doubt = Some(self.revision);
        self.check_at = Instant::now() + DOUBT;
        false
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

fn digest(line: &Arc<Line>, of: Of, prefix: &str) -> Checking {
    let (line, prefix) = (Arc::clone(line), prefix.to_owned());
    Box::pin(async move {
        let sent = Instant::now();
        let options = GetOptions::new()
            .with_prefix()
            .with_sort(SortTarget::Mod, SortOrder::Descend)
            .with_limit(1)
            .with_keys_only();
        let ask = |mut client: Client| async move { client.get(prefix, Some(options)).await };
        let answer = line.ask(of, ask).await?;
        let newest = answer.kvs().first().map(KeyValue::mod_revision);
        Ok(Digest {
            sent,
            count: answer.count(),
            newest: newest.unwrap_or_default(),
        })
    })
}

/// The first key beyond a prefix, which is text and so has no byte of 255.
fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_owned();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

fn after(kv: &KeyValue) -> Vec<u8> {
    let mut key = kv.key().to_owned();
    key.push(0);
    key
}

/// So many keys fit well into one answer.
const PAGE: i64 = 200;
/// etcd takes values of 1.5 MiB by default.
const LARGEST_PAGE: usize = 512 << 20;
const DOUBT: Duration = Duration::from_millis(300);
/// A watch that ends sooner is not begun again at once.
const SHORTEST_WATCH: Duration = Duration::from_secs(1);
/// For how long a watch may be deaf, about, before that is seen.
const LONGEST_UNCHECKED: Duration = Duration::from_secs(2);
