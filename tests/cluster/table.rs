//! What is said at the end.

use std::cmp::Reverse;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::fault::Fault;
use crate::judge::Found;
use crate::verdict::Row;
use overwatch_marked::Marked;

impl Row {
    fn cells(&self) -> [String; 6] {
        let least = self.least.map(|least| format!(" ({least})"));
        let balanced = self
            .balanced
            .map(|time| format!("{:.2}", time.as_secs_f64()));
        [
            self.name.to_owned(),
            format!("{}{}", self.moves, least.unwrap_or_default()),
            self.struck.to_string(),
            self.other.to_string(),
            self.overlaps.to_string(),
            balanced.unwrap_or_else(|| "never".into()),
        ]
    }
}

/// Puts rows into the table that a document has for this version of etcd and so many members.
pub(crate) fn write(
    document: &Path,
    version: &str,
    members: usize,
    rows: &[Row],
) -> Result<(), String> {
    let minor: Vec<&str> = version.split('.').take(2).collect();
    let table = Marked {
        name: &format!("etcd {}, members: {members}", minor.join(".")),
        heading: "\
| etcd | fault | longest gap, s (allowed) | moves (least) | jobs that ran twice | kept |
| --- | --- | --- | --- | --- | --- |",
        // The fault: the first cell has the exact version.
        key: 1..2,
    };
    table.write(document, &lines(version, rows))
}

/// The lines of a document's table: one for each fault, and none for what was seen before the first and after the last.
pub(crate) fn lines(version: &str, rows: &[Row]) -> Vec<String> {
    let of_faults = rows.iter().filter(|row| Fault::named(row.name).is_some());
    of_faults.map(|row| row.line(version)).collect()
}

impl Row {
    /// As a row of the document's table.
    fn line(&self, version: &str) -> String {
        let [fault, moves, gap, _, twice, _] = self.cells();
        let kept = if self.broken.is_empty() {
            "yes"
        } else {
            "**no**"
        };
        format!("| {version} | {fault} | {gap} | {moves} | {twice} | {kept} |")
    }
}

const HEADING: [&str; 6] = [
    "fault",
    "moves (least)",
    "longest gap, s (allowed)",
    "of a rebalance, s (allowed)",
    "overlaps",
    "in balance after, s",
];

/// All rows, and then what was noted and which promises were broken.
pub(crate) struct Table<'a>(pub(crate) &'a [Row]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<[String; 6]> = self.0.iter().map(Row::cells).collect();
        write_table(f, HEADING, &rows)?;
        for row in self.0 {
            for note in &row.notes {
                writeln!(f, "{}: {note}", row.name)?;
            }
        }
        for row in self.0 {
            for broken in &row.broken {
                writeln!(f, "BROKEN: {}: {broken}", row.name)?;
            }
        }
        Ok(())
    }
}

/// What became of each job over the whole time: so many of them as fit on a page, the worst first.
pub(crate) struct Jobs<'a>(pub(crate) &'a Found);

impl fmt::Display for Jobs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shards = self.0.by_shard();
        let mut jobs: Vec<(usize, Duration, [String; 6])> = shards
            .iter()
            .map(|(shard, found)| {
                let gaps = || found.gaps.iter().map(|gap| gap.length());
                let longest = gaps().max().unwrap_or_default();
                let seconds = |time: Duration| format!("{:.2}", time.as_secs_f64());
                let cells = [
                    shard.to_string(),
                    (found.gaps.len() + 1).to_string(),
                    found.moves().to_string(),
                    seconds(longest),
                    seconds(gaps().sum()),
                    found.overlaps.len().to_string(),
                ];
                (found.overlaps.len(), longest, cells)
            })
            .collect();
        let left_out = jobs.len().saturating_sub(MOST_JOBS);
        if left_out > 0 {
            jobs.sort_by_key(|job| Reverse((job.0, job.1)));
            jobs.truncate(MOST_JOBS);
        }
        let rows: Vec<[String; 6]> = jobs.into_iter().map(|(_, _, cells)| cells).collect();
        write_table(f, JOBS_HEADING, &rows)?;
        if left_out > 0 {
            writeln!(f, "{left_out} more jobs, none of them worse")?;
        }
        Ok(())
    }
}

const JOBS_HEADING: [&str; 6] = [
    "job",
    "runs",
    "moves",
    "longest gap, s",
    "all gaps, s",
    "overlaps",
];
const MOST_JOBS: usize = 40;

fn write_table(
    f: &mut fmt::Formatter<'_>,
    heading: [&str; 6],
    rows: &[[String; 6]],
) -> fmt::Result {
    let widths: [usize; 6] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row[column].len());
        cells.max().unwrap_or(0).max(heading[column].len())
    });
    let mut line = |cells: &[String; 6]| {
        for (cell, width) in cells.iter().zip(widths) {
            write!(f, "| {cell:width$} ")?;
        }
        writeln!(f, "|")
    };
    line(&heading.map(str::to_owned))?;
    line(&widths.map(|width| "-".repeat(width)))?;
    rows.iter().try_for_each(line)
}
