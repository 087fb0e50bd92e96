//! How the rules read a text.

#[cfg(test)]
use core::cell::Cell;

/// A text in which secrets are looked for. Whatever looks through more than a few characters does so here.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    all: &'a str,
    /// Whether there was more.
    is_cut: bool,
    /// How many bytes were looked at. A test sees by it that the work grows no faster than the text.
    #[cfg(test)]
    visited: Cell<usize>,
}

/// What is shown instead of a secret.
pub(super) const HIDDEN: &str = "<hidden>";

/// Where a secret is, in bytes. It is not empty.
#[derive(Clone, Copy, Debug)]
pub(super) struct Secret {
    pub(super) begin: usize,
    pub(super) end: usize,
}

impl Secret {
    pub(super) fn between(begin: usize, end: usize) -> Option<Self> {
        (begin < end).then_some(Self { begin, end })
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(all: &'a str, is_cut: bool) -> Self {
        Self {
            all,
            is_cut,
            #[cfg(test)]
            visited: Cell::new(0),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn part(&self, begin: usize, end: usize) -> &'a str {
        &self.all[begin..end]
    }

    pub(super) fn said(&self, secret: Secret) -> &'a str {
        self.part(secret.begin, secret.end)
    }

    /// The character at this place.
    pub(super) fn next(&self, at: usize) -> Option<char> {
        self.all[at..].chars().next()
    }

    /// The character before this place.
    pub(super) fn before(&self, at: usize) -> Option<char> {
        self.all[..at].chars().next_back()
    }

    /// Whether the character at this place is so. At the end of the text there is none.
    pub(super) fn is_at(&self, at: usize, is: impl FnOnce(char) -> bool) -> bool {
        self.next(at).is_some_and(is)
    }

    /// The place behind this word, if it is here. Capital letters do not matter.
    pub(super) fn behind(&self, at: usize, word: &str) -> Option<usize> {
        let here = self.all.as_bytes().get(at..at + word.len())?;
        let is_here = here.eq_ignore_ascii_case(word.as_bytes());
        is_here.then_some(at + word.len())
    }

    /// The place behind the first of these words that is here.
    pub(super) fn behind_one_of(&self, at: usize, words: &[&str]) -> Option<usize> {
        words.iter().find_map(|word| self.behind(at, word))
    }

    /// The place behind a sign that is encoded as in a URL, if one is here.
    pub(super) fn behind_encoded(&self, at: usize) -> Option<usize> {
        let digits = self.behind(at, "%")?;
        let is_digit = |at: usize| {
            self.all
                .as_bytes()
                .get(at)
                .is_some_and(u8::is_ascii_hexdigit)
        };
        (is_digit(digits) && is_digit(digits + 1)).then_some(digits + 2)
    }

    /// The first place from here on where a character is not so.
    pub(super) fn skip(&self, at: usize, is: impl Fn(char) -> bool) -> usize {
        let end = self.all[at..].find(|c| !is(c));
        let end = end.map_or(self.len(), |length| at + length);
        self.visit(end - at);
        end
    }

    pub(super) fn skip_spaces(&self, at: usize) -> usize {
        self.skip(at, is_space)
    }

    /// The same for spaces and line ends that may be escaped, as in `Some(\n    \"x\"`.
    pub(super) fn skip_escaped_spaces(&self, mut at: usize) -> usize {
        loop {
            at = self.skip_spaces(at);
            let letter = self.skip(at, |c| c == '\\');
            if letter == at || !self.is_at(letter, |c| matches!(c, 'n' | 'r' | 't')) {
                return at;
            }
            at = letter + 1;
        }
    }

    /// The first place from here on where this is.
    pub(super) fn find(&self, at: usize, what: &str) -> Option<usize> {
        let found = self.all[at..].find(what).map(|length| at + length);
        self.visit(found.unwrap_or(self.len()) - at);
        found
    }

    /// The last place between these two where this is.
    pub(super) fn find_last(&self, begin: usize, end: usize, what: char) -> Option<usize> {
        self.visit(end - begin);
        self.part(begin, end)
            .rfind(what)
            .map(|length| begin + length)
    }

    /// Whether a place is where the text was cut off. What ends there may be longer.
    pub(super) fn is_cut_at(&self, at: usize) -> bool {
        self.is_cut && at == self.len()
    }

    #[cfg(test)]
    fn visit(&self, bytes: usize) {
        self.visited.set(self.visited.get() + bytes + 1);
    }

    #[cfg(not(test))]
    fn visit(&self, _: usize) {}

    #[cfg(test)]
    pub(super) fn visited(&self) -> usize {
        self.visited.get()
    }
}

/// Whether a character would break the line, or the order in which it is read.
pub(super) fn breaks_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') || turns(c)
}

/// Whether a character turns the direction of writing: all that Unicode calls `Bidi_Control`.
fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a character is shown as a space.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || breaks_line(c)
}

/// Whether a value in no quotes ends here. A mark that turns the direction may be a part of one.
pub(super) fn ends_word(c: char) -> bool {
    is_space(c) && !turns(c)
}

/// Whether a character may be in a name, e.g. `db.user-password` or `api_key`.
pub(super) fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

pub(super) fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'' | '`')
}
