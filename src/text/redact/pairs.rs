//! Names with values behind a header: cookies, and the parameters of an `Authorization`.

use super::quote::{Quote, closes};
use super::reader::{Reader, Secret, ends_word, is_of_name, is_quote, is_space};
use super::value::{is_separator, may_go_on, without_signs};

/// What a cookie may have besides its value.
const ATTRIBUTES: &[&str] = &["HttpOnly", "Secure", "Partitioned"];

/// The cookies that begin here.
pub(super) fn cookies(text: &Reader<'_>, begin: usize) -> Option<Secret> {
    let has_one = is_name_with_sign(text, begin);
    has_one.then(|| Secret::between(begin, end_of_pairs(text, begin)))?
}

/// Whether a name with a value begins here, as in `user=app`, and no value in Base64, which may end with `=`.
pub(super) fn is_pair(text: &Reader<'_>, begin: usize) -> bool {
    let name = text.skip(begin, is_of_name);
    is_name_with_sign(text, begin) && {
        let value = Quote::at(text, name + 1).map_or(name + 1, |quote| quote.inside);
        text.is_at(value, |c| {
            c.is_alphanumeric() || matches!(c, '/' | '<' | '_' | '-')
        })
    }
}

fn is_name_with_sign(text: &Reader<'_>, begin: usize) -> bool {
    let name = text.skip(begin, is_of_name);
    name > begin && text.is_at(name, |c| c == '=')
}

/// Where pairs end that begin here, as in `a=b; c="d", e=f`.
pub(super) fn end_of_pairs(text: &Reader<'_>, mut at: usize) -> usize {
    loop {
        let name = text.skip(at, is_of_name);
        let end = text
            .behind(name, "=")
            .map_or(name, |value| end_of_value(text, value));
        let behind = match text.next(end) {
            Some(';' | ',') => Some(end + 1),
            // A comma may be a part of a cookie.
            _ => Some(end).filter(|_| text.before(end) == Some(',')),
        };
        let next = behind.map(|behind| text.skip_spaces(behind));
        let goes_on = |next: &usize| {
            is_name_with_sign(text, *next) || text.behind_one_of(*next, ATTRIBUTES).is_some()
        };
        match next.filter(goes_on) {
            Some(next) => at = next,
            None if text.is_cut_at(end) => return end,
            None => return at + without_signs(text.part(at, end)).len(),
        }
    }
}

fn end_of_value(text: &Reader<'_>, begin: usize) -> usize {
    // Otherwise it is a quote around all of this.
    let opens = |quote: &Quote| text.is_at(quote.inside, |c| !is_space(c) && !closes(c));
    if let Some(quote) = Quote::at(text, begin).filter(opens) {
        return quote.close(text).behind;
    }
    let mut at = begin;
    loop {
        at = text.skip(at, |c| !ends_word(c) && !is_quote(c) && c != ';');
        let behind = at + 1;
        let goes_on = match text.next(at) {
            Some(';') => !is_separator(text, behind),
            Some(c) if is_quote(c) => may_go_on(text, behind),
            _ => false,
        };
        if !goes_on {
            return at;
        }
        at = behind;
    }
}

#[cfg(test)]
mod tests;
