//! Where the value of a name begins and ends.

use super::bracket::{self, Bracket};
use super::key_block;
use super::quote::{Quote, quote_at};
use super::reader::{Reader, Secret, ends_word, is_of_name, is_quote};
use super::types::behind_types;

/// What a value looks like where it begins. That is seen without a look at the rest of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// A private key. It begins here.
    Key(usize),
    /// `Some("x")` and the like. The inside begins here.
    Parentheses(usize),
    Quotes(Quote),
    Bracket(Bracket),
    /// In nothing of this. It begins here.
    Bare(usize),
}

impl Form {
    pub(super) fn at(text: &Reader<'_>, begin: usize) -> Self {
        if let Some(key) = key_block::behind_begin(text, begin) {
            Self::Key(key)
        } else if let Some(inside) = behind_types(text, begin) {
            Self::Parentheses(inside)
        } else if let Some(quote) = quote_at(text, begin) {
            Self::Quotes(quote)
        } else if let Some(bracket) = Bracket::at(text, begin) {
            Self::Bracket(bracket)
        } else {
            Self::Bare(begin)
        }
    }

    /// The value itself: what is in quotes or in brackets, or all up to a space, a quote, or the `&` or `;` before
    /// another name.
    pub(super) fn value(self, text: &Reader<'_>) -> Option<Secret> {
        match self {
            Self::Key(begin) => key_block::key(text, begin),
            Self::Parentheses(inside) => in_parentheses(text, inside),
            Self::Quotes(quote) => Secret::between(quote.inside, quote.close(text).inside),
            Self::Bracket(bracket) => {
                let inside = bracket.inside(text);
                let is_empty = inside.trimmed(text).is_none();
                Secret::between(bracket.begin, inside.behind).filter(|_| !is_empty)
            }
            Self::Bare(begin) => {
                let end = end_of_bare(text, begin);
                if text.is_cut_at(end) {
                    // The signs at the end may be in the middle of the value.
                    return Secret::between(begin, end);
                }
                let value = without_signs(text.part(begin, end));
                Secret::between(begin, begin + value.len())
            }
        }
    }
}

/// What is in parentheses that opened before this place: what is in quotes, if there is nothing else, or all of it.
pub(super) fn in_parentheses(text: &Reader<'_>, begin: usize) -> Option<Secret> {
    let mut behind = begin;
    if let Some(quote) = quote_at(text, begin) {
        let closed = quote.close(text);
        behind = closed.behind;
        let mut at = text.skip_escaped_spaces(behind);
        if text.is_at(at, |c| c == ',') {
            at = text.skip_escaped_spaces(at + 1);
        }
        if text.next(at).is_none_or(|c| c == ')') {
            return Secret::between(quote.inside, closed.inside);
        }
    }
    bracket::in_parentheses(text, begin, behind).trimmed(text)
}

/// Without the signs at the end, which are of the sentence or of the structure around.
pub(super) fn without_signs(value: &str) -> &str {
    value.trim_end_matches([',', '.', ':', ')', ']', '}', '\\'])
}

/// Where a value ends that is in no quotes.
fn end_of_bare(text: &Reader<'_>, begin: usize) -> usize {
    let mut at = begin;
    loop {
        let end = text.skip(at, |c| {
            !ends_word(c) && !is_quote(c) && !matches!(c, '&' | ';')
        });
        let behind = end + 1;
        match text.next(end) {
            Some('&' | ';') if !is_separator(text, behind) => at = behind,
            // With a letter behind it, this is no quote that closes.
            Some(c) if is_quote(c) && may_go_on(text, behind) => {
                let before = text.part(at, end).trim_end_matches('\\');
                if before.ends_with(',') {
                    // That is the next name.
                    return end;
                }
                let opens = before.ends_with(['=', ':', '(', '[', '{']);
                let quote = Quote::at(text, at + before.len()).filter(|_| opens);
                at = quote.map_or(behind, |quote| quote.close(text).behind);
            }
            _ => return end,
        }
    }
}

/// Whether a value goes on behind a quote: with a letter, or nobody knows with what.
pub(super) fn may_go_on(text: &Reader<'_>, behind: usize) -> bool {
    text.is_at(behind, char::is_alphanumeric) || text.is_cut_at(behind)
}

/// Whether a `&` or `;` ends a value: behind it is the next name, or nothing. A password may have one in it.
pub(super) fn is_separator(text: &Reader<'_>, behind: usize) -> bool {
    let name = text.skip(behind, is_of_name);
    let is_name = name > behind && text.is_at(name, |c| c == '=');
    let is_last = text.next(behind).is_none_or(ends_word) && !text.is_cut_at(behind);
    is_name || is_last
}

#[cfg(test)]
mod tests;
