//! One incarnation of a work: carries out the reconciler's actions, and reports their results to it.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::Client;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, sleep_until, timeout};
use tracing::Level;

use super::announcer::{Announcer, Line};
use super::claim_store::ClaimStore;
use super::claims::View;
use super::follower::{Follower, rest_after};
use super::handover::HandOver;
use super::job::{Claimed, Outcome, Shard};
use super::jobs::{Job, Jobs};
use super::owners::Owners;
use super::reconcile::{Action, Consequence, Logged, Reconciler, Unwritten, Write};
use super::work::Work;
use crate::etcd::basics::{EtcdError, Loudness, TARGET};
use crate::etcd::host::{KEYS, Latest, clock};
use crate::etcd::membership::{LeaseSession, Membership, Node, failure};
use crate::etcd::records::{KeyChanges, Mirror, warn_of};
use crate::shell::component::Context;
use crate::shell::failure::Failure;
use crate::shell::log::log;

pub(crate) struct Worker {
    node: Arc<Node>,
    work: Arc<Work>,
    store: ClaimStore,
    session: Arc<LeaseSession>,
    ctx: Context,
    jobs: Jobs,
    reconciler: Reconciler,
    owners: Arc<Latest<Owners>>,
    announcer: Announcer,
    tell: mpsc::Sender<(usize, Outcome)>,
    ended: mpsc::Receiver<(usize, Outcome)>,
}

impl Worker {
    pub(crate) fn new(
        node: Arc<Node>,
        work: Arc<Work>,
        session: Arc<LeaseSession>,
        ctx: Context,
        most_moving: usize,
    ) -> Self {
        // Each job reports its end once, so there is always room.
        let (tell, ended) = mpsc::channel(work.list.len());
        let (list, lease) = (Arc::clone(&work.list), session.lease.id);
        Self {
            store: ClaimStore::new(Arc::clone(&node), Arc::clone(&work), Arc::clone(&session)),
            jobs: Jobs::new(lease),
            reconciler: Reconciler::new(list, &work.name, &node.id, lease, most_moving),
            node,
            work,
            session,
            ctx,
            owners: Arc::new(Latest::new(Owners::default())),
            announcer: Announcer::default(),
            tell,
            ended,
        }
    }

    pub(crate) fn publishing_to(self, owners: Arc<Latest<Owners>>) -> Self {
        Self { owners, ..self }
    }

    pub(crate) async fn run(mut self) -> Result<(), Failure> {
        let _runs = self.node.begin_work(&self.work.name)?;
        let at_work = self.node.at_work();
        let ctx = self.ctx.clone();
        match ctx.until_stopping(self.take_part()).await {
            Some(taking_part) => self.reconciler.written(&Write::TakePart, taking_part?),
            None => return Ok(()),
        }
        let mut views = self.follow();
        let (mut view, mut registered) = (None, 0);
        loop {
            let until = clock::time_of(self.session.until());
            let wake = clock::moment_of(self.reconciler.wake_at(until));
            tokio::select! {
                biased;
                () = ctx.stopping() => break,
                () = self.session.lost.cancelled() => {}
                Some((place, outcome)) = self.ended.recv() => {
                    // A shard that fails while it moves concerns no other one.
                    let _ = self.job_ended(place, outcome);
                }
                Ok(()) = views.changed() => {
                    view.clone_from(&views.borrow_and_update());
                    if let Some(view) = &view {
                        let (work, view) = (Arc::clone(&self.work), Arc::clone(view));
                        let owners = Owners::new(work, view, self.jobs.clone());
                        self.owners.set(owners);
                    }
                    ctx.mark_ready();
                }
                () = self.session.registered(&mut registered) => {}
                () = sleep_until(wake) => {}
            }
            while let Ok((place, outcome)) = self.ended.try_recv() {
                let _ = self.job_ended(place, outcome);
            }
            if let Some(why) = self.session.ends_work() {
                self.jobs.all().values().for_each(Shard::lose);
                return Err(Failure::new(why).critical());
            }
            let Some(view) = &view else { continue };
            match ctx.until_stopping(self.act(view, &views)).await {
                Some(acted) => acted?,
                None => break,
            }
        }
        // Until then the views continue, and end work whose claim is gone.
        let stopped = self.hand_over(view.as_deref()).await;
        drop(views);
        drop(at_work);
        stopped
    }

    /// Takes part in the work. Returns the revision from which the other nodes plan with this node.
    async fn take_part(&self) -> Result<i64, Failure> {
        loop {
            let cause = match self.store.take_part().await {
                Ok(revision) => return Ok(revision),
                Err(cause) => cause,
            };
            let Some(pause) = cause.again_in() else {
                return Err(failure("cannot take part in the work", &cause));
            };
            sleep(pause).await;
        }
    }

    /// Follows etcd's records in a separate task, so that nothing delays it.
    ///
    /// A view has a claim for each shard, so it is made on the thread for keys.
    fn follow(&self) -> watch::Receiver<Option<Arc<View>>> {
        let every = self.node.check_every();
        let cluster = self.session.lease.cluster;
        let line = Arc::clone(&self.node.failover);
        let mut mirror = Mirror::new(line, cluster, self.store.keys().all(), every);
        let mut follower = Follower::new(
            (**self.store.keys()).clone(),
            &self.store.own_key(),
            &self.work.list,
            Membership::GRACE,
            clock::now(),
        );
        let (tell, told) = watch::channel(None);
        let jobs = self.jobs.clone();
        let following = KEYS.run(async move {
            loop {
                let mut news = tokio::select! {
                    biased;
                    () = tell.closed() => return,
                    news = mirror.next() => news,
                };
                // Changes that have arrived by now go into the same view.
                for _ in 0..MOST_IN_ONE_VIEW {
                    let more = tokio::select! {
                        biased;
                        more = mirror.next() => more,
                        () = std::future::ready(()) => break,
                    };
                    news = news.and(more);
                }
                let removed = mirror.take_removed();
                let (entries, revision) = (mirror.entries(), mirror.revision());
                let (anew, now) = (news == KeyChanges::Anew, clock::now());
                let view = View {
                    as_of: mirror.as_of().map(clock::time_of),
                    ..follower.read(entries, revision, &removed, anew, now)
                };
                warn_of(&mut follower.foreign);
                let view = Arc::new(view);
                tell.send_replace(Some(Arc::clone(&view)));
                jobs.check(&view);
                // With a hundred thousand shards a view takes long, and claims share the thread.
                let rest = rest_after(now, clock::now());
                tokio::select! {
                    biased;
                    () = tell.closed() => return,
                    () = sleep(rest) => {}
                }
            }
        });
        let following = self.ctx.as_part_of_run(following);
        self.ctx.spawn_part(async move {
            let followed = following.await;
            followed.map_err(|gone| failure("the claims are not followed", &gone.into()))
        });
        told
    }

    /// Reconciles the running shards with the view.
    ///
    /// # Errors
    ///
    /// If etcd refuses a write for good.
    async fn act(
        &mut self,
        view: &View,
        views: &watch::Receiver<Option<Arc<View>>>,
    ) -> Result<(), Failure> {
        let now = clock::now();
        // A claim may have been removed or taken by others.
        self.jobs.check(view);
        let (running, registered) = (self.jobs.states(), self.session.registered_at().is_some());
        let actions = self.reconciler.reconcile(view, &running, registered, now);
        for step in actions.steps {
            self.take(step, now);
        }
        self.say(view, now);
        // There may be a newer view, in which shards that were begun just now must be checked.
        let newest = views.borrow().clone();
        if let Some(newest) = newest {
            self.jobs.check(&newest);
        }
        for write in &actions.writes {
            let Err(cause) = self.write(write).await else {
                continue;
            };
            match self.reconciler.not_written(&cause, clock::now()) {
                Unwritten::Refused => return Err(failure("claims are refused", &cause)),
                Unwritten::Again(Loudness::Warn) => {
                    let (work, class, why) =
                        (self.work.name.clone(), cause.fault.as_str(), cause.text);
                    log(Level::WARN, move |at_ms| {
                        tracing::warn!(target: TARGET, at_ms, work, class, why, "claims are not settled");
                    });
                }
                Unwritten::Again(Loudness::Debug) => {
                    let (work, why) = (self.work.name.clone(), cause.text);
                    log(Level::DEBUG, move |at_ms| {
                        tracing::debug!(target: TARGET, at_ms, work, why, "claims are settled with a new token");
                    });
                }
                Unwritten::Again(Loudness::Silent) => {}
            }
            return Ok(());
        }
        self.reconciler.all_written(&actions.writes);
        Ok(())
    }

    /// Sends a write, and reports it to the reconciler.
    async fn write(&mut self, write: &Write) -> Result<(), EtcdError> {
        self.reconciler.sending(write, clock::now());
        let revision = self.store.write(write).await?;
        self.reconciler.written(write, revision);
        Ok(())
    }

    fn take(&self, step: Action, now: Duration) {
        match step {
            Action::Stop { place } => {
                if let Some(shard) = self.jobs.shard(place) {
                    shard.stop();
                }
            }
            Action::Begin { place, claim } => self.begin(place, claim, now),
        }
    }

    fn begin(&self, place: usize, revision: i64, begun: Duration) {
        let name = Arc::clone(self.work.list.name(place));
        let token = self.node.generation.token(revision);
        let claim = Claimed { revision, token };
        let (keys, session) = (Arc::clone(self.store.keys()), Arc::clone(&self.session));
        let (ctx, work) = (self.ctx.clone(), self.node.work());
        let shard = Shard::new(place as u32, name, claim, keys, session, ctx, work);
        let job = Job {
            shard: shard.clone(),
            begun,
        };
        self.jobs.begin(place, job);
        let (work, tell) = (Arc::clone(&self.work), self.tell.clone());
        let at_work = self.node.at_work();
        self.ctx.spawn_part(async move {
            let outcome = shard.run(|shard| work.begin(shard)).await;
            drop(at_work);
            let _ = tell.send((place, outcome)).await;
            Ok(())
        });
    }

    /// Publishes and logs what is new for the work as a whole.
    fn say(&mut self, view: &View, now: Duration) {
        let told = self
            .announcer
            .look(&self.work.list, view, self.jobs.count(), now);
        if let Some(note) = &told.note {
            self.ctx.note(note);
        }
        for line in told.lines {
            let work = self.work.name.clone();
            let level = match line {
                Line::OtherShards { .. } | Line::Unowned { .. } => Level::WARN,
                Line::SameShards | Line::Owned => Level::INFO,
            };
            log(level, move |at_ms| match line {
                Line::OtherShards {
                    node,
                    theirs: shards,
                    ours: own_shards,
                } => {
                    tracing::warn!(target: TARGET, at_ms, work, node, shards, own_shards,
                        "another node runs this work with other shards. Each shard runs at a node that knows it; give \
                         all nodes the same shards"
                    );
                }
                Line::SameShards => {
                    tracing::info!(target: TARGET, at_ms, work, "all nodes run this work with the same shards");
                }
                Line::Unowned { count, of, shards } => {
                    tracing::warn!(target: TARGET, at_ms, work, count, of, shards, "shards have no owner, and run nowhere");
                }
                Line::Owned => {
                    tracing::info!(target: TARGET, at_ms, work, "all shards have an owner again");
                }
            });
        }
        if let Some(at) = told.again {
            self.reconciler.look_again(at);
        }
    }

    /// Handles the end of a job.
    ///
    /// # Errors
    ///
    /// If it failed while it stopped, and the failure was not reported.
    fn job_ended(&mut self, place: usize, outcome: Outcome) -> Result<(), Failure> {
        let Some(job) = self.jobs.end(place) else {
            return Ok(());
        };
        let Outcome { how, failure } = outcome;
        let consequence = self.reconciler.ended(place, job.state(), how, clock::now());
        let Consequence {
            log: logged,
            report,
        } = consequence;
        let failure =
            failure.unwrap_or_else(|| Failure::new("it returned before it was told to stop"));
        if let Some(logged) = logged {
            let (work, shard) = (self.work.name.clone(), job.shard.name().to_owned());
            let text = failure.text();
            log(Level::WARN, move |at_ms| match logged {
                Logged::FailedWhileItStopped => {
                    tracing::warn!(target: TARGET, at_ms, work, shard, failure = text, "a shard failed while it stopped");
                }
                Logged::Failed { again_in } => {
                    tracing::warn!(target: TARGET, at_ms, work, shard, failure = text, ?again_in, "a shard failed");
                }
            });
        }
        if report {
            self.ctx.report(failure);
            return Ok(());
        }
        match logged {
            Some(Logged::FailedWhileItStopped) => {
                let (shard, text) = (job.shard.name(), failure.text());
                Err(Failure::new(format!("shard {shard}: {text}")).with_class(failure.class()))
            }
            _ => Ok(()),
        }
    }

    /// Stops everything, and releases each shard when it has stopped.
    ///
    /// # Errors
    ///
    /// The first failure of a shard that was asked to stop.
    async fn hand_over(&mut self, view: Option<&View>) -> Result<(), Failure> {
        self.jobs.all().values().for_each(Shard::stop);
        // Others take over from here on. If etcd does not answer, they take over when the lease has ended.
        let on = self.store.own_key();
        let ask = |mut client: Client| async move { client.delete(on, None).await };
        // Not for long, because jobs may have stopped in the meantime.
        let left = timeout(LEAVE, self.node.ask(self.session.lease.of(), ask)).await;
        let (unseen, running) = (self.reconciler.unseen(), self.jobs.states());
        let answering = matches!(left, Ok(Ok(_)));
        let mut hand_over = HandOver::new(view, self.session.lease.id, unseen, &running, answering);
        let mut all = Ok(());
        loop {
            while let Ok((place, outcome)) = self.ended.try_recv() {
                all = all.and(self.stopped(place, outcome, &mut hand_over));
            }
            let release = hand_over.release();
            if !release.is_empty() {
                let written = self.write(&Write::Release(release)).await;
                hand_over.released(written.is_ok());
            }
            if self.jobs.is_empty() {
                return all;
            }
            if let Some((place, outcome)) = self.ended.recv().await {
                all = all.and(self.stopped(place, outcome, &mut hand_over));
            }
        }
    }

    fn stopped(
        &mut self,
        place: usize,
        outcome: Outcome,
        hand_over: &mut HandOver,
    ) -> Result<(), Failure> {
        let Some(shard) = self.jobs.shard(place) else {
            return Ok(());
        };
        let stopped = self.job_ended(place, outcome);
        hand_over.ended(place, shard.claim());
        stopped
    }
}

/// The most changes that go into one view.
const MOST_IN_ONE_VIEW: usize = 1_000;
/// How long etcd may take to remove this node's record of taking part.
const LEAVE: Duration = Duration::from_millis(300);
