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
    "Input", "Phase", "Slot", "State", "Step", "Timer", "Machine", "Hops", "Class", "How",
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
    ("supervisor.rs", &["Slot", "Step"]),
    ("supervisor/effects.rs", &["Slot"]),
    (
        "supervisor/follow.rs",
        &["How", "Input", "Phase", "Slot", "Step", "Timer"],
    ),
    // What is said.
    ("supervisor/held.rs", &["Class", "How", "Input", "Timer"]),
    ("supervisor/publish.rs", &["Phase", "Timer"]),
    ("describe.rs", &["Slot"]),
    ("journal.rs", &["Phase"]),
    ("overwatch.rs", &["Input", "Step"]),
    ("shared.rs", &["Slot"]),
    ("status.rs", &["Phase", "Slot"]),
    ("trace.rs", &["Class", "Input", "Phase"]),
    // What arrives: how a component ended, and whose trouble a failure is.
    ("failure.rs", &["Class"]),
    ("incarnation.rs", &["How"]),
    ("mailbox.rs", &["How"]),
    ("reporter.rs", &["Class"]),
    ("told.rs", &["Class"]),
    // Of their own: the steps of a log, and the state of the watchdog.
    ("log.rs", &["Step"]),
    ("log/queue.rs", &["Step"]),
    ("watchdog.rs", &["State"]),
];

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
            "Slot::",
            "Step::",
            "Timer::",
            "Cause::",
            "Class::",
            "How::",
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
          .filter(|&id| self.decider.machine().slot(id) == Slot::Wedged)
        supervisor/effects.rs
          self.sessions.prove(self.decider.observer().is_proving());
          self.shared.set_slots(components.clone(), Slot::Starting);
          if self.decider.machine().slot(component) == Slot::Stopping {
          self.shared.set_slot(component, Slot::Stopping);
          self.shared.set_slot(component, Slot::Aborting);
        supervisor/event.rs
          let Self::Observed(Observation::Failing {
          Observation::Alive { evidence: text } | Observation::Failing { reason: text, .. },
        supervisor/follow.rs
          let level_changed = self.level != self.decider.machine().level();
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
          self.level = self.decider.machine().level();
          } else if !matches!(step, Step::Ignored(_)) {
          let machine = self.decider.machine();
          Input::Up { component, .. } => {
          self.shared.set_slot(component, machine.slot(component));
          Input::Gone {
          self.shared.set_slot(component, machine.slot(component));
          Input::Fired(Timer::Stage) => {
          if machine.slot(id) == Slot::Wedged {
          self.shared.set_slot(id, Slot::Wedged);
          Input::Up { .. }
          | Input::Gone {
          how: How::Returned,
        supervisor/held.rs
          Source::Timer if tell.input == Input::Fired(Timer::Silence) => Event {
          Input::Exited { component, how, .. } | Input::Gone { component, how, .. } => {
          (None, How::Returned) => Detail::Plain(RETURNED),
          let fatal = failure.filter(|(told, _)| told.class() == Class::Fatal);
          let Input::Report { class, count, .. } = tell.input else {
          event.fatal = (class == Class::Fatal).then(|| (name.clone(), Arc::clone(&said.first)));
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
          Detail::Observed(Observation::Alive { evidence }) => Sight::alive(&evidence),
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
