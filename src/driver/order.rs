//! Which of the things that have arrived the machine is told next.

use core::time::Duration;

use super::arrival::{Arrival, Ended, Observed, Renewed, Reported, Seen, Silence, Source};
use super::timers::Timers;
use crate::machine::{Command, Effect, Input, Phase, Timer};
use crate::policy::ComponentId;

/// Decides what the machine is told next. See the [module](super) for the order.
///
/// It is small plain data, so that it can be explored: one slot for each source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Driver {
    silence_limit: Duration,
    timers: Timers,
    froze: bool,
    answer: Option<PendingAnswer>,
    shutdown: bool,
    lease: Option<Renewed>,
    command: Option<Command>,
    observation: Option<Observed>,
    report: Option<Reported>,
    /// Which of [`FAIR`] was passed over while it waited.
    passed_over: [bool; 4],
    /// It was found out that the silence which is due is the dependency's.
    polled: bool,
    /// The probe was not polled for a while, and is again.
    thawed: bool,
}

/// What a component answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum PendingAnswer {
    Up {
        component: ComponentId,
        epoch: u64,
    },
    Ended(Ended),
    /// It was told that the main task has ended. Its last words are left to be told and, if it is gone,
    /// that.
    Exited(Ended),
}

/// What the driver sees of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// Where the machine is.
    pub phase: Phase,
    /// The session whose observations count, if one is open.
    pub session: Option<u64>,
    /// Whether the component whose end [waits](Driver::ending) was asked to stop before.
    pub asked: bool,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Next {
    /// Tell the machine this.
    Tell(Tell),
    /// What this source holds is too old to say anything.
    Drop(Source),
    /// The dependency was silent for the silence limit: find out why, and bring the answer as an
    /// [`Arrival::Silent`].
    WhySilent {
        /// When something was last seen, or the wait for it began.
        since: Duration,
    },
    /// Nothing is there. The next timer is due then, if one is armed.
    Wait(Option<Duration>),
}

/// What the machine is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tell {
    /// What.
    pub input: Input,
    /// Where it comes from.
    pub source: Source,
    /// Whether that was all of it: of billions of reports a part is told at a time, and of a component
    /// that has ended maybe first that it did, and later that nothing of it is left.
    pub is_all: bool,
}

/// The sources of which none may wait for ever while others are told.
const FAIR: [Source; 4] = [
    Source::Lease,
    Source::Command,
    Source::Observation,
    Source::Report,
];
// Their places in there.
const LEASE: usize = 0;
const OBSERVATION: usize = 2;
const REPORT: usize = 3;

impl Driver {
    /// With nothing in it. An alive observation that is as old as the silence limit says nothing.
    pub fn new(silence_limit: Duration) -> Self {
        Self {
            silence_limit,
            timers: Timers::default(),
            froze: false,
            answer: None,
            shutdown: false,
            lease: None,
            command: None,
            observation: None,
            report: None,
            passed_over: [false; 4],
            polled: false,
            thawed: false,
        }
    }

    /// Whether a source has room for one more.
    pub fn has_room(&self, source: Source) -> bool {
        match source {
            Source::Runtime => !self.froze,
            Source::Answer | Source::LastWords(_) => self.answer.is_none(),
            Source::Timer | Source::Assumed => false,
            Source::Shutdown => !self.shutdown,
            Source::Lease => self.lease.is_none(),
            Source::Command => self.command.is_none(),
            Source::Observation => self.observation.is_none(),
            Source::Report => self.report.is_none(),
        }
    }

    /// Takes in what has arrived. `false` if its source has no room: what is there must be told first.
    /// Only a renewal replaces the one that waits.
    #[must_use = "what finds no room is lost"]
    pub fn arrive(&mut self, arrival: Arrival) -> bool {
        match arrival {
            Arrival::Silent(why) => {
                self.silent(why);
                return true;
            }
            Arrival::Late { at, by } => {
                self.timers.excuse(by, at);
                self.polled = false;
                return true;
            }
            Arrival::Renewed(lease) => {
                self.lease = Some(lease);
                return true;
            }
            _ => {}
        }
        let has_room = self.has_room(arrival.source());
        match arrival {
            _ if !has_room => {}
            Arrival::Froze => self.froze = true,
            Arrival::Up { component, epoch } => {
                self.answer = Some(PendingAnswer::Up { component, epoch })
            }
            Arrival::Ended(ended) => self.answer = Some(PendingAnswer::Ended(ended)),
            Arrival::Shutdown => self.shutdown = true,
            Arrival::Command(command) => self.command = Some(command),
            Arrival::Observed(observed) => self.observation = Some(observed),
            Arrival::Reported(reported) => self.report = Some(reported),
            Arrival::Silent(_) | Arrival::Late { .. } | Arrival::Renewed(_) => {}
        }
        has_room
    }

    /// Keeps the timers that the machine asks for.
    pub fn carry_out(&mut self, effects: &[Effect], now: Duration) {
        for effect in effects {
            match *effect {
                Effect::Arm { timer, after } => {
                    self.timers.arm(timer, now.saturating_add(after));
                    self.forget_why(timer);
                }
                Effect::Disarm { timer } => {
                    self.timers.disarm(timer);
                    self.forget_why(timer);
                }
                _ => {}
            }
        }
    }

    /// What was found out belongs to the silence that was due.
    fn forget_why(&mut self, timer: Timer) {
        self.polled &= timer != Timer::Silence;
    }

    /// Why nothing is seen. What is no silence of the dependency is put off at once, since nobody can be
    /// asked twice.
    fn silent(&mut self, why: Silence) {
        match why {
            Silence::Polled => self.polled = true,
            Silence::Frozen => {
                self.timers.postpone(Timer::Silence, self.silence_limit);
                self.froze = true;
            }
            Silence::Thawed(stuck_for) => {
                self.timers.postpone(Timer::Silence, stuck_for);
                self.thawed = true;
            }
        }
    }

    /// When a timer is due, if it is armed.
    pub fn due(&self, timer: Timer) -> Option<Duration> {
        self.timers.get(timer)
    }

    /// The component whose end waits to be told, and its epoch.
    pub fn ending(&self) -> Option<(ComponentId, u64)> {
        match self.answer? {
            PendingAnswer::Ended(ended) => Some((ended.component, ended.epoch)),
            PendingAnswer::Up { .. } | PendingAnswer::Exited(_) => None,
        }
    }

    /// What is to be done next.
    pub fn next(&mut self, view: &View, now: Duration) -> Next {
        // A clean run has no gap, whatever it comes from.
        let has_gap = core::mem::take(&mut self.thawed) && view.phase == Phase::Monitoring;
        if core::mem::take(&mut self.froze) || has_gap {
            return tell(Input::Frozen, Source::Runtime);
        }
        if let Some(answer) = self.tell_answer(view) {
            return Next::Tell(answer);
        }
        if let Some(due) = self.due_timer(view, now) {
            return due;
        }
        if core::mem::take(&mut self.shutdown) {
            return tell(Input::Shutdown, Source::Shutdown);
        }
        let next = match self.fair() {
            Some(Source::Lease) => self.tell_lease(now),
            Some(Source::Command) => self.tell_command(),
            Some(Source::Observation) => self.tell_observation(now),
            Some(_) => self.tell_report().map(Next::Tell),
            None => None,
        };
        next.unwrap_or(Next::Wait(self.timers.first().map(|(due, _)| due)))
    }

    // Answers.

    fn tell_answer(&mut self, view: &View) -> Option<Tell> {
        match self.answer.take()? {
            PendingAnswer::Up { component, epoch } => {
                Some(whole(Input::Up { component, epoch }, Source::Answer))
            }
            PendingAnswer::Ended(mut ended) => {
                let report = self.report_of(&ended).map(|said| said.class);
                let gravest = report.max(ended.last_words.gravest());
                let end_first = !view.asked && gravest.is_some_and(|it| it < ended.how.class());
                if end_first {
                    self.answer = left_after_exit(ended);
                    return Some(Tell {
                        is_all: !ended.gone,
                        ..exited(&ended)
                    });
                }
                if let Some(said) = self.tell_last_word(&mut ended) {
                    self.answer = Some(PendingAnswer::Ended(ended));
                    return Some(said);
                }
                Some(match ended.gone {
                    true => gone(&ended),
                    false => exited(&ended),
                })
            }
            PendingAnswer::Exited(mut ended) => {
                let said = match ended.gone {
                    true => self.tell_last_word(&mut ended),
                    // There is no end left that the report which waits would have to go before.
                    false => tell_gravest(&mut ended),
                };
                Some(match said {
                    Some(said) => {
                        self.answer = left_after_exit(ended);
                        said
                    }
                    None => gone(&ended),
                })
            }
        }
    }

    /// The report that waits, if it is of the component that has ended.
    fn report_of(&self, ended: &Ended) -> Option<Reported> {
        let of_it =
            |said: &Reported| said.component == Some(ended.component) && said.epoch == ended.epoch;
        self.report.filter(of_it)
    }

    /// The gravest of a component's reports that are not told yet.
    fn tell_last_word(&mut self, ended: &mut Ended) -> Option<Tell> {
        match self.report_of(ended) {
            // It came before the others of its class.
            Some(said) if ended.last_words.gravest() <= Some(said.class) => self.tell_report(),
            _ => tell_gravest(ended),
        }
    }

    // Timers.

    /// The timer that is due, or what goes before it.
    fn due_timer(&mut self, view: &View, now: Duration) -> Option<Next> {
        let (due, timer) = self.timers.first().filter(|&(due, _)| due <= now)?;
        match timer {
            Timer::Fence if self.lease.is_some() => return self.tell_lease(now),
            Timer::Silence if self.was_heard(due, view, now) => {
                return self.tell_observation(now);
            }
            Timer::Silence if !self.polled => {
                let since = due.saturating_sub(self.silence_limit);
                return Some(Next::WhySilent { since });
            }
            _ => {}
        }
        self.timers.disarm(timer);
        self.forget_why(timer);
        Some(tell(Input::Fired(timer), Source::Timer))
    }

    /// Whether an observation waits that goes before a silence which is due.
    fn was_heard(&self, due: Duration, view: &View, now: Duration) -> bool {
        self.observation.is_some_and(|seen| {
            let in_time = view.phase != Phase::Monitoring || seen.at <= due;
            Some(seen.session) == view.session && in_time && !self.is_too_old(&seen, now)
        })
    }

    fn is_too_old(&self, seen: &Observed, now: Duration) -> bool {
        now.saturating_sub(seen.at) >= self.silence_limit
    }

    // The others.

    /// Whose turn it is among those of which none may wait for ever.
    fn fair(&mut self) -> Option<Source> {
        let waits = FAIR.map(|source| !self.has_room(source));
        let passed = (0..FAIR.len()).find(|&place| waits[place] && self.passed_over[place]);
        let place = passed.or_else(|| waits.iter().position(|&waits| waits))?;
        self.passed_over[place] = false;
        // Only what comes later in the order: else the first two would take turns for ever.
        for (later, waits) in waits.into_iter().enumerate().skip(place + 1) {
            self.passed_over[later] |= waits;
        }
        Some(FAIR[place])
    }

    fn tell_lease(&mut self, now: Duration) -> Option<Next> {
        self.passed_over[LEASE] = false;
        let Renewed { epoch, expires } = self.lease.take()?;
        let remaining = expires.saturating_sub(now);
        Some(tell(
            Input::LeaseRenewed { epoch, remaining },
            Source::Lease,
        ))
    }

    fn tell_command(&mut self) -> Option<Next> {
        let command = self.command.take()?;
        Some(tell(command.input(), Source::Command))
    }

    fn tell_observation(&mut self, now: Duration) -> Option<Next> {
        self.passed_over[OBSERVATION] = false;
        let seen = self.observation.take()?;
        let Observed { session, round, .. } = seen;
        let input = match seen.seen {
            Seen::Alive if self.is_too_old(&seen, now) => {
                return Some(Next::Drop(Source::Observation));
            }
            Seen::Alive => Input::Alive { session, round },
            Seen::Failing { fatal } => Input::Failing { session, fatal },
        };
        Some(tell(input, Source::Observation))
    }

    fn tell_report(&mut self) -> Option<Tell> {
        let mut said = self.report.take()?;
        let (input, is_all) = said.take_some();
        if is_all {
            self.passed_over[REPORT] = false;
        } else {
            self.report = Some(said);
        }
        Some(Tell {
            input,
            source: Source::Report,
            is_all,
        })
    }
}

impl Arrival {
    /// Where it comes from.
    pub fn source(&self) -> Source {
        match self {
            Self::Froze | Self::Late { .. } => Source::Runtime,
            Self::Up { .. } | Self::Ended(_) => Source::Answer,
            Self::Renewed(_) => Source::Lease,
            Self::Shutdown => Source::Shutdown,
            Self::Command(_) => Source::Command,
            Self::Observed(_) | Self::Silent(_) => Source::Observation,
            Self::Reported(_) => Source::Report,
        }
    }
}

impl Reported {
    /// Takes as many as one input can tell of, the stale ones first: those are told with the epoch
    /// before, to be counted as stale. Whether that was all.
    fn take_some(&mut self) -> (Input, bool) {
        let (epoch, waiting) = match self.stale {
            0 => (self.epoch, &mut self.count),
            _ => (self.epoch.wrapping_sub(1), &mut self.stale),
        };
        let count = u32::try_from(*waiting).unwrap_or(u32::MAX);
        *waiting -= u64::from(count);
        let input = Input::Report {
            component: self.component,
            epoch,
            class: self.class,
            count,
        };
        (input, self.count == 0 && self.stale == 0)
    }
}

/// What is left to be told of a component when it was told that its main task has ended.
fn left_after_exit(ended: Ended) -> Option<PendingAnswer> {
    let any = ended.gone || !ended.last_words.is_empty();
    any.then_some(PendingAnswer::Exited(ended))
}

/// Tells of the gravest of a component's last reports, if it has left any.
fn tell_gravest(ended: &mut Ended) -> Option<Tell> {
    let mut said = ended.last_word(ended.last_words.gravest()?)?;
    let (input, is_all) = said.take_some();
    ended.keep_word(said);
    Some(Tell {
        input,
        source: Source::LastWords(said.class),
        is_all,
    })
}

fn exited(ended: &Ended) -> Tell {
    let Ended {
        component,
        epoch,
        how,
        ..
    } = *ended;
    let input = Input::Exited {
        component,
        epoch,
        how,
    };
    whole(input, Source::Answer)
}

fn gone(ended: &Ended) -> Tell {
    let Ended {
        component,
        epoch,
        how,
        ..
    } = *ended;
    let input = Input::Gone {
        component,
        epoch,
        how,
    };
    whole(input, Source::Answer)
}

fn whole(input: Input, source: Source) -> Tell {
    Tell {
        input,
        source,
        is_all: true,
    }
}

fn tell(input: Input, source: Source) -> Next {
    Next::Tell(whole(input, source))
}
