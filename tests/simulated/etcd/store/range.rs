//! Reads.

use std::collections::BTreeMap;
use std::ops::Bound;

use etcd_client::proto::*;
use tonic::Status;

use super::txn::check_key;
use super::{DELETE, Store, revision_of};

/// One key, or all from one key on up to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    first: Vec<u8>,
    end: Bound<Vec<u8>>,
}

impl Keys {
    /// As etcd writes them: without an end it is one key, and an end of a zero byte is none.
    pub(crate) fn new(key: &[u8], range_end: &[u8]) -> Self {
        let end = match range_end {
            [] => Bound::Included(key.to_owned()),
            [0] => Bound::Unbounded,
            end => Bound::Excluded(end.to_owned()),
        };
        Self {
            first: key.to_owned(),
            end,
        }
    }

    pub(crate) fn has(&self, key: &[u8]) -> bool {
        let before_end = match &self.end {
            Bound::Included(end) => key <= &**end,
            Bound::Excluded(end) => key < &**end,
            Bound::Unbounded => true,
        };
        key >= &*self.first && before_end
    }

    /// Never one that ends before it begins, which the map would not take.
    pub(super) fn bounds(&self) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        let first = self.first.clone();
        match &self.end {
            Bound::Excluded(end) if *end <= first => {
                (Bound::Included(first.clone()), Bound::Excluded(first))
            }
            end => (Bound::Included(first), end.clone()),
        }
    }
}

impl Store {
    pub(crate) fn range(&self, range: &PbRangeRequest) -> Result<PbRangeResponse, Status> {
        check_key(&range.key)?;
        if range.revision > self.revision {
            return Err(Status::out_of_range(
                "etcdserver: mvcc: required revision is a future revision",
            ));
        }
        let keys = Keys::new(&range.key, &range.range_end);
        let past;
        let state = if range.revision > 0 && range.revision < self.revision {
            past = self.state_at(range.revision);
            &past
        } else {
            &self.keys
        };
        let mut kvs: Vec<PbKeyValue> = state
            .range(keys.bounds())
            .map(|(_, kv)| kv.clone())
            .collect();
        let count = kvs.len() as i64;
        if range.count_only {
            kvs.clear();
        }
        kvs.retain(|kv| {
            let between = |value, least, most| value >= least && (most == 0 || value <= most);
            between(
                kv.mod_revision,
                range.min_mod_revision,
                range.max_mod_revision,
            ) && between(
                kv.create_revision,
                range.min_create_revision,
                range.max_create_revision,
            )
        });
        sort(&mut kvs, range.sort_order, range.sort_target);
        let limit = usize::try_from(range.limit).unwrap_or_default();
        let more = limit > 0 && kvs.len() > limit;
        if more {
            kvs.truncate(limit);
        }
        if range.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value.clear());
        }
        Ok(PbRangeResponse {
            header: None,
            kvs,
            more,
            count,
        })
    }

    /// The keys as they were. Nothing is ever compacted.
    fn state_at(&self, revision: i64) -> BTreeMap<Vec<u8>, PbKeyValue> {
        let mut state = BTreeMap::new();
        let until = self
            .history
            .partition_point(|event| revision_of(event) <= revision);
        for event in &self.history[..until] {
            let Some(kv) = &event.kv else { continue };
            if event.r#type == DELETE {
                state.remove(&kv.key);
            } else {
                state.insert(kv.key.clone(), kv.clone());
            }
        }
        state
    }
}

/// By etcd's numbers of an order and of what is ordered by. They come in the order of their keys.
fn sort(kvs: &mut [PbKeyValue], order: i32, target: i32) {
    let by_target = |a: &PbKeyValue, b: &PbKeyValue| match target {
        VERSION => a.version.cmp(&b.version),
        CREATE => a.create_revision.cmp(&b.create_revision),
        MOD => a.mod_revision.cmp(&b.mod_revision),
        VALUE => a.value.cmp(&b.value),
        _ => a.key.cmp(&b.key),
    };
    match order {
        DESCEND => kvs.sort_by(|a, b| by_target(b, a)),
        _ => kvs.sort_by(by_target),
    }
}

const DESCEND: i32 = 2;
const VERSION: i32 = 1;
const CREATE: i32 = 2;
const MOD: i32 = 3;
const VALUE: i32 = 4;
