#![no_main]
//! See `tests/it/fuzzing/targets/statements.rs`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    coffer_fuzz::targets::statements::run(data);
});
