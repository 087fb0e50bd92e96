//! What components have to say of themselves, for status pages.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::lock;
use crate::policy::ComponentId;

/// The last word of each component.
#[derive(Default)]
pub(super) struct Notes(Mutex<BTreeMap<ComponentId, Note>>);

struct Note {
    epoch: u64,
    text: Arc<str>,
}

impl Notes {
    /// An empty text takes the last one back.
    pub(super) fn take(&self, component: ComponentId, epoch: u64, text: &str) {
        let mut notes = lock(&self.0);
        // Who has been replaced has nothing more to say.
        if notes.get(&component).is_some_and(|note| note.epoch > epoch) {
            return;
        }
        let text = shortened(text).into();
        notes.insert(component, Note { epoch, text });
    }

    /// What a component has said in this epoch.
    pub(super) fn get(&self, component: ComponentId, epoch: u64) -> Option<Arc<str>> {
        let notes = lock(&self.0);
        let note = notes.get(&component).filter(|note| note.epoch == epoch);
        note.map(|note| Arc::clone(&note.text))
            .filter(|text| !text.is_empty())
    }
}

impl Notes {
    /// All of this epoch.
    #[cfg(feature = "http")]
    pub(super) fn all(
        &self,
        epoch: u64,
        name: impl Fn(ComponentId) -> String,
    ) -> BTreeMap<String, String> {
        let notes = lock(&self.0);
        let present = notes
            .iter()
            .filter(|(_, note)| note.epoch == epoch && !note.text.is_empty());
        present
            .map(|(&id, note)| (name(id), note.text.to_string()))
            .collect()
    }
}

/// It goes onto status pages: one line, and not a long one.
fn shortened(text: &str) -> String {
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(LONGEST).collect()
}

const LONGEST: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_of_the_present_incarnation_is_told() {
        let (notes, one) = (Notes::default(), ComponentId(1));
        assert_eq!(notes.get(one, 1), None);
        notes.take(one, 1, "first");
        notes.take(one, 1, "second\nline");
        assert_eq!(notes.get(one, 1).as_deref(), Some("second line"));
        assert_eq!(notes.get(ComponentId(0), 1), None);
        assert_eq!(notes.get(one, 2), None, "that was of an earlier one");
        notes.take(one, 2, "third");
        notes.take(one, 1, "late");
        assert_eq!(notes.get(one, 2).as_deref(), Some("third"));
        notes.take(one, 2, "");
        assert_eq!(notes.get(one, 2), None);
        notes.take(one, 2, &"x".repeat(1_000));
        assert_eq!(notes.get(one, 2).map(|text| text.len()), Some(LONGEST));
    }
}
