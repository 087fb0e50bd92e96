//! A shard whose claim is gone, though its lease lives on.

use super::*;

/// It asks nobody whether it still has the shard, and is not told to stop.
#[tokio::test(start_paused = true)]
async fn work_whose_claim_is_gone_is_dropped_at_its_next_await() {
    for stops in [false, true] {
        let (_session, shard) = shard(3_600 * SECOND);
        let (done, begun) = (Arc::new(Mutex::new(0)), Instant::now());
        let losing = async {
            sleep(2 * SECOND + SECOND / 2).await;
            if stops {
                shard.stop();
            }
            shard.lose();
        };
        let (outcome, ()) = tokio::join!(shard.clone().run(working(&done)), losing);
        assert_eq!(outcome.how, ShardExit::Lost);
        assert_eq!(begun.elapsed(), 2 * SECOND + SECOND / 2, "stops: {stops}");
        assert_eq!(*done.lock().expect("no panic"), 2);
    }
}
