use std::time::Duration;

use super::{YEAR, simulate};

#[test]
fn a_year_breaks_no_law() {
    let statistics = simulate(1, YEAR).unwrap();
    assert_eq!(statistics.lasted, YEAR);
    assert!(statistics.outages > 10, "{statistics:?}");
    let unavailable = YEAR - statistics.ready;
    assert!(unavailable < YEAR / 50, "{statistics:?}");
    assert!(statistics.longest_outage < Duration::from_secs(6 * 60 * 60));
}

#[test]
fn the_same_seed_gives_the_same_life() {
    let month = YEAR / 12;
    assert_eq!(simulate(7, month).unwrap(), simulate(7, month).unwrap());
    assert_ne!(simulate(7, month).unwrap(), simulate(8, month).unwrap());
}
