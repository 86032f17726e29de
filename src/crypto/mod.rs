//! How secrets rest on disk: the master key, the vault that seals with it, and the type that holds a secret in memory.

pub mod certificate;
pub mod check;
pub mod content;
pub mod hash;
pub mod master_key;
pub mod pfx;
pub mod rsa;
pub mod sealed;
pub mod secret;

pub use certificate::{BadCertificate, Certificate};
pub use check::{Fit, KeyCheck};
pub use content::ContentKey;
pub use hash::Hash;
pub use master_key::MasterKey;
pub use sealed::{OpenError, Place, Sealed, Vault};
pub use secret::Secret;
