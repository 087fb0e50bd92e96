//! What the reader of a copy does not have yet. Pure.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::etcd::records::{Entry, KeyChanges};

/// The changes that lead from what the reader has to the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Changes {
    /// These are all keys: others that the reader has are gone.
    pub(crate) all: bool,
    pub(crate) changed: Vec<(Vec<u8>, Entry)>,
    pub(crate) removed: Vec<Vec<u8>>,
    /// The copy contains all changes up to this revision, and up to this moment.
    pub(crate) revision: i64,
    pub(crate) as_of: Option<Duration>,
}

/// The keys that the reader has, each with the revision of its last change.
#[derive(Debug, Default)]
pub(crate) struct Sent(BTreeMap<Vec<u8>, i64>);

impl Sent {
    /// The changes to send. They count as sent.
    ///
    /// If the copy was made anew, all keys are sent: the store may be another one, with other values at the same
    /// revisions.
    pub(crate) fn changes(
        &mut self,
        entries: &BTreeMap<Vec<u8>, Entry>,
        news: KeyChanges,
        revision: i64,
        as_of: Option<Duration>,
    ) -> Changes {
        let all = news == KeyChanges::Anew;
        let is_new =
            |(key, entry): &(&Vec<u8>, &Entry)| all || self.0.get(*key) != Some(&entry.revision);
        let changed: Vec<(Vec<u8>, Entry)> = entries
            .iter()
            .filter(is_new)
            .map(|(key, entry)| (key.clone(), entry.clone()))
            .collect();
        let is_gone = |key: &&Vec<u8>| !entries.contains_key(*key);
        let removed: Vec<Vec<u8>> = self.0.keys().filter(is_gone).cloned().collect();
        for key in &removed {
            self.0.remove(key);
        }
        for (key, entry) in &changed {
            self.0.insert(key.clone(), entry.revision);
        }
        Changes {
            all,
            changed,
            removed,
            revision,
            as_of,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries<const N: usize>(keys: [(&str, i64); N]) -> BTreeMap<Vec<u8>, Entry> {
        let entry = |(key, revision): (&str, i64)| {
            let entry = Entry {
                value: format!("{key}@{revision}").into(),
                lease: 0,
                revision,
            };
            (key.into(), entry)
        };
        keys.map(entry).into()
    }

    /// The keys that are sent, and those that are removed.
    fn sent(changes: &Changes) -> (Vec<(String, i64)>, Vec<String>) {
        let text = |key: &Vec<u8>| String::from_utf8(key.clone()).expect("text");
        let changed = changes.changed.iter();
        let changed = changed.map(|(key, entry)| (text(key), entry.revision));
        let removed = changes.removed.iter().map(text);
        (changed.collect(), removed.collect())
    }

    #[test]
    fn only_what_is_new_is_sent() {
        let mut reader = Sent::default();
        let first = reader.changes(&entries([("a", 3), ("b", 5)]), KeyChanges::Anew, 9, None);
        assert_eq!(sent(&first).0, [("a".into(), 3), ("b".into(), 5)]);
        assert!(first.all && first.revision == 9);
        let then = entries([("a", 3), ("c", 11), ("d", 12)]);
        let changes = reader.changes(&then, KeyChanges::Changed, 13, Some(Duration::ZERO));
        let changed = vec![("c".into(), 11), ("d".into(), 12)];
        assert_eq!(sent(&changes), (changed, vec!["b".into()]));
        assert!(!changes.all && changes.as_of == Some(Duration::ZERO));
        let again = reader.changes(&then, KeyChanges::Confirmed, 13, None);
        assert_eq!(sent(&again), (vec![], vec![]));
        let changed = entries([("a", 14), ("c", 11), ("d", 12)]);
        let changes = reader.changes(&changed, KeyChanges::Changed, 14, None);
        assert_eq!(sent(&changes), (vec![("a".into(), 14)], vec![]));
    }

    /// A store that was wiped may have come to the same revision with another value.
    #[test]
    fn after_the_copy_was_made_anew_everything_is_sent() {
        let mut reader = Sent::default();
        let all = entries([("a", 3), ("b", 5)]);
        reader.changes(&all, KeyChanges::Anew, 9, None);
        let again = reader.changes(&all, KeyChanges::Anew, 9, None);
        assert!(again.all);
        assert_eq!(sent(&again).0.len(), 2);
        let again = reader.changes(&all, KeyChanges::Confirmed, 9, None);
        assert_eq!(sent(&again), (vec![], vec![]));
    }
}
