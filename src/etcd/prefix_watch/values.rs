//! The parsed values below a prefix. A value that cannot be parsed leaves the last good one in place. Pure.

use core::str::from_utf8;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::changes::Changes;
use crate::etcd::basics::{of_bytes, shorten};
use crate::etcd::records::Entry;

/// The values, by the part of the key after the prefix.
pub(crate) struct Values<T> {
    prefix: String,
    keys: Arc<Keys<T>>,
    /// Whether the keys have changed since they were last published. The first list is a change, even if it is empty.
    changed: bool,
    /// The values that were rejected since that was last logged.
    rejected: Vec<Rejection>,
}

/// What is known of each key. The maps are ordered, so that readers see the order of etcd.
pub(crate) struct Keys<T> {
    pub(crate) named: BTreeMap<Arc<str>, Arc<Key<T>>>,
    /// The keys that are not UTF-8, as text.
    pub(crate) unnamed: BTreeMap<Vec<u8>, Arc<str>>,
}

/// One key.
pub(crate) struct Key<T> {
    /// The last value that could be parsed, if there was one.
    pub(crate) value: Option<Arc<T>>,
    /// Why the present value was rejected, if it was.
    pub(crate) rejected: Option<Arc<str>>,
    /// What was last read, so that the same is not parsed again.
    revision: i64,
    hash: u64,
}

/// A value that was rejected: the name of the key, and why.
pub(crate) type Rejection = (Arc<str>, Arc<str>);

impl<T> Values<T> {
    pub(crate) fn new(prefix: String) -> Self {
        Self {
            prefix,
            keys: Arc::new(Keys {
                named: BTreeMap::new(),
                unnamed: BTreeMap::new(),
            }),
            changed: true,
            rejected: Vec::new(),
        }
    }

    /// Drops the keys that are gone.
    pub(crate) fn drop_removed(&mut self, changes: &Changes) {
        if changes.all {
            let kept: BTreeSet<&[u8]> = changes.changed.iter().map(|(key, _)| &**key).collect();
            let gone: Vec<Vec<u8>> = self.known().filter(|key| !kept.contains(&**key)).collect();
            self.remove(&gone);
        } else {
            self.remove(&changes.removed);
        }
    }

    /// All keys that are known.
    fn known(&self) -> impl Iterator<Item = Vec<u8>> {
        let named = self.keys.named.keys();
        let named = named.map(|name| format!("{}{name}", self.prefix).into_bytes());
        named.chain(self.keys.unnamed.keys().cloned())
    }

    fn remove(&mut self, gone: &[Vec<u8>]) {
        for key in gone {
            let keys = Arc::make_mut(&mut self.keys);
            match name(&self.prefix, key) {
                Ok(name) => self.changed |= keys.named.remove(name).is_some(),
                Err(_) => self.changed |= keys.unnamed.remove(key).is_some(),
            }
        }
    }

    /// Takes the present value of a key.
    pub(crate) fn put(
        &mut self,
        key: Vec<u8>,
        entry: &Entry,
        parse: impl FnOnce(&str, &[u8]) -> Result<T, String>,
    ) {
        let name = match name(&self.prefix, &key) {
            Ok(name) => name,
            Err(text) if self.keys.unnamed.contains_key(&key) => return drop(text),
            Err(text) => {
                let text: Arc<str> = text.into();
                self.rejected.push((Arc::clone(&text), NOT_TEXT.into()));
                Arc::make_mut(&mut self.keys).unnamed.insert(key, text);
                self.changed = true;
                return;
            }
        };
        let known = self.keys.named.get_key_value(name);
        let hash = of_bytes(entry.value.iter().copied());
        if known.is_some_and(|(_, known)| (known.revision, known.hash) == (entry.revision, hash)) {
            return;
        }
        let last = known.and_then(|(_, known)| known.value.clone());
        let name: Arc<str> = known.map_or_else(|| name.into(), |(name, _)| Arc::clone(name));
        let (value, rejected) = match parse(&name, &entry.value) {
            Ok(value) => (Some(Arc::new(value)), None),
            Err(why) => {
                let why: Arc<str> = shorten(&why).into();
                self.rejected.push((Arc::clone(&name), Arc::clone(&why)));
                (last, Some(why))
            }
        };
        let key = Key {
            value,
            rejected,
            revision: entry.revision,
            hash,
        };
        Arc::make_mut(&mut self.keys)
            .named
            .insert(name, Arc::new(key));
        self.changed = true;
    }

    /// The keys, and whether they have changed since the last call.
    pub(crate) fn publish(&mut self) -> (Arc<Keys<T>>, bool) {
        let changed = core::mem::take(&mut self.changed);
        (Arc::clone(&self.keys), changed)
    }

    /// What to log of the values that were rejected since the last call. One line, because there may be very many.
    pub(crate) fn take_rejected(&mut self) -> Option<String> {
        let rejected = core::mem::take(&mut self.rejected);
        let (name, why) = rejected.first()?;
        let more = match rejected.len() - 1 {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        Some(format!("{}: {why}{more}", shorten(name)))
    }

    /// A note for status pages.
    pub(crate) fn note(&self, trouble: Option<&str>) -> String {
        let mut note = format!("values: {}", self.keys.good().count());
        let rejected = self.keys.rejected().count();
        if let Some((name, why)) = self.keys.rejected().next() {
            note += &format!("; rejected: {rejected}, the first is {name}: {why}");
        }
        if let Some(trouble) = trouble {
            note += &format!("; not confirmed: {trouble}");
        }
        note
    }
}

impl<T> Keys<T> {
    /// The values, each the last one that could be parsed.
    pub(crate) fn good(&self) -> impl Iterator<Item = (&str, &Arc<T>)> {
        let named = self.named.iter();
        named.filter_map(|(name, key)| Some((&**name, key.value.as_ref()?)))
    }

    /// The keys whose present value was rejected, each with the reason.
    pub(crate) fn rejected(&self) -> impl Iterator<Item = (&str, &str)> {
        let named = self.named.iter();
        let named = named.filter_map(|(name, key)| Some((&**name, key.rejected.as_deref()?)));
        let unnamed = self.unnamed.values().map(|name| (&**name, NOT_TEXT));
        named.chain(unnamed)
    }
}

/// Not derived, because it needs no clone of a value.
impl<T> Clone for Keys<T> {
    fn clone(&self) -> Self {
        Self {
            named: self.named.clone(),
            unnamed: self.unnamed.clone(),
        }
    }
}

/// The part of a key after the prefix. The error is the same as text, if it is not UTF-8.
fn name<'a>(prefix: &str, key: &'a [u8]) -> Result<&'a str, String> {
    let name = key.strip_prefix(prefix.as_bytes()).unwrap_or(key);
    from_utf8(name).map_err(|_| String::from_utf8_lossy(name).into_owned())
}

const NOT_TEXT: &str = "the key is not UTF-8";

#[cfg(test)]
mod tests;
