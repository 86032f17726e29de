//! One test binary; a module per feature.
mod store;
