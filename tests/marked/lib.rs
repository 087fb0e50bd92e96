#![forbid(unsafe_code)]
//! Tables in documents that commands write.
//!
//! A document has a place for each table, between `<!-- rows: NAME -->` and `<!-- end of rows -->`.

use std::fs;
use std::ops::Range;
use std::path::Path;

const END: &str = "<!-- end of rows -->";

/// A table in a document.
#[derive(Clone, Debug)]
pub struct Marked<'a> {
    /// The name at its marker.
    pub name: &'a str,
    /// The two lines above the rows.
    pub heading: &'a str,
    /// Which cells say what a row is about. The others hold what was measured.
    pub key: Range<usize>,
}

impl Marked<'_> {
    /// Puts rows into the table: each replaces the row about the same, or is added at the end. All
    /// other rows stay, so that a run that measures a part replaces only that. Without rows it only
    /// finds out whether the document has such a table.
    ///
    /// # Errors
    ///
    /// If the document cannot be read or written, or has no such table.
    pub fn write(&self, document: &Path, rows: &[String]) -> Result<(), String> {
        let shown = document.display();
        let text = fs::read_to_string(document).map_err(|error| format!("{shown}: {error}"))?;
        let text = self.replaced(&text, rows);
        let text = text.ok_or_else(|| format!("{shown} has no table {:?}", self.name))?;
        if rows.is_empty() {
            return Ok(());
        }
        fs::write(document, text).map_err(|error| format!("{shown}: {error}"))
    }

    /// The text with these rows; none if it has no such table.
    fn replaced(&self, text: &str, rows: &[String]) -> Option<String> {
        let begin = format!("<!-- rows: {} -->\n", self.name);
        let (before, rest) = text.split_once(&begin)?;
        let (table, after) = rest.split_once(END)?;
        // What is no row, such as a remark that nothing was measured yet, is left out.
        let found = table.lines().filter(|line| line.starts_with('|')).skip(2);
        let mut all: Vec<&str> = found.collect();
        for row in rows {
            match all.iter_mut().find(|old| self.key(old) == self.key(row)) {
                Some(old) => *old = row,
                None => all.push(row),
            }
        }
        let all: String = all.iter().map(|row| format!("{row}\n")).collect();
        Some(format!(
            "{before}{begin}{}\n{all}{END}{after}",
            self.heading
        ))
    }

    fn key<'a>(&self, row: &'a str) -> Vec<&'a str> {
        let cells = row.trim_matches('|').split('|').map(str::trim);
        cells.skip(self.key.start).take(self.key.len()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Marked<'_> = Marked {
        name: "a",
        heading: "| version | what | seconds |\n| --- | --- | --- |",
        key: 1..2,
    };

    fn written(text: &str, rows: &[&str]) -> Option<String> {
        let rows: Vec<String> = rows.iter().map(|row| (*row).to_owned()).collect();
        TABLE.replaced(text, &rows)
    }

    #[test]
    fn only_what_was_measured_is_replaced() {
        let text = "before\n<!-- rows: b -->\n| other |\n<!-- end of rows -->\nbetween\n\
            <!-- rows: a -->\n| old | heading | |\n| --- | --- | --- |\n| 1 | hung | 3 |\n\
            | 1 | killed | 4 |\n<!-- end of rows -->\nafter\n";
        let wanted = "before\n<!-- rows: b -->\n| other |\n<!-- end of rows -->\nbetween\n\
            <!-- rows: a -->\n| version | what | seconds |\n| --- | --- | --- |\n| 2 | hung | 5 |\n\
            | 1 | killed | 4 |\n| 2 | slow | 6 |\n<!-- end of rows -->\nafter\n";
        let rows = ["| 2 | hung | 5 |", "| 2 | slow | 6 |"];
        assert_eq!(written(text, &rows).as_deref(), Some(wanted));
        assert_eq!(written(wanted, &rows).as_deref(), Some(wanted));
    }

    #[test]
    fn the_first_rows_replace_a_remark() {
        let text = "<!-- rows: a -->\nNothing yet.\n<!-- end of rows -->\n";
        let wanted = "<!-- rows: a -->\n| version | what | seconds |\n| --- | --- | --- |\n\
            | 2 | hung | 5 |\n<!-- end of rows -->\n";
        assert_eq!(
            written(text, &["| 2 | hung | 5 |"]).as_deref(),
            Some(wanted)
        );
    }

    #[test]
    fn a_document_without_the_table_is_refused() {
        assert_eq!(written("no marker\n", &[]), None);
        assert_eq!(written("<!-- rows: a -->\nno end\n", &[]), None);
        let missing = TABLE.write(Path::new("/nonexistent"), &[]).unwrap_err();
        assert!(missing.contains("/nonexistent"), "{missing}");
    }
}
