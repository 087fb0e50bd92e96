//! Carries out the decisions: readiness, stages, sessions, the watchdog.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::inbox::Inbox;
use super::stop_log::Overruns;
use super::watchdog::Watchdog;
use crate::driver::{Carried, Decider};
use crate::machine::{Cause, ComponentState, Effect, Input, Phase, RunOutcome, Timer, Transition};
use crate::policy::ComponentId;
use crate::shell::component::{Begin, StageRun};
use crate::shell::log::discard;
use crate::shell::probe::Sessions;
use crate::shell::run_state::RunState;

pub(crate) struct Executor {
    shared: Arc<RunState>,
    components: Arc<[Arc<dyn Begin>]>,
    /// The last run of each stage.
    stages: Vec<Option<StageRun>>,
    sessions: Sessions,
    watchdog: Option<Watchdog>,
    /// Why components are asked to stop.
    cause: Cause,
    overruns: Overruns,
    ended: Option<RunOutcome>,
}

impl Executor {
    pub(crate) fn new(
        shared: Arc<RunState>,
        components: Vec<Arc<dyn Begin>>,
        sessions: Sessions,
        watchdog: Option<Watchdog>,
    ) -> Self {
        Self {
            stages: (0..shared.plan.layout().stages()).map(|_| None).collect(),
            shared,
            components: components.into(),
            sessions,
            watchdog,
            cause: Cause::Boot,
            overruns: Overruns::default(),
            ended: None,
        }
    }

    /// The last run of each stage.
    pub(crate) fn stages(&self) -> &[Option<StageRun>] {
        &self.stages
    }

    /// How the run ended, once it has.
    pub(crate) fn ended(&self) -> Option<RunOutcome> {
        self.ended
    }

    /// The components that were aborted or wedged since the last call.
    pub(crate) fn take_overruns(&mut self) -> Overruns {
        mem::take(&mut self.overruns)
    }

    /// Waits until the task of the last session is gone, for at most this long.
    pub(crate) async fn join_session(&mut self, at_most: Duration) {
        self.sessions.join(at_most).await;
    }

    /// Turns readiness off, if this is the first effect.
    ///
    /// It is done before everything else, so that no further requests are sent here. In the unready delay components
    /// still serve those that come nevertheless.
    pub(crate) fn unready_first(&self, effects: &[Effect], decider: &Decider) {
        if let Some(Effect::Ready(false)) = effects.first() {
            let published = &self.shared.published;
            published.set_delaying(decider.machine().is_delaying());
            published.set_ready(false);
        }
    }

    /// Notes the transitions of a step, as far as they matter for its effects.
    pub(crate) fn note_moves(
        &mut self,
        moves: impl Iterator<Item = Transition>,
        decider: &Decider,
    ) {
        for hop in moves {
            match hop.to {
                Phase::ShuttingDown => {
                    self.cause = hop.cause;
                    // What has finished is as good as stopped.
                    for id in self.shared.plan.layout().one_shots() {
                        let roster = &self.shared.published.roster;
                        roster.set_slot(id, decider.machine().component_state(id));
                    }
                }
                // Everything is gone, so there is no work under a lease any more.
                Phase::Monitoring | Phase::Drained => {
                    self.watch_fence(None);
                    self.drop_resources();
                }
                _ => {}
            }
        }
    }

    pub(crate) fn carry_out(
        &mut self,
        effects: &[Effect],
        carried: Carried,
        decider: &Decider,
        inbox: &mut Inbox,
    ) {
        self.shared
            .published
            .set_delaying(decider.machine().is_delaying());
        self.sessions.prove(decider.observer().is_proving());
        for effect in effects.iter().filter(|effect| carried.includes(effect)) {
            match *effect {
                Effect::Ready(ready) => self.shared.published.set_ready(ready),
                Effect::StartStage { stage, epoch } => self.start(stage, epoch, inbox),
                Effect::StopStage { stage, .. } => self.stop(stage, decider, inbox),
                Effect::Abort { component, .. } => self.abort(component),
                Effect::OpenSession { session } => self.sessions.open(session),
                Effect::CloseSession { .. } => self.sessions.close(),
                Effect::Ask { round } => self.sessions.ask(round),
                // The decider has the timers; outages are only published.
                Effect::Arm { .. } | Effect::Disarm { .. } => {}
                Effect::OutageOpened { .. } | Effect::OutageClosed(_) => {}
                Effect::Ended(end) => self.ended = Some(end),
            }
        }
    }

    /// Drops what components that have finished provided. These are values of the user.
    fn drop_resources(&self) {
        let provided = self.shared.resources.take_all();
        if !provided.is_empty() {
            discard(provided);
        }
    }

    fn start(&mut self, stage: u16, epoch: u64, inbox: &mut Inbox) {
        let stage = usize::from(stage);
        let plan = Arc::clone(&self.shared.plan);
        let components = plan.layout().stage(stage);
        inbox.make_room(components.len());
        let run = StageRun::new(epoch, components.clone(), Arc::clone(&self.shared));
        if let Some(last) = self.stages[stage].replace(run) {
            // What is left of it may contain values of the user.
            discard(last);
        }
        let published = &self.shared.published;
        published.epoch.store(epoch, Ordering::Release);
        let starting = ComponentState::Starting;
        published.roster.set_slots(components.clone(), starting);
        let owner = plan.layout().lease_owner();
        if owner.is_some_and(|owner| components.contains(&owner.0))
            && let Some(fence) = plan.policy().fence()
        {
            self.watch_fence(Some(Instant::now() + fence.lease()));
        }
        if let Some(stage) = &self.stages[stage]
            && let Some(runtime) = self.shared.runtime()
        {
            stage.starter(&self.components, runtime).start();
        }
    }

    fn stop(&mut self, stage: u16, decider: &Decider, inbox: &mut Inbox) {
        let stage = usize::from(stage);
        let within = self.shared.plan.stop_deadline(stage);
        if let Some(stage) = &self.stages[stage] {
            stage.stop(self.cause, within);
        }
        let (mut awaited, roster) = (0, &self.shared.published.roster);
        for component in self.shared.plan.layout().stage(stage).map(ComponentId) {
            if decider.machine().component_state(component) == ComponentState::Stopping {
                roster.set_slot(component, ComponentState::Stopping);
                awaited += 1;
            }
        }
        // A stop must not wait for memory.
        inbox.make_room(awaited);
    }

    fn abort(&mut self, component: ComponentId) {
        let roster = &self.shared.published.roster;
        roster.set_slot(component, ComponentState::Aborting);
        if let Some(stage) = self.stage_of(component) {
            let left = stage.left(component);
            stage.abort(component);
            self.overruns.aborted.push((component, left));
        }
    }

    /// The last run of a component's stage, if there was one.
    fn stage_of(&self, component: ComponentId) -> Option<&StageRun> {
        let stage = self.shared.plan.layout().stage_of(component)?;
        self.stages[stage].as_ref()
    }

    /// Passes to the watchdog until when the lease is valid, or that none is held.
    pub(crate) fn watch_fence(&self, until: Option<Instant>) {
        if let Some(watchdog) = &self.watchdog {
            watchdog.set(until);
        }
    }

    /// Updates the states of components that status pages show.
    pub(crate) fn note_slots(&mut self, input: &Input, decider: &Decider) {
        let (machine, roster) = (decider.machine(), &self.shared.published.roster);
        match *input {
            Input::Up { component, .. } => {
                roster.set_slot(component, machine.component_state(component));
            }
            Input::Gone {
                component, epoch, ..
            } => {
                let stage = self.stage_of(component);
                if let Some(stage) = stage.filter(|stage| stage.epoch == epoch) {
                    stage.gone(component);
                }
                roster.set_slot(component, machine.component_state(component));
            }
            Input::Fired(Timer::Stage) => {
                for id in roster.ids() {
                    let wedged = ComponentState::Wedged;
                    if machine.component_state(id) == wedged && roster.component_state(id) != wedged
                    {
                        roster.set_slot(id, wedged);
                        if let Some(stage) = self.stage_of(id) {
                            let left = stage.left(id);
                            self.overruns.wedged.push((id, left));
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// Ends everything of the run, however the run has ended.
    pub(crate) fn abandon(&mut self) {
        self.sessions.close();
        self.drop_resources();
        for stage in self.stages.iter().flatten() {
            stage.stop(self.cause, Duration::ZERO);
            // In a run that has ended regularly each component is gone, or was aborted.
            if self.ended.is_none() {
                stage.abort_all();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Fence, Layout, Plan, Policy};
    use crate::shell::log::Log;

    /// Else the deadline of a lease that is long gone would end the process as soon as the stage before that of the
    /// lease's owner is up again.
    #[tokio::test]
    async fn once_all_is_gone_no_lease_is_watched_any_more() {
        let second = Duration::from_secs(1);
        let policy = Policy::builder()
            .fence(Fence::new(3_600 * second, second))
            .build()
            .expect("valid");
        let layout = Layout::new(&[1, 1]).expect("valid");
        let layout = layout.with_lease_owner(ComponentId(1));
        let plan = Arc::new(Plan::new(policy, layout).expect("valid"));
        let names = vec!["a".into(), "b".into()];
        let shared = Arc::new(RunState::new(plan, names));
        let (_feed, probe) = crate::feed();
        let here = tokio::runtime::Handle::current();
        let (sessions, _) = Sessions::new(Arc::new(probe), here, false, false, Log::direct(None));
        let watchdog = Watchdog::start(Arc::clone(&shared)).expect("a thread");
        let decider = Decider::live(Arc::clone(&shared.plan));
        let mut executor = Executor::new(shared, Vec::new(), sessions, Some(watchdog));
        let watched = |executor: &Executor| {
            let watchdog = executor.watchdog.as_ref();
            watchdog.is_some_and(|watchdog| watchdog.deadline().is_some())
        };
        for (to, is_watched) in [
            (Phase::Running, true),
            (Phase::ShuttingDown, true),
            (Phase::Monitoring, false),
            (Phase::Drained, false),
        ] {
            executor.watch_fence(Some(Instant::now() + 3_600 * second));
            let hop = Transition {
                from: Phase::Restarting,
                to,
                cause: Cause::AllGone,
                epoch: 1,
            };
            executor.note_moves([hop].into_iter(), &decider);
            assert_eq!(watched(&executor), is_watched, "{to}");
        }
    }
}
