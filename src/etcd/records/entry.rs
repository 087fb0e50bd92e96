//! One key of etcd, as data.

/// One key of etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) value: Vec<u8>,
    /// The lease of the key; 0 without a lease.
    pub(crate) lease: i64,
    /// The revision of its last change.
    pub(crate) revision: i64,
}
