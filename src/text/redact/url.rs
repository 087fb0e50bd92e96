//! Credentials in URLs: `scheme://user:password@host`.

use super::reader::{Reader, Secret, ends_word};

/// What ends the host, where a URL is encoded.
const ENCODED_ENDS: &[&str] = &["%2F", "%3F", "%23"];

/// A stretch of a text without spaces. It is kept, because it may have many places that look like the begin of a URL.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stretch {
    begin: usize,
    end: usize,
    last_at: Option<usize>,
}

impl Stretch {
    /// That which this place is in, from there on.
    fn around(self, text: &Reader<'_>, begin: usize) -> Self {
        if (self.begin..self.end).contains(&begin) {
            return self;
        }
        let end = end_of(text, begin, |_| false);
        let last_at = text.find_last(begin, end, '@');
        Self {
            begin,
            end,
            last_at,
        }
    }
}

/// Where a URL goes on behind the signs that begin here. They may be escaped: `:\/\/`.
pub(super) fn behind_scheme(text: &Reader<'_>, at: usize) -> Option<usize> {
    let slash = |at| text.behind(text.skip(at, |c| c == '\\'), "/");
    slash(slash(text.behind(at, ":")?)?)
}

/// The same in a URL that is a parameter of another one.
pub(super) fn behind_encoded_scheme(text: &Reader<'_>, at: usize) -> Option<usize> {
    text.behind(at, "%3A%2F%2F")
}

/// The credentials of a URL, from behind its scheme on.
pub(super) fn credentials(
    text: &Reader<'_>,
    begin: usize,
    stretch: &mut Stretch,
) -> Option<Secret> {
    let end = end_of(text, begin, |c| matches!(c, '/' | '?' | '#' | '\\'));
    if text.is_cut_at(end) {
        // The `@` may have been cut off.
        return Secret::between(begin, end);
    }
    if let Some(at) = text.find_last(begin, end, '@') {
        return Secret::between(begin, at);
    }
    let (_, last) = text.part(begin, end).rsplit_once(':')?;
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit());
    if (is_number && last.parse::<u16>().is_ok()) || last.ends_with(']') {
        return None;
    }
    // This is no port, nor the end of an IPv6 address, so it may be a password with a slash in it.
    *stretch = stretch.around(text, begin);
    let end = if text.is_cut_at(stretch.end) {
        stretch.end
    } else {
        stretch.last_at?
    };
    Secret::between(begin, end)
}

/// The credentials of a URL that is encoded.
pub(super) fn encoded_credentials(text: &Reader<'_>, begin: usize) -> Option<Secret> {
    let (mut at, mut last_at) = (begin, None);
    loop {
        at = end_of(text, at, |c| matches!(c, '%' | '@' | '&' | '/' | '?' | '#'));
        if text.is_cut_at(at) {
            return Secret::between(begin, at);
        }
        if let Some(behind) = text.behind_one_of(at, &["%40", "@"]) {
            last_at = Some(at);
            at = behind;
        } else if text.behind_one_of(at, ENCODED_ENDS).is_none() && text.is_at(at, |c| c == '%') {
            at += 1;
        } else {
            return Secret::between(begin, last_at?);
        }
    }
}

/// Where a URL, or a part of it, ends: at a space, at a quote, or where it is said. A quote that a letter follows is a
/// part of it.
fn end_of(text: &Reader<'_>, mut at: usize, is_end: impl Fn(char) -> bool) -> usize {
    let is_quote = |c| matches!(c, '"' | '`');
    loop {
        at = text.skip(at, |c| !ends_word(c) && !is_quote(c) && !is_end(c));
        let is_inside = text.is_at(at, is_quote) && text.is_at(at + 1, char::is_alphanumeric);
        if !is_inside {
            return at;
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests;
