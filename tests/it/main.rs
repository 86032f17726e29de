//! One test binary; a module per feature.
mod cashier;
mod api;
mod cli;
mod console;
mod flows;
mod outgoing;
mod store;
mod wallet;
