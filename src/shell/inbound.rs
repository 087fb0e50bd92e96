//! What comes to the supervisor: messages, reports, and the mailbox in which they wait.

mod mailbox;
mod message;
mod reports;

pub(crate) use mailbox::{Mailbox, ROOM_KEPT};
pub(crate) use message::{Answer, IncarnationId, Lease};
pub(crate) use reports::{Batch, Last, Said, Source};
