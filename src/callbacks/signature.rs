//! Signatures of callbacks: Standard Webhooks 1.0.0, scheme `v1` (HMAC-SHA256).
//!
//! Signed are the message id, the seconds of this attempt and the raw body, joined by dots. The time is of the attempt
//! and not of the event, because receivers refuse what is older than five minutes.

use data_encoding::BASE64;
use ring::hmac;

use crate::crypto::Secret;
use crate::domain::time::{Duration, Timestamp};
use crate::env::{Entropy, random};

/// Length of a secret that we make, in bytes.
pub const SECRET_BYTES: usize = 32;
/// Shortest and longest secret that the standard allows, in bytes.
pub const SECRET_BYTES_MIN: usize = 24;
pub const SECRET_BYTES_MAX: usize = 64;
/// Older secrets that sign beside the current one while a merchant changes over.
pub const OLDER_SECRETS_MAX: usize = 3;
/// How far a receiver's clock may be from ours, in both directions.
pub const TOLERANCE: Duration = Duration::from_minutes(5);

const PREFIX: &str = "whsec_";
const VERSION: &str = "v1";

/// What one endpoint's callbacks are signed with. Shown once as `whsec_…`, wiped from memory, never printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSecret(Secret);

/// Text that is not `whsec_` and the base64 of 24 to 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSecret;

impl std::fmt::Display for BadSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "expected {PREFIX} and the base64 of {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes")
    }
}

impl std::error::Error for BadSecret {}

impl WebhookSecret {
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(Secret::new(random::<SECRET_BYTES>(entropy)))
    }

    /// Reads the form that is shown to merchants.
    pub fn parse(text: &str) -> Result<Self, BadSecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(BadSecret)?;
        Self::from_bytes(Secret::new(BASE64.decode(encoded.as_bytes()).map_err(|_| BadSecret)?))
    }

    /// The key itself, as the store keeps it under the master key.
    pub fn from_bytes(bytes: Secret) -> Result<Self, BadSecret> {
        let fits = (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&bytes.expose().len());
        if fits { Ok(Self(bytes)) } else { Err(BadSecret) }
    }

    /// The key itself, to be sealed.
    pub fn bytes(&self) -> &Secret {
        &self.0
    }

    /// `whsec_…`, for the one time that it is shown.
    pub fn to_text(&self) -> Secret {
        Secret::from(format!("{PREFIX}{}", BASE64.encode(self.0.expose())))
    }

    /// Base64 of the signature over one attempt.
    fn mac(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.expose());
        let mut context = hmac::Context::with_key(&key);
        context.update(format!("{id}.{seconds}.").as_bytes());
        context.update(body);
        BASE64.encode(context.sign().as_ref())
    }
}

/// The secrets that are valid for an endpoint now. There is always one, so nothing leaves unsigned.
#[derive(Clone, Debug)]
pub struct SigningSecrets {
    pub current: WebhookSecret,
    /// Newest first; those beyond [`OLDER_SECRETS_MAX`] no longer sign.
    pub older: Vec<WebhookSecret>,
}

impl SigningSecrets {
    /// The value of `webhook-signature`: one entry per secret, so a receiver that knows any of them accepts.
    pub fn sign(&self, id: &str, at: Timestamp, body: &[u8]) -> String {
        let secrets = std::iter::once(&self.current).chain(self.older.iter().take(OLDER_SECRETS_MAX));
        let entries: Vec<_> =
            secrets.map(|secret| format!("{VERSION},{}", secret.mac(id, at.as_seconds(), body))).collect();
        entries.join(" ")
    }
}

impl From<WebhookSecret> for SigningSecrets {
    fn from(current: WebhookSecret) -> Self {
        Self { current, older: Vec::new() }
    }
}

/// The three headers as they were received.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedHeaders<'a> {
    pub id: &'a str,
    pub timestamp: &'a str,
    pub signature: &'a str,
}

/// Why a received message is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotGenuine {
    /// The timestamp is no number or more than [`TOLERANCE`] away.
    Time,
    /// No entry of a known version matches.
    Signature,
}

/// The receiver's side, for shops that are part of Coffer.
pub fn verify(
    secret: &WebhookSecret,
    headers: ReceivedHeaders<'_>,
    body: &[u8],
    now: Timestamp,
) -> Result<(), NotGenuine> {
    let seconds: i64 = headers.timestamp.parse().map_err(|_| NotGenuine::Time)?;
    if now.as_seconds().abs_diff(seconds) > TOLERANCE.as_seconds() {
        return Err(NotGenuine::Time);
    }
    let expected = Secret::from(secret.mac(headers.id, seconds, body));
    let mut entries = headers.signature.split(' ').filter_map(|entry| entry.split_once(','));
    // Comparing two `Secret`s takes the same time wherever they differ.
    if entries.any(|(version, value)| version == VERSION && Secret::new(value) == expected) {
        Ok(())
    } else {
        Err(NotGenuine::Signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::SystemEntropy;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const AT: Timestamp = Timestamp::from_seconds(1_614_265_330);

    fn reference() -> WebhookSecret {
        WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap()
    }

    fn received(signature: &str) -> ReceivedHeaders<'_> {
        ReceivedHeaders { id: ID, timestamp: "1614265330", signature }
    }

    /// From the reference implementation's tests.
    #[test]
    fn the_standards_own_vector_is_reproduced() {
        let signature = SigningSecrets::from(reference()).sign(ID, AT, BODY);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(verify(&reference(), received(&signature), BODY, AT), Ok(()));
    }

    #[test]
    fn during_a_change_of_secrets_receivers_with_either_accept() {
        let fresh = WebhookSecret::generate(&SystemEntropy);
        let both = SigningSecrets { current: fresh.clone(), older: vec![reference()] };
        let signature = both.sign(ID, AT, BODY);
        assert_eq!(signature.split(' ').count(), 2);
        for secret in [fresh, reference()] {
            assert_eq!(verify(&secret, received(&signature), BODY, AT), Ok(()));
        }
        let stranger = WebhookSecret::generate(&SystemEntropy);
        assert_eq!(verify(&stranger, received(&signature), BODY, AT), Err(NotGenuine::Signature));
    }

    #[test]
    fn secrets_beyond_the_limit_no_longer_sign() {
        let many = SigningSecrets { current: reference(), older: vec![reference(); OLDER_SECRETS_MAX + 2] };
        assert_eq!(many.sign(ID, AT, BODY).split(' ').count(), 1 + OLDER_SECRETS_MAX);
    }

    #[test]
    fn a_change_of_id_time_or_body_is_noticed() {
        let signature = SigningSecrets::from(reference()).sign(ID, AT, BODY);
        let headers = received(&signature);
        let wrong = Err(NotGenuine::Signature);
        assert_eq!(verify(&reference(), headers, br#"{"test": 2432232315}"#, AT), wrong);
        assert_eq!(verify(&reference(), ReceivedHeaders { id: "msg_other", ..headers }, BODY, AT), wrong);
        assert_eq!(verify(&reference(), ReceivedHeaders { timestamp: "1614265331", ..headers }, BODY, AT), wrong);
    }

    #[test]
    fn missing_empty_and_unknown_signatures_are_wrong_signatures() {
        for signature in ["", " ", "v1", "v1,", "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "v1a,AAAA"] {
            assert_eq!(
                verify(&reference(), received(signature), BODY, AT),
                Err(NotGenuine::Signature),
                "{signature:?}"
            );
        }
    }

    #[test]
    fn five_minutes_either_way_are_tolerated_and_no_more() {
        let signature = SigningSecrets::from(reference()).sign(ID, AT, BODY);
        let at = |seconds: i64| verify(&reference(), received(&signature), BODY, Timestamp::from_seconds(seconds));
        assert_eq!(at(1_614_265_330 + 300), Ok(()));
        assert_eq!(at(1_614_265_330 - 300), Ok(()));
        assert_eq!(at(1_614_265_330 + 301), Err(NotGenuine::Time));
        assert_eq!(at(1_614_265_330 - 310), Err(NotGenuine::Time));
        let odd = ReceivedHeaders { timestamp: "soon", ..received(&signature) };
        assert_eq!(verify(&reference(), odd, BODY, AT), Err(NotGenuine::Time));
        let far = ReceivedHeaders { timestamp: "-9223372036854775808", ..received(&signature) };
        assert_eq!(verify(&reference(), far, BODY, AT), Err(NotGenuine::Time));
    }

    #[test]
    fn only_secrets_of_24_to_64_bytes_are_taken() {
        for (bytes, accepted) in [(0, false), (23, false), (24, true), (64, true), (65, false)] {
            let text = format!("whsec_{}", BASE64.encode(&vec![7; bytes]));
            assert_eq!(WebhookSecret::parse(&text).is_ok(), accepted, "{bytes} bytes");
        }
        for text in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_not base64"] {
            assert_eq!(WebhookSecret::parse(text), Err(BadSecret), "{text:?}");
        }
    }

    #[test]
    fn a_generated_secret_survives_being_shown_and_prints_nothing() {
        let secret = WebhookSecret::generate(&SystemEntropy);
        let text = secret.to_text();
        assert_eq!(WebhookSecret::parse(text.expose_str().unwrap()), Ok(secret.clone()));
        assert_eq!(WebhookSecret::from_bytes(secret.bytes().clone()), Ok(secret.clone()));
        assert_ne!(secret, WebhookSecret::generate(&SystemEntropy));
        assert_eq!(format!("{secret:?}"), "WebhookSecret(Secret(…))");
    }
}
