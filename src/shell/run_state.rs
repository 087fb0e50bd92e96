//! The state that the supervisor shares with components, reporters and handles: one for each run.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, OnceLock};

use tokio::runtime;

use super::failure::ReportedFailure;
use super::inbound::{Mailbox, RenewedLease, ReportSource};
use super::log::Log;
use super::publish::Published;
use super::resources::Resources;
use crate::policy::{ComponentId, Plan};

pub(crate) struct RunState {
    pub(crate) plan: Arc<Plan>,
    /// The output: everything that is published.
    pub(crate) published: Published,
    /// The input: everything that waits for the supervisor.
    pub(crate) mailbox: Mailbox,
    /// Reports from outside of any component.
    pub(crate) outside: Arc<ReportSource>,
    /// What components provide for the stages above them.
    pub(crate) resources: Resources,
    /// Whether the supervisor waits for a text, so that it must be woken when one was made.
    awaits_text: AtomicBool,
    service: OnceLock<Service>,
    /// Nothing supervises any more.
    abandoned: AtomicBool,
    /// A test does what a supervisor would do.
    detached: bool,
}

/// Where the service runs. It is known once its run has begun.
struct Service {
    /// The runtime of the components.
    runtime: runtime::Handle,
    log: Log,
}

impl RunState {
    pub(crate) fn new(plan: Arc<Plan>, names: Vec<Arc<str>>) -> Self {
        Self {
            plan,
            published: Published::new(names),
            mailbox: Mailbox::default(),
            outside: Arc::new(ReportSource::outside()),
            resources: Resources::default(),
            awaits_text: AtomicBool::new(false),
            service: OnceLock::new(),
            abandoned: AtomicBool::new(false),
            detached: false,
        }
    }

    /// The state of a component that nothing supervises. Its plan is nobody's, so nothing is checked against it.
    #[cfg(any(feature = "test-util", all(test, feature = "etcd")))]
    pub(crate) fn detached(plan: Arc<Plan>, names: Vec<Arc<str>>) -> Self {
        Self {
            detached: true,
            ..Self::new(plan, names)
        }
    }

    /// Whether nothing ever supervises it.
    #[cfg(feature = "etcd")]
    pub(crate) fn is_detached(&self) -> bool {
        self.detached
    }

    pub(crate) fn name(&self, component: ComponentId) -> &Arc<str> {
        self.published.roster.name(component)
    }

    /// Notes that the run begins, with the runtime of its components and its log.
    pub(crate) fn enter(&self, runtime: runtime::Handle, log: Log) {
        // A run begins once, so nothing was set before.
        let _ = self.service.set(Service { runtime, log });
    }

    /// The runtime that components run on, once the run has begun.
    pub(crate) fn runtime(&self) -> Option<&runtime::Handle> {
        self.service.get().map(|service| &service.runtime)
    }

    /// The log of the run, once it has begun.
    pub(crate) fn log(&self) -> Option<&Log> {
        self.service.get().map(|service| &service.log)
    }

    /// Whether the run has a separate thread.
    #[cfg(feature = "etcd")]
    pub(crate) fn is_apart(&self) -> bool {
        self.log().is_some_and(Log::is_queued)
    }

    /// Makes the text of a reported failure, and wakes the supervisor if it waits for a text.
    pub(crate) fn make_text(&self, told: &ReportedFailure) {
        told.text();
        // Either the supervisor sees the text before it waits, or this sees that it waits.
        fence(Ordering::SeqCst);
        if self.awaits_text.swap(false, Ordering::AcqRel) {
            self.mailbox.nudge();
        }
    }

    /// Requests to be woken when a text was made.
    pub(crate) fn await_text(&self) {
        self.awaits_text.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
    }

    /// Notes a renewal, if the component is the lease owner. Otherwise it returns `false`.
    pub(crate) fn lease_renewed(&self, component: ComponentId, lease: RenewedLease) -> bool {
        let is_owner = self.plan.layout().lease_owner() == Some(component);
        if is_owner {
            self.mailbox.lease_renewed(lease);
        }
        is_owner || self.detached
    }

    pub(crate) fn answer_ping(&self) {
        if self.mailbox.take_ping() {
            self.published.answer_ping();
        }
    }

    /// Nothing supervises any more.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        self.published.abandon();
        self.mailbox.close();
    }

    /// Whether the run was dropped. A run on a separate thread may be in the middle of a step then.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }
}
