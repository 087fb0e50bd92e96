//! Who is let in, and who is no etcd at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, PermissionType};
use overwatch::etcd::{EtcdConfig, EtcdProbe, Tls};
use overwatch_test_support::etcd::{Etcd, Version, enable_auth};
use overwatch_test_support::observe::*;
use overwatch_test_support::pki::{Pki, Signed};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

#[tokio::test]
async fn credentials_decide() {
    let etcd = Etcd::start().await;
    // Before authentication is on, credentials are not needed and do no harm.
    let right = EtcdProbe::new(user(&etcd, "root", "right")).expect("a valid configuration");
    until_alive("authentication off", &right, SOON).await;
    enable_auth(&etcd, PermissionType::Read).await;
    until_alive("right credentials", &right, SOON).await;
    stays_alive(&right, Duration::from_secs(3)).await;
    // Every change of users and roles makes the tokens of before invalid.
    let options = ConnectOptions::new().with_user("root", "right");
    let client = Client::connect([etcd.url()], Some(options)).await;
    let added = client.expect("a client").user_add("late", "x", None).await;
    added.expect("another user");
    stays_alive(&right, Duration::from_secs(4)).await;

    for (config, class, text) in [
        (
            user(&etcd, "root", "wrong"),
            "unauthenticated",
            "authentication failed",
        ),
        (
            user(&etcd, "nobody", "right"),
            "unauthenticated",
            "authentication failed",
        ),
        (
            config([etcd.url()]),
            "unauthenticated",
            "authentication failed",
        ),
        (
            user(&etcd, "narrow", "right"),
            "permission",
            "permission denied",
        ),
    ] {
        let probe = EtcdProbe::new(config).expect("a valid configuration");
        let begun = Instant::now();
        let reason = until_failing(text, &probe, SOON, begun).await;
        assert!(reason.starts_with(class), "{reason}");
        let text = format!("{}: {text}", etcd.url());
        assert!(reason.contains(&text), "{reason}");
        assert!(!reason.contains("wrong"), "{reason} tells the password");
        repeats_at_the_interval(&probe).await;
    }

    let config = user(&etcd, "narrow", "right").with_sentinel_key("app/sentinel");
    let narrow = EtcdProbe::new(config).expect("a valid configuration");
    until_alive("a key it may read", &narrow, SOON).await;
}

#[tokio::test]
async fn certificates_decide() {
    let etcd = Etcd::start_with_tls().await;
    let pki = etcd.pki();
    let tls = || Tls::new(&*pki.ca_pem).with_identity(&*pki.client.cert_pem, &*pki.client.key_pem);
    let right = config([etcd.url()]).with_tls(tls());
    let right = EtcdProbe::new(right).expect("a valid configuration");
    until_alive("right certificates", &right, SOON).await;
    stays_alive(&right, Duration::from_secs(3)).await;

    let plain_url = format!("http://{}", etcd.address());
    let plain_etcd = Etcd::start().await;
    let tls_url = format!("https://{}", plain_etcd.address());
    for (what, config, text) in [
        (
            "http:// where TLS is spoken",
            config([plain_url]),
            "unreachable|etcd is unreachable: {url}: the connection was closed; does the server want \
             https?",
        ),
        (
            "https:// where none is",
            config([tls_url]).with_tls(tls()),
            "tls|no TLS connection with etcd: {url}: the connection was closed; ",
        ),
        (
            "PEM without a certificate",
            config([etcd.url()]).with_tls(Tls::new("-----BEGIN CERTIFICATE-----")),
            "tls|no TLS connection with etcd: {url}: TLS: ",
        ),
    ] {
        let probe = EtcdProbe::new(config).expect("a valid configuration");
        let url = &probe.endpoints()[0].url;
        let begun = Instant::now();
        let reason = until_failing(what, &probe, FAULT_LIMIT, begun).await;
        assert!(
            reason.starts_with(&text.replace("{url}", url)),
            "{what}: {reason}"
        );
    }
}

/// Both versions, because servers refuse a client's certificate in different ways.
#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_named() {
    for version in [Version::V34, Version::V35] {
        let etcd = Etcd::start_version_with_tls(version).await;
        let (pki, stranger, namesake) = (etcd.pki(), Pki::of_authority("stranger-ca"), Pki::new());
        let trusting = |pki: &Pki| Tls::new(&*pki.ca_pem);
        let shows = |own: &Signed| trusting(pki).with_identity(&*own.cert_pem, &*own.key_pem);
        let of_server = "TLS: invalid peer certificate: ";
        for (what, tls, text) in [
            ("unknown authority", trusting(&stranger), "UnknownIssuer. "),
            (
                "another authority of the same name",
                trusting(&namesake),
                "BadSignature. ",
            ),
            (
                "wrong name",
                shows(&pki.client).with_domain_name("etcd.example"),
                "certificate not valid for name \"etcd.example\"; certificate is only valid for \
                 IpAddress(127.0.0.1). ",
            ),
        ] {
            refused(what, &etcd, tls, &[&format!("{of_server}{text}")]).await;
        }
        for (what, tls, text) in [
            (
                "no client certificate",
                trusting(pki),
                "does the server want a client certificate? None is set",
            ),
            (
                "client certificate of another authority",
                shows(&stranger.client),
                "does the server trust the authority of the client certificate?",
            ),
            (
                "expired client certificate",
                shows(&pki.expired_client),
                "the client certificate has expired",
            ),
        ] {
            // An alert says so, unless the connection ends before it is read.
            let alert = format!("TLS: received fatal alert: BadCertificate; {text}");
            let closed = format!("the connection was closed; {text}; does the server speak TLS? ");
            refused(what, &etcd, tls, &[&alert, &closed]).await;
        }
        etcd.serve_certificate(|pki| &pki.expired_server);
        let text = format!("{of_server}certificate expired: ");
        refused(
            "expired server certificate",
            &etcd,
            shows(&pki.client),
            &[&text],
        )
        .await;
        // All this time nothing else was wrong.
        etcd.serve_certificate(|pki| &pki.server);
        let right = config([etcd.url()]).with_tls(shows(&pki.client));
        let right = EtcdProbe::new(right).expect("a valid configuration");
        until_alive("right certificates", &right, SOON).await;
    }
}

/// It fails for want of TLS, and says one of these of the endpoint.
async fn refused(what: &str, etcd: &Etcd, tls: Tls, texts: &[&str]) {
    let config = config([etcd.url()]).with_tls(tls);
    let probe = EtcdProbe::new(config).expect("a valid configuration");
    let reason = until_failing(what, &probe, SOON, Instant::now()).await;
    let says = reason.strip_prefix(&format!(
        "tls|no TLS connection with etcd: {}: ",
        etcd.url()
    ));
    let says = says.unwrap_or_else(|| panic!("{what}: {reason}"));
    let named = texts.iter().any(|&text| says.starts_with(text));
    assert!(named, "{what}: {reason}");
}

#[tokio::test]
async fn another_server_is_told_from_etcd() {
    let garbage = Garbage::start().await;
    let probe = probe([garbage.url()]);
    let begun = Instant::now();
    let reason = until_failing("HTTP/1.1 server", &probe, SOON, begun).await;
    assert!(reason.contains("not an etcd server"), "{reason}");
    garbage.connections.store(0, Ordering::Relaxed);
    for _ in 0..4 {
        repeats_at_the_interval(&probe).await;
    }
    let connections = garbage.connections.load(Ordering::Relaxed);
    assert!(
        connections <= 16,
        "{connections} connections in 4 s are a hot loop"
    );
}

#[tokio::test]
async fn a_silent_server_is_failing_after_the_grace_period() {
    let silent = Silent::start();
    let probe = probe([silent.url()]);
    let begun = Instant::now();
    let reason = until_failing("silent server", &probe, FAULT_LIMIT, begun).await;
    let text = format!("{}: no answer", silent.url());
    assert!(
        reason.starts_with("unreachable|") && reason.contains(&text),
        "{reason}"
    );
    repeats_at_the_interval(&probe).await;
}

fn user(etcd: &Etcd, name: &str, password: &str) -> EtcdConfig {
    config([etcd.url()]).with_user(name, password)
}

/// Answers whatever it is sent with HTTP/1.1, and counts connections.
struct Garbage {
    url: String,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Garbage {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
                let _ = client.write_all(answer).await;
                open.push(client);
            }
        });
        Self {
            url,
            connections,
            task,
        }
    }

    fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Garbage {
    fn drop(&mut self) {
        self.task.abort();
    }
}
