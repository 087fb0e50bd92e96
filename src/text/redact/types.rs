//! Types around a value in Rust's debug form, as in `Some(Secret("x"))`.

use super::quote::quote_at;
use super::reader::{HIDDEN, Reader, is_of_name};

/// The most types around a value, as in `Some(Secret("x"))`.
const MOST_TYPES: usize = 8;

/// Whether something in quotes or in brackets begins here, and not a word of a language.
pub(super) fn is_enclosed_at(text: &Reader<'_>, at: usize) -> bool {
    let end = behind_type(text, at);
    let is_structure = text.behind_one_of(end, &["(", "{", " {"]).is_some();
    is_structure || quote_at(text, at).is_some()
}

/// Behind what may be the name of a type, e.g. `auth::Secret<String>`.
fn behind_type(text: &Reader<'_>, mut at: usize) -> usize {
    loop {
        at = text.skip(at, |c| c.is_alphanumeric() || matches!(c, '_' | '<' | '>'));
        match text.behind(at, "::") {
            Some(behind) => at = behind,
            None => return at,
        }
    }
}

/// The place behind all of `Some(Secret(` and the like, if the inside looks like a value and not like a password with a
/// bracket in it.
pub(super) fn behind_types(text: &Reader<'_>, begin: usize) -> Option<usize> {
    let (mut at, mut is_spaced) = (begin, false);
    for _ in 0..MOST_TYPES {
        if !text.is_at(at, char::is_alphabetic) {
            break;
        }
        let end = behind_type(text, at);
        if !text.is_at(end, |c| c == '(') {
            break;
        }
        at = text.skip_escaped_spaces(end + 1);
        is_spaced |= at > end + 1;
    }
    let is_type = text.is_at(begin, |c| c.is_ascii_uppercase());
    (at > begin && ((is_spaced && is_type) || is_value_at(text, at))).then_some(at)
}

fn is_value_at(text: &Reader<'_>, at: usize) -> bool {
    let number = text.skip(at, |c| c == '-' || c.is_ascii_digit());
    let name = text.skip(at, is_of_name);
    let is_number = number > at && text.is_at(number, |c| c == ',');
    let is_structure = name > at && text.behind_one_of(name, &["{", " {"]).is_some();
    let is_bracket = text.is_at(at, |c| matches!(c, '[' | '{'));
    let is_hidden = text.behind(at, HIDDEN).is_some();
    is_bracket || is_number || is_structure || is_hidden || quote_at(text, at).is_some()
}
