//! Hides secrets in a text, and makes it one line of limited length.
//!
//! | in the text | is shown |
//! | --- | --- |
//! | credentials in a URL: `scheme://user:password@host` | `scheme://<hidden>@host` |
//! | `Bearer xyz`, in an `Authorization` header or elsewhere | `Bearer <hidden>` |
//! | a value with a name that ends with e.g. `password`, `secret` or `token`: `password=x`, `"password":"x"`, `--password x` | the same with the value `<hidden>` |
//! | control characters, line ends and marks that turn the direction of writing | spaces |
//! | what is longer than 4,096 bytes | its beginning |
//!
//! `password: x` is also a value, but `no password: permission denied` is prose. So after a colon and a space only that
//! is hidden which is alone, or does not look like a word. In doubt it is hidden.
//!
//! What cannot be told apart is shown: `http://a:80/b@c` is taken for a host, a port and a path. In a URL a `/` in a
//! password must be written as `%2F` ([RFC 3986, section 3.2.1](https://www.rfc-editor.org/rfc/rfc3986#section-3.2.1)).

use std::borrow::Cow;

use value::value;

/// The longest text that is shown, in bytes.
const MOST: usize = 4096;
/// How much of a text is read, in bytes. Where secrets are hidden, what is behind them moves up.
pub(crate) const MOST_READ: usize = 4 * MOST;
/// What is shown instead of a secret.
const HIDDEN: &str = "<hidden>";
/// The most rounds. A text that was cut off may look different at its end, so it is read again until nothing changes.
const ROUNDS: usize = 8;

/// Names of secrets, in lower case and without `-`, `_` and `.`. A name that ends like one of these is one too.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "credential",
    "credentials",
    "authorization",
];
/// Further names, which are too common in prose to stand before a colon. These are whole names.
const SHORT_NAMES: &[&str] = &["pass", "pw", "sig", "signature", "xamzsignature"];
/// The words between a name and its secret in an `Authorization` header.
const SCHEMES: &[&str] = &["bearer", "basic", "digest", "negotiate", "token", "apikey"];
/// What often stands behind such a name or scheme and is no secret.
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
    "header",
    "invalid",
    "is",
    "missing",
    "none",
    "not",
    "null",
    "of",
    "realm",
    "required",
    "revoked",
    "scheme",
    "token",
    "tokens",
    "true",
    "unknown",
    "was",
];
/// A word that is longer is no word of a language.
const LONGEST_WORD: usize = 20;

/// The text as it may be shown. It is borrowed if nothing has to change.
pub(crate) fn redact(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..ROUNDS {
        match round(&text) {
            Some(next) => text = Cow::Owned(next),
            None => break,
        }
    }
    text
}

/// Once; `None` if nothing changes.
fn round(text: &str) -> Option<String> {
    let read = beginning(text, MOST_READ);
    let secrets = secrets(read, read.len() < text.len());
    let is_fine = |secret: &Secret| &read[secret.begin..secret.end] == HIDDEN;
    if secrets.iter().all(is_fine) && read.len() <= MOST && !read.chars().any(breaks_line) {
        return None;
    }
    let mut shown = String::with_capacity(read.len().min(MOST));
    let mut at = 0;
    for secret in secrets {
        shown.extend(read[at..secret.begin].chars().map(in_line));
        shown.push_str(HIDDEN);
        at = secret.end;
    }
    shown.extend(read[at..].chars().map(in_line));
    shown.truncate(beginning(&shown, MOST).len());
    Some(shown)
}

/// The beginning of a text, of at most this many bytes.
fn beginning(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Whether a character would break the line, or the order in which it is read.
fn breaks_line(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn in_line(c: char) -> char {
    if breaks_line(c) { ' ' } else { c }
}

/// Where a secret is, in bytes.
#[derive(Clone, Copy, Debug)]
struct Secret {
    begin: usize,
    end: usize,
}

/// All secrets of a text, in order. They do not overlap.
fn secrets(text: &str, is_cut: bool) -> Vec<Secret> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(&byte) = text.as_bytes().get(at) {
        let (secret, next) = if text[at..].starts_with("://") {
            (credentials(text, at + 3, is_cut), at + 3)
        } else if is_of_name(byte) {
            let end = end_of(text, at, |c| !c.is_ascii() || !is_of_name(c as u8));
            (named(text, &text[at..end], end), end)
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
            continue;
        };
        at = secret.map_or(next, |secret| secret.end);
        found.extend(secret);
    }
    found
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// The first place from `at` on where a character ends what is there, or the end of the text.
fn end_of(text: &str, at: usize, ends: impl Fn(char) -> bool) -> usize {
    text[at..]
        .find(ends)
        .map_or(text.len(), |length| at + length)
}

fn is_space(c: char) -> bool {
    c.is_whitespace() || breaks_line(c)
}

/// The credentials of a URL, from behind its `://` on.
fn credentials(text: &str, begin: usize, is_cut: bool) -> Option<Secret> {
    let end = end_of(text, begin, |c| is_space(c) || c == '"' || c == '`');
    let url = &text[begin..end];
    let authority = &url[..url.find(['/', '?', '#', '\\']).unwrap_or(url.len())];
    let until = |length| {
        Some(Secret {
            begin,
            end: begin + length,
        })
        .filter(|_| length > 0)
    };
    if let Some(at) = authority.rfind('@') {
        return until(at);
    }
    let (_, last) = authority.rsplit_once(':')?;
    if is_cut && end == text.len() {
        // The `@` may have been cut off.
        return until(url.len());
    }
    // This is no port, nor the end of an IPv6 address, so it may be a password with a slash in it.
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit());
    let is_port = is_number && (last.is_empty() || last.parse::<u16>().is_ok());
    if is_port || last.ends_with(']') {
        None
    } else {
        until(url.rfind('@')?)
    }
}

/// How a value follows its name.
#[derive(Clone, Copy, PartialEq)]
enum Assigned {
    /// `name=value`, `name:value` or `--name value`.
    Surely,
    /// `name: value`, which may be prose.
    Perhaps,
}

/// The secret behind a word that ends at `end`, if that is a name or a scheme.
fn named(text: &str, word: &str, end: usize) -> Option<Secret> {
    if is_one_of(word, &["bearer", "basic"]) {
        let begin = end_of(text, end, |c| !is_space(c));
        let is_sure = word.eq_ignore_ascii_case("bearer");
        let secret =
            value(text, begin).filter(|secret| begin > end && may_be_secret(text, *secret))?;
        let said = &text[secret.begin..secret.end];
        // Base64 has capital letters anywhere.
        let is_prose = is_word(said) && !said.chars().skip(1).any(char::is_uppercase);
        return (is_sure || !is_prose).then_some(secret);
    }
    let is_short = SHORT_NAMES.iter().any(|name| is_called(word, name, true));
    if !is_short && !NAMES.iter().any(|name| is_called(word, name, false)) {
        return None;
    }
    let (begin, assigned) = assignment(text, word, end, is_short)?;
    if let Some(scheme_end) =
        scheme(text, begin).filter(|_| is_called(word, "authorization", false))
    {
        let begin = end_of(text, scheme_end, |c| !is_space(c));
        return value(text, begin).filter(|secret| may_be_secret(text, *secret));
    }
    let secret = value(text, begin)?;
    let is_secret = match assigned {
        Assigned::Surely => true,
        Assigned::Perhaps => {
            secret.begin > begin
                || is_alone(text, secret)
                || !is_word(&text[secret.begin..secret.end])
        }
    };
    (is_secret && may_be_secret(text, secret)).then_some(secret)
}

/// Where the value of a name begins that ends at `end`, and how it is assigned.
fn assignment(text: &str, word: &str, end: usize, is_short: bool) -> Option<(usize, Assigned)> {
    let skip_spaces = |at| end_of(text, at, |c| !is_space(c));
    let sign = skip_spaces(behind_name(text, end));
    let rest = &text[sign..];
    if let Some("%3D" | "%3d" | "%3A" | "%3a") = rest.get(..3) {
        return Some((sign + 3, Assigned::Surely));
    }
    if let Some(after) = rest.strip_prefix('=') {
        let length = if after.starts_with(['=', '>']) { 2 } else { 1 };
        Some((skip_spaces(sign + length), Assigned::Surely))
    } else if rest.starts_with(":=") {
        Some((skip_spaces(sign + 2), Assigned::Surely))
    } else if rest.starts_with(':') && !rest.starts_with("::") && !is_short {
        let begin = skip_spaces(sign + 1);
        let is_sure = begin == sign + 1;
        Some((
            begin,
            if is_sure {
                Assigned::Surely
            } else {
                Assigned::Perhaps
            },
        ))
    } else if word.starts_with("--") && sign > end && !rest.starts_with('-') {
        Some((sign, Assigned::Surely))
    } else {
        None
    }
}

/// Where a name with everything that belongs to it ends: a quote, which may be escaped, and brackets, as in
/// `user[password]` and `password[0]`. In a URL each of these may be encoded.
fn behind_name(text: &str, end: usize) -> usize {
    let quote = end_of(text, end, |c| c != '\\');
    if text[quote..].starts_with(['"', '\'', '`']) {
        return quote + 1;
    }
    let rest = &text[end..];
    let inside = rest.strip_prefix('[').map_or("", |rest| {
        let length = rest.bytes().take_while(|&byte| is_of_name(byte)).count();
        &rest[..length]
    });
    let closed = rest
        .get(1 + inside.len()..)
        .is_some_and(|rest| rest.starts_with(']'));
    match rest.get(..3) {
        _ if rest.starts_with(']') => end + 1,
        _ if rest.starts_with('[') && closed => end + inside.len() + 2,
        Some("%22" | "%27" | "%5D" | "%5d") => end + 3,
        _ => end,
    }
}

/// Where the scheme of an `Authorization` header ends, if there is one and something follows it.
fn scheme(text: &str, begin: usize) -> Option<usize> {
    let end = end_of(text, begin, |c| !c.is_ascii_alphabetic());
    let is_scheme = is_one_of(&text[begin..end], SCHEMES);
    (is_scheme && text[end..].starts_with(is_space)).then_some(end)
}

/// Whether a value is all that is said, and so no prose.
fn is_alone(text: &str, secret: Secret) -> bool {
    let rest = &text[secret.end..];
    rest.is_empty()
        || rest.starts_with([',', ';', ')', ']', '}', '"', '\'', '`', '&'])
        || rest.starts_with(breaks_line)
}

/// Whether this can be a word of a language.
fn is_word(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_alphabetic() || matches!(c, '\'' | '-'))
        && text.len() <= LONGEST_WORD
}

/// Whether a value is none of the words that are known to be no secret.
fn may_be_secret(text: &str, secret: Secret) -> bool {
    !is_one_of(text[secret.begin..secret.end].trim_end_matches('='), PLAIN)
}

fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.iter().any(|other| word.eq_ignore_ascii_case(other))
}

/// Whether a word is this name, or ends with it, however it is written.
fn is_called(word: &str, name: &str, wholly: bool) -> bool {
    let letters = word.bytes().rev().filter(u8::is_ascii_alphanumeric);
    let mut letters = letters.map(|byte| byte.to_ascii_lowercase());
    let ends = name
        .bytes()
        .rev()
        .all(|letter| letters.next() == Some(letter));
    ends && (!wholly || letters.next().is_none())
}

mod value;

#[cfg(test)]
mod tests;
