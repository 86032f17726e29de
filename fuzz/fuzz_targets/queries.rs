#![no_main]
//! See `tests/it/fuzzing/targets/queries.rs`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    coffer_fuzz::targets::queries::run(data);
});
