//! One-time links. The token stands in the fragment-free path of the link, is stored hashed, and is deleted in the commit
//! that uses it; afterwards the page does not exist.

use super::records::{SetupPurpose, SetupToken};
use super::session::Token;
use crate::domain::time::{Duration, Timestamp};
use crate::env::Entropy;

/// How long a link is good.
pub const SETUP_WITHIN: Duration = Duration::from_hours(48);

/// A new link: the token to show once and the row to store under its hash.
pub fn issue(purpose: SetupPurpose, entropy: &dyn Entropy, now: Timestamp) -> (Token, SetupToken) {
    (Token::generate(entropy), SetupToken { purpose, created_at: now, expires_at: now.plus(SETUP_WITHIN) })
}

/// Where the link's page is.
pub fn path(token: &Token) -> String {
    format!("/console/setup/{}", token.to_text().as_str())
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
