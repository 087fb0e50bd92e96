//! `/livez`: pings the supervisor, at a cost that a flood of requests hardly raises.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::shell::service::Handle;
use crate::shell::sync::lock;

/// How long the supervisor may take to answer.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// How long after an answer the supervisor is not pinged again.
pub(super) const ASK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// The most requests that wait for the supervisor at a time.
pub(super) const MAX_WAITING: usize = 64;

/// The state that the requests for `/livez` share.
pub(super) struct Live {
    /// One permit for each request that may wait.
    places: Semaphore,
    /// Held by the one request that pings; the requests behind it use its answer.
    asking: tokio::sync::Mutex<()>,
    /// When the supervisor last answered.
    answered: Mutex<Option<Instant>>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            places: Semaphore::new(MAX_WAITING),
            asking: tokio::sync::Mutex::default(),
            answered: Mutex::default(),
        }
    }
}

impl Live {
    /// Checks that the service is alive. The error is the text of the response.
    pub(super) async fn check(&self, handle: &Handle) -> Result<(), &'static str> {
        can_be_alive(handle)?;
        let answers = self.answers(handle).await;
        // This may have changed while the supervisor was pinged.
        can_be_alive(handle)?;
        answers
            .then_some(())
            .ok_or("the supervisor does not answer\n")
    }

    async fn answers(&self, handle: &Handle) -> bool {
        if self.answered_within(ASK_AGAIN_AFTER) {
            return true;
        }
        let Ok(_place) = self.places.try_acquire() else {
            return self.answered_within(ANSWER_WITHIN);
        };
        let ask = async {
            let _turn = self.asking.lock().await;
            if self.answered_within(ASK_AGAIN_AFTER) {
                return true;
            }
            let answers = handle.is_responsive(ANSWER_WITHIN).await;
            if answers {
                *lock(&self.answered) = Some(Instant::now());
            }
            answers
        };
        timeout(ANSWER_WITHIN, ask).await.unwrap_or(false)
    }

    fn answered_within(&self, limit: Duration) -> bool {
        lock(&self.answered).is_some_and(|at| at.elapsed() < limit)
    }
}

/// Returns an error if the service is not alive, whatever the supervisor answers.
fn can_be_alive(handle: &Handle) -> Result<(), &'static str> {
    if handle.is_over() {
        Err("the run is over\n")
    } else if handle.is_frozen() {
        Err("the runtime of the service is frozen\n")
    } else {
        Ok(())
    }
}
