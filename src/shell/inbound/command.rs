//! Commands on their way to the supervisor, and the answers to them.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;

use tokio::sync::watch;

use crate::driver::Command;

/// The most commands that wait. Further ones are refused.
const MAX_COMMANDS: usize = 64;

/// The effect of a command, once it was handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CommandOutcome {
    /// It was accepted, and has begun to take effect.
    Accepted,
    /// It changed nothing: it was carried out already, or something stronger is under way, e.g. a shutdown.
    NoEffect,
}

/// The run ended before it handled a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "there is nothing to say of it")]
pub struct CommandLost;

impl fmt::Display for CommandLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the run ended before the command was handled")
    }
}

impl std::error::Error for CommandLost {}

/// The answer to a command. Await it to learn whether the command has any effect; the command takes effect anyway.
///
/// ```
/// # async fn example(handle: overwatch::Handle) -> Result<(), Box<dyn std::error::Error>> {
/// use overwatch::CommandOutcome;
///
/// match handle.drain()?.await? {
///     CommandOutcome::Accepted => println!("everything is being stopped"),
///     _ => println!("it is drained already, or shutting down"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CommandAnswer(watch::Receiver<Option<CommandOutcome>>);

impl CommandAnswer {
    /// The answer to a command that nothing handles any more.
    pub(crate) fn lost() -> Self {
        Self(watch::channel(None).1)
    }
}

impl IntoFuture for CommandAnswer {
    type Output = Result<CommandOutcome, CommandLost>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(mut self) -> Self::IntoFuture {
        Box::pin(async move {
            let answered = self.0.wait_for(Option::is_some).await;
            answered
                .ok()
                .and_then(|outcome| *outcome)
                .ok_or(CommandLost)
        })
    }
}

/// Where the answer to a command goes. All that gave the same command share it.
pub(crate) struct CommandReply(watch::Sender<Option<CommandOutcome>>);

impl CommandReply {
    pub(crate) fn answer(self, outcome: CommandOutcome) {
        self.0.send_replace(Some(outcome));
    }
}

/// The commands that wait.
#[derive(Default)]
pub(crate) struct Commands(VecDeque<(Command, CommandReply)>);

impl Commands {
    /// Adds a command. One that repeats the last one shares its answer. `None` if too many wait.
    pub(crate) fn push(&mut self, command: Command) -> Option<CommandAnswer> {
        if let Some((last, reply)) = self.0.back()
            && *last == command
        {
            return Some(CommandAnswer(reply.0.subscribe()));
        }
        if self.0.len() >= MAX_COMMANDS {
            return None;
        }
        let (reply, answer) = watch::channel(None);
        self.0.push_back((command, CommandReply(reply)));
        Some(CommandAnswer(answer))
    }

    pub(crate) fn pop(&mut self) -> Option<(Command, CommandReply)> {
        self.0.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_that_nothing_handles_any_more_is_answered() {
        assert_eq!(CommandAnswer::lost().await, Err(CommandLost));
        let mailbox = crate::shell::inbound::Mailbox::default();
        let waits = mailbox.command(Command::Drain).expect("room");
        mailbox.close();
        assert_eq!(waits.await, Err(CommandLost));
        let late = mailbox.command(Command::Drain).expect("an answer");
        assert_eq!(late.await, Err(CommandLost));
    }
}
