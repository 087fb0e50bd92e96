//! What is counted, and what is left at the end.

use overwatch::machine::Command;

use super::*;

#[test]
fn l9_nothing_is_lost() {
    let life = life();
    let miscount = |tape: &mut Tape, change: fn(&mut Record)| {
        // The first record is of the boot; the second counted the critical report.
        let mut records = tape.0.iter_mut().flat_map(|turn| &mut turn.effects);
        let Some(Effect::OutageClosed(record)) = records
            .by_ref()
            .filter(|effect| closes_outage(effect))
            .nth(1)
        else {
            panic!("two outages");
        };
        change(record);
    };
    life.breaks(Law::NothingIsLost, |tape| {
        miscount(tape, |record| record.reports = 0)
    });
    life.breaks(Law::NothingIsLost, |tape| {
        miscount(tape, |record| record.reports += 1)
    });
    life.breaks(Law::NothingIsLost, |tape| {
        miscount(tape, |record| record.stale_reports += 1)
    });
    life.breaks(Law::NothingIsLost, |tape| {
        miscount(tape, |record| record.failed_starts += 1)
    });
    life.breaks(Law::NothingIsLost, |tape| {
        miscount(tape, |record| record.outage += 1)
    });
    // The report that came after the last outage is in no record.
    life.breaks(Law::NothingIsLost, |tape| {
        let last = tape.0.last_mut().expect("the end");
        last.effects.retain(|effect| !closes_outage(effect));
    });
    // An outage is never closed, or closed twice, or never opened.
    life.breaks(Law::NothingIsLost, |tape| tape.drop_effect(closes_outage));
    life.breaks(Law::NothingIsLost, |tape| {
        let effects = &mut tape.asked(closes_outage).effects;
        effects.push(*effects.last().expect("closed last"));
    });
    life.breaks(Law::NothingIsLost, |tape| {
        tape.asked(ready_off)
            .effects
            .retain(|effect| !matches!(effect, Effect::OutageOpened { .. }));
    });
    // It is ready, and the outage is not over.
    life.breaks(Law::NothingIsLost, |tape| {
        tape.drop_effect(closes_outage);
        tape.end_with(turn_with(ready_on));
    });
    // A second outage in the midst of the first.
    life.breaks(Law::NothingIsLost, |tape| {
        let (outage, cause) = (1, Cause::Command(Command::Trip));
        tape.0[0]
            .effects
            .push(Effect::OutageOpened { outage, cause });
        tape.0.truncate(1);
    });
    // An outage has no number of its own.
    life.breaks(Law::NothingIsLost, |tape| {
        let opens = |effect: &Effect| matches!(effect, Effect::OutageOpened { outage: 1, .. });
        if let Effect::OutageOpened { outage, .. } = tape.effect(opens) {
            *outage = 2;
        }
    });
}

#[test]
fn l14_clean_end() {
    let life = life();
    let at_end = |tape: &mut Tape, effect: Effect| {
        let effects = &mut tape.0.last_mut().expect("the end").effects;
        effects.insert(0, effect);
    };
    life.breaks(Law::CleanEnd, |tape| at_end(tape, arm(Timer::Silence, 8)));
    life.breaks(Law::CleanEnd, |tape| {
        at_end(tape, Effect::OpenSession { session: 3 })
    });
    life.breaks(Law::CleanEnd, |tape| {
        at_end(tape, Effect::CloseSession { session: 2 })
    });
    life.breaks(Law::CleanEnd, |tape| {
        tape.0
            .last_mut()
            .expect("the end")
            .effects
            .retain(|effect| !disarms(Timer::Stage)(effect))
    });
    life.breaks(Law::CleanEnd, |tape| {
        tape.0
            .last_mut()
            .expect("the end")
            .effects
            .push(Effect::Ready(true))
    });
    // It ends while a component is still stopping.
    life.breaks(Law::CleanEnd, |tape| {
        let at = tape.0.len() - 2;
        let end = tape.0.pop().expect("the end");
        tape.0[at].effects = end.effects;
    });
}

#[test]
fn l18_honest_end() {
    let life = life();
    for why in [HaltReason::Fatal, HaltReason::GaveUp, HaltReason::Wedged] {
        life.breaks(Law::HonestEnd, |tape| {
            *tape.effect(ends) = Effect::Ended(RunOutcome::Halted(why))
        });
    }
    wedge().breaks(Law::HonestEnd, |tape| {
        *tape.effect(ends) = Effect::Ended(RunOutcome::Stopped)
    });
    // Nobody asked for a stop.
    life.breaks(Law::HonestEnd, |tape| {
        let rests = tape.asked(|effect| *effect == Effect::OpenSession { session: 2 });
        let record = Record {
            outage: 1,
            reports: 1,
            ..Default::default()
        };
        rests.effects = vec![
            Effect::Disarm {
                timer: Timer::Stage,
            },
            Effect::OutageClosed(record),
            Effect::Ended(RunOutcome::Stopped),
        ];
    });
}
