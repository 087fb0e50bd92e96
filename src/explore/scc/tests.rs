//! The search, on graphs that are written down, and against the definition.

use proptest::prelude::*;

use super::{Edges, Inside, Out, judge_all_parts};

/// A graph that is written down.
#[derive(Clone, Debug)]
struct Drawn(Vec<Vec<Out>>);

/// That a part can hold a fair path for ever, or has a marked edge.
#[derive(Debug, PartialEq)]
enum Found {
    Held(Vec<u32>),
    Marked(Vec<u32>),
}

impl Edges for Drawn {
    type Error = Found;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn is_open(&mut self, _state: u32) -> bool {
        true
    }

    fn edges(&mut self, state: u32, edges: &mut Vec<Out>) -> Result<(), Found> {
        edges.extend(&self.0[state as usize]);
        Ok(())
    }

    fn judge(&mut self, part: &[u32], inside: &Inside) -> Result<(), Found> {
        let mut part = part.to_vec();
        part.sort_unstable();
        if inside.marked {
            return Err(Found::Marked(part));
        }
        if inside.can_hold() {
            return Err(Found::Held(part));
        }
        Ok(())
    }
}

fn to(to: u32, bound: u64) -> Out {
    Out {
        to: Some(to),
        bound,
        ticks: 0,
        marked: false,
    }
}

fn end(bound: u64, ticks: u32) -> Out {
    Out {
        to: None,
        bound,
        ticks,
        marked: false,
    }
}

fn judge(states: &[&[Out]]) -> Result<u32, Found> {
    let states = states.iter().map(|edges| edges.to_vec()).collect();
    judge_all_parts(&mut Drawn(states))
}

#[test]
fn what_is_bound_to_happen_leads_out_of_a_cycle() {
    // 0 and 1 may go round, but in both of them the way out could be taken at any time.
    assert_eq!(
        judge(&[&[to(1, 0), end(1, 0)], &[to(0, 0), end(1, 0)]]),
        Ok(0)
    );
}

#[test]
fn a_way_out_that_is_only_there_now_and_then_need_not_be_taken() {
    let stuck = judge(&[&[to(1, 0), end(1, 0)], &[to(0, 0)]]);
    assert_eq!(stuck, Err(Found::Held(vec![0, 1])));
}

#[test]
fn a_way_out_that_nothing_is_bound_to_take_need_not_be_taken() {
    assert_eq!(judge(&[&[to(0, 1), end(0, 0)]]), Err(Found::Held(vec![0])));
}

#[test]
fn another_edge_of_its_kind_will_do() {
    let stuck = judge(&[&[to(0, 1), end(1, 0)]]);
    assert_eq!(stuck, Err(Found::Held(vec![0])));
}

#[test]
fn a_dead_end_holds() {
    assert_eq!(judge(&[&[to(1, 1)], &[]]), Err(Found::Held(vec![1])));
}

#[test]
fn a_cycle_that_takes_time_holds_for_as_long_as_it_likes() {
    let slow = Out {
        ticks: 1,
        ..to(0, 0)
    };
    assert_eq!(judge(&[&[slow, end(1, 0)]]), Err(Found::Held(vec![0])));
}

#[test]
fn a_marked_edge_counts_within_a_part_only() {
    let marked = |edge: Out| Out {
        marked: true,
        ..edge
    };
    assert_eq!(judge(&[&[marked(to(1, 1))], &[end(1, 0)]]), Ok(0));
    let again = judge(&[&[marked(to(1, 1))], &[to(0, 1), end(2, 0)]]);
    assert_eq!(again, Err(Found::Marked(vec![0, 1])));
}

#[test]
fn the_longest_way_is_measured() {
    let slowly = |to: u32, ticks| Out {
        to: Some(to),
        bound: 1,
        ticks,
        marked: false,
    };
    // Round 1 and 2 as often as one likes in no time; the longest begins in 0.
    let states: [&[Out]; 4] = [
        &[slowly(1, 2), slowly(3, 9)],
        &[to(2, 0), end(1, 5)],
        &[to(1, 0), slowly(3, 4)],
        &[end(1, 1)],
    ];
    assert_eq!(judge(&states), Ok(10));
}

fn any_graph() -> impl Strategy<Value = Drawn> {
    (1_u32..=5).prop_flat_map(|len| {
        let edge = (
            prop::option::weighted(0.8, 0..len),
            0_u64..4,
            prop::bool::weighted(0.1),
        );
        let edge = edge.prop_map(|(to, bound, slow)| Out {
            to,
            bound: if bound == 3 { 0 } else { bound },
            ticks: u32::from(slow),
            marked: false,
        });
        let edges = prop::collection::vec(edge, 0..4);
        prop::collection::vec(edges, len as usize).prop_map(Drawn)
    })
}

/// By the definition, with no search: whether there is a set of states that a fair path can
/// visit for ever, each of them again and again.
fn can_hold_by_definition(graph: &Drawn) -> bool {
    let len = graph.0.len();
    (1_u32..1 << len).any(|set| {
        let within = |state: u32| set >> state & 1 == 1;
        let states = || (0..len as u32).filter(|&state| within(state));
        let stays = |edge: &&Out| edge.to.is_some_and(within);
        let inner = || states().flat_map(|state| graph.0[state as usize].iter().filter(stays));
        // From each of them to each other, or it is one state in which the path just rests.
        let reach = |from: u32| {
            let mut seen = 0_u32;
            let mut next = vec![from];
            while let Some(here) = next.pop() {
                for edge in graph.0[here as usize].iter().filter(stays) {
                    let to = edge.to.unwrap_or_default();
                    if seen >> to & 1 == 0 {
                        seen |= 1 << to;
                        next.push(to);
                    }
                }
            }
            seen
        };
        let connected = states().all(|state| reach(state) & set == set);
        let rests = set.count_ones() == 1;
        let fair = (0..2).all(|kind| {
            let bit = 1_u64 << kind;
            let taken = inner().any(|edge| edge.bound == bit);
            let has = |state: u32| graph.0[state as usize].iter().any(|edge| edge.bound == bit);
            taken && connected || !states().all(has)
        });
        let slow = connected && inner().any(|edge| edge.ticks > 0);
        slow || (connected || rests) && fair
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_finds_just_what_the_definition_says(graph in any_graph()) {
        let found = judge_all_parts(&mut graph.clone());
        prop_assert_eq!(found.is_err(), can_hold_by_definition(&graph), "{:?}", found);
    }
}
