//! From what the jobs wrote down to what was promised: pure, with no clock and no files.
//!
//! A *run* is one job of one process, from its start to the last sign that it was active. Two runs of
//! the same shard must not *overlap*, and the *gap* between one and the next is limited.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::record::{Kind, Line};

/// All that one process did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trail {
    /// The node that it was.
    pub(crate) node: usize,
    pub(crate) lines: Vec<Line>,
    /// When it was frozen.
    pub(crate) frozen: Vec<Spell>,
    /// When it was killed, or had ended.
    pub(crate) ended: Option<u64>,
}

/// From when to when; without an end as long as it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spell {
    pub(crate) from: u64,
    pub(crate) until: Option<u64>,
}

/// Two runs of a shard which were active together, or in the wrong order. This is about the later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Overlap {
    pub(crate) at: u64,
    pub(crate) shard: u32,
    pub(crate) what: What,
    /// The nodes.
    pub(crate) one: usize,
    pub(crate) other: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The second began before the first was over, by so many nanoseconds.
    Together(u64),
    /// The second worked under a token no higher than the first's, which had begun before.
    Backwards,
}

/// How long nobody worked on a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) shard: u32,
    pub(crate) from: u64,
    pub(crate) until: u64,
    /// The trail of the run before it.
    pub(crate) left: usize,
    /// The nodes before and after it.
    pub(crate) one: usize,
    pub(crate) other: usize,
}

impl Gap {
    pub(crate) fn length(&self) -> Duration {
        Duration::from_nanos(self.until - self.from)
    }

    /// Whether the shard went to another node.
    pub(crate) fn is_move(&self) -> bool {
        self.one != self.other
    }
}

/// What is in the record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) overlaps: Vec<Overlap>,
    /// Also those of no length: one for each run after the first.
    pub(crate) gaps: Vec<Gap>,
}

impl Found {
    /// All that there is in the trails. A job that has not stopped is active until `now`.
    ///
    /// When etcd's store is put back to an earlier state, tokens may go back with it: they are revisions of
    /// that store. So at each of the moments in `restored` they begin anew.
    pub(crate) fn of(trails: &[&Trail], restored: &[u64], now: u64) -> Self {
        let mut shards: BTreeMap<u32, Vec<Run>> = BTreeMap::new();
        for (number, trail) in trails.iter().enumerate() {
            for run in runs(number, trail, now) {
                shards.entry(run.shard).or_default().push(run);
            }
        }
        let mut found = Self::default();
        for runs in shards.values_mut() {
            runs.sort_by_key(|run| run.from);
            found.neighbours(trails, runs);
            found.backwards(trails, runs, restored);
        }
        found
    }

    /// What happened from then until then.
    pub(crate) fn between(&self, from: u64, until: u64) -> Self {
        let within = |at: u64| (from..until).contains(&at);
        let overlaps = self.overlaps.iter().filter(|overlap| within(overlap.at));
        let gaps = self.gaps.iter().filter(|gap| within(gap.until));
        Self {
            overlaps: overlaps.cloned().collect(),
            gaps: gaps.cloned().collect(),
        }
    }

    /// The same of each shard by itself.
    pub(crate) fn by_shard(&self) -> BTreeMap<u32, Self> {
        let mut shards: BTreeMap<u32, Self> = BTreeMap::new();
        for gap in &self.gaps {
            shards.entry(gap.shard).or_default().gaps.push(gap.clone());
        }
        for overlap in &self.overlaps {
            let found = shards.entry(overlap.shard).or_default();
            found.overlaps.push(overlap.clone());
        }
        shards
    }

    /// How often a shard went to another node.
    pub(crate) fn moves(&self) -> usize {
        self.gaps.iter().filter(|gap| gap.is_move()).count()
    }

    /// Holds each run against the one before it that lasted longest.
    fn neighbours(&mut self, trails: &[&Trail], runs: &[Run]) {
        let mut last: Option<&Run> = None;
        for run in runs {
            if let Some(last) = last {
                let (one, other) = (trails[last.trail].node, trails[run.trail].node);
                if run.from < last.until {
                    self.overlaps.push(Overlap {
                        at: run.from,
                        shard: run.shard,
                        what: What::Together(last.until.min(run.until) - run.from),
                        one,
                        other,
                    });
                }
                self.gaps.push(Gap {
                    shard: run.shard,
                    from: last.until.min(run.from),
                    until: run.from,
                    left: last.trail,
                    one,
                    other,
                });
            }
            if last.is_none_or(|last| last.until < run.until) {
                last = Some(run);
            }
        }
    }

    /// Holds each sign of work against the highest token before it, of the same state of the store. What
    /// goes on from before a restore has its token from the state before.
    fn backwards(&mut self, trails: &[&Trail], runs: &[Run], restored: &[u64]) {
        let mut work: Vec<(u64, &Run)> = runs
            .iter()
            .flat_map(|run| run.work.iter().map(move |&at| (at, run)))
            .collect();
        work.sort_by_key(|(at, _)| *at);
        let mut highest: BTreeMap<usize, &Run> = BTreeMap::new();
        let mut told = BTreeSet::new();
        for (at, run) in work {
            let state = restored.partition_point(|&restored| restored <= run.from);
            let other = *highest.entry(state).or_insert(run);
            if run.token > other.token {
                highest.insert(state, run);
            } else if (run.trail, run.token) != (other.trail, other.token)
                && told.insert((run.trail, run.run))
            {
                self.overlaps.push(Overlap {
                    at,
                    shard: run.shard,
                    what: What::Backwards,
                    one: trails[other.trail].node,
                    other: trails[run.trail].node,
                });
            }
        }
    }
}

/// One job of one process.
#[derive(Debug)]
struct Run {
    trail: usize,
    run: u32,
    shard: u32,
    token: i64,
    from: u64,
    until: u64,
    /// When it was started, and when its units of work began.
    work: Vec<u64>,
}

fn runs(number: usize, trail: &Trail, now: u64) -> Vec<Run> {
    let mut lines: BTreeMap<u32, Vec<&Line>> = BTreeMap::new();
    for line in &trail.lines {
        lines.entry(line.run).or_default().push(line);
    }
    let run = |(run, mut lines): (u32, Vec<&Line>)| {
        lines.sort_by_key(|line| line.at);
        let first = *lines.first()?;
        let starts = |kind| matches!(kind, Kind::Start | Kind::Begin);
        let work = lines.iter().filter(|line| starts(line.kind));
        Some(Run {
            trail: number,
            run,
            shard: first.shard,
            token: first.token,
            from: first.at,
            until: until(trail, &lines, now),
            work: work.map(|line| line.at).collect(),
        })
    };
    lines.into_iter().filter_map(run).collect()
}

/// When a run was active last.
///
/// A process that was frozen does nothing meanwhile, and cannot know it. When it wakes up, the end of
/// what it had begun, and that the job stops, are no work, and prolong nothing. But work that it
/// begins then does, over all of the time that it was frozen.
fn until(trail: &Trail, lines: &[&Line], now: u64) -> u64 {
    let open = lines.iter().all(|line| line.kind != Kind::Stop);
    // Without a `stop` it was active until its process was not.
    let end = open.then(|| trail.ended.unwrap_or(now));
    let first = lines.first().map_or(0, |line| line.at);
    let last = lines.last().map_or(0, |line| line.at);
    let mut until = last.max(end.unwrap_or(0));
    for spell in trail.frozen.iter().rev() {
        let thawed = spell.until.unwrap_or(u64::MAX);
        let has_worked = |line: &&Line| line.kind == Kind::Begin && line.at >= thawed;
        // A job that goes on was not stopped by it; it is active as its process is.
        let goes_on = open && spell.until.is_some() && trail.ended.is_none();
        if first < spell.from && spell.from < until && !goes_on && !lines.iter().any(has_worked) {
            let seen = lines.iter().rev().find(|line| line.at < thawed);
            until = seen.map_or(spell.from, |line| line.at.max(spell.from));
        }
    }
    until
}

#[cfg(test)]
mod tests;
