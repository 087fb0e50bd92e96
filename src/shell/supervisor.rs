//! The one loop: take one input, hand it to the machine, carry out all its effects, then the next.

mod effects;
mod inbox;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::component::Begin;
use super::mailbox::Answer;
use super::observe::{Observed, Route};
use super::overwatch::{Hook, StepRecord};
use super::reporter::Batch;
use super::session::{Seen, Sessions};
use super::shared::Shared;
use super::stage::StageRun;
use super::status::Sight;
use super::timers::Timers;
use super::watchdog::Watchdog;
use super::{Failure, Probe, RunError, trace};
use crate::machine::{
    Cause, Effect, End, How, Input, Machine, Phase, Slot, Step, Timer, Transition, Why,
};
use crate::policy::ComponentId;

/// Of a stage of up to so many each answer is taken when it comes.
const A_FEW: usize = 64;
/// How many plain answers are taken before anything else has its turn.
const PLAIN_AT_ONCE: usize = 32;

pub(super) struct Supervisor {
    shared: Arc<Shared>,
    machine: Machine,
    components: Arc<[Arc<dyn Begin>]>,
    /// The last run of each stage.
    stages: Vec<Option<StageRun>>,
    timers: Timers,
    sessions: Sessions,
    seen: mpsc::Receiver<Seen>,
    observed: Option<Observed>,
    watchdog: Option<Watchdog>,
    on_step: Option<Hook>,

    // What was taken and not handed over yet.
    answers: VecDeque<Answer>,
    /// More than a few were awaited, and some still are: see [`Supervisor::next`].
    crowd: bool,
    observation: Option<Seen>,
    reports: VecDeque<Batch>,
    /// When reports may be taken again.
    reports_due: Instant,
    /// The end of a component, held back until the reports before it are told.
    last_words: Option<Answer>,

    effects: Vec<Effect>,
    began: Instant,
    entered: Instant,
    transitions: u64,
    cause: Cause,
    /// The level that was published.
    level: u32,
    hold_off_due: Option<Instant>,
    /// Since when the hold-off is over and an observation made since is waited for: then the machine
    /// is told of both.
    hold_off_over: Option<Instant>,
    stage_due: Option<Instant>,
    dependency: Option<Sight>,
    fatal: Option<(Option<Arc<str>>, Failure)>,
    ended: Option<End>,
}

/// An input, and what it said in words.
struct Event {
    input: Input,
    detail: Option<Cow<'static, str>>,
    /// A fatal failure that came with it.
    fatal: Option<(Option<Arc<str>>, Failure)>,
}

impl From<Input> for Event {
    fn from(input: Input) -> Self {
        Self {
            input,
            detail: None,
            fatal: None,
        }
    }
}

/// An answer without a story, with what there is to say of it.
fn plain_event(input: Input) -> Event {
    let returned = matches!(
        input,
        Input::Gone {
            how: How::Returned,
            ..
        }
    );
    Event {
        detail: returned.then_some("it returned".into()),
        ..input.into()
    }
}

impl Supervisor {
    pub(super) fn new(
        shared: Arc<Shared>,
        components: Vec<Arc<dyn Begin>>,
        probe: Arc<dyn Probe>,
        observe_only: bool,
        watchdog: Option<Watchdog>,
        on_step: Option<Hook>,
    ) -> Self {
        let (mut sessions, seen) = Sessions::new(probe);
        let plan = &shared.plan;
        let mut effects = Vec::new();
        let machine = Machine::new(Arc::clone(plan), &mut effects);
        let observed = observe_only.then(|| Observed::new(Arc::clone(plan), &mut sessions));
        let now = Instant::now();
        Self {
            machine,
            stages: (0..plan.layout().stages()).map(|_| None).collect(),
            components: components.into(),
            timers: Timers::default(),
            sessions,
            seen,
            observed,
            watchdog,
            on_step,
            answers: VecDeque::new(),
            crowd: false,
            observation: None,
            reports: VecDeque::new(),
            reports_due: now,
            last_words: None,
            effects,
            began: now,
            entered: now,
            transitions: 0,
            cause: Cause::Boot,
            level: 0,
            hold_off_due: None,
            hold_off_over: None,
            stage_due: None,
            dependency: None,
            fatal: None,
            ended: None,
            shared,
        }
    }

    pub(super) async fn run(mut self) -> Result<(), RunError> {
        self.boot();
        while self.ended.is_none() {
            let event = self.next().await;
            self.take(event);
            // What is plain is taken by the dozen; the rest of the time is for others.
            for _ in 0..PLAIN_AT_ONCE {
                match self.plain_answer() {
                    Some(input) if self.ended.is_none() => self.take_plain(input),
                    _ => break,
                }
            }
        }
        let policy = self.shared.plan.policy();
        self.sessions.join(policy.abort_deadline()).await;
        self.finish()
    }

    fn boot(&mut self) {
        self.shared.enter(tokio::runtime::Handle::current());
        self.began = Instant::now();
        self.entered = self.began;
        let effects = mem::take(&mut self.effects);
        self.record(None, None, &effects);
        self.tell_probe_of_phase();
        self.carry_out(&effects, None);
        self.effects = effects;
        self.publish(&[], None);
        self.reassure();
    }

    /// Hands an event to whoever is to be told.
    fn take(&mut self, event: Event) {
        if self.observed.is_none() {
            self.step(event);
            return;
        }
        let Route { real, shadow } = Observed::route(event.input, self.machine.session());
        if let (Some(observed), Some(input)) = (&mut self.observed, shadow) {
            observed.handle(
                input,
                event.detail.as_deref(),
                &self.shared,
                &mut self.sessions,
            );
        }
        if let Some(input) = real {
            self.step(Event { input, ..event });
        }
        self.reassure();
    }

    /// The same for an answer without a story. Of a large stage nearly all are: others are still
    /// awaited, so there is nothing to carry out and nothing to tell.
    fn take_plain(&mut self, input: Input) {
        if self.observed.is_some() {
            return self.take(plain_event(input));
        }
        self.effects.clear();
        let step = self.machine.handle(input, &mut self.effects);
        let plain = step == Step::Absorbed && self.effects.is_empty();
        if plain && self.level == self.machine.level() {
            self.record(Some(input), Some(step), &[]);
            self.note_slots(&input);
        } else {
            self.follow(plain_event(input), step);
        }
    }

    /// One step of the machine.
    fn step(&mut self, event: Event) {
        self.effects.clear();
        let step = self.machine.handle(event.input, &mut self.effects);
        self.follow(event, step);
    }

    /// What follows from a step.
    fn follow(&mut self, event: Event, step: Step) {
        let input = event.input;
        let effects = mem::take(&mut self.effects);
        // Before anything else, so that nobody is sent here any more.
        if let Some(Effect::Ready(false)) = effects.first() {
            self.shared.set_ready(false);
        }
        match (step, input) {
            (Step::Ignored(why), _) => trace::ignored(&input, why),
            (_, Input::LeaseRenewed { remaining, .. }) => self.watch_fence(Some(remaining)),
            _ if self.fatal.is_none() => self.fatal = event.fatal,
            _ => {}
        }
        self.record(Some(input), Some(step), &effects);
        self.note_slots(&input);
        let hops: Vec<Transition> = step.transitions().collect();
        if !hops.is_empty() {
            self.publish(&hops, event.detail.as_deref());
        }
        self.tell_probe_of_phase();
        self.expect_answers(&effects);
        self.carry_out(&effects, event.detail.as_deref());
        let observed = matches!(input, Input::Alive { .. } | Input::Failing { .. });
        if observed || !effects.is_empty() || self.level != self.machine.level() {
            self.level = self.machine.level();
            self.publish(&[], None);
        }
        self.effects = effects;
    }

    /// Makes room for what a large stage will answer: whoever answers holds up the others while it
    /// does that itself.
    fn expect_answers(&mut self, effects: &[Effect]) {
        if effects.len() > A_FEW {
            self.shared.mailbox.make_room(effects.len());
            self.answers.reserve(effects.len());
        }
    }

    fn tell_probe_of_phase(&mut self) {
        // In observe-only the shadow has the probe.
        if self.observed.is_none() {
            self.sessions.enter(self.machine.phase());
        }
    }

    fn record(&mut self, input: Option<Input>, step: Option<Step>, effects: &[Effect]) {
        if let Some(on_step) = &mut self.on_step {
            on_step(StepRecord {
                at: self.began.elapsed(),
                input,
                step,
                effects,
            });
        }
    }

    /// Keeps what status pages tell of components.
    fn note_slots(&mut self, input: &Input) {
        match *input {
            Input::Up { component, .. } => self
                .shared
                .set_slot(component, self.machine.slot(component)),
            Input::Gone {
                component, epoch, ..
            } => {
                let stage = self.shared.plan.layout().stage_of(component);
                let stage = stage.and_then(|stage| self.stages[stage].as_ref());
                if let Some(stage) = stage.filter(|stage| stage.epoch == epoch) {
                    stage.gone(component);
                }
                self.shared
                    .set_slot(component, self.machine.slot(component));
            }
            Input::Fired(Timer::Stage) => {
                for id in (0..self.components.len() as u32).map(ComponentId) {
                    if self.machine.slot(id) == Slot::Wedged {
                        self.shared.set_slot(id, Slot::Wedged);
                    }
                }
            }
            _ => {}
        }
    }

    // Observe-only.

    /// In observe-only the real machine is told that all is well whenever it waits for that.
    fn reassure(&mut self) {
        while self.observed.is_some()
            && !self.shared.is_abandoned()
            && self.machine.phase() == Phase::Monitoring
            && !self.machine.is_armed(Timer::HoldOff)
            && let Some(session) = self.machine.session()
        {
            self.step(Input::Alive { session }.into());
        }
    }

    fn tell_shadow_of_time(&mut self) {
        while let Some(observed) = &self.observed
            && let Some((at, timer)) = observed.timers.due()
        {
            let phase = observed.phase();
            if timer == Timer::Silence {
                if self.was_heard(at, phase) {
                    return;
                }
                self.note_silence();
                self.publish(&[], None);
            }
            if let Some(observed) = &mut self.observed {
                observed.handle(Input::Fired(timer), None, &self.shared, &mut self.sessions);
            }
        }
    }

    // The end.

    fn finish(&mut self) -> Result<(), RunError> {
        let wedged: Vec<Arc<str>> = (0..self.components.len() as u32)
            .map(ComponentId)
            .filter(|&id| self.machine.slot(id) == Slot::Wedged)
            .map(|id| Arc::clone(self.shared.name(id)))
            .collect();
        let mut reason = Arc::from("");
        self.shared.summary.send_modify(|summary| {
            summary.over = true;
            reason = Arc::clone(&summary.reason);
        });
        self.shared.journal.close();
        match self.ended {
            Some(End::Halted(why)) => Err(RunError {
                why,
                reason,
                failure: self
                    .fatal
                    .take()
                    .filter(|_| matches!(why, Why::Fatal | Why::Wedged)),
                wedged,
            }),
            _ => Ok(()),
        }
    }
}

impl Drop for Supervisor {
    /// However the run ends, readiness is off and nothing of it goes on.
    fn drop(&mut self) {
        self.shared.abandon();
        for stage in self.stages.iter().flatten() {
            stage.stop(self.cause, std::time::Duration::ZERO);
            stage.abort_all();
        }
    }
}
