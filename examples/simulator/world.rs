//! A dependency that fails, hangs and flaps, and components that are slow, stubborn and mortal.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use overwatch::law::{Checked, Violation};
use overwatch::machine::{Effect, Exit, FailureClass, Input, Timer};
use overwatch::policy::{ComponentId, Plan};

use crate::DAY;
use crate::dice::Dice;

/// How often the probe looks.
const LOOK: Duration = Duration::from_secs(30);

/// How long things take, or last, on average.
const DEPENDENCY_LIVES: Duration = Duration::from_secs(5 * 24 * 60 * 60);
const DEPENDENCY_IS_GONE: Duration = Duration::from_secs(10 * 60);
const FLAP: Duration = Duration::from_secs(60);
const COMPONENT_LIVES: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// At most.
const STARTS_IN: Duration = Duration::from_secs(10);
const STOPS_IN: Duration = Duration::from_secs(8);
const ABORTS_IN: Duration = Duration::from_secs(1);

pub(crate) struct World {
    machine: Checked,
    now: Duration,
    /// When the machine was told something for the last time.
    told: Duration,
    /// What is to come, by time; at the same time by number.
    queue: BTreeMap<(Duration, u64), Event>,
    /// Of the last event; it tells one arming of a timer from the next.
    number: u64,
    armed: [Option<u64>; Timer::ALL.len()],
    dependency: Dependency,
    dice: Dice,
    statistics: Statistics,
}

/// What can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// The dependency changes.
    Turn,
    /// The probe looks at the dependency, for this session.
    Look { session: u64 },
    /// A timer is due, if it is still armed as it was then.
    Due { timer: Timer, number: u64 },
    /// The machine is told something.
    Tell(Input),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dependency {
    Up,
    Failing,
    Hanging,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Statistics {
    pub(crate) lasted: Duration,
    pub(crate) ready: Duration,
    pub(crate) outages: u64,
    pub(crate) longest_outage: Duration,
    pub(crate) steps: u64,
    /// Since when it has been as it is.
    since: Duration,
    is_ready: bool,
}

impl World {
    pub(crate) fn new(plan: Plan, seed: u64) -> Result<Self, Violation> {
        let mut effects = Vec::new();
        // Timers fire on time here.
        let machine = Checked::new(plan, Some(Duration::ZERO), &mut effects)?;
        let mut world = Self {
            machine,
            now: Duration::ZERO,
            told: Duration::ZERO,
            queue: BTreeMap::new(),
            number: 0,
            armed: [None; Timer::ALL.len()],
            dependency: Dependency::Up,
            dice: Dice::new(seed),
            statistics: Statistics::default(),
        };
        let turns = world.dice.waits(DEPENDENCY_LIVES);
        world.later(turns, Event::Turn);
        world.carry_out(&effects);
        Ok(world)
    }

    pub(crate) fn live(mut self, lasting: Duration) -> Result<Statistics, Violation> {
        let mut effects = Vec::new();
        while let Some(((at, _), event)) = self.queue.pop_first()
            && at < lasting
        {
            self.now = at;
            let Some(input) = self.happens(event) else {
                continue;
            };
            let elapsed = self.now - self.told;
            self.told = self.now;
            // What became of it does not matter here; that every law holds does.
            let _ = self.machine.handle(elapsed, input, &mut effects)?;
            self.statistics.steps += 1;
            self.carry_out(&effects);
        }
        self.now = lasting;
        Ok(self.statistics.until(lasting))
    }

    /// What happens, and what the machine is told of it.
    fn happens(&mut self, event: Event) -> Option<Input> {
        match event {
            Event::Tell(input) => Some(input),
            Event::Due { timer, number } => {
                let armed = &mut self.armed[timer.index()];
                let due = *armed == Some(number);
                due.then(|| *armed = None).map(|()| Input::Fired(timer))
            }
            Event::Look { session } => {
                if self.machine.machine().session() != Some(session) {
                    return None;
                }
                self.later(LOOK, Event::Look { session });
                match self.dependency {
                    Dependency::Up => {
                        let round = self.machine.machine().round();
                        Some(Input::Alive { session, round })
                    }
                    Dependency::Failing => {
                        let fatal = false;
                        Some(Input::Failing { session, fatal })
                    }
                    Dependency::Hanging => None,
                }
            }
            Event::Turn => {
                self.turn();
                None
            }
        }
    }

    fn turn(&mut self) {
        let (dependency, lasts) = match self.dependency {
            Dependency::Up if self.dice.chance(0.5) => (Dependency::Failing, DEPENDENCY_IS_GONE),
            Dependency::Up => (Dependency::Hanging, DEPENDENCY_IS_GONE),
            _ if self.dice.chance(0.3) => (Dependency::Up, FLAP),
            _ => (Dependency::Up, DEPENDENCY_LIVES),
        };
        self.dependency = dependency;
        let lasts = self.dice.waits(lasts);
        self.later(lasts, Event::Turn);
        if dependency != Dependency::Up && self.dice.chance(0.5) {
            // Somebody notices before the probe does.
            let report = Input::Report {
                component: Some(ComponentId(0)),
                epoch: self.machine.machine().epoch(),
                class: FailureClass::Dependency,
                count: 1,
            };
            self.within(LOOK, report);
        }
    }

    fn carry_out(&mut self, effects: &[Effect]) {
        for &effect in effects {
            match effect {
                Effect::Ready(ready) => self.statistics.ready(self.now, ready),
                Effect::StartStage { stage, epoch } => {
                    for component in self.components_of(stage) {
                        self.start(component, epoch);
                    }
                }
                Effect::StopStage { stage, epoch } => {
                    for component in self.components_of(stage) {
                        self.stop(component, epoch);
                    }
                }
                Effect::Abort { component, epoch } => {
                    let how = Exit::Aborted;
                    self.within(
                        ABORTS_IN,
                        Input::Gone {
                            component,
                            epoch,
                            how,
                        },
                    );
                }
                Effect::OpenSession { session } => {
                    self.later(Duration::ZERO, Event::Look { session });
                }
                Effect::Arm { timer, after } => {
                    let number = self.later_numbered(after, |number| Event::Due { timer, number });
                    self.armed[timer.index()] = Some(number);
                }
                Effect::Disarm { timer } => self.armed[timer.index()] = None,
                // The next look is one more observation, and soon enough. It finds its session closed; the
                // rest is for logs.
                Effect::Ask { .. }
                | Effect::CloseSession { .. }
                | Effect::OutageOpened { .. }
                | Effect::OutageClosed(_)
                | Effect::Ended(_) => {}
            }
        }
    }

    /// The components of a stage.
    fn components_of(&self, stage: u16) -> impl Iterator<Item = ComponentId> + use<> {
        let layout = self.machine.machine().plan().layout();
        layout.stage(usize::from(stage)).map(ComponentId)
    }

    fn stop(&mut self, component: ComponentId, epoch: u64) {
        // One in ten is stubborn and must be aborted. What is gone already says so in vain.
        if self.dice.chance(0.9) {
            let how = Exit::Returned;
            self.within(
                STOPS_IN,
                Input::Gone {
                    component,
                    epoch,
                    how,
                },
            );
        }
    }

    fn start(&mut self, component: ComponentId, epoch: u64) {
        let how = Exit::Failed(FailureClass::Component);
        if self.dice.chance(0.02) {
            // Neither up nor down: the start deadline is for this.
        } else if self.dice.chance(0.05) {
            self.within(
                STARTS_IN,
                Input::Gone {
                    component,
                    epoch,
                    how,
                },
            );
        } else {
            self.within(STARTS_IN, Input::Up { component, epoch });
            // If it was stopped by then, this comes too late and is ignored.
            let lives = STARTS_IN + self.dice.waits(COMPONENT_LIVES);
            self.later(
                lives,
                Event::Tell(Input::Gone {
                    component,
                    epoch,
                    how,
                }),
            );
        }
    }

    fn within(&mut self, most: Duration, input: Input) {
        let after = self.dice.up_to(most);
        self.later(after, Event::Tell(input));
    }

    fn later(&mut self, after: Duration, event: Event) {
        self.later_numbered(after, |_| event);
    }

    fn later_numbered(&mut self, after: Duration, event: impl FnOnce(u64) -> Event) -> u64 {
        self.number += 1;
        let event = event(self.number);
        self.queue.insert((self.now + after, self.number), event);
        self.number
    }
}

impl Statistics {
    fn ready(&mut self, now: Duration, ready: bool) {
        let lasted = now - self.since;
        if self.is_ready {
            self.ready += lasted;
        } else {
            self.longest_outage = self.longest_outage.max(lasted);
        }
        self.outages += u64::from(!ready);
        self.since = now;
        self.is_ready = ready;
    }

    fn until(mut self, now: Duration) -> Self {
        self.lasted = now;
        if self.is_ready {
            self.ready += now - self.since;
        } else {
            self.longest_outage = self.longest_outage.max(now - self.since);
        }
        self
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.lasted.div_duration_f64(DAY);
        let availability = 100.0 * self.ready.div_duration_f64(self.lasted);
        let longest = self.longest_outage.as_secs_f64() / 60.0;
        write!(
            f,
            "{days:>7.0} days  {:>7}  {availability:>10.3} %  {longest:>10.1} min  {:>12}",
            self.outages, self.steps
        )
    }
}
