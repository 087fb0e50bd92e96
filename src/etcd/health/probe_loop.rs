//! Decides which member the probe asks for what, when it wakes, and how endpoints are compared.
//!
//! Pure: subchannels carry out the orders and report the events.

use core::time::Duration;

use super::answer::Answer;
use super::check::CheckKind;
use super::endpoint_state::EndpointState;
use super::model::{CheckRequest, Conclusion, HealthModel};
use crate::etcd::basics::EtcdError;
use crate::etcd::client::{ClusterMap, Timing};

/// An event on the subchannel of an endpoint.
#[derive(Debug)]
pub(crate) enum SubchannelEvent {
    /// A connection to a member of this cluster was opened.
    Opened(Option<u64>),
    /// There is no connection: it broke, or could not be opened.
    Lost(EtcdError),
    Answered(CheckRequest, Answer),
    Failed(CheckRequest, EtcdError),
}

/// The state of a subchannel, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SubchannelState {
    /// How many requests of each check are pending; `None` while there is no connection.
    pub(crate) load: Option<[usize; 3]>,
    /// Whether its member should be checked again, if it does not work and no read is pending.
    pub(crate) look_is_due: bool,
    /// When its next timer is due.
    pub(crate) wake_at: Option<Duration>,
}

/// An order to a subchannel.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// If there is no connection, open one as soon as the next attempt is allowed.
    Hurry(usize),
    /// Ask for the status of the member, unless such a request is pending.
    AskStatus(usize, CheckRequest),
    Ask(usize, CheckRequest),
}

/// Whether a finished observation may be returned. `overtaken` if a refresh was requested before it was returned.
///
/// Then the observation may be older than the refresh. A failure may be returned in any case.
pub(crate) fn may_be_told(is_failing: bool, overtaken: bool) -> bool {
    is_failing || !overtaken
}

pub(crate) struct ProbeLoop {
    pub(crate) model: HealthModel,
    /// The gap between calls after which earlier answers no longer count.
    longest_gap: Duration,
    /// A wake-up that is later than this is not normal scheduling.
    late: Duration,
    /// For how long the cluster that an endpoint has shown is compared with those of the others.
    lately: Duration,
    /// The id of the expected cluster, if it was set.
    expected: Option<u64>,
    /// The subchannel of the last request of each check.
    asked_last: [usize; 3],
    /// When the last call returned; `None` if it was dropped.
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

    /// Continues from the last call, and returns `true` if the subchannels can be kept.
    ///
    /// Otherwise it starts anew. This happens if the last call was too long ago, because its answers say nothing about
    /// the time in between, and on another runtime, because that of the connections may have ended.
    pub(crate) fn resume(&mut self, same_runtime: bool, now: Duration) -> bool {
        if let Some(at) = self.returned.take()
            && now < at + self.longest_gap
            && same_runtime
        {
            // Nothing was polled in between.
            self.model.excuse(now.saturating_sub(at), now);
            return true;
        }
        self.model.restart(now);
        false
    }

    /// Notes that a call returns an observation.
    pub(crate) fn returns(&mut self, now: Duration) {
        self.returned = Some(now);
    }

    /// Handles a refresh: every check needs a new answer, and earlier answers do not count.
    pub(crate) fn hurried(&mut self, now: Duration) -> Vec<Order> {
        self.model.demand(now);
        let all = 0..self.model.endpoints().len();
        all.map(Order::Hurry).collect()
    }

    /// The orders for now.
    ///
    /// These are the requests that are due; if an answer is missing for long, a status request to each member; and
    /// reads that check members that do not work.
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
            // Members that work are preferred, so nothing else would ask this one again.
            if owes_no_read && subchannel.look_is_due && !self.model.endpoints()[index].usable() {
                orders.push(self.look(index, now));
            }
        }
        orders
    }

    /// A read that only checks the member.
    fn look(&self, index: usize, now: Duration) -> Order {
        Order::Ask(
            index,
            self.model.question(index, CheckKind::Read, true, now),
        )
    }

    /// The member to ask. Proposals go to all members in turn; the others stay with one member as long as it answers.
    fn pick(&self, kind: CheckKind, loads: &[Option<[usize; 3]>]) -> Option<usize> {
        let count = loads.len();
        let (first, most) = match kind {
            CheckKind::Progress => (self.asked_last[kind as usize], 1),
            CheckKind::Read => (self.asked_last[kind as usize], 3),
            CheckKind::Write => (self.asked_last[kind as usize] + 1, 3),
        };
        let all = (0..count).map(|step| (first + step) % count);
        // The order of preference: members without pending requests, members that work, members whose failure is
        // uncertain. A member that refuses proposals is asked for one only if all members refuse.
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

    /// When to wake up at the latest.
    pub(crate) fn wake_at(&self, subchannels: &[SubchannelState], now: Duration) -> Duration {
        let subchannels = subchannels
            .iter()
            .filter_map(|subchannel| subchannel.wake_at);
        subchannels
            .fold(self.model.wake_at(now), Duration::min)
            .max(now)
    }

    /// Handles a wake-up that was due at `wake_at` at the latest.
    ///
    /// If it is far too late, the process was frozen or starved, and answers from that time do not count as missing.
    /// (The supervisor decides what this means for the service.)
    pub(crate) fn woken(&mut self, wake_at: Duration, now: Duration) {
        let late = now.saturating_sub(wake_at);
        if late > self.late {
            self.model.excuse(late, now);
        }
    }

    /// The conclusion that is due, if any. First updates the map with the clusters of all open connections.
    pub(crate) fn next(&mut self, clusters: &mut ClusterMap, now: Duration) -> Option<Conclusion> {
        for (index, cluster) in self.model.shows(now) {
            clusters.saw(index, cluster, now);
        }
        let split = self.split(clusters, now);
        self.model.next(split.as_deref(), now)
    }

    /// A description of the problem if the endpoints belong to several clusters, or not to the expected one.
    fn split(&self, clusters: &ClusterMap, now: Duration) -> Option<String> {
        let urls = self.model.endpoints().iter().map(EndpointState::url);
        clusters.split(urls, self.expected.into_iter(), self.lately, now)
    }

    /// Handles an event of the subchannel at `index`.
    ///
    /// The cluster that it shows is compared with those of the others before it counts as evidence.
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
                // It must be known that a member works even if it gets no other request.
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

    /// If a member that worked fails, members that were lost before are tried again.
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
