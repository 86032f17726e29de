//! Refunds: ask for one, read, list.

use actix_web::http::Method as Verb;

use super::commit::Committed;
use super::endpoint::{Endpoint, Group, ReplyDoc, body, schema_of};
use super::error::{ErrorCode, Problem};
use super::fields::{Fields, describe};
use super::fingerprint::Fingerprint;
use super::kinds::{Amount, Chars, IdOf, Metadata, OneOf};
use super::objects::{RefundObject, refund_object, to_bytes, write_refund};
use super::page::{ListReply, Page, Window};
use super::service::{Call, Reply};
use crate::domain::ids::{PaymentId, RefundId, Scope};
use crate::domain::key::Permission;
use crate::domain::refund::{Refund, RefundState};
use crate::flows::record::refund_state_key;
use crate::flows::refunds::{self as flow, NewRefund, Requested};
use crate::lang::Text;
use crate::store::tables::{AnswerState, PAYMENTS, REFUND_BY_NUMBER, REFUNDS, REFUNDS_BY_STATE};
use crate::store::{Read, StoreError};

const REFUND_ID_CHARS_MAX: usize = 64;
/// Source: WeChat Pay API v3, refund: `reason` has at most 80 bytes, which is 26 Chinese characters; longer ones are cut there.
const REASON_CHARS_MAX: usize = 80;

const REFUND: ReplyDoc = ReplyDoc::One(schema_of::<RefundObject<'static>>);

pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        id: "create_refund",
        group: Group::Refunds,
        method: Verb::POST,
        path: "/v1/payments/{id}/refunds",
        permission: Some(Permission::Refund),
        summary: Text::new("申请退款", "Refund a payment"),
        about: Text::new(
            "金额在受理时即被占用，多笔退款之和不会超过支付金额。受理后的状态是 pending，最终结果以回调为准。不填 amount 即退全部剩余。",
            "The amount is reserved when the refund is accepted, so refunds never add up to more than was paid. It begins as `pending`, and a callback \
             tells the end. Without `amount`, all that is left is refunded.",
        ),
        query: None,
        body: body!(
            new_refund,
            r#"{"amount":{"currency":"CNY","value":"3.00"},"refund_id":"2026-0001-R1","reason":"少发一件 / One item short"}"#
        ),
        status: 201,
        reply: REFUND,
        refusals: &[
            ErrorCode::InvalidValue,
            ErrorCode::PaymentNotFound,
            ErrorCode::PaymentNotPaid,
            ErrorCode::RefundIdReused,
            ErrorCode::RefundTooLarge,
            ErrorCode::RefundNothingLeft,
            ErrorCode::CurrencyMismatch,
            ErrorCode::TooManyRefunds,
            ErrorCode::RefundWindowOver,
            ErrorCode::RefundNeedsApproval,
            ErrorCode::IdempotencyKeyReused,
        ],
        handler: |call| Box::pin(create(call)),
    },
    Endpoint {
        id: "get_refund",
        group: Group::Refunds,
        method: Verb::GET,
        path: "/v1/refunds/{id}",
        permission: Some(Permission::Read),
        summary: Text::new("查询退款", "Get a refund"),
        about: Text::new(
            "退款的最终依据。undeliverable 表示钱退不回顾客原来的付款账户（微信的“异常退款”），等商户在控制台决定去向；returned 表示已退到商户自己的账户，等商户另行付给顾客并确认。两者都不是结束，之后会变成 processing、succeeded 或 failed；同名回调 refund.undeliverable、refund.returned 会告诉您。支付宝和银联没有改退的办法：收不了钱的退款会变成 failed，金额回到余额。",
            "The source of truth about a refund. `undeliverable`: the money cannot go back to where the customer paid from (WeChat Pay's abnormal refund), and \
             the merchant decides in the console where it goes. `returned`: it went to the merchant's own account, and he confirms when the customer was paid by \
             hand. Neither is an end: `processing`, `succeeded` or `failed` follow. The events `refund.undeliverable` and `refund.returned` tell of them. Alipay \
             and UnionPay offer no other way: a refund that cannot be credited becomes `failed`, and its amount is back in the balance.",
        ),
        query: None,
        body: None,
        status: 200,
        reply: REFUND,
        refusals: &[ErrorCode::RefundNotFound],
        handler: |call| Box::pin(get(call)),
    },
    Endpoint {
        id: "list_refunds",
        group: Group::Refunds,
        method: Verb::GET,
        path: "/v1/refunds",
        permission: Some(Permission::Read),
        summary: Text::new("退款列表", "List refunds"),
        about: Text::new("按创建时间从新到旧。", "Newest first."),
        query: Some(|| describe(Filter::read)),
        body: None,
        status: 200,
        reply: ReplyDoc::List(schema_of::<RefundObject<'static>>),
        refusals: &[],
        handler: |call| Box::pin(list(call)),
    },
];

fn new_refund(f: &mut Fields<'_>) -> Option<NewRefund> {
    let about = Text::new("退款金额；不填即退全部剩余。", "How much; without it, all that is left.");
    let amount = f.optional("amount", about, Amount);
    let about =
        Text::new("您的退款单号，同一模式下永久唯一。", "Your own refund number, unique for ever within the mode.");
    let refund_no = f.optional("refund_id", about, Chars::exact(1..=REFUND_ID_CHARS_MAX));
    let about = Text::new("退款原因，顾客可能会看到。", "Why; the customer may see it.");
    let reason = f.optional("reason", about, Chars::free(1..=REASON_CHARS_MAX));
    let about = Text::new("您自己的键值对，随回调原样返回。", "Your own notes, returned with every callback.");
    let metadata = f.optional("metadata", about, Metadata).unwrap_or_default();
    let mut new = NewRefund { amount, refund_no, reason, metadata, fingerprint: [0; 16] };
    new.fingerprint = fingerprint(&new);
    Some(new)
}

fn fingerprint(new: &NewRefund) -> [u8; 16] {
    Fingerprint::new()
        .with(new.amount.map(|amount| amount.to_string()).as_deref())
        .with(new.refund_no.as_deref())
        .with(new.reason.as_deref())
        .with_all(&new.metadata)
        .finish()
}

async fn create(call: Call) -> Result<Reply, Problem> {
    let payment: PaymentId = call.id(ErrorCode::PaymentNotFound)?;
    let new = call.read_body(new_refund)?;
    let (scope, by) = (call.scope(), call.actor());
    let committed = call.commit(move |api, tx, moment| {
        let window_of = |account| api.gateway.channels.refund_window(account);
        let requested = flow::request_within(tx, scope, payment, &new, by.clone(), &window_of, moment)?;
        let status = match requested {
            Requested::New(_) => 201,
            Requested::Existing(_) => 200,
        };
        Ok(AnswerState::Done { status, body: write_refund(scope, requested.refund()) })
    });
    match committed.await? {
        Committed::Answered(reply) => Ok(reply),
        Committed::Wait(_) => unreachable!("a refund is answered when it is accepted"),
    }
}

async fn get(call: Call) -> Result<Reply, Problem> {
    let id: RefundId = call.id(ErrorCode::RefundNotFound)?;
    let scope = call.scope();
    let refund = call.api.gateway.store.read_blocking(|tx| tx.get(&REFUNDS, &(scope, id)))?;
    let refund = refund.ok_or_else(|| Problem::new(ErrorCode::RefundNotFound))?;
    Ok(Reply::ok(write_refund(scope, &refund)))
}

struct Filter {
    window: Window<RefundId>,
    status: Option<RefundState>,
    payment: Option<PaymentId>,
    refund_no: Option<String>,
}

impl Filter {
    fn read(f: &mut Fields<'_>) -> Option<Self> {
        let states = || RefundState::ALL.iter().map(|state| state.code()).collect();
        let about = Text::new("只要这个状态的。", "Only those with this status.");
        let status = f.optional("status", about, OneOf::new(states, RefundState::parse));
        let about = Text::new("只要这笔支付的。", "Only those of this payment.");
        let payment = f.optional("payment", about, IdOf::new(PaymentId::PREFIX));
        let about = Text::new("只要这个退款单号的。", "Only the one with this refund number.");
        let refund_no = f.optional("refund_id", about, Chars::exact(1..=REFUND_ID_CHARS_MAX));
        let window = Window::read(f);
        Some(Self { window: window?, status, payment, refund_no })
    }

    fn rows(&self, tx: &impl Read, scope: Scope) -> Result<Page<Refund>, StoreError> {
        let load = |ids: Vec<RefundId>| -> Result<Vec<Refund>, StoreError> {
            let found: Result<Vec<_>, _> = ids.into_iter().map(|id| tx.get(&REFUNDS, &(scope, id))).collect();
            Ok(found?.into_iter().flatten().collect())
        };
        let fits = |refund: &Refund| {
            self.status.is_none_or(|status| status == refund.state)
                && self.payment.is_none_or(|payment| payment == refund.payment)
        };
        if let Some(number) = &self.refund_no {
            let id = tx.get(&REFUND_BY_NUMBER, &(scope, number.clone()))?;
            return Ok(Page::whole(load(id.into_iter().collect())?.into_iter().filter(fits).collect()));
        }
        if let Some(payment) = self.payment {
            // A payment has at most fifty, so they are one page.
            let mut ids = tx.get(&PAYMENTS, &(scope, payment))?.map(|payment| payment.refunds).unwrap_or_default();
            ids.reverse();
            return Ok(Page::whole(load(ids)?.into_iter().filter(fits).collect()));
        }
        let of_status = self.status.map(|status| (&REFUNDS_BY_STATE, refund_state_key(status)));
        self.window.rows(tx, scope, &REFUNDS, of_status, |_, refund| Ok(refund))
    }
}

async fn list(call: Call) -> Result<Reply, Problem> {
    let filter = call.read_query(Filter::read)?;
    let scope = call.scope();
    let query = call.request.query_string().to_owned();
    let body = call
        .api
        .gateway
        .store
        .read(move |tx| {
            let page = filter.rows(tx, scope)?;
            let next = page.next("/v1/refunds", &query, |refund| refund.id.to_string());
            let data = page.rows.iter().map(|refund| refund_object(scope, refund)).collect();
            Ok::<_, StoreError>(to_bytes(&ListReply::new(data, page.has_more, next)))
        })
        .await?;
    Ok(Reply::ok(body))
}
