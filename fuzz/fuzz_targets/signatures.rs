#![no_main]
//! See `tests/it/fuzzing/targets/signatures.rs`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    coffer_fuzz::targets::signatures::run(data);
});
