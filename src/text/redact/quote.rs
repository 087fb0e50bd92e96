//! Quotes, which may be escaped, and what is in them.

use super::reader::{Reader, is_quote, is_space};

/// A quote that opens.
///
/// A text that is quoted again has backslashes before its quotes: `\"a\"`, and after one more time `\\\"a\\\"`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quote {
    pub(super) sign: char,
    /// How many backslashes stand before it.
    slashes: usize,
    /// Where its inside begins.
    pub(super) inside: usize,
}

/// Where the inside of quotes ends, and where the text goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closed {
    pub(super) inside: usize,
    pub(super) behind: usize,
}

impl Quote {
    /// The quote at this place, if there is one.
    pub(super) fn at(text: &Reader<'_>, at: usize) -> Option<Self> {
        let place = text.skip(at, |c| c == '\\');
        let sign = text.next(place).filter(|c| is_quote(*c))?;
        Some(Self {
            sign,
            slashes: place - at,
            inside: place + 1,
        })
    }

    /// Where it closes. If it does not, that is at the end of the text.
    pub(super) fn close(self, text: &Reader<'_>) -> Closed {
        let mut at = self.inside;
        loop {
            let place = text.skip(at, |c| c != self.sign);
            if place == text.len() {
                return Closed {
                    inside: place,
                    behind: place,
                };
            }
            let before = text.part(at, place);
            let slashes = before.len() - before.trim_end_matches('\\').len();
            at = place + 1;
            if self.is_closed_behind(slashes) && !self.goes_on(text, &mut at) {
                return Closed {
                    inside: place - slashes.min(self.slashes),
                    behind: at,
                };
            }
        }
    }

    /// Whether this quote is closed by one behind so many backslashes.
    ///
    /// A quote that is a part of the inside has one backslash more, and that with the quote is escaped as often as the
    /// opening quote was. So are backslashes of the inside. With fewer backslashes it is the quote around this one.
    fn is_closed_behind(self, slashes: usize) -> bool {
        slashes < self.slashes || slashes % (2 * self.slashes + 2) == self.slashes
    }

    /// Whether what is behind a quote is still inside: many a program writes quotes around a value without escaping
    /// those that are in it. SQL doubles these.
    fn goes_on(self, text: &Reader<'_>, at: &mut usize) -> bool {
        if self.slashes == 0 && text.is_at(*at, |c| c == self.sign) {
            let goes_on = text.is_at(*at + 1, |c| !is_space(c) && !is_quote(c) && !closes(c));
            *at += usize::from(goes_on);
            return goes_on;
        }
        text.is_at(*at, char::is_alphanumeric)
    }
}

/// Whether a sign closes, or separates.
pub(super) fn closes(c: char) -> bool {
    matches!(c, ',' | ';' | '.' | ':' | ')' | ']' | '}' | '\\' | '&')
}

/// Whether a letter may stand right before quotes, as in `b"x"`.
pub(super) fn is_of_prefix(c: char) -> bool {
    matches!(c, 'b' | 'B' | 'c' | 'f' | 'F' | 'r' | 'R' | 'u' | 'U')
}

/// The quote that begins here, or behind `b`, `r#` and the like.
pub(super) fn quote_at(text: &Reader<'_>, at: usize) -> Option<Quote> {
    let letters = text.skip(at, is_of_prefix);
    let signs = text.skip(letters, |c| c == '#');
    Quote::at(text, signs).filter(|_| letters - at <= 2)
}
