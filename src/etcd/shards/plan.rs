//! Who should run which shard. Pure: whoever sees the same members and holders gets the same plan,
//! on every platform and in every version.
//!
//! A plan is even, moves as little as can be, and stays as it is while it is carried out, release by
//! release and claim by claim, in any order. So it does no harm to act on a view that the others have
//! left behind, as long as the members are the same:
//! - Who holds more than the common share, and may keep one more, never releases that one. Who is to
//!   get one more, because too few held it, keeps the right to it when it has it. So no quota changes.
//! - What is given up is handed out together with what is free, so a release changes nothing.
//! - A claim takes a shard off that list, and one off its member's room. For the shards before it that
//!   room was never needed; for those after it, it was used up already.

use core::cmp::Reverse;

use crate::etcd::basics::{mix, named as seed};

/// Who should run each shard: the place in `members`, or none if there are no members. `members` are the distinct
/// ids of those who take part, and `shards` the numbers of the shards, both in the same order on every node.
/// `holders` has for each shard the place of who has claimed it: none if it is free, or held by somebody who does
/// not take part. With the name of the work, one member is not preferred in all works.
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
    let room = give_up(&mut plan, &seeds, shards, &held, quotas);
    hand_out(&mut plan, &seeds, shards, &room);
    plan
}

/// How many shards each member is to run. They differ by one at most.
fn quotas(seeds: &[u64], held: &[usize], shards: usize) -> Vec<usize> {
    let members = seeds.len();
    if members == 0 {
        return Vec::new();
    }
    let (base, extra) = (shards / members, shards % members);
    // Where one more is held already it costs no move. How many more does not count, or the order
    // would change as they are released.
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

/// Frees what is held above the quotas, and returns the room that is left below them.
fn give_up(
    plan: &mut [Option<usize>],
    seeds: &[u64],
    shards: &[u64],
    held: &[usize],
    quotas: Vec<usize>,
) -> Vec<usize> {
    let mut contested = Vec::new();
    for (at, (holder, &shard)) in plan.iter().zip(shards).enumerate() {
        if let &Some(place) = holder
            && held[place] > quotas[place]
        {
            contested.push((place, Reverse(shard_score(seeds[place], shard)), at));
        }
    }
    contested.sort_unstable();
    let mut room = quotas;
    for (place, _, at) in contested {
        if room[place] > 0 {
            room[place] -= 1;
        } else {
            plan[at] = None;
        }
    }
    for (place, room) in room.iter_mut().enumerate() {
        // Whoever held more has filled its room above.
        *room = room.saturating_sub(held[place]);
    }
    room
}

/// A member that can take more.
struct Open {
    place: usize,
    seed: u64,
    room: usize,
}

/// Each free shard, in order, goes to whom it suits best among those with room.
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
        // Equal scores, should there ever be any, are told apart by the place: the order is kept.
        let best = (0..open.len()).max_by_key(|&at| shard_score(open[at].seed, shard));
        let Some(at) = best else { return };
        *holder = Some(open[at].place);
        open[at].room -= 1;
        if open[at].room == 0 {
            open.remove(at);
        }
    }
}

/// How well a shard suits a member. Number 0 is for the quota.
fn shard_score(seed: u64, shard: u64) -> u64 {
    score(seed, shard.wrapping_add(1))
}

/// What SplitMix64 gives after so many numbers.
fn score(seed: u64, number: u64) -> u64 {
    mix(seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

#[cfg(test)]
mod tests;
