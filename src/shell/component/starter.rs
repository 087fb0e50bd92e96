//! The main tasks of one stage in one epoch: how they begin, and how they are aborted.

use std::future::poll_fn;
use std::mem;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::{AbortHandle, JoinHandle};

use super::incarnation::Incarnation;
use super::main_task::Begin;
use super::run::Run;
use super::stage::{BLOCK, Block};
use crate::shell::sync::lock;

/// How many blocks begin before other tasks are polled: some tenths of a millisecond.
const AT_ONCE: usize = 32;

/// All main tasks of a stage, begun or not.
pub(crate) struct Tasks {
    blocks: Vec<Arc<Block>>,
    /// For each block the handles of the tasks that have begun, in order, until they are gone.
    // The supervisor drops them, and with them the memory of the tasks, as soon as their components are gone.
    begun: Vec<Mutex<Vec<Option<JoinHandle<()>>>>>,
}

impl Tasks {
    pub(crate) fn new(blocks: Vec<Arc<Block>>) -> Self {
        let begun = |block: &Arc<Block>| Mutex::new(Vec::with_capacity(block.runs.len()));
        Self {
            begun: blocks.iter().map(begun).collect(),
            blocks,
        }
    }

    // A place is the index of a component within its stage.

    pub(crate) fn run(&self, place: u32) -> &Run {
        let (block, place) = split(place);
        &self.blocks[block].runs[place]
    }

    pub(crate) fn incarnation(&self, place: u32) -> Incarnation {
        let (block, place) = split(place);
        Incarnation::new(Arc::clone(&self.blocks[block]), place as u32)
    }

    /// Begins the tasks of a block, except those that were stopped or aborted before.
    fn begin(&self, number: usize, components: &[Arc<dyn Begin>], runtime: &Handle) {
        // Held while they begin, so that a task that is aborted has either begun or never will.
        let mut begun = lock(&self.begun[number]);
        for place in self.blocks[number].places() {
            let one = self.incarnation(place);
            let component = &components[one.component().index()];
            if one.stage().told().is_some() || one.stage().shared.is_abandoned() {
                // It is not needed any more.
                one.never_begins();
            }
            let task = (!one.is_gone()).then(|| Arc::clone(component).begin(one, runtime));
            begun.push(task);
        }
    }

    /// Aborts a task, if anything of it is left. If it has not begun, it never will.
    pub(crate) fn abort(&self, place: u32) {
        if let Some(task) = self.begun_or_never(place) {
            task.abort();
        }
    }

    /// The abort handle of a task that has begun. A task that has not begun never will.
    fn begun_or_never(&self, place: u32) -> Option<AbortHandle> {
        let (block, in_block) = split(place);
        let begun = lock(&self.begun[block]);
        let Some(task) = begun.get(in_block) else {
            self.incarnation(place).never_begins();
            return None;
        };
        task.as_ref().map(JoinHandle::abort_handle)
    }

    /// Notes that nothing is left of this task.
    pub(crate) fn gone(&self, place: u32) {
        let (block, in_block) = split(place);
        let mut begun = lock(&self.begun[block]);
        let task = begun.get_mut(in_block).and_then(Option::take);
        drop(begun);
        drop(task);
    }
}

/// The block of a place, and the place within the block.
fn split(place: u32) -> (usize, usize) {
    ((place / BLOCK) as usize, (place % BLOCK) as usize)
}

/// Begins all main tasks, in order.
///
/// A worker begins those of a large stage, and yields in between, so that the supervisor can react while a hundred
/// thousand tasks begin, e.g. to a trip. A small stage is begun at once.
pub(crate) struct Starter {
    tasks: Arc<Tasks>,
    components: Arc<[Arc<dyn Begin>]>,
    /// Where they run.
    runtime: Handle,
    /// How many blocks have begun.
    begun: usize,
}

impl Starter {
    pub(crate) fn new(
        tasks: Arc<Tasks>,
        components: Arc<[Arc<dyn Begin>]>,
        runtime: Handle,
    ) -> Self {
        Self {
            tasks,
            components,
            runtime,
            begun: 0,
        }
    }

    pub(crate) fn start(mut self) {
        let few = self.tasks.blocks.len() <= AT_ONCE;
        // A current-thread runtime has no other worker.
        if few || self.runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
            while self.begin_block() {}
        } else {
            let runtime = self.runtime.clone();
            runtime.spawn(async move {
                while (0..AT_ONCE).all(|_| self.begin_block()) {
                    to_the_end_of_the_queue().await;
                }
            });
        }
    }

    /// Begins the next block. Returns `false` if there is none.
    fn begin_block(&mut self) -> bool {
        let more = self.begun < self.tasks.blocks.len();
        if more {
            self.tasks
                .begin(self.begun, &self.components, &self.runtime);
            self.begun += 1;
        }
        more
    }
}

/// Yields to other tasks, and continues on this worker or another one.
///
/// After tokio's `yield_now` a task stays with its worker. If a task blocked that worker, all tasks that have not
/// begun would be delayed.
async fn to_the_end_of_the_queue() {
    let mut waited = false;
    poll_fn(|cx| {
        if mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Drop for Starter {
    /// If it was cut short, by a runtime that shuts down or a panic of a log subscriber, the rest never begins.
    fn drop(&mut self) {
        for block in &self.tasks.blocks[self.begun..] {
            for place in block.places() {
                let _ = self.tasks.begun_or_never(place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::machine::Exit;
    use crate::policy::{ComponentId, Layout, Plan, Policy};
    use crate::shell::component::adapt::Task;
    use crate::shell::component::context::Context;
    use crate::shell::component::stage_run::StageRun;
    use crate::shell::inbound::{ComponentAnswer, IncarnationId};
    use crate::shell::run_state::RunState;

    #[tokio::test]
    async fn who_was_aborted_before_it_begins_is_gone_and_never_begins() {
        let plan = Plan::new(Policy::default(), Layout::new(&[3]).unwrap()).unwrap();
        let names = vec!["a".into(), "b".into(), "c".into()];
        let shared = Arc::new(RunState::new(Arc::new(plan), names));
        let begun = Arc::new(AtomicUsize::new(0));
        let component = || -> Arc<dyn Begin> {
            let begun = Arc::clone(&begun);
            Arc::new(Task(move |_: Context| async move {
                begun.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }))
        };
        let stage = StageRun::new(1, 0..3, Arc::clone(&shared));
        let starter = stage.starter(
            &[component(), component(), component()].into(),
            &Handle::current(),
        );
        // Twice, as at a deadline and again at the end of the run.
        stage.abort(ComponentId(1));
        stage.abort(ComponentId(1));
        let mut answers = Default::default();
        shared.mailbox.take_answers(&mut answers);
        let gone = |answer: &ComponentAnswer| match *answer {
            ComponentAnswer::Gone(IncarnationId { component, .. }, _) => Some(component),
            _ => None,
        };
        let gone: Vec<_> = answers.iter().map(gone).collect();
        assert_eq!(gone, [Some(ComponentId(1))]);
        assert_eq!(stage.of(ComponentId(1)).how(), Exit::Aborted);
        assert!(
            shared.published.roster.any_alive(),
            "the others may begin at any moment"
        );

        starter.start();
        while shared.published.roster.any_alive() {
            tokio::task::yield_now().await;
        }
        assert_eq!(begun.load(Ordering::Relaxed), 2);
    }
}
