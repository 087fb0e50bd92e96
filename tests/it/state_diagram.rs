//! The state diagram and the page of states, generated from the machine: what the explorer finds is
//! rendered, and the documentation must show just that. If it does not, [`COMMAND`] rewrites it.

mod explored;
mod render;

use std::sync::Arc;
use std::{env, fs};

use overwatch::policy::{ComponentId, FailureLimit, Layout, Plan, PolicyBuilder};

use crate::world::{fenced, ms, plan, small_policy, small_tuning};

use explored::Explored;

/// Brings everything up to date that is written from the machine.
const COMMAND: &str = "UPDATE_EXPECT=1 cargo nextest run -p overwatch --no-default-features state_diagram state_table";

/// What says how to write it anew.
const CONTRIBUTING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/CONTRIBUTING.md");

/// The pages that show it, in the package and in a checkout alike.
const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
const STATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/states.md");

#[test]
fn the_documentation_shows_what_the_machine_does() {
    let mut explored = Explored::at_boot(&plans()[0]);
    for plan in plans() {
        explored.visit(plan);
    }
    let diagram = render::fenced("mermaid", &render::mermaid(&explored));
    let shown = [
        (README, with_block(&read(README), &diagram)),
        (STATES, render::page(&explored)),
    ];
    let mut stale = String::new();
    for (path, wanted) in shown {
        let found = fs::read_to_string(path).unwrap_or_default();
        if found == wanted {
            continue;
        }
        if env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(path, wanted).unwrap_or_else(|error| panic!("{path}: {error}"));
        } else {
            stale += &format!("\n{path}:\n{}", differences(&found, &wanted));
        }
    }
    assert!(
        stale.is_empty(),
        "the documentation does not show what the machine does; this writes it:\n\n{COMMAND}\n{stale}"
    );
    assert!(
        read(CONTRIBUTING).contains(COMMAND),
        "CONTRIBUTING.md does not name `{COMMAND}`"
    );
}

/// The lines that only one of both has, in order.
fn differences(found: &str, wanted: &str) -> String {
    let (found, wanted): (Vec<_>, Vec<_>) = (found.lines().collect(), wanted.lines().collect());
    // How many lines both have in common from here on.
    let mut common = vec![vec![0; wanted.len() + 1]; found.len() + 1];
    for (i, line) in found.iter().enumerate().rev() {
        for (j, other) in wanted.iter().enumerate().rev() {
            common[i][j] = if line == other {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let mut differences = String::new();
    let (mut i, mut j) = (0, 0);
    while i < found.len() || j < wanted.len() {
        if i < found.len() && j < wanted.len() && found[i] == wanted[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == wanted.len() || (i < found.len() && common[i + 1][j] >= common[i][j + 1]) {
            differences += &format!("-{}\n", found[i]);
            i += 1;
        } else {
            differences += &format!("+{}\n", wanted[j]);
            j += 1;
        }
    }
    differences
}

/// Between them they switch on all that changes what can happen. In an untimed exploration no
/// duration matters, and of counts only whether there is something between none and the limit. Plans with more
/// of anything show nothing else.
fn plans() -> Vec<Arc<Plan>> {
    let tuning = || small_tuning().with_max_level(2);
    let policy = || small_policy().tuning(tuning());
    let delayed = tuning().with_unready_delay(ms(6));
    vec![
        plan(policy().trip_threshold(2), &[]),
        plan(policy(), &[1]),
        fenced(policy().trip_threshold(3).give_up_after(2), &[1]),
        plan(
            policy().trip_threshold(2).give_up_after(2).tuning(delayed),
            &[1, 1],
        ),
        fenced(policy(), &[2]),
        fenced(policy().tuning(tuning().with_unready_delay(ms(6))), &[1]),
        // Of components that may finish, and of one that fails too often.
        with_one_shots(policy().failure_limit(limit()), &[1, 1]),
        with_one_shots(
            policy()
                .failure_limit(limit().with_drain(true))
                .end_when_finished(true),
            &[1, 1],
        ),
    ]
}

fn limit() -> FailureLimit {
    FailureLimit::new(3, ms(100))
}

/// A plan in which all components may finish.
fn with_one_shots(policy: PolicyBuilder, stages: &[usize]) -> Arc<Plan> {
    let layout = Layout::new(stages).expect("no gaps");
    let components = layout.components() as u32;
    let layout = (0..components)
        .map(ComponentId)
        .fold(layout, Layout::with_one_shot);
    let policy = policy.build().expect("a policy that works");
    Arc::new(Plan::new(policy, layout).expect("a plan that works"))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The text with what stands between the markers replaced.
fn with_block(text: &str, block: &str) -> String {
    const BEGIN: &str = "<!-- states: written from the machine by a test, not by hand -->\n";
    const END: &str = "<!-- end of states -->\n";
    let (before, rest) = text
        .split_once(BEGIN)
        .expect("the marker where the states begin");
    let (_, after) = rest
        .split_once(END)
        .expect("the marker where the states end");
    format!("{before}{BEGIN}{block}{END}{after}")
}
