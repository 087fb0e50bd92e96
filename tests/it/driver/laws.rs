//! What any driver owes to the machine, as a monitor that judges any run of one.
//!
//! | rule | statement |
//! | --- | --- |
//! | once | what arrives is told once, in full and unchanged; nothing else is. Only an alive observation as old as the silence limit is dropped, and only a later renewal takes the place of one |
//! | last words | a component's reports are told before its end, the gravest first; unless the end is unasked and graver than each of them: then it is told first that it ended |
//! | silence | a silence is told only when it is due, was found to be the dependency's, and nothing was seen in time |
//! | deadline | a timer is told when it is due, the first one first, and what is less urgent waits |
//! | order | a freeze goes before all else, answers before timers, a shutdown before what it makes pointless |
//! | fair | of renewals, commands, observations and reports none is passed over by more than three others |

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use overwatch::driver::{
    Arrival, Ended, Next, Observed, Reported, Seen, Silence, Source, Tell, View,
};
use overwatch::machine::{Effect, FailureClass, Input, Phase, Timer};

/// A rule, by its name. The [module](self) has the statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Rule {
    Once,
    LastWords,
    Silence,
    Deadline,
    Order,
    Fair,
}

/// A rule that was broken, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) rule: Rule,
    pub(crate) what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}

/// How many others may be told while one waits.
const MOST_PASSED: u8 = 3;

/// Reads what arrives and what is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Watch {
    limit: Duration,
    due: BTreeMap<Timer, Duration>,
    froze: bool,
    up: Option<Input>,
    end: Option<End>,
    shutdown: bool,
    lease: Option<(u64, Duration)>,
    command: Option<Input>,
    observation: Option<Observed>,
    report: Option<Reported>,
    polled: bool,
    thawed: bool,
    /// How many others were told while each of the four waited.
    passed: [u8; 4],
}

/// An end that waits, with what of it is told already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct End {
    ended: Ended,
    /// What is not told yet of its last words, by class.
    words: [Option<Reported>; 4],
    /// It was told that the main task has ended.
    exited: bool,
}

fn demand(rule: Rule, holds: bool, what: impl FnOnce() -> String) -> Result<(), Broken> {
    match holds {
        true => Ok(()),
        false => Err(Broken { rule, what: what() }),
    }
}

impl Watch {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            due: BTreeMap::new(),
            froze: false,
            up: None,
            end: None,
            shutdown: false,
            lease: None,
            command: None,
            observation: None,
            report: None,
            polled: false,
            thawed: false,
            passed: [0; 4],
        }
    }

    /// The end that waits.
    pub(crate) fn ending(&self) -> Option<Ended> {
        self.end.map(|end| end.ended)
    }

    /// When the last timer is due.
    pub(crate) fn last_due(&self) -> Option<Duration> {
        self.due.values().max().copied()
    }

    /// What the machine asked for.
    pub(crate) fn carry_out(&mut self, effects: &[Effect], now: Duration) {
        for effect in effects {
            match *effect {
                Effect::Arm { timer, after } => {
                    self.due.insert(timer, now + after);
                    self.polled &= timer != Timer::Silence;
                }
                Effect::Disarm { timer } => {
                    self.due.remove(&timer);
                    self.polled &= timer != Timer::Silence;
                }
                _ => {}
            }
        }
    }

    /// Something arrived, and was taken in or refused.
    pub(crate) fn arrived(&mut self, arrival: Arrival, taken: bool) -> Result<(), Broken> {
        let room = match arrival {
            Arrival::Silent(_) | Arrival::Late { .. } | Arrival::Renewed(_) => true,
            Arrival::Froze => !self.froze,
            Arrival::Up { .. } | Arrival::Ended(_) => self.up.is_none() && self.end.is_none(),
            Arrival::Shutdown => !self.shutdown,
            Arrival::Command(_) => self.command.is_none(),
            Arrival::Observed(_) => self.observation.is_none(),
            Arrival::Reported(_) => self.report.is_none(),
        };
        demand(Rule::Once, room == taken, || {
            format!("{arrival:?} taken in: {taken}, though there is room: {room}")
        })?;
        if !taken {
            return Ok(());
        }
        match arrival {
            Arrival::Froze => self.froze = true,
            Arrival::Up { component, epoch } => self.up = Some(Input::Up { component, epoch }),
            Arrival::Ended(ended) => {
                self.end = Some(End {
                    ended,
                    words: FailureClass::ALL.map(|class| ended.last_word(class)),
                    exited: false,
                });
            }
            Arrival::Renewed(lease) => {
                self.lease = Some((lease.epoch, lease.expires));
            }
            Arrival::Shutdown => self.shutdown = true,
            Arrival::Command(command) => self.command = Some(command.input()),
            Arrival::Observed(observed) => self.observation = Some(observed),
            Arrival::Reported(reported) => self.report = Some(reported),
            Arrival::Silent(Silence::Polled) => self.polled = true,
            Arrival::Silent(Silence::Frozen) => {
                self.froze = true;
                self.postpone(Timer::Silence, self.limit);
            }
            Arrival::Silent(Silence::Thawed(by)) => {
                self.thawed = true;
                self.postpone(Timer::Silence, by);
            }
            Arrival::Late { at, by } => {
                self.polled = false;
                for timer in [Timer::Silence, Timer::HoldOff] {
                    self.postpone(timer, by);
                }
                if let Some(due) = self.due.get_mut(&Timer::Stage) {
                    *due = (*due).max(at + by.min(Duration::from_millis(250)));
                }
            }
        }
        Ok(())
    }

    fn postpone(&mut self, timer: Timer, by: Duration) {
        if let Some(due) = self.due.get_mut(&timer) {
            *due += by;
        }
    }

    /// Judges what is to be done next.
    pub(crate) fn judge(&mut self, next: Next, view: &View, now: Duration) -> Result<(), Broken> {
        // A clean run has no gap, whatever it comes from.
        self.froze |= std::mem::take(&mut self.thawed) && view.phase == Phase::Monitoring;
        match next {
            Next::Tell(tell) => self.judge_tell(tell, view, now),
            Next::Drop(source) => {
                let old = self.observation.is_some_and(|seen| {
                    seen.seen == Seen::Alive && now.saturating_sub(seen.at) >= self.limit
                });
                demand(Rule::Once, source == Source::Observation && old, || {
                    format!("{:?} is dropped at {now:?}", self.observation)
                })?;
                self.observation = None;
                self.passed[2] = 0;
                Ok(())
            }
            Next::WhySilent { since } => {
                let due = self.due.get(&Timer::Silence).copied();
                let asked = due
                    .is_some_and(|due| due <= now && since == due.saturating_sub(self.limit))
                    && !self.polled;
                demand(Rule::Silence, asked, || {
                    format!("asks why it is silent since {since:?}, due at {due:?}")
                })?;
                self.demand_timer(Timer::Silence, view, now)
            }
            Next::Wait(until) => {
                let idle = !self.froze
                    && self.up.is_none()
                    && self.end.is_none()
                    && !self.shutdown
                    && self.waiting() == [false; 4];
                demand(Rule::Once, idle, || format!("waits, and there is {self:?}"))?;
                let first = self.due.values().min().copied();
                demand(Rule::Deadline, until == first, || {
                    format!("waits until {until:?}, and {first:?} is the first deadline")
                })?;
                demand(Rule::Deadline, first.is_none_or(|due| due > now), || {
                    format!("waits at {now:?}, and {first:?} is over")
                })
            }
        }
    }

    fn waiting(&self) -> [bool; 4] {
        [
            self.lease.is_some(),
            self.command.is_some(),
            self.observation.is_some(),
            self.report.is_some(),
        ]
    }

    /// Whether it is this timer's turn.
    fn demand_timer(&self, timer: Timer, view: &View, now: Duration) -> Result<(), Broken> {
        self.demand_no_answer()?;
        let due = self.due.get(&timer).copied();
        demand(Rule::Deadline, due.is_some_and(|due| due <= now), || {
            format!("{timer} at {now:?}, due at {due:?}")
        })?;
        let first = self.due.iter().map(|(timer, due)| (*due, *timer)).min();
        demand(
            Rule::Deadline,
            first.map(|(_, first)| first) == Some(timer),
            || format!("{timer} is told, and {first:?} is the first"),
        )?;
        if timer == Timer::Fence {
            demand(Rule::Deadline, self.lease.is_none(), || {
                "the fence is told though a renewal waits".into()
            })?;
        }
        if timer == Timer::Silence {
            demand(Rule::Silence, !self.was_heard(view, now), || {
                format!(
                    "silent, but {:?} was seen, due at {due:?}",
                    self.observation
                )
            })?;
        }
        Ok(())
    }

    /// Whether something was seen that makes a silence which is due untrue.
    fn was_heard(&self, view: &View, now: Duration) -> bool {
        let Some(&due) = self.due.get(&Timer::Silence) else {
            return false;
        };
        self.observation.is_some_and(|seen| {
            let young = now.saturating_sub(seen.at) < self.limit;
            let without_gap = view.phase != Phase::Monitoring || seen.at <= due;
            view.session == Some(seen.session) && young && without_gap
        })
    }

    fn demand_no_answer(&self) -> Result<(), Broken> {
        demand(Rule::Order, !self.froze, || "a freeze waits".into())?;
        demand(Rule::Order, self.up.is_none() && self.end.is_none(), || {
            format!("an answer waits: {self:?}")
        })
    }

    fn judge_tell(&mut self, tell: Tell, view: &View, now: Duration) -> Result<(), Broken> {
        let Tell {
            input,
            source,
            is_all,
        } = tell;
        match (source, input) {
            (Source::Runtime, Input::Frozen) if self.froze => self.froze = false,
            (Source::Answer, Input::Up { .. }) => {
                demand(Rule::Order, !self.froze, || "a freeze waits".into())?;
                demand(Rule::Once, self.up.take() == Some(input) && is_all, || {
                    format!("{input:?} did not arrive")
                })?;
            }
            (Source::Answer, Input::Exited { .. } | Input::Gone { .. }) => {
                self.judge_end(tell, view)?;
            }
            (Source::LastWords(class), Input::Report { .. }) => {
                demand(Rule::Order, !self.froze, || "a freeze waits".into())?;
                let report = self.report_of_end();
                self.demand_end_not_first(view)?;
                let Some(end) = &mut self.end else {
                    return demand(Rule::Once, false, || format!("{input:?} of nobody"));
                };
                let words = &mut end.words;
                let gravest = words.iter().flatten().map(|said| said.class).max();
                let gravest = gravest.max(report.map(|said| said.class));
                demand(Rule::LastWords, gravest == Some(class), || {
                    format!("{class} is told before {gravest:?}")
                })?;
                told_of(&mut words[class as usize], tell)?;
                let done = end.exited && !end.ended.gone && words.iter().all(Option::is_none);
                if done {
                    self.end = None;
                }
            }
            (Source::Timer, Input::Fired(timer)) => {
                self.demand_timer(timer, view, now)?;
                if timer == Timer::Silence {
                    demand(Rule::Silence, std::mem::take(&mut self.polled), || {
                        "nobody found out why it is silent".into()
                    })?;
                }
                self.due.remove(&timer);
            }
            (Source::Shutdown, Input::Shutdown) => {
                self.demand_nothing_due(now)?;
                let arrived = std::mem::take(&mut self.shutdown);
                demand(Rule::Once, arrived, || "nobody asked for the end".into())?;
            }
            (Source::Lease, Input::LeaseRenewed { epoch, remaining }) => {
                let before_fence = self.is_first(Timer::Fence, now);
                if !before_fence {
                    self.demand_turn(0, now)?;
                }
                self.demand_no_answer()?;
                let lease = self.lease.take();
                let right = lease.map(|(epoch, expires)| (epoch, expires.saturating_sub(now)));
                demand(Rule::Once, right == Some((epoch, remaining)), || {
                    format!("{input:?}, but what arrived is {lease:?}")
                })?;
                self.passed[0] = 0;
            }
            (Source::Command, _) => {
                self.demand_turn(1, now)?;
                demand(Rule::Once, self.command.take() == Some(input), || {
                    format!("{input:?} was not asked for")
                })?;
                self.passed[1] = 0;
            }
            (Source::Observation, _) => {
                let before_silence =
                    self.is_first(Timer::Silence, now) && self.was_heard(view, now);
                if !before_silence {
                    self.demand_turn(2, now)?;
                }
                self.demand_no_answer()?;
                let Some(seen) = self.observation.take() else {
                    return demand(Rule::Once, false, || format!("{input:?} was not seen"));
                };
                let right = match seen.seen {
                    Seen::Alive => Input::Alive {
                        session: seen.session,
                        round: seen.round,
                    },
                    Seen::Failing { fatal } => Input::Failing {
                        session: seen.session,
                        fatal,
                    },
                };
                let young = now.saturating_sub(seen.at) < self.limit;
                demand(Rule::Once, input == right, || {
                    format!("{input:?} of {seen:?}")
                })?;
                demand(Rule::Silence, young || seen.seen != Seen::Alive, || {
                    format!("{seen:?} is told at {now:?}: that is no sign of life")
                })?;
                self.passed[2] = 0;
            }
            (Source::Report, Input::Report { .. }) => {
                let of_end = self.report_of_end();
                match of_end {
                    Some(said) => {
                        self.demand_end_not_first(view)?;
                        self.demand_last_word(said.class)?;
                    }
                    None => self.demand_turn(3, now)?,
                }
                told_of(&mut self.report, tell)?;
                // A part of it is a turn, too.
                self.passed[3] = 0;
            }
            _ => return demand(Rule::Once, false, || format!("{tell:?} comes from nowhere")),
        }
        Ok(())
    }

    fn is_first(&self, timer: Timer, now: Duration) -> bool {
        let first = self.due.iter().map(|(timer, due)| (*due, *timer)).min();
        first.is_some_and(|(due, first)| due <= now && first == timer)
    }

    fn demand_nothing_due(&self, now: Duration) -> Result<(), Broken> {
        self.demand_no_answer()?;
        let first = self.due.iter().map(|(timer, due)| (*due, *timer)).min();
        demand(
            Rule::Deadline,
            first.is_none_or(|(due, _)| due > now),
            || format!("{first:?} is due at {now:?}, and waits"),
        )
    }

    /// Whether it is the turn of one of the four.
    fn demand_turn(&mut self, place: usize, now: Duration) -> Result<(), Broken> {
        self.demand_nothing_due(now)?;
        demand(Rule::Order, !self.shutdown, || "a shutdown waits".into())?;
        let waiting = self.waiting();
        for (other, passed) in self.passed.iter_mut().enumerate() {
            if waiting[other] && other != place {
                *passed += 1;
                let few = *passed <= MOST_PASSED;
                demand(Rule::Fair, few, || {
                    format!("the {other}. of the four is passed over by {passed}")
                })?;
            }
        }
        Ok(())
    }

    /// The report that waits, if it is of the component whose end does.
    fn report_of_end(&self) -> Option<Reported> {
        let End { ended, exited, .. } = self.end?;
        // One that has ended, and something of it is held: its other reports are in time for when it is gone.
        let in_time = exited && !ended.gone;
        let of_it = |said: &Reported| {
            said.component == Some(ended.component) && said.epoch == ended.epoch && !in_time
        };
        self.report.filter(of_it)
    }

    /// An end that is unasked and graver than all reports before it goes first.
    fn demand_end_not_first(&self, view: &View) -> Result<(), Broken> {
        let Some(End {
            ended,
            words,
            exited,
        }) = self.end
        else {
            return Ok(());
        };
        let words = words.into_iter().flatten();
        let gravest = words
            .chain(self.report_of_end())
            .map(|said| said.class)
            .max();
        let first = !exited && !view.asked && gravest < Some(ended.how.class());
        demand(Rule::LastWords, !first, || {
            format!("reports of {gravest:?} before the end that is graver: {ended:?}")
        })
    }

    fn demand_last_word(&self, class: FailureClass) -> Result<(), Broken> {
        demand(Rule::Order, !self.froze, || "a freeze waits".into())?;
        let words = self.end.map(|end| end.words).unwrap_or_default();
        let gravest = words.iter().flatten().map(|said| said.class).max();
        demand(Rule::LastWords, gravest <= Some(class), || {
            format!("{class} is told before {gravest:?}")
        })
    }

    fn judge_end(&mut self, tell: Tell, view: &View) -> Result<(), Broken> {
        demand(Rule::Order, !self.froze, || "a freeze waits".into())?;
        let report = self.report_of_end().map(|said| said.class);
        let Some(End {
            ended,
            words,
            exited,
        }) = &mut self.end
        else {
            return demand(Rule::Once, false, || format!("{tell:?} of nobody"));
        };
        let gravest = words.iter().flatten().map(|said| said.class).max();
        let gravest = gravest.max(report);
        let (component, epoch, how) = (ended.component, ended.epoch, ended.how);
        let right = match tell.input {
            Input::Gone { .. } => Input::Gone {
                component,
                epoch,
                how,
            },
            _ => Input::Exited {
                component,
                epoch,
                how,
            },
        };
        demand(Rule::Once, tell.input == right, || {
            format!("{tell:?} of {ended:?}")
        })?;
        let is_gone = matches!(tell.input, Input::Gone { .. });
        demand(Rule::Once, !is_gone || ended.gone, || {
            format!("{tell:?}, but something of it is held")
        })?;
        let end_first = !view.asked && gravest.is_some_and(|it| it < how.class());
        if gravest.is_some() {
            let may = end_first && !is_gone && !*exited;
            demand(Rule::LastWords, may, || {
                format!(
                    "{tell:?} before reports of {gravest:?}, asked: {}",
                    view.asked
                )
            })?;
            *exited = true;
            let more = words.iter().any(Option::is_some);
            if !ended.gone && !more {
                self.end = None;
            }
            return Ok(());
        }
        demand(Rule::Once, is_gone || !ended.gone, || {
            format!("{tell:?}, and nothing is left of it")
        })?;
        self.end = None;
        Ok(())
    }
}

/// Takes off what was told of a report.
fn told_of(slot: &mut Option<Reported>, tell: Tell) -> Result<(), Broken> {
    let Some(said) = slot else {
        return demand(Rule::Once, false, || format!("{tell:?} was not reported"));
    };
    let epoch = match said.stale {
        0 => said.epoch,
        _ => said.epoch.wrapping_sub(1),
    };
    let waiting = match said.stale {
        0 => &mut said.count,
        _ => &mut said.stale,
    };
    let count = u32::try_from(*waiting).unwrap_or(u32::MAX);
    *waiting -= u64::from(count);
    let right = Input::Report {
        component: said.component,
        epoch,
        class: said.class,
        count,
    };
    let all = said.count == 0 && said.stale == 0;
    demand(
        Rule::Once,
        tell.input == right && tell.is_all == all,
        || format!("{tell:?}, but what was reported is {right:?}, all: {all}"),
    )?;
    if all {
        *slot = None;
    }
    Ok(())
}
