//! Names of secrets.

use super::reader::Reader;

/// Names of secrets, in lower case and without `-`, `_` and `.`. A name that ends like one of these is one too.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "passwordhash",
    "secret",
    "secretstring",
    "secretbinary",
    "token",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "accountkey",
    "sharedkey",
    "signingkey",
    "encryptionkey",
    "masterkey",
    "subscriptionkey",
    "credential",
    "credentials",
];
/// Further names, which are too common in prose to stand before a colon. These are whole names.
const COMMON_NAMES: &[&str] = &[
    "pass",
    "pw",
    "sig",
    "signature",
    "xamzsignature",
    "xgoogsignature",
    "oauthsignature",
    "jwt",
];
/// Those of the common names before which a number is one of things that passed, but `s3cr3t` is a password.
const SHORT_NAMES: &[&str] = &["pass", "pw"];
/// Names behind which what is in quotes is no value: a token of a grammar, and the credentials of somebody.
const NOT_SPOKEN: &[&str] = &["token", "credential", "credentials"];
/// Names of functions and types that take a secret.
const CALLS: &[&str] = &["password", "passwd", "passphrase", "secret", "pwd"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its value is a secret, but for prose.
    Certain,
    /// It is common in prose.
    Common,
    /// Its value is a scheme and a secret.
    Authorization,
    /// Its value is names with secrets.
    Cookie,
}

/// A word that may be the name of a secret.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'a> {
    pub(super) begin: usize,
    pub(super) end: usize,
    pub(super) said: &'a str,
    /// Its last letters and digits, the last one first, in lower case.
    letters: [u8; LETTERS],
    /// How many these are.
    length: usize,
}

/// More than the longest of the names has.
const LETTERS: usize = 24;

impl<'a> Name<'a> {
    pub(super) fn new(text: &Reader<'a>, begin: usize, end: usize) -> Self {
        let said = text.part(begin, end);
        let (mut letters, mut length) = ([0; LETTERS], 0);
        let last = said.bytes().rev().filter(u8::is_ascii_alphanumeric);
        for (place, letter) in letters.iter_mut().zip(last) {
            *place = letter.to_ascii_lowercase();
            length += 1;
        }
        Self {
            begin,
            end,
            said,
            letters,
            length,
        }
    }

    pub(super) fn kind(&self) -> Option<Kind> {
        if self.ends_with("authorization") {
            Some(Kind::Authorization)
        } else if self.ends_with("cookie") {
            Some(Kind::Cookie)
        } else if NAMES.iter().any(|name| self.ends_with(name)) {
            Some(Kind::Certain)
        } else {
            let is_common = COMMON_NAMES.iter().any(|name| self.is(name));
            is_common.then_some(Kind::Common)
        }
    }

    pub(super) fn is_short(&self) -> bool {
        SHORT_NAMES.iter().any(|name| self.is(name))
    }

    /// Whether its value may follow in quotes without a sign between, as in SQL.
    pub(super) fn is_spoken(&self) -> bool {
        let is_one_of = |names: &[&str]| names.iter().any(|name| self.ends_with(name));
        is_one_of(NAMES) && !is_one_of(NOT_SPOKEN)
    }

    /// Whether its value may follow in parentheses: `PASSWORD('x')`, `set_password("x")` and `Secret("x")`, but not
    /// `InvalidPassword("x")`.
    pub(super) fn is_called(&self) -> bool {
        let is_called = |name: &&str| self.is(name) || (self.ends_with(name) && !self.is_type());
        CALLS.iter().any(is_called)
    }

    /// Whether it is written like the name of a type.
    pub(super) fn is_type(&self) -> bool {
        let has = |is: fn(&u8) -> bool| self.said.as_bytes().iter().any(is);
        has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase)
    }

    /// Whether it is an argument of a command.
    pub(super) fn is_argument(&self) -> bool {
        self.said.starts_with("--")
    }

    /// Whether this is the name, however it is written.
    pub(super) fn is(&self, name: &str) -> bool {
        self.length == name.len() && self.ends_with(name)
    }

    fn ends_with(&self, name: &str) -> bool {
        name.len() <= self.length
            && name
                .bytes()
                .rev()
                .eq(self.letters[..name.len()].iter().copied())
    }
}
