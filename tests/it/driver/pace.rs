//! What waits outside of the driver is delayed, and nothing else: at most so much later, nothing is lost,
//! the gravest goes first, and what is urgent does not wait.

use std::time::Duration;

use overwatch::driver::Reported;
use overwatch::driver::pace::{Answers, Coalesce, Reports, WITHIN, Wake, room_for};
use overwatch::machine::FailureClass;
use overwatch::policy::ComponentId;
use proptest::prelude::*;

use crate::world::ms;

/// The numbers of the reports that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Texts(Vec<u64>);

impl Coalesce for Texts {
    fn coalesce(&mut self, later: Self) {
        self.0.extend(later.0);
    }
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Gather(Reported),
    /// The senders had nothing to say.
    GatherNothing,
    Take,
    /// The component ends, and has said so many more in this class.
    Ends(ComponentId, FailureClass, u64),
    Wait(u64),
}

fn any_op() -> impl Strategy<Value = Op> {
    let class = || prop::sample::select(&FailureClass::ALL[..]);
    let said = (
        prop::option::of(0..3_u32),
        1..3_u64,
        class(),
        1..4_u64,
        0..2_u64,
    );
    let said = said.prop_map(|(component, epoch, class, count, stale)| Reported {
        component: component.map(ComponentId),
        epoch,
        class,
        count,
        stale,
    });
    let ends = (0..3_u32, class(), 0..3_u64);
    prop_oneof![
        6 => said.prop_map(Op::Gather),
        4 => Just(Op::Take),
        1 => Just(Op::GatherNothing),
        1 => ends.prop_map(|(id, class, count)| Op::Ends(ComponentId(id), class, count)),
        2 => (0..12_u64).prop_map(Op::Wait),
    ]
}

type Sender = (Option<ComponentId>, u64, FailureClass);

/// What was gathered and not taken yet, in the plainest way.
#[derive(Default)]
struct Model {
    waiting: Vec<(Sender, u64, u64, Vec<u64>)>,
    numbers: u64,
}

impl Model {
    fn add(&mut self, said: Reported) -> Texts {
        self.numbers += 1;
        let sender = (said.component, said.epoch, said.class);
        match self.waiting.iter_mut().find(|entry| entry.0 == sender) {
            Some(entry) => {
                entry.1 += said.count;
                entry.2 += said.stale;
                entry.3.push(self.numbers);
            }
            None => self
                .waiting
                .push((sender, said.count, said.stale, vec![self.numbers])),
        }
        Texts(vec![self.numbers])
    }

    fn remove(&mut self, place: usize) -> (Reported, Texts) {
        let ((component, epoch, class), count, stale, texts) = self.waiting.remove(place);
        let said = Reported {
            component,
            epoch,
            class,
            count,
            stale,
        };
        (said, Texts(texts))
    }

    /// The gravest, and of these the one that came first.
    fn take(&mut self) -> Option<(Reported, Texts)> {
        let gravest = self.waiting.iter().map(|entry| entry.0.2).max()?;
        let place = self.waiting.iter().position(|entry| entry.0.2 == gravest)?;
        Some(self.remove(place))
    }
}

proptest! {
    #[test]
    fn no_report_is_lost_and_the_gravest_goes_first(ops in prop::collection::vec(any_op(), 1..80)) {
        let (mut reports, mut model) = (Reports::default(), Model::default());
        let (mut now, mut gathered_at) = (Duration::ZERO, None::<Duration>);
        for op in ops {
            match op {
                Op::Gather(said) => {
                    let texts = model.add(said);
                    reports.gather([(said, texts)], now);
                    gathered_at = Some(now);
                }
                Op::GatherNothing => reports.gather([], now),
                Op::Take => prop_assert_eq!(reports.take(), model.take()),
                Op::Ends(id, class, count) => {
                    let epoch = 1;
                    let newly = (count > 0).then(|| {
                        let component = Some(id);
                        let said = Reported { component, epoch, class, count, stale: 0 };
                        (said, model.add(said))
                    });
                    let words = reports.last_words(id, epoch, newly);
                    for (class, word) in FailureClass::ALL.into_iter().zip(words) {
                        let sender = (Some(id), epoch, class);
                        let place = model.waiting.iter().position(|entry| entry.0 == sender);
                        prop_assert_eq!(word, place.map(|place| model.remove(place)));
                    }
                }
                Op::Wait(time) => now += ms(time),
            }
            // Delayed by so much at most, and not at all if it is urgent.
            let paced = gathered_at.is_some_and(|at| now < at + WITHIN);
            let waits = !model.waiting.is_empty();
            prop_assert_eq!(reports.may_gather(false, now), !waits && !paced);
            prop_assert!(reports.may_gather(true, now));
            prop_assert_eq!(reports.again_at(), gathered_at.map_or(Duration::ZERO, |at| at + WITHIN));
        }
        // Nothing is left behind.
        while let Some(taken) = reports.take() {
            prop_assert_eq!(Some(taken), model.take());
        }
        prop_assert!(model.waiting.is_empty());
    }

    #[test]
    fn of_a_crowd_each_answer_is_taken_in_a_few_looks(crowd in 1_usize..100_000) {
        let mut answers = Answers::default();
        let (mut awaited, mut looks) = (crowd, 0);
        while awaited > 0 {
            let Wake { answers: wake_at, within } = answers.wake(awaited);
            // One is taken when it comes; more are there within some time, or are not waited for.
            prop_assert_eq!(within, (wake_at > 1).then_some(WITHIN));
            prop_assert!(wake_at >= 1 && wake_at <= awaited, "{} of {}", wake_at, awaited);
            if crowd <= 64 {
                prop_assert_eq!(wake_at, 1);
            } else {
                prop_assert_eq!(wake_at, awaited.div_ceil(2));
            }
            // Others may answer as well.
            awaited -= wake_at;
            looks += 1;
        }
        prop_assert!(crowd <= 64 || looks <= 18, "{} looks for {}", looks, crowd);
        // What comes next is no crowd any more.
        prop_assert_eq!(answers.wake(0).answers, 1);
        prop_assert_eq!(answers.wake(64).answers, 1);
    }
}

#[test]
fn room_is_made_for_a_crowd() {
    assert_eq!(
        [0, 1, 64, 65, 100_000].map(room_for),
        [0, 0, 0, 65, 100_000]
    );
}

#[test]
fn a_storm_of_one_sender_is_one_entry() {
    let mut reports = Reports::default();
    let said = Reported {
        component: None,
        epoch: 1,
        class: FailureClass::Component,
        count: u64::MAX - 1,
        stale: 0,
    };
    for number in 0..3 {
        reports.gather([(said, Texts(vec![number]))], ms(number));
    }
    let (all, texts) = reports.take().expect("gathered");
    assert_eq!((all.count, texts.0), (u64::MAX, vec![0, 1, 2]));
    assert_eq!(reports.take(), None);
}
