#![no_main]
//! See `tests/it/fuzzing/targets/bodies.rs`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    coffer_fuzz::targets::bodies::run(data);
});
