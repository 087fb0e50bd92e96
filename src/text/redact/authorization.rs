//! `Authorization` headers and the schemes in them.

use super::name::Name;
use super::pairs::{end_of_pairs, is_pair};
use super::quote::Quote;
use super::reader::{Reader, Secret, is_of_name};
use super::value::Form;
use super::word::{is_link, is_one_of, is_plain, is_random, is_word};

/// Schemes of `Authorization` that are shown, so that one sees which it was.
const SCHEMES: &[&str] = &[
    "apikey",
    "basic",
    "bearer",
    "digest",
    "dpop",
    "negotiate",
    "ntlm",
    "oauth",
    "token",
];

/// The secret behind `Bearer` or `Basic`, with or without a header.
pub(super) fn after_scheme(text: &Reader<'_>, scheme: &Name<'_>) -> Option<Secret> {
    let (is_bearer, end) = (scheme.said.eq_ignore_ascii_case("bearer"), scheme.end);
    if !is_bearer && !scheme.said.eq_ignore_ascii_case("basic") {
        return None;
    }
    let sign = text.skip_spaces(end);
    let signed = text.behind_one_of(sign, &[":", "="]).filter(|_| is_bearer);
    let begin = match signed {
        Some(behind) => text.skip_spaces(behind),
        None => behind_space(text, end)?,
    };
    if is_challenge(text, begin) {
        return None;
    }
    let secret = Form::at(text, begin).value(text)?;
    // Base64 has capital letters anywhere.
    let has_capitals = text.said(secret).chars().skip(1).any(char::is_uppercase);
    let may_be_prose = !is_bearer || signed.is_some();
    let is_prose = may_be_prose && is_word(text, secret) && !has_capitals;
    let is_secret = !is_prose && !is_plain(text, secret) && !is_link(text, secret);
    is_secret.then_some(secret)
}

/// Whether this is what a server asks for, as in `Bearer realm="a"`.
fn is_challenge(text: &Reader<'_>, begin: usize) -> bool {
    let name = text.skip(begin, is_of_name);
    let quote = text
        .behind(name, "=")
        .and_then(|value| Quote::at(text, value));
    quote.is_some_and(|quote| text.is_at(quote.inside, char::is_alphanumeric))
}

/// The secret of an `Authorization` header, if what begins here is a scheme and a secret.
///
/// Of a scheme that is not known, it cannot be said whether it is one. So it is hidden as well.
pub(super) fn authorization(text: &Reader<'_>, begin: usize) -> Option<Secret> {
    let scheme = Secret::between(begin, text.skip(begin, is_of_name))?;
    let behind = behind_space(text, scheme.end)?;
    let is_known = is_one_of(text.said(scheme), SCHEMES);
    if !is_known && (is_plain(text, scheme) || is_link(text, scheme)) {
        return None;
    }
    let end = if is_pair(text, behind) {
        end_of_pairs(text, behind)
    } else {
        let form = Form::at(text, behind);
        if !is_known && !matches!(form, Form::Bare(_)) {
            return None;
        }
        let secret = form.value(text)?;
        if is_known && !is_plain(text, secret) && !is_link(text, secret) {
            return Some(secret);
        }
        let is_secret = !is_known && !is_word(text, secret) && is_random(text, secret);
        is_secret.then_some(secret.end)?
    };
    Secret::between(if is_known { behind } else { begin }, end)
}

/// Behind the spaces between a scheme and its secret. In a URL they are encoded.
fn behind_space(text: &Reader<'_>, end: usize) -> Option<usize> {
    let spaces = text.skip_spaces(end);
    let spaces = Some(spaces).filter(|spaces| *spaces > end);
    spaces.or_else(|| text.behind_one_of(end, &["%20", "+"]))
}

#[cfg(test)]
mod tests;
