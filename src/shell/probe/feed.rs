//! A probe that gets its observations from other code.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use super::traits::{Observation, Probe};
use crate::shell::sync::lock;

/// How often the probe reports that the feed is gone.
const REMIND: Duration = Duration::from_secs(1);

/// Makes a probe for a dependency that other code already watches.
///
/// That code holds the [`Feed`] and passes on what it sees. If it passes on nothing for the silence limit, the
/// dependency counts as failed.
///
/// ```
/// let (feed, probe) = overwatch::feed();
/// // where a heartbeat of the dependency arrives:
/// feed.alive("heartbeat 17");
/// ```
pub fn feed() -> (Feed, FeedProbe) {
    let shared = Arc::new(FeedState::default());
    (
        Feed(Arc::new(FeedHandle(Arc::clone(&shared)))),
        FeedProbe(shared),
    )
}

/// Passes on what was seen of the dependency. It is cheap to clone and never blocks.
///
/// If several calls come before the next observation, the last one of each kind is kept. A failure is never lost
/// because of a later sign of life. When all clones are dropped, the dependency counts as failing.
///
/// ```
/// use overwatch::Feed;
///
/// /// Called by a client library for each heartbeat, or when one is missing.
/// fn on_heartbeat(feed: &Feed, number: Option<u64>) {
///     match number {
///         Some(number) => feed.alive(format!("heartbeat {number}")),
///         None => feed.failing("a heartbeat is missing"),
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Feed(Arc<FeedHandle>);

/// The probe of a [`feed`].
#[derive(Debug)]
pub struct FeedProbe(Arc<FeedState>);

/// All clones of one feed.
#[derive(Debug)]
struct FeedHandle(Arc<FeedState>);

#[derive(Debug, Default)]
struct FeedState {
    said: Mutex<FeedValue>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct FeedValue {
    failing: Option<Cow<'static, str>>,
    alive: Option<Cow<'static, str>>,
    gone: bool,
}

impl Feed {
    /// Reports that the dependency works.
    pub fn alive(&self, evidence: impl Into<Cow<'static, str>>) {
        let evidence = evidence.into();
        self.0.0.say(|said| said.alive = Some(evidence));
    }

    /// Reports that the dependency does not work.
    pub fn failing(&self, reason: impl Into<Cow<'static, str>>) {
        let reason = reason.into();
        self.0.0.say(|said| {
            said.failing = Some(reason);
            // Earlier evidence no longer counts.
            said.alive = None;
        });
    }
}

impl Drop for FeedHandle {
    fn drop(&mut self) {
        self.0.say(|said| said.gone = true);
    }
}

impl FeedState {
    fn say(&self, change: impl FnOnce(&mut FeedValue)) {
        change(&mut lock(&self.said));
        self.changed.notify_one();
    }
}

#[async_trait::async_trait]
impl Probe for FeedProbe {
    async fn observe(&self) -> Observation {
        loop {
            let gone = {
                let mut said = lock(&self.0.said);
                if let Some(reason) = said.failing.take() {
                    return Observation::failing(reason);
                }
                if let Some(evidence) = said.alive.take() {
                    return Observation::alive(evidence);
                }
                said.gone
            };
            if gone {
                tokio::time::sleep(REMIND).await;
                return Observation::failing(
                    "what watched the dependency is gone: its feed was dropped",
                );
            }
            self.0.changed.notified().await;
        }
    }

    fn refresh(&self) -> bool {
        // Evidence that was not taken yet is older than this call.
        lock(&self.0.said).alive = None;
        true
    }
}
