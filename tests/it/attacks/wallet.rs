//! The test wallet's messages: JSON, signed with Ed25519.

use coffer::channels::Sealing;
use coffer::channels::test_wallet::notification::NotificationBody;
use coffer::channels::test_wallet::request::AmountBody;
use coffer::channels::test_wallet::response::{OrderView, RefundView};
use coffer::channels::test_wallet::{Credentials, sign};
use coffer::crypto::Secret;
use coffer::domain::merchant::ChannelKind;
use coffer::domain::method::Method;
use coffer::domain::time::Timestamp;
use data_encoding::BASE64;
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::provider::{Message, Provider, Signer, State, TEN_MINUTES, Words, garbled_json, no_json};

const MCH: &str = "1900000001";
const APP: &str = "wxtest01";

pub fn provider() -> Provider {
    Provider {
        kind: ChannelKind::TestWallet,
        method: Method::WechatNative,
        has_app: true,
        is_live: false,
        window: TEN_MINUTES,
        tells_refunds: true,
        keys: &["/provider_public_key"],
        expired: None,
        credentials,
        say,
        spoil,
        garble,
    }
}

fn key(signer: Signer) -> Ed25519KeyPair {
    let seed = if signer == Signer::Genuine { 7 } else { 9 };
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

fn credentials(signer: Signer) -> Secret {
    Credentials {
        mch_id: MCH.to_owned(),
        app_id: APP.to_owned(),
        hmac_key: BASE64.encode(&[1; 32]),
        provider_public_key: BASE64.encode(key(signer).public_key().as_ref()),
    }
    .to_secret()
}

fn say(signer: Signer, words: &Words, at: Timestamp) -> Message {
    signed(signer, text(words).into_bytes(), at)
}

fn signed(signer: Signer, body: Vec<u8>, at: Timestamp) -> Message {
    let headers = sign::provider_headers(&key(signer), &body, &Sealing { now: at, nonce: [5; 16] });
    Message { headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(), body }
}

fn text(words: &Words) -> String {
    let amount = |total, currency: &str| AmountBody { total, currency: currency.to_owned() };
    let (order, refund, at) = match words {
        Words::Order(said) => {
            let state = match said.state {
                State::Paid => "SUCCESS",
                State::Unpaid => "NOTPAY",
                State::Closed => "CLOSED",
                State::Failed => "PAYERROR",
                State::Strange => "REVERSED",
            };
            let order = OrderView {
                mch_id: if said.foreign_merchant { "1900000002" } else { MCH }.to_owned(),
                app_id: if said.foreign_app { "wxother" } else { APP }.to_owned(),
                out_trade_no: said.number.clone(),
                trade_state: state.to_owned(),
                amount: amount(said.total, said.currency),
                pay_url: None,
                transaction_id: Some("4200000001".to_owned()),
                success_time: Some(said.at.to_rfc3339()),
            };
            (Some(order), None, said.at)
        }
        Words::Refund(said) => {
            let refund = RefundView {
                mch_id: MCH.to_owned(),
                out_trade_no: said.order.clone(),
                out_refund_no: said.number.clone(),
                refund_id: "5000000001".to_owned(),
                status: "SUCCESS".to_owned(),
                amount: amount(said.amount, "CNY"),
            };
            (None, Some(refund), said.at)
        }
    };
    let body = NotificationBody { id: "n1".to_owned(), create_time: at.to_rfc3339(), order, refund };
    serde_json::to_string(&body).unwrap()
}

fn spoil(good: &Message) -> Vec<(&'static str, Message)> {
    let doubled = Message { headers: [good.headers.clone(), good.headers.clone()].concat(), body: good.body.clone() };
    vec![
        ("no signature field", good.with(sign::SIGNATURE_HEADER, None)),
        ("empty signature", good.with(sign::SIGNATURE_HEADER, Some(""))),
        ("signature of nothing", good.with(sign::SIGNATURE_HEADER, Some("AAAA"))),
        ("no time", good.with(sign::TIMESTAMP_HEADER, None)),
        ("two sets of headers", doubled),
        ("changed after signing", good.saying("1230", "1231")),
    ]
}

fn garble(words: &Words, at: Timestamp) -> Vec<Message> {
    let Words::Order(order) = words else { panic!("an order") };
    let good = text(words);
    let bodies = [garbled_json(&good, &order.number), no_json(&good)].concat();
    bodies.into_iter().map(|body| signed(Signer::Genuine, body, at)).collect()
}
