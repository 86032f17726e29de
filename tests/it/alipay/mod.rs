//! The adapter for Alipay against the simulated Alipay, over real HTTP: two readings of one protocol, every method, every
//! fault.

mod bills;
mod faults;
mod methods;
mod town;
