//! Input of the supervisor: messages, reports, and the mailbox in which they wait.

mod command;
mod mailbox;
mod message;
mod reports;

pub(crate) use command::CommandReply;
pub use command::{CommandAnswer, CommandLost, CommandOutcome};
pub(crate) use mailbox::{Mailbox, ROOM_KEPT};
pub(crate) use message::{ComponentAnswer, IncarnationId, RenewedLease};
pub(crate) use reports::{Batch, Last, ReportSource, ReportTexts};
