//! The providers of `sandbox/` in this world: the very simulators that a developer tests against, called without HTTP, with
//! the simulation's clock and chance and a store of their own. They outlive every crash of the gateway.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use super::clock::{SimulatedClock, SimulatedEntropy};
use super::meaning::{self, Call, Op, path_of};
use super::model::News;
use crate::channels::alipay::credentials as alipay;
use crate::channels::unionpay::credentials as unionpay;
use crate::channels::wechatpay;
use crate::channels::wechatpay::AnswersBy;
use crate::crypto::rsa::{Digest, RsaVerifier, der_in};
use crate::crypto::{Certificate, Secret};
use crate::domain::merchant::ChannelKind;
use crate::domain::method::Method;
use crate::domain::payment::NextAction;
use crate::domain::time::{Duration, Timestamp};
use crate::env::target::TargetPolicy;
use crate::env::transport::{Limits, OutgoingRequest, OutgoingResponse, Phase, SendError, Sending, Transport};
use crate::env::{Clock, Env};
use crate::sandbox::alipay as sim_alipay;
use crate::sandbox::provider::fault::{Fault, Faults};
use crate::sandbox::provider::model::{Deed, Helped, RefundStatus, TradeState};
use crate::sandbox::provider::records::{Letter, Mood};
use crate::sandbox::provider::{Desk, Dialect, Reach, World};
use crate::sandbox::unionpay as sim_unionpay;
use crate::sandbox::wechatpay as sim_wechatpay;
use crate::server::tls::ClientCertificate;
use crate::store::tables::SIM_LETTERS;
use crate::store::{Order, Read, Span, Store, StoreError, StoreOptions};

/// Keys that protect nothing: making some takes seconds.
const KEYS: [&str; 6] = [
    include_str!("keys/1.pem"),
    include_str!("keys/2.pem"),
    include_str!("keys/3.pem"),
    include_str!("keys/4.pem"),
    include_str!("keys/5.pem"),
    include_str!("keys/6.pem"),
];
/// Where the gateway is reached, and so its simulated providers.
pub(super) const GATEWAY: &str = "https://pay.example";
/// Letters that are taken out at once.
const LETTERS_MAX: usize = 1_000;
/// Answers that are kept to be given to the wrong question.
const PAST_MAX: usize = 8;
/// Nobody waits longer for an answer.
const PATIENCE: Duration = Duration::from_seconds(20);

/// Which contract the merchant has beside the test wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contract {
    WechatPublicKey,
    WechatCertificate,
    AlipayKey,
    AlipayCertificate,
    UnionPay,
}

impl Contract {
    pub(super) const fn kind(self) -> ChannelKind {
        match self {
            Contract::WechatPublicKey | Contract::WechatCertificate => ChannelKind::WechatPay,
            Contract::AlipayKey | Contract::AlipayCertificate => ChannelKind::Alipay,
            Contract::UnionPay => ChannelKind::Unionpay,
        }
    }

    /// What the merchant takes by it: first the code that the payer shows.
    pub(super) const fn methods(self) -> &'static [Method] {
        match self.kind() {
            ChannelKind::WechatPay => &[
                Method::WechatBarcode,
                Method::WechatNative,
                Method::WechatJsapi,
                Method::WechatMini,
                Method::WechatH5,
                Method::WechatApp,
            ],
            ChannelKind::Alipay => &[
                Method::AlipayBarcode,
                Method::AlipayQr,
                Method::AlipayPage,
                Method::AlipayWap,
                Method::AlipayApp,
                Method::AlipayMini,
            ],
            ChannelKind::Unionpay | ChannelKind::TestWallet => &[
                Method::UnionpayBarcode,
                Method::UnionpayQr,
                Method::UnionpayGateway,
                Method::UnionpayWap,
                Method::UnionpayApp,
            ],
        }
    }
}

enum Counter {
    WechatPay(sim_wechatpay::WechatPay),
    Alipay(sim_alipay::Alipay),
    UnionPay(sim_unionpay::UnionPay),
}

/// Whether the gateway has to believe an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Belief {
    Sure,
    /// It is genuine, but signed with a key that the gateway may or may not have learned of.
    Maybe,
    No,
}

/// What comes back, what it says, and whether that has to be believed.
pub(super) struct Answered {
    pub(super) outcome: Result<OutgoingResponse, SendError>,
    pub(super) says: Option<News>,
    pub(super) belief: Belief,
}

/// What the provider has in its books about an order.
pub(super) struct Truth {
    pub(super) asked_minor: u64,
    /// Amount and the number of the payment that the merchant is told.
    pub(super) received: Option<(u64, String)>,
    pub(super) revoked: bool,
    /// The order in the provider's own words.
    pub(super) details: String,
    /// Minor units that went back.
    pub(super) refunded_minor: u64,
    /// By the gateway's number.
    pub(super) refunds: BTreeMap<String, RefundStatus>,
}

pub(super) struct Town {
    pub(super) contract: Contract,
    world: World,
    counter: Counter,
    dialect: Arc<dyn Dialect>,
    clock: Arc<SimulatedClock>,
    /// The merchant's number there.
    merchant: String,
    /// Shown codes go through WeChat Pay's older interface.
    pub(super) code_v2: bool,
    /// The merchant's own, which it shows there; DER.
    certificate: Vec<u8>,
    pub(super) credentials: Secret,
    /// Ids of the provider's keys that the merchant knows from the beginning.
    known_keys: Vec<String>,
    /// Verifies Alipay's answers.
    alipay_key: Option<RsaVerifier>,
    /// The provider's key of an order by the gateway's number.
    orders: BTreeMap<String, String>,
    /// Numbers of refunds that were ever asked for.
    refunds: BTreeSet<String>,
    past: Vec<(String, OutgoingResponse)>,
}

impl Town {
    pub(super) fn open(contract: Contract, seed: u64, clock: Arc<SimulatedClock>) -> Result<Town, String> {
        let broken = |error: StoreError| format!("the simulated provider does not open: {error}");
        let options = StoreOptions {
            batch_wait_us: 0,
            cache_bytes: 1 << 20,
            queue_max: 16,
            check_integrity: false,
            clock: clock.clone(),
            ..StoreOptions::default()
        };
        let store = Store::open_memory(options).map_err(broken)?;
        let world_clock = Arc::new(RightClock(clock.clone()));
        let env = Env { clock: world_clock, entropy: Arc::new(SimulatedEntropy::new(seed ^ 0x0be5_e550)) };
        let reach = Reach {
            public_url: GATEWAY.to_owned(),
            own_url: Some(GATEWAY.to_owned()),
            at_root: false,
            policy: TargetPolicy::default(),
        };
        let given = AtomicUsize::new(0);
        let keys = move || {
            let key = der_in(KEYS[given.fetch_add(1, Relaxed) % KEYS.len()]).expect("the files hold keys");
            Secret::new(key)
        };
        let world = World::new(store, env, Arc::new(Silence), reach, Arc::new(keys));
        // Keys are made on a thread that may block.
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
        let (mut alipay_key, mut known_keys) = (None, Vec::new());
        // By the seed and not by the dice: the rest of a story is the same either way.
        let mut certificate = Vec::new();
        let code_v2 = contract.kind() == ChannelKind::WechatPay && seed & 1 == 1;
        let (counter, merchant, credentials) = match contract {
            Contract::WechatPublicKey | Contract::WechatCertificate => {
                let provider = sim_wechatpay::WechatPay::open(&world);
                let mode = match contract {
                    Contract::WechatPublicKey => sim_wechatpay::Mode::PublicKey,
                    _ => sim_wechatpay::Mode::Certificate,
                };
                let side = runtime.block_on(provider.merchant(mode)).map_err(broken)?;
                certificate = Certificate::read(&side.certificate).map(|own| own.to_der().to_vec()).unwrap_or_default();
                let mut credentials = wechat_credentials(&side, mode);
                credentials.code_v2_key = code_v2.then_some(side.api_v2_key);
                let credentials = credentials.to_secret();
                known_keys.push(side.public_key_id);
                known_keys.extend(side.platform_certificate.map(|(serial, _)| serial));
                (Counter::WechatPay(provider), side.mchid, credentials)
            }
            Contract::AlipayKey | Contract::AlipayCertificate => {
                let provider = sim_alipay::Alipay::open(&world);
                let mode = match contract {
                    Contract::AlipayKey => sim_alipay::Mode::Key,
                    _ => sim_alipay::Mode::Certificate,
                };
                let side = runtime.block_on(provider.merchant(mode)).map_err(broken)?;
                alipay_key = RsaVerifier::read(&side.alipay_public_key).ok();
                let credentials = alipay_credentials(&side, mode).to_secret();
                (Counter::Alipay(provider), side.app_id, credentials)
            }
            Contract::UnionPay => {
                let provider = sim_unionpay::UnionPay::open(&world);
                let side = runtime.block_on(provider.merchant()).map_err(broken)?;
                let credentials = unionpay_credentials(&side).to_secret();
                (Counter::UnionPay(provider), side.mer_id, credentials)
            }
        };
        let dialect = world.dialects().pop().ok_or("a provider without a dialect")?;
        Ok(Town {
            contract,
            world,
            counter,
            dialect,
            clock,
            merchant,
            code_v2,
            certificate,
            credentials,
            known_keys,
            alipay_key,
            orders: BTreeMap::new(),
            refunds: BTreeSet::new(),
            past: Vec::new(),
        })
    }

    fn kind(&self) -> ChannelKind {
        self.contract.kind()
    }

    /// Whether a request goes to this provider.
    pub(super) fn is_called(&self, url: &str) -> bool {
        let prefix = match self.kind() {
            ChannelKind::WechatPay => sim_wechatpay::PREFIX,
            ChannelKind::Alipay => sim_alipay::PREFIX,
            ChannelKind::Unionpay | ChannelKind::TestWallet => sim_unionpay::PREFIX,
        };
        path_of(url).starts_with(prefix)
    }

    /// What a request asks for.
    pub(super) fn call(&self, request: &OutgoingRequest) -> Call {
        let call = meaning::call(self.kind(), request);
        let op = match call.op {
            Op::Query if self.refunds.contains(&call.number) => Op::QueryRefund,
            op => op,
        };
        Call { op, ..call }
    }

    /// Something is on its way here.
    pub(super) fn notice(&mut self, request: &OutgoingRequest) {
        let call = self.call(request);
        if call.op == Op::Refund {
            self.refunds.insert(call.number);
        }
    }

    pub(super) fn knows(&self, number: &str) -> bool {
        self.orders.contains_key(number)
    }

    /// Carries a request out and answers it.
    pub(super) fn serve(&mut self, request: &OutgoingRequest) -> Answered {
        let call = self.call(request);
        let header = |name: &str| {
            let found = request.headers.iter().find(|(other, _)| other == name);
            found.map(|(_, value)| value.as_str())
        };
        let path = path_of(&request.url);
        let (response, delay, cut) = match &self.counter {
            Counter::WechatPay(provider) if meaning::is_code_v2(path) => {
                let shown = ClientCertificate(request.identity.as_ref().map(|_| self.certificate.clone()));
                let incoming = sim_wechatpay::IncomingV2 {
                    method: request.method.as_str(),
                    path: path.strip_prefix(sim_wechatpay::PREFIX).unwrap_or(path),
                    body: &request.body,
                    certificate: Some(&shown),
                };
                let told = wait_for(provider.serve_code_v2(incoming));
                let headers = told.headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
                (response(told.status, headers.collect(), told.body), told.delay, told.cut)
            }
            Counter::WechatPay(provider) => {
                let incoming = sim_wechatpay::Incoming {
                    method: request.method.as_str(),
                    target: path,
                    prefix: sim_wechatpay::PREFIX,
                    origin: GATEWAY,
                    authorization: header("authorization"),
                    wechatpay_serial: header("wechatpay-serial"),
                    user_agent: header("user-agent"),
                    accept: header("accept"),
                    content_type: header("content-type"),
                    body: &request.body,
                };
                let told = wait_for(provider.serve(incoming));
                let headers = told.headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
                (response(told.status, headers.collect(), told.body), told.delay, told.cut)
            }
            Counter::Alipay(provider) => {
                let (_, query) = request.url.split_once('?').unwrap_or_default();
                let base = format!("{GATEWAY}{}", sim_alipay::PREFIX);
                let incoming = sim_alipay::Incoming { query: query.as_bytes(), body: &request.body, base: &base };
                let told = wait_for(provider.serve(incoming));
                (response(told.status, Vec::new(), told.body), told.delay, told.cut)
            }
            Counter::UnionPay(provider) => {
                let path = path.strip_prefix(sim_unionpay::PREFIX).unwrap_or(path);
                let told = wait_for(provider.serve(sim_unionpay::Incoming { path, body: &request.body }));
                (response(told.status, Vec::new(), told.body), told.delay, told.cut)
            }
        };
        if matches!(call.op, Op::Create | Op::Charge) && self.order(&call.key).is_some() {
            self.orders.insert(call.number.clone(), call.key.clone());
        }
        if cut || delay > PATIENCE {
            let outcome = Err(SendError::Timeout { phase: Phase::Reply });
            return Answered { outcome, says: None, belief: Belief::No };
        }
        let belief = self.belief(&response);
        let says = meaning::answer(self.kind(), &call, &response).filter(|_| belief != Belief::No);
        // Not every answer names what it is about; those that do not are believed for what was asked.
        let named = !call.number.is_empty() && String::from_utf8_lossy(&response.body).contains(&call.number);
        if call.op == Op::Query && belief == Belief::Sure && response.status == 200 && named {
            self.past.push((call.number, response.clone()));
            if self.past.len() > PAST_MAX {
                self.past.remove(0);
            }
        }
        Answered { outcome: Ok(response), says, belief }
    }

    /// A customer's device brings a signed order: a browser its address or form, the wallet's app its text. Whether there
    /// is something to pay then.
    pub(super) fn carry(&mut self, number: &str, action: &NextAction) -> bool {
        let key = match (&self.counter, action) {
            (Counter::Alipay(provider), NextAction::Redirect { .. } | NextAction::AppParams { .. }) => {
                let query = match action {
                    NextAction::Redirect { url } => url.split_once('?').map(|(_, query)| query),
                    _ => None,
                };
                let text = match action {
                    NextAction::AppParams { params } => params.get("order_string").map(String::as_str),
                    _ => None,
                };
                let base = format!("{GATEWAY}{}", sim_alipay::PREFIX);
                let query = query.or(text).unwrap_or_default().as_bytes();
                drop(wait_for(provider.serve(sim_alipay::Incoming { query, body: b"", base: &base })));
                number.to_owned()
            }
            (Counter::UnionPay(provider), NextAction::Form { fields, .. }) => {
                let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
                drop(wait_for(provider.open_page(body.as_bytes())));
                format!("{number} {}", meaning::field(fields, "txnTime"))
            }
            (Counter::WechatPay(_) | Counter::Alipay(_) | Counter::UnionPay(_), _) => return false,
        };
        let there = self.order(&key).is_some();
        if there {
            self.orders.insert(number.to_owned(), key);
        }
        there
    }

    /// A genuine answer to a question about another order.
    pub(super) fn another(&self, request: &OutgoingRequest) -> Option<OutgoingResponse> {
        let call = self.call(request);
        let other = self.past.iter().rev().find(|(number, _)| *number != call.number);
        other.map(|(_, response)| response.clone())
    }

    /// Whether the gateway has to believe this answer.
    fn belief(&self, response: &OutgoingResponse) -> Belief {
        let body = response.body.as_slice();
        match self.kind() {
            ChannelKind::WechatPay if body.starts_with(b"<xml>") => {
                let said = String::from_utf8_lossy(body);
                let whole = said.contains("<sign>") && !said.contains("tampered");
                if whole { Belief::Sure } else { Belief::No }
            }
            ChannelKind::WechatPay if !(200..300).contains(&response.status) => {
                // Errors are not signed; what is no error of the provider's says nothing.
                if serde_json::from_slice::<serde_json::Value>(body).is_ok() { Belief::Sure } else { Belief::No }
            }
            ChannelKind::WechatPay => {
                let Some(signature) = response.header("wechatpay-signature") else { return Belief::No };
                let time = response.header("wechatpay-timestamp").and_then(|time| time.parse::<i64>().ok());
                let fresh = time.is_some_and(|time| self.clock.now().as_seconds().abs_diff(time) < 300);
                if signature.starts_with("WECHATPAY/SIGNTEST/") || body.ends_with(b" ") || !fresh {
                    Belief::No
                } else {
                    let known = response.header("wechatpay-serial");
                    let known = known.is_some_and(|id| self.known_keys.iter().any(|other| other == id));
                    // A new platform certificate has to be fetched first.
                    if known { Belief::Sure } else { Belief::Maybe }
                }
            }
            ChannelKind::Alipay => self.alipay_belief(body),
            ChannelKind::Unionpay | ChannelKind::TestWallet => {
                let said = String::from_utf8_lossy(body);
                let whole = response.status == 200 && said.contains("signature=") && !said.contains("[0000001]");
                if whole { Belief::Sure } else { Belief::No }
            }
        }
    }

    fn alipay_belief(&self, body: &[u8]) -> Belief {
        let said = String::from_utf8_lossy(body);
        let parts = || {
            let (_, rest) = said.split_once("_response\":")?;
            let (node, rest) = rest.split_once(",\"alipay_cert_sn\"").or_else(|| rest.split_once(",\"sign\""))?;
            let (_, sign) = rest.rsplit_once("\":\"").or_else(|| rest.split_once(":\""))?;
            Some((node.to_owned(), sign.trim_end_matches("\"}").replace("\\/", "/")))
        };
        let Some((node, sign)) = parts() else { return Belief::No };
        let key = self.alipay_key.as_ref();
        if key.is_some_and(|key| key.verifies_base64(Digest::Sha256, node.as_bytes(), &sign)) {
            Belief::Sure
        } else if self.contract == Contract::AlipayCertificate {
            Belief::Maybe
        } else {
            Belief::No
        }
    }

    fn at<T: Send + 'static>(
        &self,
        work: impl Fn(&mut Desk<'_, '_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<T> {
        wait_for(self.world.at(&self.dialect, work)).ok()
    }

    fn order(&self, key: &str) -> Option<crate::sandbox::provider::model::Order> {
        let (merchant, key) = (self.merchant.clone(), key.to_owned());
        self.at(move |desk| desk.order(&merchant, &key)).flatten()
    }

    /// What the payer does; whether it could be done.
    pub(super) fn act(&mut self, number: &str, deed: Deed) -> bool {
        let Some(key) = self.orders.get(number).cloned() else { return false };
        let Some(order) = self.order(&key) else { return false };
        // A message that misstates a wrong amount could name the right one by chance.
        if deed == Deed::PayWrongAmount && order.faults.has(Fault::MisstateAmount) {
            return false;
        }
        let done = self.at(move |desk| desk.act(order.code, deed));
        matches!(done, Some(Some(Ok(_))))
    }

    /// A code that the payer shows at the counter.
    pub(super) fn show_code(&self, mood: Mood) -> Option<String> {
        wait_for(self.world.show_code(&self.dialect, mood)).ok()
    }

    /// The payer still types the password, or the payment was made meanwhile: time has passed.
    pub(super) fn time_passes(&self) {
        let (merchant, keys) = (self.merchant.clone(), self.orders.values().cloned().collect::<Vec<_>>());
        self.at(move |desk| keys.iter().try_for_each(|key| desk.order(&merchant, key).map(drop)));
    }

    /// Messages that the provider has written since the last time.
    pub(super) fn take_letters(&self) -> Vec<(Letter, Option<News>)> {
        let taken = self.world.store().write(|tx| {
            let rows = tx.scan(&SIM_LETTERS, &Span::all(), Order::Ascending, LETTERS_MAX)?;
            for (key, _) in &rows {
                tx.delete(&SIM_LETTERS, key)?;
            }
            Ok::<_, StoreError>(rows)
        });
        let rows = wait_for(taken).unwrap_or_default();
        let read = |letter: Letter| {
            let says = meaning::letter(self.kind(), &letter);
            (letter, says)
        };
        rows.into_iter().map(|(_, letter)| read(letter)).collect()
    }

    /// One try of a letter, and whether it has to be believed.
    pub(super) fn seal(&self, letter: &Letter, forged: bool) -> Option<(OutgoingRequest, Belief)> {
        let forged = forged || letter.forged;
        let sealed = self.dialect.seal(&Letter { forged, ..letter.clone() })?;
        let skewed = letter.faults.has(Fault::ClockSkew);
        let ahead_ms = self.clock.world().as_millis() - self.clock.now().as_millis();
        let belief = match self.contract {
            _ if forged || letter.probed => Belief::No,
            Contract::WechatPublicKey | Contract::WechatCertificate => {
                let skew_ms = if skewed { 600_000 } else { 0 };
                let apart = (ahead_ms + skew_ms).abs();
                let new_key = letter.faults.has(Fault::NewKey) && self.contract == Contract::WechatCertificate;
                match new_key {
                    _ if apart >= 299_000 => Belief::No,
                    true => Belief::Maybe,
                    false => Belief::Sure,
                }
            }
            Contract::AlipayKey | Contract::AlipayCertificate => {
                if skewed || letter.faults.has(Fault::NewKey) {
                    Belief::Maybe
                } else if ahead_ms > 590_000 {
                    Belief::No
                } else {
                    Belief::Sure
                }
            }
            Contract::UnionPay => Belief::Sure,
        };
        Some((sealed, belief))
    }

    pub(super) fn faults(&self) -> &'static [Fault] {
        self.dialect.facts().faults
    }

    pub(super) fn set_faults(&self, faults: Faults) {
        let name = self.dialect.name();
        wait_for(self.world.set_faults(name, faults)).ok();
    }

    /// Everything works again, for old orders as well.
    pub(super) fn calm_down(&self) {
        self.set_faults(Faults::NONE);
        let (merchant, keys) = (self.merchant.clone(), self.orders.values().cloned().collect::<Vec<_>>());
        self.at(move |desk| {
            for key in &keys {
                if let Some(order) = desk.order(&merchant, key)? {
                    desk.set_faults(&order, Faults::NONE)?;
                }
            }
            Ok(())
        });
    }

    /// Refunds that are stuck for want of a card get another one, on the provider's own pages. Answers how many.
    pub(super) fn help_refunds(&self) -> usize {
        let (merchant, keys) = (self.merchant.clone(), self.orders.values().cloned().collect::<Vec<_>>());
        if self.kind() != ChannelKind::WechatPay {
            return 0;
        }
        let helped = self.at(move |desk| {
            let mut helped = 0;
            for key in &keys {
                let Some(order) = desk.order(&merchant, key)? else { continue };
                for number in desk.refunds_of(&order)? {
                    let refund = desk.refund_by_number(&merchant, &number)?;
                    if let Some(refund) = refund.filter(|refund| refund.status == RefundStatus::Abnormal) {
                        drop(desk.help(&refund, Helped::Card, Duration::from_seconds(2))?);
                        helped += 1;
                    }
                }
            }
            Ok(helped)
        });
        helped.unwrap_or(0)
    }

    pub(super) fn is_unpaid(&self, number: &str) -> bool {
        self.orders.get(number).and_then(|key| self.order(key)).is_some_and(|order| order.received.is_none())
    }

    pub(super) fn is_closed(&self, number: &str) -> bool {
        let order = self.orders.get(number).and_then(|key| self.order(key));
        order.is_some_and(|order| matches!(order.state, TradeState::Closed | TradeState::Revoked | TradeState::Failed))
    }

    /// What the provider knows about an order; `None` when it never heard of it.
    pub(super) fn truth(&self, number: &str) -> Option<Truth> {
        let key = self.orders.get(number)?.clone();
        let merchant = self.merchant.clone();
        let (order, refunds) = self.at(move |desk| {
            let Some(order) = desk.order(&merchant, &key)? else { return Ok(None) };
            let mut refunds = Vec::new();
            for number in desk.refunds_of(&order)? {
                refunds.extend(desk.refund_by_number(&merchant, &number)?);
            }
            Ok(Some((order, refunds)))
        })??;
        let transaction = |received: &crate::sandbox::provider::model::Received| match self.kind() {
            ChannelKind::Unionpay => order.short_number(),
            ChannelKind::WechatPay | ChannelKind::Alipay | ChannelKind::TestWallet => received.transaction_id.clone(),
        };
        let bare = |number: &str| match self.kind() {
            ChannelKind::Alipay => number.rsplit('/').next().unwrap_or_default().to_owned(),
            _ => number.split(' ').next().unwrap_or_default().to_owned(),
        };
        let gone = refunds.iter().filter(|refund| refund.status == RefundStatus::Success);
        Some(Truth {
            asked_minor: order.asked.amount.minor(),
            received: order.received.as_ref().map(|received| (received.amount.minor(), transaction(received))),
            revoked: order.state == TradeState::Revoked,
            details: order.asked.details.clone(),
            refunded_minor: gone.map(|refund| refund.asked.amount.minor()).sum(),
            refunds: refunds.iter().map(|refund| (bare(&refund.asked.number), refund.status)).collect(),
        })
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        self.world.close();
    }
}

pub(super) fn response(status: u16, headers: Vec<(String, String)>, body: Vec<u8>) -> OutgoingResponse {
    let address = SocketAddr::from(([203, 0, 113, 1], 443));
    OutgoingResponse { status, headers, body, truncated: false, address, connect_ms: 1, total_ms: 1 }
}

fn wechat_credentials(side: &sim_wechatpay::MerchantSide, mode: sim_wechatpay::Mode) -> wechatpay::Credentials {
    wechatpay::Credentials {
        mch_id: side.mchid.clone(),
        app_ids: wechatpay::AppIds {
            default: side.appids[0].clone(),
            official_account: side.appids.first().cloned(),
            mini_program: side.appids.get(1).cloned(),
            app: side.appids.get(2).cloned(),
        },
        official_account_secret: None,
        merchant_key: side.private_key.clone(),
        merchant_serial: side.serial.clone(),
        merchant_certificate: Some(side.certificate.clone()),
        api_v3_key: side.api_v3_key.clone(),
        previous_api_v3_key: None,
        code_v2_key: None,
        public_keys: BTreeMap::from([(side.public_key_id.clone(), side.public_key.clone())]),
        platform_certificates: side.platform_certificate.iter().map(|(_, certificate)| certificate.clone()).collect(),
        answers: match mode {
            sim_wechatpay::Mode::PublicKey => AnswersBy::PublicKey { id: side.public_key_id.clone() },
            sim_wechatpay::Mode::Certificate => AnswersBy::PlatformCertificate,
        },
    }
}

fn alipay_credentials(side: &sim_alipay::MerchantSide, mode: sim_alipay::Mode) -> alipay::Credentials {
    alipay::Credentials {
        app_id: side.app_id.clone(),
        seller_id: side.seller_id.clone(),
        private_key: side.private_key.clone(),
        trust: match mode {
            sim_alipay::Mode::Key => alipay::Trust::Key { alipay_public_key: side.alipay_public_key.clone() },
            sim_alipay::Mode::Certificate => alipay::Trust::Certificate {
                app_certificate: side.app_certificate.clone(),
                alipay_certificates: vec![side.alipay_certificate.clone()],
                root_certificates: side.root_certificates.clone(),
                wanted_sn: None,
            },
        },
        content_key: None,
        earlier: Vec::new(),
    }
}

fn unionpay_credentials(side: &sim_unionpay::MerchantSide) -> unionpay::Credentials {
    let contract = unionpay::Contract::Certificate(unionpay::ByCertificate {
        sign_key: side.private_key.clone(),
        sign_certificate: side.certificate.clone(),
        trusted_certificates: format!("{}{}", side.root, side.middle),
        accept_sha1: false,
        accept_test_name: false,
    });
    unionpay::Credentials { mer_id: side.mer_id.clone(), term_id: None, earlier: Vec::new(), contract }
}

/// The world's time, which is right.
struct RightClock(Arc<SimulatedClock>);

impl Clock for RightClock {
    fn now(&self) -> Timestamp {
        self.0.world()
    }

    fn monotonic_ms(&self) -> u64 {
        self.0.monotonic_ms()
    }
}

/// The providers send nothing by themselves here: their letters are taken out and carried.
struct Silence;

impl Transport for Silence {
    fn send<'a>(&'a self, _: OutgoingRequest, _: &'a TargetPolicy, _: Limits) -> Sending<'a> {
        Box::pin(async { Err(SendError::Dns) })
    }
}

/// Waits on this thread for something that only needs a store's writer, inside of a runtime or not.
fn wait_for<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    // The runtime around it must not ration what it does.
    let mut future = pin!(tokio::task::unconstrained(future));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
