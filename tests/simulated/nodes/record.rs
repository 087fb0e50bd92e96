//! Who ran which shard when, and the law: a shard runs at one node at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use overwatch::etcd::Shard;

use crate::lock;

/// All runs of all shards. Clones are the same record.
#[derive(Clone, Default)]
pub struct Record(Arc<Mutex<Runs>>);

#[derive(Default)]
struct Runs {
    /// In the order in which they began.
    all: Vec<Run>,
    /// The time where no host runs, and so none tells it.
    now: Duration,
    /// Of a run that had ended, and whose shard said that all is well.
    kept: Option<Run>,
}

/// One incarnation of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The id of the node.
    pub node: String,
    /// The number of the shard.
    pub shard: u32,
    /// The fencing token.
    pub token: i64,
    /// When it began, on the clock of the simulation.
    pub began: Duration,
    /// When the function had returned, or was dropped.
    pub ended: Option<Duration>,
}

impl Run {
    /// That of the claim: a token is it, below a generation.
    pub fn revision(&self) -> i64 {
        self.token & ((1 << 48) - 1)
    }
}

/// Ends the run when it is dropped, as the function is.
pub(super) struct Working {
    record: Record,
    place: usize,
}

impl Record {
    /// Tells the time, between two steps of the simulation.
    pub(super) fn at(&self, now: Duration) {
        lock(&self.0).now = now;
    }

    pub(super) fn begin(&self, node: &str, shard: &Shard) -> Working {
        let mut runs = lock(&self.0);
        let began = runs.clock();
        runs.all.push(Run {
            node: node.to_owned(),
            shard: shard.index(),
            token: shard.token(),
            began,
            ended: None,
        });
        Working {
            record: self.clone(),
            place: runs.all.len() - 1,
        }
    }

    /// Somebody who has kept the shard of a run asks whether it is still this node's. Whether the run goes on.
    pub(super) fn ask(&self, place: usize, shard: &Shard) -> bool {
        let mut runs = lock(&self.0);
        let run = runs.all[place].clone();
        let goes_on = run.ended.is_none();
        if !goes_on && shard.check().is_ok() {
            runs.kept.get_or_insert(run);
        }
        goes_on
    }

    /// All runs, in the order in which they began.
    pub fn runs(&self) -> Vec<Run> {
        lock(&self.0).all.clone()
    }

    /// How many shards each node runs now.
    pub fn running(&self) -> BTreeMap<String, usize> {
        let mut running = BTreeMap::new();
        for run in lock(&self.0).all.iter().filter(|run| run.ended.is_none()) {
            *running.entry(run.node.clone()).or_default() += 1;
        }
        running
    }

    /// Judges each run that goes on.
    ///
    /// # Errors
    ///
    /// That of the first which is not as it must be.
    pub(super) fn judge_unfinished(
        &self,
        judge: impl FnMut(&Run) -> Result<(), String>,
    ) -> Result<(), String> {
        let runs = lock(&self.0);
        let mut unfinished = runs.all.iter().filter(|run| run.ended.is_none());
        unfinished.try_for_each(judge)
    }

    /// The runs that go on.
    #[cfg(test)]
    pub(super) fn unfinished(&self) -> Vec<Run> {
        let all = self.runs().into_iter();
        all.filter(|run| run.ended.is_none()).collect()
    }

    /// Judges all runs so far.
    ///
    /// # Errors
    ///
    /// When two nodes ever ran one shard together, a later owner had no higher token, or a shard said that all is
    /// well after its function had ended.
    pub fn judge(&self) -> Result<(), String> {
        if let Some(run) = &lock(&self.0).kept {
            return Err(format!(
                "who has kept the shard was told that all is well, after {run:?}"
            ));
        }
        never_twice(&self.runs())
    }
}

/// No shard is run twice at any instant, and each owner has a higher token than the one before it.
///
/// # Errors
///
/// Two runs that are against it.
fn never_twice(runs: &[Run]) -> Result<(), String> {
    let mut shards: BTreeMap<u32, Vec<&Run>> = BTreeMap::new();
    for run in runs {
        shards.entry(run.shard).or_default().push(run);
    }
    for (shard, mut runs) in shards {
        // Hosts take turns within a step, so the order of the records is not that of the clock.
        runs.sort_by_key(|run| run.began);
        for pair in runs.windows(2) {
            let [earlier, later] = pair else { continue };
            if earlier.ended.is_none_or(|ended| ended > later.began) {
                return Err(format!(
                    "shard {shard} runs twice: {earlier:?} and {later:?}"
                ));
            }
            let is_fenced = match earlier.node == later.node {
                true => earlier.token <= later.token,
                false => earlier.token < later.token,
            };
            if !is_fenced {
                return Err(format!(
                    "shard {shard} has no higher token: {earlier:?} and {later:?}"
                ));
            }
        }
    }
    Ok(())
}

impl Working {
    pub(super) fn place(&self) -> usize {
        self.place
    }
}

impl Runs {
    fn clock(&self) -> Duration {
        // A host that crashes drops its tasks between two steps.
        turmoil::sim_elapsed().unwrap_or_default().max(self.now)
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        let mut runs = lock(&self.record.0);
        let now = runs.clock();
        runs.all[self.place].ended = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(node: &str, token: i64, began: u64, ended: Option<u64>) -> Run {
        Run {
            node: node.to_owned(),
            shard: 0,
            token,
            began: Duration::from_millis(began),
            ended: ended.map(Duration::from_millis),
        }
    }

    #[test]
    fn two_at_once_and_stale_tokens_are_found() {
        for (runs, is_fair) in [
            (vec![run("a", 1, 0, Some(50)), run("b", 2, 50, None)], true),
            (vec![run("b", 2, 50, None), run("a", 1, 0, Some(50))], true),
            (vec![run("a", 1, 0, Some(50)), run("a", 1, 60, None)], true),
            (
                vec![run("a", 1, 0, Some(50)), run("b", 2, 49, Some(90))],
                false,
            ),
            (vec![run("a", 1, 0, None), run("b", 2, 50, None)], false),
            (vec![run("a", 1, 0, Some(50)), run("b", 1, 60, None)], false),
            (vec![run("a", 2, 0, Some(50)), run("a", 1, 60, None)], false),
        ] {
            assert_eq!(never_twice(&runs).is_ok(), is_fair, "{runs:?}");
        }
    }
}
