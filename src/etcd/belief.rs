//! Which answers are believed: those of the cluster that is meant.

use etcd_client::{
    DeleteResponse, GetResponse, LeaseGrantResponse, LeaseKeepAliveResponse, LeaseRevokeResponse,
    LeaseTimeToLiveResponse, PutResponse, ResponseHeader, StatusResponse, TxnResponse,
    WatchResponse,
};

use super::cause::Cause;

/// Whose answers are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// Those of any cluster.
    Any,
    /// Those of the cluster with this id.
    Cluster(u64),
}

impl Of {
    /// Whether an answer of this cluster is one of that which is meant. (What stands between may name none, and
    /// answers with 0.)
    pub(super) fn believes(self, cluster: u64) -> Result<(), u64> {
        match self {
            Self::Cluster(meant) if meant != cluster && meant != 0 && cluster != 0 => Err(meant),
            _ => Ok(()),
        }
    }

    /// A message of a watch, if it is of the cluster that is meant.
    pub(super) fn believe(self, message: WatchResponse) -> Result<WatchResponse, Cause> {
        let cluster = message.header().map_or(0, ResponseHeader::cluster_id);
        match self.believes(cluster) {
            Ok(()) => Ok(message),
            Err(meant) => Err(Cause::of_another_cluster("the watch", cluster, meant)),
        }
    }
}

/// What etcd answers: it always names its cluster.
pub(super) trait Headed {
    fn headed(&self) -> Option<&ResponseHeader>;
}

macro_rules! headed {
    ($($response:ty),* $(,)?) => {
        $(impl Headed for $response {
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

/// With what came along.
impl<T, H: Headed> Headed for (T, H) {
    fn headed(&self) -> Option<&ResponseHeader> {
        self.1.headed()
    }
}
