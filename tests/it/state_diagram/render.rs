//! What was explored, as a diagram, as a list and as a table.

use std::collections::BTreeMap;
use std::fmt::Write;

use overwatch::machine::{FailureClass, Phase};

use super::explored::{Asked, Causes, Explored, Kind, Outcome};

/// The hierarchy, which cannot be seen from outside: the superstates of `Supervising`. What is in
/// none of them is over.
const SUPERVISING: [(&str, &[Phase]); 2] = [
    ("Serving", &[Phase::Running]),
    (
        "Suspended",
        &[
            Phase::ShuttingDown,
            Phase::Monitoring,
            Phase::Restarting,
            Phase::Drained,
        ],
    ),
];

/// A block of code.
pub(super) fn fenced(language: &str, code: &str) -> String {
    format!("```{language}\n{code}```\n")
}

/// A state diagram for Mermaid.
pub(super) fn mermaid(explored: &Explored) -> String {
    for phase in Phase::ALL {
        let supervising = SUPERVISING.iter().any(|(_, all)| all.contains(&phase));
        let over = explored.ends.contains(&phase);
        assert_ne!(supervising, over, "{phase} has no place in the hierarchy");
    }
    let mut lines = vec!["stateDiagram-v2".to_owned()];
    let (boot, cause) = explored.boot;
    lines.push(format!("    [*] --> {boot}: {cause}"));
    lines.push("    state Supervising {".into());
    for (superstate, phases) in SUPERVISING {
        lines.push(format!("        state {superstate} {{"));
        lines.extend(phases.iter().map(|phase| format!("            {phase}")));
        lines.push("        }".into());
    }
    lines.push("    }".into());
    for ((from, to), causes) in &explored.hops {
        let causes = in_groups(causes).join("<br/>");
        lines.push(format!("    {from} --> {to}: {causes}"));
    }
    lines.extend(explored.ends.iter().map(|end| format!("    {end} --> [*]")));
    lines.join("\n") + "\n"
}

/// The same for readers of plain text.
pub(super) fn list(explored: &Explored) -> String {
    const OUTSIDE: &str = "[*]";
    let (boot, cause) = explored.boot;
    let mut list = arrow(OUTSIDE, boot.as_str(), &[cause.to_string()]);
    let mut last = None;
    for (&(from, to), causes) in &explored.hops {
        let shown = if last == Some(from) {
            ""
        } else {
            from.as_str()
        };
        last = Some(from);
        list += &arrow(shown, to.as_str(), &in_groups(causes));
    }
    for end in &explored.ends {
        list += &arrow(end.as_str(), OUTSIDE, &[]);
    }
    list
}

/// One arrow, with each group of causes in a line of its own.
fn arrow(from: &str, to: &str, causes: &[String]) -> String {
    let start = format!("{from:<12} ──▶ {to:<12}  ");
    let below = format!("\n{:width$}", "", width = start.chars().count());
    format!("{}\n", (start + &causes.join(&below)).trim_end())
}

/// One line for each group of causes.
fn in_groups(causes: &Causes) -> Vec<String> {
    let mut groups: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for (&(group, cause), classes) in causes {
        // A class is worth telling if it alone leads this way.
        let only_fatal = classes.iter().eq([&FailureClass::Fatal]);
        let which = if only_fatal { " fatal" } else { "" };
        groups
            .entry(group)
            .or_default()
            .push(format!("{cause}{which}"));
    }
    groups.values().map(|causes| causes.join(", ")).collect()
}

/// The page of the documentation that has it all.
pub(super) fn page(explored: &Explored) -> String {
    let mut page = format!("{HEAD}\n{}{TABLE}", fenced("text", &list(explored)));
    for phase in Phase::ALL {
        let _ = write!(page, "\n## {phase}\n\n{}", table(explored, phase));
    }
    page
}

const HEAD: &str = "\
<!-- Written from the machine by a test, not by hand. -->

# The transitions

Arrows are labelled with the cause that is logged for the transition. The README has the same as a diagram.
";

const TABLE: &str = r#"
# The table

What each input does in each state. An input is *ignored*, or *absorbed* without a transition, or it causes a
transition (→). It causes two transitions where there is nothing to wait for in the state between them. The last
column lists the effects in their order; effects in parentheses do not always occur. An input with several
outcomes has a row for each.

An input is *stale* if it is about another epoch or session, a component that is not alive or was not asked to
stop, a timer that is not armed, or a lease that nobody holds. A stale input has no effect; reports are counted
nevertheless. An input that is not listed in a state can only be stale there. A fatal report from outside of any
component is never stale. "exited" and "gone" stand for all ways to end except a fatal failure.

How the level, the blame and the other details change is in `tests/it/state_table.txt`.
"#;

/// What becomes of everything in one phase.
fn table(explored: &Explored, phase: Phase) -> String {
    let mut rows: Vec<(&BTreeMap<Outcome, Asked>, Vec<Kind>)> = Vec::new();
    let mut ignored: BTreeMap<Vec<String>, Vec<Kind>> = BTreeMap::new();
    for (&(_, kind), outcomes) in explored.outcomes.iter().filter(|((of, _), _)| *of == phase) {
        let whys = outcomes.keys().map(|outcome| match outcome {
            Outcome::Ignored(why) => Some(format!("`{why}`")),
            Outcome::Absorbed | Outcome::Moved(_) => None,
        });
        if let Some(whys) = whys.collect() {
            ignored.entry(whys).or_default().push(kind);
        } else if let Some((_, kinds)) = rows.iter_mut().find(|(known, _)| alike(known, outcomes)) {
            kinds.push(kind);
        } else {
            rows.push((outcomes, vec![kind]));
        }
    }
    let mut table = String::new();
    if !rows.is_empty() {
        table += "| input | what becomes of it | effects |\n| --- | --- | --- |\n";
    }
    for (outcomes, kinds) in &rows {
        for (outcome, asked) in *outcomes {
            let kinds = joined(kinds);
            let _ = writeln!(table, "| {kinds} | {outcome} | {} |", effects(asked));
        }
    }
    if !rows.is_empty() {
        table.push('\n');
    }
    let everything = rows.is_empty() && ignored.len() == 1;
    // What is ignored because of the state comes before what would be in any.
    let mut ignored: Vec<_> = ignored.into_iter().collect();
    ignored.sort_by_key(|(_, kinds)| kinds[0]);
    let ignored = ignored.iter().map(|(whys, kinds)| {
        let kinds = if everything {
            "everything".into()
        } else {
            joined(kinds)
        };
        format!("{kinds} ({})", whys.join(", "))
    });
    let _ = writeln!(
        table,
        "Ignored: {}.",
        ignored.collect::<Vec<_>>().join("; ")
    );
    table
}

/// Whether two inputs need no rows of their own.
fn alike(one: &BTreeMap<Outcome, Asked>, other: &BTreeMap<Outcome, Asked>) -> bool {
    let shown = |(outcome, asked): (_, &Asked)| (outcome, asked.in_order());
    one.iter().map(shown).eq(other.iter().map(shown))
}

fn effects(asked: &Asked) -> String {
    let effects = asked.in_order().into_iter();
    let effects = effects.map(|(ask, always)| {
        if always {
            ask.to_string()
        } else {
            format!("({ask})")
        }
    });
    joined(&effects.collect::<Vec<_>>())
}

fn joined(items: &[impl ToString]) -> String {
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
