//! Hashes of names. They are the same on every platform and in every version, because nodes must agree.

/// FNV-1a of both names, mixed, because FNV-1a alone gives similar names similar numbers.
///
/// No UTF-8 text contains the separator byte.
pub(crate) fn named(one: &str, other: &str) -> u64 {
    of_bytes(one.bytes().chain([0xff]).chain(other.bytes()))
}

/// FNV-1a, mixed.
pub(crate) fn of_bytes(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let bytes = bytes.into_iter();
    mix(bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    }))
}

/// SplitMix64's finalizer: neighbouring numbers give unrelated values.
pub(crate) fn mix(mut mixed: u64) -> u64 {
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
