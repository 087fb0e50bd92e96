//! The keys that nodes write to etcd, and copies of the keys below a prefix.

mod copy_check;
mod entry;
mod foreign_keys;
mod key_copy;
mod keys;
#[cfg(feature = "etcd")]
mod mirror;
mod not_current;
mod size_limit;
mod token;

pub(crate) use copy_check::{LONGEST_UNCHECKED, Pauses};
pub(crate) use entry::Entry;
pub(crate) use foreign_keys::ForeignKeys;
pub(crate) use key_copy::KeyChanges;
pub(crate) use keys::{Prefix, WorkKey, WorkKeys, check_name};
#[cfg(feature = "etcd")]
pub(crate) use mirror::{Mirror, warn_of};
pub(crate) use not_current::NotCurrent;
pub(crate) use size_limit::SizeLimit;
pub(crate) use token::Generation;
