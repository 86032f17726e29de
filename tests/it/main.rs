//! One test binary; a module per feature.
mod cli;
mod outgoing;
mod store;
