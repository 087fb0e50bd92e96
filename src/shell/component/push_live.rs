//! Lists of what is still alive, from which the rest is removed now and then.

/// How much room a list has at least after a clean-up.
const FEW: usize = 4;

/// Pushes one more. If the list is full, what is no longer alive is removed first, and room is made for as many as are left.
///
/// To clean up at each push would be quadratic in what is alive. This looks at each entry about twice, and the list is never
/// longer than twice what was alive at the last clean-up, and a few.
pub(crate) fn push_live<T>(list: &mut Vec<T>, one: T, is_live: impl FnMut(&T) -> bool) {
    if list.len() == list.capacity() {
        list.retain(is_live);
        let room = list.len().max(FEW);
        // Also the memory of a burst is given back.
        list.shrink_to(list.len() + room);
        list.reserve_exact(room);
    }
    list.push(one);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes so many, of which the last `alive` are alive. Returns how often one was looked at, and the longest list.
    fn looks(pushes: usize, alive: usize) -> (usize, usize) {
        let (mut list, mut looks, mut longest) = (Vec::new(), 0, 0);
        for number in 0..pushes {
            let oldest = (number + 1).saturating_sub(alive);
            push_live(&mut list, number, |&other| {
                looks += 1;
                other >= oldest
            });
            longest = longest.max(list.len());
        }
        let expected: Vec<_> = (pushes.saturating_sub(alive)..pushes).collect();
        list.retain(|number| expected.contains(number));
        assert_eq!(list, expected, "one that is alive is missing");
        (looks, longest)
    }

    #[test]
    fn each_push_looks_at_two_others_on_average_whatever_is_alive() {
        for alive in [0, 1, 10, 300, 1000] {
            let pushes = 1000;
            let (looks, longest) = looks(pushes, alive);
            assert!(looks <= 2 * pushes, "{alive} alive: {looks} looks");
            assert!(longest <= 2 * alive + 2 * FEW, "{alive} alive: {longest}");
        }
    }

    #[test]
    fn after_a_burst_the_memory_is_given_back() {
        let mut list = Vec::new();
        for number in 0..10_000 {
            push_live(&mut list, number, |_| true);
        }
        let after_burst = list.capacity();
        for number in 0..2 * after_burst {
            push_live(&mut list, number, |_| false);
        }
        assert!(
            list.capacity() <= 2 * FEW,
            "{} of {after_burst}",
            list.capacity()
        );
    }
}
