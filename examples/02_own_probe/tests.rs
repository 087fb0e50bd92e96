use std::time::Duration;

use overwatch::{Observation, Overwatch, Policy, Probe};

use super::server::{Reply, Server};
use super::{Ping, idle};

#[tokio::test]
async fn each_answer_is_seen_for_what_it_is() {
    let server = Server::start().await.unwrap();
    let probe = Ping {
        address: server.address(),
    };
    for (reply, wanted) in [
        (Reply::Pong, None),
        (Reply::Nonsense, Some(("nonsense", false))),
        (Reply::WantsPassword, Some(("unauthenticated", true))),
        (Reply::Nothing, Some(("hangs", false))),
    ] {
        server.set(reply);
        let seen = match probe.observe().await {
            Observation::Failing {
                class: Some(class),
                fatal,
                ..
            } => Some((class, fatal)),
            _ => None,
        };
        assert_eq!(seen, wanted, "{reply:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_gone_is_unreachable() {
    let address = ([127, 0, 0, 1], 1).into();
    let seen = Ping { address }.observe().await;
    let is_unreachable =
        matches!(seen, Observation::Failing { class, .. } if class == Some("unreachable"));
    assert!(is_unreachable, "{seen:?}");
}

#[tokio::test]
async fn a_fatal_failure_ends_the_run() {
    let server = Server::start().await.unwrap();
    let address = server.address();
    let service = Overwatch::builder(Ping { address }).task("idle", idle);
    let service = service.build().unwrap();
    let handle = service.handle();
    let run = tokio::spawn(service.run());
    handle.wait_until_ready().await.unwrap();
    server.set(Reply::WantsPassword);
    let ended = run.await.unwrap().unwrap_err();
    assert!(ended.to_string().contains("password"), "{ended}");
}

#[test]
fn a_policy_that_the_probe_is_too_slow_for_is_refused() {
    let policy = Policy::builder().silence_limit(Duration::from_millis(400));
    let address = ([127, 0, 0, 1], 1).into();
    let service = Overwatch::builder(Ping { address }).task("idle", idle);
    let refused = service.policy(policy.build().unwrap()).build();
    let refused = refused.err().unwrap().to_string();
    assert!(refused.contains("a ping may take longer"), "{refused}");
}
