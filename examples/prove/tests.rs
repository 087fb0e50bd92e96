//! The default size is part of every test run.

use super::{prove, sizes};

#[test]
fn the_default_size_is_proved() {
    let sizes = sizes::default_sizes();
    let (mut states, mut edges) = (0, 0);
    let proved = prove(&sizes, |_, proof, _| {
        states += proof.visited.states;
        edges += proof.visited.edges;
    });
    assert_eq!(proved, Ok(()));
    println!("{} plans, {states} states, {edges} edges", sizes.len());
}
