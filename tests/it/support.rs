//! What tests against a real etcd share.

pub(crate) mod etcd;
pub(crate) mod observe;
pub(crate) mod pki;
pub(crate) mod proxy;
