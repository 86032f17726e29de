//! Authentication and authorisation of people. Everything here is pure but for the hashing threads of `password`.

/// Slowing down those who guess: growing waits after failures.
pub mod attempts;
/// Argon2id and what makes a password too easy to guess.
pub mod password;
/// What is stored about people and their sessions.
pub mod records;
/// One-time codes for the day the phone is lost.
pub mod recovery;
/// Roles and what each may do.
pub mod roles;
/// Session tokens, their cookie, their limits and the token against forged forms.
pub mod session;
/// One-time links: the first owner sets up his access with one.
pub mod setup;
/// Time-based one-time codes, RFC 6238.
pub mod totp;
