//! Notifications of every provider: raw bytes are believed only if they mean what a genuine message means, and whatever a
//! provider might say under a good signature is understood or refused, never misread.
//!
//! A new provider is a file here with its [`Adapter`], and one line in [`ADAPTERS`].

mod alipay;
mod wallet;
mod wechatpay;

use std::sync::{Arc, OnceLock};

use coffer::channels::{Channel, Inbound, Observation, VerifiedNotification};
use coffer::domain::time::Timestamp;

use super::message::Message;
use super::{Seed, Verdict};

/// 2026-11-18T11:06:40Z.
pub(super) const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);
/// Our numbers of an order and of a refund.
pub(super) const ORDER: &str = "01JD3Q9W8XK2V5N7R4T6Y0ABCD";
pub(super) const REFUND: &str = "01JD3Q9W8XK2V5N7R4T6Y0ABCE";

/// Every provider that notifies.
const ADAPTERS: &[&Adapter] = &[&wallet::ADAPTER, &wechatpay::ADAPTER, &alipay::ADAPTER];

type Headers = Vec<(String, String)>;
/// Headers and body, as they come over the wire.
type Wire = (Headers, Vec<u8>);

/// One provider.
struct Adapter {
    /// The first word of a corpus file.
    name: &'static str,
    /// An account of ours there.
    open: fn() -> Arc<dyn Channel>,
    /// What the provider says, before it is signed.
    plain: fn() -> Vec<(&'static str, Vec<u8>)>,
    /// Signs, and encrypts where the provider does. `None`: the provider cannot say this.
    seal: fn(&[u8]) -> Option<Wire>,
    /// Whether what was understood is what the plain message says, read by other code.
    agrees: fn(&[u8], &VerifiedNotification) -> bool,
    /// Made once.
    known: OnceLock<Known>,
}

/// The account, and the messages that the provider really sent.
struct Known {
    channel: Arc<dyn Channel>,
    genuine: Vec<Genuine>,
}

pub(super) struct Genuine {
    case: &'static str,
    plain: Vec<u8>,
    pub(super) headers: Headers,
    pub(super) body: Vec<u8>,
    /// `None` for what we refuse although the provider says it.
    meaning: Option<VerifiedNotification>,
}

impl Adapter {
    fn known(&self) -> &Known {
        self.known.get_or_init(|| {
            let channel = (self.open)();
            let genuine = (self.plain)().into_iter().map(|(case, plain)| {
                let (headers, body) = (self.seal)(&plain).expect("the provider says this");
                let meaning = read(channel.as_ref(), &headers, &body);
                Genuine { case, plain, headers, body, meaning }
            });
            let genuine = genuine.collect();
            Known { channel, genuine }
        })
    }
}

/// Our account at a provider.
pub(super) fn channel(name: &str) -> Option<&'static dyn Channel> {
    ADAPTERS.iter().find(|adapter| adapter.name == name).map(|adapter| adapter.known().channel.as_ref())
}

/// Every provider's genuine notifications, with its name.
pub(super) fn genuine() -> impl Iterator<Item = (&'static str, &'static Genuine)> {
    ADAPTERS.iter().flat_map(|adapter| adapter.known().genuine.iter().map(|genuine| (adapter.name, genuine)))
}

/// `NAME raw` and a whole message, or `NAME sealed` and a plain message that is signed before it is read.
pub fn run(data: &[u8]) -> Verdict {
    let Some(message) = Message::parse(data) else { return Verdict::Refused };
    let Some((name, how)) = message.first.split_once(' ') else { return Verdict::Refused };
    let Some(adapter) = ADAPTERS.iter().find(|adapter| adapter.name == name) else { return Verdict::Refused };
    let Known { channel, genuine } = adapter.known();
    match how {
        "raw" => {
            let Some(notification) = read(channel.as_ref(), &message.headers, &message.body) else {
                return Verdict::Refused;
            };
            let same = |other: &VerifiedNotification| {
                // What says nothing moves nothing; it only makes us ask.
                let silent = matches!(notification.observation(), Observation::Unknown { .. });
                other.about() == notification.about() && (silent || other.observation() == notification.observation())
            };
            assert!(genuine.iter().filter_map(|g| g.meaning.as_ref()).any(same), "{notification:?} was never said");
            Verdict::Accepted
        }
        "sealed" => {
            let Some((headers, body)) = (adapter.seal)(&message.body) else { return Verdict::Refused };
            // A signature of something else proves nothing.
            let foreign = genuine.iter().find(|g| g.body != body && g.headers != headers);
            if let Some(foreign) = foreign {
                assert!(read(channel.as_ref(), &foreign.headers, &body).is_none(), "a signature of something else");
            }
            let Some(notification) = read(channel.as_ref(), &headers, &body) else { return Verdict::Refused };
            assert!((adapter.agrees)(&message.body, &notification), "{notification:?}");
            Verdict::Accepted
        }
        _ => Verdict::Refused,
    }
}

fn read(channel: &dyn Channel, headers: &[(String, String)], body: &[u8]) -> Option<VerifiedNotification> {
    match channel.read_notification(&Inbound { headers, body }, NOW) {
        Ok(notification) => Some(notification),
        Err(error) => {
            assert!(!error.to_string().chars().any(char::is_control), "{error:?} would break a line of the log");
            None
        }
    }
}

pub fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for adapter in ADAPTERS {
        for genuine in &adapter.known().genuine {
            let Genuine { case, plain, headers, body, .. } = genuine;
            let first = format!("{} raw", adapter.name);
            let raw = Message { first, headers: headers.clone(), body: body.clone() };
            seeds.push((format!("{}-raw-{case}", adapter.name), raw.to_bytes()));
            let first = format!("{} sealed", adapter.name);
            let sealed = Message { first, headers: Vec::new(), body: plain.clone() };
            seeds.push((format!("{}-sealed-{case}", adapter.name), sealed.to_bytes()));
        }
    }
    seeds
}
