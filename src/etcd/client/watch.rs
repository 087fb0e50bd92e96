//! Messages of watches.

use etcd_client::{WatchResponse, WatchStream};

use crate::etcd::basics::{EtcdError, Fault};

/// The next message of a watch. A watch can end with a message as well as with an error.
pub(crate) async fn next(watch: &mut WatchStream) -> Result<WatchResponse, EtcdError> {
    match watch.message().await {
        Ok(Some(message)) if message.canceled() => {
            // etcd gives no reason for a compaction, only where the revisions begin that are left.
            let reason = match (message.cancel_reason(), message.compact_revision()) {
                ("", left @ 1..) => &*format!("all before revision {left} has been compacted"),
                (reason, _) => reason,
            };
            Err(EtcdError::of_canceled_watch(reason))
        }
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err(EtcdError::passing(
            Fault::Unreachable,
            "the server ended the watch",
        )),
        Err(error) => Err(error.into()),
    }
}
