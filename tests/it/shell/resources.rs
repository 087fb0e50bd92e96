//! What components provide for the stages above them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use overwatch::Context;

use super::support::{Notes, policy, start};

/// Counts how many of it there are.
struct Pool {
    epoch: u64,
    left: Arc<AtomicU32>,
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.left.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn uses(ctx: Context, notes: Notes) -> Result<(), overwatch::Failure> {
    let pool = ctx.resource::<Pool>()?;
    notes.add(format!("{} uses the pool of {}", ctx.name(), pool.epoch));
    ctx.mark_ready();
    ctx.stopping().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_resource_lives_as_long_as_its_epoch() {
    let left = Arc::new(AtomicU32::new(0));
    let running = start(&[1, 1], policy().build().unwrap(), |builder, notes| {
        let (pools, notes) = (Arc::clone(&left), notes.clone());
        builder
            .task("pool", move |ctx: Context| async move {
                pools.fetch_add(1, Ordering::SeqCst);
                let pool = ctx.provide(Pool {
                    epoch: ctx.epoch(),
                    left: pools,
                });
                ctx.mark_ready();
                ctx.stopping().await;
                assert_eq!(Arc::strong_count(&pool), 2, "those above are gone");
                Ok(())
            })
            .next_stage()
            .task("api", move |ctx: Context| uses(ctx, notes))
    });
    running.until_ready(1).await;
    assert_eq!(left.load(Ordering::SeqCst), 1);
    running.handle.trip().unwrap();
    running.until_ready(2).await;
    assert_eq!(left.load(Ordering::SeqCst), 1, "the first is gone");
    assert_eq!(
        running.notes.all(),
        ["api uses the pool of 1", "api uses the pool of 2"]
    );
    let handle = running.handle.clone();
    running.shut_down().await;
    assert_eq!(left.load(Ordering::SeqCst), 0);
    drop(handle);
}

#[tokio::test(start_paused = true)]
async fn a_resource_that_is_missing_fails_the_start_with_what_to_do() {
    let policy = policy().give_up_after(1).build().unwrap();
    let running = start(&[1], policy, |builder, notes| {
        let notes = notes.clone();
        builder.task("api", move |ctx: Context| uses(ctx, notes))
    });
    let error = running.end().await.0.unwrap_err().to_string();
    assert!(
        error.contains("\"api\" needs a ")
            && error.contains("Pool")
            && error.contains("call `ctx.provide(..)`"),
        "{error}"
    );
}

/// It is over when its main task is, whoever still has its context.
#[tokio::test(start_paused = true)]
async fn what_has_ended_provides_nothing() {
    let left = Arc::new(AtomicU32::new(0));
    let running = start(&[1], policy().build().unwrap(), |builder, notes| {
        let (pools, notes) = (Arc::clone(&left), notes.clone());
        builder.task("late", move |ctx: Context| async move {
            ctx.mark_ready();
            let (late, hold) = (ctx.clone(), ctx.hold());
            ctx.stopping().await;
            tokio::spawn(async move {
                tokio::task::yield_now().await;
                pools.fetch_add(1, Ordering::SeqCst);
                let epoch = late.epoch();
                drop(late.provide(Pool { epoch, left: pools }));
                notes.add(format!("found: {}", late.resource::<Pool>().is_ok()));
                drop(hold);
            });
            Ok(())
        })
    });
    running.until_ready(1).await;
    let notes = running.notes.clone();
    running.shut_down().await;
    assert_eq!(notes.all(), ["found: false"]);
    assert_eq!(left.load(Ordering::SeqCst), 0);
}
