//! One test binary; a module per feature.
mod outgoing;
mod store;
mod cli;
