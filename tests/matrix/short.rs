//! The matrix in short: the rows that differ most, each once.

use std::time::Duration;

use overwatch_matrix::{CALM, FAULTS, Table, Try};

const WINDOW: Duration = Duration::from_secs(2);

async fn fault(etcd: &str, members: usize, name: &str) {
    let row = FAULTS
        .iter()
        .find(|row| row.members == members && row.name == name);
    let once = Try {
        after: Duration::from_secs(1),
        relapse: false,
    };
    let row = row.expect("a row of this name");
    let seen = row.run(etcd, WINDOW, &[once]).await;
    println!("{}\n{}", Table::Faults.heading(), seen.line);
    assert!(seen.wrong.is_empty(), "{:#?}", seen.wrong);
}

async fn calm(etcd: &str, members: usize, name: &str) {
    let row = CALM
        .iter()
        .find(|row| row.members == members && row.name == name);
    let seen = row.expect("a row of this name").run(etcd, Some(2)).await;
    println!("{}\n{}", Table::Calm.heading(), seen.line);
    assert!(seen.wrong.is_empty(), "{:#?}", seen.wrong);
}

macro_rules! rows {
    ($($test:ident: $kind:ident $etcd:literal $members:literal $name:literal;)*) => {
        $(#[tokio::test]
        async fn $test() {
            $kind($etcd, $members, $name).await;
        })*
    };
}

rows! {
    killed: fault "3.4" 1 "killed";
    all_killed: fault "3.5" 3 "all killed";
    hung: fault "3.5" 1 "hung";
    black_hole: fault "3.4" 3 "black hole";
    replies_lost: fault "3.4" 1 "replies lost";
    reset: fault "3.4" 1 "connections reset";
    quorum_lost: fault "3.4" 3 "quorum lost";
    out_of_space: fault "3.4" 1 "out of space";
    corrupt: fault "3.5" 1 "corrupt";
    disk_stalled: fault "3.4" 1 "disk stalled";
    disk_stalled_on_3_5: fault "3.5" 1 "disk stalled";
    slower: fault "3.4" 1 "2 s slower";
    wiped: fault "3.4" 1 "wiped";
    permission_revoked: fault "3.4" 1 "permission revoked";
    user_removed: fault "3.5" 1 "user removed";
    leader_moved: calm "3.4" 3 "leader moved";
    leader_killed: calm "3.5" 3 "leader killed and restarted";
    compaction: calm "3.4" 1 "compaction";
    defragmentation: calm "3.4" 1 "defragmentation of all";
    cpu_stalled: calm "3.4" 3 "CPU of the probe's host stalled for 1 s";
    token_expired: calm "3.4" 1 "token expired (after 2 s)";
}
