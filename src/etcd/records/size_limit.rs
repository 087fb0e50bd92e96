//! How much a copy of etcd's keys may hold. Pure.

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

    /// A description of the problem if there are more keys or bytes below the prefix.
    pub(crate) fn exceeded(self, prefix: &str, keys: usize, bytes: usize) -> Option<String> {
        if keys > self.keys {
            return Some(format!(
                "there are {keys} keys below {prefix}, and max_keys allows {}: raise it, or choose a narrower prefix",
                self.keys
            ));
        }
        (bytes > self.bytes).then(|| {
            format!(
                "the keys and values below {prefix} have {bytes} bytes or more, and max_bytes allows {}: raise it, or \
                 choose a narrower prefix",
                self.bytes
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
