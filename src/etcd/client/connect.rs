//! How a client for one member is opened.

use std::fmt;
use std::sync::Arc;

use etcd_client::{Client, ConnectOptions, Error};

use super::classify::is_auth_disabled;
use super::timing::Timing;
use super::tls::Tls;
use crate::etcd::host::{NAMES, Uncompared, name_of};
use crate::shell::placement::Placement;

/// Opens clients. Tests on a simulated network have their own implementation.
#[async_trait::async_trait]
#[cfg_attr(
    not(feature = "test-util"),
    allow(unreachable_pub, reason = "only tests reach it from outside")
)]
pub trait Dial: Send + Sync + 'static {
    /// Makes a client for the member at this URL. The caller must bound the time that this takes.
    ///
    /// # Errors
    ///
    /// The error of the client library.
    async fn dial(&self, url: &str, access: Access<'_>) -> Result<Client, Error>;
}

/// User, TLS and timeouts of a connection.
#[cfg_attr(
    not(feature = "test-util"),
    allow(unreachable_pub, reason = "only tests reach it from outside")
)]
#[derive(Clone, Copy)]
pub struct Access<'a> {
    pub(super) user: Option<&'a (String, String)>,
    pub(super) tls: Option<&'a Tls>,
    pub(super) timing: &'a Timing,
}

/// Without the password.
impl fmt::Debug for Access<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

/// The way to connect that a configuration holds.
pub(crate) type Way = Uncompared<Arc<dyn Dial>>;

pub(crate) fn over_the_network() -> Way {
    Uncompared(Arc::new(Tcp))
}

/// Over the network.
struct Tcp;

#[async_trait::async_trait]
impl Dial for Tcp {
    async fn dial(&self, url: &str, access: Access<'_>) -> Result<Client, Error> {
        // Supervised in place, everything stays on this runtime.
        if Placement::current() == Placement::Apart
            && let Some(name) = name_of(url)
        {
            NAMES.look_up(&name).await?;
        }
        let url = [url];
        let Some((name, password)) = access.user else {
            return Client::connect(url, Some(options(access))).await;
        };
        let authenticated = options(access).with_user(name, password);
        match Client::connect(url, Some(authenticated)).await {
            Err(error) if is_auth_disabled(&error) => {
                Client::connect(url, Some(options(access))).await
            }
            other => other,
        }
    }
}

fn options(access: Access<'_>) -> ConnectOptions {
    let Timing {
        connect_timeout,
        keepalive,
        keepalive_timeout,
        ..
    } = *access.timing;
    let options = ConnectOptions::new()
        .with_require_leader(true)
        .with_keep_alive(keepalive, keepalive_timeout)
        .with_keep_alive_while_idle(true)
        .with_connect_timeout(connect_timeout);
    match access.tls {
        Some(tls) => options.with_tls(tls.options().timeout(connect_timeout)),
        None => options,
    }
}

#[cfg(all(test, feature = "test-util"))]
mod tests {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

    use super::*;
    use crate::etcd::client::EtcdConfig;

    #[test]
    fn how_a_client_is_opened_is_no_part_of_what_a_configuration_says() {
        let config = |port| EtcdConfig::new([format!("http://127.0.0.1:{port}")]).expect("valid");
        let other = config(2379).dialing(Arc::new(Tcp));
        assert_eq!(config(2379), other);
        assert_ne!(config(2380), other);
        let hash = |config| BuildHasherDefault::<DefaultHasher>::default().hash_one(config);
        assert_eq!(hash(config(2379)), hash(other));
    }
}
