//! What is said at the end.

use std::fmt;

use crate::verdict::Row;

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
        let widths: [usize; 6] = std::array::from_fn(|column| {
            let cells = rows.iter().map(|row| row[column].len());
            cells.max().unwrap_or(0).max(HEADING[column].len())
        });
        let mut line = |cells: &[String; 6]| {
            for (cell, width) in cells.iter().zip(widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")
        };
        line(&HEADING.map(str::to_owned))?;
        line(&widths.map(|width| "-".repeat(width)))?;
        rows.iter().try_for_each(line)?;
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
