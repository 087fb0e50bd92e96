//! A watch that stays open and tells nothing is found out and replaced.

use super::super::fleet::{Fleet, Setup};
use super::s;
use crate::etcd::{Condition, Whom};

#[test]
fn a_deaf_watch_keeps_nobody_from_what_it_does_not_tell() {
    let mut fleet = Fleet::new(&Setup::of(2));
    fleet.until_spread_over(2);
    fleet.set(Condition {
        deaf: Whom::All,
        ..Condition::GOOD
    });
    fleet.sim.crash("node-1");
    // That is found out within about a second.
    fleet.until("its work is another's", s(9.0), |fleet| {
        fleet.runs_of(0).len() == 12
    });
    fleet.sim.bounce("node-1");
    fleet.until_spread_over(2);
}
