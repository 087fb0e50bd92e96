//! What the documents point to is there.

use std::fs;
use std::path::Path;

/// The documents of a checkout that speak of its files.
const DOCUMENTS: &[&str] = &[
    "BENCHMARKING.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "docs/cluster-faults.md",
    "docs/fault-matrix.md",
];

/// Where files are that a document may name.
const FOLDERS: &[&str] = &["benches/", "docs/", "examples/", "fuzz/", "src/", "tests/"];

#[test]
fn each_path_in_a_document_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut seen, mut dead) = (0, Vec::new());
    for document in DOCUMENTS {
        let text = fs::read_to_string(root.join(document)).expect("a document");
        for path in paths(&text) {
            seen += 1;
            if !leads_somewhere(root, path) {
                dead.push(format!("{document}: {path}"));
            }
        }
    }
    assert!(seen > 40, "found only {seen}");
    assert!(dead.is_empty(), "nothing is there any more: {dead:#?}");
}

#[test]
fn dead_paths_are_found() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (path, is_there) in [
        ("src/lib.rs", true),
        ("src/machine*", true),
        ("src/machine/*.rs", true),
        ("tests/it", true),
        ("fuzz/regressions/TARGET", true),
        ("src/shell/no_such.rs", false),
        ("src/no_such*", false),
        ("src/no_such/*.rs", false),
    ] {
        assert_eq!(leads_somewhere(root, path), is_there, "{path}");
    }
    let text = "see `src/lib.rs`, and `cargo run` or `tests/it/x y`";
    assert_eq!(paths(text).collect::<Vec<_>>(), ["src/lib.rs"]);
}

/// What stands in backticks and is a path into one of the folders.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text
        .lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    quoted.filter(|path| {
        FOLDERS.iter().any(|folder| path.starts_with(folder)) && !path.contains([' ', '(', '"'])
    })
}

/// Whether there is such a file or folder, or any that begins like that if a `*` follows. What is in capitals stands for
/// a name.
fn leads_somewhere(root: &Path, path: &str) -> bool {
    let sure = path.split(['*', '{']).next().unwrap_or_default();
    let is_name = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_uppercase());
    let sure = match sure.rsplit_once('/') {
        Some((folder, last)) if is_name(last) => folder,
        _ => sure,
    };
    if sure.len() == path.len() || sure.ends_with('/') {
        return root.join(sure).exists();
    }
    let (folder, begin) = sure.rsplit_once('/').unwrap_or(("", sure));
    let entries = fs::read_dir(root.join(folder)).into_iter().flatten();
    let mut names = entries.flatten().map(|entry| entry.file_name());
    names.any(|name| name.to_string_lossy().starts_with(begin))
}
