//! Numbers at the edges, where arithmetic breaks, and any others.

use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};

/// One of the edges, or anything at all.
pub(crate) fn wild<'a, T>(bytes: &mut Unstructured<'a>, edges: &[T]) -> Result<T>
where
    T: Arbitrary<'a> + Copy,
{
    let choice = usize::from(u8::arbitrary(bytes)?) % (edges.len() + 1);
    match edges.get(choice) {
        Some(&edge) => Ok(edge),
        None => bytes.arbitrary(),
    }
}

/// A bound, and what is next to it on either side.
pub(crate) fn beside(bound: Duration) -> [Duration; 3] {
    let step = Duration::from_nanos(1);
    [
        bound,
        bound.saturating_add(step),
        bound.saturating_sub(step),
    ]
}
