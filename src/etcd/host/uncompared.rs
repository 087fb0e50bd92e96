//! What a configuration holds beside what it says.

use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::panic::{RefUnwindSafe, UnwindSafe};

/// Something that clones of a configuration share, and that is no part of what it says: any two are equal.
#[derive(Clone)]
pub(crate) struct Uncompared<T>(pub(crate) T);

impl<T> Deref for Uncompared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

// A configuration is plain data to its users, whatever is in here.
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
