//! Whether the machine says of itself what its effects told.
//!
//! A shell answers health checks and orders answers by what the machine says, so that must not drift
//! from what it asked for.

use super::Law::*;
use super::monitor::{Mode, Monitor, Part};
use super::{Violation, demand};
use crate::machine::{ComponentState, Machine, Record, Timer};
use crate::policy::ComponentId;

impl Monitor {
    /// Compares what the machine says of itself with what its effects told.
    pub(super) fn agree(&self, machine: &Machine) -> Result<(), Violation> {
        let known = &self.known;
        demand(
            ReadyMeansRunning,
            machine.is_ready() == (known.mode == Mode::Ready),
            || format!("it says {} in {:?}", machine.phase(), known.mode),
        )?;
        demand(OneIncarnation, machine.epoch() == known.epoch, || {
            format!("it says epoch {}, not {}", machine.epoch(), known.epoch)
        })?;
        for (id, part) in known.parts.iter().enumerate() {
            let slot = machine.slot(ComponentId(id as u32));
            demand(OneIncarnation, slot == part.slot(), || {
                format!("it says #{id} is {slot:?}, but that is {part:?}")
            })?;
        }
        demand(StaleIsInert, machine.session() == known.session, || {
            format!(
                "it says session {:?}, not {:?}",
                machine.session(),
                known.session
            )
        })?;
        demand(ProvenRecovery, machine.round() == known.round, || {
            format!("it says round {}, not {}", machine.round(), known.round)
        })?;
        let outage = (Some(machine.outage()), machine.outage_is_open());
        demand(
            NothingIsLost,
            outage == (known.last_outage, known.outage.is_some()),
            || {
                format!(
                    "it says outage {outage:?}, not {:?} after {:?}",
                    known.outage, known.last_outage
                )
            },
        )?;
        let counted = Record {
            outage: machine.outage(),
            ..self.record
        };
        demand(NothingIsLost, machine.record() == counted, || {
            format!("it counted {:?}, not {counted:?}", machine.record())
        })?;
        for timer in Timer::ALL {
            demand(
                NoSilentWait,
                machine.is_armed(timer) == known.is_armed(timer),
                || format!("it says of {timer}: armed = {}", machine.is_armed(timer)),
            )?;
        }
        let ended = known.mode == Mode::Ended;
        let hold_off = (machine.level(), machine.blame());
        demand(
            ProvenRecovery,
            ended || hold_off == (known.level, known.blame),
            || {
                format!("it says level and blame {hold_off:?}, not {:?}", {
                    (known.level, known.blame)
                })
            },
        )
    }
}

impl Part {
    fn slot(self) -> ComponentState {
        match self {
            Self::Down => ComponentState::Down,
            Self::Starting => ComponentState::Starting,
            Self::Up => ComponentState::Up,
            Self::Stopping => ComponentState::Stopping,
            Self::Aborting => ComponentState::Aborting,
            Self::Wedged => ComponentState::Wedged,
        }
    }
}
