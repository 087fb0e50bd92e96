//! One key of etcd's, as data.

/// One key as etcd has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) value: Vec<u8>,
    /// 0 without one.
    pub(super) lease: i64,
    /// Of its last change.
    pub(super) revision: i64,
}
