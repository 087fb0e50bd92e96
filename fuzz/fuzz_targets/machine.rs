#![no_main]

#[path = "../../tests/it/fuzzed/machine.rs"]
mod machine;
#[path = "../../tests/it/fuzzed/plans.rs"]
mod plans;
#[path = "../../tests/it/fuzzed/wild.rs"]
mod wild;
// Not all of it is needed here.
#[allow(dead_code)]
#[path = "../../tests/it/reference.rs"]
mod reference;

libfuzzer_sys::fuzz_target!(|data: &[u8]| machine::check(data));
