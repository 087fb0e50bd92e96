//! From what is seen, and what runs here, to what is to be done. Pure: its caller does it, and says when it did.
//!
//! Safe whatever it is told, and however late: work is begun only under a claim of this node's lease that was never
//! given up, and a release is about one claim, and not about a later one. What waits is looked at again without news:
//! [`wake_at`](Reconciler::wake_at).

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::claims::{Claim, REMEMBERED, View};
use super::list::List;
use crate::etcd::basics::{EtcdError, named};
use crate::machine::FailureClass;

/// Decides what one node does for one work under one lease.
pub(crate) struct Reconciler {
    list: Arc<List>,
    work: String,
    /// The node, and its lease.
    id: String,
    lease: i64,
    /// How many shards are given up at once for the sake of balance.
    most_moving: usize,
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
    list_due: Option<Duration>,
    /// Whether etcd did not do what it was last told.
    failing: bool,
    /// When to look again, even if nothing happens.
    again: Option<Duration>,
}

#[derive(Clone, Copy)]
struct Backoff {
    pause: Duration,
    until: Duration,
}

#[derive(Clone, Copy)]
struct Released {
    /// Of the claim.
    revision: i64,
    /// When etcd was last told.
    told: Duration,
}

/// Claims are not repeated before they can have been seen: until this revision is, or this moment comes.
#[derive(Default)]
struct Unseen {
    revision: i64,
    until: Option<Duration>,
    claims: Vec<usize>,
}

/// A shard that runs here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunningShard {
    /// The revision of the claim under which it does.
    pub(crate) claim: i64,
    pub(crate) begun: Duration,
    /// Whether it was told to stop.
    pub(crate) stopping: bool,
}

/// A claim that is to be released: the one of this revision, or whichever this node has.
pub(crate) type Release = (usize, Option<i64>);

/// What is to be done, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Actions {
    pub(crate) steps: Vec<Action>,
    /// Each is done only if those before it were.
    pub(crate) writes: Vec<Write>,
}

/// What is done here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Stop {
        place: usize,
    },
    /// Under the claim of this revision.
    Begin {
        place: usize,
        claim: i64,
    },
}

/// What is written to etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// That this node takes part, and what its list is.
    TakePart,
    /// What its list is.
    List,
    Release(Vec<Release>),
    /// Shards that nobody has. With the revision of the release, if they were released.
    Claim(Vec<(usize, Option<i64>)>),
}

/// How a shard's function ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShardExit {
    /// The shard was lost, and the function dropped.
    Lost,
    Returned,
    Failed(FailureClass),
}

impl ShardExit {
    /// It ended, with a failure of this class or without, when its shard was this node's or was not any more.
    pub(crate) fn how(failed: Option<FailureClass>, is_ours: bool) -> Self {
        match failed {
            // What nothing can mend is told in any case.
            Some(class @ FailureClass::Fatal) => Self::Failed(class),
            _ if !is_ours => Self::Lost,
            Some(class) => Self::Failed(class),
            None => Self::Returned,
        }
    }
}

/// What follows from the end of a shard's function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Consequence {
    pub(crate) log: Option<Logged>,
    /// Whether the failure is this component's, too.
    pub(crate) report: bool,
}

/// What is logged of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logged {
    FailedWhileItStopped,
    Failed { again_in: Duration },
}

/// What follows from a write that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unwritten {
    /// etcd refuses it for good.
    Refused,
    /// It is tried again. Logged if it is the first that failed.
    Again { log: bool },
}

impl Reconciler {
    pub(crate) fn new(
        list: Arc<List>,
        work: &str,
        id: &str,
        lease: i64,
        most_moving: usize,
    ) -> Self {
        Self {
            list,
            work: work.to_owned(),
            id: id.to_owned(),
            lease,
            most_moving,
            backoffs: BTreeMap::new(),
            released: BTreeMap::new(),
            unseen: Unseen::default(),
            taking_part: 0,
            list_due: None,
            failing: false,
            again: None,
        }
    }

    /// When to look again, at the latest: work is allowed until a moment.
    pub(crate) fn wake_at(&self, allowed_until: Duration) -> Duration {
        self.again
            .map_or(allowed_until, |again| again.min(allowed_until))
    }

    /// Looks again at this moment, if not before.
    pub(crate) fn look_again(&mut self, at: Duration) {
        self.again = Some(self.again.map_or(at, |again| again.min(at)));
    }

    /// What the view asks for, while this runs here. `registered` if the node is a member by its lease: without that
    /// it may claim nothing.
    pub(crate) fn reconcile(
        &mut self,
        view: &View,
        running: &BTreeMap<usize, RunningShard>,
        registered: bool,
        now: Duration,
    ) -> Actions {
        self.again = None;
        let (mut steps, mut writes) = (Vec::new(), Vec::new());
        let (mut release, mut claims) = (Vec::new(), Vec::new());
        writes.extend(self.records(view, now));
        let planned = view.planned(&self.work, &self.list, &self.id, now);
        let mut may_move = self.may_move(view, &planned, running);
        for (place, (claim, planned)) in view.claims.iter().zip(planned).enumerate() {
            match (claim.of(self.lease), running.get(&place)) {
                (own, Some(job)) if own == Some(job.claim) && !planned => {
                    if may_move > 0 && !job.stopping {
                        may_move -= 1;
                        steps.push(Action::Stop { place });
                    }
                }
                (_, Some(_)) => {}
                (Some(revision), None) if !planned || self.was_released(place, revision) => {
                    match self.released.get(&place) {
                        Some(&Released { told, .. })
                            if self.was_released(place, revision) && now < told + REPEAT =>
                        {
                            self.look_again(told + REPEAT);
                        }
                        _ => release.push((place, Some(revision))),
                    }
                }
                (Some(claim), None) => match self.backoffs.get(&place) {
                    Some(&Backoff { until, .. }) if now < until => self.look_again(until),
                    _ => steps.push(Action::Begin { place, claim }),
                },
                (None, _) if !registered => {}
                (None, _) if !planned => match *claim {
                    // Whose it was may not come for it.
                    Claim::None { from, ref last } if last.is_some() && now < from + REMEMBERED => {
                        self.look_again(from + REMEMBERED);
                    }
                    _ => {}
                },
                (None, _) => match *claim {
                    Claim::None { from, .. } if now < from => self.look_again(from),
                    Claim::None { .. } => claims.push((place, None)),
                    Claim::Released { revision } => claims.push((place, Some(revision))),
                    Claim::Held { .. } => {}
                },
            }
        }
        if let Some(until) = self.unseen.until {
            if view.revision < self.unseen.revision && now < until {
                claims.clear();
                self.look_again(until);
            } else {
                self.unseen = Unseen::default();
            }
        }
        if !release.is_empty() {
            writes.push(Write::Release(release));
        }
        if !claims.is_empty() {
            writes.push(Write::Claim(claims));
        }
        Actions { steps, writes }
    }

    /// Whether what others need to know of this node is to be written again.
    fn records(&mut self, view: &View, now: Duration) -> Option<Write> {
        if view.revision < self.taking_part {
            // What was written last is not in it yet.
            return None;
        }
        let list_is_missing = self.list_is_missing(view, now);
        if !view.taking_part {
            // Somebody removed the key, and the others count on this node no more.
            return Some(Write::TakePart);
        }
        list_is_missing.then_some(Write::List)
    }

    /// Whether it is time to write down what the list of this node is.
    fn list_is_missing(&mut self, view: &View, now: Duration) -> bool {
        if view.list_is_there {
            self.list_due = None;
            return false;
        }
        // Whoever wrote it down has gone. All who have the list see that at one moment, so each waits for a time of
        // its own.
        let own = named(&self.id, &self.work) % LIST_WITHIN.as_millis() as u64;
        let own = Duration::from_millis(own);
        let due = *self.list_due.get_or_insert(now + own);
        if now < due {
            self.look_again(due);
        }
        now >= due
    }

    /// How many more shards may be told to move. Those count that stop, and those that have stopped and are not
    /// claimed by others yet.
    fn may_move(
        &self,
        view: &View,
        planned: &[bool],
        running: &BTreeMap<usize, RunningShard>,
    ) -> usize {
        if self.most_moving == usize::MAX {
            return usize::MAX;
        }
        let is_on_its_way = |(place, claim): &(usize, &Claim)| match running.get(place) {
            Some(job) => job.stopping,
            None => match claim {
                Claim::Released { .. } => self.released.contains_key(place),
                claim => claim.of(self.lease).is_some() && !planned[*place],
            },
        };
        let moving = view.claims.iter().enumerate().filter(is_on_its_way);
        self.most_moving.saturating_sub(moving.count())
    }

    fn was_released(&self, place: usize, revision: i64) -> bool {
        let released = self.released.get(&place);
        released.is_some_and(|released| released.revision == revision)
    }

    /// This is being sent. It counts from here on, since whether it arrives may never be known.
    pub(crate) fn sending(&mut self, write: &Write, now: Duration) {
        match write {
            Write::TakePart | Write::List => {}
            Write::Release(shards) => {
                for &(place, revision) in shards {
                    if let Some(revision) = revision {
                        let told = now;
                        self.released.insert(place, Released { revision, told });
                    }
                }
            }
            Write::Claim(shards) => {
                self.unseen = Unseen {
                    // If others were faster, nothing of it will ever be seen.
                    revision: i64::MAX,
                    until: Some(now + REPEAT),
                    claims: shards.iter().map(|&(place, _)| place).collect(),
                };
                self.look_again(now + REPEAT);
            }
        }
    }

    /// It is in the store from this revision on.
    pub(crate) fn written(&mut self, write: &Write, revision: i64) {
        match write {
            Write::TakePart => self.taking_part = revision,
            Write::List => {
                self.taking_part = revision;
                self.list_due = None;
            }
            Write::Release(_) => {}
            Write::Claim(_) => self.unseen.revision = revision,
        }
    }

    /// All that was to be written is.
    pub(crate) fn all_written(&mut self) {
        self.failing = false;
    }

    /// It was not written, or nobody knows. What was to follow it is not to be tried now.
    pub(crate) fn not_written(&mut self, cause: &EtcdError, now: Duration) -> Unwritten {
        let Some(pause) = cause.again_in() else {
            return Unwritten::Refused;
        };
        self.look_again(now + pause);
        Unwritten::Again {
            log: !core::mem::replace(&mut self.failing, true),
        }
    }

    /// The function of a shard that ran has ended.
    pub(crate) fn ended(
        &mut self,
        place: usize,
        job: RunningShard,
        how: ShardExit,
        now: Duration,
    ) -> Consequence {
        let nothing = Consequence {
            log: None,
            report: false,
        };
        match how {
            ShardExit::Lost => nothing,
            _ if job.stopping => {
                self.backoffs.remove(&place);
                match how {
                    ShardExit::Failed(class) => Consequence {
                        log: Some(Logged::FailedWhileItStopped),
                        report: class == FailureClass::Fatal,
                    },
                    _ => nothing,
                }
            }
            _ => {
                let last = self.backoffs.get(&place).map(|backoff| backoff.pause);
                let pause = match last {
                    Some(last) if now.saturating_sub(job.begun) < LONGEST_BACKOFF => {
                        (2 * last).min(LONGEST_BACKOFF)
                    }
                    _ => BACKOFF,
                };
                let until = now + pause;
                self.backoffs.insert(place, Backoff { pause, until });
                Consequence {
                    log: Some(Logged::Failed { again_in: pause }),
                    report: matches!(how, ShardExit::Failed(class) if class != FailureClass::Component),
                }
            }
        }
    }

    /// The claims that may have been made and were not seen.
    pub(crate) fn unseen(&self) -> &[usize] {
        &self.unseen.claims
    }
}

/// Before etcd is told again what is not seen.
const REPEAT: Duration = Duration::from_millis(500);
/// How long it takes at most until somebody writes down what a list is.
const LIST_WITHIN: Duration = Duration::from_millis(500);
const BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
