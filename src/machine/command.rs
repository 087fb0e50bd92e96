//! What operators ask for. One table has all that is known of a command apart from what the states do with it.

use super::{AfterStop, Cause, Input};

/// Writes down the commands, each with what it asks for, its name, the words for a transition by it, and what is to
/// follow when everything is stopped. None: it brings about no transition; it stops nothing, or what it stops is
/// started again.
///
/// A command needs an [`Input`] of the same name. A new one goes to the end: what is generated in tests from bytes and
/// numbers relies on the order.
macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident, $text:literal, $words:expr, $wish:expr;)*) => {
        /// What an operator asks for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Command {
            $($(#[$doc])* $name,)*
        }

        impl Command {
            /// All commands. Further ones come after those that are there.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The stable name.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The input that it is for the machine.
            pub fn input(self) -> Input {
                match self {
                    $(Self::$name => Input::$name,)*
                }
            }

            /// Why there was a transition, in words; none if it brings about none.
            pub fn words(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => $words,)*
                }
            }

            /// What is to follow when everything is stopped, if it asks for a stop.
            pub fn wish(self) -> Option<AfterStop> {
                match self {
                    $(Self::$name => $wish,)*
                }
            }
        }

        impl Input {
            /// The command that it is, if it is one.
            pub fn command(&self) -> Option<Command> {
                match self {
                    $(Self::$name => Some(Command::$name),)*
                    _ => None,
                }
            }
        }

        /// The pattern of the inputs that are commands. A `match` that has it in the place of a wildcard does not
        /// compile with an input that is neither in it nor in this table.
        macro_rules! any_command {
            () => { $($crate::machine::Input::$name)|* };
        }
    };
}

commands! {
    /// Stop everything, and wait for [`Resume`](Command::Resume).
    Drain, "drain", Some("an operator drained it"), Some(AfterStop::Drain);
    /// Take back a drain.
    Resume, "resume", Some("an operator resumed it"), None;
    /// Stop everything as if the dependency had failed.
    Trip, "trip", Some("an operator tripped it"), None;
    /// Forget suspicion, and in Running the level.
    Reset, "reset", None, None;
}

pub(crate) use any_command;

impl Command {
    /// The cause of a transition that it brings about; none if it brings about none.
    pub fn cause(self) -> Option<Cause> {
        self.words().map(|_| Cause::Command(self))
    }
}

impl Input {
    /// What is to follow when everything is stopped, if somebody asks for a stop.
    pub(super) fn wish(&self) -> Option<AfterStop> {
        match self {
            Self::Shutdown => Some(AfterStop::Stop),
            _ => self.command().and_then(Command::wish),
        }
    }
}

impl Cause {
    /// Whether somebody asked for the stop that it is the cause of.
    pub fn is_wanted(self) -> bool {
        match self {
            Self::Shutdown => true,
            Self::Command(command) => command.wish().is_some(),
            _ => false,
        }
    }
}
