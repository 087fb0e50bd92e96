//! The text of an error and its sources.

use std::error::Error;
use std::fmt::{self, Write};
use std::iter;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::text::{MOST_READ, add_source, redact, say_once};

/// The longest character, in bytes.
const LONGEST_CHAR: usize = 4;
/// The most sources of an error that are shown.
const MAX_SOURCES: usize = 32;

/// The text of an error and of its sources, as it may be shown. If user code panics on the way, the panic is passed to
/// `words`.
pub(crate) fn text_of(
    error: &(dyn Error + 'static),
    words: impl FnOnce(Box<dyn std::any::Any + Send>) -> String,
) -> String {
    let (mut text, mut part) = (String::new(), Bounded(String::new()));
    let made = catch_unwind(AssertUnwindSafe(|| {
        // A longer chain is a cycle.
        let errors = iter::successors(Some(error), |&error| error.source());
        for error in errors.take(MAX_SOURCES + 1) {
            part.0.clear();
            // The only error is that of a text that was cut off.
            let _ = write!(part, "{error}");
            add_source(&mut text, &part.0);
            if text.len() > MOST_READ {
                break;
            }
        }
    }));
    if let Err(panic) = made {
        add_source(&mut text, &part.0);
        let _ = write!(text, "(its text {})", words(panic));
    }
    say_once(&mut text);
    redact(&text).into_owned()
}

/// A text that grows no longer than what is read of it.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        // One more, so that it can be seen that there was more.
        let left = (MOST_READ + LONGEST_CHAR).saturating_sub(self.0.len());
        if more.len() <= left {
            self.0.push_str(more);
            return Ok(());
        }
        self.0.extend(more.chars().scan(left, |left, char| {
            *left = left.checked_sub(char.len_utf8())?;
            Some(char)
        }));
        // Full: stops the formatting.
        Err(fmt::Error)
    }
}
