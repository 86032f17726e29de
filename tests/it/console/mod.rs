//! The merchant's console: who gets in, who may do what, and that nobody else may.

mod door;
mod site;
mod walls;
