//! The merchant's console: who gets in, who may do what, and that nobody else may.

mod cases;
mod door;
mod rooms;
mod site;
mod walls;
