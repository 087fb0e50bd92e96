use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{advance, sleep};

use super::*;
use crate::etcd::basics::EtcdError;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// A source that does what the test sends it.
struct Played {
    steps: mpsc::UnboundedReceiver<Step>,
    entries: BTreeMap<Vec<u8>, Entry>,
    revision: i64,
    as_of: Option<Instant>,
}

/// What a step brings.
enum Step {
    /// The copy has this many keys, and is confirmed.
    Keys(KeyChanges, i64),
    Failed(NotCurrent),
}

impl KeySource for Played {
    async fn step(&mut self) -> Result<KeyChanges, NotCurrent> {
        match self.steps.recv().await {
            Some(Step::Keys(changes, count)) => {
                let key = |number: i64| {
                    let (value, lease) = (Vec::new(), 0);
                    let entry = Entry {
                        value,
                        lease,
                        revision: number,
                    };
                    (format!("c/{number}").into_bytes(), entry)
                };
                self.entries = (0..count).map(key).collect();
                self.revision = count;
                self.as_of = Some(Instant::now());
                Ok(changes)
            }
            Some(Step::Failed(cause)) => Err(cause),
            None => std::future::pending().await,
        }
    }

    fn copy(&self) -> (&BTreeMap<Vec<u8>, Entry>, i64, Option<Instant>) {
        (&self.entries, self.revision, self.as_of)
    }
}

/// A loop that follows a played source.
struct Case {
    steps: mpsc::UnboundedSender<Step>,
    changes: mpsc::Receiver<Changes>,
    standing: watch::Receiver<Standing>,
    following: JoinHandle<Option<String>>,
}

impl Case {
    /// `known` is how old the values of an earlier epoch are.
    fn new(max_age: Option<Duration>, known: Option<Duration>) -> Self {
        let (steps, played) = mpsc::unbounded_channel();
        let source = Played {
            steps: played,
            entries: BTreeMap::new(),
            revision: 0,
            as_of: None,
        };
        let (changes, changed) = mpsc::channel(1);
        let (standing, stands) = watch::channel(Standing::default());
        let now = clock::now();
        let known = known.map(|age| now - age);
        let freshness = Freshness::new("c/".into(), max_age, known, now);
        let following = tokio::spawn(follow(source, freshness, Tell { changes, standing }));
        Self {
            steps,
            changes: changed,
            standing: stands,
            following,
        }
    }

    fn plays(&self, step: Step) {
        assert!(self.steps.send(step).is_ok(), "it is followed");
    }

    /// The keys that are published next.
    async fn published(&mut self) -> usize {
        let changes = self.changes.recv().await.expect("it is followed");
        changes.changed.len()
    }

    /// Why it has ended, and after how long from now.
    async fn end(self) -> (Option<String>, Duration) {
        let begun = Instant::now();
        let why = self.following.await.expect("no panic");
        (why, begun.elapsed())
    }
}

fn too_large() -> Step {
    Step::Failed(NotCurrent::TooLarge("too many keys".into()))
}

fn silence() -> Step {
    Step::Failed(EtcdError::silent().into())
}

#[tokio::test(start_paused = true)]
async fn values_that_nothing_confirms_are_a_failure_exactly_at_the_age_that_was_set() {
    let mut case = Case::new(Some(8 * SECOND), None);
    case.plays(Step::Keys(KeyChanges::Anew, 1));
    assert_eq!(case.published().await, 1);
    sleep(3 * SECOND).await;
    case.plays(Step::Keys(KeyChanges::Confirmed, 1));
    assert_eq!(case.published().await, 0);
    case.plays(silence());
    let (why, after) = case.end().await;
    assert!(
        after >= 8 * SECOND && after < 8 * SECOND + 2 * MS,
        "{after:?}"
    );
    let why = why.expect("a failure");
    assert_eq!(
        why,
        "what is below c/ was last confirmed 8.0s ago, and max_age is 8s: etcd is unreachable: no answer"
    );
}

#[tokio::test(start_paused = true)]
async fn without_an_age_silence_is_told_and_ends_nothing() {
    let mut case = Case::new(None, None);
    case.plays(Step::Keys(KeyChanges::Anew, 1));
    assert_eq!(case.published().await, 1);
    case.plays(silence());
    case.standing.changed().await.expect("it is followed");
    let told = case.standing.borrow_and_update().trouble.clone();
    assert_eq!(told.as_deref(), Some("etcd is unreachable: no answer"));
    sleep(86_400 * SECOND).await;
    assert!(!case.following.is_finished());
    drop(case.changes);
    assert_eq!(case.following.await.expect("no panic"), None, "no reader");
}

#[tokio::test(start_paused = true)]
async fn changes_are_combined_and_published_at_a_pause() {
    let mut case = Case::new(None, None);
    case.plays(Step::Keys(KeyChanges::Anew, 1));
    assert_eq!(case.published().await, 1);
    let begun = Instant::now();
    for keys in 2..=9 {
        case.plays(Step::Keys(KeyChanges::Changed, keys));
        advance(5 * MS).await;
    }
    assert_eq!(case.published().await, 8);
    assert!(begun.elapsed() >= 50 * MS, "{:?}", begun.elapsed());
}

/// The reader keeps what it has, and a part of the rest would be no state of the store.
#[tokio::test(start_paused = true)]
async fn changes_that_wait_are_dropped_if_there_is_too_much() {
    let mut case = Case::new(None, None);
    case.plays(Step::Keys(KeyChanges::Anew, 1));
    assert_eq!(case.published().await, 1);
    case.plays(Step::Keys(KeyChanges::Changed, 2));
    case.plays(too_large());
    sleep(SECOND).await;
    assert!(case.changes.try_recv().is_err());
    let told = case.standing.borrow_and_update().clone();
    assert_eq!(told.trouble.as_deref(), Some("too many keys"));
    assert!(!told.uses_known, "it has values of this epoch");
    case.plays(Step::Keys(KeyChanges::Anew, 2));
    assert_eq!(case.published().await, 2);
    assert_eq!(*case.standing.borrow(), Standing::default());
}

#[tokio::test(start_paused = true)]
async fn too_much_at_the_first_start_is_a_failure_and_later_the_known_values_are_used() {
    let first = Case::new(None, None);
    first.plays(too_large());
    let (why, _) = first.end().await;
    assert_eq!(
        why.as_deref(),
        Some("cannot read what is below c/: too many keys")
    );
    let mut later = Case::new(None, Some(60 * SECOND));
    later.plays(silence());
    sleep(SECOND).await;
    assert!(!later.standing.borrow_and_update().uses_known, "it passes");
    later.plays(too_large());
    sleep(3_600 * SECOND).await;
    assert!(later.standing.borrow_and_update().uses_known);
    assert!(!later.following.is_finished() && later.changes.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn known_values_are_a_failure_at_the_age_that_was_set() {
    let later = Case::new(Some(100 * SECOND), Some(60 * SECOND));
    later.plays(too_large());
    let (why, after) = later.end().await;
    assert!(
        after >= 40 * SECOND && after < 40 * SECOND + 2 * MS,
        "{after:?}"
    );
    let why = why.expect("a failure");
    assert!(why.ends_with("max_age is 100s: too many keys"), "{why}");
    let too_old = Case::new(Some(10 * SECOND), Some(60 * SECOND));
    too_old.plays(too_large());
    let standing = too_old.standing.clone();
    let (why, after) = too_old.end().await;
    assert!(why.is_some() && after < 2 * MS, "{why:?} {after:?}");
    assert!(!standing.borrow().uses_known, "it was never up with them");
}
