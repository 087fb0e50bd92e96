//! The values below a prefix of a real etcd, kept current.

use std::time::Duration;

use etcd_client::{Client, ConnectOptions, PermissionType, RoleRevokePermissionOptions};
use overwatch::etcd::{EtcdConfig, EtcdProbe, PrefixView, PrefixWatch};
use overwatch::{Failure, Handle, Overwatch, RunError, polled};
use overwatch_test_support::etcd::{Etcd, enable_auth, leader};
use overwatch_test_support::proxy::{Mode, Proxy};
use tokio::runtime::Builder;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::Level;

use crate::warnings::Seen;

const SECOND: Duration = Duration::from_secs(1);
/// Much more than it takes: other tests keep the machine busy.
const SOON: Duration = Duration::from_secs(20);

/// A service that watches numbers, and nothing else.
struct Service {
    view: PrefixView<u32>,
    handle: Handle,
    running: JoinHandle<Result<(), RunError>>,
}

fn watch(etcd: EtcdConfig) -> PrefixWatch<u32> {
    let parse = |name: &str, value: &[u8]| {
        let text = std::str::from_utf8(value)?;
        assert_ne!(text, "panic", "{name} makes the parser panic");
        Ok(text.parse()?)
    };
    PrefixWatch::new(etcd, "limits", parse).expect("a valid watch")
}

fn config(members: &[Etcd]) -> EtcdConfig {
    EtcdConfig::new(members.iter().map(Etcd::url)).expect("valid endpoints")
}

impl Service {
    fn start(watch: PrefixWatch<u32>) -> Self {
        let view = watch.view();
        let every = Duration::from_millis(100);
        // Nothing here depends on what the probe says: what is shown, the watch does alone.
        let service = Overwatch::builder(polled(every, 10 * every, || async { Ok(()) }))
            .component("limits", watch)
            .build()
            .expect("a valid service");
        Self {
            view,
            handle: service.handle(),
            running: tokio::spawn(service.run()),
        }
    }

    async fn ready(watch: PrefixWatch<u32>) -> Self {
        let service = Self::start(watch);
        let ready = timeout(SOON, service.handle.wait_until_ready()).await;
        ready.expect("soon").expect("it runs on");
        service
    }

    /// Waits until the view shows these values, and no others.
    async fn shows(&self, values: &[(&str, u32)]) {
        let mut view = self.view.clone();
        let shown = async {
            loop {
                let now = view.snapshot();
                if now
                    .iter()
                    .map(|(name, value)| (name, *value))
                    .eq(values.iter().copied())
                {
                    return;
                }
                view.changed().await.expect("the watch lives");
            }
        };
        if timeout(SOON, shown).await.is_err() {
            let now = self.view.snapshot();
            let shown: Vec<_> = now.iter().collect();
            panic!("never {values:?}: {shown:?}, {}", self.why());
        }
    }

    /// Waits until it was confirmed after this moment.
    async fn is_newer_than(&self, moment: Instant) {
        let confirmed = async {
            while self.view.snapshot().as_of() < Some(moment) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let confirmed = timeout(SOON, confirmed).await;
        confirmed.unwrap_or_else(|_| panic!("never confirmed: {}", self.why()));
    }

    async fn says(&self, what: &str) {
        let said = async {
            while !self.why().contains(what) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let said = timeout(SOON, said).await;
        said.unwrap_or_else(|_| panic!("never {what:?}: {}", self.why()));
    }

    fn why(&self) -> String {
        let (status, outages) = (self.handle.status(), self.handle.outages());
        format!("{status:?} {outages:?} {:?}", self.handle.components())
    }

    /// Waits until it is up in this epoch.
    async fn ready_in(&self, epoch: u64) {
        let ready = async {
            loop {
                let status = self.handle.status();
                if status.ready && status.epoch == epoch {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        let ready = timeout(5 * SOON, ready).await;
        ready.unwrap_or_else(|_| panic!("never up in epoch {epoch}: {}", self.why()));
    }

    /// Nothing has tripped it.
    fn never_tripped(&self) {
        let status = self.handle.status();
        assert!(status.ready && status.epoch == 1, "{}", self.why());
    }

    async fn stop(self) {
        self.handle.shutdown();
        let ended = timeout(SOON, self.running).await.expect("soon");
        ended.expect("no panic").expect("an orderly end");
    }
}

async fn put(client: &mut Client, key: &str, value: &str) {
    client.put(key, value, None).await.expect("a put");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_follow_what_is_written_and_one_bad_value_harms_nothing() {
    let etcd = Etcd::start().await;
    let mut client = etcd.client().await;
    put(&mut client, "limits/a", "1").await;
    put(&mut client, "limits/b", "wrong").await;
    put(&mut client, "limitsx/a", "9").await;
    let watch = watch(config(std::slice::from_ref(&etcd)));
    assert_eq!(
        (watch.view().age(), watch.view().is_current()),
        (None, false)
    );
    let service = Service::ready(watch).await;
    // It is up only when it has read everything.
    let first = service.view.snapshot();
    assert_eq!((first.get("a"), first.len()), (Some(&1), 1));
    let rejected: Vec<_> = first.rejected().collect();
    assert_eq!(rejected, [("b", "invalid digit found in string")]);
    assert!(service.view.age().is_some() && first.revision() > 0);

    put(&mut client, "limits/c/d", "3").await;
    put(&mut client, "limits/b", "2").await;
    service.shows(&[("a", 1), ("b", 2), ("c/d", 3)]).await;
    put(&mut client, "limits/a", "panic").await;
    put(&mut client, "limits/b", "").await;
    service.says("rejected: 2, the first is a: panicked").await;
    service.shows(&[("a", 1), ("b", 2), ("c/d", 3)]).await;
    client.delete("limits/a", None).await.expect("a delete");
    put(&mut client, "limits/b", "4").await;
    service.shows(&[("b", 4), ("c/d", 3)]).await;
    assert_eq!(service.view.snapshot().rejected().count(), 0);

    // Nothing changes, and yet it stays current; and nobody is woken for that.
    let mut idle = service.view.clone();
    let newest = idle.changed().await.expect("the watch lives");
    assert_eq!(newest.get("b"), Some(&4));
    service.is_newer_than(Instant::now()).await;
    assert!(
        timeout(Duration::from_millis(1), idle.changed())
            .await
            .is_err()
    );
    service.never_tripped();
    let mut view = idle;
    service.stop().await;
    assert!(view.changed().await.is_none());
    assert_eq!(view.get("b").as_deref(), Some(&4), "the last known ones");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elections_and_dead_members_are_no_failure() {
    let mut members = Etcd::start_cluster(3).await;
    let mut client = members[1].client().await;
    put(&mut client, "limits/a", "0").await;
    let service = Service::ready(watch(config(&members))).await;
    service.shows(&[("a", 0)]).await;

    // The member with the watch hangs.
    members[0].hang();
    let mut client = members[1].client().await;
    let written = async {
        while client.put("limits/a", "1", None).await.is_err() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(SOON, written).await.expect("two members answer");
    service.shows(&[("a", 1)]).await;
    members[0].resume();

    for round in 2..4_u32 {
        let leads = leader(&members).await;
        members[leads].kill();
        let mut client = members[(leads + 1) % 3].client().await;
        let value = round.to_string();
        let written = async {
            while client.put("limits/a", &*value, None).await.is_err() {
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(SOON, written).await.expect("another one leads");
        service.shows(&[("a", round)]).await;
        service.is_newer_than(Instant::now()).await;
        members[leads].restart().await;
    }
    service.never_tripped();
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_wiped_is_read_anew() {
    let mut etcd = Etcd::start().await;
    put(&mut etcd.client().await, "limits/a", "1").await;
    let service = Service::ready(watch(config(std::slice::from_ref(&etcd)))).await;
    etcd.wipe_and_restart().await;
    put(&mut etcd.client().await, "limits/b", "2").await;
    service.shows(&[("b", 2)]).await;
    service.never_tripped();
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_limit_is_refused_and_the_values_stay() {
    let etcd = Etcd::start().await;
    let mut client = etcd.client().await;
    for (key, value) in [("limits/a", "1"), ("limits/b", "2")] {
        put(&mut client, key, value).await;
    }
    let config = config(std::slice::from_ref(&etcd));
    let narrow = watch(config.clone()).with_max_keys(1).expect("valid");
    let refused = Service::start(narrow);
    refused
        .says("there are 2 keys below limits/, and max_keys allows 1")
        .await;
    refused.stop().await;
    let small = watch(config.clone()).with_max_bytes(17).expect("valid");
    let refused = Service::start(small);
    refused
        .says("have 18 bytes or more, and max_bytes allows 17")
        .await;
    refused.stop().await;

    let exact = watch(config).with_max_keys(2).expect("valid");
    let service = Service::ready(exact).await;
    put(&mut client, "limits/c", "3").await;
    service
        .says("not confirmed: there are 3 keys below limits/")
        .await;
    service.shows(&[("a", 1), ("b", 2)]).await;
    let known = Instant::now();
    client.delete("limits/a", None).await.expect("a delete");
    service.shows(&[("b", 2), ("c", 3)]).await;
    service.is_newer_than(known).await;
    service.never_tripped();
    service.stop().await;
}

/// Puts a key outside of the prefix again and again, and compacts all that was before, until it is stopped.
async fn compacting(etcd: &Etcd) -> JoinHandle<()> {
    let mut client = etcd.client().await;
    tokio::spawn(async move {
        loop {
            let put = client.put("other", "1", None).await.expect("a put");
            let revision = put.header().expect("a header").revision();
            client.compact(revision, None).await.expect("a compaction");
            sleep(Duration::from_millis(20)).await;
        }
    })
}

/// Runs a test, and keeps what is logged meanwhile.
fn with_log(test: impl AsyncFnOnce(&Seen)) {
    let seen = Seen::default();
    let (here, threads) = (seen.subscriber(), seen.subscriber());
    let _here = tracing::dispatcher::set_default(&here);
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_start(move || std::mem::forget(tracing::dispatcher::set_default(&threads)))
        .build()
        .expect("a runtime");
    runtime.block_on(test(&seen));
}

/// Waits until something is logged.
async fn logged(seen: &Seen, level: Level, words: &str) {
    let logged = async {
        while seen.of(level, words).is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let logged = timeout(SOON, logged).await;
    logged.unwrap_or_else(|_| panic!("never {words:?}: {:#?}", seen.of(level, "")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_whose_revision_is_compacted_between_its_pages_is_read_again() {
    let etcd = Etcd::start().await;
    let mut client = etcd.client().await;
    // Two pages.
    for key in 0..60_u32 {
        put(&mut client, &format!("limits/{key}"), "1").await;
    }
    let proxy = Proxy::start(etcd.address()).await;
    // Between the pages there is time for many compactions.
    proxy.set(Mode::Delay(Duration::from_millis(200)));
    let compacting = compacting(&etcd).await;
    let config = EtcdConfig::new([proxy.url()]).expect("valid");
    let service = Service::start(watch(config));
    service.says("not confirmed").await;
    service.says("revision has been compacted").await;
    assert!(!service.handle.is_ready(), "{}", service.why());
    compacting.abort();
    service.ready_in(1).await;
    assert_eq!(service.view.snapshot().len(), 60);
    service.stop().await;
}

#[test]
fn a_watch_whose_begin_is_compacted_before_it_begins_reads_all_keys_again() {
    with_log(async |seen| {
        let etcd = Etcd::start().await;
        let mut client = etcd.client().await;
        put(&mut client, "limits/a", "1").await;
        let proxy = Proxy::start(etcd.address()).await;
        // Between the list and the watch there is time for many compactions.
        proxy.set(Mode::Delay(Duration::from_millis(200)));
        let compacting = compacting(&etcd).await;
        let config = EtcdConfig::new([proxy.url()]).expect("valid");
        let service = Service::ready(watch(config)).await;
        logged(seen, Level::DEBUG, "has been compacted").await;
        // Each list shows what is written meanwhile.
        put(&mut client, "limits/b", "2").await;
        service.shows(&[("a", 1), ("b", 2)]).await;
        compacting.abort();
        put(&mut client, "limits/a", "3").await;
        service.shows(&[("a", 3), ("b", 2)]).await;
        service.is_newer_than(Instant::now()).await;
        service.never_tripped();
        service.stop().await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_list_is_a_change_even_if_there_is_nothing_below_the_prefix() {
    let etcd = Etcd::start().await;
    let service = Service::start(watch(config(std::slice::from_ref(&etcd))));
    let mut view = service.view.clone();
    let first = timeout(SOON, view.changed()).await.expect("soon");
    let first = first.expect("the watch lives");
    assert!(first.is_empty() && first.as_of().is_some(), "{first:?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_epoch_is_up_with_the_known_values_if_there_is_too_much() {
    let etcd = Etcd::start().await;
    let mut client = etcd.client().await;
    put(&mut client, "limits/a", "1").await;
    let narrow = watch(config(std::slice::from_ref(&etcd)))
        .with_max_keys(1)
        .expect("valid");
    let service = Service::ready(narrow).await;
    put(&mut client, "limits/b", "2").await;
    service.says("not confirmed: there are 2 keys").await;
    let known = service.view.snapshot().as_of();
    service.handle.trip().expect("it runs");
    service.ready_in(2).await;
    service.says("not confirmed: there are 2 keys").await;
    service.shows(&[("a", 1)]).await;
    assert_eq!(service.view.snapshot().as_of(), known, "it gets older");
    client.delete("limits/a", None).await.expect("a delete");
    service.shows(&[("b", 2)]).await;
    let status = service.handle.status();
    assert!(status.ready && status.epoch == 2, "{}", service.why());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_larger_than_the_limit_is_refused_before_it_is_read() {
    let etcd = Etcd::start().await;
    let mut client = etcd.client().await;
    for key in ["limits/a", "limits/b"] {
        put(&mut client, key, &"1".repeat(1 << 20)).await;
    }
    let small = watch(config(std::slice::from_ref(&etcd)));
    let small = small.with_max_bytes(1 << 20).expect("valid");
    let service = Service::start(small);
    service
        .says("have 1048577 bytes or more, and max_bytes allows 1048576")
        .await;
    service.stop().await;
}

/// The watch goes on, so nothing but the checks shows it.
#[test]
fn a_right_that_is_revoked_is_one_warning_and_the_values_get_older() {
    with_log(async |seen| {
        let etcd = Etcd::start().await;
        put(&mut etcd.client().await, "app/a", "1").await;
        enable_auth(&etcd, PermissionType::Read).await;
        let config = config(std::slice::from_ref(&etcd)).with_user("narrow", "right");
        let parse = |_: &str, value: &[u8]| Ok(std::str::from_utf8(value)?.parse::<u32>()?);
        let service = Service::ready(PrefixWatch::new(config, "app", parse).expect("valid")).await;
        service.shows(&[("a", 1)]).await;
        let options = ConnectOptions::new().with_user("root", "right");
        let root = Client::connect([etcd.url()], Some(options)).await;
        let mut root = root.expect("root may do all");
        let below_app = RoleRevokePermissionOptions::new().with_prefix();
        root.role_revoke_permission("narrow", "app/", Some(below_app))
            .await
            .expect("it is revoked");
        logged(seen, Level::WARN, "cannot confirm what is below the prefix").await;
        service.says("not confirmed: etcd denies permission").await;
        // Several checks later.
        sleep(5 * SECOND).await;
        assert_eq!(seen.of(Level::WARN, "cannot confirm").len(), 1);
        service.shows(&[("a", 1)]).await;
        service.never_tripped();
        service.stop().await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_confirmed_while_endpoints_lead_to_two_clusters() {
    let etcd = Etcd::start().await;
    let mut other = Etcd::start().await;
    put(&mut etcd.client().await, "limits/a", "1").await;
    let config = EtcdConfig::new([etcd.url(), other.url()]).expect("valid");
    let service = Service::ready(watch(config.clone())).await;
    service.is_newer_than(Instant::now()).await;
    // The watch asks only one endpoint. The probe, with a clone of the configuration, asks both.
    let probe = EtcdProbe::new(config).expect("valid");
    let probe = Overwatch::builder(probe).task("idle", async |ctx| {
        ctx.mark_ready();
        ctx.stopping().await;
        Ok(())
    });
    let probe = probe.build().expect("a valid service");
    let (handle, probing) = (probe.handle(), tokio::spawn(probe.run()));
    service.says("not confirmed: ").await;
    service.says("is of cluster").await;
    let unconfirmed = service.view.snapshot().as_of();
    sleep(5 * SECOND).await;
    assert_eq!(service.view.snapshot().as_of(), unconfirmed);
    other.kill();
    service.is_newer_than(Instant::now()).await;
    service.never_tripped();
    handle.shutdown();
    let ended = timeout(SOON, probing).await.expect("soon");
    ended.expect("no panic").expect("an orderly end");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_ends_the_start_with_the_reason() {
    let etcd = Etcd::start().await;
    enable_auth(&etcd, PermissionType::Read).await;
    let etcd = config(std::slice::from_ref(&etcd)).with_user("narrow", "right");
    let service = Service::start(watch(etcd));
    service
        .says("cannot read what is below limits/: etcd denies permission")
        .await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_old_is_a_failure_of_the_dependency_if_an_age_was_set() {
    let etcd = Etcd::start().await;
    put(&mut etcd.client().await, "limits/a", "1").await;
    let fast = config(std::slice::from_ref(&etcd)).fast();
    let watch = watch(fast).with_max_age(8 * SECOND).expect("long enough");
    let service = Service::ready(watch).await;
    etcd.hang();
    service
        .says("what is below limits/ was last confirmed")
        .await;
    assert!(!service.view.is_current());
    assert!(service.view.age() >= Some(8 * SECOND));
    assert_eq!(service.view.get("a").as_deref(), Some(&1));
    etcd.resume();
    let resumed = Instant::now();
    service.ready_in(2).await;
    // It is up again only with values that are newer.
    assert!(service.view.snapshot().as_of() > Some(resumed - 3 * SECOND));
    service.stop().await;
}

#[test]
fn what_cannot_work_is_refused_with_the_arithmetic() {
    let etcd = || EtcdConfig::new(["http://127.0.0.1:2379"]).expect("valid");
    let parse = |_: &str, _: &[u8]| Ok::<(), Failure>(());
    let error = PrefixWatch::new(etcd(), "", parse).expect_err("refused");
    assert!(error.to_string().starts_with("prefix: is empty"), "{error}");
    let error = PrefixWatch::new(etcd().with_expected_cluster(0), "a", parse).expect_err("refused");
    assert!(error.to_string().contains("expected_cluster"), "{error}");
    let error = watch(etcd()).with_max_age(9 * SECOND).expect_err("refused");
    assert!(
        error.to_string().contains("must be 10s to a day"),
        "{error}"
    );
    assert!(watch(etcd()).with_max_keys(0).is_err());
    assert!(watch(etcd()).with_max_bytes(0).is_err());
}
