//! What the jobs did, and whether two of them ever did it together.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use overwatch::etcd::Shard;
use tokio::time::Instant;

/// Who worked on which shard, and when. Clones are the same record.
#[derive(Clone, Default)]
pub(super) struct Record(Arc<Mutex<Vec<Run>>>);

/// One incarnation of a shard.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) node: String,
    pub(super) shard: u32,
    pub(super) token: i64,
    pub(super) begun: Instant,
    pub(super) ended: Option<Instant>,
}

/// Ends the run when it is dropped, as the function is.
pub(super) struct Working {
    record: Record,
    place: usize,
}

impl Record {
    pub(super) fn begin(&self, node: &str, shard: &Shard) -> Working {
        let mut runs = self.0.lock().expect("no panic");
        runs.push(Run {
            node: node.to_owned(),
            shard: shard.index(),
            token: shard.token(),
            begun: Instant::now(),
            ended: None,
        });
        Working {
            record: self.clone(),
            place: runs.len() - 1,
        }
    }

    /// All runs, in the order in which they began.
    pub(super) fn runs(&self) -> Vec<Run> {
        self.0.lock().expect("no panic").clone()
    }

    /// How many shards each node runs now.
    pub(super) fn running(&self) -> BTreeMap<String, usize> {
        let mut running = BTreeMap::new();
        for run in self.runs().iter().filter(|run| run.ended.is_none()) {
            *running.entry(run.node.clone()).or_default() += 1;
        }
        running
    }

    /// Panics if two ever worked on one shard together, or a later owner had no higher token.
    pub(super) fn judge(&self) {
        for (shard, runs) in self.by_shard() {
            for pair in runs.windows(2) {
                let [earlier, later] = pair else { continue };
                assert!(
                    earlier.ended.is_some_and(|ended| ended <= later.begun),
                    "shard {shard} runs twice: {earlier:?} and {later:?}"
                );
                let taken_over = earlier.node != later.node;
                assert!(
                    if taken_over {
                        earlier.token < later.token
                    } else {
                        earlier.token <= later.token
                    },
                    "shard {shard}: {earlier:?} and {later:?}"
                );
            }
        }
    }

    /// The longest time for which a shard had nobody after this moment, up to the next run of it.
    pub(super) fn longest_gap(&self, after: Instant) -> Duration {
        let gaps = self.by_shard().into_values().flat_map(|runs| {
            let gaps: Vec<Duration> = runs
                .windows(2)
                .filter(|pair| pair[0].ended.is_some_and(|ended| ended >= after))
                .map(|pair| pair[1].begun - pair[0].ended.expect("judged before"))
                .collect();
            gaps
        });
        gaps.max().unwrap_or_default()
    }

    /// How many shards changed their node after this moment.
    pub(super) fn moves(&self, after: Instant) -> usize {
        let runs = self.by_shard().into_values();
        runs.map(|runs| {
            let moved = |pair: &&[Run]| pair[1].begun >= after && pair[0].node != pair[1].node;
            runs.windows(2).filter(moved).count()
        })
        .sum()
    }

    fn by_shard(&self) -> BTreeMap<u32, Vec<Run>> {
        let mut shards: BTreeMap<u32, Vec<Run>> = BTreeMap::new();
        for run in self.runs() {
            shards.entry(run.shard).or_default().push(run);
        }
        shards
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        let mut runs = self.record.0.lock().expect("no panic");
        runs[self.place].ended = Some(Instant::now());
    }
}

#[test]
#[should_panic(expected = "runs twice")]
fn two_at_once_are_found() {
    let now = Instant::now();
    let run = |node: &str, token, begun: u64, ended: u64| Run {
        node: node.to_owned(),
        shard: 0,
        token,
        begun: now + Duration::from_millis(begun),
        ended: Some(now + Duration::from_millis(ended)),
    };
    let record = Record::default();
    *record.0.lock().expect("no panic") = vec![run("a", 1, 0, 50), run("b", 2, 49, 90)];
    record.judge();
}
