//! The async shell: one loop passes arrivals to the [driver](crate::driver), asks it for the next step, and
//! carries out the effects.
//!
//! It only uses tokio's clock, so it runs unchanged under `tokio::time::pause`.

pub(crate) mod component;
pub(crate) mod failure;
pub(crate) mod inbound;
pub(crate) mod log;
pub(crate) mod placement;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod publish;
pub(crate) mod resources;
pub(crate) mod run_state;
pub(crate) mod service;
pub(crate) mod step_record;
pub(crate) mod supervise;
pub(crate) mod sync;

pub use component::{
    CaughtTask, Component, ComponentResult, Context, Hold, LeaseHolder, Reporter, StartStop,
    SubTask, Wiring, WiringError, component_fn,
};
pub use failure::{Classify, Failure, RunError, RunReport, StopSignal, UncleanStop};
pub use inbound::{CommandAnswer, CommandLost, CommandOutcome};
pub use probe::{
    All, Feed, FeedProbe, IntoObservation, Isolated, NoDependency, Observation, Polled, Probe,
    ProbeMode, all, feed, isolated, no_dependency, polled,
};
pub use publish::{
    ComponentStatus, DependencyStatus, Lagged, Outage, Status, TransitionEvent, Transitions,
};
pub use service::{BuildError, Builder, CommandError, Handle, Overwatch, RunEnded};
pub use step_record::{Arrived, StepRecord};
