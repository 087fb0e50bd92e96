//! A lease: taken, renewed, given back.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{
    Client, Error, LeaseKeepAliveResponse, LeaseRevokeResponse, LeaseTimeToLiveResponse,
    ResponseHeader,
};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::Level;

use super::Membership;
use super::node::{Node, failure};
use super::session::{Lease, Session};
use crate::etcd::backoff::PAUSE;
use crate::etcd::belief::{Headed, Of};
use crate::etcd::cause::Cause;
use crate::etcd::classify::is_lease_gone;
use crate::etcd::clock;
use crate::etcd::fault::Fault;
use crate::etcd::line::TARGET;
use crate::etcd::suspension::{Moment, suspended_since};
use crate::shell::log;
use crate::{Context, Failure};

/// What came of one renewal.
enum Renewal {
    Confirmed,
    /// In words: how it is known.
    Gone(Cow<'static, str>),
    /// Another leader meanwhile: who knows which of them renewed it.
    Unsure,
}

impl Node {
    /// A new lease, and with it a session. Tried until etcd answers, or says that it will not.
    pub(super) async fn grant(&self, ctx: &Context) -> Result<Arc<Session>, Failure> {
        // Once: who did not answer may not do so for long.
        self.ask_around().await;
        loop {
            self.is_one_cluster(None)?;
            let sent = Moment::now(&self.config.suspended);
            let cause = match self.try_to_grant().await {
                Ok(granted) => {
                    let lease = granted.lease;
                    // From now on it is given back, however this ends.
                    self.remember(lease);
                    let promised = self.is_one_cluster(Some(lease));
                    if let Err(refused) = promised.and_then(|()| self.is_as_long(granted.ttl)) {
                        // As if it had never been there. If that fails, it is tried again at the next start.
                        if self.revoke(lease).await.is_ok() {
                            self.forget(lease);
                        }
                        return Err(refused);
                    }
                    let suspended = self.config.suspended.clone();
                    let session = Arc::new(Session::new(lease, sent, suspended));
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

    async fn try_to_grant(&self) -> Result<Granted, Cause> {
        let seconds = self.seconds();
        let ask = |mut client: Client| async move { client.lease_grant(seconds, None).await };
        let granted = self.lease_line.ask(Of::Any, ask).await?;
        let header = granted.header().ok_or_else(Cause::without_header)?;
        Ok(Granted {
            lease: Lease {
                id: granted.id(),
                cluster: header.cluster_id(),
            },
            ttl: granted.ttl(),
        })
    }

    fn seconds(&self) -> i64 {
        self.times.lease.as_secs() as i64
    }

    /// Whether the endpoints are of one cluster, and this lease is of that one, too.
    fn is_one_cluster(&self, lease: Option<Lease>) -> Result<(), Failure> {
        let now = clock::now();
        let split = match lease {
            Some(lease) => self.config.split_from(lease.cluster, now),
            None => self.config.split(now),
        };
        match split {
            None => Ok(()),
            Some(split) => {
                let cause = Cause::sure(Fault::Misdirected, split);
                Err(failure("no lease", &cause))
            }
        }
    }

    /// Whether a lease lives as long as it was asked for.
    fn is_as_long(&self, granted: i64) -> Result<(), Failure> {
        let asked = self.seconds();
        match granted.cmp(&asked) {
            Ordering::Equal => Ok(()),
            Ordering::Less => {
                let text = format!("etcd grants {granted} s for a lease of {asked} s");
                Err(Failure::new(text))
            }
            // Nobody else would work meanwhile, but others would take over later than is promised.
            Ordering::Greater => {
                let ttl = Duration::from_secs(granted.unsigned_abs()) + Membership::GRACE;
                Err(Failure::new(format!(
                    "etcd grants no lease of {asked} s, but one of {granted} s (by its election timeout): \
                     give the membership a ttl of {ttl:?}, or etcd a shorter --election-timeout"
                )))
            }
        }
    }

    /// Renews the lease until it is lost, and tells why.
    pub(super) async fn renew(&self, session: &Session, ctx: &Context) -> Failure {
        let mut at = Instant::now() + self.times.renew_every;
        let mut failing = false;
        loop {
            tokio::select! {
                biased;
                // What is left of the lease is less than it seemed.
                () = self.hurry.notified() => {}
                () = sleep_until(at) => {}
            }
            let sent = Moment::now(&self.config.suspended);
            match self.renewal(session).await {
                Ok(Renewal::Confirmed) => {
                    self.renewed(session, sent, ctx);
                    at = sent.at + self.times.renew_every;
                    failing = false;
                }
                Ok(Renewal::Gone(why)) => return self.lost(session, &why),
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
        let (of, lease) = (session.lease.of(), session.lease.id);
        let kept = self
            .lease_line
            .ask(of, |client| keep_alive(client, lease))
            .await?;
        let Kept::Alive(kept) = kept else {
            return Ok(Renewal::Gone("etcd does not know it any more".into()));
        };
        let term = kept.header().map_or(0, ResponseHeader::raft_term);
        // A leader that was replaced and does not know it yet renews what runs out elsewhere. So a
        // quorum has to confirm its term, to a question that is asked after the renewal.
        let key = self.prefix.member(&self.id);
        let seen = session.seen();
        let ask = |mut client: Client| async move { client.get(key, None).await };
        let read = self.lease_line.ask(of, ask).await?;
        let header = read.header().ok_or_else(Cause::without_header)?;
        let revision = header.revision();
        if revision < seen {
            // The lease may be in the backup, but what was done since is not.
            let why = format!(
                "etcd's revision went back from {seen} to {revision}, so it was wiped, or restored from a backup"
            );
            return Ok(Renewal::Gone(why.into()));
        }
        session.see(revision);
        let registered = session.registered_at();
        if registered.is_some_and(|revision| revision <= header.revision()) {
            let owner = read.kvs().first().map(|kv| kv.lease());
            if owner != Some(lease) {
                return Ok(Renewal::Gone(UNREGISTERED.into()));
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
        let (id, lease) = (&self.id, session.lease.id);
        let text =
            format!("the lease {lease:x} of {id} is lost: {why}; other nodes may do its work now");
        Failure::new(text).critical()
    }

    /// Both work and fence count from when it was sent.
    fn renewed(&self, session: &Session, sent: Moment, ctx: &Context) {
        let lease: Duration = self.times.lease;
        session.allow(sent, lease - self.times.margin);
        // The fence goes by the clock that stood still meanwhile, if the machine was suspended.
        let stood_still = sent.suspended_for(&self.config.suspended);
        ctx.lease_renewed(
            sent.at,
            lease.saturating_sub(stood_still.unwrap_or_default()),
        );
    }

    /// Takes into account that the machine may be suspended, until that has cost the lease.
    ///
    /// Work under the lease goes by the clock that runs on, and no further. The fence does not, so it is told
    /// what is left.
    pub(super) async fn outlive_suspensions(&self, session: &Session, ctx: &Context) -> Failure {
        let suspended = &self.config.suspended;
        let every = (self.times.renew_every / 4).min(LONGEST_UNNOTICED);
        // What waits for the end of the lease does so by the clock that stood still. After a suspension it is ended
        // here, in time.
        let mut was_suspended = false;
        loop {
            let before = Moment::now(suspended);
            let end = async {
                match was_suspended {
                    true => sleep_until(session.until()).await,
                    false => std::future::pending().await,
                }
            };
            let time = tokio::select! {
                biased;
                time = suspended_since(before, suspended, every) => time,
                () = end => match session.left().is_zero() {
                    true => {
                        let why = "it was not renewed in time after the machine was suspended";
                        return self.lost(session, why);
                    }
                    // It was renewed meanwhile.
                    false => {
                        was_suspended = false;
                        continue;
                    }
                },
            };
            was_suspended = true;
            let left = session.left();
            let id = self.id.clone();
            log(Level::WARN, move |at_ms| {
                tracing::warn!(target: TARGET, at_ms, id, suspended_for = ?time, lease_left = ?left,
                    "the machine was suspended, while the lease ran on"
                );
            });
            if left.is_zero() {
                let why = format!("the machine was suspended for {time:.1?}");
                return self.lost(session, &why);
            }
            ctx.lease_renewed(Instant::now(), left + self.times.margin);
            self.hurry.notify_one();
        }
    }

    /// Ends a lease, and everything under it. Fine if it is gone already.
    pub(super) async fn revoke(&self, lease: Lease) -> Result<(), Cause> {
        let id = lease.id;
        let ask = |mut client: Client| async move {
            match client.lease_revoke(id).await {
                Ok(revoked) => Ok(Revoked::Now(revoked)),
                Err(error) => not_there(client, id, error).await.map(Revoked::Before),
            }
        };
        self.lease_line.ask(lease.of(), ask).await?;
        Ok(())
    }

    /// How much longer a lease lives, and how much it was granted, in seconds; `None` if it is gone.
    pub(super) async fn time_to_live(&self, lease: Lease) -> Result<Option<(i64, i64)>, Cause> {
        let id = lease.id;
        let ask = |mut client: Client| async move { client.lease_time_to_live(id, None).await };
        let told = self.lease_line.ask(lease.of(), ask).await?;
        Ok((told.ttl() >= 0).then(|| (told.ttl(), told.granted_ttl())))
    }
}

/// A lease, and for how many seconds it was granted.
struct Granted {
    lease: Lease,
    ttl: i64,
}

/// What came of keeping a lease alive.
enum Kept {
    Alive(LeaseKeepAliveResponse),
    Gone(LeaseTimeToLiveResponse),
}

impl Headed for Kept {
    fn headed(&self) -> Option<&ResponseHeader> {
        match self {
            Self::Alive(answer) => answer.header(),
            Self::Gone(answer) => answer.header(),
        }
    }
}

/// What came of ending a lease.
enum Revoked {
    Now(LeaseRevokeResponse),
    Before(LeaseTimeToLiveResponse),
}

impl Headed for Revoked {
    fn headed(&self) -> Option<&ResponseHeader> {
        match self {
            Self::Now(answer) => answer.header(),
            Self::Before(answer) => answer.header(),
        }
    }
}

/// Keeps a lease alive once.
///
/// On a stream of its own: on a shared one, a late answer would be taken for one to a later question.
async fn keep_alive(mut client: Client, lease: i64) -> Result<Kept, Error> {
    // The library holds back the first answer, so it is asked twice.
    let (mut keeper, mut answers) = match client.lease_keep_alive(lease).await {
        Ok(opened) => opened,
        Err(error) => return not_there(client, lease, error).await.map(Kept::Gone),
    };
    keeper.keep_alive().await?;
    match answers.message().await? {
        Some(answer) if answer.ttl() > 0 => Ok(Kept::Alive(answer)),
        Some(_) => not_there(client, lease, gone()).await.map(Kept::Gone),
        None => Err(Error::LeaseKeepAliveError(
            "the server ended the stream".into(),
        )),
    }
}

/// Asks whether a lease is gone, as this error says: which cluster it comes from the error does not say.
async fn not_there(
    mut client: Client,
    lease: i64,
    error: Error,
) -> Result<LeaseTimeToLiveResponse, Error> {
    if !is_lease_gone(&error) {
        return Err(error);
    }
    let told = client.lease_time_to_live(lease, None).await?;
    match told.ttl() {
        ..0 => Ok(told),
        0.. => Err(error),
    }
}

fn gone() -> Error {
    Error::LeaseKeepAliveError("lease not found".into())
}

/// How long it may be before the fence is told that the machine was suspended.
const LONGEST_UNNOTICED: Duration = Duration::from_secs(1);
pub(super) const UNREGISTERED: &str = "the registration was removed, or is another's";
