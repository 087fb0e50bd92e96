#![cfg(feature = "test-util")]

use super::super::list::List;
use std::sync::Arc;

use super::*;
use crate::test_util::Detached;

fn work(shards: u32) -> Work {
    Work {
        name: "w".to_owned(),
        list: List::numbered(shards),
        job: Box::new(|_| Box::pin(async { Ok(()) })),
    }
}

fn view(on: &[(&str, u32)], unowned: &[(usize, Instant)]) -> View {
    let since = |place: usize| {
        unowned
            .iter()
            .find(|(at, _)| *at == place)
            .map(|(_, since)| *since)
    };
    let listed = |&(id, shards): &(&str, u32)| (id.to_owned(), Identity::Numbered(shards));
    View {
        revision: 1,
        on: on.iter().map(listed).collect(),
        groups: Arc::from([]),
        list_is_there: true,
        taking_part: true,
        claims: Vec::new(),
        unowned: Arc::new((0..8).map(since).collect()),
        as_of: None,
    }
}

#[test]
fn what_other_nodes_have_is_said_in_words() {
    let numbered = Identity::Numbered;
    assert!(
        differing("node-3", numbered(24), numbered(8))
            .starts_with("node-3 runs this work with 24 shards, this node with 8. Each shard")
    );
    let named = Identity::Named { count: 8, hash: 1 };
    assert!(differing("node-3", named, numbered(8)).starts_with(
        "node-3 runs this work with 8 shards, this node with 8, which are not the same. "
    ));
}

#[tokio::test(start_paused = true)]
async fn each_list_is_told_once_as_long_as_somebody_has_it() {
    let (detached, work) = (Detached::new("w"), work(8));
    let (mut telling, now) = (Telling::default(), Instant::now());
    let mut told = |on: &[(&str, u32)]| {
        telling.look(&detached.context(), &work, &view(on, &[]), 0, now);
        telling.lists.clone()
    };
    let lists = |counts: &[u32]| -> BTreeSet<Identity> {
        counts.iter().copied().map(Identity::Numbered).collect()
    };
    assert_eq!(told(&[("a", 8), ("b", 8)]), lists(&[]));
    assert_eq!(
        told(&[("a", 8), ("b", 24), ("c", 24), ("d", 9)]),
        lists(&[9, 24])
    );
    assert_eq!(told(&[("a", 8), ("b", 24)]), lists(&[24]));
    assert_eq!(told(&[("a", 8)]), lists(&[]));
}

#[tokio::test(start_paused = true)]
async fn what_has_no_owner_is_noted_at_once_and_warned_of_later() {
    let (detached, work) = (Detached::new("w"), work(8));
    let (mut telling, begun) = (Telling::default(), Instant::now());
    let unowned: Vec<(usize, Instant)> = (2..7).map(|place| (place, begun)).collect();
    let mut look = |unowned: &[(usize, Instant)], passed: u64| {
        let now = begun + Duration::from_secs(passed);
        let view = view(&[("a", 8)], unowned);
        let again = telling.look(&detached.context(), &work, &view, 3, now);
        (telling.note.clone(), telling.unowned, again)
    };
    let at = Some(begun + FOR_LONG);
    let note = |seconds: u64| {
        format!(
            "runs 3 of 8 shards; 5 have no owner: shard 2 ({seconds} s), shard 3 ({seconds} s), \
             shard 4 ({seconds} s), and 2 more"
        )
    };
    assert_eq!(look(&unowned, 0), (note(0), false, at));
    assert_eq!(look(&unowned, 4), (note(4), false, at));
    assert_eq!(look(&unowned, 5), (note(5), true, None));
    let all_well = "runs 3 of 8 shards".to_owned();
    assert_eq!(look(&[], 6), (all_well, false, None));
}
