use std::sync::mpsc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::*;

const SOON: Duration = Duration::from_secs(20);

fn thread_name() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

fn start() -> OwnRuntime {
    OwnRuntime::start("overwatch-test", Logs::Nothing).expect("a thread")
}

/// Tells the name of the thread on which it is dropped.
struct Dropped(mpsc::Sender<String>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(thread_name());
    }
}

/// Waits for that without holding up a runtime.
async fn dropped_on(told: mpsc::Receiver<String>) -> String {
    let told = tokio::task::spawn_blocking(move || told.recv_timeout(SOON));
    told.await.expect("no panic").expect("it is dropped")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_relocated_runs_and_is_dropped_there_and_so_do_its_timers() {
    let home = start();
    let (tell, told) = mpsc::channel();
    let there = relocate(Some(home.handle()), async move {
        let _dropped = Dropped(tell);
        sleep(Duration::from_millis(1)).await;
        let spawned = tokio::spawn(async { thread_name() }).await;
        assert_eq!(
            Placement::current(),
            Placement::Apart,
            "though its runtime has one thread"
        );
        (thread_name(), spawned.expect("no panic"))
    });
    let (there, spawned) = there.await.expect("it goes on");
    assert_eq!(
        (there.as_str(), spawned.as_str()),
        ("overwatch-test", "overwatch-test")
    );
    assert_eq!(dropped_on(told).await, "overwatch-test");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_gives_up_waiting_aborts_it() {
    let home = start();
    let (tell, told) = mpsc::channel();
    let hangs = relocate(Some(home.handle()), async move {
        let _dropped = Dropped(tell);
        std::future::pending::<()>().await
    });
    assert!(timeout(Duration::from_millis(50), hangs).await.is_err());
    assert_eq!(dropped_on(told).await, "overwatch-test");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_panic_goes_on_where_it_is_awaited_and_its_runtime_goes_on_too() {
    let home = start();
    let handle = home.handle().clone();
    let panics = tokio::spawn(async move {
        let _ = relocate(Some(&handle), async { panic!("there") }).await;
    });
    let panic = panics.await.expect_err("it panics").into_panic();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"there"));
    assert_eq!(relocate(Some(home.handle()), async { 7 }).await, Ok(7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_runtime_that_has_ended_is_an_error() {
    let home = start();
    let handle = home.handle().clone();
    let under_way = tokio::spawn({
        let handle = handle.clone();
        async move { relocate(Some(&handle), std::future::pending::<()>()).await }
    });
    // What it awaits has begun by then.
    relocate(Some(&handle), sleep(Duration::from_millis(1)))
        .await
        .expect("it goes on");
    drop(home);
    let under_way = timeout(SOON, under_way)
        .await
        .expect("it is told")
        .expect("no panic");
    assert_eq!(under_way, Err(RuntimeGone));
    let later = relocate(Some(&handle), async {});
    assert_eq!(
        timeout(SOON, later).await.expect("it is told"),
        Err(RuntimeGone)
    );
}

/// Nobody waits for blocking work that hangs.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn its_thread_ends_though_blocking_work_goes_on() {
    let home = start();
    let (tell, told) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    home.handle().spawn_blocking(move || released.recv());
    home.handle().spawn(async move {
        let _dropped = Dropped(tell);
        std::future::pending::<()>().await
    });
    relocate(Some(home.handle()), async {})
        .await
        .expect("it goes on");
    drop(home);
    assert_eq!(dropped_on(told).await, "overwatch-test");
    drop(release);
}

#[tokio::test]
async fn in_place_everything_stays_where_it_is() {
    assert_eq!(Placement::current(), Placement::InPlace);
    let home = start();
    // What is not to be sent to another thread would not go there either.
    let here = thread::current().id();
    let there = relocate(Some(home.handle()), async { thread::current().id() });
    assert_eq!(there.await, Ok(here));
    // It can be asked for, all the same.
    let there = relocate(Some(home.handle()), async { thread::current().id() });
    assert_ne!(Placement::Apart.scope(there).await, Ok(here));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn in_place_can_be_asked_for_too_and_what_is_there_already_stays() {
    let home = start();
    let handle = home.handle().clone();
    let here = tokio::spawn(async move {
        let moved = relocate(Some(&handle), async { thread_name() });
        assert_ne!(
            Placement::InPlace.scope(moved).await.as_deref(),
            Ok("overwatch-test")
        );
        let inner = handle.clone();
        relocate(Some(&handle), async move {
            let here = tokio::task::id();
            let again = relocate(Some(&inner), async { tokio::task::id() });
            (Ok(here), again.await)
        })
        .await
    });
    let (outer, inner) = here.await.expect("no panic").expect("it goes on");
    assert_eq!(outer, inner, "no task of its own");
}

/// Also through one thread of ours to the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_relocated_has_the_log_of_who_awaits_it() {
    let (home, other) = (start(), start());
    let own = Log::direct(None);
    let other_home = other.handle().clone();
    let there = async move {
        let first = current().is_some_and(|log| !log.is_queued());
        let second = async { current().is_some_and(|log| !log.is_queued()) };
        (first, relocate(Some(&other_home), second).await)
    };
    let relocated = own.scope_task(relocate(Some(home.handle()), there));
    assert_eq!(relocated.await, Ok((true, Ok(true))));
    // Without one it is none that a subscriber could hold up.
    let nobodys = async { current().is_some_and(|log| log.is_queued()) };
    assert_eq!(relocate(Some(home.handle()), nobodys).await, Ok(true));
}

/// Notes that something was logged.
struct Notes(mpsc::Sender<&'static str>);

impl Subscriber for Notes {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let _ = self.0.send(event.metadata().target());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// A library that both have: what it logs here is not lost because it has logged there before.
#[test]
fn what_is_logged_there_is_lost_and_what_is_logged_here_is_not() {
    fn logs() {
        tracing::info!(target: "a library", "something");
    }
    let (note, noted) = mpsc::channel();
    tracing::subscriber::with_default(Notes(note), || {
        let home = start();
        let (tell, told) = mpsc::channel();
        home.handle().spawn(async move {
            logs();
            let _ = tell.send(());
        });
        told.recv_timeout(SOON).expect("it has logged");
        assert_eq!(noted.try_iter().next(), None);
        logs();
    });
    assert_eq!(noted.iter().next(), Some("a library"));
}

/// A program may set its subscriber up after the thread was started.
#[test]
fn a_subscriber_that_comes_later_is_not_called_there_either() {
    let home = start();
    let is_quiet = || {
        let (tell, told) = mpsc::channel();
        home.handle().spawn(async move {
            let _ = tell.send(dispatcher::get_default(|there| there.is::<Quiet>()));
        });
        told.recv_timeout(SOON).expect("it goes on")
    };
    home.hush();
    assert!(!is_quiet(), "there is none");
    let (note, _noted) = mpsc::channel();
    tracing::subscriber::with_default(Notes(note), || home.hush());
    assert!(is_quiet());
}
