//! A copy of all keys below a prefix, made from the pages of a listing and the events of a watch. Pure.

use std::collections::BTreeMap;

use super::copy_check::Digest;
use super::entry::Entry;

/// The copy.
#[derive(Debug, Default)]
pub(crate) struct KeyCopy {
    entries: BTreeMap<Vec<u8>, Entry>,
    /// The keys that were removed since the last call of `take_removed`, with their last state.
    removed: Vec<(Vec<u8>, Entry)>,
    /// The copy holds all changes up to this one.
    revision: i64,
    /// The size of all keys and values.
    bytes: usize,
}

impl KeyCopy {
    pub(crate) fn entries(&self) -> &BTreeMap<Vec<u8>, Entry> {
        &self.entries
    }

    pub(crate) fn revision(&self) -> i64 {
        self.revision
    }

    /// The size of all keys and values.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the keys that were removed since the last call, with their last state.
    pub(crate) fn take_removed(&mut self) -> Vec<(Vec<u8>, Entry)> {
        core::mem::take(&mut self.removed)
    }

    /// Takes a change of a key.
    ///
    /// `version` counts the changes of the key, and is 0 if the key was removed. (The type of an event is not used,
    /// because the library panics on a type that it does not know.)
    pub(crate) fn changed(&mut self, key: Vec<u8>, version: i64, entry: Entry) {
        self.revision = self.revision.max(entry.revision);
        if let Some((key, entry)) = self.entries.remove_entry(&key) {
            self.bytes -= size(&key, &entry);
            if version == 0 {
                self.removed.push((key, entry));
            }
        }
        if version != 0 {
            self.bytes += size(&key, &entry);
            self.entries.insert(key, entry);
        }
    }

    /// The digest of the keys.
    pub(crate) fn digest(&self) -> Digest {
        let newest = self.entries.values().map(|entry| entry.revision).max();
        Digest::of(self.entries.len() as i64, newest)
    }
}

/// What has changed in a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyChanges {
    /// The copy was made anew; the changes in between are unknown.
    Anew,
    /// Keys changed.
    Changed,
    /// Nothing changed, and the copy is newer than before.
    Confirmed,
}

impl KeyChanges {
    /// Combines two values for a reader that looks only once. `Anew` is never lost.
    pub(crate) fn and(self, later: Self) -> Self {
        match (self, later) {
            (Self::Anew, _) | (_, Self::Anew) => Self::Anew,
            (Self::Changed, _) | (_, Self::Changed) => Self::Changed,
            (Self::Confirmed, Self::Confirmed) => Self::Confirmed,
        }
    }
}

/// A copy that is being made, page by page.
#[derive(Debug)]
pub(crate) struct Listing {
    /// Where the next page begins.
    from: Vec<u8>,
    end: Vec<u8>,
    entries: BTreeMap<Vec<u8>, Entry>,
    /// The revision of all pages; 0 before the first page.
    revision: i64,
    /// The size of all keys and values so far.
    bytes: usize,
    /// How many keys there are in total, as far as a page has shown.
    total: usize,
}

impl Listing {
    /// A listing of all keys below a prefix. The prefix is text, so it contains no byte 255.
    pub(crate) fn new(prefix: &str) -> Self {
        let from = prefix.as_bytes().to_owned();
        let mut end = from.clone();
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        Self {
            from,
            end,
            entries: BTreeMap::new(),
            revision: 0,
            bytes: 0,
            total: 0,
        }
    }

    /// Where the next page begins.
    pub(crate) fn from(&self) -> &[u8] {
        &self.from
    }

    /// The first key beyond the last page.
    pub(crate) fn end(&self) -> &[u8] {
        &self.end
    }

    /// The revision of the next page; 0 for the newest.
    pub(crate) fn revision(&self) -> i64 {
        self.revision
    }

    /// Takes a page of the store at this revision, in the order of the keys. Returns `true` if there is another page.
    ///
    /// An empty page counts as the last one, because otherwise it would be requested for ever.
    pub(crate) fn page(
        &mut self,
        revision: i64,
        keys: impl IntoIterator<Item = (Vec<u8>, Entry)>,
        more: bool,
    ) -> bool {
        // The first page determines the revision of the others.
        if self.revision == 0 {
            self.revision = revision;
        }
        let mut last = None;
        for (key, entry) in keys {
            last = Some(key.clone());
            self.bytes += size(&key, &entry);
            self.entries.insert(key, entry);
        }
        let Some(mut after) = last.filter(|_| more) else {
            return false;
        };
        after.push(0);
        self.from = after;
        true
    }

    /// Notes how many keys there are from the begin of the next page on. Each page shows this.
    pub(crate) fn announced(&mut self, keys: i64) {
        let keys = usize::try_from(keys).unwrap_or_default();
        self.total = self.entries.len().saturating_add(keys);
    }

    /// The number of keys, as far as it is known.
    pub(crate) fn keys(&self) -> usize {
        self.total.max(self.entries.len())
    }

    /// The size of all keys and values so far.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The revision at which the watch must begin.
    pub(crate) fn watched_from(&self) -> i64 {
        self.revision.saturating_add(1)
    }

    /// Makes the copy when all pages were taken.
    pub(crate) fn finish(self) -> KeyCopy {
        KeyCopy {
            entries: self.entries,
            removed: Vec::new(),
            revision: self.revision,
            bytes: self.bytes,
        }
    }
}

fn size(key: &[u8], entry: &Entry) -> usize {
    key.len() + entry.value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_was_made_anew_is_told_whatever_comes_with_it() {
        let (anew, changed, confirmed) =
            (KeyChanges::Anew, KeyChanges::Changed, KeyChanges::Confirmed);
        for other in [anew, changed, confirmed] {
            assert_eq!(anew.and(other), anew);
            assert_eq!(other.and(anew), anew);
        }
        assert_eq!(changed.and(confirmed), changed);
        assert_eq!(confirmed.and(changed), changed);
        assert_eq!(confirmed.and(confirmed), confirmed);
    }

    fn entry(value: &str, revision: i64) -> Entry {
        Entry {
            value: value.into(),
            lease: 7,
            revision,
        }
    }

    fn key(name: &str, revision: i64) -> (Vec<u8>, Entry) {
        (name.into(), entry(name, revision))
    }

    /// With two keys, as of a revision.
    fn copy() -> KeyCopy {
        let mut listing = Listing::new("p/");
        assert!(!listing.page(9, [key("p/a", 3), key("p/b", 5)], false));
        listing.finish()
    }

    #[test]
    fn a_listing_is_of_the_revision_of_its_first_page_and_goes_on_after_the_last_key() {
        let mut listing = Listing::new("p/");
        assert_eq!((listing.from(), listing.end()), (&b"p/"[..], &b"p0"[..]));
        assert_eq!(listing.revision(), 0, "the newest");
        assert!(listing.page(9, [key("p/a", 3), key("p/b", 5)], true));
        assert_eq!((listing.from(), listing.end()), (&b"p/b\0"[..], &b"p0"[..]));
        assert_eq!(listing.revision(), 9);
        // The store has gone on meanwhile.
        assert!(!listing.page(12, [key("p/c", 4)], false));
        assert_eq!((listing.revision(), listing.watched_from()), (9, 10));
        let copy = listing.finish();
        let all = [key("p/a", 3), key("p/b", 5), key("p/c", 4)];
        assert_eq!(copy.entries(), &BTreeMap::from(all));
        assert_eq!(copy.revision(), 9);
    }

    #[test]
    fn a_page_without_a_key_is_the_last() {
        for more in [false, true] {
            let mut listing = Listing::new("p/");
            assert!(!listing.page(9, [], more), "{more}");
            assert_eq!(listing.finish().digest(), Digest::of(0, None));
        }
    }

    #[test]
    fn a_key_that_is_put_takes_the_place_of_what_was_there() {
        let mut copy = copy();
        copy.changed(b"p/a".to_vec(), 2, entry("new", 10));
        copy.changed(b"p/c".to_vec(), 1, entry("c", 11));
        let all = [
            (b"p/a".to_vec(), entry("new", 10)),
            key("p/b", 5),
            (b"p/c".to_vec(), entry("c", 11)),
        ];
        assert_eq!(copy.entries(), &BTreeMap::from(all));
        assert_eq!(copy.revision(), 11);
        assert_eq!(copy.take_removed(), []);
    }

    #[test]
    fn a_key_that_is_removed_is_told_once_as_it_last_was() {
        let mut copy = copy();
        copy.changed(b"p/a".to_vec(), 0, entry("", 10));
        assert_eq!(copy.entries(), &BTreeMap::from([key("p/b", 5)]));
        assert_eq!(copy.revision(), 10);
        // It came and went before it was seen.
        copy.changed(b"p/x".to_vec(), 0, entry("", 12));
        assert_eq!(copy.revision(), 12);
        copy.changed(b"p/b".to_vec(), 0, entry("", 13));
        assert_eq!(copy.take_removed(), [key("p/a", 3), key("p/b", 5)]);
        assert_eq!(copy.take_removed(), []);
    }

    #[test]
    fn the_size_is_that_of_all_keys_and_values() {
        let mut listing = Listing::new("p/");
        listing.page(9, [key("p/a", 3), key("p/b", 5)], true);
        assert_eq!((listing.keys(), listing.bytes()), (2, 12));
        listing.announced(40);
        assert_eq!((listing.keys(), listing.bytes()), (42, 12));
        for nonsense in [0, -1] {
            listing.announced(nonsense);
            assert_eq!(listing.keys(), 2);
        }
        listing.page(9, [key("p/c", 5)], false);
        assert_eq!((listing.keys(), listing.bytes()), (3, 18));
        let mut copy = listing.finish();
        assert_eq!(copy.bytes(), 18);
        copy.changed(b"p/a".to_vec(), 2, entry("longer than before", 10));
        assert_eq!(copy.bytes(), 18 - 3 + 18);
        copy.changed(b"p/d".to_vec(), 1, entry("", 11));
        assert_eq!(copy.bytes(), 33 + 3);
        for gone in ["p/a", "p/b", "p/c", "p/d", "p/never"] {
            copy.changed(gone.into(), 0, entry("", 12));
        }
        assert_eq!((copy.bytes(), copy.digest().count), (0, 0));
    }

    /// The changes of one revision may come in any order.
    #[test]
    fn the_revision_never_goes_back() {
        let mut copy = copy();
        copy.changed(b"p/a".to_vec(), 2, entry("a", 8));
        assert_eq!(copy.revision(), 9);
        copy.changed(b"p/b".to_vec(), 0, entry("", 8));
        assert_eq!(copy.revision(), 9);
    }

    #[test]
    fn two_states_are_told_apart_by_how_many_keys_there_are_and_which_is_the_newest() {
        assert_eq!(KeyCopy::default().digest(), Digest::of(0, None));
        let mut copy = copy();
        assert_eq!(copy.digest(), Digest::of(2, Some(5)));
        copy.changed(b"p/a".to_vec(), 2, entry("a", 10));
        assert_eq!(copy.digest(), Digest::of(2, Some(10)));
        copy.changed(b"p/a".to_vec(), 0, entry("", 11));
        assert_eq!(copy.digest(), Digest::of(1, Some(5)));
    }
}
