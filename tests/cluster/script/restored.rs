//! etcd's store is put back to an earlier state, as from a backup: revisions go back, and with them the
//! fencing tokens, which are revisions.

use super::{APART, heal, within};
use crate::cluster::Cluster;
use crate::etcd::{self, Backup, Member};
use crate::record::now;
use crate::verdict::Made;

/// In order: all nodes leave before, and are started again after it, each told that the store is another
/// one: a higher generation. Then tokens must not go back.
pub(super) async fn between_nodes(
    cluster: &mut Cluster,
    node: usize,
    made: &mut Made,
) -> Result<(), String> {
    let screen = cluster.screen;
    let copy = copy_and_go_on(cluster, node).await?;
    screen.say("script", "all nodes leave; etcd is put back to the copy");
    let all = cluster.all();
    cluster.leave(&all).await?;
    put_back(cluster, copy).await?;
    heal(made, None);
    screen.say("script", "etcd is back, and the nodes are started again");
    for node in all {
        cluster.orders(node).generation += 1;
        cluster.launch(node)?;
    }
    Ok(())
}

/// Against the rules: the nodes go on. They must notice, and nothing may run twice; but nobody has told them
/// of a new generation, so tokens go back, and a store that remembers the highest one refuses them.
pub(super) async fn in_use(
    cluster: &mut Cluster,
    node: usize,
    made: &mut Made,
) -> Result<(), String> {
    let screen = cluster.screen;
    let copy = copy_and_go_on(cluster, node).await?;
    screen.say(
        "script",
        "etcd is put back to the copy, under the nodes that run",
    );
    cluster.restored.push(now());
    put_back(cluster, copy).await?;
    let note = "tokens went back with etcd, as nodes were not told; that was not judged";
    made.notes.push(note.into());
    heal(made, None);
    screen.say("script", "etcd is back");
    Ok(())
}

/// Copies the store, and makes sure that later claims are others than those in the copy: the leases in it
/// are those of nodes that live, but for one, which has left and is back.
async fn copy_and_go_on(cluster: &mut Cluster, node: usize) -> Result<Backup, String> {
    let copy = Backup::take(&mut cluster.members).await?;
    let what = format!("etcd's data is copied; {} leaves", cluster.id(node));
    cluster.screen.say("script", &what);
    cluster.leave(&[node]).await?;
    cluster.pause(APART).await?;
    cluster.launch(node)?;
    cluster.balanced(within(cluster)).await?;
    Ok(copy)
}

async fn put_back(cluster: &mut Cluster, copy: Backup) -> Result<(), String> {
    cluster.members.iter_mut().for_each(Member::kill);
    copy.put_back(&cluster.members)?;
    etcd::launch(&mut cluster.members).await
}
