//! The driver and its reference do the same, whatever happens.

use overwatch::driver::{Arrival, Command, Driver, Observed, Seen, Silence, View};
use overwatch::machine::{Effect, Exit, FailureClass, Phase, Timer};
use overwatch::policy::ComponentId;
use proptest::prelude::*;

use super::reference::Reference;
use super::world::{Driven, LIMIT, Move, answers, deadlines, fairness, silence};
use crate::world::ms;

/// All that can happen, of all parts of the world.
fn any_move() -> impl Strategy<Value = Move> {
    let mut all = Vec::new();
    for world in [answers(), silence(), deadlines(), fairness()] {
        all.extend(world.moves);
    }
    all.retain(|made| !matches!(made, Move::Next | Move::Tick | Move::Views(_)));
    let view = (0..4_u8, prop::option::of(1..3_u64), any::<bool>());
    let view = view.prop_map(|(phase, session, asked)| {
        let phases = [
            Phase::Running,
            Phase::Monitoring,
            Phase::ShuttingDown,
            Phase::Restarting,
        ];
        Move::Views(View {
            phase: phases[usize::from(phase)],
            session,
            asked,
        })
    });
    let timer = (prop::sample::select(&Timer::ALL[..]), 0..4_u64);
    let seen = (0..6_u64, 1..3_u64, 0..3_u8).prop_map(|(at, session, seen)| {
        Move::Arrives(Arrival::Observed(Observed {
            session,
            round: at,
            at: ms(at),
            seen: match seen {
                0 => Seen::Alive,
                seen => Seen::Failing { fatal: seen == 2 },
            },
        }))
    });
    prop_oneof![
        20 => prop::sample::select(all),
        20 => Just(Move::Next),
        4 => Just(Move::Tick),
        3 => view,
        4 => timer.prop_map(|(timer, after)| Move::Arms(timer, ms(after))),
        2 => seen,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_driver_does_as_the_reference_and_keeps_the_rules(
        moves in prop::collection::vec(any_move(), 1..200),
    ) {
        let mut driver = Driven::new(Driver::new(LIMIT));
        let mut reference = Driven::new(Reference::new(LIMIT, None));
        for made in moves {
            let ours = driver.make(made);
            prop_assert_eq!(&ours, &reference.make(made), "{:?}", made);
            prop_assert!(ours.is_ok(), "{:?}: {:?}", made, ours);
            prop_assert_eq!(&driver.watch, &reference.watch);
        }
    }
}

/// What the driver says of itself.
#[test]
fn it_says_what_it_holds() {
    use overwatch::driver::Source;
    let mut driver = Driver::new(LIMIT);
    let (component, epoch) = (ComponentId(3), 7);
    let up = Arrival::Up { component, epoch };
    assert!(driver.has_room(Source::Answer) && driver.arrive(up));
    assert!(!driver.has_room(Source::Answer) && !driver.arrive(up));
    assert_eq!(driver.ending(), None);
    let held = [
        (Source::Runtime, Arrival::Froze),
        (Source::Shutdown, Arrival::Shutdown),
        (Source::Command, Arrival::Command(Command::Trip)),
        (
            Source::Observation,
            Arrival::Observed(Observed {
                session: 1,
                round: 0,
                at: ms(0),
                seen: Seen::Alive,
            }),
        ),
    ];
    for (source, arrival) in held {
        assert_eq!(arrival.source(), source);
        assert!(driver.has_room(source) && driver.arrive(arrival));
        assert!(!driver.has_room(source) && !driver.arrive(arrival));
    }
    assert!(!driver.has_room(Source::Timer) && !driver.has_room(Source::Assumed));
    assert!(!driver.has_room(Source::LastWords(FailureClass::Fatal)));
    let mut driver = Driver::new(LIMIT);
    assert!(driver.has_room(Source::LastWords(FailureClass::Fatal)));
    assert!(driver.arrive(super::world::ended(Exit::Returned, true, &[])));
    assert_eq!(driver.ending(), Some((ComponentId(0), 1)));
    assert_eq!(
        Arrival::Silent(Silence::Polled).source(),
        Source::Observation
    );
    let (timer, after) = (Timer::Stage, ms(5));
    assert_eq!(driver.due(timer), None);
    driver.carry_out(&[Effect::Arm { timer, after }], ms(2));
    assert_eq!(driver.due(timer), Some(ms(7)));
    // Of a long pause components have a moment more, and not all of it.
    let (at, by) = (ms(60_000), ms(10_000));
    assert!(driver.arrive(Arrival::Late { at, by }));
    assert_eq!(driver.due(timer), Some(at + ms(250)));
    let late = Arrival::Late {
        at: ms(0),
        by: ms(1),
    };
    assert_eq!(late.source(), Source::Runtime);
}
