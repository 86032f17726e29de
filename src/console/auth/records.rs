//! What is stored about people: users, sessions, set-up links.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::attempts::Attempts;
use super::password::PasswordHash;
use super::recovery::RecoveryCodes;
use super::roles::Role;
use crate::crypto::{Place, Sealed};
use crate::domain::ids::{MerchantId, Scope, UserId};
use crate::domain::time::Timestamp;
use crate::lang::Lang;

/// Characters of a login (an e-mail address or a short name).
pub const LOGIN_CHARS_MAX: usize = 100;
/// Characters of a person's name.
pub const PERSON_NAME_CHARS_MAX: usize = 40;
/// Merchants one person can work for.
pub const MEMBERSHIPS_MAX: usize = 50;

/// A person who logs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub id: UserId,
    pub login: Login,
    pub name: String,
    pub password: PasswordHash,
    pub password_changed_at: Timestamp,
    pub second_factor: Option<SecondFactor>,
    pub recovery: RecoveryCodes,
    /// Wrong second factors in a row.
    pub attempts: Attempts,
    /// Grows when password, roles or second factor change; sessions of an older epoch are over.
    pub epoch: u32,
    /// What the person is to which merchant; never empty.
    pub memberships: Vec<Membership>,
    pub language: Option<Lang>,
    /// The merchant and mode last looked at: where the next login begins.
    pub home: Scope,
    pub created_at: Timestamp,
    pub disabled_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    pub merchant: MerchantId,
    pub role: Role,
}

/// Where the secret of a person's authenticator is sealed to.
pub fn second_factor_place(user: &[u8; 16]) -> Place<'_> {
    Place { table: "users", row: user, field: "second_factor" }
}

/// Where the secret of an enrolment is sealed to until it is confirmed.
pub fn enrolment_place(session: &[u8; 32]) -> Place<'_> {
    Place { table: "sessions", row: session, field: "enrolling" }
}

/// The enrolled authenticator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecondFactor {
    /// The secret, sealed under the master key at [`second_factor_place`].
    pub secret: Sealed,
    pub enrolled_at: Timestamp,
    /// The step of the last accepted code; only a later one is accepted.
    pub last_step: u64,
}

impl User {
    /// What the person is to a merchant; `None` means that the merchant does not exist for this person.
    pub fn role_at(&self, merchant: MerchantId) -> Option<Role> {
        self.memberships.iter().find(|m| m.merchant == merchant).map(|m| m.role)
    }
}

/// One browser that is logged in, stored under the SHA-256 of its token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub user: UserId,
    /// The user's epoch at login.
    pub epoch: u32,
    /// The merchant and mode on the screen.
    pub scope: Scope,
    /// The password was right, the second factor is still due: nothing else is open.
    pub second_factor_due: bool,
    /// When a second factor was last given. Steps that move money or rights ask again after a while.
    pub verified_at: Timestamp,
    /// The secret of an enrolment that is not confirmed yet, sealed at [`enrolment_place`].
    pub enrolling: Option<Sealed>,
    pub created_at: Timestamp,
    pub last_seen_at: Timestamp,
    /// Where the login came from, for the list of sessions.
    pub ip: String,
    /// Browser and system in a few words, never the whole header.
    pub device: String,
}

/// A one-time link, stored under the SHA-256 of its token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupToken {
    pub purpose: SetupPurpose,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

/// What a one-time link is good for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetupPurpose {
    /// The first owner of a new installation. Good only while there is no user at all.
    FirstOwner { merchant: MerchantId },
    /// A person who was invited with a role chooses password and second factor.
    Invitation { login: Login, name: String, membership: Membership },
    /// A person who lost access, let in again by somebody who may manage users.
    Reset { user: UserId },
}

/// The name a person logs in with: lower case, no spaces, 1 to [`LOGIN_CHARS_MAX`] characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Login(String);

/// Text that cannot be a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLogin;

impl Login {
    pub fn parse(text: &str) -> Result<Self, BadLogin> {
        let login = text.trim().to_lowercase();
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '@');
        if login.is_empty() || login.chars().count() > LOGIN_CHARS_MAX || !login.chars().all(allowed) {
            return Err(BadLogin);
        }
        Ok(Self(login))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The few words of a `User-Agent` that help to recognise a device: `Chrome · Android`.
pub fn device_of(user_agent: &str) -> String {
    let first = |names: &[(&str, &'static str)]| names.iter().find(|(mark, _)| user_agent.contains(mark)).map(|n| n.1);
    let browser = first(&[
        ("MicroMessenger", "WeChat"),
        ("Edg", "Edge"),
        ("Firefox", "Firefox"),
        ("Chrome", "Chrome"),
        ("Safari", "Safari"),
        ("curl", "curl"),
    ]);
    let system = first(&[
        ("HarmonyOS", "HarmonyOS"),
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Macintosh", "Mac"),
        ("Linux", "Linux"),
    ]);
    [browser, system].into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::domain::ids::Mode;

    pub fn user() -> User {
        let merchant = MerchantId::from_bytes([7; 16]);
        User {
            id: UserId::from_bytes([1; 16]),
            login: Login::parse("li@mugs.example").unwrap(),
            name: "陈丽".into(),
            password: PasswordHash::that_never_matches(),
            password_changed_at: Timestamp::MIN,
            second_factor: None,
            recovery: RecoveryCodes::default(),
            attempts: Attempts::NONE,
            epoch: 1,
            memberships: vec![Membership { merchant, role: Role::Owner }],
            language: None,
            home: Scope { merchant, mode: Mode::Test },
            created_at: Timestamp::MIN,
            disabled_at: None,
        }
    }

    pub fn session(user: &User, now: Timestamp) -> Session {
        Session {
            user: user.id,
            epoch: user.epoch,
            scope: user.home,
            second_factor_due: false,
            verified_at: now,
            enrolling: None,
            created_at: now,
            last_seen_at: now,
            ip: "192.0.2.7".into(),
            device: "Firefox · Linux".into(),
        }
    }

    #[test]
    fn a_login_has_one_spelling() {
        assert_eq!(Login::parse(" Li@Mugs.example ").unwrap().as_str(), "li@mugs.example");
        for bad in ["", "  ", "a b", "a\nb", "a\u{1b}[31m", "<b>", &"x".repeat(101)] {
            assert_eq!(Login::parse(bad), Err(BadLogin), "{bad:?}");
        }
    }

    #[test]
    fn a_foreign_merchant_is_no_role_at_all() {
        assert_eq!(user().role_at(MerchantId::from_bytes([7; 16])), Some(Role::Owner));
        assert_eq!(user().role_at(MerchantId::from_bytes([8; 16])), None);
    }

    #[test]
    fn a_device_is_named_in_a_few_words_and_nothing_foreign_passes() {
        let chrome =
            "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Mobile Safari/537.36";
        assert_eq!(device_of(chrome), "Chrome · Android");
        assert_eq!(device_of("<script>alert(1)</script>\n"), "");
    }
}
