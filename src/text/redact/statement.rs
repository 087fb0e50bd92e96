//! Passwords in statements of SQL: `IDENTIFIED BY 'x'` and `PASSWORD FOR a = 'x'`. `PASSWORD 'x'` is found by its name.
//!
//! Only in capitals. In small letters these are words of prose.

use super::name::Name;
use super::quote::Quote;
use super::reader::{Reader, Secret, is_quote, is_space};

/// The most parts before the password: `WITH 'plugin' BY PASSWORD` and `'user' @ 'host' =`.
const MOST_PARTS: usize = 4;

/// The password of the statement that goes on with this word.
pub(super) fn password(text: &Reader<'_>, name: &Name<'_>) -> Option<Secret> {
    let mut at = match name.said {
        "IDENTIFIED" => name.end,
        "PASSWORD" => text.behind(name.end, " FOR ")?,
        _ => return None,
    };
    let mut is_next = false;
    for _ in 0..=MOST_PARTS {
        at = text.skip_spaces(at);
        let quote = Quote::at(text, at);
        if let Some(quote) = quote.filter(|_| is_next) {
            return Secret::between(quote.inside, quote.close(text).inside);
        }
        // A name may be in quotes.
        let begin = quote.map_or(at, |quote| quote.inside);
        let end = text.skip(begin, |c| !is_space(c) && !is_quote(c) && c != '\\');
        is_next = ["BY", "AS", "PASSWORD", "TO", "="].contains(&text.part(begin, end));
        at = Quote::at(text, end)
            .filter(|_| quote.is_some())
            .map_or(end, |quote| quote.inside);
    }
    None
}

#[cfg(test)]
mod tests;
