#![no_main]
//! See `tests/it/fuzzing/targets/amounts.rs`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    coffer_fuzz::targets::amounts::run(data);
});
