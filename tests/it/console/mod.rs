//! The merchant's console: who gets in, who may do what, and that nobody else may.

mod acceptance;
mod approvals;
mod cases;
mod channels;
mod door;
mod exports;
mod redirects;
mod rooms;
mod site;
mod troubles;
mod walls;
