//! The provider's transactions: load, decide, store, each in one commit together with what it makes due.

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};

use super::fault::{Answering, Faults};
use super::model::{
    self, Change, Deed, NewOrder, NewRefund, Notice, RefundChange, Refusal, Simulation, TradeState, WalletOrder,
    WalletRefund,
};
use super::records::{Letter, Subject};
use crate::channels::test_wallet::notification::NotificationBody;
use crate::channels::test_wallet::request::AmountBody;
use crate::channels::test_wallet::response::{OrderView, RefundView};
use crate::domain::money::Money;
use crate::domain::time::Timestamp;
use crate::sandbox::provider::model::one_off;
use crate::store::tables::{
    WALLET_CODES, WALLET_FAULTS, WALLET_LETTERS, WALLET_ORDERS, WALLET_REFUNDS, WALLET_TROUBLES, WALLET_WAKES,
};
use crate::store::{Order as ScanOrder, Read, Span, StoreError, WriteTx};

/// What a merchant asks for; who asks was checked before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    Create(NewOrder),
    Query { mch_id: String, out_trade_no: String },
    Close { mch_id: String, out_trade_no: String },
    Refund(NewRefund),
    QueryRefund { mch_id: String, out_refund_no: String },
}

/// What the provider has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Order(WalletOrder),
    Refund(WalletRefund),
    Refused(Refusal),
    /// Nothing was done, on purpose.
    Nothing,
}

/// What is said, and what becomes of the answer on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub said: Said,
    pub how: Answering,
}

impl Call {
    /// The number whose troubled answers are counted.
    fn number(&self) -> &str {
        match self {
            Call::Create(asked) => &asked.out_trade_no,
            Call::Query { out_trade_no, .. } | Call::Close { out_trade_no, .. } => out_trade_no,
            Call::Refund(asked) => &asked.out_refund_no,
            Call::QueryRefund { out_refund_no, .. } => out_refund_no,
        }
    }
}

/// Answers a call. `code` is for the phone page of an order that is new.
pub fn answer(tx: &mut WriteTx<'_>, call: &Call, now: Timestamp, code: [u8; 16]) -> Result<Answer, StoreError> {
    let how = answering(tx, call)?;
    if how != Answering::Properly {
        let number = call.number().to_owned();
        let before = tx.get(&WALLET_TROUBLES, &number)?.unwrap_or(0);
        tx.put(&WALLET_TROUBLES, &number, &before.saturating_add(1))?;
    }
    let said = if how.does_it() { carry_out(tx, call, now, code)? } else { Said::Nothing };
    Ok(Answer { said, how })
}

/// The answer to a question that changes nothing; `None` when something would change, and [`answer`] has to be asked.
pub fn peek(tx: &impl Read, call: &Call, now: Timestamp) -> Result<Option<Answer>, StoreError> {
    if answering(tx, call)? != Answering::Properly {
        return Ok(None);
    }
    let said = match call {
        Call::Create(_) | Call::Close { .. } | Call::Refund(_) => return Ok(None),
        Call::Query { mch_id, out_trade_no } => match find_order(tx, mch_id, out_trade_no)? {
            Some(order) if order.advance(now).order == order => Said::Order(order),
            Some(_) => return Ok(None),
            None => Said::Refused(Refusal::UnknownOrder),
        },
        Call::QueryRefund { mch_id, out_refund_no } => match find_refund(tx, mch_id, out_refund_no)? {
            Some(refund) if refund.advance(now).refund == refund => Said::Refund(refund),
            Some(_) => return Ok(None),
            None => Said::Refused(Refusal::UnknownRefund),
        },
    };
    Ok(Some(Answer { said, how: Answering::Properly }))
}

/// The payer's deed on the phone page. `None`: there is no such page.
pub fn act(
    tx: &mut WriteTx<'_>,
    code: [u8; 16],
    deed: Deed,
    now: Timestamp,
) -> Result<Option<Result<(), Refusal>>, StoreError> {
    let Some(order) = by_code(tx, code)? else { return Ok(None) };
    change(tx, &order, now, |order| order.act(deed, now)).map(|result| Some(result.map(drop)))
}

/// Ends an order as the test API asks.
pub fn simulate(
    tx: &mut WriteTx<'_>,
    out_trade_no: &str,
    simulation: Simulation,
    now: Timestamp,
) -> Result<Result<(), Refusal>, StoreError> {
    match tx.get(&WALLET_ORDERS, &out_trade_no.to_owned())? {
        Some(order) => Ok(change(tx, &order, now, |order| model::play(order, simulation, now))?.map(drop)),
        None => Ok(Err(Refusal::UnknownOrder)),
    }
}

/// Sets how the provider misbehaves about one order from now on. `None`: there is no such page.
pub fn set_faults(tx: &mut WriteTx<'_>, code: [u8; 16], faults: Faults) -> Result<Option<()>, StoreError> {
    let Some(order) = by_code(tx, code)? else { return Ok(None) };
    tx.put(&WALLET_ORDERS, &order.asked.out_trade_no.clone(), &WalletOrder { faults, ..order })?;
    Ok(Some(()))
}

/// The order behind a phone page.
pub fn by_code(tx: &impl Read, code: [u8; 16]) -> Result<Option<WalletOrder>, StoreError> {
    match tx.get(&WALLET_CODES, &code)? {
        Some(number) => tx.get(&WALLET_ORDERS, &number),
        None => Ok(None),
    }
}

/// Stores an order that is paid already, as a history needs it; nobody is told. `paid_at` is also when it was made.
pub fn record_paid(
    tx: &mut WriteTx<'_>,
    asked: NewOrder,
    code: [u8; 16],
    paid_at: Timestamp,
) -> Result<WalletOrder, StoreError> {
    let created = WalletOrder::create(asked, code, Faults::NONE, paid_at).order;
    let order = created.act(Deed::PayUntold, paid_at).expect("a new order can be paid").order;
    let number = order.asked.out_trade_no.clone();
    tx.put(&WALLET_CODES, &code, &number)?;
    tx.put(&WALLET_ORDERS, &number, &order)?;
    Ok(order)
}

/// Lets everything happen that is due, at most `limit` things.
pub fn wake(tx: &mut WriteTx<'_>, now: Timestamp, limit: usize) -> Result<(), StoreError> {
    let due = tx.scan(&WALLET_WAKES, &Span::all(), ScanOrder::Ascending, limit)?;
    let due: Vec<_> = due.into_iter().map(|(key, ())| key).take_while(|(at, _)| *at <= now).collect();
    for (at, subject) in &due {
        tx.delete(&WALLET_WAKES, &(*at, subject.clone()))?;
        match subject {
            Subject::Order(number) => {
                if let Some(order) = tx.get(&WALLET_ORDERS, number)? {
                    advance_order(tx, &order, now)?;
                }
            }
            Subject::Refund(number) => {
                if let Some(refund) = tx.get(&WALLET_REFUNDS, number)? {
                    advance_refund(tx, &refund, now)?;
                }
            }
        }
    }
    Ok(())
}

/// An order as it is told; `pay_url` where it can be paid.
pub fn order_view(order: &WalletOrder, pay_url: Option<String>) -> OrderView {
    let received = order.received.as_ref();
    let can_be_paid = matches!(order.state, TradeState::NotPay | TradeState::UserPaying);
    OrderView {
        mch_id: order.asked.mch_id.clone(),
        app_id: order.asked.app_id.clone(),
        out_trade_no: order.asked.out_trade_no.clone(),
        trade_state: order.state.code().to_owned(),
        amount: amount_body(received.map_or(order.asked.amount, |received| received.amount)),
        pay_url: pay_url.filter(|_| can_be_paid),
        transaction_id: received.map(|received| received.transaction_id.clone()),
        success_time: received.map(|received| received.at.to_rfc3339()),
    }
}

/// A refund as it is told.
pub fn refund_view(refund: &WalletRefund) -> RefundView {
    RefundView {
        mch_id: refund.asked.mch_id.clone(),
        out_trade_no: refund.asked.out_trade_no.clone(),
        out_refund_no: refund.asked.out_refund_no.clone(),
        refund_id: refund.refund_id.clone(),
        status: refund.status.code().to_owned(),
        amount: amount_body(refund.asked.amount),
    }
}

fn amount_body(amount: Money) -> AmountBody {
    AmountBody { total: amount.minor(), currency: amount.currency().code().to_owned() }
}

/// The order's own faults decide where there is one, else those of new orders.
fn answering(tx: &impl Read, call: &Call) -> Result<Answering, StoreError> {
    let order = match call {
        Call::Create(asked) => tx.get(&WALLET_ORDERS, &asked.out_trade_no)?,
        Call::Query { out_trade_no, .. } | Call::Close { out_trade_no, .. } => tx.get(&WALLET_ORDERS, out_trade_no)?,
        Call::Refund(asked) => tx.get(&WALLET_ORDERS, &asked.out_trade_no)?,
        Call::QueryRefund { out_refund_no, .. } => match tx.get(&WALLET_REFUNDS, out_refund_no)? {
            Some(refund) => tx.get(&WALLET_ORDERS, &refund.asked.out_trade_no)?,
            None => None,
        },
    };
    let faults = match order {
        Some(order) => order.faults,
        None => standing(tx)?,
    };
    if faults == Faults::NONE {
        return Ok(Answering::Properly);
    }
    let troubled = tx.get(&WALLET_TROUBLES, &call.number().to_owned())?.unwrap_or(0);
    Ok(Answering::choose(faults, troubled))
}

/// The faults that new orders begin with.
pub fn standing(tx: &impl Read) -> Result<Faults, StoreError> {
    Ok(tx.get(&WALLET_FAULTS, &0)?.unwrap_or_default())
}

fn carry_out(tx: &mut WriteTx<'_>, call: &Call, now: Timestamp, code: [u8; 16]) -> Result<Said, StoreError> {
    Ok(match call {
        Call::Create(asked) => create(tx, asked, now, code)?,
        Call::Query { mch_id, out_trade_no } => match find_order(tx, mch_id, out_trade_no)? {
            Some(order) => Said::Order(advance_order(tx, &order, now)?),
            None => Said::Refused(Refusal::UnknownOrder),
        },
        Call::Close { mch_id, out_trade_no } => match find_order(tx, mch_id, out_trade_no)? {
            Some(order) => match change(tx, &order, now, |order| order.close(now))? {
                Ok(order) => Said::Order(order),
                Err(why) => Said::Refused(why),
            },
            None => Said::Refused(Refusal::UnknownOrder),
        },
        Call::Refund(asked) => refund(tx, asked, now)?,
        Call::QueryRefund { mch_id, out_refund_no } => match find_refund(tx, mch_id, out_refund_no)? {
            Some(refund) => Said::Refund(advance_refund(tx, &refund, now)?),
            None => Said::Refused(Refusal::UnknownRefund),
        },
    })
}

fn create(tx: &mut WriteTx<'_>, asked: &NewOrder, now: Timestamp, code: [u8; 16]) -> Result<Said, StoreError> {
    let Some(known) = tx.get(&WALLET_ORDERS, &asked.out_trade_no)? else {
        let change = WalletOrder::create(asked.clone(), code, standing(tx)?, now);
        tx.put(&WALLET_CODES, &code, &asked.out_trade_no)?;
        return Ok(Said::Order(keep(tx, change)?));
    };
    if known.asked != *asked {
        return Ok(Said::Refused(Refusal::OrderNumberUsed));
    }
    let order = advance_order(tx, &known, now)?;
    Ok(match order.state {
        TradeState::NotPay | TradeState::UserPaying => Said::Order(order),
        TradeState::Success => Said::Refused(Refusal::Paid),
        TradeState::Closed | TradeState::PayError => Said::Refused(Refusal::Closed),
    })
}

fn refund(tx: &mut WriteTx<'_>, asked: &NewRefund, now: Timestamp) -> Result<Said, StoreError> {
    if let Some(known) = tx.get(&WALLET_REFUNDS, &asked.out_refund_no)? {
        if known.asked != *asked {
            return Ok(Said::Refused(Refusal::RefundNumberUsed));
        }
        return advance_refund(tx, &known, now).map(Said::Refund);
    }
    let Some(order) = find_order(tx, &asked.mch_id, &asked.out_trade_no)? else {
        return Ok(Said::Refused(Refusal::UnknownOrder));
    };
    let order = advance_order(tx, &order, now)?;
    match order.refund(asked.clone(), now) {
        Ok((order, change)) => {
            tx.put(&WALLET_ORDERS, &order.asked.out_trade_no.clone(), &order)?;
            keep_refund(tx, change).map(Said::Refund)
        }
        Err(why) => Ok(Said::Refused(why)),
    }
}

/// Another merchant's order does not exist.
fn find_order(tx: &impl Read, mch_id: &str, out_trade_no: &str) -> Result<Option<WalletOrder>, StoreError> {
    Ok(tx.get(&WALLET_ORDERS, &out_trade_no.to_owned())?.filter(|order| order.asked.mch_id == mch_id))
}

fn find_refund(tx: &impl Read, mch_id: &str, out_refund_no: &str) -> Result<Option<WalletRefund>, StoreError> {
    Ok(tx.get(&WALLET_REFUNDS, &out_refund_no.to_owned())?.filter(|refund| refund.asked.mch_id == mch_id))
}

/// Lets time pass first, then changes the order.
fn change(
    tx: &mut WriteTx<'_>,
    order: &WalletOrder,
    now: Timestamp,
    decide: impl FnOnce(&WalletOrder) -> Result<Change, Refusal>,
) -> Result<Result<WalletOrder, Refusal>, StoreError> {
    let order = advance_order(tx, order, now)?;
    match decide(&order) {
        Ok(change) => keep(tx, change).map(Ok),
        Err(why) => Ok(Err(why)),
    }
}

fn advance_order(tx: &mut WriteTx<'_>, order: &WalletOrder, now: Timestamp) -> Result<WalletOrder, StoreError> {
    keep(tx, order.advance(now))
}

fn keep(tx: &mut WriteTx<'_>, change: Change) -> Result<WalletOrder, StoreError> {
    let Change { order, notices, wake } = change;
    let number = order.asked.out_trade_no.clone();
    tx.put(&WALLET_ORDERS, &number, &order)?;
    for (place, notice) in notices.into_iter().enumerate() {
        let mut view = order_view(&order, None);
        misstate(&mut view.amount, notice, order.asked.amount);
        let fact = format!("order {number} {}", order.state.code());
        post(tx, notice, place, &fact, &order.asked.notify_url, |body| body.order = Some(view))?;
    }
    if let Some(at) = wake {
        tx.put(&WALLET_WAKES, &(at, Subject::Order(number)), &())?;
    }
    Ok(order)
}

fn advance_refund(tx: &mut WriteTx<'_>, refund: &WalletRefund, now: Timestamp) -> Result<WalletRefund, StoreError> {
    let change = refund.advance(now);
    let number = &refund.asked.out_trade_no;
    if change.released_minor > 0
        && let Some(order) = tx.get(&WALLET_ORDERS, number)?
    {
        tx.put(&WALLET_ORDERS, number, &order.release(change.released_minor))?;
    }
    keep_refund(tx, change)
}

fn keep_refund(tx: &mut WriteTx<'_>, change: RefundChange) -> Result<WalletRefund, StoreError> {
    let RefundChange { refund, notices, wake, released_minor: _ } = change;
    let number = refund.asked.out_refund_no.clone();
    tx.put(&WALLET_REFUNDS, &number, &refund)?;
    for (place, notice) in notices.into_iter().enumerate() {
        let mut view = refund_view(&refund);
        misstate(&mut view.amount, notice, refund.asked.amount);
        let fact = format!("refund {number} {}", refund.status.code());
        post(tx, notice, place, &fact, &refund.asked.notify_url, |body| body.refund = Some(view))?;
    }
    if let Some(at) = wake {
        tx.put(&WALLET_WAKES, &(at, Subject::Refund(number)), &())?;
    }
    Ok(refund)
}

fn misstate(shown: &mut AmountBody, notice: Notice, asked: Money) {
    if notice.misstated {
        *shown = amount_body(one_off(asked));
    }
}

/// Puts one notification on its way. The same fact has the same id however often it is told.
fn post(
    tx: &mut WriteTx<'_>,
    notice: Notice,
    place: usize,
    fact: &str,
    notify_url: &str,
    fill: impl FnOnce(&mut NotificationBody),
) -> Result<(), StoreError> {
    let id = HEXLOWER.encode(&digest(&SHA256, fact.as_bytes()).as_ref()[..16]);
    let create_time = notice.at.to_rfc3339();
    let mut body = NotificationBody { id, create_time, order: None, refund: None };
    fill(&mut body);
    let letter = Letter {
        notify_url: notify_url.to_owned(),
        body: serde_json::to_string(&body).expect("plain structs of text and numbers always serialise"),
        forged: notice.forged,
        tries: 0,
    };
    let unique = digest(&SHA256, format!("{fact} {place}").as_bytes());
    let (key, _) = unique.as_ref().split_first_chunk::<16>().expect("SHA-256 has 32 bytes");
    tx.put(&WALLET_LETTERS, &(notice.at, *key), &letter)
}
