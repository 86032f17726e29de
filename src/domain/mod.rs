//! Pure rules: no I/O, no async, no clock, no randomness, no JSON. What happens is decided here and nowhere else.

pub mod fee;
pub mod ids;
pub mod money;
pub mod time;
