//! The executable as an operator meets it: run as a process, judged by what it prints, its exit code and what it leaves.

mod config;
mod doctor;
mod init;
mod people_and_keys;
mod rotate;
pub mod running;
mod serve;
mod verify;
