//! The commands of an operator: one table with everything about them except how the states handle them.

use super::{AfterStop, Cause, HaltReason, Input};
use crate::policy::Policy;

/// Defines the commands.
///
/// Each row has the documentation of a command, its variant, its stable name, the words for its transition (`None` if
/// it causes no transition), and what follows the stop that it asks for (`None` if it stops nothing, or if everything
/// is started again after the stop).
///
/// A command needs an [`Input`] of the same name. Add a new command at the end: tests generate commands from bytes and
/// numbers and rely on the order.
macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident, $text:literal, $words:expr, $goal:expr;)*) => {
        /// A command of an operator.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Command {
            $($(#[$doc])* $name,)*
        }

        impl Command {
            /// All commands. New ones are added at the end.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The stable name.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The input of the machine for this command.
            pub fn input(self) -> Input {
                match self {
                    $(Self::$name => Input::$name,)*
                }
            }

            /// The reason for a transition by this command, in words; `None` if it causes no transition.
            pub fn words(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => $words,)*
                }
            }

            /// What follows the stop that this command asks for.
            ///
            /// `None` if it stops nothing, or if everything is started again after the stop.
            pub fn goal(self) -> Option<AfterStop> {
                match self {
                    $(Self::$name => $goal,)*
                }
            }
        }

        impl Input {
            /// The command of this input, if it is a command.
            pub fn command(&self) -> Option<Command> {
                match self {
                    $(Self::$name => Some(Command::$name),)*
                    _ => None,
                }
            }
        }

        /// The pattern of the inputs that are commands. A `match` with this pattern needs no wildcard, so it does not
        /// compile if a new input is neither in the `match` nor in this table.
        macro_rules! any_command {
            () => { $($crate::machine::Input::$name)|* };
        }
    };
}

commands! {
    /// Stop everything and wait for [`Resume`](Command::Resume).
    Drain, "drain", Some("an operator drained it"), Some(AfterStop::Drain);
    /// Undo a drain.
    Resume, "resume", Some("an operator resumed it"), None;
    /// Stop everything as if the dependency had failed.
    Trip, "trip", Some("an operator tripped it"), None;
    /// Clear suspicion and level in Running; lower the level to at most 1 in other states.
    Reset, "reset", None, None;
}

pub(crate) use any_command;

impl Command {
    /// The cause of a transition by this command; `None` if it causes no transition.
    pub fn cause(self) -> Option<Cause> {
        self.words().map(|_| Cause::Command(self))
    }
}

impl Input {
    /// What follows when everything is stopped, if this input asks for a stop.
    pub(super) fn goal(&self, policy: &Policy) -> Option<AfterStop> {
        match self {
            Self::Shutdown => Some(AfterStop::Stop),
            Self::FailedTooOften { .. } => {
                policy.failure_limit().map(|limit| match limit.drains() {
                    true => AfterStop::Drain,
                    false => AfterStop::Halt(HaltReason::GaveUp),
                })
            }
            _ => self.command().and_then(Command::goal),
        }
    }
}

impl Cause {
    /// Whether this is the cause of a wanted stop: a shutdown, a drain, or that everything has finished.
    pub fn is_wanted(self) -> bool {
        match self {
            Self::Shutdown | Self::Finished => true,
            Self::Command(command) => command.goal().is_some(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An operator who trips wants no stop: what is stopped is started again.
    #[test]
    fn a_shutdown_and_a_drain_are_wanted_and_nothing_else_is() {
        let wanted = |command: &&Command| Cause::Command(**command).is_wanted();
        let commands: Vec<_> = Command::ALL.iter().filter(wanted).collect();
        assert_eq!(commands, [&Command::Drain]);
        assert!(Cause::Shutdown.is_wanted() && Cause::Finished.is_wanted());
        for cause in [Cause::Boot, Cause::Failing, Cause::AllGone, Cause::Fatal] {
            assert!(!cause.is_wanted(), "{cause}");
        }
    }
}
