//! What users can name at the root of the crate, and what they may count on with all of it.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::path::Path;

use syn::{Item, UseTree, Visibility};

fn held<T: Debug + Send + Sync>() {}

#[cfg(feature = "shell")]
fn handed_over<T: Debug + Send>() {}

/// Types that can be printed and go to other threads, by this function.
macro_rules! types {
    ($by:ident: $($name:ident $(<$argument:ty>)?),* $(,)?) => {{
        $($by::<overwatch::$name $(<$argument>)?>();)*
        [$(stringify!($name)),*]
    }};
}

/// What is no type.
const OTHERS: &[&str] = &[
    "Classify",
    "Component",
    "ComponentResult",
    "IntoObservation",
    "LeaseHolder",
    "Probe",
    "StartStop",
    "all",
    "async_trait",
    "component_fn",
    "feed",
    "isolated",
    "no_dependency",
    "polled",
];

#[test]
fn all_types_at_the_root_are_debug_send_and_sync() {
    #[cfg_attr(not(feature = "shell"), expect(unused_mut))]
    let mut names = types![held: Fence, Policy, PolicyError, Tuning].to_vec();
    #[cfg(feature = "shell")]
    names.extend(types![held:
        All,
        Arrived,
        BuildError,
        CaughtTask<String>,
        CommandAnswer,
        CommandError,
        CommandLost,
        CommandOutcome,
        ComponentStatus,
        Context,
        DependencyStatus,
        Failure,
        Feed,
        FeedProbe,
        Handle,
        Hold,
        Isolated<overwatch::FeedProbe>,
        Lagged,
        NoDependency,
        Observation,
        Outage,
        Polled<()>,
        ProbeMode,
        Reporter,
        RunEnded,
        RunError,
        RunReport,
        Status,
        StopSignal,
        StepRecord,
        SubTask<String>,
        TransitionEvent,
        Transitions,
        UncleanStop,
        WiringError,
    ]);
    #[cfg(feature = "shell")]
    {
        held::<overwatch::Wiring<'static>>();
        names.push("Wiring");
    }
    // They hold a hook, which is called by one thread and need not be shared.
    #[cfg(feature = "shell")]
    names.extend(types![handed_over: Builder, Overwatch]);
    #[cfg(feature = "shell")]
    assert_eq!(
        public_names(),
        names
            .into_iter()
            .chain(OTHERS.iter().copied())
            .map(str::to_owned)
            .collect()
    );
    #[cfg(not(feature = "shell"))]
    assert!(
        names
            .iter()
            .chain(OTHERS)
            .all(|name| public_names().contains(*name))
    );
}

/// All that `lib.rs` names as public, by its own words.
fn public_names() -> BTreeSet<String> {
    fn names(tree: &UseTree, into: &mut BTreeSet<String>) {
        match tree {
            UseTree::Path(path) => names(&path.tree, into),
            UseTree::Name(name) => drop(into.insert(name.ident.to_string())),
            UseTree::Rename(name) => drop(into.insert(name.rename.to_string())),
            UseTree::Glob(_) => panic!("a list that cannot be read: name what is public"),
            UseTree::Group(group) => group.items.iter().for_each(|tree| names(tree, into)),
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let file = syn::parse_file(&fs::read_to_string(root).expect("the root")).expect("Rust");
    let mut all = BTreeSet::new();
    for item in &file.items {
        if let Item::Use(item) = item
            && matches!(item.vis, Visibility::Public(_))
        {
            names(&item.tree, &mut all);
        }
    }
    all
}

/// What users hold of the modules is so as well.
#[test]
fn types_in_modules_are_debug_send_and_sync() {
    use overwatch::{driver, explore, law, machine, policy};

    held::<policy::Plan>();
    held::<policy::Layout>();
    held::<policy::Need>();
    held::<machine::Machine>();
    held::<machine::Snapshot>();
    held::<machine::Input>();
    held::<machine::Effect>();
    held::<law::Monitor>();
    held::<law::Checked>();
    held::<law::Violation>();
    held::<driver::Driver>();
    held::<driver::Decider>();
    held::<explore::Explorer>();
    held::<explore::ExploreError>();
    #[cfg(feature = "etcd")]
    {
        use overwatch::etcd;

        held::<etcd::EtcdConfig>();
        held::<etcd::EtcdConfigError>();
        held::<etcd::Tls>();
        held::<etcd::EtcdProbe>();
        held::<etcd::EndpointStatus>();
        held::<etcd::Membership>();
        held::<etcd::MembershipBuilder>();
        held::<etcd::Members>();
        held::<etcd::Shards>();
        held::<etcd::Shard>();
        held::<etcd::ShardHold>();
        held::<etcd::ShardLost>();
        held::<etcd::Owners>();
        held::<etcd::PrefixWatch<u32>>();
        held::<etcd::PrefixView<u32>>();
        held::<etcd::PrefixSnapshot<u32>>();
    }
    #[cfg(feature = "http")]
    held::<overwatch::http::RequireReady>();
    #[cfg(feature = "http-server")]
    held::<overwatch::http::Server>();
    #[cfg(feature = "test-util")]
    {
        held::<overwatch::test_util::FakeDependency>();
        held::<overwatch::test_util::TestContext>();
        held::<overwatch::test_util::DependencyScript>();
        held::<overwatch::test_util::Judge>();
        held::<overwatch::test_util::JudgeError>();
    }
}
