//! The state table: every state with each detail that changes behaviour, times every input. A change
//! of behaviour shows as a change of `state_table.txt`, and nowhere else first.
//!
//! A line reads: state | inputs that have the same outcome -> outcome: hops; what changed besides;
//! effects. Rewrite the file with `UPDATE_EXPECT=1 cargo test`.

use std::fmt::Write;
use std::sync::Arc;

use expect_test::expect_file;
use overwatch::machine::{
    AfterStop, Cause, Command, ComponentState, Effect, Exit, FailureClass, HaltReason, Input,
    Machine, Record, RunOutcome, Snapshot, State, Step, StopStep, Timer,
};
use overwatch::policy::{Blame, ComponentId, Plan, PolicyBuilder};

use crate::world::{causes, fenced, ms, plan, small_policy, small_tuning};

/// The present epoch, session, round and outage in every row.
const NOW: u64 = 7;

/// `#0` below `#1` and `#2`.
const STAGES: &[usize] = &[1, 2];

/// What is written by hand for operators.
#[test]
fn the_guide_names_each_command_and_each_cause() {
    let guide = include_str!("../../src/guide/operating.md");
    let fields = guide.lines().find(|line| line.starts_with("| `cause` |"));
    let fields = fields.expect("the row of the causes");
    for cause in causes() {
        assert!(fields.contains(&format!("`{cause}`")), "{cause}");
    }
    for command in Command::ALL {
        let method = format!("(crate::Handle::{})", command.as_str());
        assert!(guide.contains(&method), "{method}");
    }
}

#[test]
fn the_whole_table() {
    let mut table = String::new();
    for row in rows() {
        write_row(&mut table, &row);
    }
    expect_file!["state_table.txt"].assert_eq(&table);
}

/// A state with all that makes it behave as it does.
struct Row {
    name: &'static str,
    plan: Arc<Plan>,
    snapshot: Snapshot,
}

/// Three reports trip, and a wanted stop is delayed.
fn base() -> PolicyBuilder {
    let tuning = small_tuning().with_unready_delay(ms(6));
    small_policy().trip_threshold(3).tuning(tuning)
}

/// A row at level 0, blaming components, with its session and outage open; what differs is changed
/// by the methods below.
fn row(name: &'static str, state: State, slots: [ComponentState; 3], armed: &[Timer]) -> Row {
    let snapshot = Snapshot {
        state,
        epoch: NOW,
        session: NOW,
        session_open: armed.contains(&Timer::Silence),
        round: NOW,
        outage: NOW,
        outage_open: !matches!(state, State::Running { .. } | State::Ended(_)),
        level: 0,
        blame: Blame::Component,
        failed_starts: 0,
        armed: armed.to_vec(),
        component_states: slots.to_vec(),
        record: Record::default(),
        hold_offs: 0,
    };
    Row {
        name,
        plan: plan(base(), STAGES),
        snapshot,
    }
}

impl Row {
    fn level(mut self, level: u32) -> Self {
        self.snapshot.level = level;
        self
    }

    fn dependency_to_blame(mut self) -> Self {
        self.snapshot.blame = Blame::Dependency;
        self
    }

    fn fenced(mut self) -> Self {
        self.plan = fenced(base(), STAGES);
        self
    }

    /// The next failed start is the last.
    fn at_its_last_try(mut self) -> Self {
        self.plan = plan(base().give_up_after(2), STAGES);
        self.snapshot.failed_starts = 1;
        self
    }
}

fn rows() -> Vec<Row> {
    use ComponentState::{Aborting, Down, Starting, Stopping, Up, Wedged};
    use StopStep as Stop;
    use Timer::{Decay, Fence, HoldOff, Silence, Stable, Stage};
    let running = |suspicion| State::Running { suspicion };
    let monitoring = |evidence, done| State::Monitoring { evidence, done };
    let restarting = |stage, waiting| State::Restarting { stage, waiting };
    let stop = |stage, step, then| State::ShuttingDown { stage, step, then };
    let halted = |why| State::Ended(RunOutcome::Halted(why));
    vec![
        row("running", running(0), [Up; 3], &[Silence]),
        row("running, level 1", running(0), [Up; 3], &[Silence, Stable]).level(1),
        row(
            "running, level 2, suspicion 1",
            running(1),
            [Up; 3],
            &[Silence, Decay, Stable],
        )
        .level(2),
        row(
            "running, suspicion 2",
            running(2),
            [Up; 3],
            &[Silence, Decay],
        )
        .dependency_to_blame(),
        row("running, fenced", running(0), [Up; 3], &[Silence, Fence]).fenced(),
        row(
            "monitoring at boot level",
            monitoring(0, false),
            [Down; 3],
            &[Silence],
        ),
        row(
            "monitoring, fresh",
            monitoring(0, false),
            [Down; 3],
            &[Silence],
        )
        .level(1)
        .dependency_to_blame(),
        row(
            "monitoring, fresh, component to blame",
            monitoring(0, false),
            [Down; 3],
            &[Silence],
        )
        .level(1),
        row(
            "monitoring, fresh, level 3",
            monitoring(0, false),
            [Down; 3],
            &[Silence],
        )
        .level(3)
        .dependency_to_blame(),
        row(
            "monitoring, counting",
            monitoring(1, false),
            [Down; 3],
            &[HoldOff, Silence],
        )
        .level(1)
        .dependency_to_blame(),
        row(
            "monitoring, done",
            monitoring(1, true),
            [Down; 3],
            &[Silence],
        )
        .level(1)
        .dependency_to_blame(),
        row(
            "monitoring, done, fenced",
            monitoring(1, true),
            [Down; 3],
            &[Silence],
        )
        .level(1)
        .fenced(),
        row(
            "restarting first stage",
            restarting(0, 1),
            [Starting, Down, Down],
            &[Stage, Silence],
        ),
        row(
            "restarting last stage",
            restarting(1, 2),
            [Up, Starting, Starting],
            &[Stage, Silence],
        ),
        row(
            "restarting last component",
            restarting(1, 1),
            [Up, Up, Starting],
            &[Stage, Silence],
        ),
        row(
            "restarting last component, level 1",
            restarting(1, 1),
            [Up, Up, Starting],
            &[Stage, Silence],
        )
        .level(1)
        .dependency_to_blame(),
        row(
            "restarting, fenced",
            restarting(1, 1),
            [Up, Up, Starting],
            &[Stage, Silence, Fence],
        )
        .fenced(),
        row(
            "restarting, last try",
            restarting(1, 1),
            [Up, Up, Starting],
            &[Stage, Silence],
        )
        .at_its_last_try(),
        row(
            "delaying a stop",
            stop(1, Stop::Delaying, AfterStop::Stop),
            [Up; 3],
            &[Stage],
        ),
        row(
            "delaying a drain",
            stop(1, Stop::Delaying, AfterStop::Drain),
            [Up; 3],
            &[Stage],
        ),
        row(
            "delaying, resumed",
            stop(1, Stop::Delaying, AfterStop::Monitor),
            [Up; 3],
            &[Stage],
        ),
        row(
            "stopping, session kept",
            stop(1, Stop::Stopping, AfterStop::Monitor),
            [Up, Stopping, Stopping],
            &[Stage, Silence],
        )
        .level(1),
        row(
            "stopping",
            stop(1, Stop::Stopping, AfterStop::Monitor),
            [Up, Stopping, Stopping],
            &[Stage],
        )
        .level(1)
        .dependency_to_blame(),
        row(
            "stopping, last of its stage",
            stop(1, Stop::Stopping, AfterStop::Monitor),
            [Up, Down, Stopping],
            &[Stage],
        )
        .level(1)
        .dependency_to_blame(),
        row(
            "stopping last component",
            stop(0, Stop::Stopping, AfterStop::Monitor),
            [Stopping, Down, Down],
            &[Stage, Silence],
        )
        .level(1),
        row(
            "stopping last component to drain",
            stop(0, Stop::Stopping, AfterStop::Drain),
            [Stopping, Down, Down],
            &[Stage],
        ),
        row(
            "stopping last component to stop",
            stop(0, Stop::Stopping, AfterStop::Stop),
            [Stopping, Down, Down],
            &[Stage],
        ),
        row(
            "stopping last component to halt",
            stop(0, Stop::Stopping, AfterStop::Halt(HaltReason::Fatal)),
            [Stopping, Down, Down],
            &[Stage],
        ),
        row(
            "stopping last component to give up",
            stop(0, Stop::Stopping, AfterStop::Halt(HaltReason::GaveUp)),
            [Stopping, Down, Down],
            &[Stage],
        ),
        row(
            "stopping, wedged above",
            stop(0, Stop::Stopping, AfterStop::Monitor),
            [Stopping, Down, Wedged],
            &[Stage],
        ),
        row(
            "delaying to stop, fenced",
            stop(1, Stop::Delaying, AfterStop::Stop),
            [Up; 3],
            &[Stage, Fence],
        )
        .fenced(),
        row(
            "stopping, fenced",
            stop(0, Stop::Stopping, AfterStop::Monitor),
            [Stopping, Down, Down],
            &[Stage],
        )
        .level(1)
        .dependency_to_blame()
        .fenced(),
        row(
            "aborting",
            stop(1, Stop::Aborting, AfterStop::Monitor),
            [Up, Aborting, Aborting],
            &[Stage],
        )
        .level(1)
        .dependency_to_blame(),
        row(
            "aborting last component, session kept",
            stop(0, Stop::Aborting, AfterStop::Monitor),
            [Aborting, Down, Down],
            &[Stage, Silence],
        )
        .level(1),
        row(
            "aborting last component to stop",
            stop(0, Stop::Aborting, AfterStop::Stop),
            [Aborting, Down, Down],
            &[Stage],
        ),
        row("drained", State::Drained, [Down; 3], &[]),
        row("drained, level 2", State::Drained, [Down; 3], &[]).level(2),
        row("stopped", State::Ended(RunOutcome::Stopped), [Down; 3], &[]),
        row(
            "halted, wedged",
            halted(HaltReason::Wedged),
            [Down, Down, Wedged],
            &[],
        ),
        row("halted, fatal", halted(HaltReason::Fatal), [Down; 3], &[]),
        row(
            "halted, gave up",
            halted(HaltReason::GaveUp),
            [Down; 3],
            &[],
        ),
    ]
}

/// Every kind of input, about `#0`, about `#2`, about nobody known, and stale in each way.
fn inputs() -> Vec<(String, Input)> {
    let id = ComponentId;
    let report = |component, epoch, class, count| Input::Report {
        component,
        epoch,
        class,
        count,
    };
    let up = |n, epoch| Input::Up {
        component: id(n),
        epoch,
    };
    let gone = |n, epoch, how| Input::Gone {
        component: id(n),
        epoch,
        how,
    };
    let exited = |n, epoch, how| Input::Exited {
        component: id(n),
        epoch,
        how,
    };
    let renewed = |epoch, remaining| Input::LeaseRenewed { epoch, remaining };
    let epochs = [("past", NOW - 1), ("future", NOW + 1)];

    let mut inputs: Vec<(String, Input)> = Vec::new();
    let mut add = |name: String, input| inputs.push((name, input));
    for class in FailureClass::ALL {
        add(format!("report {class}"), report(None, NOW, class, 1));
    }
    add(
        "report #0".into(),
        report(Some(id(0)), NOW, FailureClass::Component, 1),
    );
    add(
        "report #2".into(),
        report(Some(id(2)), NOW, FailureClass::Component, 1),
    );
    add(
        "report x3".into(),
        report(None, NOW, FailureClass::Component, 3),
    );
    add(
        "report #9".into(),
        report(Some(id(9)), NOW, FailureClass::Fatal, 1),
    );
    for (when, epoch) in epochs {
        add(
            format!("report {when}"),
            report(None, epoch, FailureClass::Critical, 1),
        );
    }
    for (when, session) in [("", NOW), (" past", NOW - 1), (" future", NOW + 1)] {
        add(format!("alive{when}"), alive(session, NOW));
        add(format!("failing{when}"), failing(session, false));
    }
    add("alive of a past round".into(), alive(NOW, NOW - 1));
    add("alive of a future round".into(), alive(NOW, NOW + 1));
    add("failing fatally".into(), failing(NOW, true));
    add("up #0".into(), up(0, NOW));
    add("up #2".into(), up(2, NOW));
    add("up #9".into(), up(9, NOW));
    for (when, epoch) in epochs {
        add(format!("up {when}"), up(2, epoch));
    }
    add("gone #0".into(), gone(0, NOW, Exit::Returned));
    add("gone #2".into(), gone(2, NOW, Exit::Returned));
    add("gone #2 aborted".into(), gone(2, NOW, Exit::Aborted));
    add("exited #0".into(), exited(0, NOW, Exit::Returned));
    add("exited #2".into(), exited(2, NOW, Exit::Returned));
    for class in FailureClass::ALL {
        add(
            format!("gone #2 {class}"),
            gone(2, NOW, Exit::Failed(class)),
        );
        add(
            format!("exited #2 {class}"),
            exited(2, NOW, Exit::Failed(class)),
        );
    }
    add("gone #9".into(), gone(9, NOW, Exit::Returned));
    add("exited #9".into(), exited(9, NOW, Exit::Returned));
    for (when, epoch) in epochs {
        add(format!("gone {when}"), gone(2, epoch, Exit::Returned));
        add(format!("exited {when}"), exited(2, epoch, Exit::Returned));
    }
    for timer in Timer::ALL {
        add(format!("{timer} fired"), Input::Fired(timer));
    }
    add("renewed".into(), renewed(NOW, ms(120)));
    add("renewed too late".into(), renewed(NOW, ms(32)));
    for (when, epoch) in epochs {
        add(format!("renewed {when}"), renewed(epoch, ms(120)));
    }
    add("shutdown".into(), Input::Shutdown);
    for command in Command::ALL {
        add(command.as_str().into(), command.input());
    }
    add("frozen".into(), Input::Frozen);
    for (id, name) in [(0, "#0"), (9, "#9")] {
        let component = ComponentId(id);
        add(
            format!("{name} failed too often"),
            Input::FailedTooOften { component },
        );
    }
    inputs
}

fn write_row(table: &mut String, row: &Row) {
    let machine = Machine::resume(row.plan.clone(), row.snapshot.clone())
        .unwrap_or_else(|error| panic!("{}: {error}", row.name));
    let mut outcomes: Vec<(String, Vec<String>)> = Vec::new();
    for (name, input) in inputs() {
        let outcome = outcome(machine.clone(), input);
        match outcomes.iter_mut().find(|(known, _)| *known == outcome) {
            Some((_, names)) => names.push(name),
            None => outcomes.push((outcome, vec![name])),
        }
    }
    // What happens first, what does not happen last.
    outcomes.sort_by_key(|(outcome, _)| outcome.starts_with("ignored"));
    for (outcome, names) in outcomes {
        let _ = writeln!(table, "{} | {} -> {outcome}", row.name, names.join(", "));
    }
    table.push('\n');
}

fn outcome(mut machine: Machine, input: Input) -> String {
    let before = machine.snapshot();
    let mut effects = Vec::new();
    let step = machine.handle(input, &mut effects);
    let after = machine.snapshot();
    let mut parts = Vec::new();
    if let Step::Absorbed = step
        && before.state != after.state
    {
        parts.push(detail(&after.state));
    }
    if before.level != after.level {
        parts.push(format!("level {}", after.level));
    }
    if before.blame != after.blame {
        parts.push(format!("blame {:?}", after.blame).to_lowercase());
    }
    if before.failed_starts != after.failed_starts {
        parts.push(format!("failed starts {}", after.failed_starts));
    }
    if before.record.stale_reports != after.record.stale_reports {
        parts.push("counted as stale".into());
    }
    parts.extend(effects.iter().map(effect_in_words));
    let outcome = match step {
        Step::Ignored(why) => format!("ignored ({why})"),
        Step::Absorbed => "absorbed".into(),
        Step::Moved(hops) => {
            let hops = hops
                .iter()
                .map(|hop| format!("{} ({})", hop.to, cause_in_words(hop.cause)));
            format!("moved to {}", hops.collect::<Vec<_>>().join(", "))
        }
    };
    if parts.is_empty() {
        return outcome;
    }
    format!("{outcome}: {}", parts.join("; "))
}

fn detail(state: &State) -> String {
    match *state {
        State::Running { suspicion } => format!("suspicion {suspicion}"),
        State::Monitoring {
            evidence,
            done: false,
        } => format!("evidence {evidence}"),
        State::Monitoring {
            evidence,
            done: true,
        } => format!("evidence {evidence}, done"),
        State::Restarting { stage, waiting } => format!("stage {stage}, waiting for {waiting}"),
        State::ShuttingDown { stage, step, then } => {
            format!("stage {stage}, {step:?} then {then:?}").to_lowercase()
        }
        State::Drained | State::Ended(_) => String::new(),
    }
}

fn cause_in_words(cause: Cause) -> String {
    let component = cause.component().map(|component| format!(" {component}"));
    let class = cause.class().map(|class| format!(" {class}"));
    format!(
        "{cause}{}{}",
        component.unwrap_or_default(),
        class.unwrap_or_default()
    )
}

fn alive(session: u64, round: u64) -> Input {
    Input::Alive { session, round }
}

fn failing(session: u64, fatal: bool) -> Input {
    Input::Failing { session, fatal }
}

fn effect_in_words(effect: &Effect) -> String {
    match *effect {
        Effect::Ready(on) => format!("ready {}", if on { "on" } else { "off" }),
        Effect::StartStage { stage, epoch } => format!("start stage {stage}{}", at(epoch)),
        Effect::StopStage { stage, epoch } => format!("stop stage {stage}{}", at(epoch)),
        Effect::Abort { component, epoch } => format!("abort {component}{}", at(epoch)),
        Effect::OpenSession { session } => format!("open session{}", at(session)),
        Effect::CloseSession { session } => format!("close session{}", at(session)),
        Effect::Ask { round } => format!("ask{}", at(round)),
        Effect::Arm { timer, after } => format!("arm {timer} {after:?}"),
        Effect::Disarm { timer } => format!("disarm {timer}"),
        Effect::OutageOpened { outage, .. } => format!("open outage{}", at(outage)),
        Effect::OutageClosed(record) => format!(
            "close outage{} with {} reports, {} stale, {} failed starts",
            at(record.outage),
            record.reports,
            record.stale_reports,
            record.failed_starts
        ),
        Effect::Ended(RunOutcome::Stopped) => "ended: stopped".into(),
        Effect::Ended(RunOutcome::Halted(why)) => format!("ended: halted, {}", why.as_str()),
    }
}

/// A number next to the present one.
fn at(number: u64) -> &'static str {
    match number {
        NOW => "",
        n if n == NOW + 1 => "+1",
        _ => " of another number",
    }
}
