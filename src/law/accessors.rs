//! Checks that the accessors of the machine agree with its effects.
//!
//! A shell uses the accessors to answer health checks and to order answers, so they must not drift from the effects.

use super::Law::*;
use super::monitor::{Activity, ComponentActivity, Monitor};
use super::{Violation, ensure};
use crate::machine::{ComponentState, Machine, Record, Timer};
use crate::policy::ComponentId;

impl Monitor {
    /// Compares the accessors of the machine with what its effects have shown.
    pub(super) fn agree(&self, machine: &Machine) -> Result<(), Violation> {
        let model = &self.model;
        ensure(
            ReadyMeansRunning,
            machine.is_ready() == (model.mode == Activity::Ready),
            || format!("it says {} in {:?}", machine.phase(), model.mode),
        )?;
        ensure(OneIncarnation, machine.epoch() == model.epoch, || {
            format!("it says epoch {}, not {}", machine.epoch(), model.epoch)
        })?;
        for (id, part) in model.parts.iter().enumerate() {
            let slot = machine.component_state(ComponentId(id as u32));
            ensure(OneIncarnation, slot == part.component_state(), || {
                format!("it says #{id} is {slot:?}, but that is {part:?}")
            })?;
        }
        ensure(StaleIsInert, machine.session() == model.session, || {
            format!(
                "it says session {:?}, not {:?}",
                machine.session(),
                model.session
            )
        })?;
        ensure(ProvenRecovery, machine.round() == model.round, || {
            format!("it says round {}, not {}", machine.round(), model.round)
        })?;
        let outage = (Some(machine.outage()), machine.outage_is_open());
        ensure(
            NothingIsLost,
            outage == (model.last_outage, model.outage.is_some()),
            || {
                format!(
                    "it says outage {outage:?}, not {:?} after {:?}",
                    model.outage, model.last_outage
                )
            },
        )?;
        let counted = Record {
            outage: machine.outage(),
            ..self.record
        };
        ensure(NothingIsLost, machine.record() == counted, || {
            format!("it counted {:?}, not {counted:?}", machine.record())
        })?;
        for timer in Timer::ALL {
            ensure(
                NoSilentWait,
                machine.is_armed(timer) == model.is_armed(timer),
                || format!("it says of {timer}: armed = {}", machine.is_armed(timer)),
            )?;
        }
        let ended = model.mode == Activity::Ended;
        let hold_off = (machine.level(), machine.blame());
        ensure(
            ProvenRecovery,
            ended || hold_off == (model.level, model.blame),
            || {
                format!("it says level and blame {hold_off:?}, not {:?}", {
                    (model.level, model.blame)
                })
            },
        )
    }
}

impl ComponentActivity {
    fn component_state(self) -> ComponentState {
        match self {
            Self::Down => ComponentState::Down,
            Self::Starting => ComponentState::Starting,
            Self::Up => ComponentState::Up,
            Self::Stopping => ComponentState::Stopping,
            Self::Aborting => ComponentState::Aborting,
            Self::Wedged => ComponentState::Wedged,
            Self::Finished => ComponentState::Finished,
        }
    }
}
