//! Coffer: a payment gateway in one executable. One `mod` per line, in reading order.

/// The merchant's API.
pub mod api;
/// The whole house: the gateway on its store, and the rooms of the server.
pub mod app;
/// Who did what: the hash-chained log of actions.
pub mod audit;
/// How fast it is, beside baselines.
pub mod bench;
/// Messages to merchants: signature, retry schedule, circuit breaker, what is kept of an attempt and its explanation.
pub mod callbacks;
/// Acceptance cases: what shows whether a shop's integration holds.
pub mod cases;
/// The page that the customer pays on.
pub mod cashier;
/// The providers: one narrow trait, a folder each.
pub mod channels;
/// Commands: the only place that reads the configuration and builds the real environment.
pub mod cli;
/// The merchant's console.
pub mod console;
/// Secrets at rest: the master key and what it seals.
pub mod crypto;
/// A small shop with a past, to look around in.
pub mod demo;
/// Pure rules: ids, money, time and the lifecycles of payments and refunds.
pub mod domain;
/// Clock, randomness: what comes from outside, so that it can be replaced.
pub mod env;
/// Use cases: load, decide, commit; and the runner that acts.
pub mod flows;
/// The two languages of every page and every answer.
pub mod lang;
/// Pure double entry: accounts, journal entries in a hash chain, balances, posting rules, invariants.
pub mod ledger;
/// Messages from providers.
pub mod notifications;
/// Signed checkpoints of the chains, kept beside the store.
pub mod proof;
/// A provider that misbehaves on request, and a small shop to buy from it.
pub mod sandbox;
/// The HTTP server itself: ports, limits, certificates, stopping.
pub mod server;
/// Log lines, metrics, health and the id of every request.
pub mod signals;
/// The whole gateway below HTTP with everything outside simulated: crashes, lost answers and forgeries from a seed.
pub mod simulation;
/// Typed tables in one file: one writer with group commit, snapshot reads, backup. The only place that names redb and bincode.
pub mod store;
/// What every merchant's test mode has without anybody's contract.
pub mod test_mode;
/// What every page shares: texts, assets, headers, formatting, pictures.
pub mod web;
