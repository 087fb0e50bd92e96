//! A probe that calls a closure at an interval.

use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::into_observation::IntoObservation;
use super::traits::{Observation, Probe};
use crate::policy::{MIN_DURATION, Policy, PolicyError};
use crate::shell::sync::lock;

/// Makes a probe that calls `check` at the interval `every`.
///
/// The dependency is failing if `check` returns an error, or does not return `within` a time. The two times together
/// must be shorter than the silence limit. Otherwise [`Builder::build`](crate::Builder::build) returns an error.
///
/// The check may also return evidence, the class of a failure, or a fatal failure: see
/// [`IntoObservation`](crate::IntoObservation).
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
    Fut: Future<Output: IntoObservation> + Send + 'static,
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

/// The probe that [`polled`] makes.
#[derive(Debug)]
pub struct Polled<F> {
    every: Duration,
    within: Duration,
    check: F,
    /// When the last call began, in any session.
    last: Mutex<Option<Instant>>,
    /// Whether a call is pending.
    checks: AtomicBool,
    hurry: Notify,
}

/// Marks a call as pending until this is dropped.
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

/// The result of a check, if it comes within a time.
///
/// If the timeout itself fires far too late, because the process or its machine was stopped or the runtime is blocked,
/// it says nothing about the dependency. Then the check gets the same time once more.
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

/// On a runtime that is not blocked no timer fires this late.
const LATE: Duration = Duration::from_millis(250);

#[async_trait::async_trait]
impl<F, Fut> Probe for Polled<F>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoObservation> + Send + 'static,
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
            Some(answer) => answer.into_observation(began.elapsed()),
            None => Observation::failing(format!("no answer within {:?}", self.within)),
        }
    }

    fn refresh(&self) -> bool {
        // Cuts the current pause short, or the next one if a check is pending.
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
