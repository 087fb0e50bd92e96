//! Replays the inputs that are kept.

use std::collections::BTreeMap;
use std::fmt::Arguments;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// The check of a target, which notes what was seen on the way.
type Explore = fn(&[u8], &mut dyn FnMut(Arguments<'_>));

/// Checks every input that is kept for a target: `fuzz/corpus` and `fuzz/regressions`. Returns what the
/// corpus reached, and how often.
///
/// # Panics
///
/// If a check fails, or if there is no corpus.
pub fn replay(target: &str, check: fn(&[u8]), explore: Explore) -> BTreeMap<String, u32> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let corpus = files(&fuzz.join("corpus").join(target));
    assert!(!corpus.is_empty(), "there is no corpus for {target}");
    let mut seen = BTreeMap::new();
    let mut note = |what: Arguments<'_>| *seen.entry(what.to_string()).or_default() += 1;
    run_each(&corpus, |data| explore(data, &mut note));
    // Coverage is the task of the corpus: regressions do not count.
    run_each(&files(&fuzz.join("regressions").join(target)), check);
    seen
}

/// Asserts that the corpus reaches all of these. Its bytes have a meaning only as long as they are decoded
/// as they were when the corpus was made.
///
/// # Panics
///
/// If it does not reach something.
pub fn demand(seen: &BTreeMap<String, u32>, all: impl Iterator<Item = String>) {
    let missed: Vec<_> = all.filter(|what| !seen.contains_key(what)).collect();
    assert!(
        missed.is_empty(),
        "the corpus does not reach {missed:#?}, make a new one; it reaches {seen:#?}"
    );
}

fn run_each(files: &[PathBuf], mut run: impl FnMut(&[u8])) {
    for file in files {
        let data = fs::read(file).expect("a file that can be read");
        let ran = catch_unwind(AssertUnwindSafe(|| run(&data)));
        assert!(ran.is_ok(), "{} fails, see above", file.display());
    }
}

/// The files of a directory; none if there is no such directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}
