//! When an incarnation counts as gone.

use std::sync::Mutex;
use std::task::Waker;

use super::*;
use crate::policy::{ComponentId, Layout, Plan, Policy};
use crate::shell::component::StageRun;
use crate::shell::log::Log;
use crate::shell::run_state::RunState;
use crate::shell::sync::lock;

/// Notes at its drop whether the incarnation counted as gone.
struct Work {
    incarnation: Incarnation,
    was_gone: Arc<Mutex<Option<bool>>>,
}

impl Drop for Work {
    fn drop(&mut self) {
        *lock(&self.was_gone) = Some(self.incarnation.is_gone());
    }
}

/// A component that works for ever.
struct Works(Mutex<Option<Work>>);

impl Body for Works {
    fn run(self: Arc<Self>, _: Context) -> impl Future<Output = Result<(), Failure>> + Send {
        let work = lock(&self.0).take();
        async move {
            let _work = work;
            std::future::pending().await
        }
    }
}

/// However long the drop takes: who comes next must not begin before it is over.
#[tokio::test]
async fn who_is_aborted_is_gone_when_its_work_is_dropped() {
    let layout = Layout::new(&[1]).expect("one component makes a layout");
    let plan = Plan::new(Policy::default(), layout).expect("the default policy works");
    let shared = Arc::new(RunState::new(Arc::new(plan), vec!["a".into()]));
    shared.enter(runtime::Handle::current(), Log::direct(None));
    let incarnation = StageRun::new(1, 0..1, shared).incarnation(ComponentId(0));
    let was_gone = Arc::default();
    let work = Work {
        incarnation: incarnation.clone(),
        was_gone: Arc::clone(&was_gone),
    };
    let body = Arc::new(Works(Mutex::new(Some(work))));
    let mut main = Box::pin(MainTask(incarnation.clone()).run(body));
    let mut cx = Poller::from_waker(Waker::noop());
    assert!(main.as_mut().poll(&mut cx).is_pending());
    assert!(lock(&was_gone).is_none());
    drop(main);
    assert_eq!(*lock(&was_gone), Some(false));
    assert!(incarnation.is_gone());
}
