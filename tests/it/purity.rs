//! What the machine, the policy, the laws and the decisions of the etcd half must never know: time, chance, I/O, async,
//! the shell.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names that have no place in pure code, wherever they stand.
const FORBIDDEN: &[&str] = &[
    "async",
    "await",
    "tokio",
    "tracing",
    "shell",
    "etcd",
    "http", // the layers above
    "Instant",
    "SystemTime", // clocks
    "rand",
    "RandomState",
    "DefaultHasher",
    "HashMap",
    "HashSet", // chance, and order left to chance
    "println",
    "eprintln",
    "print",
    "eprint",
    "dbg", // I/O
    "static",
    "thread_local",
    "unsafe",
    "extern",
    "include", // ways round this test
];

/// All of std that pure code may name.
const STD: &[&str] = &[
    "borrow::Cow",
    "sync::Arc",
    "collections::VecDeque",
    "collections::BTreeMap",
    "collections::BTreeSet",
    "collections::BTreeSet",
    "vec",
    "string",
    "fmt",
];

/// Where a `use` may begin, besides the crate's own modules.
const ROOTS: &[&str] = &["core", "std", "statig", "crate", "self", "super"];

#[test]
fn what_decides_and_what_judges_is_pure() {
    let sources = pure_sources();
    assert!(sources.len() > 20, "found only {sources:?}");
    for source in &sources {
        let text = fs::read_to_string(source).expect("a source file");
        let modules = modules_of(&text);
        for (number, line) in text.lines().enumerate() {
            if let Some(why) = impurity(line, &modules) {
                panic!("{}:{}: {why}: {line}", source.display(), number + 1);
            }
        }
    }
}

/// What decides in the etcd half, besides what is in folders of the same names.
const ETCD: &[&str] = &[
    "basics/backoff",
    "basics/etcd_error",
    "basics/failure_log",
    "basics/config_error",
    "basics/fault",
    "basics/hash",
    "basics/moment",
    "client/expected_cluster",
    "client/exposure",
    "client/cluster_map",
    "client/timing",
    "client/turn",
    "health/alarms",
    "health/answer",
    "health/model",
    "health/check",
    "health/store_identity",
    "health/endpoint_state",
    "health/verdict",
    "health/probe_loop",
    "membership/lease_answer",
    "membership/lease_state",
    "membership/registration",
    "membership/times",
    "membership/wiring",
    "probe/reconnect",
    "prefix_watch/changes",
    "prefix_watch/freshness",
    "prefix_watch/settings",
    "prefix_watch/values",
    "records/copy_check",
    "records/entry",
    "records/key_copy",
    "records/keys",
    "records/foreign_keys",
    "records/not_current",
    "records/size_limit",
    "records/token",
    "shards/claims",
    "shards/follower",
    "shards/handover",
    "shards/list",
    "shards/plan",
    "shards/reconcile",
    "shards/announcer",
    "shards/wiring",
];

/// Names that have no place in what decides in the etcd half either.
const CLIENT: &[&str] = &["etcd_client", "tonic", "Mutex", "Notify", "cfg", "config"];

#[test]
fn what_decides_in_the_etcd_half_is_pure() {
    for source in pure_sources_of_etcd() {
        let text = fs::read_to_string(&source).expect("a source file");
        // Tests are the last that is in a file.
        let code = text
            .split("#[cfg(test)]\nmod tests")
            .next()
            .unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            if let Some(why) = impurity_in_etcd(line, &modules_of(code)) {
                panic!("{}:{}: {why}: {line}", source.display(), number + 1);
            }
        }
    }
}

/// What is only data or text, or serves the tests: no mutant of it could be caught for what it decides.
const NOT_MUTATED: &[&str] = &[
    "etcd/health/answer.rs",
    "etcd/records/entry.rs",
    "etcd/basics/config_error.rs",
    // They look for what the machine can do, and pack what they find.
    "explore",
    "pack",
];

/// `cargo mutants` shows that the tests notice each decision. So it is to look at all that decides, and at nothing else:
/// it has a list of its own, in its configuration.
#[test]
fn all_that_decides_is_mutated() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mutants = fs::read_to_string(root.join(".cargo/mutants.toml")).expect("the list");
    let globs = examined(&mutants);
    assert!(globs.len() > 20, "found only {globs:?}");
    let src = root.join("src");
    let all = pure_sources().into_iter().chain(pure_sources_of_etcd());
    let all: BTreeSet<String> = all
        .filter(|source| !is_test(source))
        .map(|source| {
            source
                .strip_prefix(&src)
                .expect("of ours")
                .display()
                .to_string()
        })
        .collect();
    let is_named = |source: &str| {
        let is_it = |name: &&&str| {
            let rest = source.strip_prefix(**name);
            rest.is_some_and(|rest| rest.is_empty() || rest == ".rs" || rest.starts_with('/'))
        };
        NOT_MUTATED.iter().filter(is_it).count() == 1
    };
    for source in &all {
        let is_examined = globs.iter().any(|glob| matches(glob, source));
        assert_ne!(is_examined, is_named(source), "{source}");
    }
    for glob in &globs {
        let is_pure = all.iter().any(|source| matches(glob, source));
        assert!(is_pure, "{glob} is nothing that decides");
    }
    for name in NOT_MUTATED {
        let is_there = all.iter().any(|source| source.starts_with(name));
        assert!(is_there, "{name} is nothing that decides");
    }
}

#[test]
fn the_list_of_what_is_mutated_is_read_as_it_is_meant() {
    let text = "examine_globs = [\n    \"src/a*\", \"src/a/**\",\n    # \"src/b.rs\"\n    \"src/c.rs\",\n]\n\
                exclude_globs = [\"src/d.rs\"]\n";
    assert_eq!(examined(text), ["a*", "a/**", "c.rs"]);
    for (glob, source, is_meant) in [
        ("a*", "a.rs", true),
        ("a*", "a/b.rs", false),
        ("a*", "b.rs", false),
        ("a/**", "a/b.rs", true),
        ("a/**", "a/b/c.rs", true),
        ("a/**", "a.rs", false),
        ("c.rs", "c.rs", true),
        ("c.rs", "c/d.rs", false),
    ] {
        assert_eq!(matches(glob, source), is_meant, "{glob} {source}");
    }
}

/// A decision goes by the time, and that is a [`Duration`](core::time::Duration) where it is pure. So where the client
/// is used no moments are compared, and nothing is computed from them that is not handed on.
#[test]
fn what_does_io_in_the_etcd_half_decides_nothing_by_the_time() {
    let mut seen = 0;
    for (source, code) in code_that_does_io_in_etcd() {
        seen += 1;
        for (number, line) in code.lines().enumerate() {
            if let Some(why) = decides(line) {
                panic!("{}:{}: {why}: {line}", source.display(), number + 1);
            }
        }
    }
    assert!(seen > 20, "found only {seen}");
}

#[test]
fn the_checks_of_the_etcd_half_bite() {
    for line in [
        "use etcd_client::Client;",
        "use crate::shell::log;",
        "    log(Level::WARN, move |at_ms| {});",
        "use super::config::EtcdConfig;",
        "use tokio::time::Instant;",
        "    let now = std::time::Instant::now();",
        "    memory: Mutex<Memory>,",
        "use std::collections::HashMap;",
        "    async fn renew(&self) {}",
        "#[cfg(feature = \"etcd\")]",
    ] {
        assert!(
            impurity_in_etcd(line, &[]).is_some(),
            "slipped through: {line}"
        );
    }
    for line in [
        "use crate::etcd::cause::Cause;",
        "    \"another cluster is there, and etcd is not the one that is meant\"",
        "        cause.text += \"; does the server want https?\";",
        "#[cfg(test)]",
    ] {
        assert_eq!(impurity_in_etcd(line, &[]), None, "{line}");
    }
    for line in [
        "        if now >= self.looked_at + self.pace.recheck {",
        "        if clock::now() < until {",
        "        match Instant::now() <= until {",
        "        self.next_at = self.next_at.min(now);",
        "        let late = woken_at.saturating_duration_since(wake_at);",
        "        self.failures += 1;",
    ] {
        assert!(decides(line).is_some(), "slipped through: {line}");
    }
    for line in [
        "        let now = clock::now();",
        "        sleep_until(clock::moment_of(wake)).await;",
        "    fn now() -> Option<Duration> {",
    ] {
        assert_eq!(decides(line), None, "{line}");
    }
}

#[test]
fn the_purity_check_bites() {
    let impure = [
        "use std::time::Instant;",
        "use std::time::Duration;",
        "    let now = std::time::SystemTime::now();",
        "use std::collections::HashMap;",
        "use std::collections::{BTreeMap, HashSet};",
        "use std::{fs, sync::Arc};",
        "use std::sync::Mutex;",
        "use std::sync::{Arc, Mutex};",
        "    std::thread::sleep(limit);",
        "use std::hash::RandomState;",
        "use rand::Rng;",
        "use serde::Serialize;",
        "use tokio::time;",
        "    tracing::info!(\"moved\");",
        "use crate::shell::Handle;",
        "use crate::{policy::Plan, etcd};",
        "pub async fn handle() {}",
        "    println!(\"{state:?}\"); // only this once",
        "static COUNT: u8 = 0;",
        "use std as other;",
        "#[path = \"../shell.rs\"]",
    ];
    for line in impure {
        assert!(impurity(line, &[]).is_some(), "slipped through: {line}");
    }
    let pure = [
        "use std::sync::Arc;",
        "use std::collections::VecDeque;",
        "use core::time::Duration;",
        "use statig::blocking::{self, IntoStateMachine};",
        "pub use self::core::Slot;",
        "pub use state::State;",
        "//! The shell reads the clock, tokio's Instant; use rand::Rng.",
        "    /// Never std::time::SystemTime.",
        "    let plan = std::sync::Arc::clone(&plan);",
        "fn name() -> &'static str {",
    ];
    for line in pure {
        assert_eq!(impurity(line, &["state".into()]), None, "{line}");
    }
}

#[test]
fn without_features_only_statig_is_pulled_in() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--no-default-features",
            "--package=overwatch",
            "--edges=normal",
            "--prefix=none",
        ])
        .args([
            "--manifest-path",
            concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
        ])
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tree = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    let names: Vec<_> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(names, ["overwatch", "statig"]);
}

/// The same of a line of the etcd half, whose texts may name etcd and https.
fn impurity_in_etcd(line: &str, modules: &[String]) -> Option<String> {
    let code = line.split("//").next().unwrap_or_default();
    let is_test = code.trim() == "#[cfg(test)]";
    let named = words(code).find(|word| CLIENT.contains(word));
    if let Some(name) = named.filter(|_| !is_test) {
        return Some(format!("`{name}`"));
    }
    if code.contains("log(") || code.contains("::log") {
        return Some("it logs".into());
    }
    // Of a URL no more than this is left.
    let code = code
        .replace("crate::etcd::", "crate::")
        .replace("http:", "");
    impurity(&code.replace("etcd", "it"), modules)
}

/// What decides something in a line of the etcd half that is to do only what is decided.
fn decides(line: &str) -> Option<&'static str> {
    let code = line.split("//").next().unwrap_or_default();
    let names = |name| words(code).any(|word| word == name);
    let is_moment =
        |word: &str| ["now", "until", "deadline"].contains(&word) || word.ends_with("_at");
    let compares = [" < ", " > ", " <= ", " >= "]
        .iter()
        .any(|sign| code.contains(sign));
    if compares && words(code).any(is_moment) {
        return Some("moments are compared");
    }
    if [".min(", ".max("].iter().any(|call| code.contains(call)) && words(code).any(is_moment) {
        return Some("one of two moments is chosen");
    }
    if ["saturating_duration_since", "duration_since", "elapsed"]
        .into_iter()
        .any(names)
    {
        return Some("time is measured");
    }
    let counters = ["failures", "refusals", "attempts", "backoffs"];
    let counts = counters.into_iter().any(names) || code.contains("self.failing");
    counts.then_some("failures are counted")
}

/// What is impure about a line of code, if anything. `modules` are those that its file declares.
fn impurity(line: &str, modules: &[String]) -> Option<String> {
    let code = line
        .split("//")
        .next()
        .unwrap_or_default()
        .replace("'static", "");
    if code.contains("#[path") || code.contains("#[cfg_attr") {
        return Some("source from elsewhere".into());
    }
    if let Some(name) = words(&code).find(|word| FORBIDDEN.contains(word)) {
        return Some(format!("`{name}`"));
    }
    for (at, _) in code.match_indices("std") {
        if !code[..at].ends_with(is_word) && !code[at + 3..].starts_with(is_word) {
            let path = code[at + 3..].trim_start_matches("::");
            let allowed = STD.iter().any(|allowed| {
                path.strip_prefix(allowed)
                    .is_some_and(|rest| !rest.starts_with(is_word))
            });
            if !allowed {
                return Some(format!("`std::{}`", path.trim_end()));
            }
        }
    }
    let import = code
        .trim_start()
        .trim_start_matches("pub ")
        .strip_prefix("use ")?;
    let root = words(import).next()?;
    let known = ROOTS.contains(&root) || modules.iter().any(|module| module == root);
    // An enum's variants are imported by its name.
    let is_type = root.starts_with(char::is_uppercase);
    (!known && !is_type).then(|| format!("`{root}` is no module of ours"))
}

/// The sources that `cargo mutants` is to look at, by patterns below `src`.
fn examined(mutants: &str) -> Vec<&str> {
    let (_, list) = mutants.split_once("examine_globs = [").expect("a list");
    let (list, _) = list.split_once("\n]").expect("its end");
    let lines = list.lines();
    let lines = lines.filter(|line| !line.trim_start().starts_with('#'));
    let globs = lines.flat_map(|line| line.split('"').skip(1).step_by(2));
    globs
        .map(|glob| glob.strip_prefix("src/").expect("below src"))
        .collect()
}

/// Whether a source is of such a pattern.
fn matches(glob: &str, source: &str) -> bool {
    if let Some(folder) = glob.strip_suffix("**") {
        return source.starts_with(folder);
    }
    match glob.strip_suffix('*') {
        Some(begin) => source
            .strip_prefix(begin)
            .is_some_and(|rest| !rest.contains('/')),
        None => glob == source,
    }
}

pub(crate) fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c| !is_word(c)).filter(|word| !word.is_empty())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn modules_of(text: &str) -> Vec<String> {
    let declared = |line: &str| Some(line.strip_prefix("mod ")?.strip_suffix(';')?.to_owned());
    text.lines().filter_map(declared).collect()
}

/// The sources of all that is left without features, but for tests in their midst.
fn pure_sources() -> Vec<PathBuf> {
    [
        "driver", "explore", "law", "machine", "pack", "policy", "pulse", "text",
    ]
    .into_iter()
    .flat_map(sources_of)
    .filter(|source| !source.ends_with("tests.rs"))
    .collect()
}

/// The same of the etcd half.
fn pure_sources_of_etcd() -> Vec<PathBuf> {
    let modules = ETCD.iter().map(|module| format!("etcd/{module}"));
    let all = modules.flat_map(|module| sources_of(&module));
    all.filter(|source| !is_test(source)).collect()
}

/// What is not pure in the etcd half, but for its clock: each file with its code, without its tests.
pub(crate) fn code_that_does_io_in_etcd() -> Vec<(PathBuf, String)> {
    let pure = pure_sources_of_etcd();
    let is_clock = |source: &Path| source.ends_with("etcd/host/clock.rs");
    let mut all = sources_of("etcd");
    all.retain(|source| !pure.contains(source) && !is_test(source) && !is_clock(source));
    all.sort();
    all.into_iter()
        .map(|source| {
            let code = code_of(&source);
            (source, code)
        })
        .collect()
}

/// Without the tests, which are the last that is in a file.
pub(crate) fn code_of(source: &Path) -> String {
    let text = fs::read_to_string(source).expect("a source file");
    let code = text.split("#[cfg(test)]\nmod tests").next();
    code.unwrap_or_default().to_owned()
}

fn is_test(source: &Path) -> bool {
    source.components().any(|part| {
        let part = part.as_os_str();
        part == "tests" || part == "tests.rs"
    })
}

pub(crate) fn sources_of(module: &str) -> Vec<PathBuf> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = vec![src.join(module).with_extension("rs")];
    if src.join(module).is_dir() {
        collect(&src.join(module), &mut sources);
    }
    sources
}

fn collect(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, into);
        } else {
            into.push(path);
        }
    }
}
