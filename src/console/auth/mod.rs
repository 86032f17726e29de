//! Authentication and authorisation of people. `people` and `sessions` know the store, `password` has its
//! hashing threads; the rest is pure.

/// Slowing down those who guess: growing waits after failures.
pub mod attempts;
/// Argon2id and what makes a password too easy to guess.
pub mod password;
/// People in the store.
pub mod people;
/// What is stored about people and their sessions.
pub mod records;
/// One-time codes for the day the phone is lost.
pub mod recovery;
/// Roles and what each may do.
pub mod roles;
/// Session tokens, their cookie, their limits and the token against forged forms.
pub mod session;
/// Sessions in the store.
pub mod sessions;
/// One-time links: the first owner sets up his access with one.
pub mod setup;
/// Time-based one-time codes, RFC 6238.
pub mod totp;
