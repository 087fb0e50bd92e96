//! What a component leaves when it ends is kept by class, whether it is stale or not.

use overwatch::driver::{Ended, LastWords, Reported};
use overwatch::machine::{Exit, FailureClass};
use overwatch::policy::ComponentId;

const COMPONENT: ComponentId = ComponentId(3);
const EPOCH: u64 = 7;

fn ended(last_words: LastWords) -> Ended {
    Ended {
        component: COMPONENT,
        epoch: EPOCH,
        how: Exit::Returned,
        gone: true,
        last_words,
    }
}

#[test]
fn each_class_is_told_as_it_was_left() {
    let counts = [(0, 0), (1, 0), (0, 1), (2, 3)];
    let said = |class, (count, stale)| Reported {
        component: Some(COMPONENT),
        epoch: EPOCH,
        class,
        count,
        stale,
    };
    // All combinations: two bits for each class.
    for bits in 0..256_usize {
        let left =
            FailureClass::ALL.map(|class| said(class, counts[bits >> (2 * class as usize) & 3]));
        let is_any = |said: &Reported| said.count + said.stale > 0;
        let words: LastWords = left.into_iter().filter(is_any).collect();
        let ended = ended(words);
        for said in left {
            let expected = is_any(&said).then_some(said);
            assert_eq!(ended.last_word(said.class), expected, "{left:?}");
        }
        let gravest = left.into_iter().filter(is_any).map(|said| said.class).max();
        assert_eq!(words.gravest(), gravest);
        assert_eq!(words.is_empty(), gravest.is_none());
        assert_eq!(words == LastWords::NONE, gravest.is_none());
    }
}

#[test]
fn of_one_class_the_last_one_counts() {
    let said = |count| Reported {
        component: Some(COMPONENT),
        epoch: EPOCH,
        class: FailureClass::Critical,
        count,
        stale: 0,
    };
    let words = [said(1), said(5)].into_iter().collect();
    assert_eq!(
        ended(words).last_word(FailureClass::Critical),
        Some(said(5))
    );
}
