//! Numbers at the edges, where arithmetic breaks, and any others.

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
