#![no_main]
//! See `tests/it/fuzzing/targets/ids.rs`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    coffer_fuzz::targets::ids::run(data);
});
