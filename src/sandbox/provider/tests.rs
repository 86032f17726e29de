//! The ground under the simulated providers: what a payer and a merchant can do to one order, whatever the provider's words.

use super::certificate::{self, Contents, Part};
use super::fault::{Fault, Faults};
use super::model::*;
use crate::crypto::rsa::Digest;
use crate::domain::money::{Currency, Money};
use crate::domain::time::{Duration, Timestamp};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const LIFE: Duration = Duration::from_hours(2);
const RULES: RefundRules = RefundRules {
    count_max: 3,
    gap_min: Duration::from_minutes(1),
    window: Duration::from_days(365),
    takes: Duration::from_seconds(2),
};

fn yuan(fen: u64) -> Money {
    Money::new(fen, Currency::CNY)
}

fn asked() -> NewOrder {
    NewOrder {
        merchant: "m".to_owned(),
        number: "order-1".to_owned(),
        amount: yuan(1000),
        description: "mug".to_owned(),
        expires_at: NOW.plus(Duration::from_minutes(30)),
        notify_url: None,
        return_url: None,
        failure_ends: false,
        details: String::new(),
    }
}

fn order(faults: &[Fault]) -> Order {
    Order::create(asked(), [1; 16], LIFE, faults.iter().copied().collect(), NOW).order
}

fn paid(faults: &[Fault]) -> Order {
    order(faults).act(Deed::Pay, NOW).unwrap().order
}

fn refund(order: &Order, number: &str, fen: u64, now: Timestamp) -> Result<(Order, RefundChange), Refusal> {
    let asked = NewRefund {
        merchant: "m".to_owned(),
        order: "order-1".to_owned(),
        number: number.to_owned(),
        amount: yuan(fen),
        notify_url: None,
        details: String::new(),
    };
    order.refund(asked, RULES, now)
}

fn later(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_seconds(seconds))
}

#[test]
fn an_order_runs_out_and_is_told_to_be_closed_at_its_own_time() {
    let over = order(&[]).advance(later(1801));
    assert_eq!((over.order.state, over.order.ended_at), (TradeState::Closed, Some(later(1800))));
    assert_eq!(over.notices[0].what, Event::OrderClosed);
    assert!(over.order.advance(later(1900)).notices.is_empty(), "told once");
    assert_eq!(over.order.act(Deed::Pay, later(1900)), Err(Refusal::Closed));
}

#[test]
fn only_an_unpaid_order_closes_and_only_a_paid_one_gives_money_back_when_revoked() {
    assert_eq!(order(&[]).close(NOW).unwrap().order.state, TradeState::Closed);
    assert_eq!(paid(&[]).close(NOW), Err(Refusal::Paid));
    let typing = order(&[]).act(Deed::PaySlowly, NOW).unwrap().order;
    assert_eq!(typing.close(NOW).unwrap().order.advance(later(60)).order.state, TradeState::Closed);
    let shown = NewOrder { failure_ends: true, ..asked() };
    let shown = Order::create(shown, [1; 16], LIFE, Faults::NONE, NOW).order;
    assert_eq!(shown.act(Deed::PaySlowly, NOW).unwrap().order.close(NOW), Err(Refusal::Paying));
    let revoked = typing.revoke(NOW).unwrap().order;
    assert_eq!((revoked.state, revoked.advance(later(60)).order.state), (TradeState::Revoked, TradeState::Revoked));
    let given_back = paid(&[]).revoke(NOW).unwrap().order;
    assert_eq!((given_back.state, given_back.refunded_minor), (TradeState::Revoked, 1000));
    assert_eq!(given_back.revoke(NOW).unwrap().notices, [], "revoking twice is revoking once");
}

#[test]
fn a_slow_payer_pays_after_the_password() {
    let typing = order(&[]).act(Deed::PaySlowly, NOW).unwrap();
    assert_eq!(typing.order.advance(later(7)).order.state, TradeState::Paying);
    let done = typing.order.advance(later(8));
    assert_eq!((done.order.state, done.notices.len()), (TradeState::Paid, 1));
}

#[test]
fn a_refusal_ends_only_what_a_shown_code_began() {
    assert_eq!(order(&[]).act(Deed::Refuse, NOW).unwrap().order.state, TradeState::NotPaid);
    let shown = NewOrder { failure_ends: true, ..asked() };
    let shown = Order::create(shown, [1; 16], LIFE, Faults::NONE, NOW).order;
    assert_eq!(shown.act(Deed::BalanceShort, NOW).unwrap().order.state, TradeState::Failed);
}

#[test]
fn refunds_never_exceed_the_payment_nor_the_rules() {
    let (order, first) = refund(&paid(&[]), "r1", 600, NOW).unwrap();
    assert_eq!((first.refund.status, first.wake), (RefundStatus::Processing, Some(later(2))));
    assert_eq!(refund(&order, "r2", 401, later(60)).unwrap_err(), Refusal::TooMuch);
    assert_eq!(refund(&order, "r2", 1, later(59)).unwrap_err(), Refusal::TooSoon);
    let (order, _) = refund(&order, "r2", 1, later(60)).unwrap();
    let (order, _) = refund(&order, "r3", 1, later(120)).unwrap();
    assert_eq!(refund(&order, "r4", 1, later(180)).unwrap_err(), Refusal::TooManyRefunds);
    let a_year_later = NOW.plus(Duration::from_days(366));
    assert_eq!(refund(&paid(&[]), "r1", 1, a_year_later).unwrap_err(), Refusal::TooLate);
    assert_eq!(refund(&self::order(&[]), "r1", 1, NOW).unwrap_err(), Refusal::NotPaid);
    let done = first.refund.advance(later(2));
    assert_eq!((done.refund.status, done.notices[0].what), (RefundStatus::Success, Event::Refunded));
}

#[test]
fn a_refund_to_a_closed_card_waits_for_help() {
    let (_, change) = refund(&paid(&[Fault::CardClosed]), "r1", 600, NOW).unwrap();
    let stuck = change.refund.advance(later(2));
    assert_eq!((stuck.refund.status, stuck.released_minor), (RefundStatus::Abnormal, 0));
    let helped = stuck.refund.help(Helped::Card, RULES.takes, later(10)).unwrap().refund;
    assert_eq!(helped.help(Helped::Card, RULES.takes, later(10)), Err(Refusal::RefundState));
    assert_eq!(helped.advance(later(12)).refund.status, RefundStatus::Success);
    let (_, change) = refund(&paid(&[Fault::RefundStuck]), "r1", 600, NOW).unwrap();
    assert_eq!(change.refund.advance(later(86_400)).refund.status, RefundStatus::Processing);
    assert_eq!(change.refund.advance(NOW.plus(STUCK_FOR)).refund.status, RefundStatus::Success);
}

#[test]
fn notices_follow_the_faults() {
    let told = |faults: &[Fault]| order(faults).act(Deed::Pay, NOW).unwrap().notices;
    assert_eq!(told(&[]).len(), 1);
    assert_eq!(told(&[Fault::LoseNotification]).len(), 0);
    assert_eq!(told(&[Fault::DoubleNotification]).len(), 2);
    assert!(told(&[Fault::ForgeNotification])[0].forged && told(&[Fault::ProbeNotification])[0].probed);
    assert_eq!(told(&[Fault::DelayNotification])[0].at, NOW.plus(DELAYED_BY));
    assert!(told(&[Fault::ReorderNotification])[0].overtaken);
}

#[test]
fn a_repetition_may_differ_in_the_time_to_pay_alone() {
    let first = asked();
    assert!(NewOrder { expires_at: NOW, ..asked() }.repeats(&first));
    assert!(!NewOrder { amount: yuan(999), ..asked() }.repeats(&first));
    assert!(!NewOrder { details: "other".to_owned(), ..asked() }.repeats(&first));
}

#[test]
fn every_fault_deed_and_mood_reads_back() {
    for deed in Deed::ALL {
        assert_eq!(Deed::parse(deed.code()), Some(deed));
    }
    for mood in super::records::Mood::ALL {
        assert_eq!(super::records::Mood::parse(mood.code()), Some(mood));
    }
    assert!(Fault::ALL.len() < 64, "one bit each");
}

#[test]
fn a_certificate_has_the_structure_that_readers_expect() {
    let names: certificate::Name<'_> = &[(Part::Country, "CN"), (Part::Common, "测试")];
    let contents = Contents {
        serial: &[0xff, 1],
        issuer: names,
        subject: names,
        not_before: NOW,
        not_after: NOW.plus(Duration::from_days(9000)),
        public_key: &[0x30, 0],
        authority: false,
        digest: Digest::Sha256,
    };
    let der = certificate::write(&contents, |body| {
        assert_eq!(body[0], 0x30);
        vec![9; 256]
    });
    assert_eq!(&der[..2], &[0x30, 0x82], "a sequence with a long length");
    assert_eq!(usize::from(der[2]) * 256 + usize::from(der[3]) + 4, der.len());
    let has = |needle: &[u8]| der.windows(needle.len()).any(|window| window == needle);
    assert!(has(&[0x02, 3, 0, 0xff, 1]), "the serial stays positive");
    assert!(has(b"\x17\x0d270115080000Z") && has(b"\x18\x0f20510906080000Z"), "{der:02x?}");
    assert!(certificate::pem("CERTIFICATE", &der).starts_with("-----BEGIN CERTIFICATE-----\nMII"));
}
