//! Decides which arrival goes to the machine next.

use core::time::Duration;

use super::arrival::{Arrival, Ended, Observed, Renewed, Reported, Seen, Silence, Source};
use super::timers::Timers;
use crate::machine::{Command, Effect, Input, Phase, Timer};
use crate::policy::ComponentId;

/// Decides which input the machine gets next. See the [module](super) for the order.
///
/// It is small plain data, with one slot for each source, so that it can be explored.
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
    /// Which sources of [`FAIR`] were passed over while they waited.
    passed_over: [bool; 4],
    /// Whether the silence that is due is known to be the dependency's.
    polled: bool,
    /// Whether the probe is polled again after it was not polled for a while.
    thawed: bool,
}

/// An answer of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum PendingAnswer {
    Up {
        component: ComponentId,
        epoch: u64,
    },
    Ended(Ended),
    /// The end of the main task has gone to the machine. Left are the last words and, if the component is gone, that.
    Exited(Ended),
}

/// What the driver needs to know about the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// The phase of the machine.
    pub phase: Phase,
    /// The open session, if there is one. Only its observations count.
    pub session: Option<u64>,
    /// Whether the component whose end [waits](Driver::ending) was asked to stop before.
    pub asked: bool,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Next {
    /// Pass this input to the machine.
    Tell(Tell),
    /// What this source held was too old to mean anything, and was dropped.
    Drop(Source),
    /// The dependency was silent for the silence limit: find out why.
    ///
    /// Pass the answer as an [`Arrival::Silent`].
    WhySilent {
        /// When there was last an observation, or when the wait for one began.
        since: Duration,
    },
    /// There is nothing to do until this time, when the next timer is due; `None` if no timer is armed.
    Wait(Option<Duration>),
}

/// An input for the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tell {
    /// The input.
    pub input: Input,
    /// The source that it comes from.
    pub source: Source,
    /// Whether this was the last input of its arrival.
    ///
    /// Billions of reports take several inputs. A component that has ended may take one input for its end, and a later
    /// one when nothing of it is left.
    pub is_all: bool,
}

/// The sources of which none may wait forever while others go first.
const FAIR: [Source; 4] = [
    Source::Lease,
    Source::Command,
    Source::Observation,
    Source::Report,
];
// Positions in `FAIR`.
const LEASE: usize = 0;
const OBSERVATION: usize = 2;
const REPORT: usize = 3;

impl Driver {
    /// Creates an empty driver. An alive observation that is as old as the silence limit will not count.
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

    /// Whether a source has room for one more arrival.
    pub fn has_room(&self, source: Source) -> bool {
        match source {
            Source::Runtime => !self.froze,
            Source::Answer | Source::LastWords(_) => self.answer.is_none(),
            Source::Timer | Source::Failures | Source::Assumed => false,
            Source::Shutdown => !self.shutdown,
            Source::Lease => self.lease.is_none(),
            Source::Command => self.command.is_none(),
            Source::Observation => self.observation.is_none(),
            Source::Report => self.report.is_none(),
        }
    }

    /// Takes an arrival. Returns `false` if its source has no room.
    ///
    /// Then the arrival that waits must go to the machine first. Only a renewal replaces the one that waits.
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

    /// Arms and disarms the timers that the machine requests.
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

    /// Forgets why there is silence, because that was about the silence that was due before.
    fn forget_why(&mut self, timer: Timer) {
        self.polled &= timer != Timer::Silence;
    }

    /// Takes the reason why there is no observation. A silence that is not the dependency's is postponed at once,
    /// because the question is asked only once.
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

    /// The component whose end waits to go to the machine, and its epoch.
    pub fn ending(&self) -> Option<(ComponentId, u64)> {
        match self.answer? {
            PendingAnswer::Ended(ended) => Some((ended.component, ended.epoch)),
            PendingAnswer::Up { .. } | PendingAnswer::Exited(_) => None,
        }
    }

    /// Returns what to do next.
    pub fn next(&mut self, view: &View, now: Duration) -> Next {
        // A clean run must not have a gap, whatever caused it.
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
                    // The end has gone to the machine, so a report that waits need not go before it any more.
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

    /// The report that waits, if it is from the component that has ended.
    fn report_of(&self, ended: &Ended) -> Option<Reported> {
        let of_it =
            |said: &Reported| said.component == Some(ended.component) && said.epoch == ended.epoch;
        self.report.filter(of_it)
    }

    /// The gravest report of a component that has not gone to the machine yet.
    fn tell_last_word(&mut self, ended: &mut Ended) -> Option<Tell> {
        match self.report_of(ended) {
            // The report that waits came before the last words of its class.
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

    /// Whether an observation waits that goes before the silence that is due.
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

    /// The source whose turn it is, among those of which none may wait forever.
    fn fair(&mut self) -> Option<Source> {
        let waits = FAIR.map(|source| !self.has_room(source));
        let passed = (0..FAIR.len()).find(|&place| waits[place] && self.passed_over[place]);
        let place = passed.or_else(|| waits.iter().position(|&waits| waits))?;
        self.passed_over[place] = false;
        // Mark only sources that come later in the order: otherwise the first two would take turns forever.
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
    /// The source of this arrival.
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
    /// Takes as many reports as fit into one input, the stale ones first. Also returns whether these were all.
    ///
    /// Stale reports get the epoch before, so that they are counted as stale.
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

/// What is left of a component's answer after the end of its main task has gone to the machine.
fn left_after_exit(ended: Ended) -> Option<PendingAnswer> {
    let any = ended.gone || !ended.last_words.is_empty();
    any.then_some(PendingAnswer::Exited(ended))
}

/// Takes the gravest of a component's last reports, if there are any.
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
