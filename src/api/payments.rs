//! Payments: create, read, list, change, cancel, ask the channel.

use actix_web::http::Method as Verb;

use super::commit::Committed;
use super::endpoint::{Endpoint, Group, ReplyDoc, body, schema_of};
use super::error::{ErrorCode, FieldCode, Problem};
use super::fields::{Fields, describe};
use super::fingerprint::Fingerprint;
use super::kinds::{Amount, Chars, Email, Int, Ip, ListOf, Metadata, OneOf, ShownCode, WebAddress};
use super::objects::{PaymentObject, payment_object, refund_object, to_bytes, write_payment};
use super::page::{ListReply, Page, Window};
use super::service::{Api, Call, Reply};
use super::wait;
use super::webhooks::check_target;
use crate::domain::ids::{PaymentId, Scope};
use crate::domain::key::Permission;
use crate::domain::method::{Flow, Method};
use crate::domain::payment::{
    Attempt, AttemptState, Customer, EXPIRES_IN_DEFAULT, EXPIRES_IN_MAX, EXPIRES_IN_MIN, Ending, Payment, PaymentState,
};
use crate::domain::refund::Refund;
use crate::domain::time::Duration;
use crate::flows::payments::{self as flow, NewPayment, Patch};
use crate::flows::record::state_key;
use crate::flows::{FlowError, Refusal};
use crate::lang::Text;
use crate::store::tables::{ATTEMPTS, AnswerState, PAYMENT_BY_ORDER, PAYMENTS, PAYMENTS_BY_STATE, REFUNDS};
use crate::store::{Read, StoreError};

/// Characters of an order number, a description and a payer's id in a wallet.
const ORDER_ID_CHARS_MAX: usize = 64;
const DESCRIPTION_CHARS_MAX: usize = 127;
const OPENID_CHARS_MAX: usize = 128;
const LOCALE_CHARS_MAX: usize = 35;

const PAYMENT: ReplyDoc = ReplyDoc::One(schema_of::<PaymentObject<'static>>);

pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        id: "create_payment",
        group: Group::Payments,
        method: Verb::POST,
        path: "/v1/payments",
        permission: Some(Permission::Write),
        summary: Text::new("创建支付", "Create a payment"),
        about: Text::new(
            "创建一笔待支付的订单。不填 method 时，请把顾客引导到 checkout_url，由顾客选择支付方式；填了 method 时，接口会等渠道应答（最多 10 秒），next_action 给出顾客下一步要做的事。\
             相同的 order_id 和内容再次提交，返回原来的支付（200）。",
            "Creates an order to be paid. Without `method`, send the customer to `checkout_url` to choose one. With `method`, the call waits for the \
             channel's answer (10 seconds at most), and `next_action` says what the customer's device has to do. The same `order_id` with the same content \
             returns the payment that exists (200).",
        ),
        query: None,
        body: body!(
            new_payment,
            r#"{"order_id":"2026-0001","amount":{"currency":"CNY","value":"9.90"},"description":"马克杯 / Mug","return_url":"https://shop.example/orders/2026-0001"}"#
        ),
        status: 201,
        reply: PAYMENT,
        refusals: &[
            ErrorCode::InvalidValue,
            ErrorCode::OrderIdReused,
            ErrorCode::MethodUnavailable,
            ErrorCode::IdempotencyInProgress,
            ErrorCode::IdempotencyKeyReused,
        ],
        handler: |call| Box::pin(create(call)),
    },
    Endpoint {
        id: "get_payment",
        group: Group::Payments,
        method: Verb::GET,
        path: "/v1/payments/{id}",
        permission: Some(Permission::Read),
        summary: Text::new("查询支付", "Get a payment"),
        about: Text::new(
            "支付的最终依据：收到回调或顾客返回后，请以这里的 status 为准。",
            "The source of truth: after a callback, and when the customer comes back, trust the `status` told here.",
        ),
        query: Some(|| describe(expansion)),
        body: None,
        status: 200,
        reply: PAYMENT,
        refusals: &[ErrorCode::PaymentNotFound],
        handler: |call| Box::pin(get(call)),
    },
    Endpoint {
        id: "list_payments",
        group: Group::Payments,
        method: Verb::GET,
        path: "/v1/payments",
        permission: Some(Permission::Read),
        summary: Text::new("支付列表", "List payments"),
        about: Text::new(
            "按创建时间从新到旧。可用 order_id 查找一笔订单。",
            "Newest first. With `order_id`, finds the payment of one order.",
        ),
        query: Some(|| describe(Filter::read)),
        body: None,
        status: 200,
        reply: ReplyDoc::List(schema_of::<PaymentObject<'static>>),
        refusals: &[],
        handler: |call| Box::pin(list(call)),
    },
    Endpoint {
        id: "update_payment",
        group: Group::Payments,
        method: Verb::PATCH,
        path: "/v1/payments/{id}",
        permission: Some(Permission::Write),
        summary: Text::new("修改支付", "Change a payment"),
        about: Text::new(
            "只能修改未结束的支付。metadata 整体替换；expires_in 从现在起算。",
            "Only while it has not ended. `metadata` is replaced as a whole; `expires_in` counts from now.",
        ),
        query: None,
        body: body!(changes, r#"{"description":"马克杯两只 / Two mugs","expires_in":3600}"#),
        status: 200,
        reply: PAYMENT,
        refusals: &[
            ErrorCode::InvalidValue,
            ErrorCode::PaymentNotFound,
            ErrorCode::PaymentEnded,
            ErrorCode::ExpiryOutOfRange,
        ],
        handler: |call| Box::pin(update(call)),
    },
    Endpoint {
        id: "cancel_payment",
        group: Group::Payments,
        method: Verb::POST,
        path: "/v1/payments/{id}/cancel",
        permission: Some(Permission::Write),
        summary: Text::new("取消支付", "Cancel a payment"),
        about: Text::new(
            "先在渠道关单，再如实返回结果：如果顾客恰好已付款，返回的是 paid；渠道还没有确认时，返回当前状态，最终结果以回调为准。",
            "Closes the order at the channel first and answers what really happened: `paid` if the customer was faster. Until the channel confirms, the \
             payment is returned as it stands, and a callback tells the end.",
        ),
        query: None,
        body: None,
        status: 200,
        reply: PAYMENT,
        refusals: &[ErrorCode::PaymentNotFound, ErrorCode::PaymentEnded],
        handler: |call| Box::pin(cancel(call)),
    },
    Endpoint {
        id: "sync_payment",
        group: Group::Payments,
        method: Verb::POST,
        path: "/v1/payments/{id}/sync",
        permission: Some(Permission::Write),
        summary: Text::new("立即向渠道查询", "Ask the channel now"),
        about: Text::new(
            "平时无需调用：系统会自己查询。顾客说已付款而状态未变时可用。",
            "Seldom needed, because Coffer asks by itself. For the customer who says that he has paid.",
        ),
        query: None,
        body: None,
        status: 200,
        reply: PAYMENT,
        refusals: &[ErrorCode::PaymentNotFound, ErrorCode::ChannelUnavailable],
        handler: |call| Box::pin(sync(call)),
    },
];

/// What a shop may ask for: a method, or whichever wallet the code belongs to that its customer shows.
#[derive(Clone, Copy)]
enum Wanted {
    Method(Method),
    ShownCode,
}

const SHOWN_CODE: &str = "barcode";

fn method_kind() -> OneOf<Wanted> {
    OneOf::new(
        || Method::ALL.iter().map(|method| method.code()).chain([SHOWN_CODE]).collect(),
        |word| if word == SHOWN_CODE { Some(Wanted::ShownCode) } else { Method::parse(word).map(Wanted::Method) },
    )
}

/// The method that `wanted` comes down to; a code that the customer showed must be there exactly when it is needed.
fn resolve(f: &mut Fields<'_>, wanted: Option<Wanted>, auth_code: Option<&str>) -> Option<Option<Method>> {
    if !f.is_clean() {
        return None;
    }
    let mut refuse = |code, zh, en| f.refuse_in("customer", "auth_code", code, Text::new(zh, en));
    let shown = |method: &Method| method.flow() == Flow::BarCode;
    match (wanted, auth_code) {
        (Some(Wanted::ShownCode), None) => {
            refuse(FieldCode::Required, "付款码支付必填", "is needed for a bar-code payment")
        }
        (Some(Wanted::Method(method)), None) if shown(&method) => {
            refuse(FieldCode::Required, "付款码支付必填", "is needed for a bar-code payment")
        }
        (Some(Wanted::ShownCode), Some(digits)) => match Method::of_shown_code(digits) {
            Some(method) => Some(Some(method)),
            None => refuse(FieldCode::NotAllowed, "不是已知钱包的付款码", "is not a code of a wallet known here"),
        },
        (Some(Wanted::Method(method)), Some(digits)) if shown(&method) => {
            if Method::of_shown_code(digits).is_none_or(|of| of == method) {
                Some(Some(method))
            } else {
                refuse(FieldCode::NotAllowed, "这是另一个钱包的付款码", "is a code of another wallet")
            }
        }
        (None | Some(Wanted::Method(_)), Some(_)) => {
            refuse(FieldCode::NotAllowed, "只用于付款码支付", "belongs to bar-code payments only")
        }
        (Some(Wanted::Method(method)), None) => Some(Some(method)),
        (None, None) => Some(None),
    }
}

fn description_kind() -> Chars {
    Chars::free(1..=DESCRIPTION_CHARS_MAX)
}

fn expires_in_kind() -> Int {
    let seconds = |duration: Duration| i64::try_from(duration.as_seconds()).expect("bounds are small");
    Int::new(seconds(EXPIRES_IN_MIN)..=seconds(EXPIRES_IN_MAX))
}

fn to_duration(seconds: i64) -> Duration {
    Duration::from_seconds(u64::try_from(seconds).expect("the kind has bounds"))
}

const METADATA: Text = Text::new(
    "您自己的键值对，随回调原样返回，不展示给顾客。",
    "Your own notes, returned with every callback and never shown to customers.",
);

fn new_payment(f: &mut Fields<'_>) -> Option<NewPayment> {
    let amount = f.required("amount", Text::new("顾客应付金额。", "What the customer pays."), Amount);
    let about =
        Text::new("您的订单号，同一模式下永久唯一。", "Your own order number, unique for ever within the mode.");
    let order_id = f.required("order_id", about, Chars::exact(1..=ORDER_ID_CHARS_MAX));
    let about = Text::new("商品说明，顾客会看到。", "What is bought; the customer sees it.");
    let description = f.required("description", about, description_kind());
    let about = Text::new(
        "指定支付方式；不填则由顾客选择。barcode 会按付款码数字认出钱包。",
        "The method; without it the customer chooses. `barcode` tells the wallet from the digits.",
    );
    let wanted = f.optional("method", about, method_kind());
    let about = Text::new("付款后顾客返回的页面。", "Where the customer goes after paying.");
    let return_url = f.optional("return_url", about, WebAddress);
    let about = Text::new("顾客放弃付款后返回的页面。", "Where the customer goes after giving up.");
    let cancel_url = f.optional("cancel_url", about, WebAddress);
    let about = Text::new("只用于这笔支付的回调地址。", "A webhook address for this payment alone.");
    let callback_url = f.optional("callback_url", about, WebAddress);
    let about = Text::new("多少秒内可付款，默认 1800。", "Seconds during which it can be paid; 1800 without it.");
    let expires_in = f.optional("expires_in", about, expires_in_kind());
    let about = Text::new("顾客信息，仅用于渠道和风控。", "About the customer, for the channel and risk checks only.");
    let customer = f.object("customer", false, about, customer);
    let (customer, auth_code) = customer.unwrap_or_default();
    let metadata = f.optional("metadata", METADATA, Metadata).unwrap_or_default();
    let method = resolve(f, wanted, auth_code.as_deref())?;
    if let Some((field, why)) = method.and_then(|method| missing(method, &customer)) {
        return f.refuse_in("customer", field, FieldCode::Required, why);
    }
    let mut new = NewPayment {
        order_id: order_id?,
        amount: amount?,
        description: description?,
        method,
        expires_in: expires_in.map_or(EXPIRES_IN_DEFAULT, to_duration),
        return_url,
        cancel_url,
        callback_url,
        customer,
        auth_code,
        metadata,
        fingerprint: [0; 16],
    };
    new.fingerprint = fingerprint(&new);
    Some(new)
}

/// What the channel wants to know about the customer for a method that the shop chose, and the shop did not tell.
fn missing(method: Method, customer: &Customer) -> Option<(&'static str, Text)> {
    if method.flow() == Flow::JsApi && customer.openid.is_none() {
        // Only of an official account's customers can the cashier find out who they are.
        let why = if method == Method::WechatJsapi {
            Text::new(
                "这种方式必填；不知道就不填 method，由收银台查明",
                "is needed for this method; without `method` the cashier finds it out",
            )
        } else {
            Text::new(
                "这种方式必填：小程序登录后由您的服务器换得",
                "is needed for this method: your server gets it when the customer signs in to the mini program",
            )
        };
        return Some(("openid", why));
    }
    if method == Method::WechatH5 && customer.ip.is_none() {
        let why = Text::new(
            "这种方式必填：顾客浏览器的 IP；不知道就不填 method，收银台会看到",
            "is needed for this method: the address of the customer's browser; without `method` the cashier sees it",
        );
        return Some(("ip", why));
    }
    None
}

/// The customer, and the code that the customer showed.
fn customer(f: &mut Fields<'_>) -> Option<(Customer, Option<String>)> {
    let about = Text::new("顾客的 IP 地址，wechat_h5 必填。", "The customer's IP address; `wechat_h5` needs it.");
    let ip = f.optional("ip", about, Ip);
    let email = f.optional("email", Text::new("顾客的电子邮件。", "The customer's e-mail address."), Email);
    let about = Text::new("收银台语言，例如 zh-CN 或 en。", "The cashier page's language, such as zh-CN or en.");
    let locale = f.optional("locale", about, Chars::exact(2..=LOCALE_CHARS_MAX));
    let about = Text::new(
        "微信 openid 或支付宝用户号，JSAPI 支付必填。",
        "The payer's id in the wallet; JSAPI methods need it.",
    );
    let openid = f.optional("openid", about, Chars::exact(1..=OPENID_CHARS_MAX));
    let about = Text::new(
        "顾客出示的付款码数字，付款码支付必填；扫码后请立即提交。",
        "The digits of the code that the customer shows, for bar-code methods; send them as soon as they are scanned.",
    );
    let auth_code = f.optional("auth_code", about, ShownCode);
    Some((Customer { ip, email, locale, openid }, auth_code))
}

/// Everything the shop asked for, so that a repeated create is told from a conflicting one.
fn fingerprint(new: &NewPayment) -> [u8; 16] {
    Fingerprint::new()
        .with(Some(&new.order_id))
        .with(Some(&new.amount.to_string()))
        .with(Some(&new.description))
        .with(new.method.map(Method::code))
        .with(Some(&new.expires_in.as_millis().to_string()))
        .with(new.return_url.as_deref())
        .with(new.cancel_url.as_deref())
        .with(new.callback_url.as_deref())
        .with(new.customer.ip.map(|ip| ip.to_string()).as_deref())
        .with(new.customer.email.as_deref())
        .with(new.customer.locale.as_deref())
        .with(new.customer.openid.as_deref())
        .with(new.auth_code.as_deref())
        .with_all(&new.metadata)
        .finish()
}

async fn create(call: Call) -> Result<Reply, Problem> {
    let new = call.read_body(new_payment)?;
    if let Some(url) = &new.callback_url {
        check_target(&call.api.gateway.settings.callbacks, "#/callback_url", url)?;
    }
    let scope = call.scope();
    let route = new.method.and_then(|method| call.api.gateway.route(scope, method, new.amount));
    let committed = call.commit(move |api, tx, moment| {
        if new.method.is_some() && route.is_none() {
            return Err(Refusal::MethodUnavailable.into());
        }
        match flow::create(tx, scope, &new, route, moment)? {
            flow::Created::New(payment) if payment.current.is_some() => Ok(AnswerState::Running(payment.id)),
            flow::Created::New(payment) => Ok(done(api, scope, 201, &payment, None)),
            flow::Created::Existing(payment) => {
                let attempt = current_attempt(tx, scope, &payment)?;
                Ok(done(api, scope, 200, &payment, attempt.as_ref()))
            }
        }
    });
    match committed.await? {
        Committed::Answered(reply) => Ok(reply),
        Committed::Wait(id) => {
            let (payment, attempt) = wait::until(&call.api, scope, id, is_shown).await?;
            call.finish(201, render(&call.api, scope, &payment, attempt.as_ref())).await
        }
    }
}

/// The channel has said what the customer can do, or that nothing can be done.
pub(super) fn is_shown(payment: &Payment, attempt: Option<&Attempt>) -> bool {
    payment.state.is_final() || attempt.is_none_or(|attempt| attempt.state != AttemptState::Created)
}

fn done(api: &Api, scope: Scope, status: u16, payment: &Payment, attempt: Option<&Attempt>) -> AnswerState {
    AnswerState::Done { status, body: render(api, scope, payment, attempt) }
}

pub(super) fn render(api: &Api, scope: Scope, payment: &Payment, attempt: Option<&Attempt>) -> Vec<u8> {
    write_payment(&api.gateway, scope, payment, attempt)
}

/// The attempt that `next_action` or `failure` comes from.
pub(super) fn current_attempt(tx: &impl Read, scope: Scope, payment: &Payment) -> Result<Option<Attempt>, StoreError> {
    match payment.current {
        Some(id) if !payment.state.is_final() || payment.state == PaymentState::Failed => {
            tx.get(&ATTEMPTS, &(scope, id))
        }
        Some(_) | None => Ok(None),
    }
}

/// A payment with its current attempt. On this thread: two point reads are shorter than handing over to another.
pub(super) fn load(api: &Api, scope: Scope, id: PaymentId) -> Result<(Payment, Option<Attempt>), Problem> {
    let loaded = api.gateway.store.read_blocking(|tx| {
        let Some(payment) = tx.get(&PAYMENTS, &(scope, id))? else { return Ok(None) };
        let attempt = current_attempt(tx, scope, &payment)?;
        Ok::<_, StoreError>(Some((payment, attempt)))
    })?;
    loaded.ok_or_else(|| Problem::new(ErrorCode::PaymentNotFound))
}

/// What `expand` may name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expansion {
    Refunds,
}

fn expansion(f: &mut Fields<'_>) -> Option<bool> {
    let about = Text::new("一并返回的关联对象：refunds。", "Related objects to include: `refunds`.");
    let kind = ListOf {
        kind: OneOf::new(|| vec!["refunds"], |word| (word == "refunds").then_some(Expansion::Refunds)),
        elements_max: 1,
    };
    let expand = f.optional("expand", about, kind);
    Some(expand.is_some_and(|list| list.contains(&Expansion::Refunds)))
}

async fn get(call: Call) -> Result<Reply, Problem> {
    let id: PaymentId = call.id(ErrorCode::PaymentNotFound)?;
    let with_refunds = call.read_query(expansion)?;
    let scope = call.scope();
    let (payment, attempt) = load(&call.api, scope, id)?;
    let checkout_url = call.api.gateway.checkout_url(scope, id);
    let mut object = payment_object(scope, &payment, attempt.as_ref(), &checkout_url);
    let refunds;
    if with_refunds {
        refunds = refunds_of(&call, &payment)?;
        object.refunds = Some(refunds.iter().map(|refund| refund_object(scope, refund)).collect());
    }
    Ok(Reply::ok(to_bytes(&object)))
}

fn refunds_of(call: &Call, payment: &Payment) -> Result<Vec<Refund>, StoreError> {
    let scope = call.scope();
    call.api.gateway.store.read_blocking(|tx| {
        let found: Result<Vec<_>, _> = payment.refunds.iter().map(|id| tx.get(&REFUNDS, &(scope, *id))).collect();
        Ok(found?.into_iter().flatten().collect())
    })
}

struct Filter {
    window: Window<PaymentId>,
    status: Option<PaymentState>,
    order_id: Option<String>,
}

impl Filter {
    fn read(f: &mut Fields<'_>) -> Option<Self> {
        let states = || PaymentState::ALL.iter().map(|state| state.code()).collect();
        let about = Text::new("只要这个状态的。", "Only those with this status.");
        let status = f.optional("status", about, OneOf::new(states, PaymentState::parse));
        let about = Text::new("只要这个订单号的。", "Only the one of this order.");
        let order_id = f.optional("order_id", about, Chars::exact(1..=ORDER_ID_CHARS_MAX));
        let window = Window::read(f);
        Some(Self { window: window?, status, order_id })
    }

    fn rows(&self, tx: &impl Read, scope: Scope) -> Result<Page<Payment>, StoreError> {
        if let Some(order) = &self.order_id {
            let id = tx.get(&PAYMENT_BY_ORDER, &(scope, order.clone()))?;
            let found = id.map(|id| tx.get(&PAYMENTS, &(scope, id))).transpose()?.flatten();
            let fits = |payment: &Payment| self.status.is_none_or(|status| status == payment.state);
            return Ok(Page::whole(found.into_iter().filter(fits).collect()));
        }
        let of_status = self.status.map(|status| (&PAYMENTS_BY_STATE, state_key(status)));
        self.window.rows(tx, scope, &PAYMENTS, of_status, |_, payment| Ok(payment))
    }
}

async fn list(call: Call) -> Result<Reply, Problem> {
    let filter = call.read_query(Filter::read)?;
    let (scope, api) = (call.scope(), call.api.clone());
    let query = call.request.query_string().to_owned();
    let body = call
        .api
        .gateway
        .store
        .read(move |tx| {
            let page = filter.rows(tx, scope)?;
            let next = page.next("/v1/payments", &query, |payment| payment.id.to_string());
            let mut shown = Vec::with_capacity(page.rows.len());
            for payment in page.rows {
                let attempt = current_attempt(tx, scope, &payment)?;
                let checkout_url = api.gateway.checkout_url(scope, payment.id);
                shown.push((payment, attempt, checkout_url));
            }
            let data =
                shown.iter().map(|(payment, attempt, url)| payment_object(scope, payment, attempt.as_ref(), url));
            Ok::<_, StoreError>(to_bytes(&ListReply::new(data.collect(), page.has_more, next)))
        })
        .await?;
    Ok(Reply::ok(body))
}

fn changes(f: &mut Fields<'_>) -> Option<Patch> {
    let description =
        f.optional("description", Text::new("新的商品说明。", "The new description."), description_kind());
    let metadata = f.optional("metadata", METADATA, Metadata);
    let about = Text::new("从现在起多少秒内可付款。", "Seconds from now during which it can be paid.");
    let expires_in = f.optional("expires_in", about, expires_in_kind()).map(to_duration);
    Some(Patch { description, metadata, expires_in })
}

async fn update(call: Call) -> Result<Reply, Problem> {
    let id: PaymentId = call.id(ErrorCode::PaymentNotFound)?;
    let patch = call.read_body(changes)?;
    let (scope, by) = (call.scope(), call.actor());
    let committed = call.commit(move |api, tx, moment| {
        let payment = flow::patch(tx, scope, id, &patch, by.clone(), moment)?;
        let attempt = current_attempt(tx, scope, &payment)?;
        Ok(done(api, scope, 200, &payment, attempt.as_ref()))
    });
    answered(&call, committed.await?, is_shown).await
}

/// A body without fields.
pub(super) fn nothing(_: &mut Fields<'_>) -> Option<()> {
    Some(())
}

/// The answer at once, or after waiting until `settled`.
async fn answered(
    call: &Call,
    committed: Committed,
    settled: impl Fn(&Payment, Option<&Attempt>) -> bool,
) -> Result<Reply, Problem> {
    match committed {
        Committed::Answered(reply) => Ok(reply),
        Committed::Wait(id) => {
            let scope = call.scope();
            let (payment, attempt) = wait::until(&call.api, scope, id, settled).await?;
            call.finish(200, render(&call.api, scope, &payment, attempt.as_ref())).await
        }
    }
}

async fn cancel(call: Call) -> Result<Reply, Problem> {
    let id: PaymentId = call.id(ErrorCode::PaymentNotFound)?;
    call.read_body(nothing)?;
    let (scope, by) = (call.scope(), call.actor());
    let committed = call.commit(move |api, tx, moment| {
        let payment = flow::end(tx, scope, id, Ending::CancelByMerchant, by.clone(), moment)?;
        if payment.state.is_final() { Ok(done(api, scope, 200, &payment, None)) } else { Ok(AnswerState::Running(id)) }
    });
    answered(&call, committed.await?, |payment, _| payment.state.is_final()).await
}

async fn sync(call: Call) -> Result<Reply, Problem> {
    let id: PaymentId = call.id(ErrorCode::PaymentNotFound)?;
    call.read_body(nothing)?;
    let scope = call.scope();
    let asked_at = call.now;
    let committed = call.commit(move |api, tx, moment| {
        if flow::ask_now(tx, scope, id, moment)?.is_empty() {
            let payment = tx.get(&PAYMENTS, &(scope, id))?.ok_or(Refusal::PaymentNotFound)?;
            return Ok::<_, FlowError>(done(api, scope, 200, &payment, None));
        }
        Ok(AnswerState::Running(id))
    });
    // The follow-up stands at the time of the question until it is answered, and later afterwards.
    let heard = move |payment: &Payment, attempt: Option<&Attempt>| {
        payment.state.is_final() || attempt.is_none_or(|attempt| attempt.follow_up.is_none_or(|at| at > asked_at))
    };
    match committed.await? {
        Committed::Answered(reply) => Ok(reply),
        Committed::Wait(id) => {
            let (payment, attempt) = wait::until(&call.api, scope, id, heard).await?;
            if !heard(&payment, attempt.as_ref()) || attempt.as_ref().is_some_and(|a| a.trouble.is_some()) {
                return Err(Problem::new(ErrorCode::ChannelUnavailable).retry_after_s(wait::RETRY_S));
            }
            call.finish(200, render(&call.api, scope, &payment, attempt.as_ref())).await
        }
    }
}
