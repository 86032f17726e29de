//! The check of everything against itself: a shop's real past is clean, and every damage is found and named.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use coffer::audit::log::Stamp;
use coffer::audit::{Action, Detail};
use coffer::crypto::{MasterKey, Secret, Vault};
use coffer::demo::past::{self, Cast};
use coffer::domain::endpoint::{Delivery, DeliveryState, Endpoint, EndpointState};
use coffer::domain::event::EventType;
use coffer::domain::follow::Step;
use coffer::domain::ids::{
    AccountId, CaseId, EndpointId, EventId, KeyId, MerchantId, Mode, PaymentId, RefundId, Scope, UserId,
};
use coffer::domain::payment::{Attempt, AttemptState, Payment, PaymentState};
use coffer::domain::time::{Duration, Timestamp};
use coffer::env::Env;
use coffer::flows::effect::{Effect, Lane};
use coffer::flows::setup::NewMerchant;
use coffer::flows::verify::{Verified, verify, verify_live};
use coffer::ledger::{Account, AccountCode, Balance};
use coffer::store::tables::*;
use coffer::store::{Key, Order, Read, Record, Span, Store, StoreError, StoreOptions, Table, WriteTx};

const NOW: Timestamp = Timestamp::from_seconds(1_795_432_000);
const LIVED_DAYS: u32 = 2;
const ENDPOINT: EndpointId = EndpointId::from_bytes([9; 16]);

/// A shop that has lived for some days.
fn lived() -> (Store, Scope) {
    let store = Store::open_memory(StoreOptions::default()).unwrap();
    let vault = Vault::new(&MasterKey::from_bytes([1; 32]));
    let mut account = None;
    let merchant = NewMerchant::prepare(&Env::system(), &vault, "m", "Asia/Shanghai", |id| {
        account = Some(id);
        Secret::new("{}")
    });
    let scope = merchant.scope(Mode::Test);
    let endpoint = Endpoint {
        id: ENDPOINT,
        url: "http://127.0.0.1:1/callback".to_owned(),
        description: String::new(),
        events: BTreeSet::new(),
        secret: None,
        previous_secret: None,
        state: EndpointState::Enabled,
        breaker: Default::default(),
        implicit: false,
        created_at: NOW,
    };
    let id = merchant.id();
    store
        .write_blocking(move |tx| {
            merchant.store(tx)?;
            for object in ["one", "two", "three"] {
                Stamp::system(NOW).record(tx, id, Action::SettingsChanged, object, Detail::new())?;
            }
            tx.put(&ENDPOINTS, &(scope, ENDPOINT), &endpoint)
        })
        .unwrap();
    let cast = Cast {
        scope,
        account: account.unwrap(),
        mch_id: "1900000001".to_owned(),
        app_id: "wx1".to_owned(),
        endpoint: ENDPOINT,
        base_url: "http://127.0.0.1:1".to_owned(),
        shop_url: "http://127.0.0.1:1/shop".to_owned(),
        callback_url: "http://127.0.0.1:1/callback".to_owned(),
        person: UserId::from_bytes([7; 16]),
        key: KeyId::from_bytes([6; 16]),
    };
    past::live(&store, &cast, LIVED_DAYS, NOW, &mut |_, _| {}).unwrap();
    (store, scope)
}

fn check(store: &Store) -> Result<Verified, String> {
    store
        .read_blocking(|tx| Ok::<_, StoreError>(verify(tx, &mut |_| {}).map_err(|finding| finding.to_string())))
        .unwrap()
}

#[test]
fn a_lived_past_is_clean_and_all_of_it_was_looked_at() {
    let (store, scope) = lived();
    let verified = check(&store).unwrap();
    let rows =
        |f: &dyn Fn(&coffer::store::ReadTx) -> usize| store.read_blocking(|tx| Ok::<_, StoreError>(f(tx))).unwrap();
    let payments = rows(&|tx| tx.scan(&PAYMENTS, &Span::prefix(&scope), Order::Ascending, 10_000).unwrap().len());
    assert_eq!(verified.payments, payments as u64);
    assert!(verified.refunds > 0 && verified.deliveries > verified.payments, "{verified:?}");
    assert!(verified.journal_entries > 0 && verified.audit_records > 0);
    assert_eq!(verify_live(&store, &mut |_| {}).unwrap(), verified);
}

/// The first row of a table that a condition holds for.
#[track_caller]
fn some<K: Key, V: Record>(tx: &impl Read, table: &Table<K, V>, holds: impl Fn(&K, &V) -> bool) -> (K, V) {
    let mut found = None;
    tx.walk(table, &Span::all(), |key, value| {
        Ok::<_, StoreError>(if holds(&key, &value) {
            found = Some((key, value));
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })
    .unwrap();
    found.unwrap_or_else(|| panic!("the past has no such row in {}", table.name()))
}

#[track_caller]
fn drop_first<K: Key, V: Record>(tx: &mut WriteTx<'_>, table: &Table<K, V>) {
    drop_one(tx, table, |_, _| true);
}

#[track_caller]
fn drop_one<K: Key, V: Record>(tx: &mut WriteTx<'_>, table: &Table<K, V>, holds: impl Fn(&K, &V) -> bool) {
    let (key, _) = some(tx, table, holds);
    assert!(tx.delete(table, &key).unwrap());
}

/// Changes the first row that a condition holds for.
#[track_caller]
fn change<K: Key, V: Record>(
    tx: &mut WriteTx<'_>,
    table: &Table<K, V>,
    holds: impl Fn(&K, &V) -> bool,
    f: impl FnOnce(&mut V),
) {
    let (key, mut value) = some(tx, table, holds);
    f(&mut value);
    tx.put(table, &key, &value).unwrap();
}

/// Puts the value of the first row under another key as well.
#[track_caller]
fn stray<K: Key, V: Record>(tx: &mut WriteTx<'_>, table: &Table<K, V>, f: impl FnOnce(K) -> K) {
    let (key, value) = some(tx, table, |_, _| true);
    let key = f(key);
    assert!(!tx.contains(table, &key).unwrap());
    tx.put(table, &key, &value).unwrap();
}

type Damage = fn(&mut WriteTx<'_>);

/// Every damage, and words of the finding.
const DAMAGES: &[(&str, Damage)] = &[
    // The journal and the balances.
    ("I3", |tx| change(tx, &BALANCES, |_, b| b.debit_minor > 0, |b| b.debit_minor += 1)),
    ("I3", |tx| drop_one(tx, &BALANCES, |_, b| b.debit_minor != b.credit_minor)),
    ("I3", |tx| drop_one(tx, &BALANCES, |(_, _, account), _| is_of(*account, AccountCode::RefundInTransit))),
    ("I3", |tx| {
        let of_refund =
            |(_, _, account): &(Scope, [u8; 3], [u8; 19]), _: &Balance| is_of(*account, AccountCode::RefundInTransit);
        change(tx, &BALANCES, of_refund, |b| {
            b.debit_minor += 1;
            b.credit_minor += 1;
        });
    }),
    ("nothing was ever posted to it", |tx| {
        let account = Account::refund_in_transit(RefundId::from_bytes([7; 16])).to_bytes();
        let (key, _) = some(tx, &BALANCES, |_, _| true);
        let balance = Balance { debit_minor: 5, credit_minor: 5 };
        tx.put(&BALANCES, &(key.0, key.1, account), &balance).unwrap();
        let of_refunds =
            |(_, _, code): &(Scope, [u8; 3], u16), _: &Balance| *code == AccountCode::RefundInTransit.code();
        change(tx, &ACCOUNT_TOTALS, of_refunds, |total| {
            total.debit_minor += 5;
            total.credit_minor += 5;
        });
    }),
    ("table account_totals", |tx| drop_first(tx, &ACCOUNT_TOTALS)),
    ("table account_totals", |tx| change(tx, &ACCOUNT_TOTALS, |_, _| true, |total| total.credit_minor += 1)),
    ("I9: entry 3: it follows entry 1", |tx| drop_one(tx, &JOURNAL, |(_, seq), _| *seq == 2)),
    ("I9: entry 2: its content was changed", |tx| change(tx, &JOURNAL, |(_, seq), _| *seq == 2, |c| c.hash[0] ^= 1)),
    ("I9: entry 2: it follows entry 2", |tx| {
        let ((scope, _), second) = some(tx, &JOURNAL, |(_, seq), _| *seq == 2);
        tx.put(&JOURNAL, &(scope, 3), &second).unwrap();
    }),
    ("its end was stored as", |tx| change(tx, &JOURNAL_HEADS, |_, _| true, |head| head.seq += 1)),
    ("its end was stored as", |tx| drop_first(tx, &JOURNAL_HEADS)),
    ("table journal_by_cause", |tx| drop_first(tx, &JOURNAL_BY_CAUSE)),
    ("table journal_by_cause", |tx| stray(tx, &JOURNAL_BY_CAUSE, |(scope, _)| (scope, [1; 17]))),
    ("table journal_by_payment", |tx| drop_first(tx, &JOURNAL_BY_PAYMENT)),
    ("table journal_by_payment", |tx| stray(tx, &JOURNAL_BY_PAYMENT, |(scope, id, _)| (scope, id, 1 << 40))),
    ("table journal_by_account", |tx| drop_first(tx, &JOURNAL_BY_ACCOUNT)),
    ("table journal_by_account", |tx| stray(tx, &JOURNAL_BY_ACCOUNT, |(scope, _, seq)| (scope, 1002, seq))),
    // Payments and attempts.
    ("I5", |tx| change(tx, &PAYMENTS, is_paid, |p| p.refunded_minor = p.amount.minor() + 1)),
    ("its refunds add up to", |tx| change(tx, &PAYMENTS, |_, p| p.refunded_minor > 0, |p| p.refunded_minor -= 1)),
    ("I7", |tx| {
        change(
            tx,
            &PAYMENTS,
            |key, p| is_paid(key, p) && p.refunds.is_empty(),
            |p| {
                p.state = PaymentState::Expired;
                p.fee_minor = 0;
            },
        );
    }),
    ("I7", |tx| {
        change(tx, &PAYMENTS, |key, p| is_paid(key, p) && p.fee_minor > 1 && p.refunds.is_empty(), |p| p.fee_minor -= 1)
    }),
    ("I10", |tx| change(tx, &PAYMENTS, is_paid, |p| p.current = None)),
    ("I10", |tx| {
        change(tx, &PAYMENTS, |_, p| p.state == PaymentState::Expired, |p| p.state = PaymentState::Processing)
    }),
    ("I11", |tx| change(tx, &PAYMENTS, |_, p| p.state == PaymentState::Expired, |p| p.state = PaymentState::Failed)),
    ("table payments, row pay_", |tx| {
        stray(tx, &PAYMENTS, |(scope, id)| (Scope { merchant: MerchantId::from_bytes([3; 16]), ..scope }, id));
    }),
    ("table payments, row pay_", |tx| drop_one(tx, &PAYMENTS, is_paid)),
    ("table payments_by_state", |tx| drop_first(tx, &PAYMENTS_BY_STATE)),
    ("table payments_by_state", |tx| stray(tx, &PAYMENTS_BY_STATE, |(scope, state, id)| (scope, state + 1, id))),
    ("table payment_by_order", |tx| drop_first(tx, &PAYMENT_BY_ORDER)),
    ("table payment_by_order", |tx| stray(tx, &PAYMENT_BY_ORDER, |(scope, _)| (scope, "another".to_owned()))),
    ("table payment_by_transaction", |tx| drop_first(tx, &PAYMENT_BY_TRANSACTION)),
    ("table payment_by_transaction", |tx| {
        stray(tx, &PAYMENT_BY_TRANSACTION, |(scope, _)| (scope, "another".to_owned()));
    }),
    ("table attempts", |tx| drop_first(tx, &ATTEMPTS)),
    ("table attempts, row att_", |tx| {
        change(
            tx,
            &ATTEMPTS,
            |_, a| a.state == AttemptState::Closed,
            |a| {
                a.amount = a.amount.checked_add(a.amount).unwrap();
            },
        );
    }),
    ("there is no case", |tx| change(tx, &ATTEMPTS, |_, a| a.follow_up.is_none() && a.paid_at.is_none(), hold)),
    ("table timeline", |tx| drop_first(tx, &TIMELINE)),
    ("table timeline", |tx| stray(tx, &TIMELINE, |(scope, _, n)| (scope, PaymentId::from_bytes([1; 16]), n))),
    // Refunds and cases.
    ("table refunds", |tx| drop_first(tx, &REFUNDS)),
    ("table refunds", |tx| stray(tx, &REFUNDS, |(scope, _)| (scope, RefundId::from_bytes([1; 16])))),
    ("table refunds_by_state", |tx| drop_first(tx, &REFUNDS_BY_STATE)),
    ("table refunds_by_state", |tx| stray(tx, &REFUNDS_BY_STATE, |(scope, state, id)| (scope, state + 1, id))),
    ("table refund_by_number", |tx| drop_first(tx, &REFUND_BY_NUMBER)),
    ("table refund_by_number", |tx| stray(tx, &REFUND_BY_NUMBER, |(scope, _)| (scope, "another".to_owned()))),
    ("I6", |tx| change(tx, &CASES, |_, _| true, |case| case.suspense_minor += 1)),
    ("table cases", |tx| drop_first(tx, &CASES)),
    ("table cases_open", |tx| drop_first(tx, &CASES_OPEN)),
    ("table cases_open", |tx| stray(tx, &CASES_OPEN, |(scope, _)| (scope, CaseId::from_bytes([1; 16])))),
    ("table case_by_cause", |tx| drop_first(tx, &CASE_BY_CAUSE)),
    ("table case_by_cause", |tx| stray(tx, &CASE_BY_CAUSE, |(scope, id, _)| (scope, id, 200))),
    // Events, totals, callbacks.
    ("table events", |tx| drop_first(tx, &EVENTS)),
    ("table events_by_payment, row evt_", |tx| stray(tx, &EVENTS, |(scope, _)| (scope, EventId::from_bytes([1; 16])))),
    ("I11", |tx| drop_first(tx, &EVENTS_BY_PAYMENT)),
    ("I11", |tx| {
        let ((scope, id), event) = some(tx, &EVENTS, |_, event| event.kind == EventType::PaymentPaid);
        let (key, _) = some(tx, &PAYMENTS, |(_, id), _| Some(*id) != event.payment());
        tx.put(&EVENTS_BY_PAYMENT, &(scope, key.1, id), &()).unwrap();
    }),
    ("table days, row day", |tx| change(tx, &DAYS, |_, day| day.paid > 0, |day| day.paid_minor += 1)),
    ("table days, row day", |tx| drop_first(tx, &DAYS)),
    ("table deliveries", |tx| drop_first(tx, &DELIVERIES)),
    ("table deliveries_by_endpoint", |tx| drop_first(tx, &DELIVERIES_BY_ENDPOINT)),
    ("table deliveries_by_endpoint", |tx| {
        stray(tx, &DELIVERIES_BY_ENDPOINT, |(scope, endpoint, state, event)| (scope, endpoint, state + 1, event));
    }),
    ("table delivery_attempts", |tx| drop_first(tx, &DELIVERY_ATTEMPTS)),
    ("table delivery_attempts", |tx| stray(tx, &DELIVERY_ATTEMPTS, |(scope, event, to, n)| (scope, event, to, n + 99))),
    ("nobody sends it", |tx| {
        let (key, delivery) = some(tx, &DELIVERIES, |_, _| true);
        let (scope, event, endpoint) = key;
        let place = |state: DeliveryState| {
            let place = DeliveryState::ALL.iter().position(|other| *other == state).unwrap();
            (scope, endpoint, u8::try_from(place).unwrap(), event)
        };
        tx.delete(&DELIVERIES_BY_ENDPOINT, &place(delivery.state)).unwrap();
        tx.put(&DELIVERIES_BY_ENDPOINT, &place(DeliveryState::Pending), &()).unwrap();
        tx.put(&DELIVERIES, &key, &Delivery { state: DeliveryState::Pending, ..delivery }).unwrap();
    }),
    // The queue.
    ("table due, row att_", |tx| drop_first(tx, &DUE)),
    ("table due, row att_", |tx| {
        stray(tx, &DUE, |(lane, at, effect)| (lane, at.plus(Duration::from_millis(1)), effect))
    }),
    ("table due, row att_", |tx| stray(tx, &DUE, |(_, at, effect)| (Lane::OWN, at, effect))),
    ("table due, row pay_", |tx| {
        let ((scope, id), payment) = some(tx, &PAYMENTS, is_paid);
        tx.put(&DUE, &(Lane::OWN, payment.expires_at, Effect::Expire(scope, id)), &()).unwrap();
    }),
    // People and the audit log.
    ("does not exist", |tx| drop_first(tx, &MERCHANTS)),
    ("it is missing", |tx| drop_first(tx, &ACCOUNTS)),
    ("table account_scopes", |tx| drop_first(tx, &ACCOUNT_SCOPES)),
    ("table account_scopes", |tx| stray(tx, &ACCOUNT_SCOPES, |_| AccountId::from_bytes([1; 16]))),
    ("table user_by_login", |tx| {
        tx.put(&USER_BY_LOGIN, &"nobody".to_owned(), &UserId::from_bytes([1; 16])).unwrap();
    }),
    ("table users_by_merchant", |tx| {
        let nobody = (MerchantId::from_bytes([1; 16]), UserId::from_bytes([1; 16]));
        tx.put(&USERS_BY_MERCHANT, &nobody, &()).unwrap();
    }),
    ("table sessions_by_user", |tx| tx.put(&SESSIONS_BY_USER, &(UserId::from_bytes([1; 16]), [1; 32]), &()).unwrap()),
    ("the audit log was changed", |tx| drop_one(tx, &AUDIT, |(_, seq), _| *seq == 2)),
];

fn is_paid(_: &(Scope, PaymentId), payment: &Payment) -> bool {
    payment.state == PaymentState::Paid
}

fn is_of(account: [u8; Account::BYTES], code: AccountCode) -> bool {
    Account::from_bytes(account).is_ok_and(|account| account.code() == code)
}

fn hold(attempt: &mut Attempt) {
    attempt.step = Step::Hold;
}

#[test]
fn every_damage_is_found_and_named() {
    let (store, _) = lived();
    let mut unnamed = Vec::new();
    for (number, (named, damage)) in DAMAGES.iter().enumerate() {
        // The damage is looked at inside a transaction that then fails, so that the next one begins clean.
        let found = store.write_blocking(move |tx| {
            damage(tx);
            Err::<(), _>(Damaged(verify(tx, &mut |_| {}).map(|_| ()).map_err(|finding| finding.to_string())))
        });
        match found {
            Err(Damaged(Err(finding))) if finding.contains(named) => {}
            Err(Damaged(Err(finding))) => unnamed.push(format!("damage {number} ({named}): {finding}")),
            Err(Damaged(Ok(()))) | Ok(()) => unnamed.push(format!("damage {number} ({named}) was not found")),
        }
    }
    assert!(unnamed.is_empty(), "{}", unnamed.join("\n"));
    check(&store).unwrap();
}

struct Damaged(Result<(), String>);

impl From<StoreError> for Damaged {
    fn from(error: StoreError) -> Self {
        panic!("{error}")
    }
}
