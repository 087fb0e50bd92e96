//! The time that a lease leaves for work, and what must fit into it.

use core::time::Duration;

use super::{Fence, PolicyError};

/// Something that takes time while a lease is not renewed.
///
/// See [`Plan::leaves_room_for`](super::Plan::leaves_room_for).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Need {
    what: &'static str,
    time: Duration,
}

impl Need {
    /// Something that takes this time. Errors show `what` it is, e.g. `an election`.
    pub fn new(what: &'static str, time: Duration) -> Self {
        Self { what, time }
    }

    /// The time until the next renewal.
    pub(super) fn renewal(fence: &Fence) -> Self {
        Self::new("`fence.renewal_interval`", fence.renewal_interval())
    }
}

/// The time that a lease leaves for work after a renewal, with the numbers that it results from.
pub(super) struct Room {
    fence: Fence,
    stop_budget: Duration,
    /// What the stop budget is made of, in words.
    stops: String,
}

impl Room {
    pub(super) fn new(fence: Fence, stop_budget: Duration, stops: String) -> Self {
        Self {
            fence,
            stop_budget,
            stops,
        }
    }

    fn slack(&self) -> Duration {
        let slack = self.fence.slack(self.fence.lease(), self.stop_budget);
        slack.unwrap_or_default()
    }

    /// Checks that all of these fit into it, one after the other, and leave something.
    ///
    /// # Errors
    ///
    /// The arithmetic, and what to change.
    pub(super) fn check(&self, needs: &[Need]) -> Result<(), PolicyError> {
        let sum = needs.iter().fold(Duration::ZERO, |sum, need| {
            // What users say of their own code may be anything.
            sum.saturating_add(need.time)
        });
        if self.slack() > sum {
            return Ok(());
        }
        Err(self.refused(needs, sum))
    }

    fn refused(&self, needs: &[Need], sum: Duration) -> PolicyError {
        let Self {
            fence,
            stop_budget,
            stops,
        } = self;
        let grace = match fence.grace() {
            Duration::ZERO => String::new(),
            grace => format!("the grace of {grace:?}, "),
        };
        let shown: Vec<String> = needs
            .iter()
            .map(|Need { what, time }| format!("{what} = {time:?}"))
            .collect();
        let together = match needs {
            [_] => String::new(),
            _ => format!(", together {sum:?}"),
        };
        PolicyError::new(
            "fence.ttl",
            format!("{:?}", fence.ttl()),
            format!(
                "less {grace}the margin of {:?} and the stop budget of {stops} = {stop_budget:?} \
                 it leaves {:?} for work, which must be more than {}{together}: \
                 lengthen the lease or shorten the deadlines",
                fence.margin(),
                self.slack(),
                shown.join(" + "),
            ),
        )
    }
}
