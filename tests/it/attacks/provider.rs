//! What differs between providers when somebody forges their messages. A new provider is a function that makes its
//! [`Provider`], and one line in [`ALL`].

use coffer::crypto::Secret;
use coffer::domain::merchant::ChannelKind;
use coffer::domain::method::Method;
use coffer::domain::time::{Duration, Timestamp};

use super::{alipay, unionpay, wallet, wechat};

/// Every provider that notifies, in each way in which its keys are known.
pub const ALL: &[fn() -> Provider] = &[
    wallet::provider,
    wechat::by_public_key,
    wechat::by_certificate,
    alipay::by_key,
    alipay::by_certificate,
    unionpay::by_certificate,
    unionpay::by_key,
];

/// Messages whose time is ten minutes away are refused.
pub const TEN_MINUTES: Option<[Duration; 2]> = Some([Duration::from_minutes(10); 2]);

/// Who signs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// The provider of the account.
    Genuine,
    /// The provider of another account, or anybody.
    Stranger,
}

#[derive(Clone, Copy, Debug)]
pub enum State {
    Paid,
    Unpaid,
    Closed,
    Failed,
    /// One that the adapter has never heard of.
    Strange,
}

/// What a message says, in no provider's words.
#[derive(Clone, Debug)]
pub enum Words {
    Order(OrderWords),
    Refund(RefundWords),
}

#[derive(Clone, Debug)]
pub struct OrderWords {
    pub number: String,
    pub state: State,
    pub total: u64,
    pub currency: &'static str,
    /// The merchant's number at the provider is another's.
    pub foreign_merchant: bool,
    pub foreign_app: bool,
    pub at: Timestamp,
}

/// A refund that succeeded.
#[derive(Clone, Debug)]
pub struct RefundWords {
    pub order: String,
    pub number: String,
    pub amount: u64,
    pub at: Timestamp,
}

/// A message as it comes over the wire.
#[derive(Clone, Debug)]
pub struct Message {
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Makes a record that knows a certificate that is over, and a message whose signature fits it.
pub type Expired = fn(&Words, Timestamp) -> (Secret, Message);

pub struct Provider {
    pub kind: ChannelKind,
    /// One that waits for the customer.
    pub method: Method,
    /// Its messages name an application beside the merchant.
    pub has_app: bool,
    /// It takes live orders.
    pub is_live: bool,
    /// How old a message is that is refused for its age, and how far ahead. `None`: messages do not say when they were sent.
    pub window: Option<[Duration; 2]>,
    /// A message about a refund says what the refund moved; otherwise it is only a reason to ask.
    pub tells_refunds: bool,
    /// Members of the record in which the keys stand that verify messages, as JSON pointers.
    pub keys: &'static [&'static str],
    pub expired: Option<Expired>,
    /// The record of an account whose provider is this signer.
    pub credentials: fn(Signer) -> Secret,
    /// Says it, signed and encrypted as the provider does.
    pub say: fn(Signer, &Words, Timestamp) -> Message,
    /// A genuine message with its envelope spoiled in each way, and what was done to it.
    pub spoil: fn(&Message) -> Vec<(&'static str, Message)>,
    /// Messages under a good signature that cannot mean anything, made of what a good one says.
    pub garble: fn(&Words, Timestamp) -> Vec<Message>,
}

impl Message {
    /// With another value of a header, or without it.
    pub fn with(&self, name: &str, value: Option<&str>) -> Message {
        let mut message = self.clone();
        message.headers.retain(|(other, _)| other != name);
        message.headers.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        message
    }

    /// With one text in the body in the place of another.
    pub fn saying(&self, from: &str, to: &str) -> Message {
        let body = String::from_utf8(self.body.clone()).expect("messages are text");
        assert!(body.contains(from), "{from} is not in {body}");
        Message { body: body.replace(from, to).into_bytes(), ..self.clone() }
    }
}

/// Ways to garble a JSON text that every reader of JSON meets.
pub fn garbled_json(good: &str, number: &str) -> Vec<Vec<u8>> {
    vec![
        good.replace("\"total\":1230", "\"total\":1230,\"total\":1").into_bytes(),
        good.replace("\"trade_state\"", "\"trade_state\":\"NOTPAY\",\"trade_state\"").into_bytes(),
        good.replace("1230", "1.23e3").into_bytes(),
        good.replace(number, "'; DROP TABLE--").into_bytes(),
    ]
}

/// The same for what is no JSON at all.
pub fn no_json(good: &str) -> Vec<Vec<u8>> {
    vec![
        format!("\u{feff}{good}").into_bytes(),
        [good.as_bytes(), &[0xff, 0xfe]].concat(),
        b"<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY a \"aaaa\">]><x>&a;</x>".to_vec(),
    ]
}
