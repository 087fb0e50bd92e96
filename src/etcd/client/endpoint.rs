//! The address of one member.

use std::fmt;

use http::Uri;
use http::uri::Scheme;

use crate::etcd::basics::EtcdConfigError;

/// A checked client URL of one member, in its normal form: `scheme://host:port`, lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Endpoint {
    url: String,
    tls: bool,
}

impl Endpoint {
    pub(crate) fn parse(given: &str) -> Result<Self, EtcdConfigError> {
        check(given).map_err(|problem| EtcdConfigError::BadEndpoint {
            endpoint: without_credentials(given),
            problem,
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Whether the URL asks for TLS.
    pub(crate) fn tls(&self) -> bool {
        self.tls
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

fn check(given: &str) -> Result<Endpoint, String> {
    if given.trim().is_empty() {
        return Err("is empty: write a URL like http://127.0.0.1:2379".into());
    }
    if given.contains(',') {
        return Err("holds a comma: give each member's URL as an endpoint of its own".into());
    }
    let uri: Uri = given
        .parse()
        .map_err(|error| format!("is no URL ({error}): write one like http://127.0.0.1:2379"))?;
    let Some(scheme) = uri.scheme() else {
        return Err("has no scheme: write http:// or https:// in front".into());
    };
    let tls = if *scheme == Scheme::HTTP {
        false
    } else if *scheme == Scheme::HTTPS {
        true
    } else {
        return Err(format!(
            "has the unsupported scheme {scheme:?}: write http:// or https://",
            scheme = scheme.as_str()
        ));
    };
    let Some(authority) = uri.authority() else {
        return Err("has no host: write a URL like http://127.0.0.1:2379".into());
    };
    if authority.as_str().contains('@') {
        return Err("holds a user name: take it out and use EtcdConfig::with_user".into());
    }
    let host = authority.host().to_ascii_lowercase();
    if host.is_empty() {
        return Err("has no host: write a URL like http://127.0.0.1:2379".into());
    }
    if uri.path() != "/" && !uri.path().is_empty() || uri.query().is_some() {
        return Err(
            "has a path or a query, which etcd does not know: end it after the port".into(),
        );
    }
    // The host of an IPv6 address includes its brackets, so only the rest can be the port.
    let port = match authority.as_str().get(host.len()..) {
        None | Some("") => DEFAULT_PORT,
        Some(port) => match port.strip_prefix(':').map(str::parse::<u16>) {
            Some(Ok(port)) if port != 0 => port,
            _ => return Err("has no usable port: etcd listens on 2379 by default".into()),
        },
    };
    Ok(Endpoint {
        url: format!("{scheme}://{host}:{port}"),
        tls,
    })
}

/// Removes credentials, because errors are logged and a URL may contain a password.
fn without_credentials(given: &str) -> String {
    let Some((before, after)) = given.rsplit_once('@') else {
        return given.to_owned();
    };
    // A password may contain `://` too.
    let of_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let scheme = match before.split_once("://") {
        Some((scheme, _)) if scheme.chars().all(of_scheme) => &before[..scheme.len() + 3],
        _ => "",
    };
    format!("{scheme}<hidden>@{after}")
}

/// The port that is assigned to etcd clients, and the default of etcd.
const DEFAULT_PORT: u16 = 2379;
