//! Lists and structures, e.g. `[115, 51]`, `{"a": "b"}` or `Token { value: "x" }`.

use super::quote::{Quote, is_of_prefix};
use super::reader::{Reader, Secret, is_of_name, is_quote, is_space};
use super::types::is_enclosed_at;

/// A bracket that opens a list or a structure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bracket {
    /// Where the list or the structure begins, with the name of its type.
    pub(super) begin: usize,
    inside: usize,
}

/// What is in brackets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inside {
    begin: usize,
    end: usize,
    /// Where the text goes on.
    pub(super) behind: usize,
}

impl Bracket {
    /// That of the list or the structure that begins here.
    pub(super) fn at(text: &Reader<'_>, begin: usize) -> Option<Self> {
        let name = text.skip(begin, is_of_name);
        // With a space it is a structure in Rust's debug form. Otherwise it may be prose.
        let is_type = text.is_at(begin, |c| c.is_ascii_uppercase());
        let space = text.behind(name, " ").filter(|_| is_type);
        let of_structure = text.behind(space.unwrap_or(name), "{");
        let of_list = || {
            let inside = text.behind_one_of(begin, &["[", "("])?;
            has_values(text, inside).then_some(inside)
        };
        let inside = of_structure.or_else(of_list)?;
        Some(Self { begin, inside })
    }

    /// What is in it.
    pub(super) fn inside(self, text: &Reader<'_>) -> Inside {
        let signs = match text.before(self.inside) {
            Some('{') => ('{', '}'),
            Some('[') => ('[', ']'),
            _ => ('(', ')'),
        };
        inside(text, self.inside, self.inside, signs)
    }
}

impl Inside {
    /// The same without the spaces and commas at both ends.
    pub(super) fn trimmed(self, text: &Reader<'_>) -> Option<Secret> {
        let begin = text.skip_escaped_spaces(self.begin).min(self.end);
        if text.is_cut_at(self.end) {
            // They may be a part of a value.
            return Secret::between(begin, self.end);
        }
        let inside = text.part(begin, self.end);
        let inside = inside.trim_end_matches(|c| is_space(c) || c == ',');
        Secret::between(begin, begin + inside.len())
    }
}

/// Whether what is in a list looks like values, and not like a word in brackets.
fn has_values(text: &Reader<'_>, begin: usize) -> bool {
    let at = text.skip_spaces(begin);
    let is_word = text.is_at(at, char::is_alphabetic);
    text.next(at).is_some() && (!is_word || is_enclosed_at(text, at))
}

/// What is in parentheses that opened before `begin`, and do not close before `at`.
pub(super) fn in_parentheses(text: &Reader<'_>, begin: usize, at: usize) -> Inside {
    inside(text, begin, at, ('(', ')'))
}

/// What is in brackets of these signs. If they are not closed, it ends with the text.
///
/// Other brackets do not matter: where a value is in no quotes, it may have some that are never closed.
fn inside(text: &Reader<'_>, begin: usize, mut at: usize, (opens, closes): (char, char)) -> Inside {
    let mut depth = 1_usize;
    loop {
        at = text.skip(at, |c| {
            c != opens && c != closes && !is_quote(c) && c != '\\'
        });
        let Some(sign) = text.next(at) else {
            return Inside {
                begin,
                end: at,
                behind: at,
            };
        };
        if sign == closes && depth == 1 {
            return Inside {
                begin,
                end: at,
                behind: at + 1,
            };
        }
        if sign == opens {
            depth += 1;
            at += 1;
        } else if sign == closes {
            depth -= 1;
            at += 1;
        } else {
            at = behind_quoted(text, at);
        }
    }
}

/// Behind what is in the quotes that begin here, or behind a sign that opens no quotes.
fn behind_quoted(text: &Reader<'_>, at: usize) -> usize {
    match Quote::at(text, at) {
        Some(quote) if quote.sign == '"' => quote.close(text).behind,
        Some(quote) if quote.sign == '\'' && may_open(text, at) => {
            behind_char(text, quote.inside).unwrap_or_else(|| quote.close(text).behind)
        }
        Some(quote) => quote.inside,
        None => text.skip(at, |c| c == '\\'),
    }
}

/// Behind a single character in quotes that is escaped, as in `'\''`.
///
/// Where all of this was quoted again, the backslash is doubled, but neither of the quotes is escaped.
fn behind_char(text: &Reader<'_>, begin: usize) -> Option<usize> {
    let at = text.skip(begin, |c| c == '\\');
    let quote = at + text.next(at).filter(|_| at > begin)?.len_utf8();
    text.behind(quote, "'")
}

/// Whether a value may begin here. Otherwise `'` is an apostrophe, as in `can't`.
fn may_open(text: &Reader<'_>, at: usize) -> bool {
    let is_no_word = |at| text.before(at).is_none_or(|c| !c.is_alphanumeric());
    let is_prefix = text.before(at).is_some_and(is_of_prefix);
    is_no_word(at) || (is_prefix && is_no_word(at - 1))
}

#[cfg(test)]
mod tests;
