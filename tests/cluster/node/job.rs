//! What a job of a node does, and the two ways in which it may be slow to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use overwatch::Failure;
use overwatch::etcd::Shard;
use overwatch_examples::endpoint::Endpoint;
use tokio::time::{Instant, sleep, timeout};

use super::{BLOCKED, say};
use crate::record::{Kind, Recorder, Running};

/// How long a job pauses between two checks, and how long it waits for an answer.
const CHECK_EVERY: Duration = Duration::from_millis(50);
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// What all jobs of a node have in common.
pub(super) struct Job {
    pub(super) recorder: Arc<Recorder>,
    /// What they ask; none if they do nothing.
    pub(super) target: Option<Endpoint>,
    /// How long they go on when they are told to stop.
    pub(super) drain: Duration,
    /// Whether one of them is to block. The first that sees it does.
    pub(super) block: Arc<AtomicBool>,
}

impl Job {
    /// Checks a target over and over, as long as the shard is this node's.
    pub(super) async fn run(self: Arc<Self>, shard: Shard) -> Result<(), Failure> {
        let running = self.recorder.start(shard.index(), shard.token())?;
        let Some(target) = self.target else {
            shard.stopping().await;
            return Ok(());
        };
        let path = format!("/checked/{}", shard.name());
        while shard.sleep(CHECK_EVERY).await {
            let checked = shard.until_stopping(target.get(&path));
            self.one_unit(&shard, &running, checked).await?;
        }
        let told = Instant::now();
        while told.elapsed() < self.drain {
            sleep(CHECK_EVERY).await;
            self.one_unit(&shard, &running, target.get(&path)).await?;
        }
        Ok(())
    }

    async fn one_unit<T>(
        &self,
        shard: &Shard,
        running: &Running,
        checked: impl Future<Output = T>,
    ) -> Result<(), Failure> {
        // It asks nobody, and says whether another node may be doing this by now.
        shard.check()?;
        running.note(Kind::Begin)?;
        if self.block.swap(false, Ordering::Relaxed) {
            say(&format!("{BLOCKED}{}", shard.index()));
            block();
        }
        // That the target is down would be what this job is there to find out, and no failure of it.
        let _ = timeout(ANSWER_WITHIN, checked).await;
        running.note(Kind::RunOutcome)?;
        Ok(())
    }
}

/// As a call does that never returns. Nobody can stop it: it awaits nothing.
fn block() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}
