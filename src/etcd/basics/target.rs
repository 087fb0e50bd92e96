//! The log target of membership and shards.

pub(crate) const TARGET: &str = "overwatch::etcd";
