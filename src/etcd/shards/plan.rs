//! The plan: which member should run which shard.
//!
//! Pure: the same members and holders give the same plan, on every platform and in every version.
//!
//! A plan is even, moves as few shards as possible, and does not change while it is carried out, release by
//! release and claim by claim, in any order. So a node may act on an older view than the others, as long as the
//! members are the same:
//! - A member that holds more than the common share, and may keep one more, never releases that one. A member that
//!   may get one more, because too few members held one, keeps the right to it when it has it. So no quota changes.
//! - Shards that are given up are handed out together with free ones, so a release changes nothing.
//! - A claim removes a shard from that list, and one place from its member's room. For the shards before it, that
//!   room was never needed; for those after it, it was used up already.

use core::cmp::Reverse;

use crate::etcd::basics::{mix, named as seed};

/// The member that should run each shard: its place in `members`, or `None` if there are no members.
///
/// `members` are the distinct ids of the nodes that take part, and `shards` the numbers of the shards, both in the
/// same order on every node. `holders` has for each shard the place of the member that has claimed it: `None` if the
/// shard is free, or its holder does not take part. The name of the work is part of the seed, so that one member is
/// not preferred in all works.
pub(crate) fn plan(
    work: &str,
    members: &[&str],
    shards: &[u64],
    holders: &[Option<usize>],
) -> Vec<Option<usize>> {
    let seeds: Vec<u64> = members.iter().map(|id| seed(work, id)).collect();
    let known = |holder: &Option<usize>| holder.filter(|&place| place < members.len());
    let mut plan: Vec<Option<usize>> = holders.iter().map(known).collect();
    let mut held = vec![0; members.len()];
    for &place in plan.iter().flatten() {
        held[place] += 1;
    }
    let quotas = quotas(&seeds, &held, plan.len());
    let room = give_up(&mut plan, &seeds, shards, &held, &quotas);
    hand_out(&mut plan, &seeds, shards, &room);
    plan
}

/// How many shards each member should run. The numbers differ by at most one.
fn quotas(seeds: &[u64], held: &[usize], shards: usize) -> Vec<usize> {
    let members = seeds.len();
    if members == 0 {
        return Vec::new();
    }
    let (base, extra) = (shards / members, shards % members);
    // A member that already holds one more needs no move. How many more it holds does not count, because the
    // order would then change as they are released.
    let mut order: Vec<usize> = (0..members).collect();
    order.sort_unstable_by_key(|&place| {
        let may_keep_it = held[place] > base;
        (Reverse(may_keep_it), Reverse(score(seeds[place], 0)), place)
    });
    let mut quotas = vec![base; members];
    for &place in &order[..extra] {
        quotas[place] += 1;
    }
    quotas
}

/// Frees shards above the quotas, and returns the room that is left below them.
fn give_up(
    plan: &mut [Option<usize>],
    seeds: &[u64],
    shards: &[u64],
    held: &[usize],
    quotas: &[usize],
) -> Vec<usize> {
    let mut excess: Vec<usize> = held
        .iter()
        .zip(quotas)
        .map(|(held, quota)| held.saturating_sub(*quota))
        .collect();
    let mut contested = Vec::new();
    for (at, (holder, &shard)) in plan.iter().zip(shards).enumerate() {
        if let &Some(place) = holder
            && excess[place] != 0
        {
            contested.push((place, shard_score(seeds[place], shard), Reverse(at)));
        }
    }
    // Of each member the shards with the lowest scores come first.
    contested.sort_unstable();
    for (place, _, Reverse(at)) in contested {
        if excess[place] != 0 {
            excess[place] -= 1;
            plan[at] = None;
        }
    }
    let rooms = quotas.iter().zip(held);
    rooms
        .map(|(quota, held)| quota.saturating_sub(*held))
        .collect()
}

/// A member with room.
struct Open {
    place: usize,
    seed: u64,
    room: usize,
}

/// Gives each free shard, in order, to the member with room and the best score.
fn hand_out(plan: &mut [Option<usize>], seeds: &[u64], shards: &[u64], room: &[usize]) {
    let mut open: Vec<Open> = (0..seeds.len())
        .filter(|&place| room[place] > 0)
        .map(|place| Open {
            place,
            seed: seeds[place],
            room: room[place],
        })
        .collect();
    for (holder, &shard) in plan.iter_mut().zip(shards) {
        if holder.is_some() {
            continue;
        }
        // Equal scores, if there are any, are decided by the place, because the order is kept.
        let best = (0..open.len()).max_by_key(|&at| shard_score(open[at].seed, shard));
        let Some(at) = best else { return };
        *holder = Some(open[at].place);
        open[at].room -= 1;
        if open[at].room == 0 {
            open.remove(at);
        }
    }
}

/// The score of a shard for a member. Number 0 is used for the quota.
fn shard_score(seed: u64, shard: u64) -> u64 {
    score(seed, shard.wrapping_add(1))
}

/// The output of SplitMix64 after this number of steps.
fn score(seed: u64, number: u64) -> u64 {
    mix(seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

#[cfg(test)]
mod tests;
