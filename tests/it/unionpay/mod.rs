//! The adapter for UnionPay against the simulated UnionPay, over real HTTP: two readings of one protocol, every method,
//! every fault.

mod bills;
mod contracts;
mod faults;
mod methods;
mod town;
