//! What the model makes of answers and failures, in all checks. The time is made up.

use super::*;
use crate::etcd::client::ClusterMap;
use crate::etcd::health::probe_loop::{Order, ProbeLoop, SubchannelEvent};

mod due;
mod evidence;
mod failures;
mod freezes;
mod proving;
mod reasons;
mod runs;
mod slow;
mod store;
mod verdicts;

/// What the model is made of, as a configuration says it.
#[derive(Clone)]
struct Config {
    urls: Vec<String>,
    timing: Timing,
    verdicts: Verdicts,
    expected: Option<u64>,
}

impl Config {
    fn new<'a>(urls: impl IntoIterator<Item = &'a &'a str>) -> Self {
        let urls = urls.into_iter().map(|url| format!("{url}:2379"));
        Self {
            urls: urls.collect(),
            timing: Timing::DEFAULT,
            verdicts: Verdicts::default(),
            expected: None,
        }
    }

    fn fast(self) -> Self {
        Self {
            timing: Timing::FAST,
            ..self
        }
    }

    fn gentle(self) -> Self {
        Self {
            timing: Timing::GENTLE,
            ..self
        }
    }

    fn with_slow_answers(mut self, count: u32) -> Self {
        self.timing.slow_answers = count;
        self
    }

    fn with_verdict(mut self, fault: Fault, verdict: Verdict) -> Self {
        self.verdicts.set(fault, verdict);
        self
    }

    fn with_expected_cluster(self, id: u64) -> Self {
        Self {
            expected: Some(id),
            ..self
        }
    }
}

/// A model in its probe_loop, the clusters that the endpoints have shown, and a clock in milliseconds.
struct Case {
    probe_loop: ProbeLoop,
    config: Config,
    clusters: ClusterMap,
    t0: Duration,
}

impl Case {
    fn new(config: Config) -> Self {
        config.timing.check().expect("valid numbers");
        let t0 = Duration::from_secs(1_000);
        let endpoints = config.urls.iter().map(|url| (&**url, false));
        let model = HealthModel::new(endpoints, config.timing, config.verdicts.clone(), 1, t0);
        let clusters = ClusterMap::new(config.urls.len());
        Self {
            probe_loop: ProbeLoop::new(model, &config.timing, config.expected),
            config,
            clusters,
            t0,
        }
    }

    /// Something happened on the subchannel at `index`.
    fn event(&mut self, index: usize, event: SubchannelEvent, now: Duration) -> Vec<Order> {
        self.probe_loop
            .happened(index, event, &mut self.clusters, now)
    }

    fn opened(&mut self, index: usize, cluster: Option<u64>, now: Duration) {
        self.event(index, SubchannelEvent::Opened(cluster), now);
    }

    fn lost(&mut self, index: usize, cause: EtcdError, now: Duration) {
        self.event(index, SubchannelEvent::Lost(cause), now);
    }

    fn answered(&mut self, index: usize, asked: CheckRequest, answer: Answer, now: Duration) {
        self.event(index, SubchannelEvent::Answered(asked, answer), now);
    }

    /// All endpoints are open and answer, and that was told.
    fn alive(config: Config) -> Self {
        let mut case = Self::new(config);
        for index in 0..case.config.urls.len() {
            case.opened(index, Some(1), case.t0);
            case.all_from(index, 0);
        }
        case.lives(0);
        case
    }

    fn at(&self, at: u64) -> Duration {
        self.t0 + ms(at)
    }

    fn asked(&self, kind: CheckKind, at: u64) -> CheckRequest {
        self.probe_loop.model.question(0, kind, false, self.at(at))
    }

    fn due(&self, at: u64) -> Vec<CheckKind> {
        self.probe_loop.model.due(self.at(at)).collect()
    }

    /// Asks what is due.
    fn ask(&mut self, at: u64) {
        for kind in self.due(at) {
            self.probe_loop.model.asked(kind, self.at(at));
        }
    }

    fn answer(&mut self, index: usize, asked: CheckRequest, store: Store, at: u64) {
        let at = self.at(at);
        self.answered(index, asked, Answer::Read(store), at);
    }

    /// A read that is answered at once.
    fn read(&mut self, index: usize, revision: i64, at: u64) {
        let asked = self.asked(CheckKind::Read, at);
        self.answer(index, asked, store(1, revision, 2), at);
    }

    /// A read that is answered beyond the budget.
    fn slow_read(&mut self, asked_at: u64, at: u64) {
        let asked = self.asked(CheckKind::Read, asked_at);
        self.probe_loop
            .model
            .asked(CheckKind::Read, self.at(asked_at));
        self.answer(0, asked, store(1, 7, 2), at);
    }

    fn progress(&mut self, index: usize, at: u64) {
        let asked = self.asked(CheckKind::Progress, at);
        let at = self.at(at);
        self.answered(index, asked, Answer::Progress, at);
    }

    fn write(&mut self, index: usize, at: u64) {
        let asked = self.asked(CheckKind::Write, at);
        let at = self.at(at);
        self.answered(index, asked, Answer::Write, at);
    }

    fn good(&mut self, index: usize, kind: CheckKind, at: u64) {
        match kind {
            CheckKind::Progress => self.progress(index, at),
            CheckKind::Read => self.read(index, 7, at),
            CheckKind::Write => self.write(index, at),
        }
    }

    fn all_from(&mut self, index: usize, at: u64) {
        for kind in CheckKind::ALL {
            self.good(index, kind, at);
        }
    }

    fn all_of_the_new_store(&mut self, at: u64) {
        self.read(0, 3, at);
        self.progress(0, at);
        self.write(0, at);
    }

    fn fail(&mut self, index: usize, kind: CheckKind, cause: EtcdError, asked_at: u64, at: u64) {
        let asked = self.asked(kind, asked_at);
        let at = self.at(at);
        self.event(index, SubchannelEvent::Failed(asked, cause), at);
    }

    fn next(&mut self, at: u64) -> Option<Conclusion> {
        self.next_now(self.at(at))
    }

    fn next_now(&mut self, now: Duration) -> Option<Conclusion> {
        self.probe_loop.next(&mut self.clusters, now)
    }

    /// It is alive, and the evidence.
    fn lives(&mut self, at: u64) -> String {
        match self.next(at) {
            Some(Conclusion::Alive { evidence }) => evidence,
            other => panic!("not alive at {at}: {other:?}"),
        }
    }

    /// It is failing: the class, and the reason.
    fn fails(&mut self, at: u64) -> (&'static str, String) {
        match self.next(at) {
            Some(Conclusion::Failing { fault, reason, .. }) => (fault.as_str(), reason),
            other => panic!("not failing at {at}: {other:?}"),
        }
    }

    /// One of the things that can happen.
    fn happens(&mut self, dice: u64, at: u64) {
        let (what, index) = (dice / 7 % 16, (dice / 112 % 2) as usize);
        let kind = CheckKind::ALL[(dice / 224 % 3) as usize];
        let now = self.at(at);
        let asked_at = at.saturating_sub(dice / 672 % 3_000);
        let asked = self.asked(kind, asked_at);
        match what {
            0 => self.opened(index, Some(1), now),
            1 => self.lost(index, refused(), now),
            2 => self.lost(index, EtcdError::silent(), now),
            3 => self.fail(index, kind, no_leader(), asked_at, at),
            4 => self.fail(index, kind, EtcdError::silent(), asked_at, at),
            5 => {
                let denied = EtcdError::sure(Fault::Permission, "denied");
                self.fail(index, CheckKind::Write, denied, asked_at, at);
            }
            6 => {
                let alarm = EtcdError::alarm(Fault::NoSpace, &[1]);
                self.fail(index, CheckKind::Write, alarm, asked_at, at);
            }
            7 => self.probe_loop.model.demand(now),
            8 => self.probe_loop.model.excuse(ms(asked_at % 5_000), now),
            9 => self.probe_loop.model.restart(now),
            10 => self.answer(index, asked, store(1, 1, 2), at),
            11 => {
                let answer = match kind {
                    CheckKind::Progress => Answer::Progress,
                    CheckKind::Read => Answer::Read(store(1, 7, 2)),
                    CheckKind::Write => Answer::Write,
                };
                self.answered(index, asked, answer, now);
            }
            12 => {
                let leader = dice.is_multiple_of(2);
                self.answered(index, asked, Answer::Status { leader }, now);
            }
            13 => self.probe_loop.model.looked(now),
            _ => self.good(index, kind, at),
        }
    }
}

fn config<const N: usize>(endpoints: [&str; N]) -> Config {
    Config::new(&endpoints)
}

fn store(cluster_id: u64, revision: i64, term: u64) -> Store {
    Store {
        cluster_id,
        revision,
        term,
        member_id: 10,
    }
}

fn refused() -> EtcdError {
    EtcdError::sure(Fault::Unreachable, "refused")
}

fn wrong() -> EtcdError {
    EtcdError::sure(Fault::Misdirected, "no etcd")
}

fn no_leader() -> EtcdError {
    EtcdError::passing(Fault::NoLeader, "no leader")
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
