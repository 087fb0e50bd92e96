//! The threads of etcd's clients: one set for the process, started when first needed.
//!
//! They are used for nothing else, so leases are renewed and etcd is observed while the service's tasks keep all
//! of its workers busy, or block them. In place (see [`crate::shell::placement`]) there are none.

use std::future::Future;
use std::sync::{Mutex, OnceLock};

use tokio::runtime::Handle;
use tracing::Level;

use crate::etcd::basics::TARGET;
use crate::shell::log::log;
use crate::shell::placement::{Logs, OwnRuntime, Placement, RuntimeGone, relocate};
use crate::shell::sync::lock;

/// For renewals and for the probe. Long work must not run here: work that depends on the number of keys belongs
/// to [`KEYS`].
pub(crate) static CLIENTS: Home = Home::new("overwatch-etcd");
/// For copies of etcd's keys, and for claims.
pub(crate) static KEYS: Home = Home::new("overwatch-keys");

/// A thread with a runtime, which is started when first needed.
pub(crate) struct Home {
    name: &'static str,
    runtime: OnceLock<OwnRuntime>,
    /// Whether it was logged that there is no thread. Held while one is started.
    warned: Mutex<bool>,
}

impl Home {
    const fn new(name: &'static str) -> Self {
        Self {
            name,
            runtime: OnceLock::new(),
            warned: Mutex::new(false),
        }
    }

    /// The runtime; `None` if the operating system provides no thread: then the service's runtime is used.
    pub(crate) fn handle(&self) -> Option<Handle> {
        if let Some(runtime) = self.runtime.get() {
            // There may be a subscriber now.
            runtime.hush();
            return Some(runtime.handle().clone());
        }
        let mut warned = lock(&self.warned);
        if let Some(runtime) = self.runtime.get() {
            return Some(runtime.handle().clone());
        }
        match OwnRuntime::start(self.name, Logs::Nothing) {
            Ok(runtime) => Some(self.runtime.get_or_init(|| runtime).handle().clone()),
            Err(error) => {
                if !std::mem::replace(&mut *warned, true) {
                    drop(warned);
                    let thread = self.name;
                    log(Level::WARN, move |at_ms| {
                        tracing::warn!(target: TARGET, at_ms, thread, %error,
                            "etcd's clients have no thread of their own, and share the service's"
                        );
                    });
                }
                None
            }
        }
    }

    /// Awaits a future on that runtime, or here if the run is supervised in place.
    pub(crate) fn run<F>(
        &self,
        future: F,
    ) -> impl Future<Output = Result<F::Output, RuntimeGone>> + Send
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        // Boxed at once: it is large, and would be moved on the stack and stored several times.
        let future = Box::pin(future);
        async move {
            let home = match Placement::current() {
                Placement::Apart => self.handle(),
                Placement::InPlace => None,
            };
            relocate(home.as_ref(), future).await
        }
    }
}
