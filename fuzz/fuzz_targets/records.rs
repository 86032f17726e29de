#![no_main]
//! See `tests/it/fuzzing/targets/records.rs`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    coffer_fuzz::targets::records::run(data);
});
