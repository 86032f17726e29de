//! The audit chain: who did what, when, to which thing, from where. Append-only; each record carries the hash of the one
//! before it. This file is pure: it composes and checks records; `log` keeps them in the store.
//!
//! Every merchant has a chain of its own, and the installation has one (merchant of zero bytes) for what belongs to no
//! merchant, such as logins of unknown people.
//!
//! # Canonical bytes
//! The hash of a record is the SHA-256 over: the ASCII bytes `coffer-audit-1` and a zero byte; then chain (16 bytes),
//! `seq` (8, big endian), `at` in milliseconds (8, big endian), then as length (4, big endian) and UTF-8 bytes each: actor, action
//! code, object, ip (empty when unknown); the number of details (4, big endian) and each detail's name and value the same way; and last
//! `prev` (32 bytes). `prev` of the first record is 32 zero bytes.

/// The chains in the store.
pub mod log;

use std::fmt;

use ring::digest;
use serde::{Deserialize, Serialize};

use crate::domain::ids::{KeyId, MerchantId, UserId};
use crate::domain::time::Timestamp;

/// Details of one record.
pub const DETAILS_MAX: usize = 20;
/// Characters of one detail's value; longer ones are cut with an ellipsis.
pub const DETAIL_CHARS_MAX: usize = 300;

/// The chain of the installation itself.
pub const INSTALLATION: MerchantId = MerchantId::from_bytes([0; 16]);

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Actor {
    User(UserId),
    ApiKey(KeyId),
    /// The program itself: the runner, retention, a command on the machine.
    System,
    /// Nobody we know: a failed login.
    Stranger,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::User(id) => id.fmt(f),
            Actor::ApiKey(id) => id.fmt(f),
            Actor::System => f.write_str("system"),
            Actor::Stranger => f.write_str("stranger"),
        }
    }
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// What was done. Append-only; codes are never renamed, because they are hashed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Action { $($(#[$doc])* $name,)* }

        impl Action {
            pub const ALL: &[Action] = &[$(Action::$name,)*];

            /// The code that is hashed, shown and searched.
            pub const fn code(self) -> &'static str {
                match self { $(Action::$name => $code,)* }
            }
        }
    };
}

actions! {
    SetupCompleted = "setup.completed",
    LoginSucceeded = "login.succeeded",
    LoginFailed = "login.failed",
    SecondFactorFailed = "login.second_factor_failed",
    RecoveryCodeUsed = "login.recovery_code_used",
    LoggedOut = "login.logged_out",
    PasswordChanged = "user.password_changed",
    SecondFactorEnrolled = "user.second_factor_enrolled",
    RecoveryCodesRenewed = "user.recovery_codes_renewed",
    SessionsEnded = "user.sessions_ended",
    LanguageChanged = "user.language_changed",
    UserInvited = "user.invited",
    UserCreated = "user.created",
    UserRoleChanged = "user.role_changed",
    UserDisabled = "user.disabled",
    UserResetIssued = "user.reset_issued",
    PaymentCanceled = "payment.canceled",
    PaymentSynced = "payment.synced",
    RefundCreated = "refund.created",
    CallbackResent = "callback.resent",
    CallbackTested = "callback.tested",
    EndpointCreated = "endpoint.created",
    EndpointChanged = "endpoint.changed",
    EndpointDeleted = "endpoint.deleted",
    EndpointSecretRotated = "endpoint.secret_rotated",
    KeyCreated = "key.created",
    KeyRevoked = "key.revoked",
    BooksVerified = "books.verified",
    SettingsChanged = "settings.changed",
    FeesChanged = "fees.changed",
    /// A signed-in person asked for something the role does not allow.
    Refused = "access.refused",
    /// A form without the session's token, or from a foreign page.
    FormRefused = "access.form_refused",
    MerchantSwitched = "session.merchant_switched",
    SessionEnded = "user.session_ended",
    MerchantCreated = "merchant.created",
    MasterKeyChanged = "master_key.changed",
    CaseDecided = "case.decided",
    RefundProposed = "refund.proposed",
    RefundApproved = "refund.approved",
    /// By the second person, or withdrawn by the first.
    RefundRefused = "refund.refused",
    /// Where the money of a refund goes that cannot go back.
    RefundRedirected = "refund.redirected",
    /// The customer got it outside of the channel.
    RefundPaidOutside = "refund.paid_outside",
    ApprovalRuleChanged = "approval_rule.changed",
    Exported = "data.exported",
    ChannelAdded = "channel.added",
    ChannelChanged = "channel.changed",
    ChannelKeysReplaced = "channel.keys_replaced",
    ChannelTested = "channel.tested",
}

/// What is said about an action: names and values, cut to size, secrets and personal data masked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail(Vec<(String, String)>);

impl Detail {
    pub fn new() -> Self {
        Self::default()
    }

    /// A value that may be read by everyone who reads the log. Control characters are replaced, so that a value cannot
    /// forge lines or colours where the log is printed.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        if self.0.len() < DETAILS_MAX {
            self.0.push((name.to_owned(), clean(&value.to_string())));
        }
        self
    }

    /// A personal value: only its first and last characters stay.
    #[must_use]
    pub fn masked(self, name: &str, value: &str) -> Self {
        self.with(name, mask(value))
    }

    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }
}

/// `li@mugs.example` → `l…e`; values of up to four characters vanish whole.
pub fn mask(value: &str) -> String {
    let chars: Vec<char> = value.chars().collect();
    match chars.as_slice() {
        [] => String::new(),
        [first, .., last] if chars.len() > 4 => format!("{first}…{last}"),
        _ => "…".to_owned(),
    }
}

fn clean(value: &str) -> String {
    let mut clean: String =
        value.chars().take(DETAIL_CHARS_MAX).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if value.chars().nth(DETAIL_CHARS_MAX).is_some() {
        clean.push('…');
    }
    clean
}

/// An action before it has its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub at: Timestamp,
    pub actor: Actor,
    pub action: Action,
    /// The id of what it was done to; empty when there is none.
    pub object: String,
    pub detail: Detail,
    /// The client's address; empty when there is none.
    pub ip: String,
}

/// An action in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    pub chain: MerchantId,
    /// From 1, without gaps.
    pub seq: u64,
    pub at: Timestamp,
    pub actor: Actor,
    pub action: Action,
    pub object: String,
    pub detail: Detail,
    pub ip: String,
    pub prev: [u8; 32],
    pub hash: [u8; 32],
}

impl AuditRecord {
    /// The next record of a chain; `last` is the one before it.
    pub fn append(chain: MerchantId, last: Option<&AuditRecord>, entry: Entry) -> Self {
        let Entry { at, actor, action, object, detail, ip } = entry;
        let seq = last.map_or(1, |last| last.seq + 1);
        // Time does not go back along the chain, even when the clock does.
        let at = last.map_or(at, |last| at.max(last.at));
        let prev = last.map_or([0; 32], |last| last.hash);
        let (object, ip) = (clean(&object), clean(&ip));
        let mut record = Self { chain, seq, at, actor, action, object, detail, ip, prev, hash: [0; 32] };
        record.hash = record.computed_hash();
        record
    }

    /// The hash over the canonical bytes.
    pub fn computed_hash(&self) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"coffer-audit-1\0");
        context.update(&self.chain.to_bytes());
        context.update(&self.seq.to_be_bytes());
        context.update(&self.at.as_millis().to_be_bytes());
        let mut text = |value: &str| {
            context.update(&length(value.len()));
            context.update(value.as_bytes());
        };
        text(&self.actor.to_string());
        text(self.action.code());
        text(&self.object);
        text(&self.ip);
        context.update(&length(self.detail.0.len()));
        for (name, value) in &self.detail.0 {
            for text in [name, value] {
                context.update(&length(text.len()));
                context.update(text.as_bytes());
            }
        }
        context.update(&self.prev);
        context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).expect("texts are cut to a few hundred characters").to_be_bytes()
}

/// The first thing wrong with a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    pub chain: MerchantId,
    /// The record at which it shows.
    pub seq: u64,
    pub fault: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A record is missing before this one, or stands twice.
    Gap,
    /// Belongs to another chain.
    WrongChain,
    /// Its content does not give its hash.
    Edited,
    /// Does not continue the record before it.
    Unlinked,
    /// Is older than the record before it.
    TimeWentBack,
    /// The chain is shorter than it once was known to be, or ends differently.
    Truncated,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = match self.fault {
            Fault::Gap => "a record before it is missing",
            Fault::WrongChain => "belongs to another chain",
            Fault::Edited => "was changed after it was written",
            Fault::Unlinked => "does not continue the record before it",
            Fault::TimeWentBack => "is older than the record before it",
            Fault::Truncated => "is not the end that was once recorded",
        };
        write!(f, "audit record {} of {}: {fault}", self.seq, self.chain)
    }
}

impl std::error::Error for Broken {}

/// Walks one chain from its beginning; feed it every record in order.
#[derive(Clone, Debug)]
pub struct Verifier {
    chain: MerchantId,
    seq: u64,
    at: Timestamp,
    head: [u8; 32],
}

impl Verifier {
    pub fn new(chain: MerchantId) -> Self {
        Self { chain, seq: 0, at: Timestamp::from_millis(i64::MIN), head: [0; 32] }
    }

    pub fn check(&mut self, record: &AuditRecord) -> Result<(), Broken> {
        let broken = |fault| Err(Broken { chain: self.chain, seq: record.seq, fault });
        if record.chain != self.chain {
            return broken(Fault::WrongChain);
        }
        if record.seq != self.seq + 1 {
            return broken(Fault::Gap);
        }
        if record.prev != self.head {
            return broken(Fault::Unlinked);
        }
        if record.hash != record.computed_hash() {
            return broken(Fault::Edited);
        }
        if record.at < self.at {
            return broken(Fault::TimeWentBack);
        }
        (self.seq, self.at, self.head) = (record.seq, record.at, record.hash);
        Ok(())
    }

    /// A record that does not stand where its number says.
    pub fn misplaced(&self, seq: u64) -> Broken {
        Broken { chain: self.chain, seq, fault: Fault::Gap }
    }

    /// How many records were checked, and the hash of the last: what a checkpoint holds.
    pub fn head(&self) -> (u64, [u8; 32]) {
        (self.seq, self.head)
    }

    /// Compares the end with what was once recorded elsewhere. Call it right after record `seq` was checked.
    pub fn expect_head(&self, seq: u64, head: [u8; 32]) -> Result<(), Broken> {
        if self.head() == (seq, head) {
            Ok(())
        } else {
            Err(Broken { chain: self.chain, seq, fault: Fault::Truncated })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: MerchantId = MerchantId::from_bytes([7; 16]);

    fn entry(seconds: i64) -> Entry {
        Entry {
            at: Timestamp::from_seconds(seconds),
            actor: Actor::User(UserId::from_bytes([1; 16])),
            action: Action::RefundCreated,
            object: "re_1".into(),
            detail: Detail::new().with("amount", "CNY 9.90").masked("login", "li@mugs.example"),
            ip: "192.0.2.7".into(),
        }
    }

    fn chain(length: usize) -> Vec<AuditRecord> {
        let mut records: Vec<AuditRecord> = Vec::new();
        for i in 0..length {
            let record = AuditRecord::append(CHAIN, records.last(), entry(100 + i as i64));
            records.push(record);
        }
        records
    }

    fn verify(records: &[AuditRecord]) -> Result<(u64, [u8; 32]), Broken> {
        let mut verifier = Verifier::new(CHAIN);
        records.iter().try_for_each(|record| verifier.check(record))?;
        Ok(verifier.head())
    }

    #[test]
    fn an_untouched_chain_verifies() {
        let records = chain(5);
        assert_eq!(verify(&records), Ok((5, records[4].hash)));
        assert_eq!(verify(&[]), Ok((0, [0; 32])));
    }

    #[test]
    fn every_edit_is_found_at_its_record() {
        let edits: [fn(&mut AuditRecord); 8] = [
            |r| r.at = r.at.plus(crate::domain::time::Duration::from_millis(1)),
            |r| r.actor = Actor::System,
            |r| r.action = Action::KeyRevoked,
            |r| r.object.push('x'),
            |r| r.detail = Detail::new(),
            |r| r.detail.0[0].1 = "CNY 0.90".into(),
            |r| r.ip.clear(),
            |r| r.hash[0] ^= 1,
        ];
        for edit in edits {
            let mut records = chain(5);
            edit(&mut records[2]);
            let broken = verify(&records).unwrap_err();
            assert_eq!((broken.seq, broken.fault), (3, Fault::Edited));
        }
    }

    #[test]
    fn an_edit_with_a_new_hash_breaks_the_link_behind_it() {
        let mut records = chain(5);
        records[2].object = "re_2".into();
        records[2].hash = records[2].computed_hash();
        assert_eq!(verify(&records).map_err(|b| (b.seq, b.fault)), Err((4, Fault::Unlinked)));
    }

    #[test]
    fn removal_reordering_and_truncation_are_found() {
        let whole = chain(5);
        let mut removed = whole.clone();
        removed.remove(2);
        assert_eq!(verify(&removed).map_err(|b| (b.seq, b.fault)), Err((4, Fault::Gap)));
        let mut swapped = whole.clone();
        swapped.swap(1, 2);
        assert_eq!(verify(&swapped).map_err(|b| (b.seq, b.fault)), Err((3, Fault::Gap)));
        let mut verifier = Verifier::new(CHAIN);
        whole[..4].iter().for_each(|record| verifier.check(record).unwrap());
        assert_eq!(verifier.expect_head(5, whole[4].hash).map_err(|b| b.fault), Err(Fault::Truncated));
        let foreign = AuditRecord::append(INSTALLATION, None, entry(1));
        assert_eq!(verify(&[foreign]).map_err(|b| b.fault), Err(Fault::WrongChain));
    }

    #[test]
    fn moving_text_between_fields_changes_the_hash() {
        let with = |object: &str, ip: &str| {
            AuditRecord::append(CHAIN, None, Entry { object: object.into(), ip: ip.into(), ..entry(1) }).hash
        };
        assert_ne!(with("ab", "c"), with("a", "bc"));
    }

    #[test]
    fn a_clock_that_goes_back_does_not_break_the_chain() {
        let first = AuditRecord::append(CHAIN, None, entry(100));
        let second = AuditRecord::append(CHAIN, Some(&first), entry(50));
        assert_eq!(second.at, first.at);
        assert!(verify(&[first, second]).is_ok());
    }

    #[test]
    fn personal_values_are_masked_and_control_characters_cannot_forge_lines() {
        let detail =
            Detail::new().masked("login", "li@mugs.example").with("name", "a\nb\u{1b}[31m").masked("pin", "1234");
        assert_eq!(detail.pairs()[0].1, "l…e");
        assert_eq!(detail.pairs()[1].1, "a\u{fffd}b\u{fffd}[31m");
        assert_eq!(detail.pairs()[2].1, "…");
        assert_eq!(Detail::new().with("x", "y".repeat(1000)).pairs()[0].1.chars().count(), DETAIL_CHARS_MAX + 1);
    }

    #[test]
    fn action_codes_are_unique() {
        let codes: std::collections::BTreeSet<_> = Action::ALL.iter().map(|action| action.code()).collect();
        assert_eq!(codes.len(), Action::ALL.len());
    }
}
