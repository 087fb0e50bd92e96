use super::*;

const PREFIX: &str = "c/";

fn entry(value: &str, revision: i64) -> Entry {
    Entry {
        value: value.into(),
        lease: 0,
        revision,
    }
}

fn changes(all: bool, changed: &[(&str, &str, i64)], removed: &[&str]) -> Changes {
    let entry = |&(key, value, revision): &(&str, &str, i64)| (key.into(), entry(value, revision));
    Changes {
        all,
        changed: changed.iter().map(entry).collect(),
        removed: removed.iter().map(|&key| key.into()).collect(),
        revision: 0,
        as_of: None,
    }
}

/// Values that are numbers, and how often one was parsed.
struct Numbers {
    values: Values<u32>,
    parsed: u32,
}

impl Numbers {
    fn new() -> Self {
        Self {
            values: Values::new(PREFIX.into()),
            parsed: 0,
        }
    }

    /// Takes changes, and returns whether they are published as changes.
    fn take(&mut self, changes: Changes) -> bool {
        self.values.drop_removed(&changes);
        for (key, entry) in changes.changed {
            self.values.put(key, &entry, |_, value| {
                self.parsed += 1;
                let text = from_utf8(value).expect("text");
                text.parse().map_err(|_| format!("{text} is no number"))
            });
        }
        self.values.publish().1
    }

    fn good(&self) -> Vec<(String, u32)> {
        let good = self.values.keys.good();
        good.map(|(name, value)| (name.to_owned(), **value))
            .collect()
    }

    fn rejected(&self) -> Vec<String> {
        let rejected = self.values.keys.rejected();
        rejected
            .map(|(name, why)| format!("{name}: {why}"))
            .collect()
    }
}

fn named(name: &str, value: u32) -> (String, u32) {
    (name.to_owned(), value)
}

#[test]
fn values_have_the_names_of_their_keys_after_the_prefix() {
    let mut numbers = Numbers::new();
    let all = [("c/a", "1", 3), ("c/b/c", "2", 4), ("c/", "3", 5)];
    assert!(numbers.take(changes(true, &all, &[])));
    assert_eq!(
        numbers.good(),
        [named("", 3), named("a", 1), named("b/c", 2)]
    );
    assert!(numbers.take(changes(false, &[("c/a", "7", 6)], &["c/b/c"])));
    assert_eq!(numbers.good(), [named("", 3), named("a", 7)]);
}

#[test]
fn one_bad_value_leaves_the_last_good_one_and_all_others_in_place() {
    let mut numbers = Numbers::new();
    numbers.take(changes(true, &[("c/a", "1", 3), ("c/b", "x", 4)], &[]));
    assert_eq!(numbers.good(), [named("a", 1)], "b never had one");
    assert_eq!(numbers.rejected(), ["b: x is no number"]);
    assert!(numbers.take(changes(false, &[("c/a", "y", 5), ("c/d", "4", 5)], &[])));
    assert_eq!(numbers.good(), [named("a", 1), named("d", 4)]);
    assert_eq!(
        numbers.rejected(),
        ["a: y is no number", "b: x is no number"]
    );
    assert!(numbers.take(changes(false, &[("c/a", "2", 6)], &["c/b"])));
    assert_eq!(numbers.good(), [named("a", 2), named("d", 4)]);
    assert!(numbers.rejected().is_empty());
    // One that is removed takes its last good value along.
    numbers.take(changes(false, &[("c/a", "z", 7)], &[]));
    numbers.take(changes(false, &[], &["c/a"]));
    assert_eq!(numbers.good(), [named("d", 4)]);
    assert!(numbers.rejected().is_empty());
}

#[test]
fn what_is_read_again_is_not_parsed_again_and_is_no_change() {
    let mut numbers = Numbers::new();
    let all = [("c/a", "1", 3), ("c/b", "x", 4)];
    assert!(numbers.take(changes(true, &all, &[])));
    assert_eq!(numbers.parsed, 2);
    assert!(numbers.values.take_rejected().is_some());
    assert!(!numbers.take(changes(true, &all, &[])));
    assert!(!numbers.take(changes(false, &[], &["c/never"])));
    assert_eq!(numbers.parsed, 2);
    assert_eq!(numbers.values.take_rejected(), None, "known");
    // The same value at a later revision may be meant as news, e.g. to reload a file.
    assert!(numbers.take(changes(false, &[("c/a", "1", 5)], &[])));
    // A store that was wiped may have another value at the same revision.
    assert!(numbers.take(changes(true, &[("c/a", "9", 5), ("c/b", "x", 4)], &[])));
    assert_eq!(numbers.good(), [named("a", 9)]);
    assert_eq!(numbers.parsed, 4);
}

#[test]
fn what_is_missing_in_a_list_of_all_is_gone() {
    let mut numbers = Numbers::new();
    numbers.take(changes(true, &[("c/a", "1", 3), ("c/b", "2", 4)], &[]));
    assert!(numbers.take(changes(true, &[("c/b", "2", 4)], &[])));
    assert_eq!(numbers.good(), [named("b", 2)]);
    assert!(numbers.take(changes(true, &[], &[])));
    assert!(!numbers.take(changes(true, &[], &[])));
}

/// Who waits for the first list waits for it also where there is no key.
#[test]
fn the_first_list_is_a_change_even_if_it_is_empty() {
    let mut numbers = Numbers::new();
    assert!(numbers.take(changes(true, &[], &[])));
    assert!(!numbers.take(changes(true, &[], &[])));
}

/// What was taken when the component was stopped in between is published by the next one.
#[test]
fn a_change_is_news_until_it_is_published() {
    let mut numbers = Numbers::new();
    numbers
        .values
        .put("c/a".into(), &entry("1", 3), |_, _| Ok(1));
    assert!(numbers.take(changes(true, &[("c/a", "1", 3)], &[])));
    assert_eq!(numbers.parsed, 0);
    assert!(!numbers.take(changes(true, &[("c/a", "1", 3)], &[])));
}

#[test]
fn keys_that_are_no_text_are_rejected_once() {
    let mut numbers = Numbers::new();
    let key = b"c/\xff".to_vec();
    for is_news in [true, false] {
        let mut all = changes(true, &[("c/a", "1", 3)], &[]);
        all.changed.push((key.clone(), entry("2", 4)));
        assert_eq!(numbers.take(all), is_news);
    }
    assert_eq!(numbers.good(), [named("a", 1)]);
    assert_eq!(numbers.rejected(), ["\u{fffd}: the key is not UTF-8"]);
    let mut gone = changes(false, &[], &[]);
    gone.removed.push(key);
    assert!(numbers.take(gone));
    assert!(numbers.rejected().is_empty());
    let mut all = changes(true, &[], &[]);
    all.changed.push((b"c/\xfe".to_vec(), entry("2", 4)));
    assert!(numbers.take(all));
    assert!(numbers.take(changes(true, &[], &[])), "and they go");
}

#[test]
fn all_rejections_of_a_batch_are_one_line() {
    let mut numbers = Numbers::new();
    numbers.take(changes(true, &[("c/a", "x", 3)], &[]));
    let line = numbers.values.take_rejected();
    assert_eq!(line.as_deref(), Some("a: x is no number"));
    numbers.take(changes(false, &[("c/b", "y", 4), ("c/d", "z", 4)], &[]));
    let line = numbers.values.take_rejected();
    assert_eq!(line.as_deref(), Some("b: y is no number; and 1 more"));
    assert_eq!(numbers.values.take_rejected(), None);
}

#[test]
fn the_note_says_what_is_wrong() {
    let mut numbers = Numbers::new();
    numbers.take(changes(true, &[("c/a", "1", 3)], &[]));
    assert_eq!(numbers.values.note(None), "values: 1");
    numbers.take(changes(false, &[("c/b", "y", 4), ("c/d", "z", 4)], &[]));
    assert_eq!(
        numbers.values.note(Some("etcd is unreachable: no answer")),
        "values: 1; rejected: 2, the first is b: y is no number; not confirmed: etcd is unreachable: no answer"
    );
}
