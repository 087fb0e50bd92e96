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
    ".component_state(",
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
    (
        "supervise/supervisor.rs",
        &["ComponentState", "Input", "Phase", "Step"],
    ),
    (
        "supervise/executor.rs",
        &["ComponentState", "Input", "Phase", "Timer"],
    ),
    // What is said.
    (
        "supervise/held.rs",
        &["FailureClass", "Exit", "Input", "Timer"],
    ),
    ("supervise/step_text.rs", &["Exit", "Input"]),
    (
        "supervise/publisher.rs",
        &[
            "ComponentState",
            "Input",
            "Machine",
            "Phase",
            "Step",
            "Timer",
        ],
    ),
    ("supervise/hold_off_log.rs", &["Machine"]),
    ("supervise/stop_failures.rs", &["Input"]),
    ("publish/describe.rs", &["ComponentState"]),
    ("publish/journal.rs", &["Phase"]),
    ("publish/last_failures.rs", &["Phase"]),
    ("publish/roster.rs", &["ComponentState"]),
    ("publish/status.rs", &["Phase", "ComponentState"]),
    ("publish/summary.rs", &["Phase", "ComponentState"]),
    ("publish/trace.rs", &["FailureClass", "Input", "Phase"]),
    ("step_record.rs", &["Input", "Step"]),
    // What arrives: how a component ended, and whose trouble a failure is.
    ("component/incarnation.rs", &["Exit", "FailureClass"]),
    ("component/run.rs", &["Exit"]),
    ("failure/error.rs", &["FailureClass"]),
    ("failure/reported.rs", &["FailureClass"]),
    ("inbound/message.rs", &["Exit"]),
    ("inbound/reports.rs", &["FailureClass"]),
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
const FOLLOWS: &[&str] = &["probe/session.rs", "supervise/"];

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
        let found: Vec<&str> = code.lines().filter(goes_by).collect();
        if FOLLOWS.iter().any(|named| file.starts_with(named)) && !found.is_empty() {
            let _ = writeln!(lines, "{file}");
            for line in found {
                let _ = writeln!(lines, "  {}", line.trim());
            }
        }
    }
    expect![[r#"
        probe/session.rs
          Observation::failing(format!("the probe {panic}")),
        supervise/executor.rs
          cause: Cause::Boot,
          published.set_delaying(decider.machine().is_delaying());
          Phase::ShuttingDown => {
          roster.set_slot(id, decider.machine().component_state(id));
          Phase::Monitoring | Phase::Drained => {
          .set_delaying(decider.machine().is_delaying());
          self.sessions.prove(decider.observer().is_proving());
          let starting = ComponentState::Starting;
          if decider.machine().component_state(component) == ComponentState::Stopping {
          roster.set_slot(component, ComponentState::Stopping);
          roster.set_slot(component, ComponentState::Aborting);
          let (machine, roster) = (decider.machine(), &self.shared.published.roster);
          Input::Up { component, .. } => {
          roster.set_slot(component, machine.component_state(component));
          Input::Gone {
          roster.set_slot(component, machine.component_state(component));
          Input::Fired(Timer::Stage) => {
          let wedged = ComponentState::Wedged;
          if machine.component_state(id) == wedged && roster.component_state(id) != wedged
        supervise/held.rs
          Source::Timer if tell.input == Input::Fired(Timer::Silence) => StepText {
          Input::Exited { component, how, .. } | Input::Gone { component, how, .. } => {
          (None, Exit::Returned) => Detail::Plain(RETURNED),
          let is_fatal = how.class() == FailureClass::Fatal;
          let fatal = failure.filter(|(told, _)| is_fatal && told.class() == FailureClass::Fatal);
          let Input::Report { class, count, .. } = tell.input else {
          (class == FailureClass::Fatal).then(|| (name.clone(), Arc::clone(&said.first)));
        supervise/hold_off_log.rs
          self.grown = grown(machine.level(), machine.blame(), policy).map(Arc::from);
        supervise/inbox.rs
          Observation::Alive { .. } => driver::Seen::Alive,
          Observation::Failing { fatal, .. } => driver::Seen::Failing { fatal },
          let (Observation::Alive { evidence: text } | Observation::Failing { reason: text, .. }) =
        supervise/publisher.rs
          Cause::Shutdown => published.signal().map(StopSignal::as_str),
          Few::doing(&self.shared.published.roster, &[ComponentState::Starting])
          Input::LeaseRenewed { remaining, .. } => Some(remaining),
          timer: Timer::HoldOff,
          true => decider.observer(),
          false => decider.machine(),
          let mut hops = step.iter().flat_map(Step::transitions);
          let is_fatal = hops.iter().flatten().any(|hop| hop.cause == Cause::Fatal);
          Some(Input::FailedTooOften { component }) if machine.follows_failure_limit() => {
          outage_number: machine.outage(),
          level: machine.level(),
          session: decider.observer().session(),
          let limit = self.describe(Cause::FailedTooOften { component }, None);
          (Cause::StartOverdue | Cause::Fence, Some(early)) => early.clone(),
          (Cause::Fatal, _) => self.describe(hop.cause, fatal.as_deref()),
          (Cause::GaveUp, _) => {
          (Cause::FailedTooOften { .. }, _) if too_often.is_some() => {
          if hop.from == Phase::ShuttingDown && !notice.dry {
          hold_off: notice.hold_off.filter(|_| hop.to != Phase::Running),
          if hop.cause != Cause::AllGone {
          (Cause::Fence, Some(early)) => early.into(),
          let began = (cause != Cause::Boot).then(|| Arc::clone(&reason));
          let is_over = hops.any(|hop| hop.to == Phase::Running);
          let (machine, observer) = (decider.machine(), decider.observer());
          let monitoring = machine.phase() == Phase::Monitoring;
          let holds_off = due(Timer::HoldOff).filter(|_| monitoring);
          summary.reason = self.describe(Cause::Boot, None).into();
          summary.outage = machine.outage();
          summary.level = machine.level();
          summary.session = observer.session();
          summary.would_be = decider.is_dry_run().then(|| observer.phase());
          summary.stage_due = due(Timer::Stage);
          Detail::Observed(Observation::Alive { evidence }) => {
          LastSeen::alive(&evidence, now, session)
          Detail::Observed(Observation::Failing { reason, class, .. }) => {
          LastSeen::failing(class, &reason, now)
          LastSeen::failing(None, &format!("no sign of life for {limit:?}"), now)
        supervise/service_guard.rs
          if let Silence::Thawed(stuck_for) = why {
        supervise/service_watch.rs
          return Silence::Polled;
        supervise/step_text.rs
          let Self::Observed(Observation::Failing {
          Observation::Alive { evidence: text } | Observation::Failing { reason: text, .. },
          Input::Up { .. }
          | Input::Gone {
          how: Exit::Returned,
        supervise/stop_failures.rs
          if let Input::Gone { component, .. } | Input::Exited { component, .. } = *input
        supervise/supervisor.rs
          let awaited = self.decider.machine().awaited() as usize;
          None => Silence::Polled,
          let machine = self.decider.machine();
          let level_changed = self.level != self.decider.machine().level();
          if step == Step::Absorbed && effects.is_empty() && !level_changed && is_plain(&tell) {
          .any(|hop| hop.cause == Cause::StartOverdue);
          let is_ignored = matches!(step, Step::Ignored(_));
          if matches!(input, Input::LeaseRenewed { .. }) && !is_ignored {
          match step.transitions().any(|hop| hop.to == Phase::ShuttingDown) {
          Input::Failing { fatal: true, .. } => detail.fatal_observation(),
          if let Step::Ignored(why) = step {
          let is_observation = matches!(input, Input::Alive { .. } | Input::Failing { .. });
          self.level = self.decider.machine().level();
          let is_limit = matches!(input, Input::FailedTooOften { .. }) && !is_ignored;
          let session = self.decider.observer().session();
          let machine = self.decider.machine();
          let is_ignored = matches!(step, Step::Ignored(_));
          if matches!(tell.input, Input::LeaseRenewed { .. }) && !is_ignored {
          let session = self.decider.observer().session();
          let trips = step.transitions().any(|hop| hop.cause == Cause::Fence);
          let machine = self.decider.machine();
          .filter(|&id| machine.component_state(id) == ComponentState::Wedged);
    "#]]
    .assert_eq(&lines);
}

/// What brings things to the driver looks at no clock but to say when that was.
#[test]
fn what_is_brought_is_not_measured() {
    let files = shell();
    let inbox = files.iter().find(|(file, _)| file == "supervise/inbox.rs");
    let (file, code) = inbox.expect("what brings things to the driver");
    for line in code.lines() {
        let compares = [" < ", " > ", " <= ", " >= "]
            .iter()
            .any(|it| line.contains(it));
        let measures = words(line).any(|word| ["elapsed", "min", "max"].contains(&word));
        assert!(!compares && !measures, "{file}: {line}");
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
