//! How a value follows its name.

use super::name::Name;
use super::pairs::is_pair;
use super::quote::Quote;
use super::reader::{Reader, is_of_name, is_quote};

/// How a value follows its name, and where it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Assignment {
    pub(super) begin: usize,
    pub(super) how: How,
    /// Whether the name is in quotes.
    pub(super) is_quoted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// `name=value` and whatever else is no prose.
    Surely,
    /// `name:value`.
    Colon,
    /// `name: value`, which may be prose.
    ColonAndSpace,
    /// `--name value`, which may be prose about an argument.
    Argument,
}

/// The most brackets and quotes behind a name.
const MOST_BRACKETS: usize = 4;
/// What may stand between a name and a value in quotes.
const VERBS: &[&str] = &["is ", "was ", "to ", "like "];
const OPERATORS: &[&str] = &["!=", "<>"];
/// What is said of a secret that has a name of its own, as those of Kubernetes.
const OF_A_NAME: &[&str] = &[
    "not found",
    "was not found",
    "does not exist",
    "already exists",
    "in namespace",
];

/// How the value of a name follows, if one does.
pub(super) fn assignment(text: &Reader<'_>, name: &Name<'_>) -> Option<Assignment> {
    let (behind, is_quoted) = behind_name(text, name.end);
    let sign = text.skip_spaces(behind);
    let is_apart = sign > behind;
    let (begin, how) = behind_equals(text, sign, is_apart)
        .or_else(|| behind_colon(text, sign))
        .or_else(|| match is_quoted {
            true => next_in_quotes(text, name, sign),
            false => next_word(text, name, sign, is_apart),
        })?;
    Some(Assignment {
        begin,
        how,
        is_quoted,
    })
}

/// Where a name with everything that belongs to it ends, and whether it is in quotes.
///
/// To it belong quotes, which may be escaped, and brackets, as in `user[password]` and `password[0]`. In a URL each of
/// these may be encoded.
fn behind_name(text: &Reader<'_>, end: usize) -> (usize, bool) {
    let (mut at, mut is_quoted) = (end, false);
    for _ in 0..MOST_BRACKETS {
        let quote = Quote::at(text, at).map(|quote| quote.inside);
        let quote = quote.or_else(|| text.behind_one_of(at, &["%22", "%27"]));
        if let Some(behind) = quote.filter(|_| !is_quoted) {
            (at, is_quoted) = (behind, true);
        } else if let Some(behind) = text.behind_one_of(at, &["]", "%5D"]) {
            at = behind;
        } else if let Some(inside) = text.behind(at, "[")
            && let Some(behind) = text.behind(text.skip(inside, is_of_name), "]")
        {
            at = behind;
        } else {
            break;
        }
    }
    (at, is_quoted)
}

fn behind_equals(text: &Reader<'_>, sign: usize, is_apart: bool) -> Option<(usize, How)> {
    if let Some(begin) = text.behind(sign, "%3D") {
        return Some((begin, How::Surely));
    }
    let behind = text.behind_one_of(sign, &["==", "=>", "=", ":="])?;
    let begin = text.skip_spaces(behind);
    let is_empty = if begin > behind {
        // As in `password= user=app`. But `password = user=app` is one value.
        !is_apart && is_pair(text, begin)
    } else {
        is_next(text, begin)
    };
    (!is_empty).then_some((begin, How::Surely))
}

fn behind_colon(text: &Reader<'_>, sign: usize) -> Option<(usize, How)> {
    if let Some(begin) = text.behind(sign, "%3A") {
        let is_url = text.behind(begin, "%2F%2F").is_some();
        return (!is_url).then_some((begin, How::Colon));
    }
    let behind = text.behind(sign, ":")?;
    // A path, or the scheme of a URL.
    let is_other = text.behind_one_of(behind, &[":", "//"]).is_some();
    let begin = text.skip_spaces(behind);
    let how = if begin == behind {
        How::Colon
    } else {
        How::ColonAndSpace
    };
    (!is_other && !is_next(text, begin)).then_some((begin, how))
}

/// Whether this is a comma before the next name with a value: the value before it is empty.
fn is_next(text: &Reader<'_>, at: usize) -> bool {
    let next = text.behind(at, ",").map(|at| text.skip_spaces(at));
    next.is_some_and(|begin| {
        let end = text.skip(begin, is_of_name);
        end > begin && text.is_at(end, |c| matches!(c, '=' | ':'))
    })
}

/// The value in quotes behind a name in quotes: the next argument, or the second of a pair.
fn next_in_quotes(text: &Reader<'_>, name: &Name<'_>, at: usize) -> Option<(usize, How)> {
    let comma = text.behind(at, ",");
    let begin = text.skip_spaces(comma.unwrap_or(at));
    let inside = Quote::at(text, begin)?.inside;
    let is_argument = name.is_argument() && !text.is_at(inside, |c| c == '-');
    // Of more than two words it is a list of names.
    let word = text.skip(inside, is_of_name);
    let is_last = Quote::at(text, word).is_none_or(|end| !text.is_at(end.inside, |c| c != ')'));
    let is_second = comma.is_some() && is_first_in_parentheses(text, name) && is_last;
    (is_argument || is_second).then_some((begin, How::Surely))
}

/// Whether a name that is in quotes is the first in parentheses.
fn is_first_in_parentheses(text: &Reader<'_>, name: &Name<'_>) -> bool {
    let before = text.part(0, name.begin).strip_suffix(is_quote);
    before.is_some_and(|before| before.trim_end_matches('\\').ends_with('('))
}

/// The value behind a name without a sign: in quotes, or the next argument.
fn next_word(
    text: &Reader<'_>,
    name: &Name<'_>,
    at: usize,
    is_apart: bool,
) -> Option<(usize, How)> {
    let verb = text.behind_one_of(at, VERBS).filter(|_| is_apart);
    let verb = verb.or_else(|| text.behind_one_of(at, OPERATORS));
    let begin = verb.map_or(at, |verb| text.skip_spaces(verb));
    let is_quote =
        name.is_spoken() && (is_apart || verb.is_some()) && Quote::at(text, begin).is_some();
    if is_quote && !(name.is("secret") && is_name_of_secret(text, begin)) {
        return Some((begin, How::Surely));
    }
    let is_argument = name.is_argument() && is_apart && !text.is_at(at, |c| c == '-');
    is_argument.then_some((at, How::Argument))
}

/// Whether what is in quotes is not a secret but the name of one: `secret "db-password" not found`.
fn is_name_of_secret(text: &Reader<'_>, begin: usize) -> bool {
    let Some(quote) = Quote::at(text, begin) else {
        return false;
    };
    let end = text.skip(quote.inside, |c| is_of_name(c) || c == '/');
    Quote::at(text, end).is_some_and(|end| {
        let next = text.skip_spaces(end.inside);
        text.behind_one_of(next, OF_A_NAME).is_some()
    })
}

#[cfg(test)]
mod tests;
