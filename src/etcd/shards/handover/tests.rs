use core::time::Duration;
use std::sync::Arc;

use super::*;
use crate::etcd::shards::claims::Claim;

const LEASE: i64 = 7;

fn held(by: &str, lease: i64, revision: i64) -> Claim {
    Claim::Held {
        by: by.to_owned(),
        lease,
        revision,
    }
}

fn view(claims: Vec<Claim>) -> View {
    View {
        revision: 9,
        on: BTreeMap::new(),
        groups: Arc::from([]),
        list_is_there: true,
        taking_part: true,
        unowned: Arc::new(vec![None; claims.len()]),
        as_of: None,
        claims,
    }
}

fn job(claim: i64) -> RunningShard {
    RunningShard {
        claim,
        begun: Duration::ZERO,
        stopping: true,
    }
}

#[test]
fn what_is_handed_over_is_released_once_and_only_when_it_has_stopped() {
    let own = |revision| held("a", LEASE, revision);
    let released = Claim::Released { revision: 9 };
    let view = view(vec![own(5), own(6), held("b", 8, 7), own(8), released]);
    let running = BTreeMap::from([(1, job(6)), (4, job(10))]);
    // Of what was claimed and not seen one is seen by now, and one runs.
    let unseen = [4, 3, 2];
    for answering in [true, false] {
        let mut hand_over = HandOver::new(Some(&view), LEASE, &unseen, &running, answering);
        let first = hand_over.release();
        let all = [(0, Some(5)), (2, None), (3, None)];
        assert_eq!(first, if answering { &all[..] } else { &[] });
        hand_over.ended(4, 10);
        hand_over.ended(1, 6);
        let rest = hand_over.release();
        let all = [(1, Some(6)), (4, Some(10))];
        assert_eq!(rest, if answering { &all[..] } else { &[] });
        assert_eq!(hand_over.release(), []);
        hand_over.released(false);
        hand_over.ended(1, 6);
        assert_eq!(hand_over.release(), [], "the lease tells the others");
    }
}

/// It was told to stop before it had seen anything.
#[test]
fn what_was_claimed_and_never_seen_is_released_whatever_its_revision_is() {
    let mut hand_over = HandOver::new(None, LEASE, &[2, 0], &BTreeMap::new(), true);
    assert_eq!(hand_over.release(), [(0, None), (2, None)]);
}
