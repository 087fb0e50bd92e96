//! What single shards and processes did, for faults that have more to tell than overlaps and gaps.

use std::time::Duration;

use super::Cluster;
use crate::process::Said;
use crate::record::{Kind, now};

impl Cluster {
    /// What the process that a node is said of itself.
    pub(crate) fn said(&self, node: usize) -> Result<Said, String> {
        Ok(self.processes[self.process(node)?].said())
    }

    /// The shards whose jobs run on a node.
    pub(crate) fn shards_of(&self, node: usize) -> Vec<u32> {
        let process = self.nodes[node].process;
        let jobs = process.map(|process| &self.processes[process].jobs);
        jobs.into_iter()
            .flat_map(|jobs| jobs.values().copied())
            .collect()
    }

    /// How many jobs a process has started, in all.
    pub(crate) fn started_by(&self, process: usize) -> usize {
        let lines = self.processes[process].trail.lines.iter();
        lines.filter(|line| line.kind == Kind::Start).count()
    }

    /// How long after a moment a shard was worked on by whoever had it then. None if nobody had it, or
    /// nothing was done any more.
    pub(crate) fn worked_after(&self, shard: u32, moment: u64) -> Option<Duration> {
        let last = |process: &super::Process| {
            let lines = || {
                process
                    .trail
                    .lines
                    .iter()
                    .filter(|line| line.shard == shard)
            };
            let first = lines().rfind(|line| line.kind == Kind::Start && line.at <= moment)?;
            let of_run = || lines().filter(|line| line.run == first.run);
            let is_over = of_run().any(|line| line.kind == Kind::Stop);
            let last = match process.trail.ended {
                _ if is_over => of_run().map(|line| line.at).max()?,
                Some(ended) => ended,
                None => now(),
            };
            last.checked_sub(moment).filter(|&nanos| nanos > 0)
        };
        let nanos = self.processes.iter().filter_map(last).max()?;
        Some(Duration::from_nanos(nanos))
    }
}
