//! What is remembered of the store, and how a reset shows.

use super::connection::Store;

/// The store as it was last seen.
#[derive(Default)]
pub(super) struct Memory {
    known: Option<Known>,
    /// Counts the stores, so that an answer about an earlier one is not held against this one.
    generation: u64,
}

#[derive(Clone, Copy)]
struct Known {
    cluster_id: u64,
    revision: i64,
    term: u64,
}

/// What was known when a read began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    generation: u64,
    revision: i64,
    term: u64,
}

/// What a read amounts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// The same store, gone on.
    Same,
    /// Another store in the place of the known one.
    Reset(String),
    /// Another cluster, seen through an endpoint that never showed the known one.
    Foreign(String),
}

impl Memory {
    pub(super) fn mark(&self) -> Mark {
        let generation = self.generation;
        self.known.map_or(
            Mark {
                generation,
                ..Mark::default()
            },
            |known| Mark {
                generation,
                revision: known.revision,
                term: known.term,
            },
        )
    }

    /// The highest revision seen.
    pub(super) fn revision(&self) -> i64 {
        self.known.map_or(0, |known| known.revision)
    }

    /// Takes a read that began at `mark`. `belonged` is the cluster that the endpoint showed before.
    pub(super) fn read(&mut self, mark: Mark, store: Store, belonged: Option<u64>) -> Finding {
        let Some(known) = &mut self.known else {
            self.learn(store);
            return Finding::Same;
        };
        let Store {
            cluster_id,
            revision,
            term,
            ..
        } = store;
        if cluster_id != known.cluster_id {
            if belonged != Some(known.cluster_id) {
                let expected = known.cluster_id;
                return Finding::Foreign(format!(
                    "belongs to another cluster ({cluster_id:x}, expected {expected:x})"
                ));
            }
            return self.reset(
                store,
                format!("the cluster is another one ({cluster_id:x})"),
            );
        }
        // Compared with what was known when the read began: another member's later read may have
        // been answered first. And an answer about the store before the last reset says nothing.
        if mark.generation == self.generation {
            if revision < mark.revision {
                let before = mark.revision;
                return self.reset(
                    store,
                    format!("revision went back from {before} to {revision}"),
                );
            }
            if term < mark.term {
                let before = mark.term;
                return self.reset(
                    store,
                    format!("raft term went back from {before} to {term}"),
                );
            }
            known.revision = known.revision.max(revision);
            known.term = known.term.max(term);
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
            term: store.term,
        });
    }
}
