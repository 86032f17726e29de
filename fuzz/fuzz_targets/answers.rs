#![no_main]
//! See `tests/it/fuzzing/targets/answers.rs`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    coffer_fuzz::targets::answers::run(data);
});
