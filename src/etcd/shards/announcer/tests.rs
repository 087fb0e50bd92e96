use std::sync::Arc;

use super::*;

const BEGUN: Duration = Duration::from_secs(1_000);

fn view(on: &[(&str, u32)], unowned: &[(usize, Duration)]) -> View {
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
fn each_list_is_told_once_as_long_as_somebody_has_it() {
    let (list, mut announcer) = (List::numbered(8), Announcer::default());
    let mut told = |on: &[(&str, u32)]| announcer.look(&list, &view(on, &[]), 0, BEGUN).lines;
    let warned = |id: &str, theirs| Line::OtherShards {
        node: id.to_owned(),
        theirs,
        ours: 8,
    };
    assert_eq!(told(&[("a", 8), ("b", 8)]), []);
    let others = [("a", 8), ("b", 24), ("c", 24), ("d", 9)];
    // Of several that have it one is named.
    assert_eq!(told(&others), [warned("d", 9), warned("c", 24)]);
    assert_eq!(told(&others), []);
    assert_eq!(told(&[("a", 8), ("b", 24)]), []);
    assert_eq!(told(&[("a", 8)]), [Line::SameShards]);
    assert_eq!(told(&[("a", 8)]), []);
    assert_eq!(told(&[("a", 8), ("b", 24)]), [warned("b", 24)], "anew");
}

#[test]
fn what_has_no_owner_is_noted_at_once_and_warned_of_later() {
    let (list, mut announcer) = (List::numbered(8), Announcer::default());
    let unowned: Vec<(usize, Duration)> = (2..7).map(|place| (place, BEGUN)).collect();
    let mut look = |unowned: &[(usize, Duration)], millis: u64| {
        let now = BEGUN + Duration::from_millis(millis);
        announcer.look(&list, &view(&[("a", 8)], unowned), 3, now)
    };
    let which = |seconds: u64| {
        format!("shard 2 ({seconds} s), shard 3 ({seconds} s), shard 4 ({seconds} s), and 2 more")
    };
    let note = |seconds: u64| {
        let which = which(seconds);
        Some(format!("runs 3 of 8 shards; 5 have no owner: {which}"))
    };
    let told = |note, lines, again| Told { note, lines, again };
    let at = Some(BEGUN + FOR_LONG);
    assert_eq!(look(&unowned, 0), told(note(0), vec![], at));
    assert_eq!(look(&unowned, 1), told(None, vec![], at));
    assert_eq!(look(&unowned, 4_999), told(note(4), vec![], at));
    let warned = vec![Line::Unowned {
        count: 5,
        of: 8,
        shards: which(5),
    }];
    assert_eq!(look(&unowned, 5_000), told(note(5), warned, None));
    assert_eq!(look(&unowned, 5_001), told(None, vec![], None));
    let note = Some("runs 3 of 8 shards".to_owned());
    assert_eq!(look(&[], 6_000), told(note, vec![Line::Owned], None));
    assert_eq!(look(&[], 6_001), told(None, vec![], None));
}

/// One that is new among those that are known for long is warned of with the next that are.
#[test]
fn the_next_look_is_when_the_first_of_them_has_no_owner_for_long() {
    let (list, mut announcer) = (List::numbered(8), Announcer::default());
    let second = Duration::from_secs(1);
    let unowned = [(1, BEGUN + 3 * second), (2, BEGUN), (3, BEGUN + second)];
    let mut again = |passed| {
        let told = announcer.look(&list, &view(&[], &unowned), 0, BEGUN + passed);
        told.again.map(|at| at - BEGUN)
    };
    assert_eq!(again(second), Some(FOR_LONG));
    assert_eq!(again(FOR_LONG), Some(FOR_LONG + second));
    assert_eq!(again(FOR_LONG + second), Some(FOR_LONG + 3 * second));
    assert_eq!(again(FOR_LONG + 3 * second), None);
}

#[test]
fn three_shards_without_an_owner_are_named_and_the_others_counted() {
    let (list, named) = (
        List::numbered(8),
        "shard 0 (0 s), shard 1 (0 s), shard 2 (0 s)",
    );
    for (count, text) in [
        (0, String::new()),
        (1, "shard 0 (0 s)".to_owned()),
        (3, named.to_owned()),
        (4, format!("{named}, and 1 more")),
    ] {
        let unowned = (0..count).map(|place| (place, BEGUN));
        assert_eq!(describe(&list, unowned, BEGUN), text);
    }
}
