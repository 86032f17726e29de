//! The targets, from where the plain tests have them too.

#[path = "../../tests/it/fuzzing/targets/mod.rs"]
pub mod targets;
