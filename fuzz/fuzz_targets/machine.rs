#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| overwatch_fuzzed::machine::check(data));
