//! Stages so large that answers are not taken one by one, and components whose futures are large.

use std::pin::pin;
use std::time::Duration;

use overwatch::machine::{ComponentState, Phase};
use overwatch::test_util::TestContext;
use overwatch::{Builder, Failure};
use tokio::time::{Instant, sleep};

use super::support::{policy, start, worker};

const MANY: usize = 300;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Adds components that say that they are up after some time, and take some more to stop.
fn add(
    mut builder: Builder,
    up_after: impl Fn(usize) -> Duration,
    stop_takes: impl Fn(usize) -> Duration,
) -> Builder {
    for number in 0..MANY {
        let (up_after, stop_takes) = (up_after(number), stop_takes(number));
        builder = builder.task(format!("{number}"), move |ctx| async move {
            if ctx.sleep(up_after).await {
                ctx.mark_ready();
            }
            ctx.stopping().await;
            sleep(stop_takes).await;
            Ok(())
        });
    }
    builder
}

#[tokio::test(start_paused = true)]
async fn they_are_stopped_and_started_in_order() {
    let running = start(
        &[MANY, 100],
        policy().build().unwrap(),
        |mut builder, notes| {
            for number in 0..MANY {
                builder = builder.component(format!("{number}"), worker(notes, "low"));
            }
            builder = builder.next_stage();
            for number in 0..100 {
                builder = builder.component(format!("high {number}"), worker(notes, "high"));
            }
            builder
        },
    );
    running.until_ready(1).await;
    running.dependency.fail("connection refused");
    running.until_phase(Phase::Monitoring).await;
    running.dependency.recover();
    running.until_ready(2).await;
    let notes = running.notes.clone();
    running.shut_down().await;
    for note in ["low up 2", "low stopped 2"] {
        assert_eq!(notes.count(note), MANY, "{note}");
    }
    let all = notes.all();
    let first = |wanted: &str| all.iter().position(|note| note == wanted).unwrap();
    let last = |wanted: &str| all.iter().rposition(|note| note == wanted).unwrap();
    assert!(last("low up 2") < first("high up 2"));
    assert!(last("high stopped 2") < first("low stopped 2"));
}

#[tokio::test(start_paused = true)]
async fn a_page_tells_soon_who_is_up_and_who_is_gone() {
    let some_at_once = |number| ms(if number < 30 { 0 } else { 2_000 });
    let running = start(&[MANY], policy().build().unwrap(), |builder, _| {
        add(builder, some_at_once, some_at_once)
    });
    running.until_phase(Phase::Restarting).await;
    sleep(ms(15)).await;
    let count = |slot| {
        let all = running.handle.components();
        all.iter()
            .filter(|component| component.state == slot)
            .count()
    };
    assert_eq!(
        (count(ComponentState::Up), count(ComponentState::Starting)),
        (30, MANY - 30)
    );
    running.until_ready(1).await;
    running.handle.trip().unwrap();
    running.until_phase(Phase::ShuttingDown).await;
    sleep(ms(15)).await;
    assert_eq!(
        (count(ComponentState::Down), count(ComponentState::Stopping)),
        (30, MANY - 30)
    );
    running.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn the_last_one_is_not_waited_for_longer_than_it_takes() {
    let by_and_by = |number| ms(5 * number as u64);
    let running = start(&[MANY], policy().build().unwrap(), |builder, _| {
        add(builder, by_and_by, by_and_by)
    });
    running.until_phase(Phase::Restarting).await;
    let began = Instant::now();
    running.until_ready(1).await;
    let took = began.elapsed().as_millis();
    assert!((1_494..=1_497).contains(&took), "{took}");
    let began = Instant::now();
    running.handle.trip().unwrap();
    running.until_phase(Phase::Monitoring).await;
    let took = began.elapsed().as_millis();
    assert!((1_494..=1_497).contains(&took), "{took}");
    running.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn one_of_many_that_fails_to_start_is_told_at_once() {
    let running = start(&[MANY], policy().build().unwrap(), |builder, _| {
        let mut builder = builder.task("fails", |_| async {
            sleep(ms(1_234)).await;
            Err(Failure::new("no"))
        });
        for number in 1..MANY {
            builder = builder.task(format!("{number}"), |ctx| async move {
                ctx.stopping().await;
                Ok(())
            });
        }
        builder
    });
    running.until_phase(Phase::Restarting).await;
    let began = Instant::now();
    running.until_phase(Phase::ShuttingDown).await;
    let took = began.elapsed().as_millis();
    assert!((1_233..=1_236).contains(&took), "{took}");
    running.shut_down().await;
}

/// Loops that select ask a future again that has completed.
#[tokio::test(start_paused = true)]
async fn stopping_completes_whenever_it_is_asked() {
    let detached = TestContext::new("worker");
    let mut stopping = pin!(detached.context().stopping());
    detached.stop();
    for _ in 0..3 {
        (&mut stopping).await;
    }
}

/// It must not be moved about on anybody's stack, again and again.
#[tokio::test(start_paused = true)]
async fn a_component_with_a_large_future_runs() {
    let running = start(&[1], policy().build().unwrap(), |builder, _| {
        builder.task("large", |ctx| async move {
            let mut room = [0_u8; 256 << 10];
            ctx.mark_ready();
            ctx.stopping().await;
            room[0] = 1;
            assert_eq!(room.iter().map(|&byte| u32::from(byte)).sum::<u32>(), 1);
            Ok(())
        })
    });
    running.until_ready(1).await;
    running.shut_down().await;
}
