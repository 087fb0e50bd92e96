//! What is told while etcd is alive: the evidence, and which endpoints can be used.

use std::time::Duration;

use overwatch::etcd::{EndpointStatus, EtcdProbe, Fault};
use overwatch_test_support::etcd::{self, Etcd};
use overwatch_test_support::observe::*;
use tokio::time::Instant;

#[tokio::test]
async fn evidence_names_member_checks_latencies_and_revision() {
    let etcd = Etcd::start().await;
    let mut client = etcd.client().await;
    let probe = probe([etcd.url()]);
    for revision in [2, 3] {
        let put = client.put("overwatch/test/data", "x", None).await;
        let header = put.expect("a put").take_header().expect("a header");
        assert_eq!(header.revision(), revision);
        // It may have been read before the put.
        let evidence = loop {
            let evidence = observe(&probe).await.expect("it is alive");
            if evidence.contains(&format!(" at revision {revision} ")) {
                break evidence;
            }
        };
        println!("{evidence}");
        let (url, id) = (etcd.url(), header.member_id());
        let who = format!("{url} (member {id:x}): read at revision {revision} in ");
        let latencies = evidence.strip_prefix(&who).expect(&evidence);
        let latencies: Vec<&str> = latencies.split(", ").collect();
        let [read, progress, proposal] = latencies[..] else {
            panic!("{evidence}")
        };
        for (latency, of) in [
            (read, ""),
            (progress, "watch progress in "),
            (proposal, "proposal in "),
        ] {
            let latency = latency.strip_prefix(of).expect(&evidence);
            // A local etcd answers in milliseconds, or in microseconds.
            let number = latency.trim_end_matches(['m', 'µ', 's']);
            let number: f32 = number.parse().expect(&evidence);
            assert!(number > 0.0 && latency.ends_with("s"), "{evidence}");
        }
    }
}

#[tokio::test]
async fn each_member_that_dies_is_named_and_comes_back() {
    let mut members = Etcd::start_cluster(3).await;
    let probe = probe(members.iter().map(Etcd::url));
    for (sight, member) in probe.endpoints().iter().zip(&members) {
        assert_eq!(sight.url, member.url());
        assert_eq!((sight.usable, sight.member_id), (false, None));
        assert_eq!(sight.problem, None, "nothing is known yet");
    }
    let (log, _guard) = Log::start();
    let (whole, _) = until(&probe, None).await;
    for (sight, member) in whole.iter().zip(&members) {
        let status = member.client().await.status().await.expect("a status");
        let id = status.header().expect("a header").member_id();
        assert_eq!(sight.member_id, Some(id));
    }
    said(&log, &whole);
    for victim in 0..3 {
        members[victim].kill();
        let why = "connection refused";
        // If that was the leader, the others elect another one first.
        let (sights, evidence) = until(&probe, Some((victim, why))).await;
        said(&log, &sights);
        let url = members[victim].url();
        let text = format!("; 2 of 3 endpoints usable, not {url}: {why}");
        assert!(evidence.ends_with(&text), "{evidence}");
        assert_eq!(sights[victim].member_id, whole[victim].member_id);

        members[victim].restart().await;
        let (back, evidence) = until(&probe, None).await;
        assert!(!evidence.contains("endpoints usable"), "{evidence}");
        assert_eq!(back, whole);
        said(&log, &whole);
    }
}

/// A follower, and the leader.
#[tokio::test]
async fn a_member_that_falls_silent_is_named_and_comes_back() {
    let members = Etcd::start_cluster(3).await;
    let probe = probe(members.iter().map(Etcd::url));
    let (log, _guard) = Log::start();
    let (whole, _) = until(&probe, None).await;
    for beside_the_leader in [1, 0] {
        let silent = (etcd::leader(&members).await + beside_the_leader) % 3;
        members[silent].hang();
        let (sights, evidence) = until(&probe, Some((silent, "no answer"))).await;
        said(&log, &sights);
        let text = format!(
            "; 2 of 3 endpoints usable, not {}: no answer",
            members[silent].url()
        );
        assert!(evidence.ends_with(&text), "{evidence}");
        members[silent].resume();
        assert_eq!(until(&probe, None).await.0, whole);
        said(&log, &whole);
    }
}

/// Observes until this one of three members cannot be used, for this reason, and the others can; all
/// if none is named. It is alive all the while. Returns the last sights, and the evidence with them.
async fn until(
    probe: &EtcdProbe,
    unusable: Option<(usize, &str)>,
) -> (Vec<EndpointStatus>, String) {
    let as_wanted = |(index, sight): (usize, &EndpointStatus)| match unusable {
        Some((victim, why)) if victim == index => {
            let problem = (Fault::Unreachable, why.to_owned());
            !sight.usable && sight.problem == Some(problem)
        }
        _ => sight.usable && sight.problem.is_none(),
    };
    let begun = Instant::now();
    loop {
        let evidence = observe(probe).await.expect("alive all the time");
        let sights = probe.endpoints();
        if sights.iter().enumerate().all(as_wanted) {
            println!("{unusable:?} after {:.3?}", begun.elapsed());
            return (sights, evidence);
        }
        // Two idle pings, and a connection that is not opened.
        let limit = Duration::from_secs(25);
        assert!(begun.elapsed() < limit, "never {unusable:?}: {sights:#?}");
    }
}

/// What was logged last says which of these can be used, and why the others cannot, in the words of an
/// operator.
fn said(log: &Log, sights: &[EndpointStatus]) {
    let lines = log.lines();
    let line = lines.last().expect("something was logged");
    let what = if sights.iter().all(|sight| sight.usable) {
        "INFO every endpoint is usable endpoints=\""
    } else {
        "WARN not every endpoint is usable endpoints=\""
    };
    let list = line
        .strip_prefix(what)
        .and_then(|list| list.strip_suffix('"'))
        .unwrap_or_else(|| panic!("{lines:#?}"));
    let of_each: Vec<&str> = list.split("; ").collect();
    assert_eq!(of_each.len(), sights.len(), "{line}");
    for (says, sight) in of_each.iter().zip(sights) {
        let (url, is) = says.rsplit_once(": ").expect(line);
        assert_eq!(url, sight.url);
        let words: &[&str] = if sight.usable {
            &["usable"]
        } else {
            &[
                "connection refused",
                "the connection was closed",
                "no answer",
            ]
        };
        assert!(words.contains(&is), "{line}");
    }
}
