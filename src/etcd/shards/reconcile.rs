//! Decides on actions from a view and the running shards. Pure: the caller carries out the actions and reports them.
//!
//! It is safe with any view, however late: work is begun only under a claim of this node's lease that was never
//! given up, and a release applies to one claim, and not to a later one. [`wake_at`](Reconciler::wake_at) is when to
//! reconcile again without a new view.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::claims::{Claim, REMEMBERED, View};
use super::list::List;
use crate::etcd::basics::{EtcdError, FailureLog, Loudness, named};
use crate::machine::FailureClass;

/// Decides what one node does for one work under one lease.
pub(crate) struct Reconciler {
    list: Arc<List>,
    work: String,
    /// The id of the node; below it, its lease.
    id: String,
    lease: i64,
    /// How many shards may move at a time for balance.
    most_moving: usize,
    /// The shards whose function failed. The map is ordered, as all maps here, so that a run in place is reproducible.
    backoffs: BTreeMap<usize, Backoff>,
    /// The claims that were given up. A view may be older than the release, so no work begins under such a claim again,
    /// even if the plan changes back.
    released: BTreeMap<usize, Released>,
    /// The claims that were made and are not in a view yet.
    unseen: Unseen,
    /// From this revision on every view shows that this node takes part.
    taking_part: i64,
    /// When this node writes its list, if no other node has written it by then.
    list_due: Option<Duration>,
    /// Which failed writes were logged.
    log: FailureLog,
    /// When to reconcile again, even without a new view.
    again: Option<Duration>,
}

#[derive(Clone, Copy)]
struct Backoff {
    pause: Duration,
    until: Duration,
}

#[derive(Clone, Copy)]
struct Released {
    /// The revision of the claim.
    revision: i64,
    /// When the release was last sent.
    told: Duration,
}

/// Claims are not repeated before a view can show them: until a view has this revision, or until this moment.
#[derive(Default)]
struct Unseen {
    revision: i64,
    until: Option<Duration>,
    claims: Vec<usize>,
}

/// A shard that runs here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunningShard {
    /// The revision of the claim under which it runs.
    pub(crate) claim: i64,
    pub(crate) begun: Duration,
    /// Whether it was asked to stop.
    pub(crate) stopping: bool,
}

/// A claim to release: the one with this revision, or any claim of this node.
pub(crate) type Release = (usize, Option<i64>);

/// The actions to carry out, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Actions {
    pub(crate) steps: Vec<Action>,
    /// Each write is sent only if those before it succeeded.
    pub(crate) writes: Vec<Write>,
}

/// An action on this node.
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

/// A write to etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// This node takes part, with its list.
    TakePart,
    /// The list of this node.
    List,
    Release(Vec<Release>),
    /// Shards without an owner, each with the revision of its release, if it was released.
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
    /// The exit of a function with this class of failure, if any. `is_ours` if the shard was still owned by this node.
    pub(crate) fn how(failed: Option<FailureClass>, is_ours: bool) -> Self {
        match failed {
            // A fatal failure is reported in any case.
            Some(class @ FailureClass::Fatal) => Self::Failed(class),
            _ if !is_ours => Self::Lost,
            Some(class) => Self::Failed(class),
            None => Self::Returned,
        }
    }

    /// Whether a failure of this class counts. `is_ours` if the shard is still owned by this node.
    pub(crate) fn counts(class: FailureClass, is_ours: bool) -> bool {
        Self::how(Some(class), is_ours) != Self::Lost
    }

    /// Whether a failure takes the place of an earlier one. The first one is the cause, unless a later one is fatal.
    pub(crate) fn is_graver(later: Option<FailureClass>, earlier: Option<FailureClass>) -> bool {
        match (later, earlier) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(later), Some(earlier)) => {
                later == FailureClass::Fatal && earlier != FailureClass::Fatal
            }
        }
    }
}

/// The consequence of the end of a shard's function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Consequence {
    pub(crate) log: Option<Logged>,
    /// Whether the failure is also reported as one of this component.
    pub(crate) report: bool,
}

/// A message about the end of a shard's function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logged {
    FailedWhileItStopped,
    Failed { again_in: Duration },
}

/// The consequence of a failed write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unwritten {
    /// etcd refuses it for good.
    Refused,
    /// It is tried again. The failure is logged in this way.
    Again(Loudness),
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
            log: FailureLog::default(),
            again: None,
        }
    }

    /// When to reconcile again at the latest. Work is allowed until `allowed_until`.
    pub(crate) fn wake_at(&self, allowed_until: Duration) -> Duration {
        self.again
            .map_or(allowed_until, |again| again.min(allowed_until))
    }

    /// Requests to reconcile again at this moment at the latest.
    pub(crate) fn look_again(&mut self, at: Duration) {
        self.again = Some(self.again.map_or(at, |again| again.min(at)));
    }

    /// The actions that follow from the view and the running shards.
    ///
    /// `registered` if the node is a member under its lease; otherwise it may claim nothing.
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
                    // The last owner may not come back for the shard.
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

    /// The record of this node that must be written again, if any.
    fn records(&mut self, view: &View, now: Duration) -> Option<Write> {
        if view.revision < self.taking_part {
            // The last write is not in this view yet.
            return None;
        }
        let list_is_missing = self.list_is_missing(view, now);
        if !view.taking_part {
            // The key was removed, so the others no longer plan with this node.
            return Some(Write::TakePart);
        }
        list_is_missing.then_some(Write::List)
    }

    /// Whether it is time to write the list of this node.
    fn list_is_missing(&mut self, view: &View, now: Duration) -> bool {
        if view.list_is_there {
            self.list_due = None;
            return false;
        }
        // The node that wrote the list has left. All nodes with this list see that at the same moment, so each waits
        // for a different time.
        let own = named(&self.id, &self.work) % LIST_WITHIN.as_millis() as u64;
        let own = Duration::from_millis(own);
        let due = *self.list_due.get_or_insert(now + own);
        if now < due {
            self.look_again(due);
        }
        now >= due
    }

    /// How many more shards may be asked to move.
    ///
    /// Shards that are stopping count, and those that have stopped and are not claimed by another node yet.
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

    /// Notes that a write is being sent. It counts from here on, because it may never be known whether it arrived.
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
                    // If other nodes were faster, no view will ever show these claims.
                    revision: i64::MAX,
                    until: Some(now + REPEAT),
                    claims: shards.iter().map(|&(place, _)| place).collect(),
                };
                self.look_again(now + REPEAT);
            }
        }
    }

    /// Notes that a write is in the store from this revision on.
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

    /// Notes that all of these writes have succeeded.
    ///
    /// After a failure nothing is written for a while, which is no success.
    pub(crate) fn all_written(&mut self, writes: &[Write]) {
        if !writes.is_empty() {
            self.log.succeeded();
        }
    }

    /// Notes that a write failed, or that its result is unknown. The writes after it must not be tried now.
    pub(crate) fn not_written(&mut self, cause: &EtcdError, now: Duration) -> Unwritten {
        let Some(pause) = cause.again_in() else {
            return Unwritten::Refused;
        };
        self.look_again(now + pause);
        Unwritten::Again(self.log.failed(cause))
    }

    /// Handles the end of a shard's function.
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

    /// The claims that may have been made and are not in a view yet.
    pub(crate) fn unseen(&self) -> &[usize] {
        &self.unseen.claims
    }
}

/// The pause before a write is repeated that no view shows.
const REPEAT: Duration = Duration::from_millis(500);
/// The longest time until a missing list is written again.
const LIST_WITHIN: Duration = Duration::from_millis(500);
const BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
