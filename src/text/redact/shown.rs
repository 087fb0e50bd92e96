//! The text as it may be shown.

use std::borrow::Cow;

use super::authorization::after_scheme;
use super::element::element;
use super::key_block::private_key;
use super::name::Name;
use super::named::named;
use super::reader::{HIDDEN, Reader, Secret, breaks_line, is_of_name};
use super::statement::password;
use super::url::{self, Stretch};
use super::web_token::web_token;

/// The longest text that is shown, in bytes.
pub(super) const MOST: usize = 4096;
/// How much of a text is read, in bytes. Where secrets are hidden, what is behind them moves up.
pub(crate) const MOST_READ: usize = 4 * MOST;
/// The most rounds. A text that was cut off may look different at its end, so it is read again until nothing changes.
const ROUNDS: usize = 8;

/// The text as it may be shown. It is borrowed if nothing has to change.
pub(crate) fn redact(text: &str) -> Cow<'_, str> {
    let mut shown = Cow::Borrowed(text);
    for _ in 0..ROUNDS {
        match round(&shown) {
            Some(next) => shown = Cow::Owned(next),
            None => return shown,
        }
    }
    // What changes that often is no text for people, and nobody knows what one more round would have hidden.
    Cow::Borrowed(HIDDEN)
}

/// Once; `None` if nothing changes.
fn round(text: &str) -> Option<String> {
    let read = beginning(text, MOST_READ);
    let secrets = secrets(&Reader::new(read, read.len() < text.len()));
    let mut shown = String::with_capacity(read.len().min(MOST));
    let mut at = 0;
    for secret in secrets {
        shown.extend(read[at..secret.begin].chars().map(in_line));
        shown.push_str(HIDDEN);
        at = secret.end;
    }
    shown.extend(read[at..].chars().map(in_line));
    shown.truncate(beginning(&shown, MOST).len());
    (shown != text).then_some(shown)
}

/// The beginning of a text, of at most this many bytes.
fn beginning(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn in_line(c: char) -> char {
    if breaks_line(c) { ' ' } else { c }
}

/// All secrets of a text, in order. They do not overlap.
fn secrets(text: &Reader<'_>) -> Vec<Secret> {
    let (mut found, mut stretch, mut at) = (Vec::new(), Stretch::default(), 0);
    while let Some(c) = text.next(at) {
        let (secret, next) = if let Some(begin) = url::behind_scheme(text, at) {
            (url::credentials(text, begin, &mut stretch), begin)
        } else if let Some(begin) = url::behind_encoded_scheme(text, at) {
            (url::encoded_credentials(text, begin), begin)
        } else if let Some(behind) = text.behind_encoded(at) {
            // A name may begin behind it, and its digits are no part of that.
            (None, behind)
        } else if is_of_name(c) {
            let end = text.skip(at, is_of_name);
            (of_word(text, at, end), end)
        } else {
            (None, at + c.len_utf8())
        };
        at = secret.map_or(next, |secret| secret.end);
        found.extend(secret);
    }
    found
}

/// The secret that a word is, or is followed by.
fn of_word(text: &Reader<'_>, begin: usize, end: usize) -> Option<Secret> {
    let name = Name::new(text, begin, end);
    web_token(text, begin, end)
        .or_else(|| private_key(text, begin))
        .or_else(|| after_scheme(text, &name))
        .or_else(|| password(text, &name))
        .or_else(|| element(text, &name))
        .or_else(|| named(text, &name))
}

#[cfg(test)]
mod tests;
