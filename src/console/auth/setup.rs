//! One-time links. The token stands in the fragment-free path of the link, is stored hashed, and is deleted in the commit
//! that uses it; afterwards the page does not exist.

use super::records::{SetupPurpose, SetupToken};
use super::session::Token;
use crate::domain::time::{Duration, Timestamp};
use crate::env::{Entropy, Env};
use crate::store::tables::SETUP_TOKENS;
use crate::store::{StoreError, WriteTx};

/// How long a link is good.
pub const SETUP_WITHIN: Duration = Duration::from_hours(48);

/// A new link: the token to show once and the row to store under its hash.
fn issue(purpose: SetupPurpose, entropy: &dyn Entropy, now: Timestamp) -> (Token, SetupToken) {
    (Token::generate(entropy), SetupToken { purpose, created_at: now, expires_at: now.plus(SETUP_WITHIN) })
}

/// A link and its row in one: what to print once, and what stores it.
pub struct Link {
    pub url: String,
    hash: [u8; 32],
    setup: SetupToken,
}

impl Link {
    /// `base_url` has no slash at its end.
    pub fn new(purpose: SetupPurpose, env: &Env, base_url: &str) -> Link {
        let (token, setup) = issue(purpose, env.entropy.as_ref(), env.now());
        let url = format!("{base_url}/console/setup/{}", token.to_text().as_str());
        Link { url, hash: token.hash(), setup }
    }

    pub fn store(&self, tx: &mut WriteTx<'_>) -> Result<(), StoreError> {
        tx.put(&SETUP_TOKENS, &self.hash, &self.setup)
    }
}

/// Whether a stored link is still good. `users_exist` closes the first owner's door for ever.
pub fn is_good(setup: &SetupToken, users_exist: bool, now: Timestamp) -> bool {
    let open = match setup.purpose {
        SetupPurpose::FirstOwner { .. } => !users_exist,
        SetupPurpose::Invitation { .. } | SetupPurpose::Reset { .. } => true,
    };
    open && now < setup.expires_at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{MerchantId, UserId};
    use crate::env::SystemEntropy;

    #[test]
    fn the_first_owners_door_is_closed_once_anybody_exists_and_every_link_expires() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let merchant = MerchantId::from_bytes([7; 16]);
        let (_, first) = issue(SetupPurpose::FirstOwner { merchant }, &SystemEntropy, now);
        assert!(is_good(&first, false, now));
        assert!(!is_good(&first, true, now));
        assert!(!is_good(&first, false, now.plus(SETUP_WITHIN)));
        let (_, reset) = issue(SetupPurpose::Reset { user: UserId::from_bytes([1; 16]) }, &SystemEntropy, now);
        assert!(is_good(&reset, true, now));
    }
}
