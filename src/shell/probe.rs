//! Probes, and the task that calls them.

mod all;
mod feed;
mod into_observation;
mod isolated;
mod no_dependency;
mod polled;
mod session;
mod traits;

pub use all::{All, all};
pub use feed::{Feed, FeedProbe, feed};
pub use into_observation::IntoObservation;
pub use isolated::{Isolated, isolated};
pub use no_dependency::{NoDependency, no_dependency};
pub use polled::{Polled, polled};
pub(crate) use session::{SessionObservation, Sessions};
pub use traits::{Observation, Probe, ProbeMode};
