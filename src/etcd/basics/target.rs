//! Where membership and shards are logged.

pub(crate) const TARGET: &str = "overwatch::etcd";
