//! One client at a time, for the member that last answered. Used by all but the probe.

use std::future::Future;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use etcd_client::{Client, Error, ResponseHeader};
use tokio::time::timeout;

use super::config::EtcdConfig;
use super::expected_cluster::ExpectedCluster;
use super::has_header::HasHeader;
use super::turn::Turn;
use crate::etcd::basics::{EtcdError, Fault};
use crate::etcd::host::{Latest, clock};
use crate::shell::sync::lock;

/// Asks one member as long as it answers, then the next one. All users of it move on together.
pub(crate) struct Failover {
    config: Arc<EtcdConfig>,
    /// How long one request to one member may take.
    request_timeout: Duration,
    at: Mutex<At>,
    /// The current turn, for tasks that wait for another one.
    moved: Latest<Turn>,
}

struct At {
    turn: Turn,
    client: Option<Client>,
}

impl Failover {
    pub(crate) fn new(config: Arc<EtcdConfig>, request_timeout: Duration) -> Self {
        let (turn, client) = (Turn::new(config.endpoints.len()), None);
        Self {
            config,
            request_timeout,
            at: Mutex::new(At { turn, client }),
            moved: Latest::new(turn),
        }
    }

    /// The endpoint that is asked next.
    pub(crate) fn index(&self) -> usize {
        self.turn().member()
    }

    /// The current turn. It changes each time another member is asked than before.
    pub(crate) fn turn(&self) -> Turn {
        self.moved.get()
    }

    /// Waits until the turn is another one than this.
    pub(crate) async fn moved(&self, turn: Turn) {
        self.moved
            .wait_for(|&now| (now != turn).then_some(()))
            .await;
    }

    /// Sends one request, with a timeout. After a failure the next request goes to the next member.
    ///
    /// An answer of another cluster is a failure too.
    pub(crate) async fn ask<T, F, Fut>(
        &self,
        of: ExpectedCluster,
        question: F,
    ) -> Result<T, EtcdError>
    where
        T: HasHeader,
        F: FnOnce(Client) -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        let (turn, client) = self.client().await?;
        let asked = timeout(self.request_timeout, question(client)).await;
        let cause = match asked {
            Ok(Ok(answer)) => match self.believed(of, turn, answer.headed()) {
                Ok(()) => return Ok(answer),
                Err(cause) => cause,
            },
            Ok(Err(error)) => EtcdError::from(error),
            Err(_) => EtcdError::silent(),
        };
        self.move_on(|now| now.failed(turn, &cause));
        Err(self.explained(cause))
    }

    /// Checks that an answer is from the expected cluster.
    fn believed(
        &self,
        of: ExpectedCluster,
        turn: Turn,
        header: Option<&ResponseHeader>,
    ) -> Result<(), EtcdError> {
        let header = header.ok_or_else(EtcdError::without_header)?;
        let index = turn.member();
        let cluster = header.cluster_id();
        self.config.clusters.saw(index, cluster, clock::now());
        of.believes(cluster).map_err(|meant| {
            let url = self.config.endpoints[index].url();
            EtcdError::of_another_cluster(url, cluster, meant)
        })
    }

    /// Checks that all endpoints that have answered lately belong to one cluster, and to the expected one.
    ///
    /// If answers of one cluster only are accepted, nothing else is needed.
    pub(crate) fn undivided(&self, of: ExpectedCluster) -> Result<(), EtcdError> {
        let split = match of {
            ExpectedCluster::Any => self.config.split(clock::now()),
            ExpectedCluster::Cluster(_) => None,
        };
        match split {
            Some(split) => Err(EtcdError::passing(Fault::Misdirected, split)),
            None => Ok(()),
        }
    }

    /// Drops the client: its connection may be dead, or its token expired.
    pub(crate) fn reopen(&self) {
        self.at().client = None;
    }

    async fn client(&self) -> Result<(Turn, Client), EtcdError> {
        let turn = {
            let at = self.at();
            if let Some(client) = &at.client {
                return Ok((at.turn, client.clone()));
            }
            at.turn
        };
        let endpoint = &self.config.endpoints[turn.member()];
        // This does I/O only to authenticate; the first request makes the connection.
        let dialed = timeout(self.request_timeout, self.config.dial(endpoint.url())).await;
        let dialed =
            dialed.unwrap_or_else(|_| Err(std::io::Error::from(ErrorKind::TimedOut).into()));
        match dialed {
            Ok(client) => {
                let mut at = self.at();
                if at.turn.keeps(turn) {
                    at.client = Some(client.clone());
                }
                Ok((turn, client))
            }
            Err(error) => {
                self.move_on(|now| now.not_reached(turn));
                Err(self.explained(error.into()))
            }
        }
    }

    fn move_on(&self, next: impl FnOnce(Turn) -> Option<Turn>) {
        let mut at = self.at();
        if let Some(turn) = next(at.turn) {
            let client = None;
            *at = At { turn, client };
            self.moved.set(turn);
        }
    }

    fn explained(&self, cause: EtcdError) -> EtcdError {
        match &self.config.tls {
            Some(tls) => tls.explain(cause),
            None => cause,
        }
    }

    fn at(&self) -> MutexGuard<'_, At> {
        lock(&self.at)
    }
}
