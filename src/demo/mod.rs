//! What `coffer demo` shows: a small shop with its people, its keys and its past.

/// The story, lived through with the real flows.
pub mod past;
mod random;
/// Who came to the shop and what they did.
mod story;
