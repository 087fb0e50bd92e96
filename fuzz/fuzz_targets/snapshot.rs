#![no_main]

#[path = "../../tests/it/fuzzed/plans.rs"]
mod plans;
#[allow(dead_code, reason = "not every target both begins and resumes")]
#[path = "../../tests/it/reference.rs"]
mod reference;
#[path = "../../tests/it/fuzzed/snapshot.rs"]
mod snapshot;
#[path = "../../tests/it/fuzzed/wild.rs"]
mod wild;

libfuzzer_sys::fuzz_target!(|data: &[u8]| snapshot::check(data));
