//! A store that goes back, and another in its place.

use super::*;

#[test]
fn a_revision_that_goes_back_is_told_once() {
    let mut case = Case::alive(config(["http://a", "http://b"]));
    case.read(1, 7, 1_000);
    case.lives(1_000);
    let before = case.asked(CheckKind::Read, 1_900);
    case.answer(0, before, store(1, 3, 2), 2_000);
    let (class, text) = case.fails(2_000);
    assert_eq!(class, "store_reset");
    assert!(
        text.starts_with(
            "etcd's store was reset: http://a:2379: revision went back from 7 to 3. To do: "
        ),
        "{text}"
    );
    // The other endpoint was asked before, and is not held to the store of then.
    case.answer(1, before, store(1, 3, 2), 2_010);
    assert_eq!(case.next(2_010), None, "the other checks say nothing yet");
    case.progress(1, 2_020);
    case.write(1, 2_020);
    assert_eq!(case.next(2_020), None, "nor does what was asked before");
    case.read(1, 3, 2_020);
    case.lives(2_020);
    case.read(0, 4, 3_500);
    case.lives(3_500);
}

#[test]
fn a_term_that_goes_back_is_a_reset_too() {
    let mut case = Case::alive(config(["http://a"]));
    let asked = case.asked(CheckKind::Read, 1_000);
    case.answer(0, asked, store(1, 9, 1), 1_000);
    let (class, text) = case.fails(1_000);
    assert_eq!(class, "store_reset");
    assert!(text.contains("raft term went back from 2 to 1"), "{text}");
}

#[test]
fn answers_that_overtake_each_other_are_no_reset() {
    let mut case = Case::alive(config(["http://a", "http://b"]));
    let asked = case.asked(CheckKind::Read, 1_000);
    case.answer(1, asked, store(1, 9, 3), 1_010);
    case.answer(0, asked, store(1, 8, 2), 1_020);
    case.lives(1_020);
    // What is asked from now on is held to the furthest of them.
    let asked = case.asked(CheckKind::Read, 2_500);
    case.answer(0, asked, store(1, 9, 3), 2_500);
    case.lives(2_500);
    let asked = case.asked(CheckKind::Read, 4_000);
    case.answer(0, asked, store(1, 8, 3), 4_000);
    assert_eq!(case.fails(4_000).0, "store_reset");
}

#[test]
fn a_store_is_remembered_across_a_pause() {
    let mut case = Case::alive(config(["http://a"]));
    case.probe_loop.model.restart(case.at(60_000));
    assert_eq!(case.next(60_000), None);
    case.read(0, 6, 60_000);
    assert_eq!(case.fails(60_000).0, "store_reset");
}

#[test]
fn another_cluster_in_the_place_of_the_known_one_is_a_reset() {
    let mut case = Case::new(config(["http://a", "http://b"]));
    case.opened(0, Some(1), case.t0);
    case.all_from(0, 0);
    case.lives(0);
    case.lost(0, refused(), case.at(10));
    // Whichever endpoint shows it first: nobody answers for the known one any more.
    case.opened(1, Some(2), case.at(20));
    let asked = case.asked(CheckKind::Read, 20);
    case.answer(1, asked, store(2, 9, 2), 20);
    let (class, text) = case.fails(20);
    assert_eq!(class, "store_reset");
    assert!(
        text.contains("http://b:2379: the cluster is another one (2, and was 1)"),
        "{text}"
    );
    let asked = case.asked(CheckKind::Read, 40);
    case.answer(1, asked, store(2, 9, 2), 40);
    case.progress(1, 40);
    case.write(1, 40);
    case.lives(40);
}

#[test]
fn a_store_reset_that_is_tolerated_is_evidence_like_any_other() {
    let config = config(["http://a"]).with_verdict(Fault::StoreReset, Verdict::Transient);
    let mut case = Case::alive(config);
    case.read(0, 3, 1_400);
    case.lives(1_400);
    case.read(0, 3, 2_800);
    case.lives(2_800);
}
