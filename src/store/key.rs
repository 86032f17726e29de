//! Keys as bytes: order-preserving, big-endian, self-delimiting, so that keys concatenate and a prefix is a range.

use crate::domain::{ids::*, money::Currency, time::Timestamp};

/// The key of a table. `a < b` holds for two keys exactly when it holds for their bytes, and no key's bytes are a proper
/// prefix of another's.
pub trait Key: Sized + Clone + Send + Sync + 'static {
    /// Appends the bytes of the key.
    fn encode(&self, out: &mut Vec<u8>);
    /// Takes the key's bytes from the front of `bytes`; `None` if they are not one.
    fn decode(bytes: &mut &[u8]) -> Option<Self>;
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

macro_rules! integer_keys {
    ($($int:ty)*) => {$(
        impl Key for $int {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
            fn decode(bytes: &mut &[u8]) -> Option<Self> {
                take(bytes).map(<$int>::from_be_bytes)
            }
        }
    )*};
}
integer_keys!(u8 u16 u32 u64);

macro_rules! id_keys {
    ($($id:ty)*) => {$(
        impl Key for $id {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_bytes());
            }
            fn decode(bytes: &mut &[u8]) -> Option<Self> {
                take(bytes).map(<$id>::from_bytes)
            }
        }
    )*};
}
id_keys!(MerchantId PaymentId AttemptId RefundId EventId EndpointId KeyId AccountId CaseId UserId RequestId EffectId ProposalId RunId);

impl<const N: usize> Key for [u8; N] {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        take(bytes)
    }
}

/// The key of a table with one row.
impl Key for () {
    fn encode(&self, _out: &mut Vec<u8>) {}
    fn decode(_bytes: &mut &[u8]) -> Option<Self> {
        Some(())
    }
}

/// Flipping the sign bit puts negative numbers before positive ones.
const SIGN: u64 = 1 << 63;

impl Key for Timestamp {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.as_millis().cast_unsigned() ^ SIGN).encode(out);
    }
    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let millis = u64::decode(bytes)? ^ SIGN;
        Some(Timestamp::from_millis(millis.cast_signed()))
    }
}

impl Key for Mode {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(match self {
            Mode::Test => 0,
            Mode::Live => 1,
        });
    }
    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        match u8::decode(bytes)? {
            0 => Some(Mode::Test),
            1 => Some(Mode::Live),
            2.. => None,
        }
    }
}

impl Key for Scope {
    fn encode(&self, out: &mut Vec<u8>) {
        self.merchant.encode(out);
        self.mode.encode(out);
    }
    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        Some(Scope { merchant: MerchantId::decode(bytes)?, mode: Mode::decode(bytes)? })
    }
}

/// The three letters of ISO 4217. Sorts by code, not as the enum does.
impl Key for Currency {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.code().as_bytes());
    }
    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let code: [u8; 3] = take(bytes)?;
        Currency::parse(std::str::from_utf8(&code).ok()?)
    }
}

/// Text ends with `00 01`, and a zero byte inside it is written `00 FF`: the end sorts before anything that continues.
impl Key for String {
    fn encode(&self, out: &mut Vec<u8>) {
        let mut parts = self.as_bytes().split(|byte| *byte == 0);
        out.extend_from_slice(parts.next().unwrap_or_default());
        for part in parts {
            out.extend_from_slice(&[0, 0xFF]);
            out.extend_from_slice(part);
        }
        out.extend_from_slice(&[0, 1]);
    }
    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let mut text = Vec::new();
        loop {
            let zero = bytes.iter().position(|byte| *byte == 0)?;
            text.extend_from_slice(&bytes[..zero]);
            let escape = *bytes.get(zero + 1)?;
            *bytes = &bytes[zero + 2..];
            match escape {
                0xFF => text.push(0),
                1 => return String::from_utf8(text).ok(),
                _ => return None,
            }
        }
    }
}

macro_rules! tuple_keys {
    ($(($($part:ident)*))*) => {$(
        impl<$($part: Key),*> Key for ($($part,)*) {
            fn encode(&self, out: &mut Vec<u8>) {
                #[expect(non_snake_case, reason = "a type parameter and its value share the name")]
                let ($($part,)*) = self;
                $($part.encode(out);)*
            }
            fn decode(bytes: &mut &[u8]) -> Option<Self> {
                Some(($($part::decode(bytes)?,)*))
            }
        }
    )*};
}
tuple_keys!((A)(A B)(A B C)(A B C D)(A B C D E));

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use proptest::prelude::*;

    use super::*;

    fn bytes(key: &impl Key) -> Vec<u8> {
        let mut out = Vec::new();
        key.encode(&mut out);
        out
    }

    /// The three promises of [`Key`] for a pair of keys.
    fn check<K: Key + Ord + Debug>(a: K, b: K) {
        let (x, y) = (bytes(&a), bytes(&b));
        assert_eq!(a.cmp(&b), x.cmp(&y), "{a:?} and {b:?}: {x:02x?} and {y:02x?}");
        assert!(a == b || !y.starts_with(&x), "{a:?} is a prefix of {b:?}");
        let both = [x.as_slice(), &y].concat();
        let mut rest = both.as_slice();
        assert_eq!(K::decode(&mut rest).as_ref(), Some(&a));
        assert_eq!(K::decode(&mut rest).as_ref(), Some(&b));
        assert!(rest.is_empty());
    }

    fn scope((merchant, live): ([u8; 16], bool)) -> Scope {
        Scope { merchant: MerchantId::from_bytes(merchant), mode: if live { Mode::Live } else { Mode::Test } }
    }

    /// Text with zero bytes and shared beginnings, where escaping goes wrong first.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof!["[\u{0}\u{1}a\u{ff}]{0,5}", ".{0,12}"]
    }

    proptest! {
        #[test]
        fn integers_sort_as_they_count(a: u64, b: u64) {
            check(a, b);
            check(a as u8, b as u8);
            check(a as u16, b as u16);
            check(a as u32, b as u32);
        }

        #[test]
        fn times_sort_by_time_also_before_1970(a: i64, b: i64) {
            check(Timestamp::from_millis(a), Timestamp::from_millis(b));
            check(Timestamp::from_millis(a), Timestamp::from_millis(a.saturating_add(1)));
        }

        #[test]
        fn texts_sort_by_their_bytes(a in text(), b in text()) {
            check(a, b);
        }

        #[test]
        fn tuples_sort_by_their_parts(a: ([u8; 16], bool), b: ([u8; 16], bool), s in text(), t in text(), i: u32, j: u32) {
            check(scope(a), scope(b));
            check((scope(a), s.clone(), i), (scope(b), t.clone(), j));
            check((scope(a), s.clone(), i), (scope(a), t.clone(), j));
            check((s.clone(), t.clone(), i, Mode::Test, ()), (s, t, j, Mode::Live, ()));
            check(([1u8; 2], PaymentId::from_bytes(a.0)), ([1u8; 2], PaymentId::from_bytes(b.0)));
        }

        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            let decoded = <(Scope, String, Timestamp, Currency)>::decode(&mut bytes.as_slice());
            prop_assert!(decoded.is_none() || bytes.len() > 17);
        }
    }

    #[test]
    fn currencies_are_their_codes() {
        for currency in Currency::ALL {
            assert_eq!(bytes(&currency), currency.code().as_bytes());
            assert_eq!(Currency::decode(&mut bytes(&currency).as_slice()), Some(currency));
        }
    }
}
