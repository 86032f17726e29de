//! Pure rules: no I/O, no async, no clock, no randomness, no JSON. What happens is decided here and nowhere else.

pub mod ids;
pub mod money;
pub mod time;

pub mod approval;
pub mod card;
pub mod case;
pub mod endpoint;
pub mod event;
pub mod fee;
pub mod follow;
pub mod key;
pub mod merchant;
pub mod method;
pub mod payment;
pub mod redirect;
pub mod refund;
pub mod trouble;
