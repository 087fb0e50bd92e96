//! Any life of the machine, judged at every step, and compared with the reference.

use std::collections::VecDeque;
use std::fmt::Arguments;
use std::sync::Arc;
use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use overwatch::law::Checked;
use overwatch::machine::{
    Command, ComponentState, Effect, Exit, FailureClass, Input, Machine, Phase, Step, Timer,
};
use overwatch::policy::{ComponentId, Plan};

use crate::plans::Knobs;
use crate::reference::Reference;
use crate::wild::{beside, wild};

/// Panics if this life breaks a law or anything else that the machine promises, or if the reference
/// would live another.
pub fn check(data: &[u8]) {
    explore(data, &mut |_| ());
}

/// The same as [`check`], and notes what was seen on the way.
pub fn explore(data: &[u8], note: &mut dyn FnMut(Arguments<'_>)) {
    // Bytes that cannot be decoded mean nothing.
    let _ = live(&mut Unstructured::new(data), note);
}

fn live(bytes: &mut Unstructured<'_>, note: &mut dyn FnMut(Arguments<'_>)) -> Result<()> {
    let knobs = Knobs::arbitrary(bytes)?;
    let mode = u8::arbitrary(bytes)?;
    let timed = (mode % 2 == 1).then(|| knobs.late());
    let mut walk = Walk::new(knobs.plan(), timed, note);
    for _ in 0..LONGEST_WALK {
        if bytes.is_empty() {
            break;
        }
        walk.act(bytes)?;
    }
    if mode & 2 != 0 {
        walk.recover();
    }
    if mode & 4 != 0 {
        walk.shut_down_in_silence();
    }
    Ok(())
}

/// Beyond that a walk only takes longer.
const LONGEST_WALK: usize = 2_000;

/// A machine under judgement, in a world that owns the clock.
struct Walk<'a> {
    checked: Checked,
    reference: Reference,
    now: Duration,
    last_input: Duration,
    /// How late timers may fire, or `None` if they fire at any moment.
    timed: Option<Duration>,
    /// How late they do fire at present.
    slip: Duration,
    due: [Option<Duration>; 6],
    /// Questions that nobody has answered yet.
    open: VecDeque<(ComponentId, u64)>,
    effects: Vec<Effect>,
    /// All that happened, for the one who reads a failure.
    tape: Vec<(Duration, Input, Option<Step>)>,
    note: &'a mut dyn FnMut(Arguments<'_>),
}

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:#?}", self.machine().plan());
            for (now, input, step) in &self.tape {
                eprintln!("{now:>8?} {input:?} -> {step:?}");
            }
            eprintln!("and the effects of the last one: {:?}", self.effects);
        }
    }
}

impl<'a> Walk<'a> {
    fn new(
        plan: Arc<Plan>,
        timed: Option<Duration>,
        note: &'a mut dyn FnMut(Arguments<'_>),
    ) -> Self {
        let mut effects = Vec::new();
        let checked = Checked::new(Arc::clone(&plan), timed, &mut effects);
        let checked = checked.unwrap_or_else(|violation| panic!("at boot: {violation}"));
        let mut expected = Vec::new();
        let reference = Reference::new(plan, &mut expected);
        assert_eq!(effects, expected, "the effects of boot");
        let mut walk = Self {
            checked,
            reference,
            now: Duration::ZERO,
            last_input: Duration::ZERO,
            timed,
            slip: Duration::ZERO,
            due: [None; 6],
            open: VecDeque::new(),
            effects,
            tape: Vec::new(),
            note,
        };
        walk.inspect();
        walk.carry_out();
        walk
    }

    fn machine(&self) -> &Machine {
        self.checked.machine()
    }

    fn plan(&self) -> &Plan {
        self.machine().plan()
    }

    /// One thing that the world does. Mostly it works, so that walks get somewhere.
    fn act(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        match u8::arbitrary(bytes)? {
            0..=59 => self.answer(),
            60..=119 => self.input(Input::Alive {
                session: self.machine().session().unwrap_or_default(),
                round: self.machine().round(),
            }),
            120..=124 => self.answer_all(),
            125..=129 => self.input(Input::Failing {
                session: self.machine().session().unwrap_or_default(),
                fatal: false,
            }),
            130..=139 => self.wait_for_next(),
            code @ 140..=171 => self.pass(ms(u64::from(code - 139))),
            code @ 172..=174 => {
                self.slip = ms((code - 172).into()).min(self.timed.unwrap_or_default());
            }
            175 if self.timed.is_none() => self.pass(wild(bytes, DURATIONS)?),
            code @ 175..=209 => {
                let input = self.near(code % 7, bytes)?;
                self.input(input);
            }
            210..=212 => self.input(Input::Drain),
            213..=216 => self.input(Input::Resume),
            217..=218 => self.input(Input::Trip),
            219 => self.input(Input::Frozen),
            220 => self.input(Input::Reset),
            221 => self.input(Input::FailedTooOften {
                component: ComponentId(0),
            }),
            222 => self.input(Input::Shutdown),
            223..=229 => {
                let input = self.anything(bytes)?;
                self.input(input);
            }
            code @ 230..=255 => {
                let timer = Timer::ALL[usize::from(code - 230) % Timer::ALL.len()];
                // On a clock no armed timer fires before its time.
                if self.timed.is_none() || !self.machine().is_armed(timer) {
                    self.input(Input::Fired(timer));
                }
            }
        }
        Ok(())
    }

    /// An input whose numbers are right, or one off.
    fn near(&self, kind: u8, bytes: &mut Unstructured<'_>) -> Result<Input> {
        let [place, detail, off] = <[u8; 3]>::arbitrary(bytes)?;
        let off = match off % 8 {
            0 => -1,
            1 => 1,
            _ => 0,
        };
        let component = ComponentId((place % 10).into());
        let epoch = self.machine().epoch().saturating_add_signed(off);
        let session = self.machine().session().unwrap_or_default();
        let session = session.saturating_add_signed(off);
        let (class, how) = (FailureClass::ALL[usize::from(detail % 4)], how(detail / 4));
        Ok(match kind {
            0 => Input::Up { component, epoch },
            1 => Input::Gone {
                component,
                epoch,
                how,
            },
            2 => Input::Exited {
                component,
                epoch,
                how,
            },
            3 => Input::Report {
                component: (place % 2 == 0).then_some(component),
                epoch,
                class,
                count: u32::from(detail / 4 % 4),
            },
            4 if detail % 2 == 0 => Input::Alive {
                session,
                round: self
                    .machine()
                    .round()
                    .saturating_add_signed(off * i64::from(place % 2)),
            },
            4 => Input::Failing {
                session,
                fatal: detail % 4 == 3,
            },
            _ => Input::LeaseRenewed {
                epoch,
                remaining: self.remaining(detail),
            },
        })
    }

    /// A lease around the point at which it is too late to go on.
    fn remaining(&self, detail: u8) -> Duration {
        let Some(fence) = self.plan().policy().fence() else {
            return ms(detail.into());
        };
        let too_late = fence.margin() + self.plan().stop_budget();
        match usize::from(detail % 8) {
            place @ 0..=2 => beside(too_late)[place],
            3 | 4 => fence.lease(),
            _ => too_late + ms(detail.into()),
        }
    }

    /// An input of any numbers at all.
    fn anything(&self, bytes: &mut Unstructured<'_>) -> Result<Input> {
        let [kind, detail] = <[u8; 2]>::arbitrary(bytes)?;
        let machine = self.machine();
        let edges = [0, machine.epoch(), u64::MAX, u64::MAX / 2];
        let number = wild(bytes, &edges)?;
        let component = ComponentId(wild(bytes, &[0, 1, u32::MAX])?);
        let (class, how) = (FailureClass::ALL[usize::from(detail % 4)], how(detail));
        // Commands that came after the four that have codes of their own: the kept inputs go on to mean what they meant,
        // but for this one kind each.
        if let Some(command) = Command::ALL[4..].get(usize::from(u8::MAX - kind)) {
            return Ok(command.input());
        }
        Ok(match kind % 7 {
            0 => Input::Up {
                component,
                epoch: number,
            },
            1 => Input::Gone {
                component,
                epoch: number,
                how,
            },
            2 => Input::Exited {
                component,
                epoch: number,
                how,
            },
            3 | 4 => Input::Report {
                component: (kind % 7 == 3).then_some(component),
                epoch: number,
                class,
                count: wild(bytes, &[0, 1, u32::MAX])?,
            },
            5 if detail % 2 == 0 => Input::Alive {
                session: number,
                round: wild(bytes, &[0, machine.round(), u64::MAX])?,
            },
            5 => Input::Failing {
                session: number,
                fatal: detail % 4 == 3,
            },
            _ => Input::LeaseRenewed {
                epoch: number,
                remaining: wild(bytes, DURATIONS)?,
            },
        })
    }

    /// Answers the longest-standing question that still wants an answer.
    fn answer(&mut self) {
        while let Some((component, epoch)) = self.open.pop_front() {
            let gone = Input::Gone {
                component,
                epoch,
                how: Exit::Returned,
            };
            let may_finish = self.plan().layout().is_one_shot(component);
            let answer = match self.machine().component_state(component) {
                ComponentState::Starting if may_finish => gone,
                ComponentState::Starting => Input::Up { component, epoch },
                ComponentState::Stopping | ComponentState::Aborting | ComponentState::Wedged => {
                    gone
                }
                ComponentState::Up | ComponentState::Down | ComponentState::Finished => continue,
            };
            return self.input(answer);
        }
    }

    /// Answers all questions, and those that the answers raise.
    fn answer_all(&mut self) {
        while !self.open.is_empty() {
            self.answer();
        }
    }

    /// Lets time pass. On a clock all timers that are due by then fire, in order.
    fn pass(&mut self, how_long: Duration) {
        let until = self.now.saturating_add(how_long);
        if self.timed.is_some() {
            while let Some((due, timer)) = self.next_due() {
                let fires = due.saturating_add(self.slip);
                if fires > until {
                    break;
                }
                self.now = self.now.max(fires);
                self.input(Input::Fired(timer));
            }
        }
        self.now = until;
    }

    /// Waits until the next timer fires, if one is armed.
    fn wait_for_next(&mut self) {
        let Some((due, timer)) = self.next_due() else {
            return;
        };
        if self.timed.is_some() {
            self.pass(due.saturating_add(self.slip).saturating_sub(self.now));
        } else {
            self.input(Input::Fired(timer));
        }
    }

    fn next_due(&self) -> Option<(Duration, Timer)> {
        let due = |timer: Timer| Some((self.due[timer.index()]?, timer));
        Timer::ALL.into_iter().filter_map(due).min()
    }

    /// From wherever it got to, a healthy world brings the service back.
    fn recover(&mut self) {
        let policy = self.plan().policy();
        let tuning = policy.tuning();
        let longest = policy.longest_hold_off() + tuning.jitter() + tuning.unready_delay();
        let pause = policy.silence_limit() / 2;
        let mut rounds = 20;
        if self.timed.is_some() {
            rounds += longest.as_nanos() / pause.as_nanos();
            if rounds > LONGEST_WALK as u128 {
                // Hours of hold-off under a silence limit of milliseconds.
                return;
            }
        }
        self.slip = Duration::ZERO;
        self.input(Input::Resume);
        for _ in 0..rounds {
            self.answer_all();
            let session = self.machine().session().unwrap_or_default();
            let round = self.machine().round();
            self.input(Input::Alive { session, round });
            self.answer_all();
            let phase = self.phase();
            if phase == Phase::Running || phase.is_ended() {
                (self.note)(format_args!("recovered: {phase}"));
                return;
            }
            if self.timed.is_some() {
                self.pass(pause);
                continue;
            }
            for timer in [Timer::HoldOff, Timer::Stage] {
                // The delay of a stop, which nothing else ends.
                let waits = timer == Timer::HoldOff || phase == Phase::ShuttingDown;
                if waits && self.machine().is_armed(timer) {
                    self.input(Input::Fired(timer));
                }
            }
        }
        panic!("stuck in {:?}", self.machine().state());
    }

    /// From wherever it got to, a shutdown ends, though nothing ever answers.
    fn shut_down_in_silence(&mut self) {
        self.input(Input::Shutdown);
        let deadlines = 2 * self.plan().layout().stages() as u32 + 1;
        if let Some(late) = self.timed {
            let delay = self.plan().policy().tuning().unready_delay();
            self.pass(self.plan().stop_budget() + delay + late * deadlines);
        } else {
            for _ in 0..deadlines {
                if self.machine().is_armed(Timer::Stage) {
                    self.input(Input::Fired(Timer::Stage));
                }
            }
        }
        let state = self.machine().state();
        assert!(self.phase().is_ended(), "{state:?} after a shutdown");
        (self.note)(format_args!("shutdown in silence"));
    }

    fn phase(&self) -> Phase {
        self.machine().phase()
    }

    /// Hands over an input now.
    fn input(&mut self, input: Input) {
        if let Input::Fired(timer) = input {
            self.due[timer.index()] = None;
        }
        let elapsed = self.now - self.last_input;
        self.last_input = self.now;
        self.tape.push((self.now, input, None));
        let step = match self.checked.handle(elapsed, input, &mut self.effects) {
            Ok(step) => step,
            Err(violation) => panic!("{input:?}: {violation}"),
        };
        if let Some(last) = self.tape.last_mut() {
            last.2 = Some(step);
        }
        let mut expected = Vec::new();
        let told = self.reference.handle(input, &mut expected);
        assert_eq!(self.effects, expected, "the effects of {input:?}");
        assert!(
            told.agrees_with(&step),
            "{input:?} is {step:?}, not {told:?}"
        );
        self.inspect();
        self.carry_out();
        self.tell(input, step);
    }

    /// What holds after each step, besides the laws.
    fn inspect(&self) {
        let machine = self.machine();
        let layout = machine.plan().layout();
        let widest = (0..layout.stages()).map(|stage| layout.stage(stage).len());
        let most = widest.max().unwrap_or_default() + 8;
        assert!(self.effects.len() <= most, "more than {most} effects");

        let snapshot = machine.snapshot();
        assert_eq!(snapshot, self.reference.snapshot());
        let resumed = Machine::resume(Arc::clone(machine.plan()), snapshot.clone());
        let resumed = resumed.unwrap_or_else(|error| panic!("{error}: {snapshot:?}"));
        assert_eq!(&resumed, machine, "resumed from {snapshot:?}");
        // Equality leaves out what was only counted.
        assert_eq!(resumed.snapshot(), snapshot);
    }

    /// Keeps the timers and notes the questions.
    fn carry_out(&mut self) {
        for effect in &self.effects {
            match *effect {
                Effect::Arm { timer, after } => {
                    self.due[timer.index()] = Some(self.now.saturating_add(after));
                }
                Effect::Disarm { timer } => self.due[timer.index()] = None,
                Effect::StartStage { stage, epoch } | Effect::StopStage { stage, epoch } => {
                    let ids = self.checked.machine().plan().layout().stage(stage.into());
                    self.open.extend(ids.map(|id| (ComponentId(id), epoch)));
                }
                Effect::Abort { component, epoch } => self.open.push_back((component, epoch)),
                Effect::Ended(_) => (self.note)(format_args!("{effect:?}")),
                _ => {}
            }
        }
    }

    /// Tells what was seen.
    fn tell(&mut self, input: Input, step: Step) {
        let note = &mut self.note;
        match step {
            Step::Ignored(why) => note(format_args!("ignored: {why}")),
            Step::Absorbed => note(format_args!("absorbed")),
            Step::Moved(_) => {}
        }
        if let (Input::Fired(timer), Step::Absorbed | Step::Moved(_)) = (input, step) {
            let clock = if self.timed.is_some() {
                "on a clock"
            } else {
                "at any moment"
            };
            note(format_args!("fired: {timer}, {clock}"));
        }
        for hop in step.transitions() {
            note(format_args!("phase: {}", hop.to));
            note(format_args!("cause: {}", hop.cause));
        }
    }
}

const DURATIONS: &[Duration] = &[Duration::ZERO, Duration::from_nanos(1), Duration::MAX];

fn how(detail: u8) -> Exit {
    match detail % 6 {
        0 => Exit::Returned,
        1 => Exit::Aborted,
        class => Exit::Failed(FailureClass::ALL[usize::from(class - 2)]),
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
