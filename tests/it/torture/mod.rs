//! The real process, tortured: killed, stopped, without space, with a clock that jumps, with files that were damaged or
//! exchanged. What clients were told is compared with what is there afterwards.

mod client;
mod clock;
mod damage;
mod disk;
mod kills;
mod process;
mod receiver;
mod shop;
mod stops;
