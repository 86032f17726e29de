#![no_main]
//! See `tests/it/fuzzing/targets/notifications.rs`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    coffer_fuzz::targets::notifications::run(data);
});
