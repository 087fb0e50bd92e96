//! What is a warning in the log, and what is not.

use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcd_client::PermissionType;
use overwatch::etcd::{EtcdConfig, EtcdProbe, Membership, Shard, Shards, Tls};
use overwatch::{Handle, Overwatch, Policy, RunError};
use overwatch_test_support::etcd::{Etcd, Version, enable_auth};
use tokio::runtime::Builder;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::field::Field;
use tracing::{Dispatch, Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

const SECOND: Duration = Duration::from_secs(1);

/// All events, with their levels.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<(Level, String)>>>);

impl<S: Subscriber> Layer<S> for Seen {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = String::new();
        event.record(&mut |field: &Field, value: &dyn std::fmt::Debug| {
            text += &format!("{field}={value:?} ");
        });
        let seen = (*event.metadata().level(), text);
        self.0.lock().expect("no panic").push(seen);
    }
}

impl Seen {
    pub(crate) fn subscriber(&self) -> Dispatch {
        Dispatch::new(tracing_subscriber::registry().with(self.clone()))
    }

    /// The texts of the events of this level that contain these words.
    pub(crate) fn of(&self, level: Level, words: &str) -> Vec<String> {
        let seen = self.0.lock().expect("no panic");
        let of_level = seen
            .iter()
            .filter(|(it, text)| *it == level && text.contains(words));
        of_level.map(|(_, text)| text.clone()).collect()
    }
}

const EXPOSED: &str = "without encryption";

#[test]
fn a_password_without_tls_is_one_warning_for_a_configuration_and_its_clones() {
    let seen = Seen::default();
    let _here = tracing::dispatcher::set_default(&seen.subscriber());
    let build = |config: &EtcdConfig| {
        EtcdProbe::new(config.clone()).expect("valid");
        let membership = Membership::builder(config.clone(), "p", "a");
        membership.build().expect("valid");
    };
    let count = || seen.of(Level::WARN, EXPOSED).len();
    let plain = EtcdConfig::new(["http://10.0.0.1:2379"]).expect("valid");
    build(&plain);
    assert_eq!(count(), 0, "there is no password");
    let with_user = plain.clone().with_user("ann", "secret");
    assert_eq!(count(), 0, "nothing is built yet");
    build(&with_user);
    build(&with_user);
    assert_eq!(count(), 1);
    build(&with_user.clone().fast());
    assert_eq!(count(), 1);
    // That of another user is another one.
    build(&with_user.with_user("bob", "secret"));
    assert_eq!(count(), 2);
    let said = seen.of(Level::WARN, EXPOSED).concat();
    assert!(
        said.contains("user=\"ann\"") && said.contains("user=\"bob\""),
        "{said}"
    );
    assert!(
        said.contains("http://10.0.0.1:2379") && said.contains("EtcdConfig::with_tls"),
        "{said}"
    );
    assert!(!said.contains("secret"), "{said}");
    let pem = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";
    let safe = EtcdConfig::new(["https://10.0.0.1:2379"]).expect("valid");
    build(&safe.with_tls(Tls::new(pem)).with_user("ann", "secret"));
    assert_eq!(count(), 2);
}

/// Tokens that live for two seconds, whether they are used or not.
async fn with_short_tokens(version: Version) -> (Etcd, tempfile::NamedTempFile) {
    let mut key = tempfile::NamedTempFile::new().expect("a file");
    key.write_all(b"0123456789abcdef0123456789abcdef")
        .expect("it is written");
    let path = key.path().display();
    let tokens = format!("jwt,sign-method=HS256,priv-key={path},ttl=2s");
    let mut members = Etcd::start_version(version, 1, &["--auth-token", &tokens]).await;
    (members.remove(0), key)
}

#[test]
fn tokens_that_expire_are_no_warnings() {
    let seen = Seen::default();
    let (here, threads) = (seen.subscriber(), seen.subscriber());
    let _here = tracing::dispatcher::set_default(&here);
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_start(move || std::mem::forget(tracing::dispatcher::set_default(&threads)))
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (etcd, _key) = with_short_tokens(Version::V35).await;
        enable_auth(&etcd, PermissionType::Readwrite).await;
        let (handle, run) = node(&etcd);
        let ready = timeout(20 * SECOND, handle.wait_until_ready()).await;
        ready.expect("in time").expect("it runs on");
        let epoch = handle.status().epoch;
        sleep(10 * SECOND).await;
        let status = handle.status();
        assert!(status.ready && status.epoch == epoch, "{status:?}");
        handle.shutdown();
        let ended = timeout(20 * SECOND, run).await.expect("in time");
        ended.expect("no panic").expect("an orderly end");
    });
    let expired = seen.of(Level::DEBUG, "the lease is renewed with a new token");
    assert!(!expired.is_empty(), "no token has expired");
    // A busy machine may be too slow for something else, which is a warning.
    let mut warnings = seen.of(Level::WARN, "token");
    warnings.extend(seen.of(Level::WARN, "auth"));
    warnings.retain(|it| !it.contains(EXPOSED));
    assert!(warnings.is_empty(), "{warnings:#?}");
}

fn node(etcd: &Etcd) -> (Handle, JoinHandle<Result<(), RunError>>) {
    let config = EtcdConfig::new([etcd.url()]).expect("valid");
    let config = config
        .with_user("narrow", "right")
        .with_sentinel_key("app/never-written");
    let membership = Membership::builder(config.clone(), "app/nodes", "a");
    let membership = membership.build().expect("valid");
    let shards = Shards::new(&membership, "work", 4, |shard: Shard| async move {
        shard.stopping().await;
        Ok(())
    });
    let policy = Policy::builder()
        .start_deadline(5 * SECOND)
        .stop_deadline(2 * SECOND)
        .abort_deadline(SECOND / 2);
    let service = Overwatch::builder(EtcdProbe::new(config).expect("valid"))
        .policy(policy.build().expect("valid"))
        .lease_holder("membership", membership)
        .component("work", shards.expect("valid"))
        .build()
        .expect("a valid service");
    let handle = service.handle();
    let run = tokio::spawn(service.run());
    (handle, run)
}
