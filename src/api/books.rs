//! The books: what the merchant has, and the journal behind it.

use actix_web::http::Method as Verb;
use data_encoding::HEXLOWER;
use serde::Serialize;
use utoipa::ToSchema;

use super::endpoint::{Endpoint, Group, ReplyDoc, schema_of};
use super::error::Problem;
use super::fields::{Fields, describe};
use super::kinds::{IdOf, Int};
use super::objects::{Amount, Moment, to_bytes};
use super::page::{ListReply, Page, Window};
use super::payments::nothing;
use super::service::{Call, Reply};
use crate::domain::ids::{CaseId, Mode, PaymentId, RefundId, Scope};
use crate::domain::key::Permission;
use crate::domain::money::{Currency, Money, decimal};
use crate::flows::{FlowError, books, record};
use crate::lang::Text;
use crate::ledger::{AccountCode, Chained, ChannelPosition, MerchantPosition, Side};
use crate::store::tables::{JOURNAL, JOURNAL_BY_PAYMENT};
use crate::store::{Read, Span, StoreError};

pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        id: "get_balance",
        group: Group::Books,
        method: Verb::GET,
        path: "/v1/balance",
        permission: Some(Permission::Read),
        summary: Text::new("余额", "Get the balance"),
        about: Text::new(
            "按币种列出待清算、可用、欠款，以及渠道侧的资金。数字由分录得出，与账本始终一致。",
            "By currency: pending, available and owed, and what lies at the channels. Derived from the journal, so it always agrees with the books.",
        ),
        query: None,
        body: None,
        status: 200,
        reply: ReplyDoc::One(schema_of::<BalanceObject>),
        refusals: &[],
        handler: |call| Box::pin(balance(call)),
    },
    Endpoint {
        id: "list_ledger_entries",
        group: Group::Books,
        method: Verb::GET,
        path: "/v1/ledger_entries",
        permission: Some(Permission::Read),
        summary: Text::new("分录列表", "List journal entries"),
        about: Text::new(
            "复式分录，从新到旧，只增不改；每条带有前一条的哈希。after、before 使用 sequence。",
            "Double entries, newest first, never changed; each carries the hash of the one before. `after` and `before` take a `sequence`.",
        ),
        query: Some(|| describe(Filter::read)),
        body: None,
        status: 200,
        reply: ReplyDoc::List(schema_of::<EntryObject>),
        refusals: &[],
        handler: |call| Box::pin(entries(call)),
    },
];

/// What the merchant has, by currency.
#[derive(Serialize, ToSchema)]
#[schema(as = Balance)]
struct BalanceObject {
    object: &'static str,
    #[schema(value_type = String, example = "test")]
    mode: Mode,
    balances: Vec<CurrencyBalance>,
}

/// Decimal strings; totals may exceed what one amount can be.
#[derive(Serialize, ToSchema)]
struct CurrencyBalance {
    #[schema(example = "CNY")]
    currency: &'static str,
    /// Paid, not yet cleared against the channel's bill.
    pending: String,
    available: String,
    /// What the merchant owes, when refunds took more than there was.
    owed: String,
    /// Collected by channels and not yet settled.
    at_channels: String,
    /// Settled by channels.
    settled: String,
}

async fn balance(call: Call) -> Result<Reply, Problem> {
    call.read_query(nothing)?;
    let scope = call.scope();
    let accounts: Vec<_> = call.api.gateway.channels.of(scope).iter().map(|open| open.account.id).collect();
    let balances = call.api.gateway.store.read(move |tx| {
        let own = record::merchant(tx, scope)?.currency;
        let mut balances = Vec::new();
        for currency in Currency::ALL {
            let position = books::merchant_position(tx, scope, currency)?;
            let mut total = ChannelPosition::default();
            for account in &accounts {
                let one = books::channel_position(tx, scope, currency, *account)?;
                total.in_transit = total.in_transit.saturating_add(one.in_transit);
                total.settled = total.settled.saturating_add(one.settled);
            }
            let is_empty = position == MerchantPosition::default() && total == ChannelPosition::default();
            if currency == own || !is_empty {
                balances.push(CurrencyBalance {
                    currency: currency.code(),
                    pending: decimal(position.pending, currency),
                    available: decimal(position.available, currency),
                    owed: decimal(position.owed, currency),
                    at_channels: decimal(total.in_transit, currency),
                    settled: decimal(total.settled, currency),
                });
            }
        }
        Ok::<_, FlowError>(balances)
    });
    let object = BalanceObject { object: "balance", mode: scope.mode, balances: balances.await? };
    Ok(Reply::ok(to_bytes(&object)))
}

/// One entry of the journal.
#[derive(Serialize, ToSchema)]
#[schema(as = LedgerEntry)]
struct EntryObject {
    /// The sequence number as text.
    id: String,
    object: &'static str,
    #[schema(value_type = String, example = "test")]
    mode: Mode,
    /// Counts from 1 without gaps.
    sequence: u64,
    #[schema(example = "paid")]
    reason: &'static str,
    postings: Vec<PostingObject>,
    #[schema(value_type = Option<String>)]
    payment: Option<PaymentId>,
    #[schema(value_type = Option<String>)]
    refund: Option<RefundId>,
    #[schema(value_type = Option<String>)]
    case: Option<CaseId>,
    /// The entry that this one takes back.
    reverses: Option<u64>,
    /// SHA-256 over this entry and the hash before it.
    hash: String,
    created_at: Moment,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Posting)]
struct PostingObject {
    /// The account's number in the chart.
    #[schema(example = 2001)]
    account: u16,
    /// What the account is kept apart by, such as a refund.
    #[serde(skip_serializing_if = "String::is_empty")]
    of: String,
    /// `debit` or `credit`.
    side: &'static str,
    amount: Amount,
}

impl EntryObject {
    fn new(scope: Scope, chained: &Chained) -> Self {
        let (entry, links) = (&chained.entry, chained.entry.links());
        let posting = |posting: &crate::ledger::Posting| PostingObject {
            account: posting.account.code().code(),
            of: posting.account.sub().to_string(),
            side: match posting.side {
                Side::Debit => "debit",
                Side::Credit => "credit",
            },
            amount: Amount(Money::new(posting.minor, entry.currency())),
        };
        Self {
            id: chained.seq.to_string(),
            object: "ledger_entry",
            mode: scope.mode,
            sequence: chained.seq,
            reason: entry.reason().as_str(),
            postings: entry.postings().iter().map(posting).collect(),
            payment: links.payment,
            refund: links.refund,
            case: links.case,
            reverses: links.reverses,
            hash: HEXLOWER.encode(&chained.hash),
            created_at: Moment(entry.at()),
        }
    }
}

struct Filter {
    window: Window<u64>,
    payment: Option<PaymentId>,
    account: Option<AccountCode>,
}

impl Filter {
    fn read(f: &mut Fields<'_>) -> Option<Self> {
        let about = Text::new("只要这笔支付的分录。", "Only entries of this payment.");
        let payment = f.optional("payment", about, IdOf::new(PaymentId::PREFIX));
        let about = Text::new("只要涉及该科目的分录。", "Only entries that touch this account of the chart.");
        let account = f.optional("account", about, Int::new(1000..=9999));
        let window = Window::read_numbered(f);
        let account = account.and_then(|code| AccountCode::from_code(u16::try_from(code).ok()?));
        Some(Self { window: window?, payment, account })
    }

    fn rows(&self, tx: &impl Read, scope: Scope) -> Result<Page<Chained>, StoreError> {
        let window = &self.window;
        let limit = window.scan_limit();
        let load = |numbers: Vec<u64>| -> Result<Vec<Chained>, StoreError> {
            let found: Result<Vec<_>, _> = numbers.into_iter().map(|seq| tx.get(&JOURNAL, &(scope, seq))).collect();
            Ok(found?.into_iter().flatten().collect())
        };
        let rows = match (self.payment, self.account) {
            (None, None) => {
                let (span, order) = window.span(Span::prefix(&scope), |seq| (scope, seq));
                tx.scan(&JOURNAL, &span, order, limit)?.into_iter().map(|(_, chained)| chained).collect()
            }
            (Some(payment), account) => {
                let (span, order) = window.span(Span::prefix(&(scope, payment)), |seq| (scope, payment, seq));
                let numbers = tx.scan(&JOURNAL_BY_PAYMENT, &span, order, limit)?;
                let mut rows = load(numbers.into_iter().map(|((_, _, seq), ())| seq).collect())?;
                if let Some(code) = account {
                    rows.retain(|row| row.entry.postings().iter().any(|posting| posting.account.code() == code));
                }
                rows
            }
            (None, Some(account)) => {
                let (range, order) = window.range();
                load(books::touching(tx, scope, account.code(), range, order, limit)?)?
            }
        };
        Ok(window.page(rows))
    }
}

async fn entries(call: Call) -> Result<Reply, Problem> {
    let filter = call.read_query(Filter::read)?;
    let scope = call.scope();
    let query = call.request.query_string().to_owned();
    let body = call.api.gateway.store.read(move |tx| {
        let page = filter.rows(tx, scope)?;
        let next = page.next("/v1/ledger_entries", &query, |row| row.seq.to_string());
        let data = page.rows.iter().map(|chained| EntryObject::new(scope, chained)).collect();
        Ok::<_, StoreError>(to_bytes(&ListReply::new(data, page.has_more, next)))
    });
    Ok(Reply::ok(body.await?))
}
