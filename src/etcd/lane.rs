//! The attempts on one endpoint, one after another, at a measured pace.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Instant;

use super::backoff::pause;
use super::cause::Cause;
use super::config::EtcdConfig;
use super::connection::{Connection, Evidence};
use super::endpoint::Endpoint;
use super::judge::Mark;

/// The outcome of one attempt: evidence, with where the judge stood when the attempt began.
pub(super) type Outcome = Result<(Mark, Evidence), Cause>;

/// One endpoint's attempts. No task runs them: they advance while [`poll`](Self::poll) is called, so
/// none can outlive its lane.
pub(super) struct Lane {
    endpoint: Endpoint,
    config: Arc<EtcdConfig>,
    connection: Option<Connection>,
    /// When the attempt began that opened the last connection.
    opened_at: Instant,
    attempt: Option<Attempt>,
    next_at: Instant,
    /// Attempts in a row that opened no connection.
    failures: u32,
    /// Connections in a row that gave evidence and were lost within an interval.
    short_lived: u32,
}

impl Lane {
    pub(super) fn new(endpoint: Endpoint, config: Arc<EtcdConfig>, now: Instant) -> Self {
        Self {
            endpoint,
            config,
            connection: None,
            opened_at: now,
            attempt: None,
            next_at: now,
            failures: 0,
            short_lived: 0,
        }
    }

    /// Begins the next attempt if none is under way and its time has come.
    pub(super) fn begin_if_due(&mut self, now: Instant, mark: Mark) {
        if self.attempt.is_some() || now < self.next_at {
            return;
        }
        let (endpoint, config) = (self.endpoint.clone(), Arc::clone(&self.config));
        let connection = self.connection.take();
        if connection.is_none() {
            self.opened_at = now;
        }
        self.attempt = Some(Attempt {
            began_at: now,
            mark,
            on_open_connection: connection.is_some(),
            work: Box::pin(attempt(connection, endpoint, config)),
        });
    }

    /// Makes the next attempt due now, unless one is under way.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.next_at = self.next_at.min(now);
    }

    /// When the next attempt is due; none while one is under way.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.attempt.is_none().then_some(self.next_at)
    }

    /// Drives the attempt under way, and listens on a resting connection: one that breaks between
    /// two attempts is told at once.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let Some(attempt) = &mut self.attempt else {
            return self.poll_resting(cx).map(Err);
        };
        let Poll::Ready((connection, result)) = attempt.work.as_mut().poll(cx) else {
            return Poll::Pending;
        };
        let (began_at, mark) = (attempt.began_at, attempt.mark);
        let on_open_connection = attempt.on_open_connection;
        self.attempt = None;
        self.connection = connection;
        Poll::Ready(match result {
            Ok(evidence) => {
                self.failures = 0;
                self.next_at = (began_at + self.config.interval).max(Instant::now());
                Ok((mark, evidence))
            }
            Err(cause) if on_open_connection => Err(self.lost(cause)),
            Err(cause) => {
                self.failures = self.failures.saturating_add(1);
                // Counted from its beginning: one that was silent has taken long enough.
                // Soon, so that a recovery is seen soon; but a server that turns us away is not to
                // be burdened, and checking a password costs it much.
                let longest = match cause {
                    Cause::Certain(_) => self.config.interval,
                    _ => self.config.interval / 4,
                };
                let pause = pause(self.failures, longest);
                self.next_at = (began_at + pause).max(Instant::now());
                Err(cause)
            }
        })
    }

    fn poll_resting(&mut self, cx: &mut Context<'_>) -> Poll<Cause> {
        let Some(connection) = &mut self.connection else {
            return Poll::Pending;
        };
        let Poll::Ready(cause) = connection.poll_broken(cx) else {
            return Poll::Pending;
        };
        self.connection = None;
        Poll::Ready(self.lost(cause))
    }

    /// An open connection was lost. A new one is tried at once, for only that can tell whether the
    /// member is gone; but not so if the old one was short-lived, or a server that answers and hangs
    /// up would make this spin.
    fn lost(&mut self, cause: Cause) -> Cause {
        let now = Instant::now();
        self.next_at = if now >= self.opened_at + self.config.interval {
            self.short_lived = 0;
            now
        } else {
            self.short_lived = self.short_lived.saturating_add(1);
            now + pause(self.short_lived, self.config.interval)
        };
        cause.on_open_connection()
    }
}

struct Attempt {
    began_at: Instant,
    mark: Mark,
    on_open_connection: bool,
    work: Work,
}

type Work = Pin<Box<dyn Future<Output = (Option<Connection>, Result<Evidence, Cause>)> + Send>>;

/// Evidence from the connection, opening one if need be. After an error no connection is kept: what
/// broke an election or a token may well work on the next one.
async fn attempt(
    connection: Option<Connection>,
    endpoint: Endpoint,
    config: Arc<EtcdConfig>,
) -> (Option<Connection>, Result<Evidence, Cause>) {
    let mut connection = match connection {
        Some(connection) => connection,
        None => match Connection::open(&endpoint, &config).await {
            Ok(connection) => connection,
            Err(cause) => return (None, Err(cause)),
        },
    };
    match connection.evidence(&config).await {
        Ok(evidence) => (Some(connection), Ok(evidence)),
        Err(cause) => (None, Err(cause)),
    }
}
