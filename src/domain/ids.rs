//! Ids: a prefix that names the kind, and 26 characters Crockford base32 of a time-ordered 128-bit value.
//!
//! The part behind the prefix is letters and digits only, so it can serve as a channel's order number.

use std::fmt;

use super::time::Timestamp;

/// Crockford's alphabet: no I, L, O, U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Characters of an id behind its prefix.
pub const ID_CHARS: usize = 26;

/// Text that is not an id of the expected kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadId {
    /// The prefix that was expected.
    pub expected: &'static str,
}

impl fmt::Display for BadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected an id of the form {}_ and {ID_CHARS} letters and digits", self.expected)
    }
}

impl std::error::Error for BadId {}

/// 48 bits of milliseconds since 1970 and 80 random bits.
fn compose(now: Timestamp, random: [u8; 10]) -> [u8; 16] {
    let millis = now.as_millis().max(0).to_be_bytes();
    let mut id = [0; 16];
    id[..6].copy_from_slice(&millis[2..]);
    id[6..].copy_from_slice(&random);
    id
}

fn write_base32(id: [u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let value = u128::from_be_bytes(id);
    let mut text = [0; ID_CHARS];
    for (i, slot) in text.iter_mut().enumerate() {
        // 130 bits in 26 digits: the first digit holds only the upper three bits.
        let shift = 5 * (ID_CHARS - 1 - i);
        *slot = ALPHABET[((value >> shift) & 31) as usize];
    }
    f.write_str(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
}

fn parse_base32(text: &str) -> Option<[u8; 16]> {
    let bytes = text.as_bytes();
    // A first digit above 7 would need more than 128 bits.
    if bytes.len() != ID_CHARS || bytes[0] > b'7' {
        return None;
    }
    let mut value: u128 = 0;
    for byte in bytes {
        let digit = ALPHABET.iter().position(|c| c == byte)?;
        value = (value << 5) | digit as u128;
    }
    Some(value.to_be_bytes())
}

macro_rules! id_types {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal,)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// What stands before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// A new id. Ids made later sort later, to the millisecond.
            pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
                Self(compose(now, random))
            }

            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            pub const fn to_bytes(self) -> [u8; 16] {
                self.0
            }

            /// The time the id was made at.
            pub fn created_at(self) -> Timestamp {
                let mut millis = [0; 8];
                millis[2..].copy_from_slice(&self.0[..6]);
                Timestamp::from_millis(i64::from_be_bytes(millis))
            }

            /// The 26 letters and digits behind the prefix: what a channel sees as order number.
            pub fn bare(self) -> String {
                struct Bare([u8; 16]);
                impl fmt::Display for Bare {
                    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write_base32(self.0, f)
                    }
                }
                Bare(self.0).to_string()
            }

            /// Reads what [`Self::bare`] wrote.
            pub fn parse_bare(text: &str) -> Result<Self, BadId> {
                parse_base32(text).map(Self).ok_or(BadId { expected: $prefix })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($prefix, "_"))?;
                write_base32(self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(parse_base32)
                    .map(Self)
                    .ok_or(BadId { expected: $prefix })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                if s.is_human_readable() { s.collect_str(self) } else { self.0.serialize(s) }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                if d.is_human_readable() {
                    let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    <[u8; 16]>::deserialize(d).map(Self)
                }
            }
        }
    )*};
}

id_types! {
    /// One shop, with its own books.
    MerchantId = "mer",
    /// One merchant order to be paid.
    PaymentId = "pay",
    /// One attempt to collect a payment with one method; its bare form is the channel's order number.
    AttemptId = "att",
    /// One refund of a payment; its bare form is the channel's refund number.
    RefundId = "re",
    /// One fact told to the merchant.
    EventId = "evt",
    /// Where a merchant's callbacks go.
    EndpointId = "we",
    /// One API key.
    KeyId = "key",
    /// One contract with a channel.
    AccountId = "acc",
    /// One difference between what we expected and what a channel says.
    CaseId = "case",
    /// A person who logs in to the console.
    UserId = "usr",
    /// One HTTP request, for logs and support.
    RequestId = "req",
    /// One thing that is due later.
    EffectId = "eff",
    /// Something that waits for a second person.
    ProposalId = "ppl",
    /// One run of acceptance cases.
    RunId = "run",
}

impl EventId {
    /// The next one in order.
    pub fn successor(self) -> Self {
        let next = u128::from_be_bytes(self.0).checked_add(1);
        Self(next.expect("the last milliseconds that an id can hold are far away").to_be_bytes())
    }
}

/// Test money and real money never meet: a mode is part of every key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Test,
    Live,
}

impl Mode {
    pub const fn as_str(self) -> &'static str {
        match self {
            Mode::Test => "test",
            Mode::Live => "live",
        }
    }
}

/// Whose rows, and test or live: the beginning of almost every key in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Scope {
    pub merchant: MerchantId,
    pub mode: Mode,
}
