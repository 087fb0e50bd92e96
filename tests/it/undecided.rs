//! The shell decides nothing: what it knows of the machine it only carries out or says.
//!
//! A decision that goes by where the machine is must name that. So it is listed which files of the shell
//! name anything of the machine's, and in those that see its steps, each line which goes by them. A line
//! that is new here is to be looked at: if it decides what the machine is told, or when, it belongs into
//! `driver` or `machine`, where it is explored.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use expect_test::{expect, expect_file};

use crate::purity::{code_of, code_that_does_io_in_etcd, sources_of};

/// What tells where the machine is, and what it is told.
const NAMES: &[&str] = &[
    "Input",
    "Phase",
    "ComponentState",
    "State",
    "Step",
    "Timer",
    "Machine",
    "Hops",
    "FailureClass",
    "Exit",
];

/// How a machine is asked where it is.
const ASKS: &[&str] = &[
    ".phase(",
    ".session(",
    ".round(",
    ".level(",
    ".blame(",
    ".outage(",
    ".slot(",
    ".awaited(",
    ".is_ready(",
    ".is_armed(",
    ".is_proving(",
    ".machine(",
    ".observer(",
];

/// The files of the shell that name any of these, and which.
const NAMED: &[(&str, &[&str])] = &[
    // What is carried out.
    ("supervisor.rs", &["ComponentState", "Step"]),
    ("supervisor/effects.rs", &["ComponentState"]),
    (
        "supervisor/follow.rs",
        &["Exit", "Input", "Phase", "ComponentState", "Step", "Timer"],
    ),
    // What is said.
    (
        "supervisor/held.rs",
        &["FailureClass", "Exit", "Input", "Timer"],
    ),
    ("supervisor/publish.rs", &["Phase", "Timer"]),
    ("describe.rs", &["ComponentState"]),
    ("journal.rs", &["Phase"]),
    ("overwatch.rs", &["Input", "Step"]),
    ("shared.rs", &["ComponentState"]),
    ("status.rs", &["Phase", "ComponentState"]),
    ("trace.rs", &["FailureClass", "Input", "Phase"]),
    // What arrives: how a component ended, and whose trouble a failure is.
    ("failure.rs", &["FailureClass"]),
    ("incarnation.rs", &["Exit"]),
    ("mailbox.rs", &["Exit"]),
    ("reporter.rs", &["FailureClass"]),
    ("told.rs", &["FailureClass"]),
    // Of their own: the steps of a log, and the state of the watchdog.
    ("log.rs", &["Step"]),
    ("log/queue.rs", &["Step"]),
    ("watchdog.rs", &["State"]),
];

/// Else a name that the machine has no more is looked for, and its new one is not.
#[test]
fn the_machine_has_what_is_looked_for() {
    let machine: String = sources_of("machine")
        .iter()
        .map(|file| code_of(file))
        .collect();
    for name in NAMES {
        let is_there = ["enum", "struct"].iter().any(|keyword| {
            let definition = format!("pub {keyword} {name}");
            let mut found = machine.match_indices(&definition);
            found.any(|(at, _)| machine[at + definition.len()..].starts_with([' ', '(']))
        });
        assert!(is_there, "the machine has no {name}");
    }
}

/// Where what arrives and what follows is seen: each line there that goes by it is known.
const FOLLOWS: &[&str] = &["supervisor.rs", "session.rs", "service_watch.rs"];

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
            "Input::",
            "Phase::",
            "ComponentState::",
            "Step::",
            "Timer::",
            "Cause::",
            "FailureClass::",
            "Exit::",
            "Seen::",
            "Silence::",
            "Observation::",
        ];
        let goes_by = names.iter().chain(ASKS).any(|name| line.contains(name));
        !line.starts_with("use ") && goes_by
    };
    let mut lines = String::new();
    for (file, code) in shell() {
        if FOLLOWS.contains(&&*file) || file.starts_with("supervisor/") {
            let _ = writeln!(lines, "{file}");
            for line in code.lines().filter(goes_by) {
                let _ = writeln!(lines, "  {}", line.trim());
            }
        }
    }
    expect![[r#"
        service_watch.rs
          return Silence::Polled;
        session.rs
          Observation::failing(format!("the probe {panic}")),
        supervisor.rs
          cause: Cause::Boot,
          let awaited = self.decider.machine().awaited() as usize;
          .filter(|&id| self.decider.machine().slot(id) == ComponentState::Wedged)
        supervisor/effects.rs
          self.sessions.prove(self.decider.observer().is_proving());
          .set_slots(components.clone(), ComponentState::Starting);
          if self.decider.machine().slot(component) == ComponentState::Stopping {
          self.shared.set_slot(component, ComponentState::Stopping);
          self.shared.set_slot(component, ComponentState::Aborting);
        supervisor/event.rs
          let Self::Observed(Observation::Failing {
          Observation::Alive { evidence: text } | Observation::Failing { reason: text, .. },
        supervisor/follow.rs
          let level_changed = self.level != self.decider.machine().level();
          if step == Step::Absorbed && effects.is_empty() && !level_changed && is_plain(&tell) {
          Phase::ShuttingDown => self.cause = hop.cause,
          Phase::Monitoring | Phase::Drained => self.watch_fence(None),
          if hop.cause == Cause::StartOverdue {
          late = Some(Few::doing(&self.shared, &[ComponentState::Starting]));
          let is_ignored = matches!(step, Step::Ignored(_));
          if matches!(input, Input::LeaseRenewed { .. }) && !is_ignored {
          if matches!(input, Input::Failing { fatal: true, .. }) {
          if let Step::Ignored(why) = step {
          let is_observation = matches!(input, Input::Alive { .. } | Input::Failing { .. });
          self.level = self.decider.machine().level();
          } else if !matches!(step, Step::Ignored(_)) {
          let machine = self.decider.machine();
          Input::Up { component, .. } => {
          self.shared.set_slot(component, machine.slot(component));
          Input::Gone {
          self.shared.set_slot(component, machine.slot(component));
          Input::Fired(Timer::Stage) => {
          if machine.slot(id) == ComponentState::Wedged {
          self.shared.set_slot(id, ComponentState::Wedged);
          Input::Up { .. }
          | Input::Gone {
          how: Exit::Returned,
        supervisor/held.rs
          Source::Timer if tell.input == Input::Fired(Timer::Silence) => Event {
          Input::Exited { component, how, .. } | Input::Gone { component, how, .. } => {
          (None, Exit::Returned) => Detail::Plain(RETURNED),
          let fatal = failure.filter(|(told, _)| told.class() == FailureClass::Fatal);
          let Input::Report { class, count, .. } = tell.input else {
          (class == FailureClass::Fatal).then(|| (name.clone(), Arc::clone(&said.first)));
        supervisor/inbox.rs
          Observation::Alive { .. } => driver::Seen::Alive,
          Observation::Failing { fatal, .. } => driver::Seen::Failing { fatal },
          let (Observation::Alive { evidence: text } | Observation::Failing { reason: text, .. }) =
        supervisor/publish.rs
          true => self.decider.observer(),
          false => self.decider.machine(),
          let outage_number = machine.outage();
          let is_fatal = hops.iter().flatten().any(|hop| hop.cause == Cause::Fatal);
          (Cause::StartOverdue, Some(early)) => early.clone(),
          (Cause::Fatal, _) => describe(hop.cause, fatal.as_deref(), &self.shared),
          if hop.cause != Cause::AllGone {
          let machine = self.decider.machine();
          let monitoring = machine.phase() == Phase::Monitoring;
          summary.reason = describe(Cause::Boot, None, &self.shared).into();
          summary.outage = machine.outage();
          summary.level = machine.level();
          summary.hold_off_due = due(Timer::HoldOff).filter(|_| monitoring);
          summary.stage_due = due(Timer::Stage);
          Detail::Observed(Observation::Alive { evidence }) => DependencyStatus::alive(&evidence),
          Detail::Observed(Observation::Failing { reason, class, .. }) => {
        supervisor/service.rs
          return Silence::Polled;
          if let Silence::Thawed(stuck_for) = why {
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

/// What of a line chooses: it compares, it asks what something is, or it names a failure.
fn chooses(line: &str) -> bool {
    const SIGNS: &[&str] = &[
        " == ",
        " != ",
        " < ",
        " > ",
        " <= ",
        " >= ",
        "matches!(",
        ".min(",
        ".max(",
        "Fault::",
        "_or(",
        "_or_else(",
        ".filter(",
        ".is_some_and(",
        ".is_none_or(",
        ".is_ok_and(",
        ".is_err_and(",
    ];
    SIGNS.iter().any(|sign| line.contains(sign))
}

/// In the etcd half, too, what a moment or an answer means is decided where it can be tested without a
/// client. A line that is new in that file is to be looked at: if it decides what is done, it belongs into
/// one of the pure ones.
#[test]
fn each_line_that_chooses_where_etcd_is_asked_is_known() {
    let mut lines = String::new();
    for (source, code) in code_that_does_io_in_etcd() {
        let code = code
            .lines()
            .map(|line| line.split("//").next().unwrap_or_default());
        let chosen: Vec<&str> = code.map(str::trim).filter(|line| chooses(line)).collect();
        if !chosen.is_empty() {
            let source = source
                .strip_prefix(env!("CARGO_MANIFEST_DIR"))
                .expect("within");
            let _ = writeln!(lines, "{}", source.display());
            for line in chosen {
                let _ = writeln!(lines, "  {line}");
            }
        }
    }
    expect_file!["undecided_etcd.txt"].assert_eq(&lines);
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
