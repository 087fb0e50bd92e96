#![no_main]

#[path = "../../tests/it/fuzzed/endpoints.rs"]
mod endpoints;
#[path = "../../tests/it/fuzzed/wild.rs"]
mod wild;

libfuzzer_sys::fuzz_target!(|data: &[u8]| endpoints::check(data));
