//! Payments, refunds and the journal as files for spreadsheets. Read in short snapshots and sent while they are read, so a
//! long past costs neither memory nor the shop's speed. Asked for by a form, because it leaves a line in the audit log.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Bytes;
use tokio::sync::mpsc;

use super::csv::{BYTE_ORDER_MARK, Csv};
use super::days::day_range;
use super::visit::{Member, Problem, Reply};
use super::words;
use crate::audit::{Action, Detail};
use crate::domain::ids::{PaymentId, RefundId, Scope};
use crate::domain::money::{Money, decimal};
use crate::domain::payment::{Payment, PaymentState};
use crate::domain::refund::{Refund, RefundState};
use crate::domain::time::{Duration, Timestamp};
use crate::flows::record::{refund_state_key, state_key};
use crate::ledger::{Chained, Side};
use crate::store::tables::{Index, JOURNAL, JOURNAL_HEADS, PAYMENTS, PAYMENTS_BY_STATE, REFUNDS, REFUNDS_BY_STATE};
use crate::store::{Key, Order, Read, ReadTx, Record, Span, StoreError, Table};
use crate::web::{Page, Streamed};

/// Files that are made at once; whoever comes then tries again.
pub const EXPORTS_MAX: usize = 2;
/// Rows of one file; what is more asks for fewer days.
const ROWS_MAX: usize = 500_000;
/// Rows that are read in one snapshot.
const PIECE_ROWS: usize = 1_000;
/// Pieces that wait for a slow reader.
const PIECES_WAITING: usize = 2;
/// How long a reader may take for one piece.
const READER_MAX: Duration = Duration::from_seconds(60);

/// One piece of a file: its lines, how many rows they are, and where the next begins.
struct Piece<C> {
    lines: String,
    rows: usize,
    next: Option<C>,
}

pub(super) async fn payments(member: Member) -> Reply {
    let state = PaymentState::parse(member.form.text("status"));
    let range = range(&member);
    let page = member.page.clone();
    let head = [
        page.t("创建时间", "Created"),
        page.t("付款时间", "Paid"),
        page.t("订单号", "Order"),
        page.t("编号", "Id"),
        page.t("说明", "For"),
        page.t("状态", "State"),
        page.t("金额", "Amount"),
        page.t("币种", "Currency"),
        page.t("手续费", "Fee"),
        page.t("已退款", "Refunded"),
        page.t("退回手续费", "Fee returned"),
        page.t("方式", "Method"),
        page.t("渠道单号", "Channel's no."),
        page.t("迟到", "Late"),
    ];
    let (first, end) = (PaymentId::new(range.0, [0; 10]), PaymentId::new(range.1, [0; 10]));
    let scope = member.scope();
    let piece = move |tx: &ReadTx, after: Option<PaymentId>| {
        let index = state.map(|state| (&PAYMENTS_BY_STATE, state_key(state)));
        let rows = rows(tx, scope, &PAYMENTS, index, (first, end), after)?;
        Ok(piece_of(rows, |csv, payment| payment_row(csv, &page, payment)))
    };
    send(&member, "payments", &head, piece).await
}

fn payment_row(csv: &mut Csv, page: &Page, payment: &Payment) {
    let money = |minor| Money::new(minor, payment.amount.currency()).to_decimal();
    let by = payment.paid_by.as_ref();
    let method = by.map(|by| by.method).or(payment.method);
    csv.own(time(page, payment.created_at))
        .own(payment.paid_at.map(|at| time(page, at)).unwrap_or_default())
        .text(&payment.order_id)
        .own(payment.id)
        .text(&payment.description)
        .own(words::state_word(payment.state, page.lang))
        .own(payment.amount.to_decimal())
        .own(payment.amount.currency())
        .own(money(payment.fee_minor))
        .own(money(payment.refunded_minor))
        .own(money(payment.fee_returned_minor))
        .own(method.map_or("", |method| words::method_word(method, page.lang)))
        .text(by.map_or("", |by| &by.transaction_id))
        .own(if payment.late { page.t("是", "yes") } else { "" })
        .end();
}

pub(super) async fn refunds(member: Member) -> Reply {
    let state = RefundState::parse(member.form.text("status"));
    let range = range(&member);
    let page = member.page.clone();
    let head = [
        page.t("受理时间", "Accepted"),
        page.t("完成时间", "Finished"),
        page.t("订单号", "Order"),
        page.t("编号", "Id"),
        page.t("退款单号", "Refund no."),
        page.t("状态", "State"),
        page.t("金额", "Amount"),
        page.t("币种", "Currency"),
        page.t("退回手续费", "Fee returned"),
        page.t("原因", "Reason"),
        page.t("渠道退款单号", "Channel's no."),
        page.t("收款编号", "Payment"),
    ];
    let (first, end) = (RefundId::new(range.0, [0; 10]), RefundId::new(range.1, [0; 10]));
    let scope = member.scope();
    let piece = move |tx: &ReadTx, after: Option<RefundId>| {
        let index = state.map(|state| (&REFUNDS_BY_STATE, refund_state_key(state)));
        let rows = rows(tx, scope, &REFUNDS, index, (first, end), after)?;
        let orders = super::payments::orders(tx, scope, rows.iter().map(|(_, refund)| refund.payment))?;
        Ok(piece_of(rows, |csv, refund: &Refund| {
            let order = orders.get(&refund.payment).map_or("", String::as_str);
            refund_row(csv, &page, refund, order);
        }))
    };
    send(&member, "refunds", &head, piece).await
}

fn refund_row(csv: &mut Csv, page: &Page, refund: &Refund, order: &str) {
    csv.own(time(page, refund.created_at))
        .own(refund.finished_at.map(|at| time(page, at)).unwrap_or_default())
        .text(order)
        .own(refund.id)
        .text(refund.refund_no.as_deref().unwrap_or(""))
        .own(words::refund_word(refund.state, page.lang))
        .own(refund.amount.to_decimal())
        .own(refund.amount.currency())
        .own(Money::new(refund.fee_returned_minor, refund.amount.currency()).to_decimal())
        .text(refund.reason.as_deref().unwrap_or(""))
        .text(refund.channel_refund_id.as_deref().unwrap_or(""))
        .own(refund.payment)
        .end();
}

pub(super) async fn ledger(member: Member) -> Reply {
    let (from, until) = range(&member);
    let page = member.page.clone();
    let head = [
        page.t("分录号", "Entry"),
        page.t("时间", "Time"),
        page.t("事由", "Reason"),
        page.t("科目", "Account"),
        page.t("科目名称", "Account name"),
        page.t("明细", "Sub-account"),
        page.t("借方", "Debit"),
        page.t("贷方", "Credit"),
        page.t("币种", "Currency"),
        page.t("收款编号", "Payment"),
        page.t("退款编号", "Refund"),
        page.t("差异编号", "Case"),
        page.t("哈希", "Hash"),
    ];
    let scope = member.scope();
    let piece = move |tx: &ReadTx, after: Option<u64>| {
        let after = match after {
            Some(after) => after,
            None => first_since(tx, scope, from)?.saturating_sub(1),
        };
        let rows = tx.scan(&JOURNAL, &Span::prefix(&scope).after(&(scope, after)), Order::Ascending, PIECE_ROWS)?;
        let whole = rows.len() == PIECE_ROWS;
        let inside: Vec<(u64, Chained)> = rows
            .into_iter()
            .map(|((_, seq), chained)| (seq, chained))
            .take_while(|(_, chained)| chained.entry.at() < until)
            .collect();
        let ended = inside.len() < PIECE_ROWS || !whole;
        let mut piece = piece_of(inside, |csv, chained| entry_rows(csv, &page, chained));
        piece.next = piece.next.filter(|_| !ended);
        Ok(piece)
    };
    send(&member, "ledger", &head, piece).await
}

fn entry_rows(csv: &mut Csv, page: &Page, chained: &Chained) {
    let (entry, links) = (&chained.entry, chained.entry.links());
    let currency = entry.currency();
    let id = |id: Option<String>| id.unwrap_or_default();
    for posting in entry.postings() {
        let amount = decimal(u128::from(posting.minor), currency);
        let (debit, credit) = match posting.side {
            Side::Debit => (amount, String::new()),
            Side::Credit => (String::new(), amount),
        };
        let code = posting.account.code();
        csv.own(chained.seq)
            .own(time(page, entry.at()))
            .own(words::posting_word(entry.reason(), page.lang))
            .own(code.code())
            .own(page.t(code.name_zh(), code.name_en()))
            .own(posting.account.sub())
            .own(debit)
            .own(credit)
            .own(currency)
            .own(id(links.payment.map(|id| id.to_string())))
            .own(id(links.refund.map(|id| id.to_string())))
            .own(id(links.case.map(|id| id.to_string())))
            .own(data_encoding::HEXLOWER.encode(&chained.hash))
            .end();
    }
}

/// Number of the first entry at or after a time: time does not go back along the journal.
fn first_since(tx: &impl Read, scope: Scope, from: Timestamp) -> Result<u64, StoreError> {
    let (mut low, mut high) = (1, tx.get(&JOURNAL_HEADS, &scope)?.map_or(0, |head| head.seq) + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        match tx.get(&JOURNAL, &(scope, middle))? {
            Some(chained) if chained.entry.at() < from => low = middle + 1,
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}

fn range(member: &Member) -> (Timestamp, Timestamp) {
    day_range(&member.merchant.zone, member.form.text("from"), member.form.text("to"))
}

/// `2026-11-23 14:05:09` in the merchant's zone.
fn time(page: &Page, at: Timestamp) -> String {
    at.in_zone(page.zone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The next rows, oldest first: of a table, or of what an index leads to.
fn rows<I: Key + Copy, V: Record, X: Key + Copy>(
    tx: &impl Read,
    scope: Scope,
    table: &Table<(Scope, I), V>,
    index: Option<(&Index<X, I>, X)>,
    (first, end): (I, I),
    after: Option<I>,
) -> Result<Vec<(I, V)>, StoreError> {
    let Some((index, of)) = index else {
        let span = Span::prefix(&scope).from(&(scope, first)).until(&(scope, end));
        let span = after.map_or(span.clone(), |after| span.after(&(scope, after)));
        let rows = tx.scan(table, &span, Order::Ascending, PIECE_ROWS)?;
        return Ok(rows.into_iter().map(|((_, id), row)| (id, row)).collect());
    };
    let span = Span::prefix(&(scope, of)).from(&(scope, of, first)).until(&(scope, of, end));
    let span = after.map_or(span.clone(), |after| span.after(&(scope, of, after)));
    let mut rows = Vec::new();
    for ((_, _, id), ()) in tx.scan(index, &span, Order::Ascending, PIECE_ROWS)? {
        rows.extend(tx.get(table, &(scope, id))?.map(|row| (id, row)));
    }
    Ok(rows)
}

fn piece_of<C: Copy, V>(rows: Vec<(C, V)>, mut write: impl FnMut(&mut Csv, &V)) -> Piece<C> {
    let mut csv = Csv::default();
    for (_, row) in &rows {
        write(&mut csv, row);
    }
    let next = rows.last().filter(|_| rows.len() == PIECE_ROWS).map(|(id, _)| *id);
    Piece { lines: csv.take(), rows: rows.len(), next }
}

/// Writes down who takes what, and sends the file.
async fn send<C: Copy + Send + 'static>(
    member: &Member,
    what: &'static str,
    head: &[&str],
    piece: impl Fn(&ReadTx, Option<C>) -> Result<Piece<C>, StoreError> + Send + Sync + 'static,
) -> Reply {
    let place = member.console.export_place().ok_or(Problem::Busy)?;
    let stamp = member.stamp();
    let mut detail = Detail::new().with("what", what).with("mode", member.scope().mode.as_str());
    for filter in ["status", "from", "to"].into_iter().filter(|name| !member.form.text(name).is_empty()) {
        detail = detail.with(filter, member.form.text(filter));
    }
    let chain = member.chain();
    let store = member.console.store().clone();
    store.write(move |tx| stamp.record(tx, chain, Action::Exported, what, detail.clone())).await?;
    let mut first = Csv::default();
    for name in head {
        first.own(name);
    }
    first.end();
    let mut lines = format!("{BYTE_ORDER_MARK}{}", first.take());
    let more = member.page.t("后面还有，请缩小日期范围", "There is more: choose fewer days");
    let piece = Arc::new(piece);
    let (sender, receiver) = mpsc::channel(PIECES_WAITING);
    tokio::spawn(async move {
        let _place = place;
        let (mut after, mut rows) = (None, 0);
        loop {
            let read = piece.clone();
            let piece = store.read(move |tx| read(tx, after)).await;
            let (bytes, next) = match piece {
                Ok(piece) => {
                    rows += piece.rows;
                    lines.push_str(&piece.lines);
                    let next = piece.next.filter(|_| rows < ROWS_MAX);
                    if next.is_none() && piece.next.is_some() {
                        let mut last = Csv::default();
                        last.own(more).end();
                        lines.push_str(&last.take());
                    }
                    (Ok(Bytes::from(std::mem::take(&mut lines))), next)
                }
                Err(error) => {
                    tracing::error!(%error, what, "an export could not be read to its end");
                    (Err(error), None)
                }
            };
            // A reader that went away, or stopped reading, ends it.
            let sent = tokio::time::timeout(READER_MAX.to_std(), sender.send(bytes)).await;
            if next.is_none() || !matches!(sent, Ok(Ok(()))) {
                return;
            }
            after = next;
        }
    });
    let day = member.now.in_zone(member.page.zone()).strftime("%Y-%m-%d").to_string();
    let name = format!("attachment; filename=\"coffer-{what}-{day}.csv\"");
    Ok(HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8; header=present")
        .insert_header((header::CONTENT_DISPOSITION, name))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(Streamed(receiver)))
}
