//! What integrators practise with: a simulated provider that misbehaves on request. Speaks to the rest of Coffer over
//! HTTP only, as a real provider does.

/// The provider behind the test wallet's channel.
pub mod wallet;
