//! One incarnation of the work: claims what should be here, runs it, and gives up what should not.

mod writes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::Client;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::Level;

use super::Work;
use super::claims::{Claim, REMEMBERED, View};
use super::follower::Follower;
use super::job::{Claimed, Outcome, Shard};
use super::jobs::{Job, Jobs};
use super::owners::Owners;
use super::telling::Telling;
use crate::etcd::cause::Cause;
use crate::etcd::hash::named;
use crate::etcd::home::KEYS;
use crate::etcd::keys::WorkKeys;
use crate::etcd::latest::Latest;
use crate::etcd::line::{PAUSE, TARGET};
use crate::etcd::membership::{Membership, Node, Session, failure};
use crate::etcd::mirror::{Mirror, News};
use crate::machine::Class;
use crate::shell::{log, text_of};
use crate::{Context, Failure};

pub(super) struct Worker {
    node: Arc<Node>,
    work: Arc<Work>,
    keys: WorkKeys,
    session: Arc<Session>,
    ctx: Context,
    jobs: Jobs,
    /// Shards whose function failed. In order, as everything here is, so that a run in place is the same
    /// each time.
    backoffs: BTreeMap<usize, Backoff>,
    /// The claims that were given up. A view may be older than that, so such a claim is never worked
    /// under again, even if the plan turns back.
    released: BTreeMap<usize, Released>,
    /// What was claimed and is not yet seen.
    unseen: Unseen,
    /// The revision from which on every view shows that this node takes part.
    taking_part: i64,
    /// When this node writes down what its list is, if nobody has done so by then.
    list_due: Option<Instant>,
    /// Whether etcd did not do what it was last told.
    failing: bool,
    /// How many shards are given up at once for the sake of balance.
    most_moving: usize,
    owners: Arc<Latest<Owners>>,
    telling: Telling,
    tell: mpsc::Sender<(usize, Outcome)>,
    ended: mpsc::Receiver<(usize, Outcome)>,
}

struct Backoff {
    pause: Duration,
    until: Instant,
}

struct Released {
    /// Of the claim.
    revision: i64,
    /// When etcd was last told.
    told: Instant,
}

/// Claims are not repeated before they can have been seen: until this revision is, or this moment comes.
#[derive(Default)]
struct Unseen {
    revision: i64,
    until: Option<Instant>,
    claims: Vec<usize>,
}

/// A claim that is to be released: the one of this revision, or whichever this node has.
type Release = (usize, Option<i64>);

/// What is to be done in etcd, and when to look again.
#[derive(Default)]
struct Todo {
    /// With the revision of the release, if it was released.
    claim: Vec<(usize, Option<i64>)>,
    release: Vec<Release>,
    /// Whether to say that this node takes part, or what its list is.
    take_part: bool,
    write_list: bool,
    again: Option<Instant>,
}

impl Todo {
    fn look_again(&mut self, at: Instant) {
        self.again = Some(self.again.map_or(at, |again| again.min(at)));
    }
}

impl Worker {
    pub(super) fn new(
        node: Arc<Node>,
        work: Arc<Work>,
        session: Arc<Session>,
        ctx: Context,
    ) -> Self {
        // Each job says once that it has ended, so there is always room.
        let (tell, ended) = mpsc::channel(work.list.len());
        Self {
            keys: node.prefix.work(&work.name),
            node,
            work,
            jobs: Jobs::new(session.lease.id),
            session,
            ctx,
            backoffs: BTreeMap::new(),
            released: BTreeMap::new(),
            unseen: Unseen::default(),
            taking_part: 0,
            list_due: None,
            failing: false,
            most_moving: usize::MAX,
            owners: Arc::new(Latest::new(Owners::default())),
            telling: Telling::default(),
            tell,
            ended,
        }
    }

    pub(super) fn moving_at_most(self, most_moving: usize) -> Self {
        Self {
            most_moving,
            ..self
        }
    }

    pub(super) fn publishing_to(self, owners: Arc<Latest<Owners>>) -> Self {
        Self { owners, ..self }
    }

    pub(super) async fn run(mut self) -> Result<(), Failure> {
        let _runs = self.node.begin_work(&self.work.name)?;
        let at_work = self.node.at_work();
        let ctx = self.ctx.clone();
        match ctx.until_stopping(self.take_part()).await {
            Some(taking_part) => self.taking_part = taking_part?,
            None => return Ok(()),
        }
        let mut views = self.follow();
        let (mut view, mut registered) = (None, 0);
        let mut again = None;
        loop {
            let until = self.session.until();
            let wake = again.map_or(until, |again: Instant| again.min(until));
            tokio::select! {
                biased;
                () = ctx.stopping() => break,
                () = self.session.lost.cancelled() => {}
                Some((place, outcome)) = self.ended.recv() => self.job_ended(place, outcome),
                Ok(()) = views.changed() => {
                    view.clone_from(&views.borrow_and_update());
                    if let Some(view) = &view {
                        let (work, view) = (Arc::clone(&self.work), Arc::clone(view));
                        let owners = Owners::new(work, view, self.jobs.clone());
                        self.owners.set(owners);
                    }
                    ctx.ready();
                }
                () = self.session.registered(&mut registered) => {}
                () = sleep_until(wake) => {}
            }
            while let Ok((place, outcome)) = self.ended.try_recv() {
                self.job_ended(place, outcome);
            }
            if !self.session.allows() {
                self.jobs.all().values().for_each(Shard::lose);
                return Err(self.dropped());
            }
            let Some(view) = &view else { continue };
            match ctx.until_stopping(self.act(view, &views)).await {
                Some(next) => again = next?,
                None => break,
            }
        }
        // Until it is over the views go on, and end what is no longer here.
        self.hand_over(view.as_deref()).await;
        drop(views);
        drop(at_work);
        Ok(())
    }

    /// Why all work ends.
    fn dropped(&self) -> Failure {
        let mut text =
            "the lease is lost, or was not renewed in time: all work under it is dropped"
                .to_owned();
        if let Some(time) = self.session.suspended_for() {
            text += &format!(" (the machine was suspended for {time:.1?})");
        }
        Failure::new(text).critical()
    }

    /// From here on the others count on this node: from the revision that is returned.
    async fn take_part(&self) -> Result<i64, Failure> {
        loop {
            let cause = match self.try_to_take_part().await {
                Ok(revision) => return Ok(revision),
                Err(cause) => cause,
            };
            if cause.is_refusal() {
                return Err(failure("cannot take part in the work", &cause));
            }
            sleep(PAUSE).await;
        }
    }

    /// Follows etcd's records in a task of its own, so that nothing keeps it from it. A view has a claim
    /// for each shard, so it is made on the thread for keys.
    fn follow(&self) -> watch::Receiver<Option<Arc<View>>> {
        let every = self.node.check_every();
        let cluster = self.session.lease.cluster;
        let line = Arc::clone(&self.node.line);
        let mut mirror = Mirror::new(line, cluster, self.keys.all(), every);
        let mut follower = Follower::new(
            self.keys.clone(),
            &self.own_key(),
            &self.work,
            Membership::GRACE,
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
                // What has come by now goes into the same view.
                for _ in 0..MOST_IN_ONE_VIEW {
                    let more = tokio::select! {
                        biased;
                        more = mirror.next() => more,
                        () = std::future::ready(()) => break,
                    };
                    if more == News::Anew {
                        news = more;
                    }
                }
                let begun = Instant::now();
                let view = Arc::new(follower.view(&mut mirror, news, begun));
                tell.send_replace(Some(Arc::clone(&view)));
                jobs.check(&view);
                // Of a hundred thousand shards that takes long, and claims share the thread.
                let rest = begun.elapsed() * REST;
                tokio::select! {
                    biased;
                    () = tell.closed() => return,
                    () = sleep(rest) => {}
                }
            }
        });
        let following = self.ctx.as_part_of_run(following);
        self.ctx.spawn(async move {
            let followed = following.await;
            followed.map_err(|gone| failure("the claims are not followed", &gone.into()))
        });
        told
    }

    /// Does what the view asks for, and tells when to look again even if nothing happens.
    ///
    /// # Errors
    ///
    /// When etcd refuses it for good.
    async fn act(
        &mut self,
        view: &View,
        views: &watch::Receiver<Option<Arc<View>>>,
    ) -> Result<Option<Instant>, Failure> {
        let now = Instant::now();
        let mut todo = self.decide(view, now);
        let here = self.jobs.count();
        let later = self.telling.look(&self.ctx, &self.work, view, here, now);
        if let Some(at) = later {
            todo.look_again(at);
        }
        // There may be a newer one, which what was begun just now was not looked for in.
        let newest = views.borrow().clone();
        if let Some(newest) = newest {
            self.jobs.check(&newest);
        }
        if let Some(until) = self.unseen.until {
            if view.revision < self.unseen.revision && now < until {
                todo.claim.clear();
                todo.look_again(until);
            } else {
                self.unseen = Unseen::default();
            }
        }
        match self.carry_out(&todo).await {
            Ok(()) => self.failing = false,
            Err(cause) if cause.is_refusal() => return Err(failure("claims are refused", &cause)),
            Err(cause) => {
                if !std::mem::replace(&mut self.failing, true) {
                    let (work, fault, why) = (self.work.name.clone(), cause.fault, cause.text);
                    log(Level::WARN, move |at_ms| {
                        tracing::warn!(target: TARGET, at_ms, work, %fault, why, "claims are not settled");
                    });
                }
                todo.look_again(Instant::now() + PAUSE);
            }
        }
        if let Some(until) = self.unseen.until {
            todo.look_again(until);
        }
        Ok(todo.again)
    }

    async fn carry_out(&mut self, todo: &Todo) -> Result<(), Cause> {
        if todo.take_part {
            self.taking_part = self.try_to_take_part().await?;
        } else if todo.write_list {
            self.taking_part = self.commit(self.list_puts()).await?;
            self.list_due = None;
        }
        self.release(&todo.release).await?;
        self.claim(&todo.claim).await
    }

    fn decide(&mut self, view: &View, now: Instant) -> Todo {
        // Somebody removed the claim, or took it.
        self.jobs.check(view);
        let running = self.jobs.all();
        let mut todo = Todo::default();
        self.decide_records(view, now, &mut todo);
        let may_claim = self.session.registered_at().is_some();
        let planned = view.planned(&self.work.name, &self.work.list, &self.node.id, now);
        let mut may_move = self.may_move(view, &planned, &running);
        for (place, (claim, planned)) in view.claims.iter().zip(planned).enumerate() {
            match (self.jobs.own(claim), running.get(&place)) {
                (own, Some(shard)) if own == Some(shard.claim()) && !planned => {
                    if may_move > 0 && !shard.is_stopping() {
                        may_move -= 1;
                        shard.stop();
                    }
                }
                (_, Some(_)) => {}
                (Some(revision), None) if !planned || self.was_released(place, revision) => {
                    match self.released.get(&place) {
                        Some(Released { told, .. })
                            if self.was_released(place, revision) && now < *told + REPEAT =>
                        {
                            todo.look_again(*told + REPEAT);
                        }
                        _ => todo.release.push((place, Some(revision))),
                    }
                }
                (Some(revision), None) => match self.backoffs.get(&place) {
                    Some(backoff) if now < backoff.until => todo.look_again(backoff.until),
                    _ => self.begin(place, revision, now),
                },
                (None, _) if !may_claim => {}
                (None, _) if !planned => match *claim {
                    // Whose it was may not come for it.
                    Claim::None { from, ref last } if last.is_some() && now < from + REMEMBERED => {
                        todo.look_again(from + REMEMBERED);
                    }
                    _ => {}
                },
                (None, _) => match *claim {
                    Claim::None { from, .. } if now < from => todo.look_again(from),
                    Claim::None { .. } => todo.claim.push((place, None)),
                    Claim::Released { revision } => todo.claim.push((place, Some(revision))),
                    Claim::Held { .. } => {}
                },
            }
        }
        todo
    }

    /// Whether what others need to know of this node is to be written again.
    fn decide_records(&mut self, view: &View, now: Instant, todo: &mut Todo) {
        if view.revision < self.taking_part {
            // What was written last is not in it yet.
            return;
        }
        // Somebody removed the key, and the others count on this node no more.
        todo.take_part = !view.taking_part;
        if view.list_is_there {
            self.list_due = None;
            return;
        }
        // Whoever wrote it down has gone. All who have the list see that at one moment, so each waits for a time of
        // its own.
        let own = named(&self.node.id, &self.work.name) % LIST_WITHIN.as_millis() as u64;
        let own = Duration::from_millis(own);
        let due = *self.list_due.get_or_insert_with(|| now + own);
        todo.write_list = now >= due;
        if !todo.write_list {
            todo.look_again(due);
        }
    }

    /// How many more shards may be told to move. Those count that stop, and those that have stopped and are not
    /// claimed by others yet.
    fn may_move(&self, view: &View, planned: &[bool], running: &BTreeMap<usize, Shard>) -> usize {
        if self.most_moving == usize::MAX {
            return usize::MAX;
        }
        let is_on_its_way = |(place, claim): &(usize, &Claim)| match running.get(place) {
            Some(shard) => shard.is_stopping(),
            None => match claim {
                Claim::Released { .. } => self.released.contains_key(place),
                claim => self.jobs.own(claim).is_some() && !planned[*place],
            },
        };
        let moving = view.claims.iter().enumerate().filter(is_on_its_way);
        self.most_moving.saturating_sub(moving.count())
    }

    fn was_released(&self, place: usize, revision: i64) -> bool {
        let released = self.released.get(&place);
        released.is_some_and(|released| released.revision == revision)
    }

    fn begin(&mut self, place: usize, revision: i64, begun: Instant) {
        let name = Arc::clone(self.work.list.name(place));
        let token = self.node.generation.token(revision);
        let claim = Claimed { revision, token };
        let shard = Shard::new(place as u32, name, claim, Arc::clone(&self.session));
        let job = Job {
            shard: shard.clone(),
            begun,
        };
        self.jobs.begin(place, job);
        let (work, tell) = (Arc::clone(&self.work), self.tell.clone());
        let at_work = self.node.at_work();
        self.ctx.spawn(async move {
            let outcome = shard.run(|shard| work.begin(shard)).await;
            drop(at_work);
            let _ = tell.send((place, outcome)).await;
            Ok(())
        });
    }

    /// A job has ended.
    fn job_ended(&mut self, place: usize, outcome: Outcome) {
        let Some(job) = self.jobs.end(place) else {
            return;
        };
        let Outcome::Ended(ended) = outcome else {
            return;
        };
        let (work, shard) = (self.work.name.clone(), job.shard.name().to_owned());
        if job.shard.is_stopping() {
            self.backoffs.remove(&place);
            if let Err(failure) = ended {
                let text = text_of(&failure);
                log(Level::WARN, move |at_ms| {
                    tracing::warn!(target: TARGET, at_ms, work, shard, failure = text, "a shard failed while it stopped");
                });
                if failure.class() == Class::Fatal {
                    self.ctx.report(failure);
                }
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
        log(Level::WARN, move |at_ms| {
            tracing::warn!(target: TARGET, at_ms, work, shard, failure = text, again_in = ?pause, "a shard failed");
        });
        if failure.class() != Class::Component {
            self.ctx.report(failure);
        }
    }

    /// Stops everything, and releases each shard when it has stopped.
    async fn hand_over(&mut self, view: Option<&View>) {
        self.jobs.all().values().for_each(Shard::stop);
        // Others take over from here on. Where etcd does not answer, the lease tells them.
        let on = self.own_key();
        let ask = |mut client: Client| async move { client.delete(on, None).await };
        // Not for long, because jobs may have stopped meanwhile.
        let left = timeout(LEAVE, self.node.ask(self.session.lease.of(), ask)).await;
        let mut answering = matches!(left, Ok(Ok(_)));
        let mut stopped: Vec<Release> = Vec::new();
        for (place, claim) in view.iter().flat_map(|view| view.claims.iter().enumerate()) {
            if let Some(revision) = self.jobs.own(claim)
                && !self.jobs.runs(place)
            {
                stopped.push((place, Some(revision)));
            }
        }
        // Nothing was begun under these, if there are any.
        let unseen = self.unseen.claims.iter();
        stopped.extend(
            unseen
                .filter(|&&place| !self.jobs.runs(place))
                .map(|&place| (place, None)),
        );
        loop {
            while let Ok((place, outcome)) = self.ended.try_recv() {
                stopped.extend(self.stopped(place, outcome));
            }
            if answering {
                // A shard once in a transaction, and no more.
                stopped.sort_unstable();
                stopped.dedup_by_key(|(place, _)| *place);
                answering = self.release(&stopped).await.is_ok();
            }
            stopped.clear();
            if self.jobs.is_empty() {
                return;
            }
            if let Some((place, outcome)) = self.ended.recv().await {
                stopped.extend(self.stopped(place, outcome));
            }
        }
    }

    fn stopped(&mut self, place: usize, outcome: Outcome) -> Option<Release> {
        let revision = self.jobs.shard(place)?.claim();
        self.job_ended(place, outcome);
        Some((place, Some(revision)))
    }
}

/// Before etcd is told again what is not seen.
const REPEAT: Duration = Duration::from_millis(500);
/// How many changes go into one view, at most.
const MOST_IN_ONE_VIEW: usize = 1_000;
/// For how many times as long as a view took to be made none is made.
const REST: u32 = 3;
/// How long etcd may take to note that this node takes no part any more.
const LEAVE: Duration = Duration::from_millis(300);
/// How long it takes at most until somebody writes down what a list is.
const LIST_WITHIN: Duration = Duration::from_millis(500);
const BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
