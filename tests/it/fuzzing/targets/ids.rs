//! Ids and times: what is read prints as it was read, and sorts as it was made.

use coffer::domain::ids::*;
use coffer::domain::time::Timestamp;
use coffer::store::Key;

use super::{Seed, Verdict, seed};

macro_rules! kinds {
    ($($id:ty)*) => {
        /// How many kinds of ids take the text.
        fn readings(text: &str) -> usize {
            [$(text.parse::<$id>().map(|id| holds(text, id, <$id>::to_bytes, <$id>::bare, |t| <$id>::parse_bare(t).ok())).is_ok(),)*]
                .into_iter()
                .filter(|read| *read)
                .count()
        }

        /// Any sixteen bytes are an id of every kind.
        fn of_bytes(bytes: [u8; 16]) {
            $({
                let id = <$id>::from_bytes(bytes);
                assert_eq!(id.to_string().parse(), Ok(id));
                assert_eq!(id.to_string(), format!("{}_{}", <$id>::PREFIX, id.bare()));
            })*
        }
    };
}
kinds!(MerchantId PaymentId AttemptId RefundId EventId EndpointId KeyId AccountId CaseId UserId RequestId EffectId);

/// What holds for every id that was read.
fn holds<I>(
    text: &str,
    id: I,
    to_bytes: impl Fn(I) -> [u8; 16],
    bare: impl Fn(I) -> String,
    parse_bare: impl Fn(&str) -> Option<I>,
) where
    I: Copy + PartialEq + std::fmt::Debug + std::fmt::Display + Key + serde::Serialize + serde::de::DeserializeOwned,
{
    assert_eq!(id.to_string(), text, "an id has one spelling");
    assert_eq!(parse_bare(&bare(id)), Some(id));
    let json = serde_json::to_string(&id).unwrap();
    assert_eq!(json, format!("\"{text}\""));
    assert_eq!(serde_json::from_str::<I>(&json).unwrap(), id);
    let mut key = Vec::new();
    id.encode(&mut key);
    assert_eq!(key, to_bytes(id));
    assert_eq!(I::decode(&mut key.as_slice()), Some(id));
}

pub fn run(data: &[u8]) -> Verdict {
    if let Some(bytes) = data.first_chunk::<16>() {
        of_bytes(*bytes);
    }
    if let Some(pair) = data.first_chunk::<32>() {
        let (a, b) = pair.split_at(16);
        let id = |bytes: &[u8]| PaymentId::from_bytes(bytes.try_into().expect("sixteen bytes"));
        assert_eq!(id(a).cmp(&id(b)), id(a).to_string().cmp(&id(b).to_string()), "text sorts as the id does");
    }
    let Ok(text) = std::str::from_utf8(data) else { return Verdict::Refused };
    let readings = readings(text);
    assert!(readings <= 1, "{text} is an id of two kinds");
    let time = Timestamp::parse_rfc3339(text).filter(|time| (Timestamp::MIN..=Timestamp::MAX).contains(time));
    if let Some(time) = time {
        let shown = time.to_rfc3339();
        assert_eq!(Timestamp::parse_rfc3339(&shown), Some(time), "{text} prints as {shown}");
        let id = PaymentId::new(time, [7; 10]);
        assert_eq!(id.created_at(), time);
    }
    Verdict::from(readings == 1 || time.is_some())
}

pub fn seeds() -> Vec<Seed> {
    vec![
        seed("payment", "pay_01JD3Q9W8XK2V5N7R4T6Y0ABCD"),
        seed("refund", "re_7ZZZZZZZZZZZZZZZZZZZZZZZZZ"),
        seed("request", "req_00000000000000000000000000"),
        seed("too-large", "evt_8ZZZZZZZZZZZZZZZZZZZZZZZZZ"),
        seed("lower-case", "pay_01jd3q9w8xk2v5n7r4t6y0abcd"),
        seed("time", "2026-11-23T14:05:09.123Z"),
        seed("time-offset", "2026-11-23T14:05:09.123456789+08:00"),
        seed("time-end", "9999-12-31T00:00:00Z"),
        seed("time-leap", "2016-12-31T23:59:60Z"),
        seed("two", "0123456789abcdef0123456789abcdeg"),
    ]
}
