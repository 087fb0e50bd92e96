//! Where a run goes on that was spawned as a task: on a thread of its own.
//!
//! A task stands in the queue of the workers. Behind components that keep these busy it would be
//! told of a trip only after each of them has had its turn. So a thread takes the run over as soon as
//! it has begun. A run that is awaited in `main` has the thread of `main`.

use std::future::{Future, poll_fn};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{io, mem, thread};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Span, dispatcher};

use super::lock;

/// How long a task that is dropped waits for its run.
const PATIENCE: Duration = Duration::from_millis(100);

/// Awaits a run, on a thread of its own if this is a task of workers; here until that has begun. What
/// it logs goes where it would have gone from here, a panic goes on here, and when this is dropped, so
/// is the run.
///
/// # Errors
///
/// The operating system gave no thread.
pub(super) async fn own_thread<F>(run: F) -> io::Result<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let runtime = Handle::current();
    let run = Box::pin(run);
    // A runtime of one thread has none to give: its tasks may be bound to it, and so is its clock.
    if tokio::task::try_id().is_none() || runtime.runtime_flavor() != RuntimeFlavor::MultiThread {
        return Ok(run.await);
    }
    let (tell, mut told) = oneshot::channel();
    let (here, lost) = oneshot::channel::<()>();
    let (running, over) = mpsc::channel();
    let seat = Arc::new(Mutex::new(Seat::Here(run)));
    let dropped = Dropped {
        seat: Arc::clone(&seat),
        here: Some(here),
        over,
    };
    let log = Log::here();
    let work = move || {
        let run = lock(&seat).take()?;
        let until_lost = async {
            tokio::select! {
                biased;
                _ = lost => None,
                output = run => Some(output),
            }
        };
        log.scope(|| runtime.block_on(until_lost))
    };
    let thread = thread::Builder::new()
        .name("overwatch".into())
        .spawn(move || {
            let output = work();
            drop::<mpsc::Sender<()>>(running);
            if let Some(output) = output {
                // Only who was dropped does not want it.
                let _ = tell.send(output);
            }
        })?;
    // A thread takes as long to begin as hundreds of components do: these need not wait for it.
    let told = poll_fn(|cx| match lock(&dropped.seat).poll(cx) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => Pin::new(&mut told).poll(cx),
    });
    match told.await {
        Ok(output) => Ok(output),
        // It panicked, and so it is over, or about to be.
        Err(lost) => resume_unwind(thread.join().err().unwrap_or(Box::new(lost))),
    }
}

/// Where a run is.
enum Seat<F> {
    /// With the task that awaits it.
    Here(Pin<Box<F>>),
    /// With its thread.
    Taken,
    /// It ended, panicked or was dropped before its thread had begun.
    Over,
}

impl<F: Future> Seat<F> {
    /// Polls it if it is here.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<F::Output> {
        // Over, unless it goes on.
        match mem::replace(self, Self::Over) {
            Self::Here(mut run) => {
                let output = run.as_mut().poll(cx);
                if output.is_pending() {
                    *self = Self::Here(run);
                }
                output
            }
            elsewhere => {
                *self = elsewhere;
                Poll::Pending
            }
        }
    }
}

impl<F> Seat<F> {
    /// For its thread, if it is not over.
    fn take(&mut self) -> Option<Pin<Box<F>>> {
        match mem::replace(self, Self::Taken) {
            Self::Here(run) => Some(run),
            over => {
                *self = over;
                None
            }
        }
    }
}

/// Drops a run with the task that awaits it.
struct Dropped<F> {
    seat: Arc<Mutex<Seat<F>>>,
    /// Its other end is lost with this one.
    here: Option<oneshot::Sender<()>>,
    /// Its other end is dropped after the run.
    over: mpsc::Receiver<()>,
}

impl<F> Drop for Dropped<F> {
    /// If its thread has it, waits until that is so, but not for a step that takes long: it may be the
    /// user's code.
    ///
    /// A runtime that shuts down drops its tasks before its clock; a run that outlives its task would
    /// find none.
    fn drop(&mut self) {
        drop(self.here.take());
        let seat = mem::replace(&mut *lock(&self.seat), Seat::Over);
        if let Seat::Taken = seat {
            let _ = self.over.recv_timeout(PATIENCE);
        }
    }
}

/// Where the present thread logs to.
struct Log {
    subscriber: Option<Dispatch>,
    span: Span,
}

impl Log {
    fn here() -> Self {
        let subscriber = dispatcher::get_default(Dispatch::clone);
        Self {
            // Where nobody listens, somebody may later, to all threads.
            subscriber: (!subscriber.is::<NoSubscriber>()).then_some(subscriber),
            span: Span::current(),
        }
    }

    fn scope<T>(self, run: impl FnOnce() -> T) -> T {
        let Self { subscriber, span } = self;
        let run = || span.in_scope(run);
        match subscriber {
            Some(subscriber) => dispatcher::with_default(&subscriber, run),
            None => run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_is_over_before_its_thread_has_begun_is_over() {
        let mut here = 0;
        for _ in 0..100 {
            let run = async { thread::current().name() != Some("overwatch") };
            let over = tokio::spawn(own_thread(run)).await;
            here += usize::from(over.unwrap().unwrap());
        }
        assert_ne!(here, 0, "its thread was faster each time");
    }
}
