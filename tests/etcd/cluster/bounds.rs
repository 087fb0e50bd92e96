//! What cannot work is refused before anything is asked of etcd.

use std::time::Duration;

use overwatch::etcd::{EtcdConfig, EtcdConfigError, Membership, MembershipBuilder, Shard, Shards};
use overwatch::{Overwatch, Policy, feed};

fn builder(prefix: &str, id: &str) -> MembershipBuilder {
    let etcd = EtcdConfig::new(["http://127.0.0.1:2379"]).expect("a valid endpoint");
    Membership::builder(etcd, prefix, id)
}

fn refused(built: Result<impl Sized, EtcdConfigError>) -> String {
    match built {
        Ok(_) => panic!("not refused"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn each_knob_of_a_membership_is_bounded() {
    let seconds = Duration::from_secs;
    for (built, knob, why) in [
        (builder("", "a"), "prefix", "is empty"),
        (builder("a\u{7}b", "a"), "prefix", "control character"),
        (builder("a b", "a"), "prefix", "white space"),
        (builder(&"x".repeat(513), "a"), "prefix", "513 bytes"),
        (builder("p", ""), "id", "is empty"),
        (builder("p", "a/b"), "id", "slash"),
        (builder("p", "a\n"), "id", "white space"),
        (builder("p", "a").ttl(Duration::ZERO), "ttl", "from 4 s"),
        (builder("p", "a").ttl(seconds(3)), "ttl", "from 4 s"),
        (builder("p", "a").ttl(seconds(86_401)), "ttl", "to a day"),
        (builder("p", "a").ttl(Duration::MAX), "ttl", "to a day"),
        (
            builder("p", "a").ttl(Duration::from_millis(4_500)),
            "ttl",
            "whole seconds",
        ),
        (builder("p", "a").margin(Duration::ZERO), "margin", "100 ms"),
        (builder("p", "a").margin(seconds(8)), "margin", "half"),
        (
            builder("p", "a").rejoin_jitter(seconds(16)),
            "rejoin_jitter",
            "ttl",
        ),
        (
            builder("p", "a").metadata(vec![0; 65_537]),
            "metadata",
            "65537 bytes",
        ),
    ] {
        let error = refused(built.build());
        assert!(error.starts_with(knob) && error.contains(why), "{error}");
    }
    for right in [
        builder("p", "a"),
        builder("p/ä", "ö")
            .ttl(seconds(4))
            .metadata(vec![0xff; 65_536]),
        builder("p", "a")
            .ttl(seconds(86_400))
            .margin(seconds(43_000)),
    ] {
        right.build().expect("in bounds");
    }
}

#[test]
fn the_shards_are_bounded() {
    let membership = builder("p", "a").build().expect("valid");
    let idle = |_: Shard| async { Ok(()) };
    for (built, knob, why) in [
        (
            Shards::new(&membership, "w", 0, idle),
            "shards",
            "there are none",
        ),
        (
            Shards::new(&membership, "w", 100_001, idle),
            "shards",
            "more than 100000",
        ),
        (
            Shards::new(&membership, "w", u32::MAX, idle),
            "shards",
            "more than 100000",
        ),
        (Shards::new(&membership, "", 1, idle), "work", "is empty"),
        (Shards::new(&membership, "a/b", 1, idle), "work", "slash"),
        (
            Shards::named(&membership, "w", [""; 0], idle),
            "shards",
            "there are none",
        ),
        (
            Shards::named(&membership, "w", [""], idle),
            "shards",
            "is empty",
        ),
        (
            Shards::named(&membership, "w", ["a/b"], idle),
            "shards",
            "slash",
        ),
        (
            Shards::named(&membership, "w", ["a", "b", "a"], idle),
            "shards",
            "\"a\" is given twice",
        ),
    ] {
        let error = refused(built);
        assert!(error.starts_with(knob) && error.contains(why), "{error}");
    }
}

#[test]
fn deadlines_that_the_lease_does_not_leave_room_for_are_refused_with_the_arithmetic() {
    let membership = builder("p", "a")
        .ttl(Duration::from_secs(11))
        .build()
        .expect("valid");
    let shards = Shards::new(&membership, "w", 1, |_| async { Ok(()) }).expect("valid");
    let policy = Policy::builder().build().expect("each by itself fits");
    let (_, probe) = feed();
    let error = Overwatch::builder(probe)
        .policy(policy)
        .lease_holder("membership", membership)
        .component("work", shards)
        .build()
        .expect_err("no room")
        .to_string();
    let arithmetic = "less the grace of 1s, the margin of 1s and the stop budget of 2 stages \u{d7} (10s stop + 2s abort) = 24s";
    assert!(error.contains(arithmetic), "{error}");
}
