//! How much a copy of etcd's keys may hold. Pure.

use crate::etcd::basics::EtcdError;

/// The most keys, and the most bytes of keys and values together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SizeLimit {
    pub(crate) keys: usize,
    pub(crate) bytes: usize,
}

impl SizeLimit {
    /// For keys that only nodes write: their number and their sizes are bounded where they are written.
    pub(crate) const NONE: Self = Self {
        keys: usize::MAX,
        bytes: usize::MAX,
    };

    /// The length of the longest message of etcd that is accepted. One that is longer is not even read.
    ///
    /// A page of a list that is longer than this has more than the limit. A message of a watch may have several values
    /// of one key: all keys are then read anew.
    pub(crate) fn longest_message(self) -> usize {
        self.bytes.saturating_add(BESIDE_VALUES).min(LONGEST)
    }

    /// A description of the problem if a page of a list was refused because of its length.
    pub(crate) fn exceeded_by_page(self, prefix: &str, cause: &EtcdError) -> Option<String> {
        let is_too_long = cause.text.contains("decoded message length too large");
        (is_too_long && self.bytes < LONGEST).then(|| self.too_many_bytes(prefix, self.bytes + 1))
    }

    /// A description of the problem if there are more keys or bytes below the prefix.
    pub(crate) fn exceeded(self, prefix: &str, keys: usize, bytes: usize) -> Option<String> {
        if keys > self.keys {
            return Some(format!(
                "there are {keys} keys below {prefix}, and max_keys allows {}: raise it, or choose a narrower prefix",
                self.keys
            ));
        }
        (bytes > self.bytes).then(|| self.too_many_bytes(prefix, bytes))
    }

    fn too_many_bytes(self, prefix: &str, bytes: usize) -> String {
        format!(
            "the keys and values below {prefix} have {bytes} bytes or more, and max_bytes allows {}: raise it, or \
             choose a narrower prefix",
            self.bytes
        )
    }
}

/// What a page has beside keys and values: less than 100 bytes for each of its keys.
const BESIDE_VALUES: usize = 64 << 10;
/// The longest message without a limit. etcd accepts values of 1.5 MiB by default.
const LONGEST: usize = 512 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::basics::Fault;

    #[test]
    fn what_is_beyond_the_limit_is_refused_with_both_numbers() {
        let limit = SizeLimit {
            keys: 3,
            bytes: 100,
        };
        assert_eq!(limit.exceeded("c/", 3, 100), None);
        assert_eq!(
            limit.exceeded("c/", 4, 101).as_deref(),
            Some(
                "there are 4 keys below c/, and max_keys allows 3: raise it, or choose a narrower prefix"
            )
        );
        assert_eq!(
            limit.exceeded("c/", 3, 101).as_deref(),
            Some(
                "the keys and values below c/ have 101 bytes or more, and max_bytes allows 100: raise it, or choose a \
                 narrower prefix"
            )
        );
        assert_eq!(SizeLimit::NONE.exceeded("c/", usize::MAX, usize::MAX), None);
    }

    #[test]
    fn what_cannot_be_within_the_limit_is_not_even_read() {
        let limit = SizeLimit {
            keys: 3,
            bytes: 100,
        };
        assert_eq!(limit.longest_message(), 100 + 65_536);
        let most = SizeLimit {
            keys: 3,
            bytes: 64 << 20,
        };
        assert_eq!(most.longest_message(), (64 << 20) + 65_536);
        assert_eq!(SizeLimit::NONE.longest_message(), 512 << 20);
        let of_page = |limit: SizeLimit, text: &str| {
            let cause = EtcdError::passing(Fault::Unreachable, text);
            limit.exceeded_by_page("c/", &cause)
        };
        let refused =
            "Error, decoded message length too large: found 70000 bytes, the limit is: 65636 bytes";
        assert_eq!(of_page(limit, refused), limit.exceeded("c/", 0, 101));
        assert_eq!(of_page(limit, "no answer"), None);
        // That would be no limit of the user's.
        assert_eq!(of_page(SizeLimit::NONE, refused), None);
    }
}
