//! The same service against a real etcd.
