//! From what the judge has found to whether promises were kept.

use std::fmt;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::judge::{Gap, Overlap, What};

/// Just before a fault a job may have been active last.
const JUST_BEFORE: Duration = Duration::from_secs(1);

/// How long a gap may be; none if it is told and no more.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allowed {
    /// Where the fault has struck.
    pub(crate) struck: Option<Duration>,
    /// Where a shard moves for the sake of balance.
    pub(crate) other: Option<Duration>,
}

/// The longest of some gaps, and how long it may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Longest {
    pub(crate) gap: Option<Duration>,
    pub(crate) allowed: Option<Duration>,
}

impl Longest {
    pub(crate) fn of(gaps: &[&Gap], allowed: Option<Duration>) -> Self {
        let gap = gaps.iter().map(|gap| gap.length()).max();
        Self { gap, allowed }
    }
}

impl fmt::Display for Longest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(gap) = self.gap else {
            return f.write_str("-");
        };
        write!(f, "{:.2}", gap.as_secs_f64())?;
        match self.allowed {
            Some(allowed) => write!(f, " ({})", allowed.as_secs()),
            None => Ok(()),
        }
    }
}

/// The process that a fault has struck, and when it had it in its grip.
pub(crate) struct Struck {
    pub(crate) process: usize,
    pub(crate) from: u64,
    pub(crate) until: u64,
}

impl Struck {
    /// Whether the fault has made this gap: the shard was this process's, until the fault took it.
    fn has_made(&self, gap: &Gap) -> bool {
        let from = self.from.saturating_sub(JUST_BEFORE.as_nanos() as u64);
        gap.left == self.process && (from..self.until).contains(&gap.from)
    }
}

/// What is known of a fault besides the records.
#[derive(Default)]
pub(crate) struct Made {
    pub(crate) struck: Option<Struck>,
    /// When everything was healed.
    pub(crate) healed: u64,
    /// How many moves there must be at least, where that can be told.
    pub(crate) least: Option<usize>,
    pub(crate) notes: Vec<String>,
    /// Promises that were broken, besides those that the records tell of.
    pub(crate) broken: Vec<String>,
}

/// What became of one fault.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) moves: usize,
    /// How many moves there must be at least, where that can be told.
    pub(crate) least: Option<usize>,
    pub(crate) struck: Longest,
    pub(crate) other: Longest,
    pub(crate) overlaps: usize,
    /// From healing until all was well again; none if it never was.
    pub(crate) balanced: Option<Duration>,
    pub(crate) notes: Vec<String>,
    pub(crate) broken: Vec<String>,
}

/// What the records say of it.
pub(crate) fn row(
    cluster: &Cluster,
    name: &'static str,
    allowed: Allowed,
    (from, until): (u64, u64),
    made: &Made,
    outcome: &Result<u64, String>,
) -> Row {
    let found = cluster.found().between(from, until);
    // Where nothing is promised no difference is made.
    let is_struck = |gap: &&Gap| {
        let struck = made.struck.as_ref();
        allowed.other.is_none() || struck.is_some_and(|struck| struck.has_made(gap))
    };
    let (struck, other): (Vec<&Gap>, Vec<&Gap>) = found.gaps.iter().partition(is_struck);
    let mut broken = made.broken.clone();
    for (gaps, allowed) in [(&struck, allowed.struck), (&other, allowed.other)] {
        let Some(allowed) = allowed else { continue };
        for gap in gaps.iter().filter(|gap| gap.length() > allowed) {
            let Gap { shard, .. } = gap;
            let (length, one, other) = (gap.length(), cluster.id(gap.one), cluster.id(gap.other));
            broken.push(format!(
                "shard {shard} ran nowhere for {length:.2?} between {one} and {other}, allowed \
                 {allowed:?}"
            ));
        }
    }
    for Overlap {
        shard,
        what,
        one,
        other,
        ..
    } in &found.overlaps
    {
        let (one, other) = (cluster.id(*one), cluster.id(*other));
        broken.push(match what {
            What::Together(nanos) => {
                let time = Duration::from_nanos(*nanos);
                format!("shard {shard} ran on {one} and on {other} together for {time:.2?}")
            }
            What::Backwards => format!(
                "shard {shard} was worked on by {other} under a token no higher than that of {one}, \
                 which had begun before"
            ),
        });
    }
    Row {
        name,
        moves: found.moves(),
        least: made.least,
        struck: Longest::of(&struck, allowed.struck),
        other: Longest::of(&other, allowed.other),
        overlaps: found.overlaps.len(),
        balanced: outcome
            .as_ref()
            .ok()
            .map(|at| Duration::from_nanos(at.saturating_sub(made.healed.max(from)))),
        notes: made.notes.clone(),
        broken,
    }
}
