//! The member of etcd that leads hangs for longer than a lease lasts, and goes on.
//!
//! The others elect a new leader meanwhile, which renews the leases. The old one knows nothing of that when
//! it goes on: by its own clock the leases have run out, and some versions of etcd then revoke them, although
//! their nodes live ([etcd#15247](https://github.com/etcd-io/etcd/issues/15247) is of that kind). So nothing is
//! promised of gaps here: such a node loses its lease, and notices.

use std::time::Duration;

use rustix::process::Signal;

use super::{BEYOND_TTL, heal};
use crate::cluster::Cluster;
use crate::etcd::{self, Vanished};
use crate::node::{PREFIX, WORK};
use crate::verdict::Made;

/// How long after it goes on a lease that vanishes was revoked because of that.
const REVOKED_WITHIN: Duration = Duration::from_secs(3);

pub(super) async fn hung(cluster: &mut Cluster, made: &mut Made) -> Result<(), String> {
    let screen = cluster.screen;
    let leader = etcd::leader(&cluster.members).await?;
    let other = (leader + 1) % cluster.members.len();
    screen.say(
        "script",
        "the member of etcd that leads is stopped (SIGSTOP)",
    );
    cluster.members[leader].signal(Signal::STOP)?;
    cluster.pause(cluster.wanted.ttl + BEYOND_TTL).await?;
    let vanished = Vanished::follow(&cluster.members[other], PREFIX).await?;
    cluster.members[leader].signal(Signal::CONT)?;
    heal(made, None);
    screen.say("script", "it goes on (SIGCONT)");
    cluster.pause(REVOKED_WITHIN).await?;
    etcd::answering(&mut cluster.members).await?;

    let vanished = vanished.keys();
    let ids = ids_of(&vanished);
    let mut note = format!(
        "within {REVOKED_WITHIN:?} of SIGCONT {} nodes lost their leases",
        ids.len()
    );
    if !ids.is_empty() {
        note += &format!(" ({})", ids.join(", "));
    }
    match last_work(cluster, &vanished) {
        Some(longest) => {
            note +=
                &format!("; the last work under a claim that had vanished was {longest:.1?} later");
        }
        None => note += "; nobody worked under a claim that had vanished",
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
