//! A run again, from what arrived: the same arrivals at the same times give the same steps.

use std::sync::Arc;
use std::time::Duration;

use overwatch::driver::{Arrival, Decided, Decider};
use overwatch::law::Monitor;
use overwatch::machine::Effect;
use overwatch::{Arrived, Builder, Overwatch, Probe, StepRecord};

use crate::driver::whole::Whole;

/// What takes the steps again. The rules of drivers judge the one that is live.
enum Again {
    Live(Box<Whole>),
    DryRun(Decider),
}

impl Again {
    fn arrive(&mut self, arrival: Arrival) -> Result<bool, String> {
        match self {
            Self::Live(whole) => whole.arrive(arrival).map_err(|broken| broken.to_string()),
            Self::DryRun(decider) => Ok(decider.arrive(arrival)),
        }
    }

    fn next(&mut self, now: Duration, effects: &mut Vec<Effect>) -> Result<Decided, String> {
        match self {
            Self::Live(whole) => whole
                .next(now, effects)
                .map_err(|broken| broken.to_string()),
            Self::DryRun(decider) => Ok(decider.next(now, effects)),
        }
    }
}

/// Begins to build a service whose every step is taken again from what arrived.
pub(crate) fn builder(probe: impl Probe) -> Builder {
    Overwatch::builder(probe).on_step(replayed(|_| ()))
}

/// A hook that takes each step again from what arrived, and panics where that gives another one.
pub(crate) fn replayed(
    mut each: impl FnMut(StepRecord<'_>) + Send + 'static,
) -> impl FnMut(StepRecord<'_>) + Send + 'static {
    let mut replay = Replay::default();
    move |record| {
        if let Err(why) = replay.read(&record) {
            panic!("{why}");
        }
        each(record);
    }
}

/// Reads along, and takes each step again.
#[derive(Default)]
pub(crate) struct Replay {
    /// Known from the second record on: in a dry run that is the boot of what is shown.
    decider: Option<Again>,
    /// When it booted, what had arrived by then, and what was asked for first.
    first: Option<(Duration, Vec<Arrived>, Vec<Effect>)>,
    effects: Vec<Effect>,
    /// Judges what a dry run shows, which obeys the same laws.
    shown: Option<Monitor>,
    /// Steps were missed, or the run was dropped amid one: nothing can be taken again.
    is_over: bool,
}

impl Replay {
    /// # Errors
    ///
    /// Where the step is another one this time.
    pub(crate) fn read(&mut self, record: &StepRecord<'_>) -> Result<(), String> {
        self.is_over |= record.missed > 0;
        if self.is_over {
            return Ok(());
        }
        let plan = Arc::clone(record.plan);
        let Some((booted_at, arrivals, boot_effects)) = &self.first else {
            let arrivals = record.arrivals.to_vec();
            self.first = Some((record.at, arrivals, record.effects.to_vec()));
            assert!(record.is_boot, "{record:?}");
            return Ok(());
        };
        if self.decider.is_none() {
            let mut decider = match record.is_boot {
                true => Again::DryRun(Decider::dry_run(Arc::clone(&plan))),
                false => Again::Live(Box::new(Whole::new(Arc::clone(&plan)))),
            };
            for arrived in arrivals {
                assert_eq!(decider.arrive(arrived.arrival), Ok(true), "{arrived:?}");
            }
            let boot = decider.next(*booted_at, &mut self.effects)?;
            assert!(matches!(boot, Decided::Step(boot) if boot.told.is_none()));
            assert_eq!(&self.effects, boot_effects);
            self.decider = Some(decider);
        }
        let decider = self.decider.as_mut().expect("made above");
        for arrived in record.arrivals {
            if !decider.arrive(arrived.arrival)? {
                return Err(format!("no room for {arrived:?}"));
            }
        }
        let same = match decider.next(record.at, &mut self.effects)? {
            Decided::Step(decision) => {
                decision.input() == record.input
                    && decision.step() == record.step
                    && decision.told.is_none() == record.is_boot
                    && decision.carried.is_dry() == record.observe_only
            }
            Decided::Drop(_) => record.input.is_none() && !record.is_boot,
            Decided::WhySilent { .. } | Decided::Wait(_) => false,
        };
        if !same || self.effects != record.effects {
            return Err(format!("replayed {:?}, not {record:?}", self.effects));
        }
        if record.observe_only {
            let shown = self.shown.get_or_insert_with(|| Monitor::new(plan, None));
            let judged = match &record.input {
                Some(input) => shown.step(Duration::ZERO, input, record.effects),
                None => shown.boot(record.effects),
            };
            judged.map_err(|violation| format!("shown: {violation}"))?;
        }
        Ok(())
    }
}
