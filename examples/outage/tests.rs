//! The show itself, in real time: `script::play` is what `main` prints.

use std::collections::BTreeSet;
use std::time::Duration;

use overwatch::machine::Phase;
use overwatch_examples::timeline::{Did, Event};

use super::arguments::Arguments;
use super::flapping;
use super::script::{WINDOW, play};
use super::summary::Summary;

#[tokio::test]
async fn the_show_keeps_its_promises() {
    let (mut said, mut lines) = (Vec::new(), Vec::new());
    let summary = play(
        |line| said.push(line.to_owned()),
        |entry| lines.push(entry.line(false)),
    )
    .await
    .unwrap();
    let told = lines.join("\n");
    assert_eq!(summary.broken_promises(), Vec::<String>::new(), "{told}");
    assert!(summary.to_string().contains("All promises kept"));

    let said = said.join("\n");
    assert!(said.contains("for 3s (default 30s)"), "{said}");
    assert_eq!(lines.len(), summary.entries.len());

    each_stop_begins_after_the_endpoint_has_said_503(&summary);
    assert_eq!(epochs(&summary), BTreeSet::from([1, 2, 3, 4]));
    let proven = summary.proven_for();
    assert_eq!(proven.len(), 3);
    let slack = Duration::from_secs(2);
    for proven in proven {
        assert!((WINDOW..WINDOW + slack).contains(&proven), "{proven:?}");
    }
    let answers = summary.answers();
    assert!(answers["Stopped"].keys().eq(&[503]), "{answers:?}");
    assert!(told.contains("gave no sign of life for 1.5s"), "{told}");
    assert!(told.contains("it is failing: no sign of life"), "{told}");
    assert!(told.contains("it is failing: no leader"), "{told}");
}

#[tokio::test]
async fn each_relapse_doubles_the_hold_off_and_a_reset_begins_anew() {
    let mut lines = Vec::new();
    let hold_offs = flapping::play(|_| {}, |entry| lines.push(entry.line(false)));
    let hold_offs = hold_offs.await.unwrap();
    let expected = [1, 2, 4, 8, 1].map(|times| times * flapping::WINDOW);
    assert_eq!(hold_offs, expected);
    let told = lines.join("\n");
    assert!(
        told.contains("of 4.0s (window 0.5s, relapsed 3 times lately; "),
        "{told}"
    );
}

/// In the order in which a reader of the screen sees it.
fn each_stop_begins_after_the_endpoint_has_said_503(summary: &Summary) {
    let mut unready = false;
    for entry in &summary.entries {
        match &entry.event {
            Event::Answered(answer) => unready = answer.code == 503,
            Event::Moved(moved) if moved.to == Phase::Running => unready = false,
            Event::Component { did, .. } => match did {
                Did::ToldToStop { code } => {
                    assert_eq!(*code, Some(503), "{entry:?}");
                    unready = true;
                }
                Did::Gone(_) => assert!(unready, "{entry:?}"),
                _ => {}
            },
            _ => {}
        }
    }
}

fn epochs(summary: &Summary) -> BTreeSet<u64> {
    let epoch = |event: &Event| match event {
        Event::Component { epoch, .. } => Some(*epoch),
        _ => None,
    };
    summary
        .entries
        .iter()
        .filter_map(|entry| epoch(&entry.event))
        .collect()
}

/// What would keep nobody's promise must be called broken.
#[test]
fn a_show_in_which_nothing_happened_is_called_broken() {
    let summary = Summary::of(Vec::new(), Vec::new(), Duration::from_secs(31));
    let broken = summary.broken_promises();
    assert!(broken.len() >= 8, "{broken:?}");
    assert!(summary.to_string().contains("BROKEN: "));
}

fn parse(arguments: &str) -> Result<Arguments, String> {
    Arguments::parse(arguments.split_whitespace().map(str::to_owned))
}

#[test]
fn arguments_that_make_sense() {
    assert_eq!(parse(""), Ok(Arguments::Script));
    assert_eq!(parse("--help"), Ok(Arguments::Help));
    assert_eq!(parse("--flapping"), Ok(Arguments::Flapping));
    assert!(parse("--flapping --etcd http://a:1").is_err());
    let several = "--etcd http://a:2379,http://b:2379 --window 2.5 --etcd https://c:2379";
    assert_eq!(
        parse(several),
        Ok(Arguments::Etcd {
            urls: ["http://a:2379", "http://b:2379", "https://c:2379"]
                .map(str::to_owned)
                .into(),
            window: Some(Duration::from_millis(2500)),
        })
    );
}

#[test]
fn arguments_that_do_not() {
    for (arguments, says) in [
        ("--etdc", "unknown argument"),
        ("--etcd", "needs a URL"),
        ("--etcd --window 3", "needs a URL"),
        ("--window", "needs seconds"),
        ("--etcd http://a --window soon", "is no number of seconds"),
        ("--etcd http://a --window -1", "is no number of seconds"),
        ("--etcd http://a --window NaN", "is no number of seconds"),
        ("--window 3", "goes with --etcd only"),
    ] {
        let problem = parse(arguments).unwrap_err();
        assert!(problem.contains(says), "{arguments}: {problem}");
    }
}
