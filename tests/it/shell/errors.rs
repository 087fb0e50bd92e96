//! Each error of the crate shows its cause once: in its text, or as its source.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use overwatch::explore::Explorer;
use overwatch::policy::{ComponentId, Layout, Plan};
use overwatch::test_util::FakeDependency;
use overwatch::{BuildError, Failure, Fence, Overwatch, Policy, PolicyError, WiringError, feed};

/// The error types that have no source, so that nothing can be shown twice. The test below reads this from the code.
const WITHOUT_SOURCE: &[&str] = &[
    "BuildError",
    "CommandError",
    "CommandLost",
    "Counterexample",
    "EtcdConfigError",
    "ExploreError",
    "Gone",
    "JudgeError",
    "Lagged",
    "PolicyError",
    "RunEnded",
    "RunError",
    "ShardLost",
    "SnapshotError",
    "Thrown",
    "Violation",
    "WiringError",
];

/// The text of each error of the chain is in none of the texts before it.
fn is_told_once(error: &dyn Error) {
    let texts: Vec<String> = std::iter::successors(Some(error), |&error| error.source())
        .map(ToString::to_string)
        .collect();
    for (place, text) in texts.iter().enumerate() {
        let before = &texts[..place];
        assert!(
            !before.iter().any(|other| other.contains(text.as_str())),
            "twice: {texts:?}"
        );
    }
    // And no text repeats a part of itself.
    let parts: Vec<&str> = texts.iter().flat_map(|text| text.split(": ")).collect();
    for (place, part) in parts.iter().enumerate() {
        assert!(!parts[..place].contains(part), "twice {part:?}: {texts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_error_shows_its_cause_twice() {
    let policy = Policy::builder().window(Duration::ZERO).build();
    let policy = policy.unwrap_err();
    let wiring = WiringError::new("what is wrong, and what to do");
    let second = Duration::from_secs(1);
    let names = || "a".to_owned();
    let (fence, own) = (Fence::new(second, second), Fence::new(2 * second, second));
    for error in [
        BuildError::NoComponents,
        BuildError::EmptyName { place: 0 },
        BuildError::DuplicateName { name: names() },
        BuildError::EmptyStage { stage: 0 },
        BuildError::UnknownLeaseOwner { name: names() },
        BuildError::LeaseOwnerWithoutFence { name: names() },
        BuildError::FenceWithoutLeaseOwner,
        BuildError::SeveralLeaseOwners {
            names: [names(), "b".to_owned()],
        },
        BuildError::FenceOfAnotherLease {
            name: names(),
            fence: Box::new(fence),
            own: Box::new(own),
        },
        BuildError::Wiring {
            component: names(),
            error: wiring.clone(),
        },
        BuildError::NothingMayFinish,
        BuildError::StageIsComplete {
            method: "stage_start_deadline",
        },
        BuildError::LeaseOwnerMayFinish { name: names() },
        BuildError::NeverFinishes { name: names() },
        BuildError::WatchdogWithoutFence,
        BuildError::Policy(policy.clone()),
    ] {
        is_told_once(&error);
        // As a failure, which shows all sources.
        let failure = Failure::new(error.clone()).to_string();
        assert_eq!(failure, error.to_string());
    }
    is_told_once(&policy);
    is_told_once(&wiring);
    let layout = Layout::new(&[1]).unwrap();
    let owned = Plan::new(
        Policy::default(),
        layout.clone().with_lease_owner(ComponentId(0)),
    );
    is_told_once(&owned.unwrap_err());
    let plan = Plan::new(Policy::default(), layout).unwrap();
    let unexplored = Explorer::new(plan).unwrap().with_max_states(1).run();
    is_told_once(&unexplored.unwrap_err());

    // A run that ends by a failure with a source.
    let dependency = FakeDependency::new();
    let service = Overwatch::builder(dependency.probe()).task("a", |_| async {
        let cause = std::io::Error::other(PolicyError::new("knob", "1", "it must be 2"));
        Err(Failure::new(cause).fatal())
    });
    let service = service.build().unwrap();
    let handle = service.handle();
    let ended = service.run().await.unwrap_err();
    is_told_once(&ended);
    assert!(ended.to_string().contains("it must be 2"), "{ended}");
    is_told_once(&handle.wait_until_ready().await.unwrap_err());
    let (_feed, probe) = feed();
    drop(probe);
}

#[cfg(feature = "etcd")]
#[test]
fn no_error_of_a_configuration_shows_its_cause_twice() {
    use overwatch::etcd::{EtcdConfig, EtcdProbe, Membership};

    let valid = || EtcdConfig::new(["http://127.0.0.1:2379"]).unwrap();
    for error in [
        EtcdConfig::new([""; 0]).unwrap_err(),
        EtcdConfig::new(["http://a", "http://a"]).unwrap_err(),
        EtcdConfig::new(["ftp://a"]).unwrap_err(),
        EtcdProbe::new(valid().with_user("", "secret")).unwrap_err(),
        EtcdProbe::new(valid().with_latency_budget(Duration::ZERO)).unwrap_err(),
        Membership::builder(valid(), "", "a").build().unwrap_err(),
        Membership::builder(valid(), "p", "a")
            .ttl(Duration::ZERO)
            .build()
            .unwrap_err(),
    ] {
        is_told_once(&error);
    }
}

/// A type that is new is to be looked at: with a source, its text must not contain that of the source.
#[test]
fn each_error_type_is_known() {
    let mut found = Vec::new();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in sources(&src) {
        let text = fs::read_to_string(file).unwrap();
        for (place, line) in text.lines().enumerate() {
            let Some((before, name)) = line.split_once("Error for ") else {
                continue;
            };
            if !line.starts_with("impl ") || before.contains('<') {
                continue;
            }
            let (name, rest) = name.split_once(' ').unwrap_or((name, ""));
            let has_body = !rest.starts_with("{}");
            assert!(
                !has_body,
                "{name} may have a source (line {}): walk it in this test",
                place + 1
            );
            found.push(name.to_owned());
        }
    }
    found.sort();
    assert_eq!(found, WITHOUT_SOURCE);
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(sources(&path));
        } else if path.extension().is_some_and(|ext| ext == "rs") && !path.ends_with("tests.rs") {
            all.push(path);
        }
    }
    all
}
