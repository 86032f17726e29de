//! The provider's counter: raw calls in, signed answers out. HTTP is a thin layer above [`Wallet::serve`], so that a
//! simulation can call it directly.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::desk::{self, Answer, Call, Said};
use super::fault::Answering;
use super::model::{NewOrder, NewRefund, Refusal, TradeState};
use super::{Inner, Wallet};
use crate::channels::Sealing;
use crate::channels::test_wallet::METHODS;
use crate::channels::test_wallet::request::{API_PATH, CloseBody, OrderBody, RefundBody};
use crate::channels::test_wallet::response::ErrorBody;
use crate::channels::test_wallet::sign::{self, Claim};
use crate::domain::method::Method;
use crate::domain::money::{AMOUNT_MAX_MINOR, Currency, Money};
use crate::domain::time::{Duration, Timestamp};
use crate::env::target::URL_MAX;
use crate::store::StoreError;

/// Where the phone pages live, below the server's address.
pub const PAY_PATH: &str = "/sandbox/wallet/pay";
/// Largest body of a call, in bytes.
const BODY_MAX_BYTES: usize = 64 * 1024;
/// An answer that is late on purpose comes after so long: more than any caller waits.
const TOO_LATE: Duration = Duration::from_seconds(20);
/// Characters of a merchant's number. The same limits as at WeChat Pay.
const NUMBER_CHARS: std::ops::RangeInclusive<usize> = 6..=32;
const DESCRIPTION_CHARS_MAX: usize = 512;
const REASON_CHARS_MAX: usize = 512;

/// A call as it came.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    pub method: &'a str,
    /// As sent, without the query.
    pub path: &'a str,
    pub authorization: Option<&'a str>,
    pub body: &'a [u8],
}

/// An answer, and how long it is held back on purpose.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    pub delay: Duration,
}

/// Adds the wallet's calls and the phone page; the application holds a `web::Data<Wallet>`.
pub fn routes(config: &mut web::ServiceConfig) {
    config.service(
        web::scope(API_PATH).app_data(web::PayloadConfig::new(BODY_MAX_BYTES)).default_service(web::to(handle)),
    );
    super::phone::routes(config);
}

async fn handle(request: HttpRequest, body: web::Bytes, wallet: web::Data<Wallet>) -> HttpResponse {
    // A second header of the same name could be the one that somebody else reads.
    let mut values = request.headers().get_all(header::AUTHORIZATION);
    let authorization = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        (None, _) | (_, Some(_)) => None,
    };
    let incoming =
        Incoming { method: request.method().as_str(), path: request.uri().path(), authorization, body: &body };
    let answer = wallet.serve(incoming).await;
    if answer.delay > Duration::ZERO {
        wallet.0.env.sleep(answer.delay).await;
    }
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    for (name, value) in answer.headers {
        response.insert_header((name, value));
    }
    response.body(answer.body)
}

/// A refusal as it goes over the wire.
struct WireError {
    status: u16,
    code: &'static str,
    message: String,
}

impl WireError {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }
}

impl From<StoreError> for WireError {
    fn from(error: StoreError) -> Self {
        tracing::warn!("the test wallet could not reach the store: {error}");
        WireError::new(500, "SYSTEM_ERROR", "try again")
    }
}

impl From<Refusal> for WireError {
    fn from(why: Refusal) -> Self {
        let (status, code, message) = match why {
            Refusal::UnknownOrder => (404, "ORDER_NOT_EXIST", "no such order"),
            Refusal::UnknownRefund => (404, "REFUND_NOT_EXIST", "no such refund"),
            Refusal::Paid => (400, "ORDERPAID", "the order is paid"),
            Refusal::Closed => (400, "ORDERCLOSED", "the order is closed"),
            Refusal::Paying => (400, "USERPAYING", "the payer is paying right now"),
            Refusal::NotPaid => (400, "PARAM_ERROR", "the order is not paid"),
            Refusal::OrderNumberUsed => (400, "OUT_TRADE_NO_USED", "the number belongs to another order"),
            Refusal::RefundNumberUsed => (400, "OUT_REFUND_NO_USED", "the number belongs to another refund"),
            Refusal::NotEnough => (400, "NOT_ENOUGH", "more than is left of the payment"),
            Refusal::Param(what) => return WireError::new(400, "PARAM_ERROR", format!("{what} is not acceptable")),
        };
        WireError::new(status, code, message)
    }
}

impl Wallet {
    /// Answers one call. Whatever is wrong with it, the answer says so under the provider's signature.
    pub async fn serve(&self, incoming: Incoming<'_>) -> Outgoing {
        let inner = &*self.0;
        let now = inner.env.now();
        match self.try_serve(incoming, now).await {
            Ok(Answer { said, how }) => match how {
                Answering::Properly => inner.tell(said, now),
                Answering::TooLate => Outgoing { delay: TOO_LATE, ..inner.tell(said, now) },
                Answering::Throttled => {
                    inner.refuse(&WireError::new(429, "FREQUENCY_LIMITED", "too many requests"), now)
                }
                Answering::ErrorInstead => inner.refuse(&WireError::new(500, "SYSTEM_ERROR", "try again"), now),
                // A connection that breaks is not among this provider's faults.
                Answering::ErrorAfter | Answering::Cut => {
                    bare(502, "<html><body><h1>502 Bad Gateway</h1></body></html>")
                }
                Answering::Rubbish => bare(200, "\u{1}\u{2}<not json"),
            },
            Err(error) => inner.refuse(&error, now),
        }
    }

    async fn try_serve(&self, incoming: Incoming<'_>, now: Timestamp) -> Result<Answer, WireError> {
        let unsigned = |why: sign::BadSignature| WireError::new(401, "SIGN_ERROR", why.to_string());
        let inner = &*self.0;
        let claim = Claim::parse(incoming.authorization.unwrap_or_default()).map_err(unsigned)?;
        // A merchant that does not exist and one whose signature is wrong look the same.
        let account = inner.keys.account(&inner.store, claim.mch_id).await?;
        let account = account.ok_or_else(|| unsigned(sign::BadSignature::Wrong))?;
        claim.verify(&account.hmac_key, incoming.method, incoming.path, incoming.body, now).map_err(unsigned)?;
        let call = inner.read_call(&incoming, claim.mch_id, &account.app_id)?;

        if let Some(answer) = inner.store.read_blocking(|tx| desk::peek(tx, &call, now))? {
            return Ok(answer);
        }
        let code = inner.env.random();
        let answer = inner.store.write(move |tx| desk::answer(tx, &call, now, code)).await?;
        inner.bell.notify_one();
        Ok(answer)
    }
}

impl Inner {
    fn read_call(&self, incoming: &Incoming<'_>, mch_id: &str, app_id: &str) -> Result<Call, WireError> {
        let no_such_call = || WireError::new(404, "PARAM_ERROR", "no such call");
        let rest = incoming.path.strip_prefix(API_PATH).ok_or_else(no_such_call)?;
        let parts: Vec<&str> = rest.split('/').skip(1).collect();
        let mch_id = mch_id.to_owned();
        match (incoming.method, parts.as_slice()) {
            ("POST", ["orders"]) => self.read_order(body(incoming)?, mch_id, app_id).map(Call::Create),
            ("GET", ["orders", number]) => Ok(Call::Query { mch_id, out_trade_no: number_of(number)? }),
            ("POST", ["orders", number, "close"]) => {
                let CloseBody { mch_id: named } = body(incoming)?;
                same_merchant(&named, &mch_id)?;
                Ok(Call::Close { mch_id, out_trade_no: number_of(number)? })
            }
            ("POST", ["refunds"]) => self.read_refund(body(incoming)?, mch_id).map(Call::Refund),
            ("GET", ["refunds", number]) => Ok(Call::QueryRefund { mch_id, out_refund_no: number_of(number)? }),
            _ => Err(no_such_call()),
        }
    }

    fn read_order(&self, body: OrderBody, mch_id: String, app_id: &str) -> Result<NewOrder, WireError> {
        same_merchant(&body.mch_id, &mch_id)?;
        if body.app_id != app_id {
            return Err(WireError::new(400, "APPID_MCHID_NOT_MATCH", "app_id is not the merchant's"));
        }
        let method = Method::parse(&body.method).filter(|method| METHODS.contains(method));
        let currency = Currency::parse(&body.amount.currency);
        let minor = Some(body.amount.total).filter(|minor| (1..=AMOUNT_MAX_MINOR).contains(minor));
        if body.description.chars().count() > DESCRIPTION_CHARS_MAX {
            return Err(Refusal::Param("description").into());
        }
        if body.return_url.len() > URL_MAX {
            return Err(Refusal::Param("return_url").into());
        }
        Ok(NewOrder {
            mch_id,
            app_id: body.app_id,
            out_trade_no: number_of(&body.out_trade_no)?,
            method: method.ok_or(Refusal::Param("method"))?,
            description: body.description,
            amount: Money::new(
                minor.ok_or(Refusal::Param("amount.total"))?,
                currency.ok_or(Refusal::Param("amount.currency"))?,
            ),
            expires_at: Timestamp::parse_rfc3339(&body.time_expire).ok_or(Refusal::Param("time_expire"))?,
            notify_url: self.own_address(&body.notify_url)?,
            return_url: body.return_url,
        })
    }

    fn read_refund(&self, body: RefundBody, mch_id: String) -> Result<NewRefund, WireError> {
        same_merchant(&body.mch_id, &mch_id)?;
        let currency = Currency::parse(&body.amount.currency).ok_or(Refusal::Param("amount.currency"))?;
        if body.reason.chars().count() > REASON_CHARS_MAX {
            return Err(Refusal::Param("reason").into());
        }
        Ok(NewRefund {
            mch_id,
            out_trade_no: number_of(&body.out_trade_no)?,
            out_refund_no: number_of(&body.out_refund_no)?,
            amount: Money::new(body.amount.refund, currency),
            total: Money::new(body.amount.total, currency),
            reason: body.reason,
            notify_url: self.own_address(&body.notify_url)?,
        })
    }

    /// The simulator notifies this server and nobody else, by the address at which it reaches itself.
    fn own_address(&self, url: &str) -> Result<String, WireError> {
        if url.len() > URL_MAX {
            return Err(Refusal::Param("notify_url").into());
        }
        [&self.public_url, &self.own_url]
            .into_iter()
            .find_map(|base| url.strip_prefix(base.as_str()).filter(|path| path.starts_with('/')))
            .map(|path| format!("{}{path}", self.own_url))
            .ok_or_else(|| Refusal::Param("notify_url").into())
    }

    fn tell(&self, said: Said, now: Timestamp) -> Outgoing {
        match said {
            Said::Order(order) => {
                let code = data_encoding::BASE64URL_NOPAD.encode(&order.code);
                let payable = matches!(order.state, TradeState::NotPay | TradeState::UserPaying);
                let pay_url = payable.then(|| format!("{}{PAY_PATH}/{code}", self.public_url));
                self.signed(200, &desk::order_view(&order, pay_url), now)
            }
            Said::Refund(refund) => self.signed(200, &desk::refund_view(&refund), now),
            Said::Refused(why) => self.refuse(&why.into(), now),
            Said::Nothing => self.refuse(&WireError::new(500, "SYSTEM_ERROR", "try again"), now),
        }
    }

    fn refuse(&self, error: &WireError, now: Timestamp) -> Outgoing {
        let body = ErrorBody { code: error.code.to_owned(), message: error.message.clone() };
        self.signed(error.status, &body, now)
    }

    fn signed(&self, status: u16, body: &impl Serialize, now: Timestamp) -> Outgoing {
        let body = serde_json::to_vec(body).expect("plain structs of text and numbers always serialise");
        let sealing = Sealing { now, nonce: self.env.random() };
        let mut headers = vec![("content-type", "application/json".to_owned())];
        headers.extend(sign::provider_headers(self.keys.signer(false), &body, &sealing));
        Outgoing { status, headers, body, delay: Duration::ZERO }
    }
}

/// An answer without a signature.
fn bare(status: u16, body: &str) -> Outgoing {
    let headers = vec![("content-type", "text/html; charset=utf-8".to_owned())];
    Outgoing { status, headers, body: body.as_bytes().to_vec(), delay: Duration::ZERO }
}

fn body<T: DeserializeOwned>(incoming: &Incoming<'_>) -> Result<T, WireError> {
    serde_json::from_slice(incoming.body).map_err(|error| WireError::new(400, "PARAM_ERROR", error.to_string()))
}

fn number_of(text: &str) -> Result<String, WireError> {
    let plain = NUMBER_CHARS.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
    if plain { Ok(text.to_owned()) } else { Err(Refusal::Param("the number").into()) }
}

fn same_merchant(named: &str, signed: &str) -> Result<(), WireError> {
    if named == signed {
        return Ok(());
    }
    Err(WireError::new(400, "APPID_MCHID_NOT_MATCH", "mch_id is not the one that signed"))
}
