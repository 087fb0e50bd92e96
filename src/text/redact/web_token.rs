//! Tokens that are recognised without a name: `eyJ...` of JSON Web Tokens (RFC 7519).

use super::reader::{Reader, Secret};

/// How each of them begins: it is `{"` in Base64.
const BEGIN: &str = "eyJ";
/// The shortest header. What is shorter may be the name of a file.
const SHORTEST_HEADER: usize = 16;

/// The token that a word is, or ends with.
pub(super) fn web_token(text: &Reader<'_>, begin: usize, end: usize) -> Option<Secret> {
    let (before, _) = text.part(begin, end).split_once(BEGIN)?;
    if before.ends_with(char::is_alphanumeric) {
        return None;
    }
    let begin = begin + before.len();
    let word = text.part(begin, end).trim_end_matches('.');
    let end = begin + word.len();
    let (header, rest) = word.split_once('.').unwrap_or((word, ""));
    // A token that was cut off has fewer parts. The second part is JSON too, if it is not encrypted.
    let has_parts = rest.contains('.') || rest.starts_with(BEGIN);
    let is_whole = header.len() >= SHORTEST_HEADER && (has_parts || text.next(end) == Some('.'));
    let is_token = is_whole || text.is_cut_at(end);
    Secret::between(begin, end).filter(|_| is_token)
}

#[cfg(test)]
mod tests;
