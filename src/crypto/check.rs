//! The record in the store that shows which master key its secrets are sealed under, also during a change of keys.

use super::sealed::{OpenError, Sealed, Vault};
use crate::env::Entropy;

/// The only row of its table.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct KeyCheck {
    answer: Sealed,
    /// While the secrets are being re-wrapped: the answer under the key that comes.
    next: Option<Sealed>,
}

/// Whether a vault can work with the secrets of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    Yes,
    /// A change of the master key was begun and not finished; only finishing it makes all secrets readable.
    HalfChanged,
}

impl KeyCheck {
    /// For a new store.
    pub fn new(vault: &Vault, entropy: &dyn Entropy) -> Self {
        Self { answer: vault.known_answer(entropy), next: None }
    }

    /// Errors when the vault holds another key, naming the right one by its fingerprint.
    pub fn fit(&self, vault: &Vault) -> Result<Fit, OpenError> {
        vault.check(&self.answer)?;
        Ok(if self.next.is_some() { Fit::HalfChanged } else { Fit::Yes })
    }

    /// Notes that secrets will be re-wrapped for the key of `to`. A change that was begun goes on with the same key only.
    pub fn begin_change(self, to: &Vault, entropy: &dyn Entropy) -> Result<Self, OpenError> {
        let next = match self.next {
            Some(next) => to.check(&next).map(|()| next)?,
            None => to.known_answer(entropy),
        };
        Ok(Self { next: Some(next), ..self })
    }

    /// Notes that all secrets are re-wrapped.
    pub fn finish_change(self) -> Self {
        Self { answer: self.next.unwrap_or(self.answer), next: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::MasterKey;
    use crate::env::SystemEntropy;

    #[test]
    fn a_change_of_keys_is_seen_until_it_is_finished_and_does_not_change_its_mind() {
        let [old, new, other] = [1, 2, 3].map(|n| Vault::new(&MasterKey::from_bytes([n; 32])));
        let check = KeyCheck::new(&old, &SystemEntropy);
        assert_eq!(check.fit(&old), Ok(Fit::Yes));
        assert_eq!(check.fit(&new), Err(OpenError::OtherKey { sealed_under: old.version() }));
        let check = check.begin_change(&new, &SystemEntropy).unwrap();
        assert_eq!(check.fit(&old), Ok(Fit::HalfChanged));
        assert!(check.clone().begin_change(&other, &SystemEntropy).is_err());
        let check = check.begin_change(&new, &SystemEntropy).unwrap().finish_change();
        assert_eq!(check.fit(&new), Ok(Fit::Yes));
        assert!(check.fit(&old).is_err());
    }
}
