//! A probe from a closure that is called again and again.

use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::traits::{Observation, Probe};
use crate::policy::{MIN_DURATION, Policy, PolicyError};
use crate::shell::failure::Failure;
use crate::shell::sync::lock;

/// A probe that calls `check` each `every`, and takes it for failing if it returns an error or does
/// not return `within` a time.
///
/// The two together must be shorter than the silence limit; else building the service is refused.
///
/// ```
/// use std::time::Duration;
/// use overwatch::polled;
///
/// let probe = polled(Duration::from_secs(1), Duration::from_secs(2), || async {
///     tokio::net::TcpStream::connect("127.0.0.1:5432").await?;
///     Ok(())
/// });
/// ```
pub fn polled<F, Fut>(every: Duration, within: Duration, check: F) -> Polled<F>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send + 'static,
{
    Polled {
        every,
        within,
        check,
        last: Mutex::new(None),
        checks: AtomicBool::new(false),
        hurry: Notify::new(),
    }
}

/// See [`polled`].
#[derive(Debug)]
pub struct Polled<F> {
    every: Duration,
    within: Duration,
    check: F,
    /// When the last call began, in whichever session.
    last: Mutex<Option<Instant>>,
    /// Whether it is under way.
    checks: AtomicBool,
    hurry: Notify,
}

/// A call that is under way, until this is dropped.
struct Checking<'a>(&'a AtomicBool);

impl<'a> Checking<'a> {
    fn begin(checks: &'a AtomicBool) -> Self {
        checks.store(true, Ordering::Release);
        Self(checks)
    }
}

impl Drop for Checking<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// What a check answers within a time. A wake-up that comes far too late, since the process or its
/// machine was stopped or the runtime is blocked, says nothing of the dependency: then the check is given
/// that time once more.
async fn answer<T>(within: Duration, check: impl Future<Output = T>) -> Option<T> {
    let mut check = pin!(check);
    let due = Instant::now() + within;
    if let Ok(answer) = timeout_at(due, &mut check).await {
        return Some(answer);
    }
    if due.elapsed() < LATE {
        return None;
    }
    timeout(within, check).await.ok()
}

/// No timer is this late on a runtime that runs.
const LATE: Duration = Duration::from_millis(250);

#[async_trait::async_trait]
impl<F, Fut> Probe for Polled<F>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send + 'static,
{
    async fn observe(&self) -> Observation {
        let last = *lock(&self.last);
        if let Some(last) = last {
            tokio::select! {
                biased;
                () = self.hurry.notified() => {}
                () = sleep_until(last + self.every) => {}
            }
        }
        let began = Instant::now();
        *lock(&self.last) = Some(began);
        let _checking = Checking::begin(&self.checks);
        match answer(self.within, (self.check)()).await {
            Some(Ok(())) => Observation::alive(format!("answered in {:.1?}", began.elapsed())),
            Some(Err(failure)) => Observation::failing(failure.to_string()),
            None => Observation::failing(format!("no answer within {:?}", self.within)),
        }
    }

    fn refresh(&self) -> bool {
        // The pause that is under way is cut short, or the next one if a check is.
        self.hurry.notify_one();
        !self.checks.load(Ordering::Acquire)
    }

    fn check(&self, policy: &Policy) -> Result<(), PolicyError> {
        for (knob, value) in [("polled.every", self.every), ("polled.within", self.within)] {
            if value < MIN_DURATION {
                let bound = format!("it must be at least {MIN_DURATION:?}");
                return Err(PolicyError::new(knob, format!("{value:?}"), bound));
            }
        }
        let longest = self.every.saturating_add(self.within);
        if longest >= policy.silence_limit() {
            return Err(PolicyError::new(
                "polled.every",
                format!("{:?}", self.every),
                format!(
                    "together with `polled.within` = {:?} it must be shorter than the silence limit of {:?}: \
                     a slow answer would count as silence",
                    self.within,
                    policy.silence_limit()
                ),
            ));
        }
        Ok(())
    }
}
