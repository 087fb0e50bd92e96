//! Every driver keeps the rules whatever happens, in each part of the world.

use overwatch::driver::Driver;

use super::reference::Reference;
use super::world::{LIMIT, Visited, visit, worlds};

#[test]
fn the_driver_keeps_every_rule_in_each_part_of_the_world() {
    for world in worlds() {
        let visited = visit(Driver::new(LIMIT), &world);
        let visited = visited.unwrap_or_else(|(broken, way)| panic!("{broken}\n{way}"));
        let Visited { states, edges } = visited;
        println!("{}: {states} states, {edges} edges", world.name);
        assert!(states > 1_000, "{}: {visited:?}", world.name);
    }
}

#[test]
fn so_does_the_reference() {
    for world in worlds() {
        let visited = visit(Reference::new(LIMIT, None), &world);
        visited.unwrap_or_else(|(broken, way)| panic!("{}: {broken}\n{way}", world.name));
    }
}
