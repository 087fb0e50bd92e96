//! Follows the keys below a prefix, and passes their changes on. No code of the user runs here.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;

use super::changes::{Changes, Sent};
use super::freshness::{Freshness, rest_until};
use crate::etcd::host::clock;
use crate::etcd::records::{KeyChanges, Mirror, NotCurrent};

/// What the reader is told.
pub(crate) struct Tell {
    pub(crate) changes: mpsc::Sender<Changes>,
    /// Why the values are not confirmed at the moment.
    pub(crate) trouble: watch::Sender<Option<String>>,
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
    mut mirror: Mirror,
    mut freshness: Freshness,
    tell: Tell,
) -> Option<String> {
    let (mut sent, mut news) = (Sent::default(), None::<KeyChanges>);
    let mut rest = Duration::ZERO;
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
            let step = pin!(mirror.step());
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
                let as_of = mirror.as_of().map(clock::time_of);
                room.send(sent.changes(mirror.entries(), news, mirror.revision(), as_of));
                rest = rest_until(clock::now());
            }
            Event::Stepped(Ok(newer)) => {
                drop(mirror.take_removed());
                news = Some(news.map_or(newer, |news| news.and(newer)));
                freshness.confirmed(mirror.as_of().map(clock::time_of));
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
        let trouble = freshness.trouble();
        tell.trouble.send_if_modified(|told| {
            let is_news = *told != trouble;
            *told = trouble;
            is_news
        });
        if let Some(why) = freshness.overdue(clock::now()) {
            return Some(why);
        }
    }
}
