//! Alarms, and what a member thinks of itself.

use etcd_client::proto::*;
use tonic::{Request, Response, Status};

use super::faults::Condition;
use super::member::{Member, Replies, Reply, unused};

#[tonic::async_trait]
impl PbMaintenanceService for Member {
    async fn alarm(&self, request: Request<PbAlarmRequest>) -> Reply<PbAlarmResponse> {
        let asked = self.asked(|now| now.leads(self.index) && now.commits).await;
        self.reply(asked).await;
        let Condition {
            alarm,
            shows_alarms,
            ..
        } = self.cluster.now();
        if !shows_alarms {
            return Err(Status::permission_denied("etcdserver: permission denied"));
        }
        // None asks for all kinds.
        let wanted = request.get_ref().alarm;
        let is_wanted = alarm != 0 && (wanted == 0 || wanted == alarm);
        let raised = is_wanted.then_some(PbAlarmMember {
            member_id: self.id(),
            alarm,
        });
        Ok(Response::new(PbAlarmResponse {
            header: self.header_now(),
            alarms: raised.into_iter().collect(),
        }))
    }

    async fn status(&self, _: Request<PbStatusRequest>) -> Reply<PbStatusResponse> {
        let asked = self.asked(|_| true).await;
        self.reply(asked).await;
        Ok(Response::new(PbStatusResponse {
            header: self.header_now(),
            leader: u64::from(self.cluster.now().leader),
            ..Default::default()
        }))
    }

    async fn defragment(&self, _: Request<PbDefragmentRequest>) -> Reply<PbDefragmentResponse> {
        unused()
    }

    async fn hash(&self, _: Request<PbHashRequest>) -> Reply<PbHashResponse> {
        unused()
    }

    async fn hash_kv(&self, _: Request<PbHashKvRequest>) -> Reply<PbHashKvResponse> {
        unused()
    }

    type SnapshotStream = Replies<PbSnapshotResponse>;

    async fn snapshot(&self, _: Request<PbSnapshotRequest>) -> Reply<Self::SnapshotStream> {
        unused()
    }

    async fn move_leader(&self, _: Request<PbMoveLeaderRequest>) -> Reply<PbMoveLeaderResponse> {
        unused()
    }

    async fn downgrade(&self, _: Request<PbDowngradeRequest>) -> Reply<PbDowngradeResponse> {
        unused()
    }
}
