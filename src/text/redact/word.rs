//! What is a word of a language, and so prose and no secret.

use super::reader::{Reader, Secret, breaks_line};

/// What often stands behind the name of a secret and is none.
const PLAIN: &[&str] = &[
    "auth",
    "authentication",
    "authorization",
    "credentials",
    "denied",
    "empty",
    "error",
    "expired",
    "failed",
    "false",
    "forbidden",
    "header",
    "invalid",
    "is",
    "missing",
    "no",
    "none",
    "not",
    "null",
    "of",
    "realm",
    "refused",
    "required",
    "revoked",
    "scheme",
    "token",
    "tokens",
    "true",
    "unauthorized",
    "unknown",
    "was",
    "yes",
];
/// Words with which a sentence goes on. Behind `=` even one of these may be a secret.
const LINKS: &[&str] = &[
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "can", "cannot", "for", "found",
    "from", "had", "has", "have", "if", "in", "instead", "may", "must", "on", "or", "should",
    "than", "that", "the", "then", "this", "to", "used", "were", "when", "which", "while", "will",
    "with", "without",
];
/// The longest value without letters and digits that is no secret. It is of a grammar, or stands for a secret, as `***` does.
const LONGEST_SIGN: usize = 4;
/// A word that is longer is no word of a language.
pub(super) const LONGEST_WORD: usize = 20;

/// Whether a value is one of the words or signs that are known to be no secret. Of a value that was cut off, that is not
/// known.
pub(super) fn is_plain(text: &Reader<'_>, secret: Secret) -> bool {
    let said = text.said(secret);
    let is_sign =
        said.len() <= LONGEST_SIGN && said.bytes().all(|byte| byte.is_ascii_punctuation());
    (is_sign || is_one_of(said.trim_end_matches('='), PLAIN)) && !text.is_cut_at(secret.end)
}

/// Whether a sentence goes on with this value.
pub(super) fn is_link(text: &Reader<'_>, secret: Secret) -> bool {
    is_one_of(text.said(secret), LINKS) && !text.is_cut_at(secret.end)
}

/// Whether a value can be a word of a language. Of a value that was cut off, that is not known.
pub(super) fn is_word(text: &Reader<'_>, secret: Secret) -> bool {
    let said = text.said(secret);
    let is_of_word = |c: char| c.is_alphabetic() || matches!(c, '\'' | '-');
    said.len() <= LONGEST_WORD && said.chars().all(is_of_word) && !text.is_cut_at(secret.end)
}

/// Whether a value is all that is said, and so no prose.
pub(super) fn is_alone(text: &Reader<'_>, secret: Secret) -> bool {
    let closes =
        |c| matches!(c, ',' | ';' | ')' | ']' | '}' | '"' | '\'' | '`' | '&') || breaks_line(c);
    text.next(secret.end).is_none_or(closes)
}

/// Whether a value looks as if it was made by chance: it has letters and digits, or is longer than any word.
pub(super) fn is_random(text: &Reader<'_>, secret: Secret) -> bool {
    let said = text.said(secret);
    let has = |is: fn(&u8) -> bool| said.as_bytes().iter().any(is);
    let is_mixed = has(u8::is_ascii_alphabetic) && has(u8::is_ascii_digit);
    is_mixed || said.len() > LONGEST_WORD || text.is_cut_at(secret.end)
}

pub(super) fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.iter().any(|other| word.eq_ignore_ascii_case(other))
}
