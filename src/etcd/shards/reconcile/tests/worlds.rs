//! Several nodes over one made-up store. Answers get lost, views are old, shards fail, leases end under running work,
//! claims and other keys are removed. Whatever happens, no shard runs twice; and when nothing more happens, each runs
//! once, and nobody asks for anything.
//!
//! Two things are taken for granted, as the documentation does. A node hears within the grace that a claim of its own is
//! gone. And no node that may claim a shard has missed the whole life of another's claim on it.

use proptest::prelude::*;

use super::*;
use crate::etcd::records::{Entry, Prefix, WorkKeys};
use crate::etcd::shards::follower::Follower;

const GRACE: Duration = Duration::from_secs(1);
/// After what time at the latest a node has heard that something of its own is gone.
const LATEST: Duration = GRACE.saturating_sub(MS);

/// What happens next: a kind, a node, and the seed of its dice.
type Event = (u8, usize, u64);

/// One for each question, so that no answer goes along with another one.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        (named("dice", &self.0.to_string()) >> 8) % sides
    }

    /// One of so many, if there are any.
    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        let place = self.roll(from.len().max(1) as u64);
        from.get(place as usize).cloned()
    }

    fn fate(&mut self) -> Fate {
        match self.roll(5) {
            0 => Fate::AnswerLost,
            1 => Fate::Lost,
            _ => Fate::Answered,
        }
    }
}

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
        events in prop::collection::vec((0_u8..28, 0_usize..3, any::<u64>()), 0..200),
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
    /// Those of nodes that have begun anew, and which etcd still has.
    former: Vec<i64>,
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
    running: BTreeMap<usize, RunningShard>,
    /// When each claim was last released, by place and revision.
    released: BTreeMap<(usize, i64), Duration>,
    /// Its claims that somebody has removed, which it has not seen yet: until when it does.
    doomed: BTreeMap<usize, Duration>,
    /// The same of its whole lease.
    revoked: Option<Duration>,
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
            former: Vec::new(),
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
            doomed: BTreeMap::new(),
            revoked: None,
        }
    }

    fn happens(&mut self, (kind, node, seed): Event) {
        let node = node % self.nodes.len();
        let dice = &mut Dice(seed);
        match kind {
            0..=5 => {
                self.sees(node);
                self.looks(node, || dice.fate());
            }
            6..=7 => {
                self.looks(node, || dice.fate());
            }
            8..=12 => self.passes(Duration::from_millis(dice.roll(700))),
            13 => self.passes(Duration::from_secs(dice.roll(70))),
            14..=16 => {
                let running: Vec<usize> = self.nodes[node].running.keys().copied().collect();
                if let Some(place) = dice.pick(&running) {
                    let how = match dice.roll(3) {
                        0 => ShardExit::Failed(FailureClass::Component),
                        _ => ShardExit::Returned,
                    };
                    self.ends(node, place, how);
                }
            }
            17 => self.nodes[node].registered = dice.roll(2) == 0,
            18 => {
                // Its copy of the keys is made anew.
                self.nodes[node].anew = true;
            }
            19..=20 => {
                // Somebody removes a record: a claim, or what is none.
                let of_kind = |key: &&Vec<u8>| is_claim(key) == (kind == 20);
                let keys: Vec<Vec<u8>> = self.entries.keys().filter(of_kind).cloned().collect();
                if let Some(key) = dice.pick(&keys) {
                    self.remove(&key);
                }
            }
            21 => self.dies(node),
            // Its lease was not renewed in time, and runs out later.
            22 => self.begins_anew(node),
            23 => {
                if let Some(lease) = dice.pick(&self.former) {
                    self.runs_out(lease);
                }
            }
            24 => self.revoked(node),
            _ => self.stopping_ends(node),
        }
        self.runs_nothing_twice();
    }

    /// Who has not seen by then that something of its own is gone sees it in time.
    fn passes(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let latest = |(at, node): (usize, &Node)| {
                let gone = node.doomed.values().copied().chain(node.revoked);
                Some((gone.min()?, at))
            };
            let next = self.nodes.iter().enumerate().filter_map(latest).min();
            let Some((latest, at)) = next.filter(|&(latest, _)| latest <= until) else {
                break;
            };
            self.now = self.now.max(latest);
            match self.nodes[at].revoked {
                Some(_) => self.begins_anew(at),
                None => self.sees(at),
            }
        }
        self.now = until;
    }

    /// All its work is gone, and so is what it wrote. It begins again.
    fn dies(&mut self, node: usize) {
        let gone = self.nodes[node].lease;
        self.begins_anew(node);
        self.runs_out(gone);
    }

    /// The lease is ended behind its back, under running work.
    fn revoked(&mut self, node: usize) {
        let Node { lease, revoked, .. } = &mut self.nodes[node];
        let lease = *lease;
        revoked.get_or_insert(self.now + LATEST);
        self.runs_out(lease);
    }

    /// All its work ends at once, and it takes a new lease.
    fn begins_anew(&mut self, node: usize) {
        let Node { lease, id, .. } = &self.nodes[node];
        let (lease, id) = (*lease, id.clone());
        self.former.push(lease);
        self.nodes[node] = self.node(id);
    }

    /// All that is bound to a lease goes.
    fn runs_out(&mut self, lease: i64) {
        self.former.retain(|&former| former != lease);
        let of_lease =
            |(key, entry): (&Vec<u8>, &Entry)| (entry.lease == lease).then(|| key.clone());
        let keys: Vec<Vec<u8>> = self.entries.iter().filter_map(of_lease).collect();
        for key in keys {
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &[u8]) {
        let gone = self.entries.get(key).expect("it is there").clone();
        let place = (0..self.shape.shards).find(|&place| self.claim_key(place).as_bytes() == key);
        let owner = self.nodes.iter().position(|node| node.lease == gone.lease);
        if let (Some(place), Some(owner), false) = (place, owner, gone.value.is_empty()) {
            let behind = |at: &usize| {
                let view = self.nodes[*at].view.as_ref();
                *at != owner && view.is_some_and(|view| view.revision < gone.revision)
            };
            let behind: Vec<usize> = (0..self.nodes.len()).filter(behind).collect();
            behind.into_iter().for_each(|at| self.sees(at));
            self.nodes[owner].doomed.insert(place, self.now + LATEST);
        }
        self.revision += 1;
        self.entries.remove(key);
        for node in &mut self.nodes {
            node.removed.push((key.to_owned(), gone.clone()));
        }
    }

    /// A node gets the newest view. Of its work just that is lost whose claims were removed.
    fn sees(&mut self, at: usize) {
        let Node {
            follower,
            removed,
            anew,
            view,
            running,
            lease,
            doomed,
            ..
        } = &mut self.nodes[at];
        let newest = follower.read(&self.entries, self.revision, removed, *anew, self.now);
        removed.clear();
        *anew = false;
        let claims = running.iter().map(|(&place, job)| (place, job.claim));
        let lost = newest.lost(*lease, claims);
        let doomed: Vec<usize> = core::mem::take(doomed).into_keys().collect();
        let runs = |place: &&usize| running.contains_key(place);
        assert!(
            lost.iter().eq(doomed.iter().filter(runs)),
            "{lost:?} of {doomed:?}"
        );
        *view = Some(newest);
        for place in lost {
            self.ends(at, place, ShardExit::Lost);
        }
    }

    /// A node does what is decided. `true` if that was anything.
    fn looks(&mut self, at: usize, mut fate: impl FnMut() -> Fate) -> bool {
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
                Action::Stop { place } => {
                    assert!(!planned[place]);
                    let job = node.running.get_mut(&place).expect("it runs");
                    assert!(!job.stopping, "it is told already");
                    job.stopping = true;
                }
                Action::Begin { place, claim } => {
                    assert!(planned[place]);
                    assert_eq!(view.claims[place].of(node.lease), Some(claim));
                    assert!(!node.released.contains_key(&(place, claim)));
                    let job = RunningShard {
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
            let fate = match self.nodes[at].revoked {
                // Nothing is written under a lease that is gone.
                Some(_) => Fate::Lost,
                None => fate(),
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
                let unwritten = reconciler.not_written(&EtcdError::silent(), now);
                assert!(matches!(unwritten, Unwritten::Again(_)));
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
                if let Some(&until) = node.doomed.get(&place) {
                    assert!(self.now <= until, "it goes on for too long");
                    assert_eq!(claim, None, "somebody has claimed what still runs");
                    continue;
                }
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

    fn ends(&mut self, at: usize, place: usize, how: ShardExit) {
        let (node, now) = (&mut self.nodes[at], self.now);
        let job = node.running.remove(&place).expect("it runs");
        node.reconciler.ended(place, job, how, now);
    }

    fn stopping_ends(&mut self, at: usize) {
        let running = self.nodes[at].running.iter();
        let stopping: Vec<usize> = running
            .filter(|(_, job)| job.stopping)
            .map(|(&place, _)| place)
            .collect();
        for place in stopping {
            self.ends(at, place, ShardExit::Returned);
        }
    }

    /// Nothing more happens, and all is answered. Nodes look only when they see something new, or wake.
    fn comes_to_rest(&mut self) {
        let until = self.now + Duration::from_secs(300);
        let mut seen = vec![0; self.nodes.len()];
        for at in 0..self.nodes.len() {
            if self.nodes[at].revoked.is_some() {
                self.begins_anew(at);
            }
            self.nodes[at].registered = true;
        }
        while let Some(&lease) = self.former.first() {
            self.runs_out(lease);
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
                    active |= self.looks(at, || Fate::Answered) || stopping;
                }
            }
            if active {
                continue;
            }
            let wakes = self.nodes.iter().filter_map(|node| node.reconciler.again);
            match wakes.min() {
                Some(at) => self.passes(at.saturating_sub(self.now)),
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
            assert!(
                !self.looks(at, || Fate::Answered),
                "it asks for something still"
            );
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
