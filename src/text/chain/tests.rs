use proptest::prelude::*;

use super::*;

fn chain(texts: &[&str]) -> String {
    let mut text = String::new();
    for source in texts {
        add_source(&mut text, source);
    }
    text
}

#[test]
fn what_an_error_has_said_its_source_does_not_say_again() {
    for (texts, all) in [
        (&["query failed", "refused"][..], "query failed: refused"),
        (&["connect: refused", "refused"], "connect: refused"),
        (
            &["connect", "connect: refused", "refused"],
            "connect: refused",
        ),
        (
            &["error connecting", "error connecting: refused"],
            "error connecting: refused",
        ),
        (&["a: b", "b: c", "c: d"], "a: b: c: d"),
        (&["a: b: c", "b: c: d"], "a: b: c: d"),
        (&["refused", "refused"], "refused"),
        (&["no answer (refused)", "refused"], "no answer (refused)"),
        (&["said \"no\"", "no"], "said \"no\""),
        (&["it failed.", "it failed"], "it failed."),
        (&["a", "", "b"], "a: b"),
        (&["", "b"], "b"),
        (&[""], ""),
        (&[], ""),
        // A part of a word, or a text in the middle, is something else.
        (&["it was refused", "used"], "it was refused: used"),
        (&["refused twice", "refused"], "refused twice: refused"),
        (&["io", "ion"], "io: ion"),
        (&["the io", "io error"], "the io: io error"),
    ] {
        assert_eq!(chain(texts), all, "{texts:?}");
    }
}

/// Several errors of one type that show their sources.
#[test]
fn a_part_that_repeats_the_one_before_it_is_left_out() {
    for (text, once) in [
        (
            "error connecting: error connecting: refused",
            "error connecting: refused",
        ),
        ("a: a: a", "a"),
        ("a: b: a: b", "a: b: a: b"),
        ("ab: b", "ab: b"),
        ("a:a", "a:a"),
        ("", ""),
    ] {
        let mut said = text.to_owned();
        say_once(&mut said);
        assert_eq!(said, once);
    }
}

proptest! {
    /// The text so far stays, and the source is in the whole text.
    #[test]
    fn nothing_is_lost(texts in prop::collection::vec("[ab]{0,2}(: [ab]{1,2}){0,2}", 0..5)) {
        let mut text = String::new();
        for source in &texts {
            let before = text.clone();
            add_source(&mut text, source);
            prop_assert!(text.starts_with(&before));
            prop_assert!(text.ends_with(source.as_str()), "{:?}: {:?}", texts, text);
            // A second time it adds nothing.
            let once = text.clone();
            add_source(&mut text, source);
            prop_assert_eq!(&text, &once);
        }
    }
}
