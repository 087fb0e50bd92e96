//! One endpoint: its connection, and the requests on it.
//!
//! No task runs it: it advances only while [`poll`](Subchannel::poll) is called, so nothing can outlive it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Timeout, timeout};

use super::connection::{Call, Connection};
use super::reconnect::{Reconnect, Reply};
use crate::etcd::basics::EtcdError;
use crate::etcd::client::{Endpoint, EtcdConfig};
use crate::etcd::health::{Answer, CheckKind, CheckRequest, SubchannelEvent, SubchannelState};
use crate::etcd::host::clock;

pub(crate) struct Subchannel {
    endpoint: Endpoint,
    config: Arc<EtcdConfig>,
    reconnect: Reconnect,
    state: ConnectionState,
    questions: Vec<PendingQuestion>,
    /// The progress request that the watch has not answered yet.
    progress: Option<Progress>,
    /// Returned by the next poll, before anything else.
    failed: Option<SubchannelEvent>,
}

enum ConnectionState {
    Closed,
    Opening(Opening),
    Open(Box<Connection>),
}

type Opening = Pin<Box<dyn Future<Output = Result<Connection, EtcdError>> + Send>>;

/// A pending request.
struct PendingQuestion {
    asked: CheckRequest,
    /// Whether it asks for the status of the member, which belongs to no check.
    is_status: bool,
    call: Pin<Box<Timeout<Call>>>,
}

struct Progress {
    asked: CheckRequest,
    sent: bool,
}

impl Subchannel {
    pub(crate) fn new(endpoint: Endpoint, config: Arc<EtcdConfig>, now: Duration) -> Self {
        Self {
            endpoint,
            reconnect: Reconnect::new(&config.timing, now),
            config,
            state: ConnectionState::Closed,
            questions: Vec::new(),
            progress: None,
            failed: None,
        }
    }

    /// Begins to open a connection, if there is none and its time has come.
    pub(crate) fn open_if_due(&mut self, now: Duration) {
        if !matches!(self.state, ConnectionState::Closed) || !self.reconnect.is_due(now) {
            return;
        }
        let (endpoint, config) = (self.endpoint.clone(), Arc::clone(&self.config));
        self.reconnect.opening(now);
        self.state = ConnectionState::Opening(Box::pin(async move {
            Connection::open(&endpoint, &config).await
        }));
    }

    /// If there is no connection, opens one as soon as the next attempt is allowed.
    pub(crate) fn hurry(&mut self) {
        self.reconnect.hurry();
    }

    /// The state that the probe loop decides by.
    pub(crate) fn state(&self, now: Duration) -> SubchannelState {
        let asked = |kind| {
            let questions = self.questions.iter();
            questions
                .filter(|question| !question.is_status && question.asked.kind == kind)
                .count()
        };
        let progress = self.progress.as_ref();
        SubchannelState {
            load: match self.state {
                ConnectionState::Open(_) => Some([
                    usize::from(progress.is_some()),
                    asked(CheckKind::Read),
                    asked(CheckKind::Write),
                ]),
                ConnectionState::Closed | ConnectionState::Opening(_) => None,
            },
            look_is_due: self.reconnect.look_is_due(now),
            wake_at: match self.state {
                ConnectionState::Closed => Some(self.reconnect.next_at()),
                ConnectionState::Opening(_) => None,
                ConnectionState::Open(_) => {
                    progress.map(|owed| self.reconnect.overdue_at(owed.asked.at))
                }
            },
        }
    }

    /// Sends a request on the open connection. Without a connection it does nothing.
    pub(crate) fn ask(&mut self, asked: CheckRequest) {
        let ConnectionState::Open(connection) = &self.state else {
            return;
        };
        self.reconnect.asked(&asked);
        let call = match asked.kind {
            CheckKind::Progress => {
                self.progress = Some(Progress { asked, sent: false });
                return;
            }
            CheckKind::Read => connection.read(&self.config.sentinel_key),
            CheckKind::Write => connection.write(),
        };
        self.question(asked, false, call);
    }

    /// Asks for the status of the member, unless such a request is pending.
    pub(crate) fn ask_status(&mut self, asked: CheckRequest) {
        let ConnectionState::Open(connection) = &self.state else {
            return;
        };
        if self.questions.iter().any(|question| question.is_status) {
            return;
        }
        let call = connection.status();
        self.question(asked, true, call);
    }

    fn question(&mut self, asked: CheckRequest, is_status: bool, call: Call) {
        let limit = self.config.timing.request_timeout;
        self.questions.push(PendingQuestion {
            asked,
            is_status,
            call: Box::pin(timeout(limit, call)),
        });
    }

    /// The next event. `calm` if etcd is alive without this endpoint.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, calm: bool) -> Poll<SubchannelEvent> {
        if let Some(failed) = self.failed.take() {
            return Poll::Ready(failed);
        }
        match &mut self.state {
            ConnectionState::Closed => Poll::Pending,
            ConnectionState::Opening(opening) => match opening.as_mut().poll(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Ok(connection)) => {
                    let cluster_id = connection.cluster_id();
                    self.state = ConnectionState::Open(Box::new(connection));
                    self.reconnect.opened();
                    Poll::Ready(SubchannelEvent::Opened(cluster_id))
                }
                Poll::Ready(Err(cause)) => {
                    self.state = ConnectionState::Closed;
                    self.reconnect.not_opened(&cause, calm, clock::now());
                    Poll::Ready(SubchannelEvent::Lost(cause))
                }
            },
            ConnectionState::Open(_) => self.poll_open(cx),
        }
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<SubchannelEvent> {
        let mut index = 0;
        while let Some(question) = self.questions.get_mut(index) {
            let Poll::Ready(answer) = question.call.as_mut().poll(cx) else {
                index += 1;
                continue;
            };
            let PendingQuestion {
                asked, is_status, ..
            } = self.questions.swap_remove(index);
            let answer = answer.unwrap_or(Err(EtcdError::silent()));
            let reply = self
                .reconnect
                .replied(&asked, is_status, answer, clock::now());
            if let Some(event) = self.take(asked, reply) {
                return Poll::Ready(event);
            }
        }
        self.poll_watch(cx)
    }

    /// Polls the watch, so that a connection that breaks between two requests is reported at once.
    fn poll_watch(&mut self, cx: &mut Context<'_>) -> Poll<SubchannelEvent> {
        let ConnectionState::Open(connection) = &mut self.state else {
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
                    self.reconnect.heard(clock::now());
                    if let Some(owed) = self.progress.take() {
                        return Poll::Ready(SubchannelEvent::Answered(
                            owed.asked,
                            Answer::Progress,
                        ));
                    }
                }
                Poll::Ready(Err(cause)) => return Poll::Ready(self.broken(cause)),
                Poll::Pending => break,
            }
        }
        let now = clock::now();
        // Taken, because the connection may be kept, and a request must be given up only once.
        let overdue = |owed: &mut Progress| self.reconnect.is_overdue(owed.asked.at, now);
        let Some(Progress { asked, .. }) = self.progress.take_if(overdue) else {
            return Poll::Pending;
        };
        let reply = self.reconnect.failed(&asked, EtcdError::silent(), now);
        match self.take(asked, reply) {
            Some(event) => Poll::Ready(event),
            None => Poll::Pending,
        }
    }

    fn take(&mut self, asked: CheckRequest, reply: Reply) -> Option<SubchannelEvent> {
        match reply {
            Reply::Answered(answer) => Some(SubchannelEvent::Answered(asked, answer)),
            Reply::Nothing => None,
            Reply::Failed { cause, kept } => {
                if !kept {
                    self.close();
                    self.failed = Some(SubchannelEvent::Lost(cause.clone()));
                }
                Some(SubchannelEvent::Failed(asked, cause))
            }
        }
    }

    fn broken(&mut self, cause: EtcdError) -> SubchannelEvent {
        self.close();
        SubchannelEvent::Lost(self.reconnect.closed(cause, clock::now()))
    }

    fn close(&mut self) {
        self.state = ConnectionState::Closed;
        self.questions.clear();
        self.progress = None;
    }
}
