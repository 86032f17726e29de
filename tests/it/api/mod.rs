//! The merchant's API as programs meet it.

mod docs;
mod edge;
mod payments;
mod rest;
pub mod site;
