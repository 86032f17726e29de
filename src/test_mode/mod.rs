//! Test mode stands on this server's own simulators: every merchant has an account at each of them without anybody typing
//! credentials in, and the test API plays their payers.

/// The accounts, and the keys behind them.
pub mod accounts;
/// Ends attempts as the test API asks.
pub mod players;
