//! Follows the keys below a prefix, and passes their changes on. No code of the user runs here.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::changes::{Changes, Sent};
use super::freshness::{Freshness, Standing, rest_until};
use crate::etcd::host::clock;
use crate::etcd::records::{Entry, KeyChanges, Mirror, NotCurrent};

/// A copy of the keys that is kept current. Tests have another one than [`Mirror`].
pub(crate) trait KeySource: Send {
    /// Waits until the copy has changed or was confirmed, or until one attempt has failed.
    fn step(&mut self) -> impl Future<Output = Result<KeyChanges, NotCurrent>> + Send;
    /// The copy, which contains all changes up to this revision, and up to this moment.
    fn copy(&self) -> (&BTreeMap<Vec<u8>, Entry>, i64, Option<Instant>);
}

impl KeySource for Mirror {
    async fn step(&mut self) -> Result<KeyChanges, NotCurrent> {
        let stepped = Mirror::step(self).await;
        // Nobody asks for them here, and they must not pile up.
        drop(self.take_removed());
        stepped
    }

    fn copy(&self) -> (&BTreeMap<Vec<u8>, Entry>, i64, Option<Instant>) {
        (self.entries(), self.revision(), self.as_of())
    }
}

/// What the reader is told.
pub(crate) struct Tell {
    pub(crate) changes: mpsc::Sender<Changes>,
    pub(crate) standing: watch::Sender<Standing>,
}

enum Event<'a> {
    Room(mpsc::Permit<'a, Changes>),
    Stepped(Result<KeyChanges, NotCurrent>),
    Overdue,
}

/// Follows the keys until the reader is gone, or until they cannot be followed. Then it returns why.
///
/// Changes that the reader has not taken yet are combined, so at most one copy of the keys waits for it.
pub(crate) async fn follow(
    mut source: impl KeySource,
    mut freshness: Freshness,
    tell: Tell,
) -> Option<String> {
    let (mut sent, mut news) = (Sent::default(), None::<KeyChanges>);
    let mut rest = clock::now();
    loop {
        let overdue_at = freshness.overdue_at().map(clock::moment_of);
        let room = async {
            sleep_until(clock::moment_of(rest)).await;
            tell.changes.reserve().await
        };
        let overdue = async {
            match overdue_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let event = {
            let step = pin!(source.step());
            tokio::select! {
                biased;
                () = tell.changes.closed() => return None,
                // This ends the step, which may be in the middle of a list: once for each publication.
                Ok(room) = room, if news.is_some() => Event::Room(room),
                stepped = step => Event::Stepped(stepped),
                () = overdue => Event::Overdue,
            }
        };
        match event {
            Event::Room(room) => {
                let Some(news) = news.take() else { continue };
                let (entries, revision, as_of) = source.copy();
                let as_of = as_of.map(clock::time_of);
                room.send(sent.changes(entries, news, revision, as_of));
                rest = rest_until(clock::now());
            }
            Event::Stepped(Ok(newer)) => {
                news = Some(news.map_or(newer, |news| news.and(newer)));
                let (_, _, as_of) = source.copy();
                freshness.confirmed(as_of.map(clock::time_of));
            }
            Event::Stepped(Err(cause)) => {
                if cause.is_too_large() {
                    // Changes that wait for the reader are part of the same copy.
                    news = None;
                }
                if let Some(why) = freshness.failed(cause) {
                    return Some(why);
                }
            }
            Event::Overdue => {}
        }
        let now = clock::now();
        let standing = freshness.standing(now);
        tell.standing.send_if_modified(|told| {
            let is_news = *told != standing;
            *told = standing;
            is_news
        });
        if let Some(why) = freshness.overdue(now) {
            return Some(why);
        }
    }
}

#[cfg(test)]
mod tests;
