//! The member of etcd that leads hangs for longer than a lease lasts, and goes on.
//!
//! The others elect a new leader meanwhile, which renews the leases. The old one knows nothing of that when
//! it goes on: by its own clock the leases have run out, and older versions of etcd then revoke them, although
//! their nodes live ([etcd#15247](https://github.com/etcd-io/etcd/issues/15247)). It depends on which comes
//! first, the news or the look at the clock. So nothing is promised of gaps here: a node that loses its lease
//! starts anew, and the others may claim its shards a second later.

use std::time::Duration;

use overwatch::etcd::Membership;
use rustix::process::Signal;

use super::{heal, within};
use crate::cluster::Cluster;
use crate::etcd::{self, Vanished};
use crate::node::{PREFIX, WORK};
use crate::verdict::Made;

/// How often it hangs.
const TIMES: usize = 2;
/// How much longer than a lease it hangs.
const BEYOND_LEASE: Duration = Duration::from_millis(500);
/// How long after it goes on a lease that vanishes was revoked because of that.
const REVOKED_WITHIN: Duration = Duration::from_secs(3);

pub(super) async fn hung(cluster: &mut Cluster, made: &mut Made) -> Result<(), String> {
    // It is a matter of milliseconds whether the old leader revokes anything.
    for time in 0..TIMES {
        if time > 0 {
            cluster.balanced(within(cluster)).await?;
        }
        hung_once(cluster, made).await?;
    }
    Ok(())
}

async fn hung_once(cluster: &mut Cluster, made: &mut Made) -> Result<(), String> {
    let screen = cluster.screen;
    let leader = etcd::leader(&cluster.members).await?;
    let other = (leader + 1) % cluster.members.len();
    screen.say(
        "script",
        "the member of etcd that leads is stopped (SIGSTOP)",
    );
    cluster.members[leader].signal(Signal::STOP)?;
    let lease = cluster.wanted.ttl - Membership::GRACE;
    cluster.pause(lease + BEYOND_LEASE).await?;
    let vanished = Vanished::follow(&cluster.members[other], PREFIX).await?;
    cluster.members[leader].signal(Signal::CONT)?;
    heal(made, None);
    screen.say("script", "it goes on (SIGCONT)");
    cluster.pause(REVOKED_WITHIN).await?;
    etcd::answering(&mut cluster.members).await?;

    let vanished = vanished.keys();
    let ids = ids_of(&vanished);
    let count = ids.len();
    let mut note = format!("{count} nodes lost their leases within {REVOKED_WITHIN:?} of SIGCONT");
    if count > 0 {
        note += &format!(" ({})", ids.join(", "));
    }
    if let Some(longest) = last_work(cluster, &vanished) {
        note += &format!("; the last work under a claim that had vanished was {longest:.1?} later");
    }
    screen.say("script", &note);
    made.notes.push(note);
    Ok(())
}

/// The nodes whose registrations have vanished.
fn ids_of(vanished: &[(u64, String)]) -> Vec<&str> {
    let members = format!("{PREFIX}members/");
    let keys = vanished.iter();
    keys.filter_map(|(_, key)| key.strip_prefix(&members))
        .collect()
}

/// The longest time for which the old owner of a shard was active after its claim had vanished for anybody
/// to see.
pub(super) fn last_work(cluster: &Cluster, vanished: &[(u64, String)]) -> Option<Duration> {
    let shards = format!("{PREFIX}work/{WORK}/shard/");
    let after = |(at, key): &(u64, String)| {
        let shard = key.strip_prefix(&shards)?.parse().ok()?;
        cluster.worked_after(shard, *at)
    };
    vanished.iter().filter_map(after).max()
}
