use std::collections::BTreeMap;

use super::*;
use crate::etcd::records::Prefix;
use crate::etcd::shards::claims::REMEMBERED;
use crate::etcd::shards::list::List;

const BEGUN: Duration = Duration::from_secs(1_000);
const GRACE: Duration = Duration::from_secs(1);

fn nobody(from: Duration) -> Claim {
    Claim::None { from, last: None }
}

/// What etcd holds, and what was removed from it since it was last read.
struct Store {
    follower: Follower,
    entries: BTreeMap<Vec<u8>, Entry>,
    removed: Vec<(Vec<u8>, Entry)>,
    revision: i64,
    now: Duration,
}

impl Store {
    fn new() -> Self {
        Self::with(List::numbered(2))
    }

    fn with(list: List) -> Self {
        let (list, now) = (Arc::new(list), BEGUN);
        let keys = Prefix::parse("p").expect("valid").work("w");
        Self {
            follower: Follower::new(keys, "p/work/w/on/a/7", &list, GRACE, now),
            entries: BTreeMap::new(),
            removed: Vec::new(),
            revision: 1,
            now,
        }
    }

    fn put(&mut self, key: &str, value: &str, lease: i64) {
        self.put_bytes(key, value.as_bytes(), lease);
    }

    fn put_bytes(&mut self, key: &str, value: &[u8], lease: i64) {
        self.revision += 1;
        let entry = Entry {
            value: value.into(),
            lease,
            revision: self.revision,
        };
        self.entries.insert(format!("p/work/w/{key}").into(), entry);
    }

    fn remove(&mut self, key: &str) {
        self.revision += 1;
        let gone = self
            .entries
            .remove_entry(format!("p/work/w/{key}").as_bytes());
        self.removed.push(gone.expect("it was there"));
    }

    fn view_after(&mut self, passed: Duration, anew: bool) -> View {
        self.now += passed;
        let removed = std::mem::take(&mut self.removed);
        self.follower
            .read(&self.entries, self.revision, &removed, anew, self.now)
    }

    fn view(&mut self) -> View {
        self.view_after(Duration::ZERO, false)
    }
}

fn planned(view: &View, id: &str, now: Duration) -> Vec<bool> {
    view.planned("w", &List::numbered(2), id, now)
}

#[test]
fn what_nobody_knows_about_is_left_alone_for_a_while() {
    let mut store = Store::new();
    let view = store.view_after(Duration::ZERO, true);
    let from = store.now + GRACE;
    assert_eq!(view.claims, [nobody(from), nobody(from)]);
    // It counts from when it was first seen.
    let later = store.view_after(GRACE, false);
    assert_eq!(later.claims[0], nobody(from));
    // Somebody else may have had it, and lost it, while nothing was seen.
    let anew = store.view_after(GRACE, true);
    let from = store.now + GRACE;
    assert_eq!(anew.claims[0], nobody(from));
}

#[test]
fn a_claim_that_vanishes_is_left_alone_and_one_that_was_released_is_not() {
    let mut store = Store::new();
    store.view_after(Duration::ZERO, true);
    store.put("shard/0", "a", 7);
    store.put("shard/1", "a", 7);
    let held = store.view_after(GRACE, false);
    let by = |revision| Claim::Held {
        by: "a".to_owned(),
        lease: 7,
        revision,
    };
    assert_eq!(held.claims, [by(2), by(3)]);
    store.put("shard/1", "", 7);
    assert_eq!(store.view().claims[1], Claim::Released { revision: 4 });
    store.remove("shard/0");
    store.remove("shard/1");
    let (view, now) = (store.view_after(GRACE, false), store.now);
    let claims = [
        Claim::None {
            from: now + GRACE,
            last: Some("a".to_owned()),
        },
        nobody(now),
    ];
    assert_eq!(view.claims, claims);
}

#[test]
fn who_takes_part_twice_counts_once_and_who_only_claims_does_not_count() {
    let mut store = Store::new();
    store.put("on/a/7", "2", 7);
    store.put("on/a/8", "2", 8);
    store.put("on/b/9", "2", 9);
    store.put("shard/0", "c", 10);
    store.put("shard/1", "a", 7);
    let view = store.view();
    assert!(view.on.keys().eq(["a", "b"]) && view.taking_part);
    // One each: a keeps what it has, and b waits for the other until c has released it.
    assert_eq!(planned(&view, "a", store.now), [false, true]);
    assert_eq!(planned(&view, "b", store.now), [true, false]);
    assert_eq!(planned(&view, "c", store.now), [false, false]);
    store.remove("on/a/7");
    let view = store.view();
    assert!(
        view.on.contains_key("a") && !view.taking_part,
        "by another lease"
    );
}

#[test]
fn what_nobody_of_ours_wrote_is_left_alone() {
    let mut store = Store::new();
    let before = store.view();
    for key in [
        "shard/2",
        "shard/x",
        "shard/\u{fe}",
        "on/a",
        "on//7",
        "junk",
    ] {
        store.put(key, "a", 7);
    }
    store.put("on/stranger/7", "2", 0);
    store.put("on/a/8", "2", 7);
    store.put("on/a/7", "so many", 7);
    store.put("list/xyz", "junk", 7);
    store.put("list/00000000000000ff", "junk", 7);
    let view = store.view();
    assert_eq!((view.on, view.claims), (before.on, before.claims));
    // In the place of a claim it is in the way of one.
    store.put("shard/0", "a", 0);
    store.put("shard/1", "", 0);
    let entry = store.entries.get_mut(&b"p/work/w/shard/0"[..]);
    entry.expect("just put").value = vec![0xff];
    let view = store.view();
    let warned = |key: &str| {
        store
            .follower
            .foreign
            .has(format!("p/work/w/{key}").as_bytes())
    };
    for key in [
        "shard/2",
        "shard/x",
        "on/a",
        "on//7",
        "junk",
        "on/stranger/7",
        "on/a/7",
        "list/xyz",
        "list/00000000000000ff",
        "shard/0",
        "shard/1",
    ] {
        assert!(warned(key), "{key}");
    }
    let in_the_way =
        |claim: &Claim| matches!(claim, Claim::Held { by, lease: 0, .. } if by.is_empty());
    assert!(view.claims.iter().all(in_the_way), "{view:?}");
}

/// Whichever of the two would get it otherwise.
#[test]
fn who_is_back_in_time_finds_its_shard() {
    for owner in ["a", "b"] {
        let mut store = Store::new();
        store.put("on/a/7", "2", 7);
        store.put("on/b/8", "2", 8);
        store.put("on/c/9", "2", 9);
        store.put("shard/0", owner, 6);
        store.put("shard/1", "c", 9);
        store.view();
        store.remove("shard/0");
        let view = store.view();
        let planned = |id, at| planned(&view, id, at)[0];
        let free = store.now + GRACE;
        for (id, at) in [("a", store.now), ("b", store.now), ("a", free), ("b", free)] {
            assert_eq!(planned(id, at), id == owner, "{owner} {id}");
        }
        // Who comes later cannot know it, so in the end it counts no more.
        let later = free + REMEMBERED;
        assert!(planned("a", later) != planned("b", later));
        let known = ["a", "b"].map(|id| planned(id, later));
        assert_eq!(known, fresh().map(|shard| shard[0]));
    }
}

/// What a and b make of the same records without having seen what was before.
fn fresh() -> [Vec<bool>; 2] {
    let mut store = Store::new();
    store.put("on/a/7", "2", 7);
    store.put("on/b/8", "2", 8);
    store.put("on/c/9", "2", 9);
    store.put("shard/1", "c", 9);
    let view = store.view();
    ["a", "b"].map(|id| planned(&view, id, store.now))
}

#[test]
fn what_another_list_has_is_left_to_its_nodes_and_nobody_is_warned_of_each_key() {
    let mut store = Store::new();
    store.put("on/a/7", "2", 7);
    store.put("on/b/8", "4", 8);
    store.put("shard/3", "b", 8);
    store.put("shard/1", "b", 8);
    let view = store.view();
    let warned = |store: &Store| store.follower.foreign.has(b"p/work/w/shard/3");
    assert!(!warned(&store));
    // Both know 0 and 1.
    let both = ["a", "b"].map(|id| planned(&view, id, store.now));
    assert_eq!(both, [[true, false], [false, true]]);
    // It leaves, and its shards drain.
    store.remove("on/b/8");
    for _ in 0..3 {
        store.view();
        assert!(!warned(&store));
    }
    store.remove("shard/3");
    store.view();
    store.put("shard/3", "b", 8);
    store.remove("shard/1");
    store.view();
    assert!(warned(&store), "that lease was no node's any more");
}

/// It was started anew with another list, and its former registration is there still.
#[test]
fn who_takes_part_twice_has_the_list_that_it_told_last() {
    let mut store = Store::new();
    store.put("on/a/9", "2", 9);
    store.put("on/a/7", "4", 7);
    let view = store.view();
    assert_eq!(view.on.get("a"), Some(&Identity::Numbered(4)));
    assert!(view.groups[0].lists.contains(&Identity::Numbered(4)));
}

#[test]
fn lists_with_names_are_known_as_long_as_their_records_are_there() {
    let jobs = |names: &[&str]| List::named(&names.iter().map(|&name| name.to_owned()).collect());
    let (own, other) = (jobs(&["x", "y"]), jobs(&["y", "z"]));
    let mut store = Store::with(jobs(&["x", "y"]));
    let key = |list: &List| {
        format!(
            "list/{}",
            list.identity().record_name().expect("it has names")
        )
    };
    let view = store.view();
    assert!(!view.list_is_there);
    store.put_bytes(&key(&own), &own.record().expect("it has names"), 7);
    store.put("on/a/7", &own.identity().to_string(), 7);
    store.put("on/b/8", &other.identity().to_string(), 8);
    let view = store.view();
    assert!(view.list_is_there);
    let here = |view: &View| view.planned("w", &own, "a", BEGUN);
    assert_eq!(here(&view), [true, true], "what b has is not known yet");
    store.put_bytes(&key(&other), &other.record().expect("it has names"), 8);
    let view = store.view();
    let both = [own.identity(), other.identity()];
    assert_eq!(view.groups.len(), 2);
    assert!(
        view.groups
            .iter()
            .any(|group| group.lists.iter().eq(BTreeSet::from(both).iter()))
    );
}

#[test]
fn a_shard_has_the_owner_that_claims_it_and_otherwise_none_since_that_was_first_seen() {
    let mut store = Store::new();
    let second = Duration::from_secs(1);
    let view = store.view();
    let since = Some(BEGUN);
    assert_eq!((view.owner(0), view.owner(1)), (Err(since), Err(since)));
    assert!(view.unowned().eq([(0, BEGUN), (1, BEGUN)]));

    store.put("shard/0", "a", 7);
    let view = store.view_after(second, false);
    assert_eq!((view.owner(0), view.owner(1)), (Ok("a"), Err(since)));
    assert!(view.unowned().eq([(1, BEGUN)]), "it goes on");
    store.put("shard/0", "b", 8);
    assert_eq!(store.view_after(second, false).owner(0), Ok("b"));

    // Released, vanished, or in the way: nobody runs it.
    let released = Some(BEGUN + 3 * second);
    store.put("shard/0", "", 8);
    assert_eq!(store.view_after(second, false).owner(0), Err(released));
    store.remove("shard/0");
    assert_eq!(store.view_after(second, false).owner(0), Err(released));
    store.put("shard/0", "nobody", 0);
    let view = store.view_after(second, false);
    assert_eq!(view.owner(0), Err(released), "no node wrote that");
    assert!(view.unowned().eq([(0, BEGUN + 3 * second), (1, BEGUN)]));

    store.put("shard/0", "a", 7);
    store.put("shard/1", "a", 7);
    let view = store.view_after(second, false);
    assert_eq!((view.owner(0), view.owner(1)), (Ok("a"), Ok("a")));
    assert_eq!(view.unowned().count(), 0);
}

/// So that a work of many shards, whose views are dear, takes a quarter of a core at most.
#[test]
fn the_pause_after_a_view_is_three_times_what_it_took() {
    let took = |millis| rest_after(BEGUN, BEGUN + Duration::from_millis(millis));
    assert_eq!(took(0), Duration::ZERO);
    assert_eq!(took(20), Duration::from_millis(60));
    let earlier = BEGUN - GRACE;
    assert_eq!(
        rest_after(BEGUN, earlier),
        Duration::ZERO,
        "a clock that went back"
    );
}
