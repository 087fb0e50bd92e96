//! The driver a second time, in the plainest style, as an oracle; and with one decision taken wrongly,
//! for the gallery.
//!
//! Nothing is shared with the driver but the public types. All that has arrived and is not told yet is
//! one list; what is next is found by asking of each rule in turn, from the top of the table in the
//! driver's documentation to its end.

use std::time::Duration;

use overwatch::driver::{
    Arrival, Driver, Ended, Next, Observed, Reported, Seen, Silence, Source, Tell, View,
};
use overwatch::machine::{Effect, FailureClass, Input, Phase, Timer};

/// What any driver does.
pub(crate) trait Drive: Clone + Eq + std::hash::Hash + std::fmt::Debug {
    fn arrive(&mut self, arrival: Arrival) -> bool;
    fn carry_out(&mut self, effects: &[Effect], now: Duration);
    fn next(&mut self, view: &View, now: Duration) -> Next;
}

impl Drive for Driver {
    fn arrive(&mut self, arrival: Arrival) -> bool {
        Driver::arrive(self, arrival)
    }

    fn carry_out(&mut self, effects: &[Effect], now: Duration) {
        Driver::carry_out(self, effects, now);
    }

    fn next(&mut self, view: &View, now: Duration) -> Next {
        Driver::next(self, view, now)
    }
}

/// A decision that is taken wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Defect {
    FreezeAfterAnswers,
    TimersBeforeAnswers,
    EndBeforeLastWords,
    EndNeverFirst,
    EndFirstThoughAsked,
    EndFirstAmongEquals,
    MildestWordFirst,
    WaitingReportOverlooked,
    ExitedIsGone,
    SilenceThoughSeen,
    OldObservationBreaksSilence,
    LateObservationBreaksSilence,
    OnlyInTimeBreaksSilence,
    OtherSessionBreaksSilence,
    RenewalAfterFence,
    OlderRenewalKept,
    RenewalCountsFromArrival,
    LastTimerFirst,
    TimerEarly,
    TimerLate,
    TimerFiresTwice,
    CommandsBeforeTimers,
    ShutdownLast,
    StrictOrder,
    AllArePassedOver,
    ReplacesWhatWaits,
    SilenceUnexplained,
    ExplanationOutlivesTheSilence,
    ExplanationIsForgotten,
    ThawIsForgotten,
    FreezePostponesNothing,
    ThawVoidsAlways,
    ThawNeverVoids,
    LatenessExcusesTheFence,
    LatenessIsSilence,
    LatenessCutsTheStageShort,
    OldAliveIsTold,
    OldFailureIsDropped,
    StaleCountsAsPresent,
    MostOfAStormIsLost,
    WaitsForTheLastTimer,
    WaitsForEver,
}

/// The reference.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Reference {
    limit: Duration,
    defect: Option<Defect>,
    timers: Vec<(Timer, Duration)>,
    waiting: Vec<Arrival>,
    /// Of the end that waits it was told that the main task has ended.
    exited: bool,
    polled: bool,
    thawed: bool,
    /// Which of the four was passed over.
    passed: Vec<Source>,
}

const FAIR: [Source; 4] = [
    Source::Lease,
    Source::Command,
    Source::Observation,
    Source::Report,
];

impl Reference {
    pub(crate) fn new(limit: Duration, defect: Option<Defect>) -> Self {
        Self {
            limit,
            defect,
            timers: Vec::new(),
            waiting: Vec::new(),
            exited: false,
            polled: false,
            thawed: false,
            passed: Vec::new(),
        }
    }

    fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    fn find(&self, source: Source) -> Option<Arrival> {
        let of_it = |arrival: &&Arrival| arrival.source() == source;
        self.waiting.iter().find(of_it).copied()
    }

    fn add(&mut self, arrival: Arrival) {
        self.waiting.push(arrival);
        self.waiting.sort_by_key(Arrival::source);
    }

    fn remove(&mut self, arrival: Arrival) {
        self.waiting.retain(|other| *other != arrival);
        self.passed.retain(|source| *source != arrival.source());
    }

    fn replace(&mut self, arrival: Arrival, by: Arrival) {
        for other in &mut self.waiting {
            if *other == arrival {
                *other = by;
            }
        }
    }

    fn first_timer(&self) -> Option<(Duration, Timer)> {
        let timers = self.timers.iter().map(|&(timer, due)| (due, timer));
        match self.has(Defect::LastTimerFirst) {
            true => timers.max(),
            false => timers.min(),
        }
    }

    fn postpone(&mut self, timer: Timer, by: Duration) {
        for (other, due) in &mut self.timers {
            if *other == timer {
                *due += by;
            }
        }
    }

    fn disarm(&mut self, timer: Timer) {
        self.timers.retain(|(other, _)| *other != timer);
    }

    // The rules, from the top of the table.

    fn freeze(&mut self) -> Option<Next> {
        let froze = self.find(Source::Runtime)?;
        self.remove(froze);
        Some(whole(Input::Frozen, Source::Runtime))
    }

    fn answer(&mut self, view: &View) -> Option<Next> {
        let arrival = self.find(Source::Answer)?;
        let ended = match arrival {
            Arrival::Up { component, epoch } => {
                self.remove(arrival);
                return Some(whole(Input::Up { component, epoch }, Source::Answer));
            }
            Arrival::Ended(ended) => ended,
            _ => return None,
        };
        let report = self.report_of(&ended);
        let words = words_of(&ended);
        let gravest = words.iter().map(|said| said.class).max();
        let gravest = gravest.max(report.map(|said| said.class));
        if let Some(gravest) = gravest {
            let graver = match self.has(Defect::EndFirstAmongEquals) {
                true => gravest <= ended.how.class(),
                false => gravest < ended.how.class(),
            };
            let unasked = !view.asked || self.has(Defect::EndFirstThoughAsked);
            let end_first = graver && unasked && !self.has(Defect::EndNeverFirst);
            if end_first && !self.exited {
                self.exited = true;
                // Of one that is not gone, there is nothing more to wait for than its words.
                if !ended.gone && words.is_empty() {
                    self.remove(arrival);
                    self.exited = false;
                }
                return Some(Next::Tell(Tell {
                    input: exited(&ended),
                    source: Source::Answer,
                    is_all: !ended.gone,
                }));
            }
            if !self.has(Defect::EndBeforeLastWords) {
                return Some(self.last_word(ended, report));
            }
        }
        self.remove(arrival);
        self.exited = false;
        let input = match ended.gone || self.has(Defect::ExitedIsGone) {
            true => gone(&ended),
            false => exited(&ended),
        };
        Some(whole(input, Source::Answer))
    }

    fn report_of(&self, ended: &Ended) -> Option<Reported> {
        // One that is told to have ended, and not that it is gone, waits for its own words only.
        let only_words = self.exited && !ended.gone;
        if only_words || self.has(Defect::WaitingReportOverlooked) {
            return None;
        }
        match self.find(Source::Report)? {
            Arrival::Reported(said)
                if said.component == Some(ended.component) && said.epoch == ended.epoch =>
            {
                Some(said)
            }
            _ => None,
        }
    }

    fn last_word(&mut self, ended: Ended, report: Option<Reported>) -> Next {
        let mut words = words_of(&ended);
        words.sort_by_key(|said| said.class);
        let first = match self.has(Defect::MildestWordFirst) {
            true => words.first().copied(),
            false => words.last().copied(),
        };
        if let Some(said) = report
            && first.is_none_or(|first| first.class <= said.class)
        {
            return self.report(said);
        }
        let first = first.expect("else the report is the only word");
        let (input, left) = self.some_of(first);
        words.retain(|said| said.class != first.class);
        words.extend(left);
        let over = self.exited && !ended.gone && words.is_empty();
        let rest = Ended {
            last_words: words.into_iter().collect(),
            ..ended
        };
        if over {
            self.remove(Arrival::Ended(ended));
            self.exited = false;
        } else {
            self.replace(Arrival::Ended(ended), Arrival::Ended(rest));
        }
        Next::Tell(Tell {
            input,
            source: Source::LastWords(first.class),
            is_all: left.is_none(),
        })
    }

    /// As many reports as fit into one input, and what is left.
    fn some_of(&self, said: Reported) -> (Input, Option<Reported>) {
        let mut left = said;
        let stale = said.stale > 0;
        let waiting = if stale {
            &mut left.stale
        } else {
            &mut left.count
        };
        let count = (*waiting).min(u64::from(u32::MAX));
        *waiting -= count;
        if self.has(Defect::MostOfAStormIsLost) {
            *waiting = 0;
        }
        let previous = stale && !self.has(Defect::StaleCountsAsPresent);
        let input = Input::Report {
            component: said.component,
            epoch: if previous {
                said.epoch.wrapping_sub(1)
            } else {
                said.epoch
            },
            class: said.class,
            count: count as u32,
        };
        let any = left.count > 0 || left.stale > 0;
        (input, any.then_some(left))
    }

    fn timer(&mut self, view: &View, now: Duration) -> Option<Next> {
        let (due, timer) = self.first_timer()?;
        let is_due = match self.defect {
            Some(Defect::TimerEarly) => due <= now + Duration::from_millis(1),
            Some(Defect::TimerLate) => due < now,
            _ => due <= now,
        };
        if !is_due {
            return None;
        }
        if timer == Timer::Fence
            && let Some(Arrival::Renewed(_)) = self.find(Source::Lease)
            && !self.has(Defect::RenewalAfterFence)
        {
            return self.lease(now);
        }
        if timer == Timer::Silence {
            if let Some(Arrival::Observed(seen)) = self.find(Source::Observation)
                && self.breaks_silence(seen, due, view, now)
            {
                return self.observation(now);
            }
            if !self.polled && !self.has(Defect::SilenceUnexplained) {
                let since = due.saturating_sub(self.limit);
                return Some(Next::WhySilent { since });
            }
            self.polled = false;
        }
        if !self.has(Defect::TimerFiresTwice) {
            self.disarm(timer);
        }
        Some(whole(Input::Fired(timer), Source::Timer))
    }

    fn breaks_silence(&self, seen: Observed, due: Duration, view: &View, now: Duration) -> bool {
        let young = now.saturating_sub(seen.at) < self.limit;
        let in_time = seen.at <= due;
        let without_gap = match view.phase {
            _ if self.has(Defect::LateObservationBreaksSilence) => true,
            Phase::Monitoring => in_time,
            _ => in_time || !self.has(Defect::OnlyInTimeBreaksSilence),
        };
        let of_session = view.session == Some(seen.session);
        !self.has(Defect::SilenceThoughSeen)
            && (young || self.has(Defect::OldObservationBreaksSilence))
            && without_gap
            && (of_session || self.has(Defect::OtherSessionBreaksSilence))
    }

    fn shutdown(&mut self) -> Option<Next> {
        let shutdown = self.find(Source::Shutdown)?;
        self.remove(shutdown);
        Some(whole(Input::Shutdown, Source::Shutdown))
    }

    fn one_of_four(&mut self, now: Duration) -> Option<Next> {
        let waiting: Vec<Source> = FAIR
            .into_iter()
            .filter(|&source| self.find(source).is_some())
            .collect();
        let passed = waiting.iter().find(|source| self.passed.contains(source));
        let turn = *passed.or(waiting.first())?;
        self.passed.retain(|&source| source != turn);
        if !self.has(Defect::StrictOrder) {
            let later = waiting.into_iter().filter(|&source| match self.defect {
                Some(Defect::AllArePassedOver) => source != turn,
                _ => source > turn,
            });
            let later: Vec<Source> = later.collect();
            self.passed.extend(later);
            self.passed.sort();
            self.passed.dedup();
        }
        match (turn, self.find(turn)?) {
            (Source::Lease, _) => self.lease(now),
            (Source::Observation, _) => self.observation(now),
            (_, Arrival::Reported(said)) => Some(self.report(said)),
            (_, Arrival::Command(command)) => {
                self.remove(Arrival::Command(command));
                Some(whole(command.input(), Source::Command))
            }
            _ => None,
        }
    }

    fn lease(&mut self, now: Duration) -> Option<Next> {
        let arrival = self.find(Source::Lease)?;
        let Arrival::Renewed(lease) = arrival else {
            return None;
        };
        self.remove(arrival);
        let counted_from = match self.has(Defect::RenewalCountsFromArrival) {
            true => now.saturating_sub(Duration::from_millis(1)),
            false => now,
        };
        let input = Input::LeaseRenewed {
            epoch: lease.epoch,
            remaining: lease.expires.saturating_sub(counted_from),
        };
        Some(whole(input, Source::Lease))
    }

    fn observation(&mut self, now: Duration) -> Option<Next> {
        let arrival = self.find(Source::Observation)?;
        let Arrival::Observed(seen) = arrival else {
            return None;
        };
        self.remove(arrival);
        let old = now.saturating_sub(seen.at) >= self.limit;
        let input = match seen.seen {
            Seen::Alive if old && !self.has(Defect::OldAliveIsTold) => {
                return Some(Next::Drop(Source::Observation));
            }
            Seen::Failing { .. } if old && self.has(Defect::OldFailureIsDropped) => {
                return Some(Next::Drop(Source::Observation));
            }
            Seen::Alive => Input::Alive {
                session: seen.session,
                round: seen.round,
            },
            Seen::Failing { fatal } => Input::Failing {
                session: seen.session,
                fatal,
            },
        };
        Some(whole(input, Source::Observation))
    }

    fn report(&mut self, said: Reported) -> Next {
        let (input, left) = self.some_of(said);
        match left {
            Some(left) => self.replace(Arrival::Reported(said), Arrival::Reported(left)),
            None => self.remove(Arrival::Reported(said)),
        }
        Next::Tell(Tell {
            input,
            source: Source::Report,
            is_all: left.is_none(),
        })
    }
}

impl Drive for Reference {
    fn arrive(&mut self, arrival: Arrival) -> bool {
        match arrival {
            Arrival::Silent(Silence::Polled) => self.polled = true,
            Arrival::Silent(Silence::Frozen) => {
                if !self.has(Defect::FreezePostponesNothing) {
                    self.postpone(Timer::Silence, self.limit);
                }
                if self.find(Source::Runtime).is_none() {
                    self.add(Arrival::Froze);
                }
            }
            Arrival::Silent(Silence::Thawed(by)) => {
                if !self.has(Defect::ThawIsForgotten) {
                    self.postpone(Timer::Silence, by);
                }
                self.thawed = true;
            }
            Arrival::Late { at, by } => {
                if !self.has(Defect::LatenessIsSilence) {
                    self.postpone(Timer::Silence, by);
                    self.postpone(Timer::HoldOff, by);
                }
                if self.has(Defect::LatenessExcusesTheFence) {
                    self.postpone(Timer::Fence, by);
                }
                let moment = by.min(Duration::from_millis(250));
                let spared = self.has(Defect::LatenessCutsTheStageShort);
                for (timer, due) in &mut self.timers {
                    if *timer == Timer::Stage && !spared {
                        *due = (*due).max(at + moment);
                    }
                }
                self.polled = false;
            }
            Arrival::Renewed(_) => {
                if let Some(before) = self.find(Source::Lease) {
                    if !self.has(Defect::OlderRenewalKept) {
                        self.replace(before, arrival);
                    }
                } else {
                    self.add(arrival);
                }
            }
            _ => match self.find(arrival.source()) {
                None => self.add(arrival),
                Some(before) if self.has(Defect::ReplacesWhatWaits) => {
                    self.replace(before, arrival);
                }
                Some(_) => return false,
            },
        }
        true
    }

    fn carry_out(&mut self, effects: &[Effect], now: Duration) {
        for effect in effects {
            match *effect {
                Effect::Arm { timer, after } => {
                    self.disarm(timer);
                    self.timers.push((timer, now + after));
                    self.timers.sort();
                }
                Effect::Disarm { timer } => self.disarm(timer),
                _ => continue,
            }
            let of_silence = matches!(
                effect,
                Effect::Arm {
                    timer: Timer::Silence,
                    ..
                } | Effect::Disarm {
                    timer: Timer::Silence
                }
            );
            let forgets = match self.defect {
                Some(Defect::ExplanationOutlivesTheSilence) => false,
                Some(Defect::ExplanationIsForgotten) => true,
                _ => of_silence,
            };
            self.polled &= !forgets;
        }
    }

    fn next(&mut self, view: &View, now: Duration) -> Next {
        if std::mem::take(&mut self.thawed) {
            let voids = view.phase == Phase::Monitoring && !self.has(Defect::ThawNeverVoids);
            let has_gap = voids || self.has(Defect::ThawVoidsAlways);
            if has_gap && self.find(Source::Runtime).is_none() {
                self.add(Arrival::Froze);
            }
        }
        let next = match self.defect {
            Some(Defect::FreezeAfterAnswers) => self.answer(view).or_else(|| self.freeze()),
            Some(Defect::TimersBeforeAnswers) => {
                let frozen = self.freeze();
                let timer = frozen.or_else(|| self.timer(view, now));
                timer.or_else(|| self.answer(view))
            }
            _ => self.freeze().or_else(|| self.answer(view)),
        };
        let next = match self.defect {
            Some(Defect::CommandsBeforeTimers) => next.or_else(|| self.one_of_four(now)),
            _ => next,
        };
        let next = next.or_else(|| self.timer(view, now));
        let next = match self.defect {
            Some(Defect::ShutdownLast) => next
                .or_else(|| self.one_of_four(now))
                .or_else(|| self.shutdown()),
            _ => next
                .or_else(|| self.shutdown())
                .or_else(|| self.one_of_four(now)),
        };
        next.unwrap_or_else(|| {
            let due = self.timers.iter().map(|&(_, due)| due);
            Next::Wait(match self.defect {
                Some(Defect::WaitsForTheLastTimer) => due.max(),
                Some(Defect::WaitsForEver) => None,
                _ => due.min(),
            })
        })
    }
}

fn whole(input: Input, source: Source) -> Next {
    let is_all = true;
    Next::Tell(Tell {
        input,
        source,
        is_all,
    })
}

fn gone(ended: &Ended) -> Input {
    let Ended {
        component,
        epoch,
        how,
        ..
    } = *ended;
    Input::Gone {
        component,
        epoch,
        how,
    }
}

fn exited(ended: &Ended) -> Input {
    let Ended {
        component,
        epoch,
        how,
        ..
    } = *ended;
    Input::Exited {
        component,
        epoch,
        how,
    }
}

fn words_of(ended: &Ended) -> Vec<Reported> {
    let words = FailureClass::ALL
        .into_iter()
        .map(|class| ended.last_word(class));
    words.flatten().collect()
}
