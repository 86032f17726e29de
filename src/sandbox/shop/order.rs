//! An order as the shop keeps it, and what the shop makes of what it is told. Pure.
//!
//! The shop believes two things: a callback with the right signature, and an answer to its own question. A browser that
//! comes back proves nothing.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::domain::money::{Currency, Money};
use crate::domain::time::Timestamp;
use crate::lang::Lang;

/// Lines of an order's log; the oldest go first.
pub const HEARD_MAX: usize = 60;
/// Refunds that are counted by themselves; Coffer allows 50.
const REFUNDS_MAX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Coffer does not know it yet, or did not answer.
    New,
    Waiting,
    Paid,
    Expired,
    Canceled,
    Failed,
}

impl Status {
    /// Reads the API's word. An unknown one is no status of ours: enums of the API are open.
    fn parse(word: &str) -> Option<Self> {
        match word {
            "open" | "processing" => Some(Status::Waiting),
            "paid" => Some(Status::Paid),
            "expired" => Some(Status::Expired),
            "canceled" => Some(Status::Canceled),
            "failed" => Some(Status::Failed),
            _ => None,
        }
    }

    /// Nothing but late money and refunds can change it.
    pub const fn is_final(self) -> bool {
        match self {
            Status::New | Status::Waiting => false,
            Status::Paid | Status::Expired | Status::Canceled | Status::Failed => true,
        }
    }
}

/// How something became known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// A callback with the right signature; its message id and event type.
    Callback { id: String, kind: String },
    /// The shop asked.
    Asked,
}

/// What it meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum News {
    Became(Status),
    /// Minor units given back in all.
    Refunded(u64),
    /// Known already.
    Nothing,
    /// Older than what is known.
    Old,
    /// About another order, payment or amount: not believed.
    Contradicts,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    pub at: Timestamp,
    pub how: How,
    pub news: News,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShopOrder {
    /// Begins with its time, so that it sorts; ends with what nobody guesses.
    pub number: String,
    pub item: String,
    pub pieces: u32,
    pub amount: Money,
    /// What the customer reads; told to Coffer, so that the cashier speaks it too.
    pub lang: Lang,
    pub created_at: Timestamp,
    pub payment: Option<String>,
    pub checkout_url: Option<String>,
    pub status: Status,
    pub paid_at: Option<Timestamp>,
    /// Paid after the order had ended.
    pub late: bool,
    /// Minor units by refund, as callbacks told them.
    pub refunds: BTreeMap<String, u64>,
    /// Minor units given back.
    pub refunded_minor: u64,
    /// Of the payment object that is known.
    pub version: u32,
    pub heard: VecDeque<Heard>,
    /// Why Coffer could not be asked, in words for the customer.
    pub trouble: Option<String>,
}

/// The part of the API's payment object that a shop needs.
#[derive(Clone, Debug, Deserialize)]
pub struct PaymentTold {
    pub id: String,
    pub order_id: String,
    pub status: String,
    pub amount: AmountTold,
    pub amount_refunded: AmountTold,
    pub late: bool,
    pub version: u32,
    pub paid_at: Option<String>,
    pub checkout_url: String,
}

/// The part of the API's refund object that a shop needs.
#[derive(Clone, Debug, Deserialize)]
pub struct RefundTold {
    pub id: String,
    pub payment: String,
    pub status: String,
    pub amount: AmountTold,
}

#[derive(Clone, Debug, Deserialize)]
pub struct AmountTold {
    pub currency: String,
    pub value: String,
}

impl AmountTold {
    pub fn money(&self) -> Option<Money> {
        Money::parse(&self.value, Currency::parse(&self.currency)?).ok()
    }
}

impl ShopOrder {
    pub fn new(number: String, item: &str, pieces: u32, amount: Money, lang: Lang, created_at: Timestamp) -> Self {
        Self {
            number,
            item: item.to_owned(),
            pieces,
            amount,
            lang,
            created_at,
            payment: None,
            checkout_url: None,
            status: Status::New,
            paid_at: None,
            late: false,
            refunds: BTreeMap::new(),
            refunded_minor: 0,
            version: 0,
            heard: VecDeque::new(),
            trouble: None,
        }
    }

    /// What is known after a payment object was seen. The same message twice changes nothing.
    pub fn hear_payment(&self, told: &PaymentTold, how: How, at: Timestamp) -> Self {
        if self.knows(&how) {
            return self.clone();
        }
        let ours = told.order_id == self.number
            && self.payment.as_ref().is_none_or(|known| *known == told.id)
            && told.amount.money() == Some(self.amount);
        if !ours {
            return self.noted(how, News::Contradicts, at);
        }
        if told.version < self.version {
            return self.noted(how, News::Old, at);
        }
        let mut order = self.clone();
        order.payment = Some(told.id.clone());
        order.checkout_url = Some(told.checkout_url.clone());
        order.version = told.version;
        order.trouble = None;
        let mut news = News::Nothing;
        let refunded = told.amount_refunded.money().map_or(0, Money::minor);
        if refunded > order.refunded_minor {
            order.refunded_minor = refunded;
            news = News::Refunded(refunded);
        }
        // Paid never goes back, whatever is said.
        if let Some(status) = Status::parse(&told.status)
            && status != order.status
            && order.status != Status::Paid
        {
            order.status = status;
            order.late = told.late;
            order.paid_at = told.paid_at.as_deref().and_then(Timestamp::parse_rfc3339);
            news = News::Became(status);
        }
        if news == News::Nothing && how == How::Asked { order } else { order.noted(how, news, at) }
    }

    /// What is known after a refund object was seen.
    pub fn hear_refund(&self, told: &RefundTold, how: How, at: Timestamp) -> Self {
        if self.knows(&how) {
            return self.clone();
        }
        let amount = told.amount.money().filter(|amount| amount.currency() == self.amount.currency());
        let (Some(amount), true) = (amount, self.payment.as_deref() == Some(told.payment.as_str())) else {
            return self.noted(how, News::Contradicts, at);
        };
        let counts = told.status == "succeeded" && self.refunds.len() < REFUNDS_MAX;
        let mut order = self.clone();
        if counts {
            order.refunds.insert(told.id.clone(), amount.minor());
        }
        let sum = order.refunds.values().fold(0u64, |sum, minor| sum.saturating_add(*minor));
        if sum <= order.refunded_minor {
            return order.noted(how, News::Nothing, at);
        }
        order.refunded_minor = sum;
        order.noted(how, News::Refunded(sum), at)
    }

    pub fn refunded(&self) -> Money {
        Money::new(self.refunded_minor, self.amount.currency())
    }

    pub fn fully_refunded(&self) -> bool {
        self.refunded_minor >= self.amount.minor()
    }

    fn knows(&self, how: &How) -> bool {
        match how {
            How::Callback { id, .. } => {
                self.heard.iter().any(|heard| matches!(&heard.how, How::Callback { id: known, .. } if known == id))
            }
            How::Asked => false,
        }
    }

    fn noted(&self, how: How, news: News, at: Timestamp) -> Self {
        let mut order = self.clone();
        order.heard.push_back(Heard { at, how, news });
        while order.heard.len() > HEARD_MAX {
            order.heard.pop_front();
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_seconds(1_795_000_000);

    fn order() -> ShopOrder {
        ShopOrder::new("S1".to_owned(), "mist-mug", 1, Money::new(5900, Currency::CNY), Lang::Zh, AT)
    }

    fn amount(value: &str) -> AmountTold {
        AmountTold { currency: "CNY".to_owned(), value: value.to_owned() }
    }

    fn told(status: &str, version: u32) -> PaymentTold {
        PaymentTold {
            id: "pay_1".to_owned(),
            order_id: "S1".to_owned(),
            status: status.to_owned(),
            amount: amount("59.00"),
            amount_refunded: amount("0.00"),
            late: false,
            version,
            paid_at: (status == "paid").then(|| AT.to_rfc3339()),
            checkout_url: "http://127.0.0.1/c/x".to_owned(),
        }
    }

    fn callback(id: &str) -> How {
        How::Callback { id: id.to_owned(), kind: "payment.paid".to_owned() }
    }

    fn last(order: &ShopOrder) -> News {
        order.heard.back().unwrap().news
    }

    #[test]
    fn the_same_callback_twice_is_heard_once() {
        let once = order().hear_payment(&told("paid", 3), callback("evt_1"), AT);
        assert_eq!((once.status, last(&once)), (Status::Paid, News::Became(Status::Paid)));
        assert_eq!(once.hear_payment(&told("paid", 3), callback("evt_1"), AT), once);
    }

    #[test]
    fn an_older_object_and_a_step_back_from_paid_change_nothing() {
        let paid = order().hear_payment(&told("paid", 3), callback("evt_1"), AT);
        let late_news = paid.hear_payment(&told("processing", 2), callback("evt_0"), AT);
        assert_eq!((late_news.status, last(&late_news)), (Status::Paid, News::Old));
        let back = paid.hear_payment(&told("failed", 4), callback("evt_2"), AT);
        assert_eq!(back.status, Status::Paid);
    }

    #[test]
    fn late_money_after_the_end_is_paid() {
        let ended = order().hear_payment(&told("expired", 3), callback("evt_1"), AT);
        let late = PaymentTold { late: true, ..told("paid", 4) };
        let paid = ended.hear_payment(&late, callback("evt_2"), AT);
        assert_eq!((paid.status, paid.late), (Status::Paid, true));
    }

    #[test]
    fn another_order_amount_or_payment_is_not_believed() {
        let known = order().hear_payment(&told("open", 1), How::Asked, AT);
        for other in [
            PaymentTold { order_id: "S2".to_owned(), ..told("paid", 5) },
            PaymentTold { amount: amount("0.01"), ..told("paid", 5) },
            PaymentTold { id: "pay_2".to_owned(), ..told("paid", 5) },
        ] {
            let heard = known.hear_payment(&other, callback("evt_1"), AT);
            assert_eq!((heard.status, last(&heard)), (Status::Waiting, News::Contradicts));
        }
    }

    #[test]
    fn refunds_add_up_once_each_and_agree_with_the_payment_object() {
        let refund = |id: &str, value: &str, status: &str| RefundTold {
            id: id.to_owned(),
            payment: "pay_1".to_owned(),
            status: status.to_owned(),
            amount: amount(value),
        };
        let paid = order().hear_payment(&told("paid", 3), callback("evt_1"), AT);
        let pending = paid.hear_refund(&refund("re_1", "20.00", "pending"), callback("evt_2"), AT);
        assert_eq!(pending.refunded_minor, 0);
        let first = pending.hear_refund(&refund("re_1", "20.00", "succeeded"), callback("evt_3"), AT);
        let again = first.hear_refund(&refund("re_1", "20.00", "succeeded"), callback("evt_4"), AT);
        assert_eq!((again.refunded_minor, last(&again)), (2000, News::Nothing));
        let asked = PaymentTold { amount_refunded: amount("59.00"), ..told("paid", 6) };
        let whole = again.hear_payment(&asked, How::Asked, AT);
        assert!(whole.fully_refunded() && whole.status == Status::Paid);
        let foreign = RefundTold { payment: "pay_2".to_owned(), ..refund("re_9", "1.00", "succeeded") };
        assert_eq!(last(&first.hear_refund(&foreign, callback("evt_5"), AT)), News::Contradicts);
    }

    #[test]
    fn asking_without_news_leaves_no_line_and_the_log_is_bounded() {
        let known = order().hear_payment(&told("open", 1), How::Asked, AT);
        assert_eq!(known.hear_payment(&told("processing", 2), How::Asked, AT).heard.len(), 1);
        let mut order = known;
        for n in 0..200 {
            order = order.hear_payment(&told("open", 1), callback(&format!("evt_{n}")), AT);
        }
        assert_eq!(order.heard.len(), HEARD_MAX);
    }

    #[test]
    fn an_unknown_status_is_neither_paid_nor_ended() {
        let known = order().hear_payment(&told("open", 1), How::Asked, AT);
        assert_eq!(known.hear_payment(&told("authorized", 2), callback("evt_1"), AT).status, Status::Waiting);
    }
}
