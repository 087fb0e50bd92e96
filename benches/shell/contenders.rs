//! The same job by four: overwatch, the least that tokio needs for it, and the peers.
//!
//! Each starts as many components as are asked for, which say that they are up and wait to be told
//! to stop. What is made before the start is not timed.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use overwatch::{Overwatch, Policy};
use task_supervisor::{SupervisedTask, SupervisorBuilder, TaskResult};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio_graceful_shutdown::{SubsystemBuilder, SubsystemHandle, Toplevel};
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(3600);

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Contender {
    Overwatch,
    Bare,
    GracefulShutdown,
    TaskSupervisor,
}

/// How long it took until all were up, and from the stop until all were gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    pub(crate) start: Duration,
    pub(crate) stop: Duration,
}

impl Contender {
    pub(crate) const ALL: [Self; 4] = [
        Self::Overwatch,
        Self::Bare,
        Self::GracefulShutdown,
        Self::TaskSupervisor,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Overwatch => "overwatch",
            Self::Bare => "bare",
            Self::GracefulShutdown => "tokio-graceful-shutdown",
            Self::TaskSupervisor => "task-supervisor",
        }
    }

    /// One start and one stop; between them all are up.
    pub(crate) fn run(
        self,
        runtime: &Runtime,
        place: &Place,
        components: usize,
        meanwhile: impl FnMut(),
    ) -> Took {
        match self {
            Self::Overwatch => supervised(runtime, place, components, meanwhile),
            Self::Bare => bare(runtime, place, components, meanwhile),
            Self::GracefulShutdown => graceful_shutdown(runtime, place, components, meanwhile),
            Self::TaskSupervisor => task_supervisor(runtime, place, components, meanwhile),
        }
    }
}

/// Where that runs which starts and stops the components.
pub(crate) enum Place {
    /// In a thread that awaits it and does nothing else, as `main` usually does.
    Main(mpsc::Sender<Work>),
    /// It is spawned.
    Worker,
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Place {
    pub(crate) fn main(runtime: &Runtime) -> Self {
        let (give, given) = mpsc::channel();
        let runtime = runtime.handle().clone();
        thread::spawn(move || {
            for work in given {
                runtime.block_on(work);
            }
        });
        Self::Main(give)
    }

    /// What it yields, once it is done.
    fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (tell, told) = oneshot::channel();
        let work = async move {
            let _ = tell.send(work.await);
        };
        match self {
            Self::Main(give) => give.send(Box::pin(work)).expect("it waits for that"),
            Self::Worker => drop(tokio::spawn(work)),
        }
        told
    }
}

fn supervised(
    runtime: &Runtime,
    place: &Place,
    components: usize,
    mut meanwhile: impl FnMut(),
) -> Took {
    let (feed, probe) = overwatch::feed();
    let policy = Policy::builder().silence_limit(LONG).build();
    let mut builder = Overwatch::builder(probe).policy(policy.expect("it works"));
    for number in 0..components {
        builder = builder.task(format!("{number}"), |ctx| async move {
            ctx.mark_ready();
            ctx.stopping().await;
            Ok(())
        });
    }
    let service = builder.build().expect("it can be built");
    let handle = service.handle();
    runtime.block_on(async move {
        feed.alive("at boot");
        let began = Instant::now();
        let run = place.run(service.run());
        handle.wait_until_ready().await.expect("it gets ready");
        let start = began.elapsed();
        meanwhile();
        let began = Instant::now();
        handle.shutdown();
        run.await.expect("it does not panic").expect("it stops");
        let stop = began.elapsed();
        Took { start, stop }
    })
}

/// Tells when all have said that they are up.
struct Up {
    missing: AtomicUsize,
    none: Notify,
}

impl Up {
    fn all_of(components: usize) -> Arc<Self> {
        Arc::new(Self {
            missing: AtomicUsize::new(components),
            none: Notify::new(),
        })
    }

    fn one(&self) {
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.none.notify_one();
        }
    }
}

fn bare(runtime: &Runtime, place: &Place, components: usize, mut meanwhile: impl FnMut()) -> Took {
    runtime.block_on(async {
        let token = CancellationToken::new();
        let up = Up::all_of(components);
        let began = Instant::now();
        let run = place.run({
            let (token, up) = (token.clone(), Arc::clone(&up));
            async move {
                let mut tasks = JoinSet::new();
                for _ in 0..components {
                    let (token, up) = (token.clone(), Arc::clone(&up));
                    tasks.spawn(async move {
                        up.one();
                        token.cancelled().await;
                    });
                }
                while tasks.join_next().await.is_some() {}
            }
        });
        up.none.notified().await;
        let start = began.elapsed();
        meanwhile();
        let began = Instant::now();
        token.cancel();
        run.await.expect("it does not panic");
        let stop = began.elapsed();
        Took { start, stop }
    })
}

fn graceful_shutdown(
    runtime: &Runtime,
    place: &Place,
    components: usize,
    mut meanwhile: impl FnMut(),
) -> Took {
    runtime.block_on(async {
        let token = CancellationToken::new();
        let up = Up::all_of(components);
        let names: Vec<String> = (0..components).map(|number| number.to_string()).collect();
        let began = Instant::now();
        let run = place.run({
            let (token, up) = (token.clone(), Arc::clone(&up));
            async move {
                let all = async move |root: &mut SubsystemHandle| {
                    for name in names {
                        let up = Arc::clone(&up);
                        let one = async move |subsystem: &mut SubsystemHandle| {
                            up.one();
                            subsystem.on_shutdown_requested().await;
                            Ok::<(), BoxedError>(())
                        };
                        root.start(SubsystemBuilder::new(name, one));
                    }
                };
                Toplevel::<BoxedError>::new_with_shutdown_token(all, token)
                    .handle_shutdown_requests(LONG)
                    .await
            }
        });
        up.none.notified().await;
        let start = began.elapsed();
        meanwhile();
        let began = Instant::now();
        token.cancel();
        run.await.expect("it does not panic").expect("it stops");
        let stop = began.elapsed();
        Took { start, stop }
    })
}

#[derive(Clone)]
struct Trivial(Arc<Up>);

impl SupervisedTask for Trivial {
    async fn run(self, cancel: CancellationToken) -> TaskResult {
        self.0.one();
        cancel.cancelled().await;
        Ok(())
    }
}

fn task_supervisor(
    runtime: &Runtime,
    place: &Place,
    components: usize,
    mut meanwhile: impl FnMut(),
) -> Took {
    let up = Up::all_of(components);
    let mut builder = SupervisorBuilder::new();
    for number in 0..components {
        builder = builder.with_task(&number.to_string(), Trivial(Arc::clone(&up)));
    }
    runtime.block_on(async move {
        let began = Instant::now();
        let told = place.run(async move { builder.spawn() });
        up.none.notified().await;
        let start = began.elapsed();
        let handle = told.await.expect("it was spawned");
        meanwhile();
        let began = Instant::now();
        handle.shutdown().await.expect("it stops");
        let stop = began.elapsed();
        Took { start, stop }
    })
}
