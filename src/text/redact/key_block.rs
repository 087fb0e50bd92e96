//! Private keys between `-----BEGIN ... PRIVATE KEY-----` and the same with `END`, as in files of OpenSSL and SSH.

use super::reader::{Reader, Secret, is_of_name, is_space};
use super::word::LONGEST_WORD;

/// What may stand before the key.
const HEADERS: &[&str] = &["Proc-Type:", "DEK-Info:", "Comment:", "Version:"];

/// The key behind the word that begins here, if that begins such a block.
pub(super) fn private_key(text: &Reader<'_>, begin: usize) -> Option<Secret> {
    key(text, behind_begin(text, begin)?)
}

/// Where the block goes on whose first line ends, or is, the word that begins here.
pub(super) fn behind_begin(text: &Reader<'_>, begin: usize) -> Option<usize> {
    let end = text.skip(begin, is_of_name);
    let word = text.part(begin, end);
    // The word may begin with the `n` of an escaped line end.
    let label = if word.ends_with("----BEGIN") {
        end
    } else {
        text.behind(end, " BEGIN")
            .filter(|_| word.ends_with("----"))?
    };
    let end = text.skip(label, |c| {
        c.is_ascii_uppercase() || c.is_ascii_digit() || is_space(c)
    });
    let is_private = text.part(label, end).contains("PRIVATE KEY");
    let behind = text.behind(end, "----").filter(|_| is_private)?;
    Some(text.skip_escaped_spaces(text.skip(behind, |c| c == '-')))
}

/// The key that begins here: all up to the line of the end, or the rest of the text.
///
/// Nothing, if what is here is only said about such a block.
pub(super) fn key(text: &Reader<'_>, begin: usize) -> Option<Secret> {
    let end = text.skip(begin, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=')
    });
    let is_key = end - begin > LONGEST_WORD || text.is_cut_at(end);
    if !is_key && text.behind_one_of(begin, HEADERS).is_none() {
        return None;
    }
    let end = text.find(begin, "----").unwrap_or(text.len());
    let key = text.part(begin, end).trim_end_matches(is_space);
    Secret::between(begin, begin + key.len())
}

#[cfg(test)]
mod tests;
