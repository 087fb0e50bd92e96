//! The last known state of the store, from which a reset is detected. Pure.

use super::answer::Store;

/// The store as it was last seen.
#[derive(Default)]
pub(crate) struct StoreIdentity {
    known: Option<KnownStore>,
    /// Counts the stores, so that an answer about an earlier one is not compared with this one.
    generation: u64,
}

#[derive(Clone, Copy)]
struct KnownStore {
    cluster_id: u64,
    revision: i64,
}

/// What was known of the store when a read was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Baseline {
    generation: u64,
    revision: i64,
    /// The member that is asked, and the highest term that it has shown. The term of another member may lag behind,
    /// because each member shows the term of what it has applied.
    member_id: Option<u64>,
    term: u64,
}

/// The result of the comparison of a read with the known store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// The same store, at this or a later state.
    Same,
    /// Another store in place of the known one.
    Reset(String),
}

impl StoreIdentity {
    /// The baseline of a request to this member, which has shown this term.
    pub(crate) fn baseline(&self, member_id: Option<u64>, term: u64) -> Baseline {
        Baseline {
            generation: self.generation,
            revision: self.revision(),
            member_id,
            term,
        }
    }

    /// Whether the answer to a request with this baseline is about the current store.
    pub(crate) fn is_current(&self, baseline: Baseline) -> bool {
        baseline.generation == self.generation
    }

    /// The highest revision seen.
    pub(crate) fn revision(&self) -> i64 {
        self.known.map_or(0, |known| known.revision)
    }

    /// The id of the cluster; `None` before the first read.
    pub(crate) fn cluster_id(&self) -> Option<u64> {
        self.known.map(|known| known.cluster_id)
    }

    /// Takes a read that was sent at `baseline`, while all endpoints that answer belong to one cluster.
    pub(crate) fn read(&mut self, baseline: Baseline, store: Store) -> Comparison {
        let generation = self.generation;
        let Some(known) = &mut self.known else {
            self.learn(store);
            return Comparison::Same;
        };
        let Store {
            cluster_id,
            revision,
            term,
            member_id,
        } = store;
        if cluster_id != known.cluster_id {
            let before = known.cluster_id;
            return self.reset(
                store,
                format!("the cluster is another one ({cluster_id:x}, and was {before:x})"),
            );
        }
        // Compared with what was known when the read began: another member's later read may have
        // been answered first. And an answer about the store before the last reset says nothing.
        if baseline.generation == generation {
            if revision < baseline.revision {
                let before = baseline.revision;
                return self.reset(
                    store,
                    format!("revision went back from {before} to {revision}"),
                );
            }
            if baseline.member_id == Some(member_id) && term < baseline.term {
                let before = baseline.term;
                return self.reset(
                    store,
                    format!("raft term went back from {before} to {term}"),
                );
            }
            known.revision = known.revision.max(revision);
        }
        Comparison::Same
    }

    fn reset(&mut self, store: Store, why: String) -> Comparison {
        self.generation += 1;
        self.learn(store);
        Comparison::Reset(why)
    }

    fn learn(&mut self, store: Store) {
        self.known = Some(KnownStore {
            cluster_id: store.cluster_id,
            revision: store.revision,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_goes_on_is_the_same() {
        let mut store_identity = StoreIdentity::default();
        assert_eq!(
            (
                baseline(&store_identity, 0).revision,
                store_identity.revision()
            ),
            (0, 0)
        );
        let mut before = 0;
        for (revision, term) in [(7, 2), (7, 2), (8, 2), (8, 5), (100, 6)] {
            let found =
                store_identity.read(baseline(&store_identity, before), store(1, revision, term));
            assert_eq!(found, Comparison::Same);
            assert_eq!(store_identity.revision(), revision);
            before = term;
        }
    }

    #[test]
    fn a_revision_or_a_term_that_goes_back_is_a_reset_to_what_is_there_now() {
        for (back, why) in [
            (store(1, 6, 2), "revision went back from 7 to 6"),
            (store(1, 7, 1), "raft term went back from 2 to 1"),
            // Grown already, but the term tells.
            (store(1, 1_000, 1), "raft term went back from 2 to 1"),
        ] {
            let mut store_identity = knowing(store(1, 7, 2));
            let reset = store_identity.read(baseline(&store_identity, 2), back);
            assert_eq!(reset, Comparison::Reset(why.to_owned()));
            assert_eq!(store_identity.revision(), back.revision);
            let again = store_identity.read(baseline(&store_identity, 0), back);
            assert_eq!(again, Comparison::Same, "told once");
        }
    }

    #[test]
    fn a_member_that_lags_behind_in_its_term_is_no_reset() {
        let mut store_identity = knowing(store(1, 7, 5));
        for asked in [None, Some(11)] {
            let lagging = store_identity.read(store_identity.baseline(asked, 5), store(1, 7, 2));
            assert_eq!(lagging, Comparison::Same, "asked of {asked:?}");
        }
    }

    #[test]
    fn an_answer_is_held_to_what_was_known_when_it_was_asked_for() {
        let mut store_identity = knowing(store(1, 7, 2));
        let before = baseline(&store_identity, 2);
        assert_eq!(
            store_identity.read(before, store(1, 9, 4)),
            Comparison::Same
        );
        assert_eq!(
            store_identity.read(before, store(1, 8, 3)),
            Comparison::Same
        );
        assert_eq!(store_identity.revision(), 9);
        let reset = store_identity.read(baseline(&store_identity, 4), store(1, 8, 4));
        assert!(matches!(reset, Comparison::Reset(_)), "{reset:?}");
    }

    #[test]
    fn an_answer_about_the_store_before_a_reset_says_nothing() {
        let mut store_identity = knowing(store(1, 7, 2));
        let before = baseline(&store_identity, 2);
        let reset = store_identity.read(before, store(1, 3, 2));
        assert!(matches!(reset, Comparison::Reset(_)), "{reset:?}");
        for late in [store(1, 2, 1), store(1, 900, 90)] {
            assert_eq!(store_identity.read(before, late), Comparison::Same);
            assert_eq!(store_identity.revision(), 3);
        }
    }

    #[test]
    fn a_baseline_is_current_until_the_store_is_another_one() {
        let mut store_identity = knowing(store(1, 7, 2));
        let before = baseline(&store_identity, 2);
        assert!(store_identity.is_current(before));
        store_identity.read(before, store(1, 9, 2));
        assert!(store_identity.is_current(before), "the same store");
        store_identity.read(baseline(&store_identity, 2), store(1, 3, 2));
        assert!(!store_identity.is_current(before));
        assert!(store_identity.is_current(baseline(&store_identity, 2)));
    }

    #[test]
    fn another_cluster_is_a_reset() {
        let mut store_identity = knowing(store(1, 7, 2));
        let reset = store_identity.read(baseline(&store_identity, 2), store(0x2f, 9, 2));
        let why = "the cluster is another one (2f, and was 1)";
        assert_eq!(reset, Comparison::Reset(why.to_owned()));
        assert_eq!(
            (store_identity.revision(), store_identity.cluster_id()),
            (9, Some(0x2f))
        );
        let same = store_identity.read(baseline(&store_identity, 2), store(0x2f, 9, 2));
        assert_eq!(same, Comparison::Same, "told once");
    }

    fn knowing(store: Store) -> StoreIdentity {
        let mut store_identity = StoreIdentity::default();
        assert_eq!(
            store_identity.read(baseline(&store_identity, 0), store),
            Comparison::Same
        );
        store_identity
    }

    /// For a question to the member of [`store`].
    fn baseline(store_identity: &StoreIdentity, term: u64) -> Baseline {
        store_identity.baseline(Some(10), term)
    }

    fn store(cluster_id: u64, revision: i64, term: u64) -> Store {
        Store {
            cluster_id,
            revision,
            term,
            member_id: 10,
        }
    }
}
