//! Pure double entry: accounts, journal entries in a hash chain, balances, posting rules and the invariants.
//!
//! Books are kept per merchant and mode (one hash chain each) and per currency. Nothing here reads or writes a store.

/// The chart of accounts.
pub mod account;
/// What an account holds, and what the posting rules need to know of a merchant and a channel.
pub mod balance;
/// The hash chain through the journal.
pub mod chain;
/// Postings and journal entries.
pub mod entry;
/// Which business event posts what.
pub mod rules;
/// The invariants, as functions that name the first row that breaks one.
pub mod verify;

pub use account::{Account, AccountCode, Kind, Side, Sub};
pub use balance::{Balance, ChannelPosition, MerchantPosition, WrongSide};
pub use chain::{ChainFault, Chained, Head};
pub use entry::{Cause, EntryId, JournalEntry, Links, Posting, Reason, Unbalanced};
pub use rules::{CannotPost, RefundLegs};
pub use verify::Violation;

#[cfg(test)]
mod tests;
