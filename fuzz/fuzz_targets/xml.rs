#![no_main]
//! See `tests/it/fuzzing/targets/xml.rs`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    coffer_fuzz::targets::xml::run(data);
});
