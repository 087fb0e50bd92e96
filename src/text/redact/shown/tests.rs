use proptest::prelude::*;

use super::super::tests::{FORMS, SECRET};
use super::*;

/// The length of a text in which work that is done anew for each word is seen.
const SOME: usize = 2048;
/// How often each byte may be looked at.
const MOST_WORK: usize = 24;

/// Pieces of which texts with and without secrets are made.
const PIECES: &[&str] = &[
    "password",
    "token",
    "secret",
    "pass",
    "Bearer",
    "bearer",
    "authorization",
    "Cookie",
    "basic",
    "OAuth",
    "IDENTIFIED BY",
    "=",
    ":",
    ": ",
    " ",
    "\n",
    "\\n",
    "\"",
    "\\\"",
    "\\\\\\\"",
    "\\",
    "'",
    "`",
    "://",
    ":\\/\\/",
    "%3A%2F%2F",
    "%40",
    "http",
    "@",
    "/",
    "?",
    "&",
    "; ",
    ";",
    ", ",
    ",",
    ")",
    "]",
    "}",
    "(",
    "(\"",
    "Some(",
    "Some(\n",
    "Secret(",
    "<hidden>",
    "<hidden",
    ">",
    "s3cr3t",
    "word",
    "word two",
    "17",
    "--",
    "-",
    "[",
    "--password",
    "\u{e9}",
    "\u{202e}",
    "\u{200e}",
    "expired",
    "is ",
    "not found",
    "a=b",
    "a=",
    ":=",
    "=>",
    "!=",
    "{",
    " {",
    "Token",
    "Token {",
    "[1",
    "b\"",
    "r#\"",
    "%3D",
    "%22",
    "eyJhbGciOiJIUzI1NiJ9",
    ".",
    ".eyJ",
    "-----BEGIN PRIVATE KEY-----",
    "-----END PRIVATE KEY-----",
    "<password>",
    "</",
    "MIIEvQIBADANBgkqhkiG9w0BAQ",
];

fn any_text() -> impl Strategy<Value = String> {
    let pieces = prop::collection::vec(prop::sample::select(PIECES), 0..24)
        .prop_map(|pieces| pieces.concat());
    prop_oneof![4 => pieces, 1 => any::<String>()]
}

/// A text that is as long as is shown, or somewhat longer.
fn long_text() -> impl Strategy<Value = String> {
    (any_text(), any_text(), 0_usize..40).prop_map(|(before, after, room)| {
        let filler = "x".repeat((MOST - room).saturating_sub(before.len()));
        format!("{before}{filler}{after}")
    })
}

/// A text of a few pieces again and again: work that is done anew for each of them takes very long.
fn repeated_text() -> impl Strategy<Value = String> {
    let pieces = prop::collection::vec(prop::sample::select(PIECES), 1..6);
    (any_text(), pieces, any_text()).prop_map(|(before, pieces, after)| {
        let pieces = pieces.concat();
        let times = SOME / pieces.len();
        format!("{before}{}{after}", pieces.repeat(times))
    })
}

fn with_a_secret() -> impl Strategy<Value = String> {
    let form = prop::sample::select(FORMS);
    let secret = "[a-z0-9+_~]{3,12}[0-9][A-Za-z]{3,6}";
    ("[a-z ]{0,20}", form, secret, "[a-z ]{0,20}").prop_map(|(before, form, secret, after)| {
        let said = form.replace("SECRET", &format!("{SECRET}{secret}"));
        format!("{before} {said} {after}")
    })
}

/// How many bytes are looked at in one round.
fn work(text: &str) -> usize {
    let text = Reader::new(text, false);
    secrets(&text);
    text.visited()
}

#[test]
fn each_byte_is_looked_at_a_few_times() {
    // Each sign begins what might be a URL with a password that ends much later.
    for piece in ["://", "a://b:c/", ":\\/\\/", "%3A%2F%2F"] {
        let text = piece.repeat(MOST_READ / piece.len());
        assert!(
            work(&text) < MOST_WORK * MOST_READ,
            "{piece}: {}",
            work(&text)
        );
    }
    for (one, two) in PIECES
        .iter()
        .flat_map(|one| PIECES.iter().map(move |two| (one, two)))
    {
        let piece = format!("{one}{two}");
        let text = piece.repeat(SOME / piece.len());
        assert!(work(&text) < MOST_WORK * SOME, "{piece:?}: {}", work(&text));
    }
}

proptest! {
    #[test]
    fn it_is_one_line_of_limited_length_and_a_second_time_nothing_changes(text in prop_oneof![9 => any_text(), 1 => long_text(), 1 => repeated_text()]) {
        let shown = redact(&text);
        prop_assert!(shown.len() <= MOST);
        prop_assert!(!shown.chars().any(breaks_line));
        prop_assert_eq!(&redact(&shown), &shown, "{:?}", text);
    }

    #[test]
    fn a_few_rounds_are_enough(text in prop_oneof![9 => any_text(), 1 => long_text(), 1 => repeated_text()]) {
        let first = round(&text);
        let rounds = core::iter::successors(first, |text| round(text)).take(ROUNDS).count();
        prop_assert!(rounds < ROUNDS, "{:?}", text);
    }

    #[test]
    fn no_secret_survives(text in with_a_secret()) {
        let shown = redact(&text);
        prop_assert!(!shown.contains(SECRET), "{}: {}", text, shown);
        prop_assert!(shown.contains(HIDDEN));
    }

    /// Nothing but the secret is lost.
    #[test]
    fn what_is_around_a_secret_stays(before in "[a-z ,]{0,30}", after in "( [a-z ,]{0,30})?") {
        let text = format!("{before} password=x17{after}");
        prop_assert_eq!(redact(&text), format!("{before} password=<hidden>{after}"));
    }

    #[test]
    fn a_text_without_secrets_stays_as_it_is(text in "[a-zA-Z0-9 .,()/_-]{0,200}") {
        // Two of these begin an argument, and a sentence goes on behind it.
        let text = text.replace("--", "-_");
        prop_assume!(!text.to_lowercase().contains("bearer") && !text.to_lowercase().contains("basic"));
        prop_assert_eq!(&*redact(&text), &*text);
    }

    #[test]
    fn the_work_grows_no_faster_than_the_text(text in repeated_text()) {
        prop_assert!(work(&text) < MOST_WORK * text.len(), "{}: {text}", work(&text));
    }
}
