//! What the supervisor shares with components, reporters and handles: one for each run.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, OnceLock};

use tokio::runtime;

use super::failure::ReportedFailure;
use super::inbound::{Mailbox, RenewedLease, ReportSource};
use super::log::Log;
use super::publish::Published;
use super::sync::CachePadded;
use crate::policy::{ComponentId, Plan};

pub(crate) struct RunState {
    pub(crate) plan: Arc<Plan>,
    /// What goes out.
    pub(crate) published: Published,
    /// What comes in.
    pub(crate) mailbox: CachePadded<Mailbox>,
    /// Reports from outside of any component.
    pub(crate) outside: Arc<ReportSource>,
    /// A text is waited for, and whoever makes one is to say so.
    awaits_text: AtomicBool,
    service: OnceLock<Service>,
    /// Nothing supervises any more.
    abandoned: AtomicBool,
}

/// Where the service runs: known once its run has begun.
struct Service {
    /// That of the components.
    runtime: runtime::Handle,
    log: Log,
}

impl RunState {
    pub(crate) fn new(plan: Arc<Plan>, names: Vec<Arc<str>>) -> Self {
        Self {
            plan,
            published: Published::new(names),
            mailbox: CachePadded::default(),
            outside: Arc::new(ReportSource::outside()),
            awaits_text: AtomicBool::new(false),
            service: OnceLock::new(),
            abandoned: AtomicBool::new(false),
        }
    }

    pub(crate) fn name(&self, component: ComponentId) -> &Arc<str> {
        self.published.roster.name(component)
    }

    /// The run begins: its components run on this runtime, and this is its log.
    pub(crate) fn enter(&self, runtime: runtime::Handle, log: Log) {
        // A run begins once, so nothing was set before.
        let _ = self.service.set(Service { runtime, log });
    }

    /// The runtime that components run on, once the run has begun.
    pub(crate) fn runtime(&self) -> Option<&runtime::Handle> {
        self.service.get().map(|service| &service.runtime)
    }

    /// Where the run logs, once it has begun.
    pub(crate) fn log(&self) -> Option<&Log> {
        self.service.get().map(|service| &service.log)
    }

    /// Whether the run has a thread of its own.
    #[cfg(feature = "etcd")]
    pub(crate) fn is_apart(&self) -> bool {
        self.log().is_some_and(Log::is_queued)
    }

    /// Makes the text of a failure that the supervisor was told of, and says so if that waits for it.
    pub(crate) fn make_text(&self, told: &ReportedFailure) {
        told.text();
        // Either the text is seen by who begins to wait for it, or the wait is seen here.
        fence(Ordering::SeqCst);
        if self.awaits_text.swap(false, Ordering::AcqRel) {
            self.mailbox.nudge();
        }
    }

    /// From now on whoever makes a text says so.
    pub(crate) fn await_text(&self) {
        self.awaits_text.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
    }

    /// Takes note of a renewal, if it is the owner of the lease who tells of it.
    pub(crate) fn lease_renewed(&self, component: ComponentId, lease: RenewedLease) {
        if self.plan.layout().lease_owner() == Some(component) {
            self.mailbox.lease_renewed(lease);
        }
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

    /// Whether the run was dropped. On a thread of its own it may be amid a step then.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }
}
