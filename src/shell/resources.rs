//! What components provide for the stages above them.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::inbound::IncarnationId;
use super::sync::lock;

/// A value of the user.
pub(crate) type Resource = Arc<dyn Any + Send + Sync>;

/// The resources of the current epoch, by their types.
#[derive(Default)]
pub(crate) struct Resources(Mutex<BTreeMap<TypeId, (IncarnationId, Resource)>>);

impl Resources {
    /// Adds a resource, and returns the one of the same type that it replaces. Values of the user are not dropped here.
    pub(crate) fn add<T: Send + Sync + 'static>(
        &self,
        from: IncarnationId,
        value: Arc<T>,
    ) -> Option<Resource> {
        let mut all = lock(&self.0);
        let replaced = all.insert(TypeId::of::<T>(), (from, value));
        replaced.map(|(_, value)| value)
    }

    /// The resource of this type, if one was provided in this epoch.
    pub(crate) fn get<T: Send + Sync + 'static>(&self, epoch: u64) -> Option<Arc<T>> {
        let all = lock(&self.0);
        let (from, value) = all.get(&TypeId::of::<T>())?;
        if from.epoch != epoch {
            return None;
        }
        Arc::clone(value).downcast().ok()
    }

    /// Takes out everything.
    pub(crate) fn take_all(&self) -> Vec<Resource> {
        let all = std::mem::take(&mut *lock(&self.0));
        all.into_values().map(|(_, value)| value).collect()
    }

    /// Takes out what an incarnation has provided.
    pub(crate) fn take(&self, from: IncarnationId) -> Vec<Resource> {
        let mut all = lock(&self.0);
        let mut taken = Vec::new();
        all.retain(|_, (by, value)| {
            let stays = *by != from;
            if !stays {
                taken.push(Arc::clone(value));
            }
            stays
        });
        taken
    }
}
