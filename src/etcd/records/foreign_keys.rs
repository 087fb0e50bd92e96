//! Keys that no node wrote. Pure: the caller logs the warnings.

use std::collections::BTreeSet;

use crate::etcd::basics::shorten;

/// The foreign keys that were seen. There is one warning for each.
#[derive(Default)]
pub(crate) struct ForeignKeys {
    seen: BTreeSet<Vec<u8>>,
    warnings: Vec<Warning>,
}

/// A warning that was not logged yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Warning {
    pub(crate) key: String,
    /// The consequence.
    pub(crate) what: &'static str,
}

impl ForeignKeys {
    #[cfg(test)]
    pub(crate) fn has(&self, key: &[u8]) -> bool {
        self.seen.contains(key)
    }

    pub(crate) fn seen(&mut self, key: &[u8], what: &'static str) {
        if self.seen.len() < MOST_WARNINGS && self.seen.insert(key.to_owned()) {
            let key = shorten(&String::from_utf8_lossy(key));
            self.warnings.push(Warning { key, what });
        }
    }

    pub(crate) fn take_warnings(&mut self) -> Vec<Warning> {
        core::mem::take(&mut self.warnings)
    }
}

/// The most warnings: there may be any number of foreign keys.
const MOST_WARNINGS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_warned_of_once_and_no_more_than_so_many() {
        let mut foreign = ForeignKeys::default();
        foreign.seen(b"a\nb", "left alone");
        foreign.seen(b"a\nb", "left alone");
        let warning = Warning {
            key: "a b".to_owned(),
            what: "left alone",
        };
        assert_eq!(foreign.take_warnings(), [warning]);
        foreign.seen(b"a\nb", "left alone");
        assert_eq!(foreign.take_warnings(), []);
        for number in 0..1_000_u32 {
            foreign.seen(&number.to_be_bytes(), "left alone");
        }
        assert_eq!(foreign.take_warnings().len(), MOST_WARNINGS - 1);
    }
}
