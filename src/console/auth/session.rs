//! Sessions: the token in the cookie, its limits, and the token that proves that a form is ours.
//!
//! A token is 256 random bits. The store knows only its SHA-256, so a stolen file opens no session. The token against
//! forged forms (CSRF) is an HMAC keyed by the session token itself: it needs no storage, dies with the session and
//! cannot be computed from what is stored.

use std::fmt;

use actix_web::cookie::{Cookie, SameSite};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ring::{digest, hmac};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::records::{Session, User};
use crate::domain::time::{Duration, Timestamp};
use crate::env::{Entropy, random};

/// A session without a request for this long is over.
pub const SESSION_IDLE: Duration = Duration::from_minutes(30);
/// No session lives longer, however busy.
pub const SESSION_ABSOLUTE: Duration = Duration::from_hours(12);
/// Time between the right password and the second factor.
pub const SECOND_FACTOR_WITHIN: Duration = Duration::from_minutes(10);
/// For how long a second factor stands for steps that move money or rights.
pub const VERIFIED_FOR: Duration = Duration::from_minutes(15);
/// `last_seen_at` is written at most this often, so that looking around does not cost a commit per page.
pub const SEEN_RESOLUTION: Duration = Duration::from_minutes(1);

const TOKEN_BYTES: usize = 32;

/// A secret in a cookie or a link. Prints nothing, is wiped.
#[derive(Clone)]
pub struct Token(Zeroizing<[u8; TOKEN_BYTES]>);

impl Token {
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(Zeroizing::new(random(entropy)))
    }

    pub fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(BASE64URL_NOPAD.decode(text.as_bytes()).ok()?);
        Some(Self(Zeroizing::new(bytes.as_slice().try_into().ok()?)))
    }

    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64URL_NOPAD.encode(self.0.as_slice()))
    }

    /// Under which it is stored.
    pub fn hash(&self) -> [u8; 32] {
        let hash = digest::digest(&digest::SHA256, self.0.as_slice());
        hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    /// What every form of this session carries.
    pub fn form_token(&self) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice());
        HEXLOWER.encode(hmac::sign(&key, b"coffer form").as_ref())
    }

    /// Whether a form came from a page of this session.
    pub fn is_form_token(&self, text: &str) -> bool {
        self.form_token().as_bytes().ct_eq(text.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Whether browsers reach the console by TLS. Plain HTTP is for loopback alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieKind {
    /// `__Host-`: only over TLS, only this host, only from the root path. Source: RFC 6265bis, 4.1.3.2.
    Host,
    /// Without the prefix, which browsers refuse on plain HTTP.
    Loopback,
}

impl CookieKind {
    pub const fn name(self) -> &'static str {
        match self {
            CookieKind::Host => "__Host-coffer",
            CookieKind::Loopback => "coffer_loopback",
        }
    }

    /// The cookie that carries a token; it ends with the browser's session, the limits are kept on our side.
    pub fn carry(self, token: &Token) -> Cookie<'static> {
        self.cookie(token.to_text().as_str().to_owned())
    }

    /// The cookie that takes it away.
    pub fn remove(self) -> Cookie<'static> {
        let mut cookie = self.cookie(String::new());
        cookie.make_removal();
        cookie
    }

    fn cookie(self, value: String) -> Cookie<'static> {
        Cookie::build(self.name(), value)
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self == CookieKind::Host)
            .finish()
    }
}

/// Why a session does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Idle,
    TooOld,
    /// Password, role or second factor changed since, or the person was switched off.
    Revoked,
}

impl Session {
    /// Whether the session is good at `now` for this person.
    pub fn check(&self, user: &User, now: Timestamp) -> Result<(), Over> {
        if user.disabled_at.is_some() || self.epoch != user.epoch || self.user != user.id {
            return Err(Over::Revoked);
        }
        let absolute = if self.second_factor_due { SECOND_FACTOR_WITHIN } else { SESSION_ABSOLUTE };
        // A clock that went back must not make a session immortal: `since` is zero then, and idle time still counts.
        if now.since(self.created_at) >= absolute {
            return Err(Over::TooOld);
        }
        if now.since(self.last_seen_at) >= SESSION_IDLE { Err(Over::Idle) } else { Ok(()) }
    }

    /// Whether a second factor was given recently enough for a step that moves money or rights.
    pub fn is_verified(&self, now: Timestamp) -> bool {
        now.since(self.verified_at) < VERIFIED_FOR
    }

    /// Whether `last_seen_at` is old enough to be written again.
    pub fn is_seen_stale(&self, now: Timestamp) -> bool {
        now.since(self.last_seen_at) >= SEEN_RESOLUTION
    }
}

/// Whether a request that changes something comes from our own pages: its `Origin` is one of ours, or, where the
/// browser sends none, `Sec-Fetch-Site` says so. A request with neither is refused; every present browser sends one.
pub fn is_own_origin(origin: Option<&str>, fetch_site: Option<&str>, own: &[String]) -> bool {
    match origin {
        Some(origin) => own.iter().any(|own| own == origin),
        None => fetch_site == Some("same-origin"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::auth::records::tests::{session, user};
    use crate::env::SystemEntropy;

    const T0: Timestamp = Timestamp::from_seconds(1_800_000_000);

    #[test]
    fn a_session_ends_by_idleness_and_by_age() {
        let user = user();
        let at = |minutes| T0.plus(Duration::from_minutes(minutes));
        let mut session = session(&user, T0);
        assert_eq!(session.check(&user, at(29)), Ok(()));
        assert_eq!(session.check(&user, at(30)), Err(Over::Idle));
        session.last_seen_at = at(12 * 60 - 1);
        assert_eq!(session.check(&user, at(12 * 60 - 1)), Ok(()));
        assert_eq!(session.check(&user, at(12 * 60)), Err(Over::TooOld));
    }

    #[test]
    fn half_a_login_lasts_ten_minutes() {
        let user = user();
        let session = Session { second_factor_due: true, ..session(&user, T0) };
        assert_eq!(session.check(&user, T0.plus(Duration::from_minutes(9))), Ok(()));
        assert_eq!(session.check(&user, T0.plus(Duration::from_minutes(10))), Err(Over::TooOld));
    }

    #[test]
    fn a_change_of_the_person_ends_all_sessions() {
        let before = user();
        let session = session(&before, T0);
        let changed = User { epoch: before.epoch + 1, ..before.clone() };
        assert_eq!(session.check(&changed, T0), Err(Over::Revoked));
        let disabled = User { disabled_at: Some(T0), ..before };
        assert_eq!(session.check(&disabled, T0), Err(Over::Revoked));
    }

    #[test]
    fn cookies_are_closed_to_scripts_and_other_hosts() {
        let token = Token::generate(&SystemEntropy);
        let cookie = CookieKind::Host.carry(&token).to_string();
        let value = token.to_text();
        assert_eq!(cookie, format!("__Host-coffer={}; HttpOnly; SameSite=Lax; Secure; Path=/", value.as_str()));
        assert!(!CookieKind::Loopback.carry(&token).to_string().contains("Secure"));
        assert!(CookieKind::Host.remove().to_string().contains("Max-Age=0"));
    }

    #[test]
    fn tokens_survive_text_and_form_tokens_belong_to_one_session() {
        let (a, b) = (Token::generate(&SystemEntropy), Token::generate(&SystemEntropy));
        assert_eq!(Token::parse(&a.to_text()).unwrap().hash(), a.hash());
        assert_ne!(a.hash(), b.hash());
        assert!(a.is_form_token(&a.form_token()));
        assert!(!a.is_form_token(&b.form_token()));
        assert!(!a.is_form_token(""));
        assert!(Token::parse("short").is_none());
        assert_eq!(format!("{a:?}"), "Token");
    }

    #[test]
    fn forms_come_from_our_own_origin() {
        let own = ["https://pay.mugs.example".to_owned()];
        assert!(is_own_origin(Some("https://pay.mugs.example"), None, &own));
        assert!(is_own_origin(None, Some("same-origin"), &own));
        for (origin, site) in [
            (Some("https://evil.example"), Some("same-origin")),
            (Some("http://pay.mugs.example"), None),
            (Some("https://pay.mugs.example.evil.example"), None),
            (Some("null"), Some("cross-site")),
            (None, Some("same-site")),
            (None, None),
        ] {
            assert!(!is_own_origin(origin, site, &own), "{origin:?} {site:?}");
        }
    }
}
