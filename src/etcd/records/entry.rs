//! One key of etcd's, as data.

/// One key as etcd has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) value: Vec<u8>,
    /// 0 without one.
    pub(crate) lease: i64,
    /// Of its last change.
    pub(crate) revision: i64,
}
