//! Several nodes over one made-up store. Answers get lost, views are old, shards fail, leases run out, keys are removed.
//! Whatever happens, no shard runs twice; and when nothing more happens, each runs once, and nobody asks for anything.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::etcd::entry::Entry;
use crate::etcd::keys::{Prefix, WorkKeys};
use crate::etcd::shards::follower::Follower;

const GRACE: Duration = Duration::from_secs(1);

/// What happens next: a kind, a node, and dice.
type Event = (u8, usize, u64);

#[derive(Clone, Copy, Debug)]
struct Shape {
    nodes: usize,
    shards: usize,
    most_moving: usize,
}

fn shapes() -> impl Strategy<Value = Shape> {
    let most_moving = prop_oneof![Just(1), Just(2), Just(usize::MAX)];
    (1_usize..4, 1_usize..7, most_moving).prop_map(|(nodes, shards, most_moving)| Shape {
        nodes,
        shards,
        most_moving,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_shard_runs_twice_and_in_the_end_each_runs_once(
        shape in shapes(),
        events in prop::collection::vec((0_u8..24, 0_usize..3, any::<u64>()), 0..200),
    ) {
        let mut world = World::new(shape);
        for event in events {
            world.happens(event);
        }
        world.comes_to_rest();
    }
}

struct World {
    keys: WorkKeys,
    list: Arc<List>,
    shape: Shape,
    entries: BTreeMap<Vec<u8>, Entry>,
    revision: i64,
    leases: i64,
    now: Duration,
    nodes: Vec<Node>,
}

struct Node {
    id: String,
    lease: i64,
    registered: bool,
    reconciler: Reconciler,
    follower: Follower,
    removed: Vec<(Vec<u8>, Entry)>,
    anew: bool,
    view: Option<View>,
    running: BTreeMap<usize, Running>,
    /// When each claim was last released, by place and revision.
    released: BTreeMap<(usize, i64), Duration>,
    /// The claims that it ever worked under and has ended with.
    ended: BTreeSet<(usize, i64)>,
}

/// What becomes of a write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    AnswerLost,
    Lost,
}

impl World {
    fn new(shape: Shape) -> Self {
        let names = (0..shape.shards).map(|shard| format!("s{shard}"));
        let mut world = Self {
            keys: Prefix::parse("p").expect("valid").work("w"),
            list: Arc::new(List::named(&names.collect())),
            shape,
            entries: BTreeMap::new(),
            revision: 1,
            leases: 10,
            now: T0,
            nodes: Vec::new(),
        };
        for node in 0..shape.nodes {
            let node = world.node(format!("node-{node}"));
            world.nodes.push(node);
        }
        world
    }

    /// One that has just begun.
    fn node(&mut self, id: String) -> Node {
        self.leases += 1;
        let (list, lease) = (Arc::clone(&self.list), self.leases);
        let most_moving = self.shape.most_moving;
        let own = self.keys.on(&id, lease);
        Node {
            reconciler: Reconciler::new(Arc::clone(&list), "w", &id, lease, most_moving),
            follower: Follower::new(self.keys.clone(), &own, &list, GRACE, self.now),
            id,
            lease,
            registered: true,
            removed: Vec::new(),
            anew: true,
            view: None,
            running: BTreeMap::new(),
            released: BTreeMap::new(),
            ended: BTreeSet::new(),
        }
    }

    fn happens(&mut self, (kind, node, dice): Event) {
        let node = node % self.nodes.len();
        match kind {
            0..=5 => {
                self.sees(node);
                self.looks(node, dice);
            }
            6..=7 => {
                self.looks(node, dice);
            }
            8..=12 => self.now += Duration::from_millis(dice % 700),
            13 => self.now += Duration::from_secs(dice % 70),
            14..=16 => {
                let running: Vec<usize> = self.nodes[node].running.keys().copied().collect();
                if let Some(&place) = running.get(dice as usize % running.len().max(1)) {
                    self.ends(node, place, dice);
                }
            }
            17 => self.nodes[node].registered = dice % 2 == 0,
            18 => {
                // Its copy of the keys is made anew.
                self.nodes[node].anew = true;
            }
            19 => {
                // Somebody removes a record that is no claim.
                let keys = self.entries.keys().filter(|key| !is_claim(key));
                let keys: Vec<Vec<u8>> = keys.cloned().collect();
                if !keys.is_empty() {
                    let key = keys[dice as usize % keys.len()].clone();
                    self.remove(&key);
                }
            }
            20 => self.dies(node),
            _ => self.stopping_ends(node),
        }
    }

    /// All its work is gone, and so is what it wrote. It begins again.
    fn dies(&mut self, node: usize) {
        let gone = self.nodes[node].lease;
        let keys = self.entries.iter().filter(|(_, entry)| entry.lease == gone);
        let keys: Vec<Vec<u8>> = keys.map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.remove(&key);
        }
        let id = self.nodes[node].id.clone();
        self.nodes[node] = self.node(id);
    }

    fn remove(&mut self, key: &[u8]) {
        self.revision += 1;
        let gone = self.entries.remove_entry(key).expect("it is there");
        for node in &mut self.nodes {
            node.removed.push(gone.clone());
        }
    }

    /// A node gets the newest view. Nothing of it is lost, as no claim is removed while somebody works under it.
    fn sees(&mut self, node: usize) {
        let Node {
            follower,
            removed,
            anew,
            view,
            running,
            lease,
            ..
        } = &mut self.nodes[node];
        let newest = follower.read(&self.entries, self.revision, removed, *anew, self.now);
        removed.clear();
        *anew = false;
        let claims = running.iter().map(|(&place, job)| (place, job.claim));
        assert_eq!(newest.lost(*lease, claims), [] as [usize; 0]);
        *view = Some(newest);
    }

    /// A node does what is decided. `true` if that was anything.
    fn looks(&mut self, at: usize, dice: u64) -> bool {
        let now = self.now;
        let node = &mut self.nodes[at];
        let Some(view) = &node.view else { return false };
        let planned = view.planned("w", &self.list, &node.id, now);
        let actions = node
            .reconciler
            .reconcile(view, &node.running, node.registered, now);
        if let Some(again) = node.reconciler.again {
            assert!(again > now, "it is to look again in the past");
        }
        for step in &actions.steps {
            match *step {
                Step::Stop { place } => {
                    assert!(!planned[place]);
                    let job = node.running.get_mut(&place).expect("it runs");
                    assert!(!job.stopping, "it is told already");
                    job.stopping = true;
                }
                Step::Begin { place, claim } => {
                    assert!(planned[place]);
                    assert_eq!(view.claims[place].of(node.lease), Some(claim));
                    assert!(!node.released.contains_key(&(place, claim)));
                    let job = Running {
                        claim,
                        begun: now,
                        stopping: false,
                    };
                    assert_eq!(node.running.insert(place, job), None);
                }
            }
        }
        let moving = node.running.values().filter(|job| job.stopping).count();
        assert!(
            moving <= self.shape.most_moving,
            "{moving} are told to stop"
        );
        for write in &actions.writes {
            self.nodes[at].may_send(write, &planned, now);
            let fate = match dice % 5 {
                0 => Fate::AnswerLost,
                1 => Fate::Lost,
                _ => Fate::Answered,
            };
            self.nodes[at].reconciler.sending(write, now);
            let revision = match fate {
                Fate::Lost => 0,
                Fate::Answered | Fate::AnswerLost => self.commit(at, write),
            };
            let reconciler = &mut self.nodes[at].reconciler;
            if fate == Fate::Answered {
                reconciler.written(write, revision);
            } else {
                let unwritten = reconciler.not_written(&Cause::silent(), now);
                assert!(matches!(unwritten, Unwritten::Again { .. }));
                assert!(reconciler.again.is_some(), "or it is never tried again");
                break;
            }
        }
        self.runs_nothing_twice();
        !actions.steps.is_empty() || !actions.writes.is_empty()
    }

    fn runs_nothing_twice(&self) {
        for place in 0..self.shape.shards {
            let mut at = self
                .nodes
                .iter()
                .filter(|node| node.running.contains_key(&place));
            let first = at.next();
            assert!(at.next().is_none(), "shard {place} runs twice");
            if let Some(node) = first {
                let claim = self.entries.get(self.claim_key(place).as_bytes());
                let claim = claim.expect("it is claimed");
                let held = (claim.lease, claim.revision);
                assert_eq!(held, (node.lease, node.running[&place].claim));
                assert_eq!(claim.value, node.id.as_bytes());
            }
        }
    }

    fn claim_key(&self, place: usize) -> String {
        self.keys.shard(self.list.name(place))
    }

    /// In one transaction.
    fn commit(&mut self, at: usize, write: &Write) -> i64 {
        let (id, lease) = (self.nodes[at].id.clone(), self.nodes[at].lease);
        let mut puts: Vec<(String, Vec<u8>)> = Vec::new();
        let identity = self.list.identity();
        let revision_of = |key: &str| self.entries.get(key.as_bytes()).map(|entry| entry.revision);
        match write {
            Write::TakePart | Write::List => {
                let list = self
                    .keys
                    .list(&identity.record_name().expect("it has names"));
                if revision_of(&list).is_none() {
                    puts.push((list, self.list.record().expect("it has names")));
                }
                if *write == Write::TakePart {
                    let on = self.keys.on(&id, lease);
                    puts.push((on, identity.to_string().into_bytes()));
                }
            }
            Write::Release(shards) => {
                for &(place, revision) in shards {
                    let key = self.claim_key(place);
                    if revision_of(&key) == revision {
                        puts.push((key, Vec::new()));
                    }
                }
            }
            Write::Claim(shards) => {
                for &(place, released) in shards {
                    let key = self.claim_key(place);
                    if revision_of(&key) == released {
                        puts.push((key, id.clone().into_bytes()));
                    }
                }
            }
        }
        if !puts.is_empty() {
            self.revision += 1;
        }
        for (key, value) in puts {
            let revision = self.revision;
            let entry = Entry {
                value,
                lease,
                revision,
            };
            self.entries.insert(key.into_bytes(), entry);
        }
        self.revision
    }

    fn ends(&mut self, at: usize, place: usize, dice: u64) {
        let (node, now) = (&mut self.nodes[at], self.now);
        let job = node.running.remove(&place).expect("it runs");
        node.ended.insert((place, job.claim));
        let how = match dice % 3 {
            0 => Ended::Failed(Class::Component),
            _ => Ended::Returned,
        };
        node.reconciler.ended(place, job, how, now);
    }

    fn stopping_ends(&mut self, at: usize) {
        let running = self.nodes[at].running.iter();
        let stopping: Vec<usize> = running
            .filter(|(_, job)| job.stopping)
            .map(|(&place, _)| place)
            .collect();
        for place in stopping {
            self.ends(at, place, 1);
        }
    }

    /// Nothing more happens, and all is answered. Nodes look only when they see something new, or wake.
    fn comes_to_rest(&mut self) {
        let until = self.now + Duration::from_secs(300);
        let mut seen = vec![0; self.nodes.len()];
        for node in &mut self.nodes {
            node.registered = true;
        }
        // All have seen what has been, and look.
        let mut rounds = 0;
        loop {
            rounds += 1;
            assert!(rounds < 1_000, "it spins");
            let mut active = false;
            for (at, seen) in seen.iter_mut().enumerate() {
                let stopping = self.nodes[at].running.values().any(|job| job.stopping);
                self.stopping_ends(at);
                let wakes = self.nodes[at]
                    .reconciler
                    .again
                    .is_some_and(|it| it <= self.now);
                let is_news = *seen != self.revision || self.nodes[at].anew;
                if is_news {
                    self.sees(at);
                    *seen = self.revision;
                }
                if is_news || stopping || wakes {
                    active |= self.looks(at, 2) || stopping;
                }
            }
            if active {
                continue;
            }
            let wakes = self.nodes.iter().filter_map(|node| node.reconciler.again);
            match wakes.min() {
                Some(at) => self.now = self.now.max(at),
                None => break,
            }
            assert!(self.now < until, "it never comes to rest");
        }
        for place in 0..self.shape.shards {
            let runs = |node: &&Node| node.running.contains_key(&place);
            let at: Vec<&Node> = self.nodes.iter().filter(runs).collect();
            assert_eq!(at.len(), 1, "shard {place} runs nowhere");
        }
        let counts = self.nodes.iter().map(|node| node.running.len());
        let (least, most) = (counts.clone().min(), counts.max());
        assert!(
            most <= least.map(|least| least + 1),
            "{least:?} to {most:?}"
        );
        for at in 0..self.nodes.len() {
            self.sees(at);
            assert!(!self.looks(at, 2), "it asks for something still");
        }
    }
}

impl Node {
    fn may_send(&mut self, write: &Write, planned: &[bool], now: Duration) {
        match write {
            Write::TakePart | Write::List => {}
            Write::Release(shards) => {
                for &(place, revision) in shards {
                    assert!(!self.running.contains_key(&place), "it runs");
                    let revision = revision.expect("it was seen");
                    let before = self.released.insert((place, revision), now);
                    assert!(before.is_none_or(|before| now >= before + REPEAT));
                }
            }
            Write::Claim(shards) => {
                assert!(self.registered);
                for &(place, _) in shards {
                    assert!(planned[place] && !self.running.contains_key(&place));
                }
            }
        }
    }
}

fn is_claim(key: &[u8]) -> bool {
    key.starts_with(b"p/work/w/shard/")
}
