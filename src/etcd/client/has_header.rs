//! Access to the cluster id in the answers of the client library.

use etcd_client::{
    DeleteResponse, GetResponse, LeaseGrantResponse, LeaseKeepAliveResponse, LeaseRevokeResponse,
    LeaseTimeToLiveResponse, PutResponse, ResponseHeader, StatusResponse, TxnResponse,
    WatchResponse,
};

use super::expected_cluster::ExpectedCluster;
use crate::etcd::basics::EtcdError;

impl ExpectedCluster {
    /// The message of a watch, if it is from the expected cluster.
    pub(crate) fn believe(self, message: WatchResponse) -> Result<WatchResponse, EtcdError> {
        let cluster = message.header().map_or(0, ResponseHeader::cluster_id);
        match self.believes(cluster) {
            Ok(()) => Ok(message),
            Err(meant) => Err(EtcdError::of_another_cluster("the watch", cluster, meant)),
        }
    }
}

/// An answer of etcd. Its header contains the id of the cluster.
pub(crate) trait HasHeader {
    fn headed(&self) -> Option<&ResponseHeader>;
}

macro_rules! headed {
    ($($response:ty),* $(,)?) => {
        $(impl HasHeader for $response {
            fn headed(&self) -> Option<&ResponseHeader> {
                self.header()
            }
        })*
    };
}

headed!(
    DeleteResponse,
    GetResponse,
    LeaseGrantResponse,
    LeaseKeepAliveResponse,
    LeaseRevokeResponse,
    LeaseTimeToLiveResponse,
    PutResponse,
    StatusResponse,
    TxnResponse,
    WatchResponse,
);

/// An answer together with another value.
impl<T, H: HasHeader> HasHeader for (T, H) {
    fn headed(&self) -> Option<&ResponseHeader> {
        self.1.headed()
    }
}
