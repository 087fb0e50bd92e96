//! What needs no etcd.

use std::ffi::OsString;
use std::time::Duration;

use overwatch_examples::endpoint::Endpoint;

use super::arguments::{Arguments, Wanted};
use super::etcd::calls;
use super::fault::Fault;
use super::node::{NODE, Told};
use super::record::{Kind, Line, Reader, Recorder};
use super::table::{Table, lines};
use super::verdict::{Longest, Row};

fn parse(arguments: &str) -> Result<Arguments, String> {
    Arguments::parse(arguments.split_whitespace().map(OsString::from))
}

fn wanted(arguments: &str) -> Wanted {
    match parse(arguments) {
        Ok(Arguments::Play(wanted)) => wanted,
        other => panic!("{arguments}: {other:?}"),
    }
}

#[test]
fn arguments_that_make_sense() {
    assert_eq!(parse("--help"), Ok(Arguments::Help));
    let usual = wanted("");
    assert_eq!((usual.members, usual.nodes, usual.shards), (1, 3, 24));
    assert_eq!((usual.ttl, usual.share()), (Duration::from_secs(10), 8));
    assert_eq!(usual.faults.len(), 16);
    assert!(!usual.faults.contains(&Fault::QuorumLost));
    assert_eq!(wanted("--members 3").faults.len(), 19);

    let some = wanted("--nodes 5 --shards 7 --etcd /x/etcd node-hung etcd-killed");
    assert_eq!(some.etcd, Some("/x/etcd".into()));
    assert_eq!(some.faults, [Fault::NodeHung, Fault::EtcdKilled]);
    assert_eq!(some.share(), 2);
    assert!(!some.idle() && !some.keep);
    assert!(wanted("--keep").keep);
    assert_eq!(
        wanted("--write a.md --members 3").write,
        Some("a.md".into())
    );
    assert!(wanted("--shards 1000 redistribution").idle());
}

#[test]
fn arguments_that_do_not() {
    for (arguments, says) in [
        ("--member 3", "unknown option"),
        ("--members", "needs a value"),
        ("--members 2", "take 1 or 3"),
        ("--nodes 1", "no number from 2 to 9"),
        ("--nodes three", "no number from 2 to 9"),
        ("--ttl 9", "no number from 10 to 60"),
        ("--shards 0", "no number from 1 to 10000"),
        ("--shards 1000", "the only fault"),
        ("node-sick", "there is no fault"),
        ("quorum-lost", "needs --members 3"),
        ("--write", "needs a value"),
        ("--write a.md --ttl 11", "for the usual"),
    ] {
        let problem = parse(arguments).unwrap_err();
        assert!(problem.contains(says), "{arguments}: {problem}");
    }
}

#[test]
fn a_node_understands_what_it_is_told() {
    let told = Told {
        id: "node-1".into(),
        etcd: vec!["http://127.0.0.1:1".into(), "http://127.0.0.1:2".into()],
        shards: 24,
        ttl: Duration::from_secs(10),
        target: Some(Endpoint(([127, 0, 0, 1], 3).into())),
        record: "node-1.record".into(),
        drain: Duration::from_millis(1_400),
        generation: 2,
    };
    let idle = Told {
        target: None,
        ..told.clone()
    };
    for told in [told, idle] {
        let mut arguments = told.arguments().into_iter();
        assert_eq!(arguments.next(), Some(NODE.into()));
        assert_eq!(Told::parse(arguments), Some(told));
    }
    assert_eq!(Told::parse(["node-1".into()].into_iter()), None);
}

#[test]
fn what_was_written_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("record");
    let mut reader = Reader::new(path.clone());
    assert_eq!(reader.more().unwrap(), []);
    let recorder = Recorder::create(&path).unwrap();
    let running = recorder.start(7, 42).unwrap();
    running.note(Kind::Begin).unwrap();
    let kinds = |lines: Vec<Line>| lines.iter().map(|line| line.kind).collect::<Vec<_>>();
    assert_eq!(kinds(reader.more().unwrap()), [Kind::Start, Kind::Begin]);
    drop(running);
    let last = reader.more().unwrap();
    assert_eq!((last[0].shard, last[0].run, last[0].token), (7, 0, 42));
    assert_eq!(kinds(last), [Kind::Stop]);
    assert_eq!(reader.more().unwrap(), []);

    let half = dir.path().join("half");
    let mut reader = Reader::new(half.clone());
    std::fs::write(&half, "1 2 3 4 start\n5 6 7").unwrap();
    assert_eq!(reader.more().unwrap().len(), 1);
    std::fs::write(&half, "1 2 3 4 start\n5 6 7 8 stop\n").unwrap();
    assert_eq!(kinds(reader.more().unwrap()), [Kind::Stop]);
    std::fs::write(&half, "1 2 3 4 start\n5 6 7 8 stop\nnonsense\n").unwrap();
    assert!(reader.more().is_err());
}

#[test]
fn calls_are_counted_once() {
    let line = |name: &str, kind: &str, count: &str| {
        format!(
            r#"{name}{{grpc_code="OK",grpc_method="Txn",grpc_service="KV",grpc_type="{kind}"}} {count}"#
        )
    };
    let txn = |times| Some(("Txn".to_owned(), times));
    let handled = "grpc_server_handled_total";
    let received = "grpc_server_msg_received_total";
    assert_eq!(calls(&line(handled, "unary", "12")), txn(12));
    assert_eq!(calls(&line(handled, "unary", "1.2e+03")), txn(1200));
    assert_eq!(calls(&line(handled, "unary", "0")), None);
    assert_eq!(calls(&line(received, "unary", "12")), None);
    assert_eq!(calls(&line(received, "bidi_stream", "3")), txn(3));
    assert_eq!(calls(&line(handled, "bidi_stream", "3")), None);
    assert_eq!(calls("# HELP grpc_server_handled_total of something"), None);
}

#[test]
fn the_table_tells_all_that_is_broken() {
    let none = Longest {
        gap: None,
        allowed: Some(Duration::from_secs(1)),
    };
    let row = Row {
        name: "node killed",
        moves: 17,
        least: Some(16),
        struck: Longest {
            gap: Some(Duration::from_millis(12_340)),
            allowed: Some(Duration::from_secs(11)),
        },
        other: none,
        overlaps: 0,
        balanced: None,
        notes: vec!["something".into()],
        broken: vec!["shard 7".into()],
    };
    let start = Row {
        name: "start",
        moves: 0,
        least: None,
        struck: none,
        other: none,
        overlaps: 0,
        balanced: None,
        notes: Vec::new(),
        broken: Vec::new(),
    };
    let rows = [start, row];
    let wanted = "| 3.4.23 | node killed | 12.34 (11) | 17 (16) | 0 | **no** |";
    assert_eq!(lines("3.4.23", &rows), [wanted], "a line for each fault");
    let told = Table(&rows[1..]).to_string();
    let cells: Vec<&str> = told
        .lines()
        .nth(2)
        .unwrap()
        .split('|')
        .map(str::trim)
        .collect();
    assert_eq!(
        cells[1..7],
        ["node killed", "17 (16)", "12.34 (11)", "-", "0", "never"]
    );
    assert!(told.contains("node killed: something"));
    assert!(told.contains("BROKEN: node killed: shard 7"));
}
