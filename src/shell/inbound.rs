//! Input of the supervisor: messages, reports, and the mailbox in which they wait.

mod mailbox;
mod message;
mod reports;

pub(crate) use mailbox::{Mailbox, ROOM_KEPT};
pub(crate) use message::{ComponentAnswer, IncarnationId, RenewedLease};
pub(crate) use reports::{Batch, Last, ReportSource, ReportTexts};
