//! How a client for one member is opened.

use etcd_client::{Client, ConnectOptions, Error};
use std::time::Duration;

use super::cause::is_auth_disabled;
use super::config::EtcdConfig;

/// Opens a client for one member. The simulation has one of its own.
#[async_trait::async_trait]
pub(crate) trait Dial: Send + Sync + 'static {
    async fn dial(&self, url: &str, config: &EtcdConfig) -> Result<Client, Error>;
}

/// Over the network.
pub(super) struct Tcp;

#[async_trait::async_trait]
impl Dial for Tcp {
    async fn dial(&self, url: &str, config: &EtcdConfig) -> Result<Client, Error> {
        let url = [url];
        let Some((name, password)) = &config.user else {
            return Client::connect(url, Some(options(config))).await;
        };
        let authenticated = options(config).with_user(name, password);
        match Client::connect(url, Some(authenticated)).await {
            Err(error) if is_auth_disabled(&error) => {
                Client::connect(url, Some(options(config))).await
            }
            other => other,
        }
    }
}

fn options(config: &EtcdConfig) -> ConnectOptions {
    let connect_timeout = config.pace.connect_timeout;
    let options = ConnectOptions::new()
        .with_require_leader(true)
        .with_keep_alive(KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT)
        .with_keep_alive_while_idle(true)
        .with_connect_timeout(connect_timeout);
    match &config.tls {
        Some(tls) => options.with_tls(tls.options().timeout(connect_timeout)),
        None => options,
    }
}

/// etcd kills connections that ping more often than every 5 s (its
/// `--grpc-keepalive-min-time`).
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
