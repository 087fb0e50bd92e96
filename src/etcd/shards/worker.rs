//! One incarnation of the work: claims what should be here, runs it, and gives up what should not.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, Compare, CompareOp, PutOptions, Txn, TxnOp};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::Work;
use super::claims::{Claim, Follower, View};
use super::job::{Outcome, Shard};
use crate::etcd::cause::Cause;
use crate::etcd::fault::Fault;
use crate::etcd::keys::WorkKeys;
use crate::etcd::membership::{Inner, Membership, PAUSE, Session, TARGET, failure};
use crate::etcd::mirror::Mirror;
use crate::machine::Class;
use crate::shell::text_of;
use crate::{Context, Failure};

pub(super) struct Worker {
    inner: Arc<Inner>,
    work: Arc<Work>,
    keys: WorkKeys,
    session: Arc<Session>,
    ctx: Context,
    jobs: HashMap<usize, Job>,
    /// Shards whose function failed.
    backoffs: HashMap<usize, Backoff>,
    /// The claims that were given up, by their tokens. A view may be older than that, so such a claim is
    /// never worked under again, even if the plan turns back.
    released: HashMap<usize, i64>,
    /// What was sent to etcd is not yet seen: until this revision is, or this moment comes.
    unseen: Option<(i64, Instant)>,
    tell: mpsc::Sender<(usize, Outcome)>,
    ended: mpsc::Receiver<(usize, Outcome)>,
}

/// A shard that runs.
struct Job {
    shard: Shard,
    begun: Instant,
}

struct Backoff {
    pause: Duration,
    until: Instant,
}

/// What is to be done in etcd, and when to look again.
#[derive(Default)]
struct Todo {
    /// With the revision of the release, if it was released.
    claim: Vec<(usize, Option<i64>)>,
    /// With the token of the claim.
    release: Vec<(usize, i64)>,
    again: Option<Instant>,
}

impl Todo {
    fn look_again(&mut self, at: Instant) {
        self.again = Some(self.again.map_or(at, |again| again.min(at)));
    }
}

impl Worker {
    pub(super) fn new(
        inner: Arc<Inner>,
        work: Arc<Work>,
        session: Arc<Session>,
        ctx: Context,
    ) -> Self {
        // Each job says once that it has ended, so there is always room.
        let (tell, ended) = mpsc::channel(work.shards.len());
        Self {
            keys: inner.prefix.work(&work.name),
            inner,
            work,
            session,
            ctx,
            jobs: HashMap::new(),
            backoffs: HashMap::new(),
            released: HashMap::new(),
            unseen: None,
            tell,
            ended,
        }
    }

    pub(super) async fn run(mut self) -> Result<(), Failure> {
        let at_work = self.inner.at_work();
        let ctx = self.ctx.clone();
        let Some(taken_part) = ctx.until_stopping(self.take_part()).await else {
            return Ok(());
        };
        taken_part?;
        let mut views = self.follow();
        let (mut view, mut registered) = (None, self.session.registered());
        let mut again = None;
        loop {
            let until = self.session.until();
            let wake = again.map_or(until, |again: Instant| again.min(until));
            tokio::select! {
                biased;
                () = ctx.stopping() => break,
                () = self.session.lost.cancelled() => {}
                Some((place, outcome)) = self.ended.recv() => self.note(place, outcome),
                Ok(()) = views.changed() => {
                    view.clone_from(&views.borrow_and_update());
                    ctx.ready();
                }
                Ok(()) = registered.changed() => {}
                () = sleep_until(wake) => {}
            }
            while let Ok((place, outcome)) = self.ended.try_recv() {
                self.note(place, outcome);
            }
            if !self.session.allows() {
                self.jobs.values().for_each(|job| job.shard.lose());
                let text =
                    "the lease is lost, or was not renewed in time: all work under it is dropped";
                return Err(Failure::new(text).critical());
            }
            let Some(view) = &view else { continue };
            match ctx.until_stopping(self.act(view)).await {
                Some(next) => again = next,
                None => break,
            }
        }
        self.hand_over(view.as_deref()).await;
        drop(at_work);
        Ok(())
    }

    /// From here on the others count on this node.
    async fn take_part(&self) -> Result<(), Failure> {
        let (lease, key) = (
            self.session.lease,
            self.keys.on(&self.inner.id, self.session.lease),
        );
        loop {
            let (key, options) = (key.clone(), PutOptions::new().with_lease(lease));
            let ask = |mut client: Client| async move { client.put(key, "", Some(options)).await };
            let Err(cause) = self.inner.line.ask(ask).await else {
                return Ok(());
            };
            // Silence passes, or the probe tells of it.
            if cause.sure && cause.fault != Fault::Unreachable {
                return Err(failure("cannot take part in the work", &cause));
            }
            sleep(PAUSE).await;
        }
    }

    /// Follows etcd's records in a task of its own, so that nothing keeps it from it.
    fn follow(&self) -> watch::Receiver<Option<Arc<View>>> {
        let every = self.inner.times().renew_every;
        let mut mirror = Mirror::new(Arc::clone(&self.inner.line), self.keys.all(), every);
        let mut follower = Follower::new(self.keys.clone(), &self.work, Membership::GRACE);
        let (tell, told) = watch::channel(None);
        self.ctx.spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    () = tell.closed() => return Ok(()),
                    news = mirror.next() => {
                        let view = follower.view(&mut mirror, news, Instant::now());
                        tell.send_replace(Some(Arc::new(view)));
                    }
                }
            }
        });
        told
    }

    /// Does what the view asks for, and tells when to look again even if nothing happens.
    async fn act(&mut self, view: &View) -> Option<Instant> {
        let mut todo = self.decide(view, Instant::now());
        if let Some((revision, until)) = self.unseen {
            if view.revision < revision && Instant::now() < until {
                todo.look_again(until);
                return todo.again;
            }
            self.unseen = None;
        }
        if todo.claim.is_empty() && todo.release.is_empty() {
            return todo.again;
        }
        let released: Vec<usize> = todo.release.iter().map(|&(place, _)| place).collect();
        self.released.extend(todo.release.drain(..));
        let done = async {
            self.release(&released).await?;
            self.claim(&todo.claim).await
        };
        if let Err(cause) = done.await {
            tracing::debug!(target: TARGET, work = self.work.name, why = cause.text, "claims are not settled");
            todo.look_again(Instant::now() + PAUSE);
        }
        if let Some((_, until)) = self.unseen {
            todo.look_again(until);
        }
        todo.again
    }

    fn decide(&mut self, view: &View, now: Instant) -> Todo {
        let mut todo = Todo::default();
        let may_claim = self.session.registered_at().is_some();
        let planned = view.planned(&self.work.name, &self.inner.id);
        for (place, (claim, planned)) in view.claims.iter().zip(planned).enumerate() {
            let own = match *claim {
                Claim::Held {
                    lease, revision, ..
                } if lease == self.session.lease => Some(revision),
                _ => None,
            };
            let running = self.jobs.get(&place);
            match (own, running) {
                // Somebody removed the claim, or took it.
                (own, Some(job)) if own != Some(job.shard.token()) => job.shard.lose(),
                (Some(_), Some(job)) if !planned => job.shard.stop(),
                (Some(_), Some(_)) => {}
                (Some(token), None) if !planned || self.released.get(&place) == Some(&token) => {
                    todo.release.push((place, token));
                }
                (Some(token), None) => match self.backoffs.get(&place) {
                    Some(backoff) if now < backoff.until => todo.look_again(backoff.until),
                    _ => self.begin(place, token, now),
                },
                (None, _) if !planned || !may_claim => {}
                (None, _) => match *claim {
                    Claim::None { from } if now < from => todo.look_again(from),
                    Claim::None { .. } => todo.claim.push((place, None)),
                    Claim::Released { revision } => todo.claim.push((place, Some(revision))),
                    Claim::Held { .. } => {}
                },
            }
        }
        todo
    }

    fn begin(&mut self, place: usize, token: i64, begun: Instant) {
        let name = Arc::clone(&self.work.shards[place]);
        let shard = Shard::new(place as u32, name, token, Arc::clone(&self.session));
        self.jobs.insert(
            place,
            Job {
                shard: shard.clone(),
                begun,
            },
        );
        let (work, tell) = (Arc::clone(&self.work), self.tell.clone());
        let at_work = self.inner.at_work();
        self.ctx.spawn(async move {
            let outcome = shard.run(|shard| work.begin(shard)).await;
            drop(at_work);
            let _ = tell.send((place, outcome)).await;
            Ok(())
        });
    }

    /// A job has ended.
    fn note(&mut self, place: usize, outcome: Outcome) {
        let Some(job) = self.jobs.remove(&place) else {
            return;
        };
        let Outcome::Ended(ended) = outcome else {
            return;
        };
        let (work, shard) = (&self.work.name, job.shard.name());
        if job.shard.is_stopping() {
            self.backoffs.remove(&place);
            if let Err(failure) = ended {
                tracing::warn!(target: TARGET, work, shard, failure = text_of(&failure), "a shard failed while it stopped");
            }
            return;
        }
        let last = self.backoffs.get(&place).map(|backoff| backoff.pause);
        let pause = match last {
            Some(last) if job.begun.elapsed() < LONGEST_BACKOFF => (2 * last).min(LONGEST_BACKOFF),
            _ => BACKOFF,
        };
        let until = Instant::now() + pause;
        self.backoffs.insert(place, Backoff { pause, until });
        let failure = match ended {
            Ok(()) => Failure::new("it returned before it was told to stop"),
            Err(failure) => failure,
        };
        let text = text_of(&failure);
        tracing::warn!(target: TARGET, work, shard, failure = text, again_in = ?pause, "a shard failed");
        if failure.class() != Class::Component {
            self.ctx.report(failure);
        }
    }

    /// Claims what nobody has. What another one was faster to claim is left to it.
    async fn claim(&mut self, shards: &[(usize, Option<i64>)]) -> Result<(), Cause> {
        let options = || Some(PutOptions::new().with_lease(self.session.lease));
        let claims = shards.iter().map(|&(place, released)| {
            let key = self.keys.shard(&self.work.shards[place]);
            let free = match released {
                None => Compare::create_revision(&*key, CompareOp::Equal, 0),
                Some(revision) => Compare::mod_revision(&*key, CompareOp::Equal, revision),
            };
            let put = TxnOp::put(key, &*self.inner.id, options());
            TxnOp::txn(Txn::new().when([free]).and_then([put]))
        });
        let claims = claims.collect();
        self.settle(claims).await
    }

    /// Says that these shards have stopped here.
    async fn release(&mut self, shards: &[usize]) -> Result<(), Cause> {
        let lease = self.session.lease;
        let releases = shards.iter().map(|&place| {
            let key = self.keys.shard(&self.work.shards[place]);
            let own = Compare::lease(&*key, CompareOp::Equal, lease);
            // It goes away with the lease, if nobody claims it before.
            let put = TxnOp::put(key, "", Some(PutOptions::new().with_lease(lease)));
            TxnOp::txn(Txn::new().when([own]).and_then([put]))
        });
        let releases = releases.collect();
        self.settle(releases).await
    }

    /// Each by itself, but many in one transaction, and only while this node is a member by its lease.
    async fn settle(&mut self, mut operations: Vec<TxnOp>) -> Result<(), Cause> {
        while !operations.is_empty() {
            let rest = operations.split_off(operations.len().min(BATCH));
            let member = self.inner.prefix.member(&self.inner.id);
            let is_member = Compare::lease(member, CompareOp::Equal, self.session.lease);
            let txn = Txn::new().when([is_member]).and_then(operations);
            let ask = |mut client: Client| async move { client.txn(txn).await };
            let answer = self.inner.line.ask(ask).await?;
            let revision = answer
                .header()
                .ok_or_else(Cause::without_header)?
                .revision();
            // If others were faster, nothing of it will ever be seen.
            self.unseen = Some((revision, Instant::now() + LONGEST_UNSEEN));
            operations = rest;
        }
        Ok(())
    }

    /// Stops everything, and releases each shard when it has stopped.
    async fn hand_over(&mut self, view: Option<&View>) {
        self.jobs.values().for_each(|job| job.shard.stop());
        // Others take over from here on. Where etcd does not answer, the lease tells them.
        let on = self.keys.on(&self.inner.id, self.session.lease);
        let ask = |mut client: Client| async move { client.delete(on, None).await };
        let mut answering = self.inner.line.ask(ask).await.is_ok();
        let own = |claim: &Claim| matches!(claim, Claim::Held { lease, .. } if *lease == self.session.lease);
        let claims = view.map_or(&[][..], |view| &view.claims);
        let mut stopped: Vec<usize> = (0..claims.len())
            .filter(|place| own(&claims[*place]) && !self.jobs.contains_key(place))
            .collect();
        loop {
            while let Ok((place, outcome)) = self.ended.try_recv() {
                self.note(place, outcome);
                stopped.push(place);
            }
            if answering && !stopped.is_empty() {
                answering = self.release(&stopped).await.is_ok();
                stopped.clear();
            }
            if self.jobs.is_empty() {
                return;
            }
            if let Some((place, outcome)) = self.ended.recv().await {
                self.note(place, outcome);
                stopped.push(place);
            }
        }
    }
}

/// etcd takes 128 operations in a transaction by default, and counts those within others.
const BATCH: usize = 100;
/// Before etcd is asked again for what was sent to it and is not seen.
const LONGEST_UNSEEN: Duration = Duration::from_millis(500);
const BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
