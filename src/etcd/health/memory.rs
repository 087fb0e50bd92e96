//! What is remembered of the store, and how a reset shows. Pure.

use super::answer::Store;

/// The store as it was last seen.
#[derive(Default)]
pub(crate) struct Memory {
    known: Option<Known>,
    /// Counts the stores, so that an answer about an earlier one is not held against this one.
    generation: u64,
}

#[derive(Clone, Copy)]
struct Known {
    cluster_id: u64,
    revision: i64,
}

/// What was known when a read began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    generation: u64,
    revision: i64,
    /// The member that is asked, and the highest term that it has shown. Another member may lag
    /// behind with its term: it tells that of what it has applied.
    member_id: Option<u64>,
    term: u64,
}

/// What a read amounts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The same store, gone on.
    Same,
    /// Another store in the place of the known one.
    Reset(String),
}

impl Memory {
    /// For a question to this member, which has shown this term.
    pub(crate) fn mark(&self, member_id: Option<u64>, term: u64) -> Mark {
        Mark {
            generation: self.generation,
            revision: self.revision(),
            member_id,
            term,
        }
    }

    /// Whether an answer to a question with this mark is about the present store.
    pub(crate) fn is_current(&self, mark: Mark) -> bool {
        mark.generation == self.generation
    }

    /// The highest revision seen.
    pub(crate) fn revision(&self) -> i64 {
        self.known.map_or(0, |known| known.revision)
    }

    /// The id of the cluster; none before anything was read.
    pub(crate) fn cluster_id(&self) -> Option<u64> {
        self.known.map(|known| known.cluster_id)
    }

    /// Takes a read that began at `mark`, at a time when all endpoints that answer are of one cluster.
    pub(crate) fn read(&mut self, mark: Mark, store: Store) -> Finding {
        let generation = self.generation;
        let Some(known) = &mut self.known else {
            self.learn(store);
            return Finding::Same;
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
        if mark.generation == generation {
            if revision < mark.revision {
                let before = mark.revision;
                return self.reset(
                    store,
                    format!("revision went back from {before} to {revision}"),
                );
            }
            if mark.member_id == Some(member_id) && term < mark.term {
                let before = mark.term;
                return self.reset(
                    store,
                    format!("raft term went back from {before} to {term}"),
                );
            }
            known.revision = known.revision.max(revision);
        }
        Finding::Same
    }

    fn reset(&mut self, store: Store, why: String) -> Finding {
        self.generation += 1;
        self.learn(store);
        Finding::Reset(why)
    }

    fn learn(&mut self, store: Store) {
        self.known = Some(Known {
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
        let mut memory = Memory::default();
        assert_eq!((mark(&memory, 0).revision, memory.revision()), (0, 0));
        let mut before = 0;
        for (revision, term) in [(7, 2), (7, 2), (8, 2), (8, 5), (100, 6)] {
            let found = memory.read(mark(&memory, before), store(1, revision, term));
            assert_eq!(found, Finding::Same);
            assert_eq!(memory.revision(), revision);
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
            let mut memory = knowing(store(1, 7, 2));
            let reset = memory.read(mark(&memory, 2), back);
            assert_eq!(reset, Finding::Reset(why.to_owned()));
            assert_eq!(memory.revision(), back.revision);
            let again = memory.read(mark(&memory, 0), back);
            assert_eq!(again, Finding::Same, "told once");
        }
    }

    #[test]
    fn a_member_that_lags_behind_in_its_term_is_no_reset() {
        let mut memory = knowing(store(1, 7, 5));
        for asked in [None, Some(11)] {
            let lagging = memory.read(memory.mark(asked, 5), store(1, 7, 2));
            assert_eq!(lagging, Finding::Same, "asked of {asked:?}");
        }
    }

    #[test]
    fn an_answer_is_held_to_what_was_known_when_it_was_asked_for() {
        let mut memory = knowing(store(1, 7, 2));
        let before = mark(&memory, 2);
        assert_eq!(memory.read(before, store(1, 9, 4)), Finding::Same);
        assert_eq!(memory.read(before, store(1, 8, 3)), Finding::Same);
        assert_eq!(memory.revision(), 9);
        let reset = memory.read(mark(&memory, 4), store(1, 8, 4));
        assert!(matches!(reset, Finding::Reset(_)), "{reset:?}");
    }

    #[test]
    fn an_answer_about_the_store_before_a_reset_says_nothing() {
        let mut memory = knowing(store(1, 7, 2));
        let before = mark(&memory, 2);
        let reset = memory.read(before, store(1, 3, 2));
        assert!(matches!(reset, Finding::Reset(_)), "{reset:?}");
        for late in [store(1, 2, 1), store(1, 900, 90)] {
            assert_eq!(memory.read(before, late), Finding::Same);
            assert_eq!(memory.revision(), 3);
        }
    }

    #[test]
    fn another_cluster_is_a_reset() {
        let mut memory = knowing(store(1, 7, 2));
        let reset = memory.read(mark(&memory, 2), store(0x2f, 9, 2));
        let why = "the cluster is another one (2f, and was 1)";
        assert_eq!(reset, Finding::Reset(why.to_owned()));
        assert_eq!((memory.revision(), memory.cluster_id()), (9, Some(0x2f)));
        let same = memory.read(mark(&memory, 2), store(0x2f, 9, 2));
        assert_eq!(same, Finding::Same, "told once");
    }

    fn knowing(store: Store) -> Memory {
        let mut memory = Memory::default();
        assert_eq!(memory.read(mark(&memory, 0), store), Finding::Same);
        memory
    }

    /// For a question to the member of [`store`].
    fn mark(memory: &Memory, term: u64) -> Mark {
        memory.mark(Some(10), term)
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
