//! Stands for a driver that somebody else wrote: it blocks, and calls back from threads of its own.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the driver tells.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Reading(i64),
    Lost(&'static str),
}

type Callback = Box<dyn Fn(Event) + Send>;

#[derive(Default)]
pub(crate) struct Driver(Mutex<Device>);

#[derive(Default)]
struct Device {
    open: bool,
    callback: Option<Callback>,
    refuses: bool,
}

impl Driver {
    /// Fails if it is open already, as devices do.
    pub(crate) fn open(&self) -> io::Result<()> {
        let mut device = self.device();
        if device.open {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        device.open = true;
        Ok(())
    }

    /// Blocks.
    pub(crate) fn calibrate(&self) -> io::Result<i64> {
        if self.is_open() {
            Ok(1)
        } else {
            Err(io::ErrorKind::NotConnected.into())
        }
    }

    pub(crate) fn subscribe(&self, callback: impl Fn(Event) + Send + 'static) -> io::Result<()> {
        let mut device = self.device();
        if std::mem::take(&mut device.refuses) {
            return Err(io::Error::other("the device refuses subscriptions"));
        }
        device.callback = Some(Box::new(callback));
        Ok(())
    }

    pub(crate) fn unsubscribe(&self) {
        self.device().callback = None;
    }

    pub(crate) fn close(&self) {
        self.device().open = false;
    }

    pub(crate) fn is_open(&self) -> bool {
        self.device().open
    }

    /// What its threads do.
    pub(crate) fn emit(&self, event: Event) {
        if let Some(callback) = &self.device().callback {
            callback(event);
        }
    }

    pub(crate) fn refuse_next_subscription(&self) {
        self.device().refuses = true;
    }

    fn device(&self) -> MutexGuard<'_, Device> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
