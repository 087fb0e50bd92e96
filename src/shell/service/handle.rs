//! The handle with which the rest of the program follows and controls a run.

#[cfg(feature = "http")]
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "http")]
use tokio::sync::watch;

use crate::driver::Command;
use crate::shell::component::Reporter;
use crate::shell::failure::RunReport;
use crate::shell::inbound::CommandAnswer;
use crate::shell::publish::{ComponentStatus, Outage, Status, Summary, Transitions};
use crate::shell::run_state::RunState;

/// Follows and controls a run. From [`Overwatch::handle`](crate::Overwatch::handle).
///
/// It is cheap to clone, and works from any thread, before, during and after the run.
///
/// | to | call |
/// | --- | --- |
/// | read the state | [`is_ready`](Self::is_ready), [`is_serving`](Self::is_serving), [`status`](Self::status), [`components`](Self::components), [`outages`](Self::outages) |
/// | wait | [`wait_until_ready`](Self::wait_until_ready), [`wait_for`](Self::wait_for), [`transitions`](Self::transitions), [`wait_until_ended`](Self::wait_until_ended) |
/// | control | [`shutdown`](Self::shutdown), [`drain`](Self::drain), [`resume`](Self::resume), [`trip`](Self::trip), [`reset`](Self::reset); await the [answer](CommandAnswer) to learn whether a command has any effect |
/// | report from outside of components | [`reporter`](Self::reporter) |
///
/// ```
/// use overwatch::{Overwatch, feed};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (dependency, probe) = feed();
/// let service = Overwatch::builder(probe)
///     .task("worker", |ctx| async move {
///         ctx.mark_ready();
///         ctx.stopping().await;
///         Ok(())
///     })
///     .build()?;
/// let handle = service.handle(); // before the run, which takes the service
/// let run = tokio::spawn(service.run());
///
/// dependency.alive("heartbeat");
/// let status = handle.wait_until_ready().await?;
/// println!("ready in epoch {}", status.epoch);
///
/// handle.drain()?;
/// handle.wait_for(|status| !status.ready).await?;
/// for component in handle.components() {
///     println!("{}: {:?}", component.name, component.state);
/// }
/// handle.shutdown();
/// run.await??;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Handle(pub(crate) Arc<RunState>);

impl Handle {
    /// Whether the service is ready: one atomic load.
    #[inline]
    pub fn is_ready(&self) -> bool {
        self.0.published.is_ready()
    }

    /// Whether requests that arrive should be served: the service is ready, or a stop was requested and its
    /// [unready delay](crate::Tuning::with_unready_delay) is not over, so that all components still work.
    #[inline]
    pub fn is_serving(&self) -> bool {
        self.0.published.is_serving()
    }

    /// Whether the service's runtime is frozen, e.g. because all of its threads are blocked: one atomic load.
    ///
    /// A frozen runtime polls no task, neither components nor probes. A run that shares its thread with the components
    /// cannot detect this, and always returns `false`.
    #[inline]
    pub fn is_frozen(&self) -> bool {
        self.0.published.is_frozen()
    }

    /// What the service is doing, and why.
    pub fn status(&self) -> Status {
        self.0.published.status()
    }

    /// What each component is doing, in the order of the stages.
    pub fn components(&self) -> Vec<ComponentStatus> {
        self.0.published.components(self.0.plan.layout())
    }

    /// The notes of at most `most` components, by their names, and how many more components have a note.
    #[cfg(feature = "http")]
    pub(crate) fn notes(&self, most: usize) -> (BTreeMap<String, String>, usize) {
        let notes = self.0.published.present_notes();
        let more = notes.len().saturating_sub(most);
        let told = notes.into_iter().take(most);
        let told = told.map(|(id, text)| (self.0.name(id).to_string(), text.to_string()));
        (told.collect(), more)
    }

    /// The last 256 outages, oldest first. The first outage of a run is its boot.
    pub fn outages(&self) -> Vec<Outage> {
        self.0.published.journal.outages()
    }

    /// Waits until `wanted` returns `true` for the status.
    ///
    /// `wanted` is called now, and whenever the status has changed and its reason is known. If the status changes
    /// several times in quick succession, only the last change may be seen; [`transitions`](Self::transitions) misses
    /// none.
    ///
    /// # Errors
    ///
    /// [`RunEnded`] if the run is over and `wanted` returned `false` for its last status.
    pub async fn wait_for(
        &self,
        mut wanted: impl FnMut(&Status) -> bool,
    ) -> Result<Status, RunEnded> {
        self.wait(|summary| {
            let status = self.0.published.status_of(summary);
            wanted(&status).then_some(status)
        })
        .await
    }

    /// Waits until the service is ready.
    ///
    /// # Errors
    ///
    /// [`RunEnded`] if the run is over.
    pub async fn wait_until_ready(&self) -> Result<Status, RunEnded> {
        // A full status is made only at the end: it lists the awaited components, which nobody reads here.
        self.wait(|summary| {
            let ready = summary.is_ready(self.0.published.is_ready());
            ready.then(|| self.0.published.status_of(summary))
        })
        .await
    }

    /// How the run ended, once it is over.
    pub fn report(&self) -> Option<RunReport> {
        self.0.published.report().cloned()
    }

    /// Waits until the run is over, and returns how it ended.
    ///
    /// For parts of the program that do not await the run themselves.
    pub async fn wait_until_ended(&self) -> RunReport {
        let _ = self.wait(|_| None::<()>).await;
        self.report().unwrap_or_else(RunReport::dropped)
    }

    async fn wait<T>(&self, mut found: impl FnMut(&Summary) -> Option<T>) -> Result<T, RunEnded> {
        let mut summary = self.0.published.subscribe();
        loop {
            // A copy: a slow reader must not block the supervisor, which writes there.
            let now = summary.borrow_and_update().clone();
            // In this order: the summary may cease to be settled at any moment.
            if let Some(found) = found(&now)
                && now.is_settled(self.0.published.is_ready())
            {
                return Ok(found);
            }
            if now.over || summary.changed().await.is_err() {
                return Err(RunEnded);
            }
        }
    }

    /// Returns a value that detects whether anything new was published.
    #[cfg(feature = "http")]
    pub(crate) fn news(&self) -> Summaries {
        Summaries(self.0.published.subscribe())
    }

    /// The transitions from now on. If this is called before the run, it returns all transitions.
    pub fn transitions(&self) -> Transitions {
        Transitions::new(Arc::clone(&self.0.published.journal))
    }

    /// A reporter for failures outside of any component.
    pub fn reporter(&self) -> Reporter {
        Reporter::new(Arc::clone(&self.0), Arc::clone(&self.0.outside))
    }

    /// Requests an ordered stop and the end of the run. It is never refused, and cannot be undone.
    pub fn shutdown(&self) {
        self.0.mailbox.shut_down();
    }

    /// Requests a stop of everything until [`resume`](Self::resume).
    ///
    /// # Errors
    ///
    /// See [`CommandError`].
    pub fn drain(&self) -> Result<CommandAnswer, CommandError> {
        self.command(Command::Drain)
    }

    /// Ends a drain: everything is started again once the dependency has proved itself.
    ///
    /// If the service did not relapse lately, one observation of a dependency that is alive is enough. Otherwise the
    /// dependency must stay alive for the whole hold-off of the present [level](Status::level), up to 5 minutes by
    /// default: [`Status::hold_off`] shows it. To start sooner, call [`reset`](Self::reset) before this: it lowers the
    /// level to 1, so that the hold-off is one window, or the short backoff if the dependency was not at fault.
    ///
    /// # Errors
    ///
    /// See [`CommandError`].
    pub fn resume(&self) -> Result<CommandAnswer, CommandError> {
        self.command(Command::Resume)
    }

    /// Trips by hand: everything is stopped, and started again after the dependency was alive for the whole window.
    ///
    /// # Errors
    ///
    /// See [`CommandError`].
    pub fn trip(&self) -> Result<CommandAnswer, CommandError> {
        self.command(Command::Trip)
    }

    /// Clears the suspicion and the level in the state Running. In other states it lowers the level to 1.
    ///
    /// A hold-off that runs already keeps its length; the next one is shorter.
    ///
    /// # Errors
    ///
    /// See [`CommandError`].
    pub fn reset(&self) -> Result<CommandAnswer, CommandError> {
        self.command(Command::Reset)
    }

    /// Whether the supervisor itself is alive: it must answer a ping within this time.
    ///
    /// An outage of the dependency has no influence on the result. The result is `false` before the run, and `false` at
    /// once after the run. The supervisor is woken once for all calls that wait at the same time.
    pub async fn is_responsive(&self, within: Duration) -> bool {
        let mut pulse = self.0.published.pulse();
        pulse.mark_unchanged();
        self.0.mailbox.ping();
        let answered = async {
            tokio::select! {
                biased;
                answered = pulse.changed() => answered.is_ok(),
                _ = self.wait(|_| None::<()>) => false,
            }
        };
        tokio::time::timeout(within, answered)
            .await
            .unwrap_or(false)
    }

    /// Whether the run is over.
    pub(crate) fn is_over(&self) -> bool {
        self.0.published.is_over()
    }

    /// Does what the supervisor would do, for tests.
    #[cfg(all(test, feature = "http"))]
    pub(crate) fn set_frozen(&self, frozen: bool) {
        self.0.published.set_frozen(frozen);
    }

    /// How many pings the supervisor has answered.
    #[cfg(all(test, feature = "http"))]
    pub(crate) fn answered(&self) -> u64 {
        *self.0.published.pulse().borrow()
    }

    fn command(&self, command: Command) -> Result<CommandAnswer, CommandError> {
        if self.is_over() {
            return Err(CommandError::Ended);
        }
        let answer = self.0.mailbox.command(command);
        answer.ok_or(CommandError::TooMany)
    }
}

/// See [`Handle::news`].
#[cfg(feature = "http")]
pub(crate) struct Summaries(watch::Receiver<Summary>);

#[cfg(feature = "http")]
impl Summaries {
    pub(crate) fn any(&mut self) -> bool {
        // The channel has a sender as long as there is a handle.
        let any = self.0.has_changed().unwrap_or(true);
        if any {
            self.0.mark_unchanged();
        }
        any
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

/// The run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "there is nothing to say of it")]
pub struct RunEnded;

impl fmt::Display for RunEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the run is over")
    }
}

impl std::error::Error for RunEnded {}

/// Why a command was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandError {
    /// The run is over.
    Ended,
    /// Too many commands wait for the supervisor: try again later.
    TooMany,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ended => "the run is over",
            Self::TooMany => "too many commands are waiting: try again later",
        })
    }
}

impl std::error::Error for CommandError {}
