//! Grants, renewals and revocations of leases.

use std::sync::Arc;

use etcd_client::{
    Client, Error, LeaseKeepAliveResponse, LeaseRevokeResponse, LeaseTimeToLiveResponse,
    ResponseHeader,
};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::Level;

use super::lease_answer::{KeptAlive, Left};
use super::lease_session::LeaseSession;
use super::lease_state::{
    AfterSuspension, Confirmation, Lease, Renewal, Renewals, Renewed, Suspensions, UNKNOWN,
};
use super::node::{Node, failure};
use super::times::GRACE;
use crate::etcd::basics::{EtcdError, Fault, Moment, TARGET};
use crate::etcd::client::{ExpectedCluster, HasHeader, is_lease_gone};
use crate::etcd::host::{clock, moment, suspended_since};
use crate::shell::component::Context;
use crate::shell::failure::Failure;
use crate::shell::log::log;

impl Node {
    /// Takes a new lease, with its session. Tries until etcd grants it or refuses for good.
    pub(crate) async fn grant(&self, ctx: &Context) -> Result<Arc<LeaseSession>, Failure> {
        // Only once: an endpoint that does not answer may stay silent for long.
        self.ask_around().await;
        loop {
            self.is_one_cluster(None)?;
            let sent = moment(&self.config.suspended);
            let cause = match self.try_to_grant().await {
                Ok(granted) => {
                    let lease = granted.lease;
                    // From now on the lease is revoked in any case.
                    self.remember(lease);
                    let promised = self.is_one_cluster(Some(lease));
                    if let Err(refused) = promised.and_then(|()| {
                        let checked = self.times.check_granted(granted.ttl, GRACE);
                        checked.map_err(Failure::new)
                    }) {
                        // If the revocation fails, the next start tries it again.
                        if self.revoke(lease).await.is_ok() {
                            self.forget(lease);
                        }
                        return Err(refused);
                    }
                    let suspended = self.config.suspended.clone();
                    let session = Arc::new(LeaseSession::new(lease, sent, suspended));
                    self.renewed(&session, sent, ctx);
                    return Ok(session);
                }
                Err(cause) => cause,
            };
            let Some(pause) = cause.again_in() else {
                return Err(failure("no lease", &cause));
            };
            let (id, why) = (self.id.clone(), cause.text);
            log(
                Level::DEBUG,
                move |at_ms| tracing::debug!(target: TARGET, at_ms, id, why, "no lease yet"),
            );
            sleep(pause).await;
        }
    }

    async fn try_to_grant(&self) -> Result<Granted, EtcdError> {
        let seconds = self.times.seconds();
        let ask = |mut client: Client| async move { client.lease_grant(seconds, None).await };
        let granted = self.lease_failover.ask(ExpectedCluster::Any, ask).await?;
        let header = granted.header().ok_or_else(EtcdError::without_header)?;
        Ok(Granted {
            lease: Lease {
                id: granted.id(),
                cluster: header.cluster_id(),
            },
            ttl: granted.ttl(),
        })
    }

    /// Checks that all endpoints belong to one cluster, and this lease too.
    fn is_one_cluster(&self, lease: Option<Lease>) -> Result<(), Failure> {
        let now = clock::now();
        let split = match lease {
            Some(lease) => self.config.split_from(lease.cluster, now),
            None => self.config.split(now),
        };
        match split {
            None => Ok(()),
            Some(split) => {
                let cause = EtcdError::sure(Fault::Misdirected, split);
                Err(failure("no lease", &cause))
            }
        }
    }

    /// Renews the lease until it is lost, and returns the reason.
    pub(crate) async fn renew(&self, session: &LeaseSession, ctx: &Context) -> Failure {
        let mut renewals = Renewals::new(&self.times, clock::now());
        loop {
            tokio::select! {
                biased;
                // After a suspension less of the lease is left than the timer assumes.
                () = self.hurry.notified() => {}
                () = sleep_until(clock::moment_of(renewals.at())) => {}
            }
            let sent = moment(&self.config.suspended);
            let renewal = self.renewal(session).await;
            match renewals.came(renewal, sent.at, clock::now()) {
                Renewed::Confirmed => self.renewed(session, sent, ctx),
                Renewed::Lost(why) => return self.lost(session, &why),
                Renewed::Again => {}
                Renewed::Expired(cause) => {
                    let (id, why) = (self.id.clone(), cause.text);
                    log(Level::DEBUG, move |at_ms| {
                        tracing::debug!(target: TARGET, at_ms, id, why, "the lease is renewed with a new token");
                    });
                }
                Renewed::Failed(cause) => {
                    let (id, class, why) = (self.id.clone(), cause.fault.as_str(), cause.text);
                    log(Level::WARN, move |at_ms| {
                        tracing::warn!(target: TARGET, at_ms, id, class, why, "the lease was not renewed");
                    });
                }
            }
        }
    }

    async fn renewal(&self, session: &LeaseSession) -> Result<Renewal, EtcdError> {
        let (of, lease) = (session.lease.of(), session.lease.id);
        let kept = self
            .lease_failover
            .ask(of, |client| keep_alive(client, lease))
            .await?;
        let Kept::Alive(kept) = kept else {
            return Ok(Renewal::Gone(UNKNOWN.to_owned()));
        };
        let term = kept.header().map_or(0, ResponseHeader::raft_term);
        // A leader that was replaced without knowing it renews leases that run out at its successor. So a
        // quorum must confirm its term, in answer to a read that is sent after the renewal.
        let key = self.prefix.member(&self.id);
        let seen = session.seen();
        let ask = |mut client: Client| async move { client.get(key, None).await };
        let read = self.lease_failover.ask(of, ask).await?;
        let header = read.header().ok_or_else(EtcdError::without_header)?;
        session.see(header.revision());
        Ok(session.lease.renewal(&Confirmation {
            seen,
            revision: header.revision(),
            registered_at: session.registered_at(),
            owner: read.kvs().first().map(|kv| kv.lease()),
            renewed_in: term,
            confirmed_in: header.raft_term(),
        }))
    }

    /// Ends all work under the lease at once, and makes the failure that is reported later.
    pub(crate) fn lost(&self, session: &LeaseSession, why: &str) -> Failure {
        session.end();
        let (id, lease) = (&self.id, session.lease.id);
        let text =
            format!("the lease {lease:x} of {id} is lost: {why}; other nodes may do its work now");
        Failure::new(text).critical()
    }

    /// Notes a confirmed renewal. Work and fence count from when it was sent.
    fn renewed(&self, session: &LeaseSession, sent: Moment, ctx: &Context) {
        session.allow(sent, self.times.allowed());
        // The fence uses the clock that stopped if the machine was suspended in between.
        let stood_still = moment(&self.config.suspended).suspended_since(sent);
        ctx.lease_renewed(clock::moment_of(sent.at), self.times.fence(stood_still));
    }

    /// Watches for suspensions of the machine, until one of them has cost the lease.
    ///
    /// Work under the lease uses the clock that continues during a suspension. The fence does not, so it is set to the
    /// time that is left.
    pub(crate) async fn outlive_suspensions(
        &self,
        session: &LeaseSession,
        ctx: &Context,
    ) -> Failure {
        let suspended = &self.config.suspended;
        let mut suspensions = Suspensions::default();
        loop {
            let before = moment(suspended);
            let end = async {
                match suspensions.end_counts() {
                    true => sleep_until(session.until()).await,
                    false => std::future::pending().await,
                }
            };
            let time = tokio::select! {
                biased;
                time = suspended_since(before, suspended, self.times.look_every()) => time,
                () = end => match suspensions.end_came(session.left()) {
                    Some(why) => return self.lost(session, why),
                    None => continue,
                },
            };
            let left = session.left();
            let id = self.id.clone();
            log(Level::WARN, move |at_ms| {
                tracing::warn!(target: TARGET, at_ms, id, suspended_for = ?time, lease_left = ?left,
                    "the machine was suspended, while the lease ran on"
                );
            });
            match suspensions.suspended(time, left, self.times.margin) {
                AfterSuspension::Lost(why) => return self.lost(session, &why),
                AfterSuspension::Renew { runs_out_in } => {
                    ctx.lease_renewed(Instant::now(), runs_out_in);
                    self.hurry.notify_one();
                }
            }
        }
    }

    /// Revokes a lease, and with it all its keys. It is no error if the lease is gone already.
    pub(crate) async fn revoke(&self, lease: Lease) -> Result<(), EtcdError> {
        let id = lease.id;
        let ask = |mut client: Client| async move {
            match client.lease_revoke(id).await {
                Ok(revoked) => Ok(Revoked::Now(revoked)),
                Err(error) => not_there(client, id, error).await.map(Revoked::Before),
            }
        };
        self.lease_failover.ask(lease.of(), ask).await?;
        Ok(())
    }

    /// How long a lease still lives; `None` if it is gone.
    pub(crate) async fn time_to_live(&self, lease: Lease) -> Result<Option<Left>, EtcdError> {
        let id = lease.id;
        let ask = |mut client: Client| async move { client.lease_time_to_live(id, None).await };
        let told = self.lease_failover.ask(lease.of(), ask).await?;
        Ok(left(&told))
    }
}

/// A lease, and the number of seconds it was granted for.
struct Granted {
    lease: Lease,
    ttl: i64,
}

/// The answer to a keep-alive request.
enum Kept {
    Alive(LeaseKeepAliveResponse),
    Gone(LeaseTimeToLiveResponse),
}

impl HasHeader for Kept {
    fn headed(&self) -> Option<&ResponseHeader> {
        match self {
            Self::Alive(answer) => answer.header(),
            Self::Gone(answer) => answer.header(),
        }
    }
}

/// The answer to a revocation.
enum Revoked {
    Now(LeaseRevokeResponse),
    Before(LeaseTimeToLiveResponse),
}

impl HasHeader for Revoked {
    fn headed(&self) -> Option<&ResponseHeader> {
        match self {
            Self::Now(answer) => answer.header(),
            Self::Before(answer) => answer.header(),
        }
    }
}

/// Keeps a lease alive once, on a separate stream.
///
/// On a shared stream a late answer would be taken for the answer to a later request.
async fn keep_alive(mut client: Client, lease: i64) -> Result<Kept, Error> {
    // The library consumes the first answer, so the request is sent twice.
    let (mut keeper, mut answers) = match client.lease_keep_alive(lease).await {
        Ok(opened) => opened,
        Err(error) => return not_there(client, lease, error).await.map(Kept::Gone),
    };
    keeper.keep_alive().await?;
    let answer = answers.message().await?;
    let seconds = answer.as_ref().map(LeaseKeepAliveResponse::ttl);
    match (KeptAlive::by(seconds), answer) {
        (KeptAlive::Renewed, Some(answer)) => Ok(Kept::Alive(answer)),
        (KeptAlive::NotThere, _) => not_there(client, lease, gone()).await.map(Kept::Gone),
        (KeptAlive::Renewed | KeptAlive::Unanswered, _) => Err(Error::LeaseKeepAliveError(
            "the server ended the stream".into(),
        )),
    }
}

/// Asks whether a lease is gone, as this error says, because the error does not show its cluster.
async fn not_there(
    mut client: Client,
    lease: i64,
    error: Error,
) -> Result<LeaseTimeToLiveResponse, Error> {
    if !is_lease_gone(&error) {
        return Err(error);
    }
    let told = client.lease_time_to_live(lease, None).await?;
    match left(&told) {
        None => Ok(told),
        Some(_) => Err(error),
    }
}

fn left(told: &LeaseTimeToLiveResponse) -> Option<Left> {
    Left::told(told.ttl(), told.granted_ttl())
}

fn gone() -> Error {
    Error::LeaseKeepAliveError("lease not found".into())
}
