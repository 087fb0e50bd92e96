//! The values below a prefix of etcd, kept current for the user.

mod changes;
#[cfg(feature = "etcd")]
mod component;
#[cfg(feature = "etcd")]
mod follow;
mod freshness;
mod settings;
mod values;
#[cfg(feature = "etcd")]
mod view;

#[cfg(feature = "etcd")]
pub use {
    component::PrefixWatch,
    view::{PrefixSnapshot, PrefixView},
};
