//! A gallery of broken drivers: for each decision one that takes it wrongly, explored until a rule
//! catches it.

use super::laws::Rule::{self, *};
use super::reference::Defect::{self, *};
use super::reference::Reference;
use super::world::{LIMIT, World, answers, deadlines, fairness, silence, visit};

struct Exhibit {
    defect: Defect,
    world: fn() -> World,
    caught_by: Rule,
}

const fn exhibit(defect: Defect, world: fn() -> World, caught_by: Rule) -> Exhibit {
    Exhibit {
        defect,
        world,
        caught_by,
    }
}

const EXHIBITS: &[Exhibit] = &[
    exhibit(FreezeAfterAnswers, answers, Order),
    exhibit(TimersBeforeAnswers, answers, Order),
    exhibit(EndBeforeLastWords, answers, LastWords),
    exhibit(EndNeverFirst, answers, LastWords),
    exhibit(EndFirstThoughAsked, answers, LastWords),
    exhibit(EndFirstAmongEquals, answers, LastWords),
    exhibit(MildestWordFirst, answers, LastWords),
    exhibit(WaitingReportOverlooked, answers, LastWords),
    exhibit(ExitedIsGone, answers, Once),
    exhibit(SilenceThoughSeen, silence, Silence),
    exhibit(OldObservationBreaksSilence, silence, Deadline),
    exhibit(LateObservationBreaksSilence, silence, Deadline),
    exhibit(OnlyInTimeBreaksSilence, silence, Silence),
    exhibit(OtherSessionBreaksSilence, silence, Deadline),
    exhibit(RenewalAfterFence, deadlines, Deadline),
    exhibit(OlderRenewalKept, deadlines, Once),
    exhibit(RenewalCountsFromArrival, deadlines, Once),
    exhibit(LastTimerFirst, deadlines, Deadline),
    exhibit(TimerEarly, deadlines, Deadline),
    exhibit(TimerLate, deadlines, Deadline),
    exhibit(TimerFiresTwice, deadlines, Deadline),
    exhibit(CommandsBeforeTimers, deadlines, Order),
    exhibit(ShutdownLast, deadlines, Order),
    exhibit(StrictOrder, fairness, Fair),
    exhibit(AllArePassedOver, fairness, Fair),
    exhibit(ReplacesWhatWaits, fairness, Once),
    exhibit(SilenceUnexplained, silence, Silence),
    exhibit(ExplanationOutlivesTheSilence, silence, Silence),
    exhibit(ExplanationIsForgotten, silence, Silence),
    exhibit(ThawIsForgotten, silence, Deadline),
    exhibit(FreezePostponesNothing, silence, Deadline),
    exhibit(ThawVoidsAlways, silence, Once),
    exhibit(ThawNeverVoids, silence, Once),
    exhibit(LatenessExcusesTheFence, deadlines, Deadline),
    exhibit(LatenessIsSilence, silence, Deadline),
    exhibit(LatenessCutsTheStageShort, deadlines, Deadline),
    exhibit(OldAliveIsTold, silence, Silence),
    exhibit(OldFailureIsDropped, silence, Once),
    exhibit(StaleCountsAsPresent, answers, Once),
    exhibit(MostOfAStormIsLost, answers, Once),
    exhibit(WaitsForTheLastTimer, deadlines, Deadline),
    exhibit(WaitsForEver, deadlines, Deadline),
];

#[test]
fn every_broken_driver_is_caught() {
    let mut unlike = Vec::new();
    for Exhibit {
        defect,
        world,
        caught_by,
    } in EXHIBITS
    {
        match visit(Reference::new(LIMIT, Some(*defect)), &world()) {
            Ok(visited) => unlike.push(format!("{defect:?} is not caught in {visited:?}")),
            Err((broken, way)) if broken.rule != *caught_by => {
                unlike.push(format!("{defect:?}: {broken}\n{way}"));
            }
            Err(_) => {}
        }
    }
    assert!(unlike.is_empty(), "{}", unlike.join("\n"));
}

#[test]
fn every_rule_is_needed() {
    for rule in [Once, LastWords, Rule::Silence, Deadline, Order, Fair] {
        let catches = EXHIBITS.iter().any(|exhibit| exhibit.caught_by == rule);
        assert!(catches, "{rule:?} catches nothing");
    }
}
