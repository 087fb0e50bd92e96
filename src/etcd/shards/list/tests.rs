use core::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::etcd::shards::claims::{Claim, View};

fn names(names: &[&str]) -> List {
    List::named(&names.iter().map(|&name| name.to_owned()).collect())
}

fn others(lists: &[&List]) -> Others {
    let known = |list: &&List| {
        let record = list.record();
        (
            list.identity(),
            record.and_then(|record| parse_record(&record)),
        )
    };
    lists.iter().map(known).collect()
}

/// The names that each group has, and how many lists know them.
fn grouped(list: &List, others: &Others) -> Vec<(Vec<String>, usize)> {
    let groups = list.groups(others).into_iter();
    let mut groups: Vec<_> = groups
        .map(|Group { places, lists }| {
            let names = places.iter().map(|&place| list.name(place).to_string());
            let mut names: Vec<String> = names.collect();
            names.sort();
            (names, lists.len())
        })
        .collect();
    groups.sort();
    groups
}

fn group(names: &[&str], lists: usize) -> (Vec<String>, usize) {
    (names.iter().map(|&name| name.to_owned()).collect(), lists)
}

#[test]
fn a_list_alone_is_one_group() {
    let (three, letters) = (List::numbered(3), names(&["a", "b"]));
    assert_eq!(
        grouped(&three, &Others::new()),
        [group(&["0", "1", "2"], 1)]
    );
    assert_eq!(
        grouped(&three, &others(&[&three])),
        [group(&["0", "1", "2"], 1)]
    );
    assert_eq!(
        grouped(&letters, &others(&[&letters])),
        [group(&["a", "b"], 1)]
    );
}

#[test]
fn what_several_lists_know_is_a_group_of_its_own() {
    let (two, four) = (List::numbered(2), List::numbered(4));
    let both = others(&[&two, &four]);
    assert_eq!(grouped(&two, &both), [group(&["0", "1"], 2)]);
    let halves = [group(&["0", "1"], 2), group(&["2", "3"], 1)];
    assert_eq!(grouped(&four, &both), halves);

    let (old, new) = (names(&["a", "b", "c"]), names(&["b", "c", "d"]));
    let both = others(&[&old, &new]);
    assert_eq!(
        grouped(&old, &both),
        [group(&["a"], 1), group(&["b", "c"], 2)]
    );
    assert_eq!(
        grouped(&new, &both),
        [group(&["b", "c"], 2), group(&["d"], 1)]
    );

    // One that has names, and one that has numbers; "01" is no number of a shard.
    let mixed = names(&["01", "1", "7"]);
    let both = others(&[&mixed, &four]);
    assert_eq!(
        grouped(&mixed, &both),
        [group(&["01", "7"], 1), group(&["1"], 2)]
    );
    assert_eq!(
        grouped(&four, &both),
        [group(&["0", "2", "3"], 1), group(&["1"], 2)]
    );
}

#[test]
fn all_who_know_a_group_see_it_in_one_order_and_with_the_same_lists() {
    let (old, new) = (names(&["a", "b", "c", "x"]), names(&["b", "c", "d", "x"]));
    let both = others(&[&old, &new]);
    let shared = |list: &List| {
        let groups = list.groups(&both).into_iter();
        let mut shared = groups.filter(|group| group.lists.len() == 2);
        let Group { places, lists } = shared.next().expect("they share some");
        let names: Vec<Arc<str>> = places.iter().map(|&at| list.name(at).clone()).collect();
        (names, list.numbers(&places).collect::<Vec<u64>>(), lists)
    };
    assert_eq!(shared(&old), shared(&new));
}

#[test]
fn a_list_whose_names_are_not_known_yet_counts_for_nothing() {
    let (old, new) = (names(&["a", "b"]), names(&["b", "c"]));
    let unknown = Others::from([(new.identity(), None)]);
    assert_eq!(grouped(&old, &unknown), [group(&["a", "b"], 1)]);
}

#[test]
fn records_are_read_as_they_were_written_and_nothing_else_is() {
    for list in [List::numbered(7), names(&["a", "b"]), names(&["ab"])] {
        let written = list.identity().to_string();
        assert_eq!(Identity::parse(&written), Some(list.identity()));
    }
    for junk in [
        "",
        "x",
        "-1",
        "+1",
        "01",
        "1/",
        "1/x",
        "1/ff",
        "1/0/0",
        "4294967296",
    ] {
        assert_eq!(Identity::parse(junk), None, "{junk}");
    }
    assert_ne!(
        names(&["a", "bc"]).identity(),
        names(&["ab", "c"]).identity()
    );
    assert_ne!(names(&["0", "1"]).identity(), List::numbered(2).identity());
    assert_eq!(parse_record(&[0; 9]), None);
    assert_eq!(parse_record(&[[0xff; 8], [0; 8]].concat()), None);
}

/// Nodes of several versions plan together.
#[test]
fn numbers_are_the_same_for_ever() {
    assert_eq!(number("0"), NUMBER_OF_0);
    assert_eq!(names(&["a", "b"]).identity().to_string(), IDENTITY_OF_A_B);
    let lists = [List::numbered(8).identity(), names(&["a", "b"]).identity()];
    let group = |lists: &[Identity]| Group {
        places: Vec::new(),
        lists: lists.iter().copied().collect(),
    };
    assert_eq!(group(&lists[..1]).seed("w"), "w");
    assert_eq!(group(&lists).seed("w"), format!("w 8 {IDENTITY_OF_A_B}"));
}

const NUMBER_OF_0: u64 = 17_780_328_861_165_268_161;
const IDENTITY_OF_A_B: &str = "2/38c74b3922549f95";

/// Lists of some of these shards: numbered, or by name.
fn any_list() -> impl Strategy<Value = List> {
    prop_oneof![
        (1_u32..12).prop_map(List::numbered),
        prop::collection::btree_set(0_u32..12, 1..12)
            .prop_map(|numbers| { List::named(&numbers.iter().map(u32::to_string).collect()) }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each node plans with its own list. Whatever is held by whom, they agree on where each shard should be, and no
    /// shard that any of them knows is left out.
    #[test]
    fn whatever_lists_there_are_each_shard_is_planned_for_one_node(
        lists in prop::collection::vec(any_list(), 1..6),
        held in prop::collection::vec(0_usize..8, 12),
    ) {
        let known = others(&lists.iter().collect::<Vec<_>>());
        let ids: Vec<String> = (0..lists.len()).map(|node| format!("node-{node}")).collect();
        let identities = lists.iter().map(List::identity);
        let on: BTreeMap<String, Identity> = ids.iter().cloned().zip(identities).collect();
        let now = Duration::ZERO;
        let claim = |name: &str| {
            let holder = held[name.parse::<usize>().expect("a number")];
            let knows = lists.get(holder).is_some_and(|list| list.names().iter().any(|it| **it == *name));
            match knows {
                true => Claim::Held { by: ids[holder].clone(), lease: 1, revision: 1 },
                false => Claim::Released { revision: 1 },
            }
        };
        let mut planned: BTreeMap<String, usize> = BTreeMap::new();
        for (id, list) in ids.iter().zip(&lists) {
            let view = View {
                revision: 1,
                on: on.clone(),
                groups: list.groups(&known).into(),
                list_is_there: true,
                taking_part: true,
                claims: list.names().iter().map(|name| claim(name)).collect(),
                unowned: Arc::default(),
                as_of: None,
            };
            let here = view.planned("work", list, id, now);
            for (name, here) in list.names().iter().zip(here) {
                *planned.entry(name.to_string()).or_default() += usize::from(here);
            }
        }
        for (name, times) in planned {
            prop_assert_eq!(times, 1, "shard {} of {:?}", name, on);
        }
    }
}

/// The other end of each bound is tried with a membership.
#[test]
fn what_cannot_be_a_list_says_what_to_do() {
    let told = |problem: EtcdConfigError| problem.to_string();
    for (count, words) in [(0, "give at least one"), (100_001, "more than 100000")] {
        assert!(told(check_count(count).unwrap_err()).contains(words));
    }
    assert!(check_count(1).is_ok() && check_count(100_000).is_ok());
    assert!(told(check_moving(0).unwrap_err()).contains("give at least 1"));
    assert_eq!(check_moving(1).unwrap(), 1);
    let none: [&str; 0] = [];
    assert!(told(sorted(none).unwrap_err()).contains("give at least one"));
    let twice = told(sorted(["b", "a", "b"]).unwrap_err());
    assert!(twice.contains("\"b\" is given twice"), "{twice}");
    let no_key = told(sorted(["a", "a/b"]).unwrap_err());
    assert!(no_key.contains("shards"), "{no_key}");
    // Of names without an end no more are taken than tell that there are too many.
    let endless = told(sorted((0..).map(|number: u64| number.to_string())).unwrap_err());
    assert!(endless.contains("more than 100000"), "{endless}");
    let names = sorted(["b", "a"]).unwrap();
    assert_eq!(names.iter().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn a_record_is_read_again_when_it_was_written_again() {
    let (own, other) = (Arc::new(names(&["a"])), names(&["b", "c"]));
    let mut lists = Lists::new(&own);
    let entry = |value: &[u8], revision| Entry {
        value: value.into(),
        lease: 7,
        revision,
    };
    let record = other.record().expect("it has names");
    let Identity::Named { hash, .. } = other.identity() else {
        panic!("it has names");
    };
    assert!(!lists.take(hash, &entry(b"junk", 4)), "no node wrote that");
    assert!(lists.take(hash, &entry(&record, 5)));
    assert!(lists.take(hash, &entry(&record, 5)));
    assert!(
        lists.take(hash, &entry(b"junk", 5)),
        "a revision is read once"
    );
    assert!(!lists.take(hash, &entry(b"junk", 6)));
    assert!(lists.take(hash, &entry(&record, 7)));
}
