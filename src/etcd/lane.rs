//! One endpoint: its connection, and what is asked on it. No task runs it: it advances while
//! [`poll`](Lane::poll) is called, so nothing can outlive it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Timeout, timeout};

use super::backoff::pause;
use super::cause::Cause;
use super::config::EtcdConfig;
use super::connection::{Answer, Call, Connection};
use super::endpoint::Endpoint;
use super::fault::Fault;
use super::judge::Asked;
use super::layer::Kind;

/// What happens on a lane.
#[derive(Debug)]
pub(super) enum Event {
    /// A connection was opened, with a member of this cluster.
    Opened(Option<u64>),
    /// There is no connection: it broke, or could not be opened.
    Lost(Cause),
    Answered(Asked, Answer),
    Failed(Asked, Cause),
}

pub(super) struct Lane {
    endpoint: Endpoint,
    config: Arc<EtcdConfig>,
    state: State,
    questions: Vec<Question>,
    /// The progress that the watch owes.
    progress: Option<Progress>,
    /// When the connection is opened next, while it is closed.
    next_at: Instant,
    /// The same when it is needed.
    urgent_at: Instant,
    /// When the last attempt to open one began.
    opened_at: Instant,
    /// Attempts in a row that opened no connection.
    failures: u32,
    /// Connections in a row that were lost soon after they were opened.
    short_lived: u32,
    /// Reads in a row that the member refused.
    refusals: u32,
    /// When the member last said anything on this connection.
    heard_at: Instant,
    /// When a read was last asked for only to look at the member.
    looked_at: Instant,
    /// Told at the next poll, before anything else.
    failed: Option<Event>,
}

enum State {
    Closed,
    Opening(Opening),
    Open(Box<Connection>),
}

type Opening = Pin<Box<dyn Future<Output = Result<Connection, Cause>> + Send>>;

/// A question under way.
struct Question {
    asked: Asked,
    /// Asks the member what it thinks, which is of no layer.
    is_status: bool,
    call: Pin<Box<Timeout<Call>>>,
}

struct Progress {
    asked: Asked,
    sent: bool,
}

impl Lane {
    pub(super) fn new(endpoint: Endpoint, config: Arc<EtcdConfig>, now: Instant) -> Self {
        Self {
            endpoint,
            config,
            state: State::Closed,
            questions: Vec::new(),
            progress: None,
            next_at: now,
            urgent_at: now,
            opened_at: now,
            failures: 0,
            short_lived: 0,
            refusals: 0,
            heard_at: now,
            looked_at: now,
            failed: None,
        }
    }

    /// Begins to open a connection, if there is none and its time has come.
    pub(super) fn open_if_due(&mut self, now: Instant) {
        if !matches!(self.state, State::Closed) || now < self.next_at {
            return;
        }
        let (endpoint, config) = (self.endpoint.clone(), Arc::clone(&self.config));
        self.opened_at = now;
        self.state = State::Opening(Box::pin(async move {
            Connection::open(&endpoint, &config).await
        }));
    }

    /// Opens a connection as soon as it may be tried again, if there is none.
    pub(super) fn hurry(&mut self) {
        self.next_at = self.next_at.min(self.urgent_at);
    }

    /// Whether something of this kind can be asked, and how much of it is under way.
    pub(super) fn load(&self, kind: Kind) -> Option<usize> {
        if !matches!(self.state, State::Open(_)) {
            return None;
        }
        Some(match kind {
            Kind::Progress => usize::from(self.progress.is_some()),
            Kind::Read | Kind::Write => self
                .questions
                .iter()
                .filter(|question| !question.is_status && question.asked.kind == kind)
                .count(),
        })
    }

    /// Asks on the open connection; without one it does nothing.
    pub(super) fn ask(&mut self, asked: Asked) {
        let State::Open(connection) = &self.state else {
            return;
        };
        let call = match asked.kind {
            Kind::Progress => {
                self.progress = Some(Progress { asked, sent: false });
                return;
            }
            Kind::Read => {
                if asked.look {
                    self.looked_at = asked.at;
                }
                connection.read(&self.config.sentinel_key)
            }
            Kind::Write => connection.write(),
        };
        self.question(asked, false, call);
    }

    /// Whether a member that does not work is to be looked at again.
    pub(super) fn look_is_due(&self, now: Instant) -> bool {
        self.load(Kind::Read) == Some(0) && now >= self.looked_at + self.config.pace.spare_reconnect
    }

    /// Asks the member what it thinks, unless that is under way.
    pub(super) fn ask_status(&mut self, asked: Asked) {
        let State::Open(connection) = &self.state else {
            return;
        };
        if self.questions.iter().any(|question| question.is_status) {
            return;
        }
        let call = connection.status();
        self.question(asked, true, call);
    }

    fn question(&mut self, asked: Asked, is_status: bool, call: Call) {
        let limit = self.config.pace.request_timeout;
        self.questions.push(Question {
            asked,
            is_status,
            call: Box::pin(timeout(limit, call)),
        });
    }

    /// When something happens here though nothing arrives.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        match self.state {
            State::Closed => Some(self.next_at),
            State::Opening(_) => None,
            State::Open(_) => {
                let limit = self.config.pace.request_timeout;
                self.progress.as_ref().map(|owed| owed.asked.at + limit)
            }
        }
    }

    /// The next thing that happens. `calm` if etcd is alive without this endpoint.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, calm: bool) -> Poll<Event> {
        if let Some(failed) = self.failed.take() {
            return Poll::Ready(failed);
        }
        match &mut self.state {
            State::Closed => Poll::Pending,
            State::Opening(opening) => match opening.as_mut().poll(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Ok(connection)) => {
                    let cluster_id = connection.cluster_id();
                    self.state = State::Open(Box::new(connection));
                    self.failures = 0;
                    Poll::Ready(Event::Opened(cluster_id))
                }
                Poll::Ready(Err(cause)) => Poll::Ready(self.not_opened(cause, calm)),
            },
            State::Open(_) => self.poll_open(cx),
        }
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let mut index = 0;
        while let Some(question) = self.questions.get_mut(index) {
            let Poll::Ready(answer) = question.call.as_mut().poll(cx) else {
                index += 1;
                continue;
            };
            let Question {
                asked, is_status, ..
            } = self.questions.swap_remove(index);
            match answer.unwrap_or(Err(Cause::silent())) {
                Ok(answer) => {
                    self.heard_at = Instant::now();
                    if matches!(answer, Answer::Read(_)) {
                        self.refusals = 0;
                    }
                    return Poll::Ready(Event::Answered(asked, answer));
                }
                // With require-leader, no call is taken by a member that has none.
                Err(cause) if is_status && cause.fault == Fault::NoLeader => {
                    return Poll::Ready(Event::Answered(asked, Answer::Status { leader: false }));
                }
                // It says nothing of the cluster; what is owed tells enough.
                Err(_) if is_status => {}
                Err(cause) => return Poll::Ready(self.not_answered(asked, cause)),
            }
        }
        self.poll_watch(cx)
    }

    /// Listens on the watch, so that a connection which breaks between two questions is told at once.
    fn poll_watch(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let State::Open(connection) = &mut self.state else {
            return Poll::Pending;
        };
        if let Some(owed) = &mut self.progress
            && !owed.sent
        {
            match connection.poll_request(cx) {
                Poll::Ready(Ok(())) => owed.sent = true,
                Poll::Ready(Err(cause)) => return Poll::Ready(self.broken(cause)),
                Poll::Pending => {}
            }
        }
        loop {
            match connection.poll_progress(cx) {
                Poll::Ready(Ok(())) => {
                    self.heard_at = Instant::now();
                    if let Some(owed) = self.progress.take() {
                        return Poll::Ready(Event::Answered(owed.asked, Answer::Progress));
                    }
                }
                Poll::Ready(Err(cause)) => return Poll::Ready(self.broken(cause)),
                Poll::Pending => break,
            }
        }
        // Taken, because the connection may be kept: what was given up is not to be given up again.
        let overdue = |owed: &mut Progress| {
            Instant::now() >= owed.asked.at + self.config.pace.request_timeout
        };
        match self.progress.take_if(overdue) {
            Some(Progress { asked, .. }) => Poll::Ready(self.not_answered(asked, Cause::silent())),
            None => Poll::Pending,
        }
    }

    fn not_opened(&mut self, cause: Cause, calm: bool) -> Event {
        self.state = State::Closed;
        self.failures = self.failures.saturating_add(1);
        let longest = if cause.sure && cause.fault != Fault::Unreachable {
            // A server that turns us away is not to be burdened more than that: checking a password
            // costs it much.
            self.config.pace.recheck
        } else {
            // Soon, so that a recovery is seen soon.
            self.config.pace.reconnect
        };
        // Counted from its beginning: one that was silent has taken long enough.
        let again_at =
            |longest| (self.opened_at + pause(self.failures, longest)).max(Instant::now());
        self.urgent_at = again_at(longest);
        self.next_at = if calm {
            again_at(self.config.pace.spare_reconnect.max(longest))
        } else {
            self.urgent_at
        };
        Event::Lost(cause)
    }

    /// A question failed. The connection is kept if the member is heard on it and another connection
    /// would help in nothing: in an election, or if only proposals fail.
    fn not_answered(&mut self, asked: Asked, mut cause: Cause) -> Event {
        if cause.fault == Fault::Permission && asked.kind == Kind::Read {
            // Rights are the same on a new connection. A second look confirms it.
            self.refusals = self.refusals.saturating_add(1);
            if self.refusals == 1 {
                cause = cause.unsure();
            }
        }
        let kept = match cause.fault {
            // The connection itself broke.
            Fault::Unreachable if cause.sure => false,
            Fault::Unreachable => asked.kind == Kind::Write || self.heard_at > asked.at,
            Fault::Unauthenticated | Fault::Misdirected | Fault::Tls => false,
            _ => true,
        };
        if kept {
            return Event::Failed(asked, cause);
        }
        let cause = self.close(cause);
        self.failed = Some(Event::Lost(cause.clone()));
        Event::Failed(asked, cause)
    }

    fn broken(&mut self, cause: Cause) -> Event {
        Event::Lost(self.close(cause))
    }

    /// Gives up the connection. A new one is tried at once, for only that can tell whether the member
    /// is gone; but not so if the old one was short-lived, or a server that answers and hangs up
    /// would make this spin.
    fn close(&mut self, cause: Cause) -> Cause {
        self.state = State::Closed;
        self.questions.clear();
        self.progress = None;
        let now = Instant::now();
        if now >= self.opened_at + FRESH {
            self.short_lived = 0;
            (self.next_at, self.urgent_at) = (now, now);
            return cause.unsure();
        }
        self.short_lived = self.short_lived.saturating_add(1);
        // Once at once all the same: most that break for the first time can be made again.
        let pause = match self.short_lived {
            1 => Duration::ZERO,
            more => pause(more - 1, self.config.pace.recheck),
        };
        self.next_at = now + pause;
        self.urgent_at = self.next_at;
        // What a server says of a new connection is final; that one breaks is not.
        if cause.fault == Fault::Unreachable {
            cause.unsure()
        } else {
            cause
        }
    }
}

/// A connection that is younger than that is not made anew at once, and what a server says on it of
/// rights is final: no token runs out so soon.
const FRESH: Duration = Duration::from_secs(2);
