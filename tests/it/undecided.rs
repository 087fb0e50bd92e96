//! The shell decides nothing: what it knows of the machine it only carries out or says.
//!
//! A decision that goes by where the machine is must name that. So it is listed which files of the shell
//! name anything of the machine's, and in those that see its steps, each line which goes by them. A line
//! that is new here is to be looked at: if it decides what the machine is told, or when, it belongs into
//! `driver` or `machine`, where it is explored.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use expect_test::expect;

/// What tells where the machine is, and what it is told.
const NAMES: &[&str] = &[
    "Input", "Phase", "Slot", "State", "Step", "Timer", "Machine", "Hops",
];

/// The files of the shell that name any of these, and which.
const NAMED: &[(&str, &[&str])] = &[
    // What is carried out.
    ("supervisor.rs", &["Slot", "Step"]),
    ("supervisor/effects.rs", &["Slot"]),
    (
        "supervisor/follow.rs",
        &["Input", "Phase", "Slot", "Step", "Timer"],
    ),
    // What is said.
    ("supervisor/held.rs", &["Input", "Timer"]),
    ("supervisor/publish.rs", &["Phase", "Timer"]),
    ("describe.rs", &["Slot"]),
    ("journal.rs", &["Phase"]),
    ("overwatch.rs", &["Input", "Step"]),
    ("shared.rs", &["Slot"]),
    ("status.rs", &["Phase", "Slot"]),
    ("trace.rs", &["Input", "Phase"]),
    // Of their own: the steps of a log, and the state of the watchdog.
    ("log.rs", &["Step"]),
    ("log/queue.rs", &["Step"]),
    ("watchdog.rs", &["State"]),
];

/// Where steps are seen: each line there that goes by one is known.
const FOLLOWS: &[&str] = &[
    "supervisor.rs",
    "supervisor/effects.rs",
    "supervisor/follow.rs",
];

#[test]
fn only_what_carries_out_or_says_names_anything_of_the_machine() {
    let mut unlike = String::new();
    for (file, code) in shell() {
        let allowed = NAMED.iter().find(|(named, _)| *named == file);
        let allowed = allowed.map_or(&[][..], |(_, names)| names);
        for (number, line) in code.lines().enumerate() {
            for name in words(line).filter(|word| NAMES.contains(word)) {
                if !allowed.contains(&name) {
                    let number = number + 1;
                    let _ = writeln!(unlike, "{file}:{number}: `{name}`: {}", line.trim());
                }
            }
        }
        for name in allowed {
            let unused = !code
                .lines()
                .any(|line| words(line).any(|word| word == *name));
            if unused {
                let _ = writeln!(unlike, "{file} does not name `{name}` any more");
            }
        }
    }
    assert!(unlike.is_empty(), "{unlike}");
}

#[test]
fn each_line_that_goes_by_a_step_is_known() {
    let goes_by = |line: &&str| {
        let line = line.trim_start();
        let names = [
            "Input::", "Phase::", "Slot::", "Step::", "Timer::", "Cause::", ".slot(",
        ];
        !line.starts_with("use ") && names.iter().any(|name| line.contains(name))
    };
    let mut lines = String::new();
    for (file, code) in shell() {
        if FOLLOWS.contains(&&*file) {
            let _ = writeln!(lines, "{file}");
            for line in code.lines().filter(goes_by) {
                let _ = writeln!(lines, "  {}", line.trim());
            }
        }
    }
    expect![[r#"
        supervisor.rs
          cause: Cause::Boot,
          .filter(|&id| self.decider.machine().slot(id) == Slot::Wedged)
        supervisor/effects.rs
          self.shared.set_slots(components.clone(), Slot::Starting);
          if self.decider.machine().slot(component) == Slot::Stopping {
          self.shared.set_slot(component, Slot::Stopping);
          self.shared.set_slot(component, Slot::Aborting);
        supervisor/follow.rs
          if step == Step::Absorbed && effects.is_empty() && !level_changed && is_plain(&tell) {
          Phase::ShuttingDown => self.cause = hop.cause,
          Phase::Monitoring | Phase::Drained => self.watch_fence(None),
          if hop.cause == Cause::StartOverdue {
          late = Some(Few::doing(&self.shared, &[Slot::Starting]));
          let is_ignored = matches!(step, Step::Ignored(_));
          if matches!(input, Input::LeaseRenewed { .. }) && !is_ignored {
          if matches!(input, Input::Failing { fatal: true, .. }) {
          if let Step::Ignored(why) = step {
          let is_observation = matches!(input, Input::Alive { .. } | Input::Failing { .. });
          } else if !matches!(step, Step::Ignored(_)) {
          Input::Up { component, .. } => {
          self.shared.set_slot(component, machine.slot(component));
          Input::Gone {
          self.shared.set_slot(component, machine.slot(component));
          Input::Fired(Timer::Stage) => {
          if machine.slot(id) == Slot::Wedged {
          self.shared.set_slot(id, Slot::Wedged);
          Input::Up { .. }
          | Input::Gone {
    "#]]
    .assert_eq(&lines);
}

/// What brings things to the driver looks at no clock but to say when that was.
#[test]
fn what_is_brought_is_not_measured() {
    for (file, code) in shell() {
        if file != "supervisor/inbox.rs" {
            continue;
        }
        for line in code.lines() {
            let compares = [" < ", " > ", " <= ", " >= "]
                .iter()
                .any(|it| line.contains(it));
            let measures = words(line).any(|word| ["elapsed", "min", "max"].contains(&word));
            assert!(!compares && !measures, "{file}: {line}");
        }
    }
}

/// The files of the shell, without comments and tests.
fn shell() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/shell");
    let (mut files, mut folders) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("tests.rs") {
                let text = fs::read_to_string(&path).expect("a source");
                let code = text
                    .split("#[cfg(test)]\nmod tests")
                    .next()
                    .unwrap_or_default();
                let code = code
                    .lines()
                    .map(|line| line.split("//").next().unwrap_or_default());
                let name = path
                    .strip_prefix(&root)
                    .expect("within")
                    .display()
                    .to_string();
                files.push((name, code.collect::<Vec<_>>().join("\n")));
            }
        }
    }
    files.sort();
    assert!(files.len() > 30, "found only {files:?}");
    files
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
}
