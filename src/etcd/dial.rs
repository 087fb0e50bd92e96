//! How a client for one member is opened.

use etcd_client::{Client, ConnectOptions, Error};

use super::cause::is_auth_disabled;
use super::config::{EtcdConfig, Pace};
use super::names::{NAMES, name_of};
use crate::shell::place::Mode;

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
        // The caller limits the time of it. In place there is no other thread.
        if Mode::current() == Mode::Apart
            && let Some(name) = name_of(url)
        {
            NAMES.look_up(&name).await?;
        }
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
    let Pace {
        connect_timeout,
        keepalive,
        keepalive_timeout,
        ..
    } = config.pace;
    let options = ConnectOptions::new()
        .with_require_leader(true)
        .with_keep_alive(keepalive, keepalive_timeout)
        .with_keep_alive_while_idle(true)
        .with_connect_timeout(connect_timeout);
    match &config.tls {
        Some(tls) => options.with_tls(tls.options().timeout(connect_timeout)),
        None => options,
    }
}
