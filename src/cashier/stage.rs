//! Which of its faces the page shows: decided from the payment as it is stored, without I/O.
//!
//! Two devices may show the same payment: a computer, and the phone that scanned its code. There is one current attempt,
//! and whoever chose last has it. So that they do not take it from each other in turn, nothing is ever begun for a page
//! that only looks: a phone begins by itself only what nobody has begun in a better place, and the device that did not
//! begin the attempt says where it goes on.

use std::collections::BTreeMap;

use super::device::{Device, wallets_that_scan};
use crate::domain::follow::Step;
use crate::domain::method::{Brand, Flow, Method};
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
    /// Wants to pay in WeChat, which has to say first who it is.
    pub introduce: bool,
    /// In test mode: shows the page as it is on another device.
    pub pretend: Option<&'static str>,
}

/// Who looks, and from where.
#[derive(Clone, Copy, Debug)]
pub struct Visit {
    pub device: Device,
    pub wish: Wish,
    /// This browser began the current attempt.
    pub mine: bool,
    /// WeChat has to be asked who the customer is before an order inside of it.
    pub introduce: bool,
    /// Phones can open this page's address.
    pub reachable: bool,
}

/// One face of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    Choose {
        methods: Vec<Method>,
        note: Note,
        /// A code is already shown elsewhere, and one can go back to it.
        under_way: bool,
        /// The wallets that one code on this page serves (聚合码); none where there is none.
        scanners: Vec<Brand>,
    },
    /// In a wallet, which is what the customer wants to pay with.
    Begin {
        method: Method,
        /// The wallet is asked first who the customer is.
        introduce: bool,
        /// Goes on without being told to.
        by_itself: bool,
    },
    /// The payment goes on where it was begun: on a phone, or in another wallet.
    Elsewhere {
        method: Method,
        scanners: Vec<Brand>,
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
        /// The page cannot be opened any more; the wallet is asked for another.
        stale: bool,
    },
    Post {
        method: Method,
        url: String,
        fields: Vec<(String, String)>,
        forward: bool,
        returned: bool,
    },
    /// WeChat's own sheet is opened by this page with these parameters.
    Bridge {
        method: Method,
        params: BTreeMap<String, String>,
        forward: bool,
        returned: bool,
        /// A code can be shown instead.
        code_instead: bool,
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
    pub fn of(payment: &Payment, attempt: Option<&Attempt>, offers: &[Method], visit: Visit, now: Timestamp) -> Stage {
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
            PaymentState::Open | PaymentState::Processing => Self::unfinished(payment, attempt, offers, visit, now),
        }
    }

    fn unfinished(
        payment: &Payment,
        attempt: Option<&Attempt>,
        offers: &[Method],
        visit: Visit,
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
        let Visit { device, wish, .. } = visit;
        let live = attempt.filter(|attempt| attempt.state.is_live());
        let methods = match payment.method {
            Some(fixed) => offers.iter().copied().filter(|method| *method == fixed).collect(),
            None => device.arrange(offers),
        };
        // One code for all wallets, on a screen that phones can scan.
        let scanners = if device.phone || payment.method.is_some() || !visit.reachable {
            Vec::new()
        } else {
            Some(wallets_that_scan(offers)).filter(|wallets| wallets.len() > 1).unwrap_or_default()
        };
        let obvious = device.obvious(offers).filter(|_| payment.method.is_none());
        if wish.introduce && visit.introduce && obvious == Some(Method::WechatJsapi) {
            return Stage::Begin { method: Method::WechatJsapi, introduce: true, by_itself: true };
        }
        // What the shop fixed cannot be changed here.
        let wants_other = wish.choose && payment.method.is_none();
        let mut by_itself = !wish.returned && !wish.choose;
        if let Some(attempt) = live.filter(|_| !wants_other) {
            if !attempt.step.goes_on() {
                return Stage::Ending { canceled: false };
            }
            match place_of(attempt.method, payment.method.is_some(), &methods, obvious, visit) {
                Place::Here => return Self::under_way(attempt, offers, visit, now),
                Place::Elsewhere => return Stage::Elsewhere { method: attempt.method, scanners },
                // Two phones in WeChat take turns only when somebody presses a button.
                Place::Better => by_itself &= attempt.method.flow() != Flow::JsApi,
            }
        }
        let note = if wish.unavailable {
            Note::Unavailable
        } else if attempt.is_some_and(|attempt| attempt.state == AttemptState::Failed) {
            Note::Declined
        } else if methods.is_empty() && !offers.is_empty() {
            Note::OtherDevice
        } else {
            Note::None
        };
        match obvious.filter(|_| note == Note::None && !wish.choose) {
            Some(method) => {
                let introduce = visit.introduce && method == Method::WechatJsapi;
                Stage::Begin { method, introduce, by_itself }
            }
            None => Stage::Choose { methods, note, under_way: live.is_some(), scanners },
        }
    }

    fn under_way(attempt: &Attempt, offers: &[Method], visit: Visit, now: Timestamp) -> Stage {
        let method = attempt.method;
        let Wish { returned, forward, .. } = visit.wish;
        let forward = forward && !returned;
        let stale = method.opens_for().is_some_and(|life| now >= attempt.created_at.plus(life));
        let unusable = Stage::Preparing { method, trouble: true };
        match &attempt.next_action {
            None => Stage::Preparing { method, trouble: attempt.trouble.is_some() },
            Some(NextAction::QrCode { data }) => Stage::Scan { method, data: data.clone() },
            Some(NextAction::Redirect { url } | NextAction::Form { url, .. }) if !is_web_address(url) => unusable,
            Some(NextAction::Redirect { url }) => {
                Stage::Leave { method, url: url.clone(), forward: forward && !stale, returned, stale }
            }
            Some(NextAction::Form { url, fields }) => {
                Stage::Post { method, url: url.clone(), fields: fields.clone(), forward, returned }
            }
            Some(NextAction::JsApiParams { params }) if visit.device.can(method) => Stage::Bridge {
                method,
                params: params.clone(),
                forward,
                returned,
                code_instead: offers.contains(&Method::WechatNative),
            },
            Some(NextAction::AppParams { .. } | NextAction::JsApiParams { .. } | NextAction::Confirm) => {
                Stage::InApp { method }
            }
        }
    }

    /// A stable word, for the script and the style sheet.
    pub fn code(&self) -> &'static str {
        match self {
            Stage::Choose { .. } => "choose",
            Stage::Begin { .. } => "begin",
            Stage::Elsewhere { .. } => "elsewhere",
            Stage::Preparing { .. } => "preparing",
            Stage::Scan { .. } => "scan",
            Stage::Leave { .. } => "leave",
            Stage::Post { .. } => "post",
            Stage::Bridge { .. } => "bridge",
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
            | Stage::Begin { .. }
            | Stage::Elsewhere { .. }
            | Stage::Preparing { .. }
            | Stage::Scan { .. }
            | Stage::Leave { .. }
            | Stage::Post { .. }
            | Stage::Bridge { .. }
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
            Stage::Scan { .. }
            | Stage::Leave { .. }
            | Stage::Post { .. }
            | Stage::Bridge { .. }
            | Stage::Elsewhere { .. }
            | Stage::InApp { .. } => Some(6),
            Stage::Ending { .. } => Some(4),
            // A phone that scanned the code goes on elsewhere.
            Stage::Choose { scanners, .. } if !scanners.is_empty() => Some(6),
            Stage::Choose { .. }
            | Stage::Begin { .. }
            | Stage::Held
            | Stage::Paid { .. }
            | Stage::LateHeld
            | Stage::Expired
            | Stage::Canceled
            | Stage::Failed => None,
        }
    }
}

/// Where a live attempt goes on, seen from a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Here,
    Elsewhere,
    /// Not here, and this device has a better way of its own.
    Better,
}

/// `fixed`: the shop chose the method. `methods` and `obvious` are this device's.
fn place_of(method: Method, fixed: bool, methods: &[Method], obvious: Option<Method>, visit: Visit) -> Place {
    let Visit { device, mine, wish, .. } = visit;
    if fixed {
        return Place::Here;
    }
    if !device.phone {
        // Pages and sheets for phones are opened on the phone that scanned the code.
        return if device.can(method) { Place::Here } else { Place::Elsewhere };
    }
    if (mine || wish.forward) && device.can(method) {
        return Place::Here;
    }
    let for_a_screen = method.flow() == Flow::QrCode && obvious != Some(method);
    let has_better = methods.iter().any(|method| method.flow() != Flow::QrCode);
    match (device.can(method), obvious) {
        // The sheet is the one person's whom WeChat named.
        (true, Some(Method::WechatJsapi)) if method == Method::WechatJsapi && visit.introduce => Place::Better,
        (true, _) if for_a_screen && has_better => Place::Better,
        (true, _) => Place::Here,
        (false, Some(_)) => Place::Better,
        (false, None) => Place::Elsewhere,
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
    const BROWSER: Device = Device { inside: None, phone: true };
    const WECHAT: Device = Device { inside: Some(Brand::WeChat), phone: true };
    const ALIPAY: Device = Device { inside: Some(Brand::Alipay), phone: true };
    const OFFERS: [Method; 2] = [Method::WechatNative, Method::AlipayQr];
    const WIDE: [Method; 6] = [
        Method::WechatNative,
        Method::WechatJsapi,
        Method::WechatH5,
        Method::AlipayQr,
        Method::AlipayPage,
        Method::AlipayWap,
    ];

    fn visit(device: Device, wish: Wish) -> Visit {
        Visit { device, wish, mine: false, introduce: false, reachable: true }
    }

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
        Stage::of(payment, attempt, &OFFERS, visit(COMPUTER, wish), NOW)
    }

    /// The face for a payment whose current attempt is by this method, with everything on offer.
    fn seen(method: Option<Method>, visit: Visit) -> Stage {
        let open = payment(if method.is_some() { PaymentState::Processing } else { PaymentState::Open });
        let next_action = method.and_then(|method| match method.flow() {
            Flow::QrCode => code(),
            Flow::JsApi => Some(NextAction::JsApiParams { params: BTreeMap::new() }),
            Flow::Redirect => Some(NextAction::Redirect { url: "https://wallet.example/".into() }),
            Flow::App | Flow::BarCode => None,
        });
        let live = method.map(|method| Attempt { method, ..attempt(AttemptState::Pending, Step::Ask, next_action) });
        Stage::of(&open, live.as_ref(), &WIDE, visit, NOW)
    }

    /// The face in short: its word, whether it goes on by itself, and for whom.
    fn short(stage: &Stage) -> String {
        match stage {
            Stage::Begin { method, introduce, by_itself } => {
                let how = if *by_itself { "at once" } else { "pressed" };
                format!("begin {method} {how}{}", if *introduce { ", introduced" } else { "" })
            }
            Stage::Choose { scanners, .. } => format!("choose, {} scan", scanners.len()),
            Stage::Elsewhere { method, scanners } => format!("elsewhere {method}, {} scan", scanners.len()),
            other => other.code().to_owned(),
        }
    }

    #[test]
    fn each_device_says_what_is_to_be_done_there() {
        use Method::{AlipayQr, AlipayWap, WechatH5, WechatJsapi, WechatNative};
        for (attempt, device, mine, face) in [
            (None, COMPUTER, false, "choose, 2 scan"),
            (None, BROWSER, false, "choose, 0 scan"),
            (None, WECHAT, false, "begin wechat_jsapi at once"),
            (None, ALIPAY, false, "begin alipay_wap at once"),
            // The computer shows its own codes, and for everything else it says that it goes on on the phone.
            (Some(WechatNative), COMPUTER, false, "scan"),
            (Some(AlipayWap), COMPUTER, false, "elsewhere alipay_wap, 2 scan"),
            (Some(AlipayWap), COMPUTER, true, "elsewhere alipay_wap, 2 scan"),
            (Some(WechatJsapi), COMPUTER, false, "elsewhere wechat_jsapi, 2 scan"),
            // A phone leaves a computer's code for what it can do better, unless its customer chose the code here.
            (Some(WechatNative), WECHAT, false, "begin wechat_jsapi at once"),
            (Some(WechatNative), WECHAT, true, "scan"),
            (Some(AlipayQr), WECHAT, false, "begin wechat_jsapi at once"),
            (Some(WechatNative), ALIPAY, false, "begin alipay_wap at once"),
            (Some(AlipayQr), ALIPAY, false, "begin alipay_wap at once"),
            (Some(AlipayQr), BROWSER, false, "choose, 0 scan"),
            (Some(AlipayQr), BROWSER, true, "scan"),
            // Begun on a phone: gone on with where it can be, never taken over by looking.
            (Some(WechatJsapi), WECHAT, false, "bridge"),
            (Some(WechatJsapi), WECHAT, true, "bridge"),
            (Some(WechatJsapi), ALIPAY, false, "begin alipay_wap pressed"),
            (Some(WechatJsapi), BROWSER, false, "elsewhere wechat_jsapi, 0 scan"),
            (Some(WechatH5), BROWSER, false, "leave"),
            (Some(WechatH5), WECHAT, false, "begin wechat_jsapi at once"),
            (Some(AlipayWap), ALIPAY, true, "leave"),
            (Some(AlipayWap), WECHAT, false, "begin wechat_jsapi at once"),
        ] {
            let visit = Visit { mine, ..visit(device, Wish::default()) };
            assert_eq!(short(&seen(attempt, visit)), face, "{attempt:?} on {device:?}, mine: {mine}");
        }
    }

    #[test]
    fn who_has_to_be_introduced_is_and_two_phones_do_not_take_turns() {
        let wechat =
            |attempt, mine, wish| short(&seen(attempt, Visit { mine, introduce: true, ..visit(WECHAT, wish) }));
        assert_eq!(wechat(None, false, Wish::default()), "begin wechat_jsapi at once, introduced");
        assert_eq!(wechat(Some(Method::WechatJsapi), true, Wish::default()), "bridge");
        let others = wechat(Some(Method::WechatJsapi), false, Wish::default());
        assert_eq!(others, "begin wechat_jsapi pressed, introduced", "another person's sheet does not open here");
        let back = Wish { forward: true, ..Wish::default() };
        assert_eq!(wechat(Some(Method::WechatJsapi), false, back), "bridge", "also where no cookies are kept");
        let asked = Wish { introduce: true, choose: true, ..Wish::default() };
        assert_eq!(wechat(Some(Method::WechatNative), true, asked), "begin wechat_jsapi at once, introduced");
        let computer = Visit { introduce: true, ..visit(COMPUTER, asked) };
        assert_eq!(short(&seen(None, computer)), "choose, 2 scan", "a wish for it elsewhere is no wish");
    }

    #[test]
    fn who_came_back_or_wants_to_choose_is_not_sent_on_by_itself() {
        let returned = Wish { returned: true, ..Wish::default() };
        assert_eq!(short(&seen(None, visit(ALIPAY, returned))), "begin alipay_wap pressed");
        for wish in [Wish { choose: true, ..returned }, Wish { unavailable: true, ..Wish::default() }] {
            assert_eq!(short(&seen(None, visit(ALIPAY, wish))), "choose, 0 scan");
        }
    }

    #[test]
    fn one_code_is_shown_where_phones_can_open_it_and_the_customer_may_choose() {
        let unreachable = Visit { reachable: false, ..visit(COMPUTER, Wish::default()) };
        assert_eq!(short(&seen(None, unreachable)), "choose, 0 scan");
        let fixed = Payment { method: Some(Method::AlipayQr), ..payment(PaymentState::Open) };
        let face = Stage::of(&fixed, None, &WIDE, visit(COMPUTER, Wish::default()), NOW);
        assert_eq!(short(&face), "choose, 0 scan");
        let one_wallet = [Method::WechatNative, Method::WechatH5];
        let open = payment(PaymentState::Open);
        let face = Stage::of(&open, None, &one_wallet, visit(COMPUTER, Wish::default()), NOW);
        assert_eq!(short(&face), "choose, 0 scan");
    }

    #[test]
    fn a_page_that_opens_for_five_minutes_is_asked_for_again_afterwards() {
        let open = payment(PaymentState::Processing);
        let next_action = Some(NextAction::Redirect { url: "https://wx.tenpay.com/".into() });
        let live = Attempt { method: Method::WechatH5, ..attempt(AttemptState::Pending, Step::Ask, next_action) };
        let at = |minutes| {
            let now = NOW.plus(Duration::from_minutes(minutes));
            let wish = Wish { forward: true, ..Wish::default() };
            match Stage::of(&open, Some(&live), &WIDE, visit(BROWSER, wish), now) {
                Stage::Leave { stale, forward, .. } => (stale, forward),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((at(4), at(5)), ((false, true), (true, false)));
    }

    #[test]
    fn the_stored_state_decides_and_no_wish_changes_it() {
        let everything =
            Wish { choose: true, returned: true, forward: true, unavailable: true, introduce: true, pretend: None };
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
        let expected =
            Stage::Choose { methods: OFFERS.to_vec(), note: Note::None, under_way: true, scanners: Vec::new() };
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
