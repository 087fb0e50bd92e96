//! The default size is part of every test run.

use super::{prove, sizes};

#[test]
fn the_default_size_is_proved() {
    let sizes = sizes::default_sizes();
    let (mut states, mut edges) = (0, 0);
    let mut reached = [0; 3];
    let proved = prove(&sizes, |size, proof, _| {
        states += proof.visited.states;
        edges += proof.visited.edges;
        if let Some(found) = proof.longest {
            let at_most = sizes::at_most(&size.plan().expect("it was explored"));
            let found = [found.recovery, found.shutdown, found.rest];
            for (reached, (found, at_most)) in reached.iter_mut().zip(found.iter().zip(at_most)) {
                *reached += u32::from(*found == at_most);
            }
        }
    });
    assert_eq!(proved, Ok(()));
    // The bounds are not just bounds: most of them are reached to the tick.
    assert!(reached.iter().all(|&times| times > 10), "{reached:?}");
    println!("{} plans, {states} states, {edges} edges", sizes.len());
}
