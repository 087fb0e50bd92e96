//! A lease: taken, renewed, given back.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, Error};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::Level;

use super::node::{Node, failure};
use super::session::Session;
use crate::etcd::cause::{Cause, is_lease_gone};
use crate::etcd::line::{PAUSE, TARGET};
use crate::shell::log;
use crate::{Context, Failure};

/// What came of one renewal.
enum Renewal {
    Confirmed,
    /// In words: how it is known.
    Gone(&'static str),
    /// Another leader meanwhile: who knows which of them renewed it.
    Unsure,
}

impl Node {
    /// A new lease, and with it a session. Tried until etcd answers, or says that it will not.
    pub(super) async fn grant(&self, ctx: &Context) -> Result<Arc<Session>, Failure> {
        let seconds = self.times.lease.as_secs() as i64;
        loop {
            let sent = Instant::now();
            let ask = |mut client: Client| async move { client.lease_grant(seconds, None).await };
            let cause = match self.lease_line.ask(ask).await {
                Ok(granted) if granted.ttl() < seconds => {
                    let text =
                        format!("etcd grants {} s for a lease of {seconds} s", granted.ttl());
                    return Err(Failure::new(text));
                }
                Ok(granted) => {
                    if granted.ttl() > seconds {
                        // Safe, since work ends by the shorter one; but others take over later.
                        let (id, granted) = (self.id.clone(), granted.ttl());
                        log(Level::WARN, move |at_ms| {
                            tracing::warn!(target: TARGET, at_ms, id, asked = seconds, granted,
                                "etcd grants no lease this short: its election timeout asks for a longer one"
                            );
                        });
                    }
                    let session = Arc::new(Session::new(granted.id(), sent));
                    self.renewed(&session, sent, ctx);
                    return Ok(session);
                }
                Err(cause) => cause,
            };
            if cause.is_refusal() {
                return Err(failure("no lease", &cause));
            }
            let (id, why) = (self.id.clone(), cause.text);
            log(
                Level::DEBUG,
                move |at_ms| tracing::debug!(target: TARGET, at_ms, id, why, "no lease yet"),
            );
            sleep(PAUSE).await;
        }
    }

    /// Renews the lease until it is lost, and tells why.
    pub(super) async fn renew(&self, session: &Session, ctx: &Context) -> Failure {
        let mut at = Instant::now() + self.times.renew_every;
        let mut failing = false;
        loop {
            sleep_until(at).await;
            let sent = Instant::now();
            match self.renewal(session).await {
                Ok(Renewal::Confirmed) => {
                    self.renewed(session, sent, ctx);
                    at = sent + self.times.renew_every;
                    failing = false;
                }
                Ok(Renewal::Gone(why)) => return self.lost(session, why),
                Ok(Renewal::Unsure) => at = Instant::now() + PAUSE,
                Err(cause) => {
                    if !failing {
                        let (id, fault, why) = (self.id.clone(), cause.fault.as_str(), cause.text);
                        log(Level::WARN, move |at_ms| {
                            tracing::warn!(target: TARGET, at_ms, id, fault, why, "the lease was not renewed");
                        });
                    }
                    failing = true;
                    at = Instant::now() + PAUSE;
                }
            }
        }
    }

    async fn renewal(&self, session: &Session) -> Result<Renewal, Cause> {
        let lease = session.lease;
        let term = self
            .lease_line
            .ask(|client| keep_alive(client, lease))
            .await?;
        let Some(term) = term else {
            return Ok(Renewal::Gone("etcd does not know it any more"));
        };
        // A leader that was replaced and does not know it yet renews what runs out elsewhere. So a
        // quorum has to confirm its term, to a question that is asked after the renewal.
        let key = self.prefix.member(&self.id);
        let ask = |mut client: Client| async move { client.get(key, None).await };
        let read = self.lease_line.ask(ask).await?;
        let header = read.header().ok_or_else(Cause::without_header)?;
        let registered = session.registered_at();
        if registered.is_some_and(|revision| revision <= header.revision()) {
            let owner = read.kvs().first().map(|kv| kv.lease());
            if owner != Some(lease) {
                return Ok(Renewal::Gone(UNREGISTERED));
            }
        }
        Ok(if header.raft_term() == term {
            Renewal::Confirmed
        } else {
            Renewal::Unsure
        })
    }

    /// Nothing is allowed under the lease from here on, whoever is to be told of it later.
    pub(super) fn lost(&self, session: &Session, why: &str) -> Failure {
        session.end();
        let (id, lease) = (&self.id, session.lease);
        let text =
            format!("the lease {lease:x} of {id} is lost: {why}; other nodes may do its work now");
        Failure::new(text).critical()
    }

    /// Both work and fence count from when it was sent.
    fn renewed(&self, session: &Session, sent: Instant, ctx: &Context) {
        let lease: Duration = self.times.lease;
        session.allow(sent, lease - self.times.margin);
        ctx.lease_renewed(sent, lease);
    }

    /// Ends a lease, and everything under it. Fine if it is gone already.
    pub(super) async fn revoke(&self, lease: i64) -> Result<(), Cause> {
        self.lease_line
            .ask(|mut client| async move {
                match client.lease_revoke(lease).await {
                    Err(error) if !is_lease_gone(&error) => Err(error),
                    _ => Ok(()),
                }
            })
            .await
    }

    /// How much longer a lease lives, and how much it was granted, in seconds; `None` if it is gone.
    pub(super) async fn time_to_live(&self, lease: i64) -> Result<Option<(i64, i64)>, Cause> {
        self.lease_line
            .ask(|mut client| async move {
                match client.lease_time_to_live(lease, None).await {
                    Ok(told) if told.ttl() >= 0 => Ok(Some((told.ttl(), told.granted_ttl()))),
                    Err(error) if !is_lease_gone(&error) => Err(error),
                    _ => Ok(None),
                }
            })
            .await
    }
}

/// Keeps a lease alive once, and tells the term of whoever did; `None` if there is no such lease.
///
/// On a stream of its own: on a shared one, a late answer would be taken for one to a later question.
async fn keep_alive(mut client: Client, lease: i64) -> Result<Option<u64>, Error> {
    // The library holds back the first answer, so it is asked twice.
    let (mut keeper, mut answers) = match client.lease_keep_alive(lease).await {
        Ok(opened) => opened,
        Err(error) if is_lease_gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    keeper.keep_alive().await?;
    match answers.message().await? {
        Some(answer) if answer.ttl() > 0 => {
            Ok(answer.header().map(|header| header.raft_term()).or(Some(0)))
        }
        Some(_) => Ok(None),
        None => Err(Error::LeaseKeepAliveError(
            "the server ended the stream".into(),
        )),
    }
}

pub(super) const UNREGISTERED: &str = "the registration was removed, or is another's";
