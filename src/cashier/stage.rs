//! Which of its faces the page shows: decided from the payment as it is stored, without I/O.

use super::device::Device;
use crate::domain::follow::Step;
use crate::domain::method::Method;
use crate::domain::payment::{Attempt, AttemptState, Ending, NextAction, Payment, PaymentState};
use crate::domain::time::{Duration, Timestamp};

/// How long after the payment the customer is sent back to the shop without asking. Whoever opens the link later is told
/// that it is paid and stays.
const FRESH: Duration = Duration::from_minutes(10);

/// What the customer asked for in the address. It can change which way of paying is shown, never the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Wants to see the other ways to pay.
    pub choose: bool,
    /// Comes back from the wallet.
    pub returned: bool,
    /// Has just chosen, and is to be sent on to the wallet at once.
    pub forward: bool,
    /// The way that was chosen cannot be used now.
    pub unavailable: bool,
}

/// One face of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    Choose {
        methods: Vec<Method>,
        note: Note,
        /// A code is already shown elsewhere, and one can go back to it.
        under_way: bool,
    },
    /// The channel has not told yet what to show.
    Preparing {
        method: Method,
        trouble: bool,
    },
    Scan {
        method: Method,
        data: String,
    },
    Leave {
        method: Method,
        url: String,
        forward: bool,
        returned: bool,
    },
    Post {
        method: Method,
        url: String,
        fields: Vec<(String, String)>,
        returned: bool,
    },
    /// The payment was begun inside an app and is finished there.
    InApp {
        method: Method,
    },
    /// The end was asked for or the time is over, and the channel has not confirmed it yet.
    Ending {
        canceled: bool,
    },
    /// Money came that does not agree with the order; a person looks at it.
    Held,
    Paid {
        late: bool,
        /// Paid just now, so that the way back to the shop is taken by itself.
        fresh: bool,
        method: Option<Method>,
        refunded: bool,
    },
    /// The order had ended when the money came, and the merchant has not decided about it yet.
    LateHeld,
    Expired,
    Canceled,
    Failed,
}

/// Why the customer is choosing again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    None,
    Declined,
    Unavailable,
    /// Nothing that works on this device.
    OtherDevice,
}

impl Stage {
    /// `attempt` is the payment's current one; `offers` are what its merchant takes for this amount.
    pub fn of(
        payment: &Payment,
        attempt: Option<&Attempt>,
        offers: &[Method],
        device: Device,
        wish: Wish,
        now: Timestamp,
    ) -> Stage {
        let money_came = attempt.is_some_and(|attempt| attempt.state == AttemptState::Paid);
        match payment.state {
            PaymentState::Expired | PaymentState::Canceled | PaymentState::Failed if money_came => Stage::LateHeld,
            PaymentState::Paid => Stage::Paid {
                late: payment.late,
                fresh: payment.paid_at.is_some_and(|at| now.since(at) <= FRESH),
                method: payment.paid_by.as_ref().map(|by| by.method),
                refunded: payment.refunded_minor > 0 || payment.refunding_minor > 0,
            },
            PaymentState::Expired => Stage::Expired,
            PaymentState::Canceled => Stage::Canceled,
            PaymentState::Failed => Stage::Failed,
            PaymentState::Open | PaymentState::Processing => {
                Self::unfinished(payment, attempt, offers, device, wish, now)
            }
        }
    }

    fn unfinished(
        payment: &Payment,
        attempt: Option<&Attempt>,
        offers: &[Method],
        device: Device,
        wish: Wish,
        now: Timestamp,
    ) -> Stage {
        if attempt.is_some_and(|attempt| attempt.step == Step::Hold) {
            return Stage::Held;
        }
        if let Some(ending) = payment.ending {
            return Stage::Ending { canceled: matches!(ending, Ending::CancelByMerchant | Ending::CancelByCustomer) };
        }
        if payment.expires_at <= now {
            return Stage::Ending { canceled: false };
        }
        let live = attempt.filter(|attempt| attempt.state.is_live());
        // What the shop fixed cannot be changed here.
        let wants_other = wish.choose && payment.method.is_none();
        if let Some(attempt) = live.filter(|_| !wants_other) {
            return match attempt.step {
                Step::Create | Step::Ask => Self::under_way(attempt, wish),
                Step::AskBeforeClose | Step::Close | Step::AskAfterClose | Step::AskLate | Step::Hold => {
                    Stage::Ending { canceled: false }
                }
            };
        }
        let (methods, note) = match payment.method {
            Some(fixed) => (offers.iter().copied().filter(|method| *method == fixed).collect(), Note::None),
            None => (device.arrange(offers), Note::None),
        };
        let note = if wish.unavailable {
            Note::Unavailable
        } else if attempt.is_some_and(|attempt| attempt.state == AttemptState::Failed) {
            Note::Declined
        } else if methods.is_empty() && !offers.is_empty() {
            Note::OtherDevice
        } else {
            note
        };
        Stage::Choose { methods, note, under_way: live.is_some() }
    }

    fn under_way(attempt: &Attempt, wish: Wish) -> Stage {
        let method = attempt.method;
        let returned = wish.returned;
        let unusable = Stage::Preparing { method, trouble: true };
        match &attempt.next_action {
            None => Stage::Preparing { method, trouble: attempt.trouble.is_some() },
            Some(NextAction::QrCode { data }) => Stage::Scan { method, data: data.clone() },
            Some(NextAction::Redirect { url } | NextAction::Form { url, .. }) if !is_web_address(url) => unusable,
            Some(NextAction::Redirect { url }) => {
                Stage::Leave { method, url: url.clone(), forward: wish.forward && !returned, returned }
            }
            Some(NextAction::Form { url, fields }) => {
                Stage::Post { method, url: url.clone(), fields: fields.clone(), returned }
            }
            Some(NextAction::AppParams { .. } | NextAction::JsApiParams { .. } | NextAction::Confirm) => {
                Stage::InApp { method }
            }
        }
    }

    /// A stable word, for the script and the style sheet.
    pub fn code(&self) -> &'static str {
        match self {
            Stage::Choose { .. } => "choose",
            Stage::Preparing { .. } => "preparing",
            Stage::Scan { .. } => "scan",
            Stage::Leave { .. } => "leave",
            Stage::Post { .. } => "post",
            Stage::InApp { .. } => "in_app",
            Stage::Ending { .. } => "ending",
            Stage::Held => "held",
            Stage::Paid { .. } => "paid",
            Stage::LateHeld => "late_held",
            Stage::Expired => "expired",
            Stage::Canceled => "canceled",
            Stage::Failed => "failed",
        }
    }

    /// The page will change by itself, so it is worth watching.
    pub fn is_waiting(&self) -> bool {
        match self {
            Stage::Choose { .. }
            | Stage::Preparing { .. }
            | Stage::Scan { .. }
            | Stage::Leave { .. }
            | Stage::Post { .. }
            | Stage::InApp { .. }
            | Stage::Ending { .. }
            | Stage::Held => true,
            Stage::Paid { .. } | Stage::LateHeld | Stage::Expired | Stage::Canceled | Stage::Failed => false,
        }
    }

    /// Seconds after which a browser without script should look again; `None` where nothing happens by itself.
    pub fn reload_seconds(&self) -> Option<u32> {
        match self {
            Stage::Preparing { .. } => Some(2),
            Stage::Scan { .. } | Stage::Leave { .. } | Stage::Post { .. } | Stage::InApp { .. } => Some(6),
            Stage::Ending { .. } => Some(4),
            Stage::Choose { .. }
            | Stage::Held
            | Stage::Paid { .. }
            | Stage::LateHeld
            | Stage::Expired
            | Stage::Canceled
            | Stage::Failed => None,
        }
    }
}

/// An address that a link may lead to: `javascript:` and its like never become one.
pub fn is_web_address(address: &str) -> bool {
    url::Url::parse(address).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::ids::{AccountId, AttemptId, PaymentId};
    use crate::domain::money::{Currency, Money};
    use crate::domain::payment::Customer;

    const NOW: Timestamp = Timestamp::from_seconds(1_000_000);
    const COMPUTER: Device = Device { inside: None, phone: false };
    const OFFERS: [Method; 2] = [Method::WechatNative, Method::AlipayQr];

    fn payment(state: PaymentState) -> Payment {
        Payment {
            id: PaymentId::new(NOW, [0; 10]),
            order_id: "1".into(),
            fingerprint: [0; 16],
            amount: Money::new(990, Currency::CNY),
            description: "mug".into(),
            state,
            reason: None,
            created_at: NOW,
            expires_at: NOW.plus(Duration::from_minutes(30)),
            paid_at: None,
            late: false,
            method: None,
            attempts: Vec::new(),
            current: None,
            refunds: Vec::new(),
            refunded_minor: 0,
            refunding_minor: 0,
            fee_minor: 0,
            fee_returned_minor: 0,
            return_url: None,
            cancel_url: None,
            callback_url: None,
            customer: Customer::default(),
            metadata: BTreeMap::new(),
            version: 1,
            ending: None,
            paid_by: None,
        }
    }

    fn attempt(state: AttemptState, step: Step, next_action: Option<NextAction>) -> Attempt {
        Attempt {
            id: AttemptId::new(NOW, [0; 10]),
            payment: PaymentId::new(NOW, [0; 10]),
            method: Method::WechatNative,
            account: AccountId::new(NOW, [0; 10]),
            amount: Money::new(990, Currency::CNY),
            state,
            created_at: NOW,
            expires_at: NOW.plus(Duration::from_minutes(30)),
            next_action,
            transaction_id: None,
            paid_at: None,
            ended_at: None,
            queries: 0,
            follow_up: None,
            step,
            trouble: None,
        }
    }

    fn code() -> Option<NextAction> {
        Some(NextAction::QrCode { data: "x".into() })
    }

    fn stage(payment: &Payment, attempt: Option<&Attempt>, wish: Wish) -> Stage {
        Stage::of(payment, attempt, &OFFERS, COMPUTER, wish, NOW)
    }

    #[test]
    fn the_stored_state_decides_and_no_wish_changes_it() {
        let everything = Wish { choose: true, returned: true, forward: true, unavailable: true };
        let open = payment(PaymentState::Processing);
        let live = attempt(AttemptState::Pending, Step::Ask, code());
        for wish in [Wish::default(), everything] {
            assert!(!matches!(stage(&open, Some(&live), wish), Stage::Paid { .. }));
            assert_eq!(stage(&payment(PaymentState::Expired), Some(&live), wish), Stage::Expired);
            assert_eq!(stage(&payment(PaymentState::Failed), None, wish), Stage::Failed);
        }
    }

    #[test]
    fn a_live_code_is_shown_until_another_way_is_wanted() {
        let open = payment(PaymentState::Processing);
        let live = attempt(AttemptState::Pending, Step::Ask, code());
        assert_eq!(stage(&open, Some(&live), Wish::default()).code(), "scan");
        let other = Wish { choose: true, ..Wish::default() };
        let expected = Stage::Choose { methods: OFFERS.to_vec(), note: Note::None, under_way: true };
        assert_eq!(stage(&open, Some(&live), other), expected);
        let fixed = Payment { method: Some(Method::WechatNative), ..open };
        assert_eq!(stage(&fixed, Some(&live), other).code(), "scan", "what the shop fixed cannot be changed");
    }

    #[test]
    fn the_clock_alone_says_confirming_and_never_expired() {
        let over = Payment { expires_at: NOW, ..payment(PaymentState::Processing) };
        let live = attempt(AttemptState::Pending, Step::Ask, code());
        assert_eq!(stage(&over, Some(&live), Wish::default()), Stage::Ending { canceled: false });
    }

    #[test]
    fn a_refusal_leads_back_to_the_choice_with_a_word() {
        let open = payment(PaymentState::Open);
        let failed = attempt(AttemptState::Failed, Step::AskLate, code());
        let Stage::Choose { note, .. } = stage(&open, Some(&failed), Wish::default()) else { panic!() };
        assert_eq!(note, Note::Declined);
    }

    #[test]
    fn money_that_does_not_agree_is_said_even_after_the_time() {
        let over = Payment { expires_at: NOW, ..payment(PaymentState::Processing) };
        let held = attempt(AttemptState::Pending, Step::Hold, code());
        assert_eq!(stage(&over, Some(&held), Wish::default()), Stage::Held);
    }

    #[test]
    fn money_after_the_end_is_said_while_the_merchant_decides() {
        let came = attempt(AttemptState::Paid, Step::AskLate, code());
        assert_eq!(stage(&payment(PaymentState::Expired), Some(&came), Wish::default()), Stage::LateHeld);
    }

    #[test]
    fn who_opens_an_old_paid_link_is_not_sent_away() {
        let paid = |minutes| {
            let paid_at = Some(NOW.minus(Duration::from_minutes(minutes)));
            let paid = Payment { paid_at, ..payment(PaymentState::Paid) };
            matches!(stage(&paid, None, Wish::default()), Stage::Paid { fresh: true, .. })
        };
        assert!(paid(1) && !paid(60));
    }
}
