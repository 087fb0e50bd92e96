//! Turns panics of user code into failures.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context as Poller, Poll};

use pin_project_lite::pin_project;

use super::error::Failure;
use crate::shell::log::drop_safely;

/// Runs user code to its end, and turns a panic into a failure.
///
/// The future is dropped before this returns. A panic in that drop is a failure too.
pub(crate) async fn unwinding<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    Unwinding { work: Some(work) }.await
}

pin_project! {
    /// The same as a named future, which takes no more memory than the work itself.
    pub(crate) struct Unwinding<W> {
        #[pin]
        pub(crate) work: Option<W>,
    }

    impl<W> PinnedDrop for Unwinding<W> {
        /// A panic in the drop of the work would otherwise reach the code that drops the handle of the task.
        fn drop(this: Pin<&mut Self>) {
            let mut work = this.project().work;
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work.set(None))) {
                drop_safely(panic);
            }
        }
    }
}

impl<T, W: Future<Output = Result<T, Failure>>> Future for Unwinding<W> {
    type Output = Result<T, Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<Self::Output> {
        let mut work = self.project().work;
        let Some(running) = work.as_mut().as_pin_mut() else {
            return Poll::Ready(Err(Failure::new("polled after its end")));
        };
        let result = match catch_unwind(AssertUnwindSafe(|| running.poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => result,
            Err(panic) => Err(Failure::from_panic(panic)),
        };
        let dropped = catch_unwind(AssertUnwindSafe(|| work.set(None)));
        Poll::Ready(match dropped {
            Ok(()) => result,
            Err(panic) => result.and_then(|_| Err(Failure::from_panic(panic))),
        })
    }
}
