//! Whom the probe asks, for what, when it wakes, and what it holds against what others have seen. Pure: subchannels carry it
//! out, and say what came of it.

use core::time::Duration;

use super::answer::Answer;
use super::check::CheckKind;
use super::endpoint_state::EndpointState;
use super::model::{CheckRequest, Conclusion, HealthModel};
use crate::etcd::basics::EtcdError;
use crate::etcd::client::{ClusterMap, Timing};

/// What happens on the subchannel of an endpoint.
#[derive(Debug)]
pub(crate) enum SubchannelEvent {
    /// A connection was opened, with a member of this cluster.
    Opened(Option<u64>),
    /// There is no connection: it broke, or could not be opened.
    Lost(EtcdError),
    Answered(CheckRequest, Answer),
    Failed(CheckRequest, EtcdError),
}

/// A subchannel, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SubchannelState {
    /// How many questions of each check are under way; none while there is no connection.
    pub(crate) load: Option<[usize; 3]>,
    /// Whether its member is to be looked at again, if it does not work and owes no read.
    pub(crate) look_is_due: bool,
    /// When something happens there though nothing arrives.
    pub(crate) wake_at: Option<Duration>,
}

/// What a subchannel is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// To open a connection as soon as it may be tried again, if there is none.
    Hurry(usize),
    /// To ask the member what it thinks, unless that is under way.
    AskStatus(usize, CheckRequest),
    Ask(usize, CheckRequest),
}

/// Whether an observation may be told that a call came to, when another one was asked for before it was handed over:
/// then it may be of before that. Whoever is failing is so either way.
pub(crate) fn may_be_told(is_failing: bool, overtaken: bool) -> bool {
    is_failing || !overtaken
}

pub(crate) struct ProbeLoop {
    pub(crate) model: HealthModel,
    /// After which gap between calls nothing is known any more.
    longest_gap: Duration,
    /// Being woken later than that is no matter of scheduling.
    late: Duration,
    /// For how long what an endpoint has shown of its cluster is held against the others.
    lately: Duration,
    /// The cluster that is meant, if it is known.
    expected: Option<u64>,
    /// The subchannel that each check was last asked on.
    asked_last: [usize; 3],
    /// When the last call returned; none if it was dropped.
    returned: Option<Duration>,
}

impl ProbeLoop {
    pub(crate) fn new(model: HealthModel, timing: &Timing, expected: Option<u64>) -> Self {
        Self {
            model,
            longest_gap: timing.longest_gap(),
            late: timing.recheck,
            lately: timing.lately(),
            expected,
            asked_last: [0; 3],
            returned: None,
        }
    }

    /// Goes on from the last call, or begins anew if that is too long ago: what was heard then says
    /// nothing about the time between. So it does on another runtime than that of the connections, which
    /// may have ended. `true` if it goes on, with the subchannels that there are.
    pub(crate) fn resume(&mut self, same_runtime: bool, now: Duration) -> bool {
        if let Some(at) = self.returned.take()
            && now < at + self.longest_gap
            && same_runtime
        {
            // Nobody listened in between.
            self.model.excuse(now.saturating_sub(at), now);
            return true;
        }
        self.model.restart(now);
        false
    }

    /// A call returns with something to tell.
    pub(crate) fn returns(&mut self, now: Duration) {
        self.returned = Some(now);
    }

    /// One more observation is wanted now, of which every check is part: what was heard before is not good enough.
    pub(crate) fn hurried(&mut self, now: Duration) -> Vec<Order> {
        self.model.demand(now);
        let all = 0..self.model.endpoints().len();
        all.map(Order::Hurry).collect()
    }

    /// What is asked now: what is due; where an answer is owed for long, each member what it thinks; and a look at who
    /// does not work.
    pub(crate) fn asks(&mut self, subchannels: &[SubchannelState], now: Duration) -> Vec<Order> {
        let mut orders = Vec::new();
        let mut loads: Vec<Option<[usize; 3]>> = subchannels
            .iter()
            .map(|subchannel| subchannel.load)
            .collect();
        for kind in self.model.due(now) {
            if self.model.in_doubt(kind, now) {
                for index in 0..subchannels.len() {
                    let asked = self.model.question(index, kind, true, now);
                    orders.push(Order::Hurry(index));
                    orders.push(Order::AskStatus(index, asked));
                }
            }
            self.model.asked(kind, now);
            if let Some(index) = self.pick(kind, &loads) {
                self.asked_last[kind as usize] = index;
                let asked = self.model.question(index, kind, false, now);
                orders.push(Order::Ask(index, asked));
                if let Some(load) = &mut loads[index] {
                    load[kind as usize] += 1;
                }
            }
        }
        for (index, subchannel) in subchannels.iter().enumerate() {
            let owes_no_read = loads[index].is_some_and(|load| load[CheckKind::Read as usize] == 0);
            // Those that work are preferred, so nobody else would ask it again.
            if owes_no_read && subchannel.look_is_due && !self.model.endpoints()[index].usable() {
                orders.push(self.look(index, now));
            }
        }
        orders
    }

    /// A read, only to look at the member.
    fn look(&self, index: usize, now: Duration) -> Order {
        Order::Ask(
            index,
            self.model.question(index, CheckKind::Read, true, now),
        )
    }

    /// Whom to ask. Proposals go round; the others stay with a member as long as it owes nothing.
    fn pick(&self, kind: CheckKind, loads: &[Option<[usize; 3]>]) -> Option<usize> {
        let count = loads.len();
        let (first, most) = match kind {
            CheckKind::Progress => (self.asked_last[kind as usize], 1),
            CheckKind::Read => (self.asked_last[kind as usize], 3),
            CheckKind::Write => (self.asked_last[kind as usize] + 1, 3),
        };
        let all = (0..count).map(|step| (first + step) % count);
        // The first of the least: one that owes nothing before one that does, one that works before
        // one that does not, and one of which that is not certain before one of which it is. What
        // refuses proposals is asked for one only if all do.
        all.filter_map(|index| {
            let load = loads[index].map(|load| load[kind as usize]);
            let load = load.filter(|&load| load < most)?;
            let endpoint = &self.model.endpoints()[index];
            let refuses = kind == CheckKind::Write && endpoint.refuses();
            let fails = (!endpoint.usable(), endpoint.surely_lost());
            Some((refuses, load, fails, index))
        })
        .min_by_key(|&(refuses, load, fails, _)| (refuses, load, fails))
        .map(|(.., index)| index)
    }

    /// When to wake though nothing happens.
    pub(crate) fn wake_at(&self, subchannels: &[SubchannelState], now: Duration) -> Duration {
        let subchannels = subchannels
            .iter()
            .filter_map(|subchannel| subchannel.wake_at);
        subchannels
            .fold(self.model.wake_at(now), Duration::min)
            .max(now)
    }

    /// It is awake, and was to be at `wake_at` at the latest. Far too late: the process was frozen or starved, and an
    /// answer that nobody could take is not missing. (What that means for the service is the supervisor's business.)
    pub(crate) fn woken(&mut self, wake_at: Duration, now: Duration) {
        let late = now.saturating_sub(wake_at);
        if late > self.late {
            self.model.excuse(late, now);
        }
    }

    /// What is due to be told, if anything. What is open goes on showing its cluster, so that is said before it is looked
    /// whether all are of one.
    pub(crate) fn next(&mut self, clusters: &mut ClusterMap, now: Duration) -> Option<Conclusion> {
        for (index, cluster) in self.model.shows(now) {
            clusters.saw(index, cluster, now);
        }
        let split = self.split(clusters, now);
        self.model.next(split.as_deref(), now)
    }

    /// In words, if the endpoints are not of one cluster, or not of the one that is meant.
    fn split(&self, clusters: &ClusterMap, now: Duration) -> Option<String> {
        let urls = self.model.endpoints().iter().map(EndpointState::url);
        clusters.split(urls, self.expected.into_iter(), self.lately, now)
    }

    /// Something happened on the subchannel at `index`. What that shows of its cluster is held against the others before it
    /// counts as evidence.
    pub(crate) fn happened(
        &mut self,
        index: usize,
        event: SubchannelEvent,
        clusters: &mut ClusterMap,
        now: Duration,
    ) -> Vec<Order> {
        match &event {
            SubchannelEvent::Opened(Some(cluster)) => clusters.saw(index, *cluster, now),
            SubchannelEvent::Answered(_, Answer::Read(store)) => {
                clusters.saw(index, store.cluster_id, now)
            }
            SubchannelEvent::Lost(_) => {
                if let Some(cluster) = self.model.endpoints()[index].cluster_id() {
                    clusters.lost(index, cluster);
                }
            }
            SubchannelEvent::Opened(None)
            | SubchannelEvent::Answered(..)
            | SubchannelEvent::Failed(..) => {}
        }
        match event {
            SubchannelEvent::Opened(cluster_id) => {
                self.model.opened(index, cluster_id, now);
                // A member that is asked nothing must still be known to work.
                self.model.looked(now);
                vec![self.look(index, now)]
            }
            SubchannelEvent::Lost(cause) => {
                let orders = self.hurry_others_if_worked(index);
                self.model.lost(index, cause, now);
                orders
            }
            SubchannelEvent::Answered(asked, answer) => {
                let split = self.split(clusters, now).is_some();
                self.model.answered(index, asked, answer, split, now);
                Vec::new()
            }
            SubchannelEvent::Failed(asked, cause) => {
                let orders = self.hurry_others_if_worked(index);
                self.model.failed(index, asked, cause, now);
                orders
            }
        }
    }

    /// A member that worked fails: who was lost before is tried again.
    fn hurry_others_if_worked(&self, index: usize) -> Vec<Order> {
        let endpoints = self.model.endpoints();
        if !endpoints[index].usable() {
            return Vec::new();
        }
        let others = (0..endpoints.len()).filter(|&other| other != index);
        others.map(Order::Hurry).collect()
    }
}

#[cfg(test)]
mod tests;
