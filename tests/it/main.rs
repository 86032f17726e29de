//! One test binary; a module per feature.
mod cli;
mod console;
mod outgoing;
mod store;
