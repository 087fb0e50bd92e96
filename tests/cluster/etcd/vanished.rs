//! Which keys vanish, and when anybody could see it.

use std::sync::{Arc, Mutex, PoisonError};

use etcd_client::{EventType, WatchOptions};
use tokio::task::JoinHandle;

use super::{Member, within};
use crate::record::now;

/// Notes each key below a prefix that vanishes, from when it is made until it is dropped.
pub(crate) struct Vanished {
    seen: Arc<Mutex<Vec<(u64, String)>>>,
    watching: JoinHandle<()>,
}

impl Vanished {
    /// As this member tells it.
    pub(crate) async fn follow(member: &Member, prefix: &str) -> Result<Self, String> {
        let options = WatchOptions::new().with_prefix();
        let asked = async { member.client().await?.watch(prefix, Some(options)).await };
        let mut stream = within(asked).await?;
        let seen = Arc::<Mutex<Vec<(u64, String)>>>::default();
        let noted = Arc::clone(&seen);
        let watching = tokio::spawn(async move {
            while let Ok(Some(answer)) = stream.message().await {
                let at = now();
                let deleted = answer.events().iter().filter(|event| {
                    // What was put and deleted counts like anything else that is not there any more.
                    event.event_type() == EventType::Delete
                });
                let keys = deleted.filter_map(|event| event.kv()).map(|kv| kv.key());
                let keys = keys.map(|key| (at, String::from_utf8_lossy(key).into_owned()));
                let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                noted.extend(keys);
            }
        });
        Ok(Self { seen, watching })
    }

    /// When it was seen, and the key; in the order in which they vanished.
    pub(crate) fn keys(&self) -> Vec<(u64, String)> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }
}

impl Drop for Vanished {
    fn drop(&mut self) {
        self.watching.abort();
    }
}
