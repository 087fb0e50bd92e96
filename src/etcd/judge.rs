//! What the attempts on all endpoints amount to. Pure: it is told the time and does no I/O.

use std::time::Duration;

use tokio::time::Instant;

use super::cause::Cause;
use super::config::EtcdConfig;
use super::connection::Evidence;
use super::endpoint::Endpoint;
use super::lane::Outcome;
use crate::Observation;

/// Judges what the attempts on all endpoints amount to.
pub(super) struct Judge {
    seats: Vec<Seat>,
    interval: Duration,
    grace: Duration,
    /// The last evidence from any endpoint, or when judging began.
    heard_at: Instant,
    /// What is remembered of the store, across pauses in observing.
    store: Option<Store>,
    /// Counts the stores, so that an answer about an earlier one is not held against this one.
    generation: u64,
    told: Told,
    pending: Option<Observation>,
    /// The next evidence is told, however soon it comes.
    hurried: bool,
}

/// Where the judge stood when an attempt began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    generation: u64,
    revision: i64,
}

struct Seat {
    endpoint: Endpoint,
    /// The last evidence from this endpoint, or when judging began.
    heard_at: Instant,
    /// Why the last attempt gave none.
    cause: Option<Cause>,
    /// The cluster it gave evidence for.
    cluster_id: Option<u64>,
}

struct Store {
    cluster_id: u64,
    /// The highest revision seen.
    revision: i64,
}

/// The last observation that was given out.
#[derive(Clone, Copy)]
enum Told {
    Nothing,
    Alive(Instant),
    Failing(Instant),
}

impl Judge {
    pub(super) fn new(config: &EtcdConfig, now: Instant) -> Self {
        let seat = |endpoint: &Endpoint| Seat {
            endpoint: endpoint.clone(),
            heard_at: now,
            cause: None,
            cluster_id: None,
        };
        Self {
            seats: config.endpoints.iter().map(seat).collect(),
            interval: config.interval,
            grace: config.grace,
            heard_at: now,
            store: None,
            generation: 0,
            told: Told::Nothing,
            pending: None,
            hurried: false,
        }
    }

    /// Judges anew, as nothing was observed for a while. The store is not forgotten, or one that is
    /// wiped in between would go unnoticed.
    pub(super) fn restart(&mut self, now: Instant) {
        self.heard_at = now;
        self.told = Told::Nothing;
        self.pending = None;
        for seat in &mut self.seats {
            seat.heard_at = now;
            seat.cause = None;
        }
    }

    /// Somebody waits for the next evidence.
    pub(super) fn hurry(&mut self) {
        self.hurried = true;
    }

    /// Leaves a time out of account in which this process did not run, so that nobody listened.
    pub(super) fn excuse(&mut self, time: Duration, now: Instant) {
        // Never beyond now: what was heard since is as good as ever, and no better.
        self.heard_at = now.min(self.heard_at + time);
        for seat in &mut self.seats {
            seat.heard_at = now.min(seat.heard_at + time);
        }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            generation: self.generation,
            revision: self.store.as_ref().map_or(0, |store| store.revision),
        }
    }

    /// Takes the outcome of an attempt on the endpoint at `index`.
    pub(super) fn record(&mut self, index: usize, outcome: Outcome, now: Instant) {
        match outcome {
            Ok((mark, evidence)) => self.record_evidence(index, mark, evidence, now),
            Err(cause) => self.seats[index].cause = Some(cause),
        }
    }

    /// The observation that is due, if any.
    pub(super) fn next(&mut self, now: Instant) -> Option<Observation> {
        if let Some(observation) = self.pending.take() {
            return Some(observation);
        }
        let due = match self.told {
            Told::Failing(at) => now >= at + self.interval,
            Told::Nothing | Told::Alive(_) => {
                now >= self.heard_at + self.grace || self.all_certain()
            }
        };
        due.then(|| {
            self.told = Told::Failing(now);
            Observation::failing(self.reason(now))
        })
    }

    /// When [`next`](Self::next) has something to say even if nothing is recorded.
    pub(super) fn due_at(&self) -> Instant {
        match self.told {
            Told::Failing(at) => at + self.interval,
            Told::Nothing | Told::Alive(_) => self.heard_at + self.grace,
        }
    }

    fn record_evidence(&mut self, index: usize, mark: Mark, evidence: Evidence, now: Instant) {
        let seat = &mut self.seats[index];
        let Evidence {
            revision,
            cluster_id,
        } = evidence;
        if let Some(store) = &mut self.store {
            if cluster_id != store.cluster_id {
                if seat.cluster_id != Some(store.cluster_id) {
                    seat.cause = Some(Cause::Certain(format!(
                        "belongs to another cluster ({cluster_id:x}, expected {:x})",
                        store.cluster_id
                    )));
                    return;
                }
                let why = format!("the cluster is another one ({cluster_id:x})");
                return self.reset(index, evidence, &why, now);
            }
            // Compared with what was known when the read began: another member's later read may
            // have been answered first.
            if mark.generation == self.generation && revision < mark.revision {
                let why = format!("revision went back from {} to {revision}", mark.revision);
                return self.reset(index, evidence, &why, now);
            }
            store.revision = store.revision.max(revision);
        } else {
            self.store = Some(Store {
                cluster_id,
                revision,
            });
        }
        seat.cluster_id = Some(cluster_id);
        seat.cause = None;
        seat.heard_at = now;
        self.heard_at = now;
        // Each of several endpoints gives evidence once an interval; one observation is enough.
        let hurried = std::mem::take(&mut self.hurried);
        let recent = !hurried
            && matches!(self.told, Told::Alive(at) if now < at + self.interval.mul_f32(0.5));
        if !recent {
            self.told = Told::Alive(now);
            self.pending = Some(Observation::alive(format!(
                "{}: watch progress and linearizable read at revision {revision}",
                seat.endpoint
            )));
        }
    }

    /// Another store has taken the place of the one known: said once, and then all begins anew.
    fn reset(&mut self, index: usize, evidence: Evidence, why: &str, now: Instant) {
        self.restart(now);
        self.generation += 1;
        self.store = Some(Store {
            cluster_id: evidence.cluster_id,
            revision: evidence.revision,
        });
        let seat = &mut self.seats[index];
        seat.cluster_id = Some(evidence.cluster_id);
        self.pending = Some(Observation::failing(format!(
            "store reset: {}: {why}",
            seat.endpoint
        )));
    }

    fn all_certain(&self) -> bool {
        self.seats
            .iter()
            .all(|seat| seat.cause.as_ref().is_some_and(Cause::is_certain))
    }

    fn reason(&self, now: Instant) -> String {
        let reasons: Vec<String> = self.seats.iter().map(|seat| seat.reason(now)).collect();
        reasons.join("; ")
    }
}

impl Seat {
    fn reason(&self, now: Instant) -> String {
        let endpoint = &self.endpoint;
        let seconds = now.duration_since(self.heard_at).as_secs_f32().round();
        match &self.cause {
            None | Some(Cause::Silent) => format!("{endpoint}: no answer for {seconds} s"),
            Some(Cause::Passing(text)) => {
                format!("{endpoint}: {text}, no evidence for {seconds} s")
            }
            Some(Cause::Refused) => format!("{endpoint}: connection refused"),
            Some(Cause::Closed) => {
                // Both sides of TLS are silent about what they miss. It is a likely guess only while
                // nothing has worked yet.
                let guess = match (self.cluster_id, endpoint.tls()) {
                    (Some(_), _) => "",
                    (None, false) => "; does the server want https?",
                    (None, true) => "; does the server speak TLS, and want a client certificate?",
                };
                format!("{endpoint}: the connection was closed{guess}")
            }
            Some(Cause::Certain(text)) => format!("{endpoint}: {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certain_failures_of_all_endpoints_are_told_at_once() {
        let (mut judge, t0) = judge(["http://a", "http://b"]);
        judge.record(0, Err(refused()), t0);
        assert_eq!(judge.next(t0), None);
        judge.record(1, Err(Cause::Closed), t0);
        let told = reason(judge.next(t0));
        assert!(
            told.starts_with("http://a:2379: refused; http://b:2379: the connection was closed")
        );
    }

    #[test]
    fn other_failures_are_told_after_the_grace_and_then_once_an_interval() {
        let (mut judge, t0) = judge(["http://a", "http://b"]);
        judge.record(0, Err(refused()), t0);
        judge.record(1, Err(Cause::Passing("no leader".into())), t0);
        assert_eq!(judge.due_at(), t0 + ms(4000));
        assert_eq!(judge.next(t0 + ms(3999)), None);
        let told = reason(judge.next(t0 + ms(4000)));
        assert_eq!(
            told,
            "http://a:2379: refused; http://b:2379: no leader, no evidence for 4 s"
        );
        assert_eq!(judge.next(t0 + ms(4999)), None);
        assert_eq!(judge.due_at(), t0 + ms(5000));
        reason(judge.next(t0 + ms(5000)));
        assert!(alive(&mut judge, 1, 7, t0 + ms(5100)));
        assert_eq!(judge.due_at(), t0 + ms(9100));
    }

    #[test]
    fn evidence_of_several_endpoints_is_one_observation_an_interval() {
        let (mut judge, t0) = judge(["http://a", "http://b"]);
        assert!(alive(&mut judge, 0, 7, t0));
        assert!(!alive(&mut judge, 1, 7, t0 + ms(10)));
        assert!(alive(&mut judge, 0, 7, t0 + ms(1000)));
        assert!(!alive(&mut judge, 1, 7, t0 + ms(1010)));
        assert_eq!(judge.due_at(), t0 + ms(5010));
    }

    #[test]
    fn time_in_which_the_process_did_not_run_is_no_silence() {
        let (mut judge, t0) = judge(["http://a"]);
        judge.excuse(ms(10_000), t0 + ms(10_500));
        assert_eq!(judge.next(t0 + ms(13_999)), None);
        let told = reason(judge.next(t0 + ms(14_000)));
        assert_eq!(told, "http://a:2379: no answer for 4 s");
    }

    #[test]
    fn a_freeze_buys_no_time_for_what_comes_after_it() {
        let (mut judge, t0) = judge(["http://a"]);
        assert!(alive(&mut judge, 0, 7, t0 + ms(60_000)));
        judge.excuse(ms(59_000), t0 + ms(60_000));
        assert_eq!(judge.due_at(), t0 + ms(64_000));
    }

    #[test]
    fn a_revision_that_goes_back_is_told_once() {
        let (mut judge, t0) = judge(["http://a", "http://b"]);
        assert!(alive(&mut judge, 0, 7, t0));
        assert!(alive(&mut judge, 1, 7, t0 + ms(1000)));
        let before = judge.mark();
        judge.record(0, Ok((before, evidence(1, 3))), t0 + ms(2000));
        let told = reason(judge.next(t0 + ms(2000)));
        assert_eq!(
            told,
            "store reset: http://a:2379: revision went back from 7 to 3"
        );
        // The other endpoint was asked before, and is not held to the store of then.
        judge.record(1, Ok((before, evidence(1, 3))), t0 + ms(2010));
        assert!(matches!(
            judge.next(t0 + ms(2010)),
            Some(Observation::Alive { .. })
        ));
        assert!(alive(&mut judge, 0, 4, t0 + ms(3000)));
    }

    #[test]
    fn answers_that_overtake_each_other_are_no_reset() {
        let (mut judge, t0) = judge(["http://a", "http://b"]);
        assert!(alive(&mut judge, 0, 7, t0));
        let mark = judge.mark();
        judge.record(1, Ok((mark, evidence(1, 9))), t0 + ms(1010));
        judge.record(0, Ok((mark, evidence(1, 8))), t0 + ms(1020));
        assert!(matches!(
            judge.next(t0 + ms(1020)),
            Some(Observation::Alive { .. })
        ));
        assert_eq!(judge.mark().revision, 9);
    }

    #[test]
    fn a_store_is_remembered_across_a_pause() {
        let (mut judge, t0) = judge(["http://a"]);
        assert!(alive(&mut judge, 0, 7, t0));
        judge.restart(t0 + ms(60_000));
        assert_eq!(judge.next(t0 + ms(60_000)), None);
        let mark = judge.mark();
        judge.record(0, Ok((mark, evidence(1, 6))), t0 + ms(60_000));
        assert!(reason(judge.next(t0 + ms(60_000))).starts_with("store reset"));
    }

    #[test]
    fn another_cluster_is_a_reset_or_a_wrong_endpoint() {
        let (mut judge, t0) = judge(["http://a", "http://b"]);
        assert!(alive(&mut judge, 0, 7, t0));
        let mark = judge.mark();
        judge.record(1, Ok((mark, evidence(2, 9))), t0);
        assert_eq!(judge.next(t0), None);
        judge.record(0, Err(refused()), t0);
        let told = reason(judge.next(t0));
        assert!(told.contains("http://b:2379: belongs to another cluster (2, expected 1)"));
        let mark = judge.mark();
        judge.record(0, Ok((mark, evidence(2, 9))), t0 + ms(10));
        let told = reason(judge.next(t0 + ms(10)));
        assert_eq!(
            told,
            "store reset: http://a:2379: the cluster is another one (2)"
        );
        let mark = judge.mark();
        judge.record(1, Ok((mark, evidence(2, 9))), t0 + ms(20));
        assert!(matches!(
            judge.next(t0 + ms(20)),
            Some(Observation::Alive { .. })
        ));
    }

    fn judge<const N: usize>(endpoints: [&str; N]) -> (Judge, Instant) {
        let now = Instant::now();
        let config = EtcdConfig::new(endpoints).expect("valid endpoints");
        (Judge::new(&config, now), now)
    }

    /// Records evidence, and tells whether that made an observation.
    fn alive(judge: &mut Judge, index: usize, revision: i64, now: Instant) -> bool {
        let mark = judge.mark();
        judge.record(index, Ok((mark, evidence(1, revision))), now);
        let next = judge.next(now);
        assert!(
            !matches!(next, Some(Observation::Failing { .. })),
            "{next:?}"
        );
        next.is_some()
    }

    fn evidence(cluster_id: u64, revision: i64) -> Evidence {
        Evidence {
            revision,
            cluster_id,
        }
    }

    fn refused() -> Cause {
        Cause::Certain("refused".into())
    }

    fn reason(observation: Option<Observation>) -> String {
        match observation {
            Some(Observation::Failing { reason }) => reason.into_owned(),
            other => panic!("not failing: {other:?}"),
        }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }
}
