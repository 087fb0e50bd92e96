//! The notes of components, for status pages.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::policy::ComponentId;
use crate::shell::sync::lock;
use crate::text::redact;

/// The last note of each component.
#[derive(Default)]
pub(crate) struct Notes(Mutex<BTreeMap<ComponentId, Note>>);

struct Note {
    epoch: u64,
    text: Arc<str>,
}

impl Notes {
    /// Sets the note of a component. An empty text removes it.
    pub(crate) fn set(&self, component: ComponentId, epoch: u64, text: &str) {
        let mut notes = lock(&self.0);
        // Notes of an earlier incarnation are ignored.
        if notes.get(&component).is_some_and(|note| note.epoch > epoch) {
            return;
        }
        let text = shortened(text).into();
        notes.insert(component, Note { epoch, text });
    }

    /// The notes of this epoch.
    pub(crate) fn all(&self, epoch: u64) -> BTreeMap<ComponentId, Arc<str>> {
        let notes = lock(&self.0);
        let present = notes
            .iter()
            .filter(|(_, note)| note.epoch == epoch && !note.text.is_empty());
        present
            .map(|(&id, note)| (id, Arc::clone(&note.text)))
            .collect()
    }
}

/// Bounds a note to one short line without secrets, because it is shown on status pages.
fn shortened(text: &str) -> String {
    redact(text).chars().take(LONGEST).collect()
}

const LONGEST: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_of_the_present_incarnation_is_told() {
        let (notes, one) = (Notes::default(), ComponentId(1));
        let get = |id, epoch| notes.all(epoch).get(&id).cloned();
        assert_eq!(get(one, 1), None);
        notes.set(one, 1, "first");
        notes.set(one, 1, "second\nline");
        assert_eq!(get(one, 1).as_deref(), Some("second line"));
        assert_eq!(get(ComponentId(0), 1), None);
        assert_eq!(get(one, 2), None, "that was of an earlier one");
        notes.set(one, 2, "third");
        notes.set(one, 1, "late");
        assert_eq!(get(one, 2).as_deref(), Some("third"));
        notes.set(one, 2, "");
        assert_eq!(get(one, 2), None);
        notes.set(one, 2, &"x".repeat(1_000));
        assert_eq!(get(one, 2).map(|text| text.len()), Some(LONGEST));
        notes.set(one, 2, "at http://user:pw@host");
        assert_eq!(get(one, 2).as_deref(), Some("at http://<hidden>@host"));
    }
}
