//! What happened, and whether it is what was promised.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use overwatch::Outage;
use overwatch::machine::Phase;
use overwatch_examples::timeline::{Did, Entry, Event};

use crate::script::{WINDOW, WITHIN};

/// The outages that the script causes.
const OUTAGES: usize = 3;
/// The phases that it leads through, while the supervisor is there to answer.
const PHASES: [Phase; 4] = [
    Phase::Running,
    Phase::ShuttingDown,
    Phase::Monitoring,
    Phase::Restarting,
];

pub(crate) struct Summary {
    pub(crate) entries: Vec<Entry>,
    /// Without the boot, which is outage 0.
    pub(crate) outages: Vec<Outage>,
    pub(crate) took: Duration,
}

impl Summary {
    pub(crate) fn of(entries: Vec<Entry>, outages: Vec<Outage>, took: Duration) -> Self {
        let outages = outages.into_iter().skip(1).collect();
        Self {
            entries,
            outages,
            took,
        }
    }

    /// What did not happen as it should have, or did and should not.
    pub(crate) fn broken_promises(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let mut promise = |kept: bool, what: &str| {
            if !kept {
                broken.push(what.to_owned());
            }
        };
        promise(self.took < WITHIN, "the show ends within its time");
        promise(
            self.outages.len() == OUTAGES
                && self.outages.iter().all(|outage| outage.lasted.is_some()),
            "each outage of the script is noticed, and comes to its end",
        );
        let epochs = self.epochs();
        promise(
            epochs.iter().copied().eq(1..=OUTAGES as u64 + 1),
            "everything is started afresh after each outage, and only then",
        );
        let answers = self.answers();
        for phase in PHASES {
            let wanted = if phase == Phase::Running { 200 } else { 503 };
            let codes = answers.get(phase.as_str());
            promise(
                codes.is_some_and(|codes| codes.keys().eq([&wanted])),
                &format!("/status/check answers {wanted}, and nothing else, in {phase}"),
            );
        }
        promise(
            self.unready_first() == OUTAGES + 1,
            "/status/check says 503 before the first component stops",
        );
        promise(
            self.proven_for().iter().all(|&proven| proven >= WINDOW),
            "nothing is started before the dependency was up for the whole window",
        );
        promise(
            self.starts() == self.ends(),
            "each component that was started has stopped",
        );
        broken
    }

    /// In how many stops, the shutdown included, `/status/check` said 503 to the first component
    /// that was told to stop.
    fn unready_first(&self) -> usize {
        let mut first = BTreeMap::new();
        for (_, epoch, did) in self.components() {
            if let Did::ToldToStop { code } = did {
                first.entry(epoch).or_insert(*code);
            }
        }
        first.values().filter(|&&code| code == Some(503)).count()
    }

    /// For each epoch after the first how long the dependency had been up when it began.
    pub(crate) fn proven_for(&self) -> Vec<Duration> {
        let (mut up_since, mut begun, mut proven) = (None, 1, Vec::new());
        for entry in &self.entries {
            match &entry.event {
                Event::Dependency { up: true, .. } => up_since = Some(entry.at),
                Event::Dependency { up: false, .. } => up_since = None,
                Event::Component { epoch, .. } if *epoch > begun => {
                    begun = *epoch;
                    proven.push(up_since.map_or(Duration::ZERO, |since| entry.at - since));
                }
                _ => {}
            }
        }
        proven
    }

    /// What `/status/check` answered: for each state that it named, each code and how often.
    pub(crate) fn answers(&self) -> BTreeMap<String, BTreeMap<u16, usize>> {
        let mut answers = BTreeMap::<_, BTreeMap<_, _>>::new();
        for entry in &self.entries {
            if let Event::Answered(answer) = &entry.event {
                let state = answer.field("phase").unwrap_or_default();
                let codes = answers.entry(state).or_default();
                *codes.entry(answer.code).or_default() += 1;
            }
        }
        answers
    }

    /// The epoch that an outage ended, and the one that ended the outage.
    fn epochs_of(&self, outage: u64) -> String {
        let epochs = self.entries.iter().filter_map(|entry| match &entry.event {
            Event::Moved(moved) if moved.outage == outage => Some(moved.epoch),
            _ => None,
        });
        match (epochs.clone().min(), epochs.max()) {
            (Some(before), Some(after)) => format!("{before} -> {after}"),
            _ => "-".to_owned(),
        }
    }

    fn epochs(&self) -> BTreeSet<u64> {
        self.components().map(|(_, epoch, _)| epoch).collect()
    }

    fn starts(&self) -> BTreeSet<(&str, u64)> {
        self.components()
            .filter(|(.., did)| matches!(did, Did::Starts(_)))
            .map(|(name, epoch, _)| (name, epoch))
            .collect()
    }

    fn ends(&self) -> BTreeSet<(&str, u64)> {
        self.components()
            .filter(|(.., did)| matches!(did, Did::Gone(_)))
            .map(|(name, epoch, _)| (name, epoch))
            .collect()
    }

    fn components(&self) -> impl Iterator<Item = (&str, u64, &Did)> {
        self.entries.iter().filter_map(|entry| match &entry.event {
            Event::Component { name, epoch, did } => Some((name.as_str(), *epoch, did)),
            _ => None,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "outage  epochs  not ready  back up for  because")?;
        for (outage, proven) in self.outages.iter().zip(self.proven_for()) {
            let number = outage.number;
            let epochs = self.epochs_of(number);
            let lasted = outage.lasted.unwrap_or_default().as_secs_f64();
            let proven = proven.as_secs_f64();
            let reason = &outage.reason;
            writeln!(
                f,
                "{number:>6}  {epochs:>6}  {lasted:>7.1} s  {proven:>9.1} s  {reason}"
            )?;
        }
        writeln!(f)?;
        for (state, codes) in self.answers() {
            let codes: Vec<_> = codes
                .iter()
                .map(|(code, times)| format!("{code}, {times} times"))
                .collect();
            writeln!(f, "/status/check in {state:<12}  {}", codes.join("; "))?;
        }
        writeln!(
            f,
            "not ready before the first component was stopped: {} of {} stops",
            self.unready_first(),
            OUTAGES + 1
        )?;
        let broken = self.broken_promises();
        for promise in &broken {
            writeln!(f, "BROKEN: {promise}")?;
        }
        let took = self.took.as_secs_f64();
        match broken.len() {
            0 => write!(f, "All promises kept, in {took:.1} s."),
            promises => write!(f, "Promises broken: {promises}. It took {took:.1} s."),
        }
    }
}
