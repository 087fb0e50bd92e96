//! The lines that are printed, and the statistics of rounds.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use overwatch_marked::Marked;

/// What a figure is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    AtMost(f64),
    Below(f64),
    AtLeast(f64),
    Exactly(f64),
    /// It is only shown.
    None,
}

impl Limit {
    fn allows(self, figure: f64) -> bool {
        match self {
            Self::AtMost(limit) => figure <= limit,
            Self::Below(limit) => figure < limit,
            Self::AtLeast(limit) => figure >= limit,
            Self::Exactly(wanted) => figure == wanted,
            Self::None => true,
        }
    }

    fn shown(self) -> String {
        match self {
            Self::AtMost(limit) => format!("<= {limit}"),
            Self::Below(limit) => format!("< {limit}"),
            Self::AtLeast(limit) => format!(">= {limit}"),
            Self::Exactly(wanted) => format!("= {wanted}"),
            Self::None => "-".into(),
        }
    }
}

/// Where a document has these lines.
const TABLE: Marked<'_> = Marked {
    name: "benches",
    heading: "\
| what | median | least to most | limit | kept | |
| --- | --- | --- | --- | --- | --- |",
    key: 0..1,
};

/// Prints lines, and remembers them and whether all limits were kept.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    broken: usize,
    rows: Vec<String>,
}

impl Lines {
    /// What stands above the lines.
    pub(crate) const HEAD: &str = "what                                                     median  least..most        limit     kept";

    /// One figure of many rounds; it is the median that counts.
    pub(crate) fn rounds(&mut self, what: &str, figures: &[f64], limit: Limit, more: impl Display) {
        let mut figures = figures.to_vec();
        figures.sort_by(f64::total_cmp);
        let spread = format!("{:.2}..{:.2}", figures[0], figures[figures.len() - 1]);
        let rounds = figures.len();
        let more = format!("{rounds} rounds; {more}");
        self.print(what, median(&figures), &spread, limit, &more);
    }

    /// One figure that does not wobble.
    pub(crate) fn exact(&mut self, what: &str, figure: f64, limit: Limit, more: impl Display) {
        self.print(what, figure, "exact", limit, &more.to_string());
    }

    /// What could not be measured is not kept.
    pub(crate) fn missing(&mut self, what: &str, why: &str) {
        self.print(what, f64::NAN, "not measured", Limit::AtMost(0.0), why);
    }

    fn print(&mut self, what: &str, figure: f64, spread: &str, limit: Limit, more: &str) {
        let kept = match limit {
            Limit::None => "-",
            _ if limit.allows(figure) => "yes",
            _ => {
                self.broken += 1;
                "NO"
            }
        };
        let limit = limit.shown();
        println!("{what:<53} {figure:>9.3}  {spread:<17}  {limit:<8}  {kept:<4}  {more}");
        let mark = if kept == "NO" { "**" } else { "" };
        self.rows.push(format!(
            "| {what} | {mark}{figure:.3}{mark} | {spread} | {limit} | {mark}{kept}{mark} | {more} |"
        ));
    }

    /// Puts the lines into the table of a document.
    pub(crate) fn write(&self, document: &Path) -> Result<(), String> {
        TABLE.write(document, &self.rows)
    }

    pub(crate) fn all_kept(&self) -> bool {
        self.broken == 0
    }
}

/// Lets some do the same by turns, so that whatever else the machine does burdens them all alike.
/// What each yielded, round by round; what it yields while the machine warms up is left out.
pub(crate) fn by_turns<T, const N: usize>(
    warm_up: usize,
    rounds: usize,
    mut each: impl FnMut(usize) -> T,
) -> [Vec<T>; N] {
    let mut yielded = [(); N].map(|()| Vec::new());
    for round in 0..warm_up + rounds {
        // Whoever goes first is another one each time, and so is who goes before whom: each leaves
        // the heap as the next one finds it.
        for turn in 0..N {
            let who = match (round / N) % 2 {
                0 => (round + turn) % N,
                _ => (round + N - turn) % N,
            };
            let one = each(who);
            if round >= warm_up {
                yielded[who].push(one);
            }
        }
    }
    yielded
}

/// The ratio in each round.
pub(crate) fn ratios(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter()
        .zip(theirs)
        .map(|(ours, theirs)| ours / theirs)
        .collect()
}

pub(crate) fn median(figures: &[f64]) -> f64 {
    percentile(figures, 50)
}

/// The least that is not exceeded by so many of a hundred.
pub(crate) fn percentile(figures: &[f64], part: usize) -> f64 {
    let mut figures = figures.to_vec();
    figures.sort_by(f64::total_cmp);
    figures[(figures.len() * part).div_ceil(100) - 1]
}

pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// How long this thread has been at work: what others do meanwhile is not counted.
pub(crate) fn on_the_core() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_counts_and_a_limit_can_be_broken() {
        let mut lines = Lines::default();
        lines.rounds("a", &[9.0, 1.0, 2.0], Limit::AtMost(2.0), "");
        lines.rounds("b", &[9.0, 1.0, 2.0], Limit::AtLeast(2.0), "");
        assert!(lines.all_kept());
        lines.rounds("c", &[9.0, 1.0, 2.0], Limit::Below(2.0), "");
        assert!(!lines.all_kept());
        let mut lines = Lines::default();
        lines.exact("d", 1.0, Limit::Exactly(1.0), "");
        assert!(lines.all_kept());
        lines.exact("e", 0.0, Limit::Exactly(1.0), "");
        assert!(!lines.all_kept());
    }

    #[test]
    fn a_document_shows_in_bold_what_is_missed() {
        let mut lines = Lines::default();
        lines.exact("a", 2.0, Limit::AtMost(1.0), "more");
        lines.exact("b", 2.0, Limit::AtMost(2.0), "");
        let wanted = [
            "| a | **2.000** | exact | <= 1 | **NO** | more |",
            "| b | 2.000 | exact | <= 2 | yes |  |",
        ];
        assert_eq!(lines.rows, wanted);
    }

    #[test]
    fn a_percentile_is_a_figure_that_was_seen() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!((median(&hundred), percentile(&hundred, 99)), (50.0, 99.0));
        assert_eq!((median(&[3.0]), percentile(&[2.0, 1.0], 99)), (3.0, 2.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
    }

    #[test]
    fn what_was_not_measured_is_not_kept() {
        let mut lines = Lines::default();
        lines.exact("a", f64::NAN, Limit::AtMost(1.0), "");
        assert!(!lines.all_kept());
        let mut lines = Lines::default();
        lines.missing("b", "no valgrind");
        assert!(!lines.all_kept());
    }

    #[test]
    fn each_has_its_turns() {
        let mut turns = Vec::new();
        let [a, b, _] = by_turns::<_, 3>(1, 5, |who| {
            turns.push(who);
            turns.len()
        });
        let rounds: Vec<_> = turns.chunks(3).collect();
        let there = [[0, 1, 2], [1, 2, 0], [2, 0, 1]];
        let back = [[0, 2, 1], [1, 0, 2], [2, 1, 0]];
        assert_eq!(rounds, [there, back].concat());
        assert_eq!(a, [6, 8, 10, 14, 18]);
        assert_eq!(b, [4, 9, 12, 13, 17]);
    }
}
