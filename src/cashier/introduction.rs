//! Inside WeChat an order names its payer, and WeChat itself says who that is: the browser walks there and comes back.
//!
//! The walk belongs to one payment, one account and one browser, and is over after its first return. Who came back is
//! told to the channel with the order and kept no longer.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use data_encoding::HEXLOWER;
use tokio::sync::Semaphore;

use super::handlers::{Beginning, Seen, begin, seen_or_page};
use super::visitor::{Visitor, kept};
use crate::channels::registry::OpenAccount;
use crate::domain::ids::{AccountId, Mode};
use crate::domain::method::Method;
use crate::domain::payment::Route;
use crate::domain::time::{Duration, Timestamp};
use crate::env::transport::Limits;
use crate::flows::gateway::Gateway;
use crate::flows::payments::Chooser;

/// The browser's own half of a walk.
const WALK_COOKIE: &str = "coffer_walk";
/// What the code in a walk's state is for.
const WALK: &str = "walk";
/// A walk takes a second; WeChat's codes are good for five minutes.
const WALK_TAKES_MAX: Duration = Duration::from_minutes(10);
/// Codes that one worker exchanges at once.
const EXCHANGES_MAX: usize = 16;
/// Somebody waits for it, looking at a white page.
const LIMITS: Limits =
    Limits { connect: Duration::from_seconds(3), total: Duration::from_seconds(6), reply_max: 4 * 1024 };
/// Bytes of the query that comes back: WeChat's code and our state.
const QUERY_MAX_BYTES: usize = 1024;

/// Room for exchanges, counted per worker.
pub(super) struct Exchanges(Semaphore);

impl Default for Exchanges {
    fn default() -> Self {
        Self(Semaphore::new(EXCHANGES_MAX))
    }
}

impl Seen {
    /// The account that an order inside WeChat goes to, if one can find out who pays.
    pub fn introducer(&self, gateway: &Gateway) -> Option<Route> {
        let lot = u32::from_le_bytes(gateway.env.random());
        let can = |open: &OpenAccount| open.channel.introduction().is_some();
        let (amount, now) = (self.payment.amount, gateway.env.now());
        gateway.channels.choose_where(self.scope, Method::WechatJsapi, amount, now, lot, can)
    }

    /// What a walk's code is over: with another payment, account, end or browser it is another code.
    fn walk(&self, account: AccountId, ends_at: u32, browser: &str) -> Vec<u8> {
        let mode = match self.scope.mode {
            Mode::Test => b't',
            Mode::Live => b'l',
        };
        let mut about = self.payment.id.to_bytes().to_vec();
        about.extend(self.scope.merchant.to_bytes());
        about.push(mode);
        about.extend(account.to_bytes());
        about.extend(ends_at.to_be_bytes());
        about.extend(browser.as_bytes());
        about
    }
}

/// `GET /c/{token}/wechat`: sends the browser to WeChat. Changes nothing here.
pub(super) async fn leave(request: HttpRequest, gateway: web::Data<Gateway>, token: web::Path<String>) -> HttpResponse {
    let (_, seen) = match seen_or_page(&request, &gateway, &token).await {
        Ok(found) => found,
        Err(page) => return page,
    };
    let wish = Visitor::of(&request).wish;
    let open = seen.may_begin(Method::WechatJsapi).then(|| seen.introducer(&gateway)).flatten();
    let open = open.and_then(|route| gateway.channels.get(route.account));
    let Some(open) = open else { return wish.back_to(&token, "unavailable=1") };
    let Some(introduction) = open.channel.introduction() else { return wish.back_to(&token, "unavailable=1") };
    let browser = HEXLOWER.encode(&gateway.env.random::<16>());
    let ends_at = gateway.env.now().plus(WALK_TAKES_MAX);
    let ends_at = u32::try_from(ends_at.as_seconds()).unwrap_or(u32::MAX);
    let code = gateway.seal(WALK, &seen.walk(open.account.id, ends_at, &browser));
    let state = State { account: open.account.id, ends_at, code };
    let here = format!("/c/{token}");
    let return_to = format!("{}{here}/wechat/back{}", gateway.settings.public_url, wish.kept_query());
    let place = introduction.address(&return_to, &state.write());
    HttpResponse::Found()
        .insert_header((header::LOCATION, place))
        .cookie(kept(&gateway, WALK_COOKIE, browser, here, WALK_TAKES_MAX))
        .finish()
}

/// `GET /c/{token}/wechat/back?code&state`: the browser brings WeChat's code, and the order begins.
pub(super) async fn come_back(
    request: HttpRequest,
    gateway: web::Data<Gateway>,
    exchanges: web::Data<Exchanges>,
    token: web::Path<String>,
) -> HttpResponse {
    let (page, seen) = match seen_or_page(&request, &gateway, &token).await {
        Ok(found) => found,
        Err(page) => return page,
    };
    let wish = Visitor::of(&request).wish;
    let mut response = match Walked::read(&request, &gateway, &seen) {
        // Reloaded, or never begun here: the page says how it stands.
        None => return wish.back_to(&token, ""),
        Some(_) if !seen.may_begin(Method::WechatJsapi) => wish.back_to(&token, ""),
        Some(walked) => match exchange(&gateway, &exchanges, &walked).await {
            Some(openid) => {
                let chooser = Chooser { ip: None, openid: Some(openid) };
                let route = walked.account.into();
                let beginning = Beginning { method: Method::WechatJsapi, route, chooser };
                begin(&gateway, &seen, &token, page, wish, beginning).await
            }
            None => wish.back_to(&token, "unavailable=1"),
        },
    };
    // This walk is over, whatever came of it.
    let over = kept(&gateway, WALK_COOKIE, String::new(), format!("/c/{token}"), Duration::ZERO);
    drop(response.add_cookie(&over));
    response
}

/// A return that belongs to a walk which this browser began for this payment.
struct Walked {
    account: AccountId,
    code: String,
}

impl Walked {
    fn read(request: &HttpRequest, gateway: &Gateway, seen: &Seen) -> Option<Walked> {
        let query = Some(request.query_string()).filter(|query| query.len() <= QUERY_MAX_BYTES)?;
        let single = |wanted: &str| {
            let mut values = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == wanted);
            let value = values.next().map(|(_, value)| value.into_owned());
            value.filter(|_| values.next().is_none())
        };
        let state = State::read(&single("state")?)?;
        let browser = request.cookie(WALK_COOKIE)?;
        let about = seen.walk(state.account, state.ends_at, browser.value());
        let in_time = gateway.env.now() < Timestamp::from_seconds(i64::from(state.ends_at));
        let ours = in_time && gateway.sealed(WALK, &about, &state.code);
        ours.then_some(())?;
        Some(Walked { account: state.account, code: single("code")? })
    }
}

/// Asks WeChat whose code it is.
async fn exchange(gateway: &Gateway, exchanges: &Exchanges, walked: &Walked) -> Option<String> {
    let _place = exchanges.0.try_acquire().ok()?;
    let open = gateway.channels.get(walked.account).filter(|open| open.account.active)?;
    let introduction = open.channel.introduction()?;
    let request = introduction.request(&walked.code).ok()?;
    let policy = gateway.provider_policy(open.account.scope.mode);
    let answer = match gateway.transport.send(request, policy, LIMITS).await {
        Ok(answer) => introduction.read(&answer).map_err(|why| why.to_string()),
        Err(error) => Err(error.sentence(crate::lang::Lang::En)),
    };
    // The address of the call holds the secret, so only what was said is told.
    answer.inspect_err(|why| tracing::warn!(account = %walked.account, "WeChat did not say who pays: {why}")).ok()
}

/// What goes to WeChat and comes back as it went: the account, the end of the walk, and the code over all of it.
struct State {
    account: AccountId,
    /// Seconds since 1970.
    ends_at: u32,
    code: String,
}

impl State {
    /// Hex digits: WeChat takes letters and digits, 128 of them.
    fn write(&self) -> String {
        let head = [&self.account.to_bytes()[..], &self.ends_at.to_be_bytes()].concat();
        format!("{}{}", HEXLOWER.encode(&head), self.code)
    }

    fn read(text: &str) -> Option<State> {
        let (head, code) = text.split_at_checked(40)?;
        let head = HEXLOWER.decode(head.as_bytes()).ok()?;
        let (account, ends_at) = head.split_at_checked(16)?;
        Some(State {
            account: AccountId::from_bytes(account.try_into().ok()?),
            ends_at: u32::from_be_bytes(ends_at.try_into().ok()?),
            code: code.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_letters_and_digits_and_reads_as_it_was_written() {
        let state = State { account: AccountId::from_bytes([0xab; 16]), ends_at: 1_800_000_000, code: "0f".repeat(16) };
        let text = state.write();
        assert!(text.len() <= 128 && text.bytes().all(|b| b.is_ascii_alphanumeric()), "{text}");
        let read = State::read(&text).unwrap();
        assert_eq!((read.account, read.ends_at, read.code), (state.account, state.ends_at, state.code));
        for broken in ["", "zz", &text[..39], &"ü".repeat(40)] {
            assert!(State::read(broken).is_none(), "{broken}");
        }
    }
}
