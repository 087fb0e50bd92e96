//! The same service against a real etcd.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use overwatch::etcd::{EtcdConfig, EtcdProbe};
use overwatch::{DependencyStatus, Handle, Policy, Status, http};
use overwatch_examples::endpoint::{Endpoint, serve};
use overwatch_examples::service::service;
use overwatch_examples::timeline::{Entry, Timeline};
use tokio::task::JoinHandle;

/// What the arguments make; an error is the user's.
pub(crate) fn prepare(
    urls: &[String],
    window: Option<Duration>,
) -> Result<(EtcdProbe, Policy), Box<dyn Error>> {
    let mut policy = Policy::builder();
    if let Some(window) = window {
        policy = policy.window(window);
    }
    let probe = EtcdProbe::new(EtcdConfig::new(urls)?)?;
    Ok((probe, policy.build()?))
}

/// Runs until the process is told to stop: `say` is given the heading, `each` what happens, as it
/// happens.
pub(crate) async fn run(
    probe: EtcdProbe,
    policy: Policy,
    mut say: impl FnMut(&str),
    mut each: impl FnMut(Entry),
) -> Result<(), Box<dyn Error>> {
    let window = policy.window();
    let (timeline, mut entries) = Timeline::begin();
    let (endpoint, listener) = Endpoint::bind().await?;
    say("A service of three components that cannot live without etcd.");
    say("stage 0: membership, pool; stage 1: scheduler, whose jobs run on this node.");
    say(&format!(
        "After an outage etcd must prove itself for {window:?}."
    ));
    say(&format!(
        "Ask yourself: curl -i http://{endpoint}/status/check"
    ));
    say("Stop etcd (kill -STOP hangs it), start it again; ctrl-c ends the service.\n");

    let service = service(probe, policy, &timeline, endpoint)?;
    let handle = service.handle();
    let health = serve(listener, http::router(handle.clone()));
    timeline.follow(&handle, endpoint);
    follow_dependency(&handle, timeline);
    let read = async {
        while let Some(entry) = entries.recv().await {
            each(entry);
        }
    };
    let (ended, ()) = tokio::join!(service.run_until_signal(), read);
    health.abort();
    Ok(ended?)
}

/// Tells when the dependency turns alive, and each new reason why it is failing.
fn follow_dependency(handle: &Handle, timeline: Timeline) -> JoinHandle<()> {
    let handle = handle.clone();
    tokio::spawn(async move {
        let mut told = None;
        loop {
            let is_news = |status: &Status| news(status).is_some_and(|news| told != Some(news));
            let Ok(status) = handle.wait_for(is_news).await else {
                return;
            };
            if let Some(DependencyStatus {
                alive: Some(alive),
                what,
                ..
            }) = &status.dependency
            {
                let is = if *alive { "is alive" } else { "is failing" };
                timeline.dependency(*alive, format!("{is}: {what}"));
            }
            told = news(&status);
        }
    })
}

/// What is worth telling of the dependency: evidence is new each time, and is not.
fn news(status: &Status) -> Option<(Option<bool>, Option<Arc<str>>)> {
    let sight = status.dependency.as_ref()?;
    let fails = sight.alive == Some(false);
    Some((sight.alive, fails.then(|| Arc::clone(&sight.what))))
}
