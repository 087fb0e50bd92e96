//! Fencing tokens, which distinguish a later owner of a shard from an earlier one.

use crate::etcd::basics::EtcdConfigError;

/// The upper part of a token, which an operator raises when the revisions of etcd go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Generation(i64);

impl Generation {
    /// The highest generation.
    pub(crate) const MAX: u16 = (1 << (i64::BITS - 1 - REVISION_BITS)) - 1;

    /// Checks a generation: it must not be above [`MAX`](Self::MAX).
    pub(crate) fn checked(number: u16) -> Result<Self, EtcdConfigError> {
        if number <= Self::MAX {
            return Ok(Self(i64::from(number)));
        }
        Err(EtcdConfigError::BadSetting {
            knob: "token_generation",
            problem: format!(
                "is {number}, but may be {} at most: it is to grow by one with each restore of etcd",
                Self::MAX
            ),
        })
    }

    /// The token of a claim that was made at this revision.
    ///
    /// It grows with the revision, and each token of a higher generation is higher than all tokens of a lower one.
    pub(crate) fn token(self, revision: i64) -> i64 {
        (self.0 << REVISION_BITS) + revision.clamp(0, HIGHEST_REVISION)
    }
}

/// At 100,000 changes a second a store uses up that many revisions in 89 years.
const REVISION_BITS: u32 = 48;
const HIGHEST_REVISION: i64 = (1 << REVISION_BITS) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn token(generation: u16, revision: i64) -> i64 {
        Generation::checked(generation)
            .expect("in bounds")
            .token(revision)
    }

    #[test]
    fn a_token_is_the_revision_unless_a_generation_is_given() {
        for revision in [0, 1, 17, HIGHEST_REVISION] {
            assert_eq!(token(0, revision), revision);
        }
    }

    #[test]
    fn tokens_are_in_the_order_of_generation_and_revision() {
        let revisions = [0, 1, 2, 1 << 40, HIGHEST_REVISION];
        let generations = [0, 1, 2, 255, 256, Generation::MAX];
        let all: Vec<i64> = generations
            .iter()
            .flat_map(|&generation| revisions.map(|revision| token(generation, revision)))
            .collect();
        assert!(all.is_sorted_by(|one, next| one < next), "{all:?}");
        let refused = Generation::checked(Generation::MAX + 1).expect_err("beyond the highest");
        assert_eq!(
            refused.to_string(),
            "token_generation: is 32768, but may be 32767 at most: it is to grow by one with each \
             restore of etcd"
        );
        assert_eq!(token(Generation::MAX, i64::MAX), i64::MAX);
    }
}
