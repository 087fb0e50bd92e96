//! A run inside of a component of another run: what fails in the inner one leaves the outer one as it is.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use overwatch::machine::Phase;
use overwatch::{Context, Failure, Handle, Overwatch, Policy, no_dependency};
use tokio::sync::{Notify, watch};

use super::support::{Notes, policy, start, worker};

/// What an inner run shares with the test.
#[derive(Clone)]
struct Parts {
    notes: Notes,
    /// Lets the reader fail.
    fails: Arc<Notify>,
    inner: Arc<watch::Sender<Option<Handle>>>,
}

impl Parts {
    fn new(notes: &Notes) -> Self {
        Self {
            notes: notes.clone(),
            fails: Arc::default(),
            inner: Arc::default(),
        }
    }

    /// As in the guide.
    async fn run(self, ctx: Context) -> Result<(), Failure> {
        let policy = Policy::builder()
            .stop_deadline(Duration::from_secs(2))
            .abort_deadline(Duration::from_secs(1));
        let fails = Arc::clone(&self.fails);
        let parts = Overwatch::builder(no_dependency())
            .policy(policy.build()?)
            .task("reader", move |ctx| async move {
                ctx.mark_ready();
                match ctx.until_stopping(fails.notified()).await {
                    Some(()) => Err("a bad line".into()),
                    None => Ok(()),
                }
            })
            .next_stage()
            .component("writer", worker(&self.notes, "writer"))
            .build()?;
        let handle = parts.handle();
        self.inner.send_replace(Some(handle.clone()));
        let mut run = pin!(parts.run_until(ctx.stopping()));
        tokio::select! {
            ended = &mut run => return Ok(ended?),
            Ok(_) = handle.wait_until_ready() => ctx.mark_ready(),
        }
        Ok(run.await?)
    }

    fn inner(&self) -> Handle {
        self.inner.borrow().clone().expect("it runs")
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_in_a_nested_run_leaves_the_outer_one_as_it_is() {
    let mut parts = None;
    let running = start(&[1], policy().build().unwrap(), |builder, notes| {
        let made = parts.insert(Parts::new(notes)).clone();
        builder.task("importer", move |ctx| made.run(ctx))
    });
    let parts = parts.expect("it was made");
    running.until_ready(1).await;

    for epoch in 2..=3 {
        parts.fails.notify_one();
        let inner = parts.inner();
        inner.wait_for(|status| !status.ready).await.unwrap();
        assert!(running.handle.is_ready());
        let status = inner.wait_until_ready().await.unwrap();
        assert_eq!(status.epoch, epoch);
    }
    assert_eq!(
        running.notes.all(),
        [
            "writer up 1",
            "writer stopped 1",
            "writer up 2",
            "writer stopped 2",
            "writer up 3"
        ]
    );
    let status = running.handle.status();
    assert_eq!((status.phase, status.epoch), (Phase::Running, 1));
    assert_eq!(running.handle.outages().len(), 1, "only the boot");

    // An outage of the outer run stops the inner one in order, and begins with a new one.
    running.dependency.fail("connection refused");
    running.until_phase(Phase::Monitoring).await;
    assert_eq!(parts.inner().status().phase, Phase::Stopped);
    assert_eq!(running.notes.count("writer stopped 3"), 1);
    running.dependency.recover();
    running.until_ready(2).await;
    assert_eq!(parts.inner().status().epoch, 1);

    let notes = running.notes.clone();
    running.shut_down().await;
    assert_eq!(notes.count("writer stopped 1"), 2);
    assert_eq!(parts.inner().status().phase, Phase::Stopped);
}

/// Its error is that of the component.
#[tokio::test(start_paused = true)]
async fn a_nested_run_that_is_halted_fails_its_component() {
    let running = start(&[1], policy().build().unwrap(), |builder, _| {
        builder.task("importer", |ctx| async move {
            ctx.mark_ready();
            let parts = Overwatch::builder(no_dependency())
                .task("reader", |_| async {
                    Err(Failure::from("no file is configured").fatal())
                })
                .build()?;
            parts.run_until(ctx.stopping()).await?;
            Ok(())
        })
    });
    let status = running
        .until(|status| status.phase == Phase::Monitoring && status.epoch == 1)
        .await;
    assert!(
        status.reason.contains("no file is configured"),
        "{}",
        status.reason
    );
    running.shut_down().await;
}
