//! Probes, and the task that calls them.

mod all;
mod feed;
mod isolated;
mod polled;
mod session;
mod traits;

pub use all::{All, all};
pub use feed::{Feed, FeedProbe, feed};
pub use isolated::{Isolated, isolated};
pub use polled::{Polled, polled};
pub(crate) use session::{SessionObservation, Sessions};
pub use traits::{Observation, Probe, ProbeMode};
