//! A shared value, with waiting for its changes.

use std::pin::pin;
use std::sync::Mutex;

use tokio::sync::Notify;

use crate::shell::sync::lock;

/// Like tokio's watch channel, but waiters are woken in the order of waiting rather than in a random one.
///
/// So a run in place is reproducible.
pub(crate) struct Latest<T> {
    state: Mutex<Versioned<T>>,
    changed: Notify,
}

struct Versioned<T> {
    value: T,
    /// Counts the changes.
    version: u64,
}

impl<T: Clone> Latest<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            state: Mutex::new(Versioned { value, version: 0 }),
            changed: Notify::new(),
        }
    }

    pub(crate) fn set(&self, value: T) {
        {
            let mut state = lock(&self.state);
            state.value = value;
            state.version += 1;
        }
        self.changed.notify_waiters();
    }

    pub(crate) fn get(&self) -> T {
        lock(&self.state).value.clone()
    }

    /// The number of changes.
    pub(crate) fn version(&self) -> u64 {
        lock(&self.state).version
    }

    /// Waits until the number of changes is greater than `since`, and returns that number.
    pub(crate) async fn changed(&self, since: u64) -> u64 {
        self.wait(|state| (state.version > since).then_some(state.version))
            .await
    }

    /// Waits until `found` returns a value, and returns that.
    pub(crate) async fn wait_for<U>(&self, found: impl Fn(&T) -> Option<U>) -> U {
        self.wait(|state| found(&state.value)).await
    }

    async fn wait<U>(&self, found: impl Fn(&Versioned<T>) -> Option<U>) -> U {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Before the value is read, so that no change is missed.
            changed.as_mut().enable();
            let found = found(&lock(&self.state));
            match found {
                Some(found) => return found,
                None => changed.await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn who_waits_is_woken_in_the_order_of_waiting() {
        let (latest, woken) = (Arc::new(Latest::new(0)), Arc::new(Mutex::new(Vec::new())));
        let mut waiting = Vec::new();
        for number in 0..20 {
            let (latest, woken) = (Arc::clone(&latest), Arc::clone(&woken));
            waiting.push(tokio::spawn(async move {
                latest.changed(0).await;
                lock(&woken).push(number);
            }));
        }
        yield_now().await;
        assert!(lock(&woken).is_empty());
        latest.set(7);
        for waits in waiting {
            waits.await.expect("no panic");
        }
        assert_eq!(*lock(&woken), (0..20).collect::<Vec<i32>>());
        assert_eq!((latest.get(), latest.version()), (7, 1));
    }

    #[tokio::test]
    async fn what_is_there_already_is_not_waited_for() {
        let latest = Latest::new(None);
        latest.set(Some(3));
        assert_eq!(latest.changed(0).await, 1);
        assert_eq!(latest.wait_for(|value| *value).await, 3);
    }
}
