//! Messages of watches.

use etcd_client::{WatchResponse, WatchStream};

use crate::etcd::basics::{EtcdError, Fault};

/// The next message of a watch. A watch can end with a message as well as with an error.
pub(crate) async fn next(watch: &mut WatchStream) -> Result<WatchResponse, EtcdError> {
    match watch.message().await {
        Ok(Some(message)) if message.canceled() => {
            Err(EtcdError::of_canceled_watch(message.cancel_reason()))
        }
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err(EtcdError::passing(
            Fault::Unreachable,
            "the server ended the watch",
        )),
        Err(error) => Err(error.into()),
    }
}
