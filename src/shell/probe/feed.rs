//! A probe that is told from elsewhere.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use super::traits::{Observation, Probe};
use crate::shell::sync::lock;

/// How often it is said that the feed is gone.
const REMIND: Duration = Duration::from_secs(1);

/// A probe for a dependency that other code watches already: that code holds the [`Feed`] and
/// passes on what it sees. If it passes on nothing for the silence limit, the dependency counts as failed.
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

/// Says what was seen of the dependency. Cheap to clone; never blocks.
///
/// Of what was not taken yet the last of each kind is kept, and a failure is never lost to a later
/// sign of life. When all clones are dropped the dependency counts as failing.
#[derive(Clone, Debug)]
pub struct Feed(Arc<FeedHandle>);

/// The probe's end of a [`feed`].
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
    /// The dependency does its work.
    pub fn alive(&self, evidence: impl Into<Cow<'static, str>>) {
        let evidence = evidence.into();
        self.0.0.say(|said| said.alive = Some(evidence));
    }

    /// The dependency does not do its work.
    pub fn failing(&self, reason: impl Into<Cow<'static, str>>) {
        let reason = reason.into();
        self.0.0.say(|said| {
            said.failing = Some(reason);
            // What was seen before it proves nothing any more.
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
        // What was said and not taken yet was said before.
        lock(&self.0.said).alive = None;
        true
    }
}
