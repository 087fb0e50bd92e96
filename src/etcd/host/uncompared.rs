//! A part of a configuration that is ignored in comparisons.

use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::panic::{RefUnwindSafe, UnwindSafe};

/// A value that clones of a configuration share and that is not one of its settings: any two are equal.
#[derive(Clone)]
pub(crate) struct Uncompared<T>(pub(crate) T);

impl<T> Deref for Uncompared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

// For its users a configuration is plain data, whatever is in here.
impl<T> UnwindSafe for Uncompared<T> {}

impl<T> RefUnwindSafe for Uncompared<T> {}

impl<T> PartialEq for Uncompared<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Eq for Uncompared<T> {}

impl<T> Hash for Uncompared<T> {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}
