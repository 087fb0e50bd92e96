//! What the members of one cluster share.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use etcd_client::proto::{PbDeleteRequest, PbPutRequest, PbResponseHeader};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::faults::{Condition, Whom};
#[cfg(test)]
use super::gate::Hold;
use super::gate::{Gate, Question, Side};
use super::store::Store;
use crate::lock;
use crate::net::{Chance, Traffic, clock};

/// What is different from one cluster to another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) id: u64,
    /// In seconds. A lease that is asked to be shorter is this long.
    pub(crate) shortest_ttl: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            id: 0xc1,
            // That of a server with an election timeout of a second.
            shortest_ttl: 2,
        }
    }
}

/// One key, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(test),
    allow(dead_code, reason = "only the directed tests look into it")
)]
pub(crate) struct Stored {
    pub(crate) value: String,
    /// Of its last change.
    pub(crate) revision: i64,
    /// 0 without one.
    pub(crate) lease: i64,
    /// When the lease runs out.
    pub(crate) ends: Option<Duration>,
}

/// A cluster: its store, and how it is. There may be several.
pub(crate) struct Cluster {
    id: u64,
    condition: Mutex<Condition>,
    /// The condition changed. Wakes in the order of waiting, as tokio's watch channel does not.
    changed: Notify,
    store: Mutex<Store>,
    /// As it was when a leader was deposed, who goes on from there.
    stale: Mutex<Option<Store>>,
    gate: Gate,
    /// The store changed. Likewise.
    written: Notify,
    chance: Mutex<Chance>,
    /// Of the reads that were answered.
    newest_answer: Mutex<i64>,
    pub(super) traffic: Arc<Mutex<Traffic>>,
}

impl Cluster {
    pub(crate) fn new(settings: Settings, seed: u64, traffic: Arc<Mutex<Traffic>>) -> Self {
        let Settings { id, shortest_ttl } = settings;
        // Leases of two clusters have no ids in common, as etcd's are drawn at random.
        let lease_ids = (id << 32) as i64;
        Self {
            id,
            condition: Mutex::new(Condition::GOOD),
            changed: Notify::new(),
            store: Mutex::new(Store::new(REVISION, lease_ids, shortest_ttl)),
            stale: Mutex::new(None),
            gate: Gate::default(),
            written: Notify::new(),
            chance: Mutex::new(Chance(seed ^ 0xfa4e ^ id)),
            newest_answer: Mutex::new(0),
            traffic,
        }
    }

    /// To be called between two steps of the simulation, and so told the time. A leader after a time
    /// without one is a new one, and so is the one that another does not know of.
    pub(crate) fn set(&self, condition: Condition, now: Duration) {
        let before = std::mem::replace(&mut *lock(&self.condition), condition);
        let is_deposed = condition.deposed != Whom::Nobody;
        let was_deposed = before.deposed != Whom::Nobody;
        if is_deposed != was_deposed {
            *lock(&self.stale) = is_deposed.then(|| self.store().clone());
        }
        if condition.leader && !before.leader || is_deposed && !was_deposed {
            self.store().begin_term(now);
        }
        self.changed.notify_waiters();
        // Who was deposed has missed something.
        self.written.notify_waiters();
    }

    /// All data is lost.
    pub(crate) fn wipe(&self) {
        self.store().wipe();
        *lock(&self.newest_answer) = 0;
        self.written.notify_waiters();
    }

    /// Revokes a lease as an operator would, by hand: that of this key. The lease, if there was one.
    pub(crate) fn revoke_lease_of(&self, key: &str) -> Option<i64> {
        self.write(|store| match store.lease_of(key) {
            0 => None,
            lease => store.revoke(lease).is_ok().then_some(lease),
        })
    }

    /// A lease has run on for so long, from one moment to the next. Whether that was its end.
    pub(crate) fn age(&self, lease: i64, time: Duration, now: Duration) -> bool {
        self.write(|store| store.age(lease, time, now))
    }

    /// Deletes a key by hand.
    pub(crate) fn remove(&self, key: &str) {
        let delete = PbDeleteRequest {
            key: key.into(),
            ..PbDeleteRequest::default()
        };
        // A key that is none is refused, and nothing else can go wrong.
        let _ = self.write(|store| store.delete_range(&delete));
    }

    /// All that is stored, as a backup has it.
    #[cfg(test)]
    pub(crate) fn backup(&self) -> Store {
        self.store().clone()
    }

    /// A backup takes the place of what is stored. The members are to be down.
    #[cfg(test)]
    pub(crate) fn restore(&self, backup: &Store, now: Duration) {
        let mut store = self.store();
        store.clone_from(backup);
        // The next leader gives each lease its whole time.
        store.begin_term(now);
        *lock(&self.newest_answer) = 0;
    }

    /// Whether there is such a lease.
    #[cfg(test)]
    pub(crate) fn lives(&self, lease: i64) -> bool {
        self.store().ends(lease).is_some()
    }

    /// What is stored under this key: of which revision, by which lease, and when that runs out.
    pub(crate) fn stored(&self, key: &str) -> Option<Stored> {
        let store = self.store();
        let kv = store.get(key)?;
        Some(Stored {
            value: String::from_utf8_lossy(&kv.value).into_owned(),
            revision: kv.mod_revision,
            lease: kv.lease,
            ends: store.ends(kv.lease),
        })
    }

    /// What goes on without being asked: leases run out where that can be committed, and somebody else
    /// writes, so that the revision moves on.
    pub(crate) async fn lead(self: Arc<Self>) -> Result<(), Box<dyn std::error::Error>> {
        let somebody = PbPutRequest {
            key: b"somebody/else".to_vec(),
            ..PbPutRequest::default()
        };
        for turn in 0_u32.. {
            sleep(BETWEEN_WRITES).await;
            let now = self.now();
            if !now.leader || !now.commits {
                continue;
            }
            {
                let mut store = self.store();
                if turn % WRITES_FOR_EACH_LOOK == 0 {
                    store.expire(clock());
                }
                if !now.is_full() && !now.is_corrupt() {
                    // Without a lease there is nothing to refuse.
                    let _ = store.put(&somebody);
                }
            }
            self.written.notify_waiters();
        }
        Ok(())
    }

    pub(super) fn now(&self) -> Condition {
        *lock(&self.condition)
    }

    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.store)
    }

    /// What a member makes of its own copy of the store.
    pub(super) fn of_member<T>(&self, index: usize, look: impl FnOnce(&mut Store) -> T) -> T {
        if self.now().deposed.is(index)
            && let Some(stale) = &mut *lock(&self.stale)
        {
            return look(stale);
        }
        look(&mut self.store())
    }

    /// Holds up the next questions of this kind, so many of them.
    #[cfg(test)]
    pub(crate) fn hold(
        &self,
        side: Side,
        count: usize,
        which: impl Fn(Question<'_>) -> bool + Send + Sync + 'static,
    ) -> Hold {
        self.gate.hold(side, count, which)
    }

    /// Waits as long as the question is held up on this side.
    pub(super) async fn pass(&self, side: Side, question: Question<'_>) {
        self.gate.pass(side, question).await;
    }

    /// Changes the store, and wakes who watches it.
    pub(crate) fn write<T>(&self, change: impl FnOnce(&mut Store) -> T) -> T {
        let changed = change(&mut self.store());
        self.written.notify_waiters();
        changed
    }

    /// What the store was changed by since this was polled first or enabled.
    pub(super) fn written(&self) -> &Notify {
        &self.written
    }

    pub(super) fn header(&self, member: u64, store: &Store) -> PbResponseHeader {
        PbResponseHeader {
            cluster_id: self.id,
            member_id: member,
            revision: store.revision(),
            raft_term: store.term(),
        }
    }

    /// Waits until somebody speaks, and this holds.
    pub(super) async fn when(&self, ready: impl Fn(&Condition) -> bool) {
        self.once(|now| now.speaks && ready(now)).await;
    }

    /// Waits until there was no leader for so long that a member ends the streams that require one.
    pub(super) async fn leaderless(&self) {
        loop {
            self.once(|now| !now.leader).await;
            if timeout(STREAMS_END, self.once(|now| now.leader))
                .await
                .is_err()
            {
                return self.when(|_| true).await;
            }
        }
    }

    async fn once(&self, ready: impl Fn(&Condition) -> bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if ready(&self.now()) {
                return;
            }
            changed.await;
        }
    }

    /// A read of this revision was answered.
    pub(super) fn answered(&self, revision: i64) {
        let mut newest = lock(&self.newest_answer);
        if revision < *newest {
            lock(&self.traffic).overtakings += 1;
        }
        *newest = revision.max(*newest);
    }

    /// Any time below this one.
    pub(super) fn below(&self, bound: Duration) -> Duration {
        match bound.as_millis() as u64 {
            0 => Duration::ZERO,
            bound => lock(&self.chance).ms(0, bound),
        }
    }

    pub(super) fn either(&self) -> bool {
        lock(&self.chance).below(2) == 0
    }
}

/// That of a store which is in use for some time.
const REVISION: i64 = 1_000;
/// Seldom are two reads of one state of the store, so an answer that is overtaken is an older one.
const BETWEEN_WRITES: Duration = Duration::from_millis(50);
/// etcd looks twice a second what has run out.
const WRITES_FOR_EACH_LOOK: u32 = 10;
/// A member looks once a second whether it has a leader, and does this the third time.
const STREAMS_END: Duration = Duration::from_secs(3);
