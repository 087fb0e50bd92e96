#![no_main]

#[path = "../../tests/it/fuzzed/policy.rs"]
mod policy;
#[path = "../../tests/it/fuzzed/wild.rs"]
mod wild;

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::check(data));
