//! The laws, joined to a run.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::law::{Monitor, Violation};
use crate::shell::service::Builder;
use crate::shell::step_record::StepRecord;
use crate::shell::sync::lock;

/// How late a timer may fire on a paused clock: tokio counts in milliseconds.
const ON_A_PAUSED_CLOCK: Duration = Duration::from_millis(2);
/// The most steps that are kept for the trace.
const LONGEST_TRACE: usize = 1000;

/// Lets the [laws](crate::law) judge a run on tokio's paused clock.
///
/// Each step of the run is judged, also how late its timers fire. If a law is broken, the [`Judge`] panics when it is
/// dropped, with the law, what broke it, and the steps up to there. So one line is enough:
///
/// ```
/// use overwatch::Overwatch;
/// use overwatch::test_util::{FakeDependency, judged};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let dependency = FakeDependency::new();
/// let builder = Overwatch::builder(dependency.probe()).task("worker", |ctx| async move {
///     ctx.mark_ready();
///     ctx.stopping().await;
///     Ok(())
/// });
/// let (builder, _judge) = judged(builder);
/// let service = builder.build()?;
/// let handle = service.handle();
/// let run = tokio::spawn(service.run());
/// handle.wait_until_ready().await?;
/// dependency.fail("connection refused");
/// handle.wait_for(|status| !status.ready).await?;
/// handle.shutdown();
/// run.await??;
/// # Ok(())
/// # }
/// ```
///
/// This takes the place of [`Builder::on_step`]: a run has one hook. With
/// [`observe_only`](Builder::observe_only) the steps of the machine that runs the service are judged.
pub fn judged(builder: Builder) -> (Builder, Judge) {
    judged_with(builder, Some(ON_A_PAUSED_CLOCK))
}

/// As [`judged`], for a run in real time.
///
/// Timers may fire late on a busy machine, so it is not judged when they fire. All other laws are judged.
pub fn judged_in_real_time(builder: Builder) -> (Builder, Judge) {
    judged_with(builder, None)
}

fn judged_with(builder: Builder, timed: Option<Duration>) -> (Builder, Judge) {
    let judged = Arc::new(Mutex::new(Judged::new(timed)));
    let judge = Judge(Arc::clone(&judged));
    let builder = builder.on_step(move |step| lock(&judged).read(&step));
    (builder, judge)
}

/// Has judged the steps of a run so far. From [`judged`].
///
/// Keep it to the end of the test. When it is dropped, it panics if a law was broken, unless the last
/// [`verdict`](Self::verdict) has returned that.
#[must_use = "it panics when it is dropped, so it must be kept to the end of the test: `_judge`, and not `_`"]
pub struct Judge(Arc<Mutex<Judged>>);

impl Judge {
    /// Whether all steps so far were lawful.
    ///
    /// # Errors
    ///
    /// The first law that was broken, with the trace. Also if there was nothing to judge: no step has arrived, because the
    /// service was not run or has got another hook, or steps are missing.
    ///
    /// ```
    /// # use overwatch::{Overwatch, feed, test_util::{JudgeError, judged}};
    /// let (_feed, probe) = feed();
    /// let (_builder, judge) = judged(Overwatch::builder(probe));
    /// assert_eq!(judge.verdict(), Err(JudgeError::NoSteps)); // nothing has run
    /// ```
    pub fn verdict(&self) -> Result<(), JudgeError> {
        let mut judged = lock(&self.0);
        let verdict = judged.verdict();
        judged.told = verdict.clone().err();
        verdict
    }

    /// The last 1,000 steps, in words: when, the input, its result, and its effects.
    pub fn trace(&self) -> Vec<String> {
        lock(&self.0).trace.iter().cloned().collect()
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        let judged = lock(&self.0);
        if std::thread::panicking() {
            return;
        }
        let untold = judged
            .verdict()
            .err()
            .filter(|error| judged.told.as_ref() != Some(error));
        drop(judged);
        if let Some(error) = untold {
            panic!("{error}");
        }
    }
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let judged = lock(&self.0);
        f.debug_struct("Judge")
            .field("steps", &judged.steps)
            .field("error", &judged.error)
            .finish_non_exhaustive()
    }
}

/// Why a run is not lawful, or cannot be judged. From [`Judge::verdict`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JudgeError {
    /// A law was broken.
    Broken {
        /// The law, and what broke it.
        violation: Violation,
        /// The steps up to that one, the last 1,000 of them.
        trace: Vec<String>,
    },
    /// Steps are missing, because a hook was too slow: what follows cannot be judged.
    Missed {
        /// How many.
        steps: u64,
    },
    /// No step has arrived: the service was not run, or `on_step` was called on its builder afterwards.
    NoSteps,
}

impl fmt::Display for JudgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken { violation, trace } => {
                write!(f, "{violation}\nthe steps up to there:")?;
                trace.iter().try_for_each(|step| write!(f, "\n  {step}"))
            }
            Self::Missed { steps } => write!(
                f,
                "{steps} steps are missing, so the run cannot be judged: use `judged` on a current-thread runtime, or less load"
            ),
            Self::NoSteps => f.write_str(
                "there was nothing to judge: run the service, and do not call `on_step` after `judged`",
            ),
        }
    }
}

impl Error for JudgeError {}

/// What was read of a run so far.
struct Judged {
    timed: Option<Duration>,
    /// Made at the first step, which has the plan.
    monitor: Option<Monitor>,
    /// When the last step was.
    last: Duration,
    steps: u64,
    trace: VecDeque<String>,
    error: Option<JudgeError>,
    /// The error that was last returned as the verdict.
    told: Option<JudgeError>,
}

impl Judged {
    fn new(timed: Option<Duration>) -> Self {
        Self {
            timed,
            monitor: None,
            last: Duration::ZERO,
            steps: 0,
            trace: VecDeque::new(),
            error: None,
            told: None,
        }
    }

    fn read(&mut self, step: &StepRecord<'_>) {
        // Nothing that follows an error is judged: the monitor knows no more where the machine is.
        if self.error.is_some() {
            return;
        }
        // Before the step itself: what is missing may be of the other machine.
        if step.missed > 0 {
            self.error = Some(JudgeError::Missed { steps: step.missed });
        }
        if step.observe_only || self.error.is_some() {
            return;
        }
        self.steps += 1;
        if self.trace.len() == LONGEST_TRACE {
            self.trace.pop_front();
        }
        let StepRecord {
            at, input, effects, ..
        } = step;
        self.trace
            .push_back(format!("{at:?} {input:?} {:?} {effects:?}", step.step));
        if let Err(violation) = self.judge(step) {
            let trace = self.trace.iter().cloned().collect();
            self.error = Some(JudgeError::Broken { violation, trace });
        }
    }

    fn judge(&mut self, step: &StepRecord<'_>) -> Result<(), Violation> {
        let monitor = self
            .monitor
            .get_or_insert_with(|| Monitor::new(Arc::clone(step.plan), self.timed));
        match &step.input {
            Some(input) => {
                let elapsed = step.at.saturating_sub(self.last);
                self.last = step.at;
                monitor.step(elapsed, input, step.effects)
            }
            None if step.is_boot => monitor.boot(step.effects),
            None => Ok(()),
        }
    }

    fn verdict(&self) -> Result<(), JudgeError> {
        match &self.error {
            Some(error) => Err(error.clone()),
            None if self.steps == 0 => Err(JudgeError::NoSteps),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::law::Law;
    use crate::machine::{Effect, Input, Machine};
    use crate::policy::{Layout, Plan, Policy};

    fn plan() -> Arc<Plan> {
        let layout = Layout::new(&[1]).expect("one component");
        Arc::new(Plan::new(Policy::default(), layout).expect("the default works"))
    }

    /// A step in which nothing happens.
    fn nothing(plan: &Arc<Plan>) -> StepRecord<'_> {
        StepRecord {
            plan,
            at: Duration::ZERO,
            arrivals: &[],
            input: None,
            step: None,
            effects: &[],
            is_boot: false,
            observe_only: false,
            missed: 0,
        }
    }

    /// A judge that has read a boot, and then a step with these effects added.
    fn after(added: &[Effect], missed: u64) -> Judge {
        let plan = plan();
        let mut judged = Judged::new(Some(ON_A_PAUSED_CLOCK));
        let mut effects = Vec::new();
        let mut machine = Machine::new(Arc::clone(&plan), &mut effects);
        let boot = StepRecord {
            effects: &effects,
            is_boot: true,
            ..nothing(&plan)
        };
        judged.read(&boot);
        let mut effects = Vec::new();
        let input = Input::Alive {
            session: 1,
            round: 0,
        };
        let step = machine.handle(input, &mut effects);
        effects.extend_from_slice(added);
        let record = StepRecord {
            at: Duration::from_millis(20),
            input: Some(input),
            step: Some(step),
            effects: &effects,
            is_boot: false,
            missed,
            ..boot
        };
        judged.read(&record);
        Judge(Arc::new(Mutex::new(judged)))
    }

    fn panic_of(judge: Judge) -> Option<String> {
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(judge)));
        dropped
            .err()
            .map(|panic| *panic.downcast().expect("a text"))
    }

    #[test]
    fn a_broken_law_is_returned_with_the_trace_or_panics_at_the_drop() {
        let judge = after(&[Effect::Ready(true)], 0);
        let Err(JudgeError::Broken { violation, trace }) = judge.verdict() else {
            panic!("a service is ready whose component has not started");
        };
        assert_eq!(violation.law, Law::ReadyMeansRunning);
        assert_eq!(trace.len(), 2);
        assert_eq!(trace, judge.trace());
        assert_eq!(panic_of(judge), None, "the verdict was read");

        let panic =
            panic_of(after(&[Effect::Ready(true)], 0)).expect("nobody has read the verdict");
        assert!(panic.starts_with("L1 (ready means running): "), "{panic}");
        assert!(panic.contains("\n  20ms Some(Alive"), "{panic}");
    }

    #[test]
    fn a_lawful_run_is_one_that_was_read_in_full() {
        let judge = after(&[], 0);
        assert_eq!(judge.verdict(), Ok(()));
        assert_eq!(panic_of(after(&[], 0)), None);

        let judge = after(&[], 7);
        assert_eq!(judge.verdict(), Err(JudgeError::Missed { steps: 7 }));
        let panic = panic_of(after(&[], 7)).expect("it cannot be judged");
        assert!(panic.starts_with("7 steps are missing"), "{panic}");

        let judge = Judge(Arc::new(Mutex::new(Judged::new(None))));
        assert_eq!(judge.verdict(), Err(JudgeError::NoSteps));
    }

    #[test]
    fn a_verdict_is_only_of_what_was_read_before_it() {
        for before in [
            after(&[], 0),
            Judge(Arc::new(Mutex::new(Judged::new(None)))),
        ] {
            let _ = before.verdict();
            lock(&before.0).read(&StepRecord {
                missed: 3,
                ..nothing(&plan())
            });
            let panic = panic_of(before).expect("what came later was not told");
            assert!(panic.starts_with("3 steps are missing"), "{panic}");
        }
    }

    /// They may be of the machine that runs the service.
    #[test]
    fn steps_that_are_missing_before_a_step_of_a_dry_run_are_missing() {
        let judge = after(&[], 0);
        lock(&judge.0).read(&StepRecord {
            missed: 3,
            observe_only: true,
            ..nothing(&plan())
        });
        assert_eq!(judge.verdict(), Err(JudgeError::Missed { steps: 3 }));
    }

    #[test]
    fn a_long_run_keeps_the_last_steps() {
        let judge = after(&[], 0);
        {
            let mut judged = lock(&judge.0);
            let plan = plan();
            for at in 0..2 * LONGEST_TRACE as u64 {
                judged.read(&StepRecord {
                    at: Duration::from_millis(20 + at),
                    ..nothing(&plan)
                });
            }
        }
        let trace = judge.trace();
        assert_eq!(trace.len(), LONGEST_TRACE);
        assert!(
            trace[LONGEST_TRACE - 1].starts_with("2.019s"),
            "{}",
            trace[LONGEST_TRACE - 1]
        );
    }
}
