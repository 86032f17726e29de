//! The check of everything against itself: a shop's real past is clean, and every damage is found and named.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use coffer::audit::log::Stamp;
use coffer::audit::{Action, Detail};
use coffer::crypto::{MasterKey, Secret, Vault};
use coffer::demo::past::{self, Cast};
use coffer::domain::endpoint::{Delivery, DeliveryState, Endpoint, EndpointState};
use coffer::domain::ids::{AccountId, EndpointId, KeyId, MerchantId, Mode, Scope, UserId};
use coffer::domain::payment::PaymentState;
use coffer::domain::time::Timestamp;
use coffer::env::Env;
use coffer::flows::setup::NewMerchant;
use coffer::flows::verify::{Verified, verify};
use coffer::store::tables::*;
use coffer::store::{Key, Order, Read, Record, Span, Store, StoreError, StoreOptions, Table, WriteTx};

const NOW: Timestamp = Timestamp::from_seconds(1_795_432_000);
const DAYS: u32 = 8;
const ENDPOINT: EndpointId = EndpointId::from_bytes([9; 16]);
const ACCOUNT: AccountId = AccountId::from_bytes([8; 16]);

/// A shop that has lived for some days.
fn lived() -> (Store, Scope) {
    let store = Store::open_memory(StoreOptions::default()).unwrap();
    let vault = Vault::new(&MasterKey::from_bytes([1; 32]));
    let merchant = NewMerchant::prepare(&Env::system(), &vault, "m", "Asia/Shanghai", |_| Secret::new("{}"));
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
        account: ACCOUNT,
        mch_id: "1900000001".to_owned(),
        app_id: "wx1".to_owned(),
        endpoint: ENDPOINT,
        base_url: "http://127.0.0.1:1".to_owned(),
        shop_url: "http://127.0.0.1:1/shop".to_owned(),
        callback_url: "http://127.0.0.1:1/callback".to_owned(),
        person: UserId::from_bytes([7; 16]),
        key: KeyId::from_bytes([6; 16]),
    };
    past::live(&store, &cast, DAYS, NOW, &mut |_, _| {}).unwrap();
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
}

/// The first row of a table that a condition holds for.
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
    found.expect("the past has such a row")
}

fn drop_first<K: Key, V: Record>(tx: &mut WriteTx<'_>, table: &Table<K, V>) {
    let (key, _) = some(tx, table, |_, _| true);
    assert!(tx.delete(table, &key).unwrap());
}

type Damage = fn(&mut WriteTx<'_>);

/// Every damage, and words of the finding.
const DAMAGES: &[(&str, Damage)] = &[
    ("I3", |tx| {
        let (key, mut balance) = some(tx, &BALANCES, |_, balance| balance.debit_minor > 0);
        balance.debit_minor += 1;
        tx.put(&BALANCES, &key, &balance).unwrap();
    }),
    ("I9: entry 3: it follows entry 1", |tx| {
        let (key, _) = some(tx, &JOURNAL, |(_, seq), _| *seq == 2);
        tx.delete(&JOURNAL, &key).unwrap();
    }),
    ("I9: entry 2: its content was changed", |tx| {
        let (key, mut chained) = some(tx, &JOURNAL, |(_, seq), _| *seq == 2);
        chained.hash[0] ^= 1;
        tx.put(&JOURNAL, &key, &chained).unwrap();
    }),
    ("its end was stored as", |tx| {
        let (key, mut head) = some(tx, &JOURNAL_HEADS, |_, _| true);
        head.seq += 1;
        tx.put(&JOURNAL_HEADS, &key, &head).unwrap();
    }),
    ("I5", |tx| {
        let (key, mut payment) = some(tx, &PAYMENTS, |_, p| p.state == PaymentState::Paid);
        payment.refunded_minor = payment.amount.minor() + 1;
        tx.put(&PAYMENTS, &key, &payment).unwrap();
    }),
    ("its refunds add up to", |tx| {
        let (key, mut payment) = some(tx, &PAYMENTS, |_, p| p.refunded_minor > 0);
        payment.refunded_minor -= 1;
        tx.put(&PAYMENTS, &key, &payment).unwrap();
    }),
    ("I7", |tx| {
        let (key, mut payment) = some(tx, &PAYMENTS, |_, p| p.state == PaymentState::Paid && p.refunds.is_empty());
        payment.state = PaymentState::Expired;
        payment.fee_minor = 0;
        tx.put(&PAYMENTS, &key, &payment).unwrap();
    }),
    ("table payments_by_state", |tx| drop_first(tx, &PAYMENTS_BY_STATE)),
    ("table payment_by_order", |tx| drop_first(tx, &PAYMENT_BY_ORDER)),
    ("table payment_by_order", |tx| {
        let (key, id) = some(tx, &PAYMENT_BY_ORDER, |_, _| true);
        tx.put(&PAYMENT_BY_ORDER, &(key.0, "another".to_owned()), &id).unwrap();
    }),
    ("table payments, row", |tx| {
        let (key, payment) = some(tx, &PAYMENTS, |_, _| true);
        let nobody = Scope { merchant: MerchantId::from_bytes([3; 16]), ..key.0 };
        tx.put(&PAYMENTS, &(nobody, payment.id), &payment).unwrap();
    }),
    ("table attempts", |tx| drop_first(tx, &ATTEMPTS)),
    ("table refunds_by_state", |tx| drop_first(tx, &REFUNDS_BY_STATE)),
    ("table refund_by_number", |tx| drop_first(tx, &REFUND_BY_NUMBER)),
    ("table journal_by_cause", |tx| drop_first(tx, &JOURNAL_BY_CAUSE)),
    ("table journal_by_payment", |tx| drop_first(tx, &JOURNAL_BY_PAYMENT)),
    ("table journal_by_account", |tx| drop_first(tx, &JOURNAL_BY_ACCOUNT)),
    ("table events_by_payment", |tx| drop_first(tx, &EVENTS_BY_PAYMENT)),
    ("table deliveries_by_endpoint", |tx| drop_first(tx, &DELIVERIES_BY_ENDPOINT)),
    ("table due, row att_", |tx| drop_first(tx, &DUE)),
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
    ("table cases_open", |tx| drop_first(tx, &CASES_OPEN)),
    ("table account_scopes", |tx| drop_first(tx, &ACCOUNT_SCOPES)),
    ("the audit log was changed", |tx| {
        let (key, _) = some(tx, &AUDIT, |(_, seq), _| *seq == 2);
        tx.delete(&AUDIT, &key).unwrap();
    }),
];

#[test]
fn every_damage_is_found_and_named() {
    let (store, _) = lived();
    for (number, (named, damage)) in DAMAGES.iter().enumerate() {
        // The damage is looked at inside a transaction that then fails, so that the next one begins clean.
        let found = store.write_blocking(move |tx| {
            damage(tx);
            Err::<(), _>(Damaged(verify(tx, &mut |_| {}).map(|_| ()).map_err(|finding| finding.to_string())))
        });
        let Err(Damaged(Err(finding))) = found else { panic!("damage {number} ({named}) was not found") };
        assert!(finding.contains(named), "damage {number}: {finding}, expected {named}");
    }
    check(&store).unwrap();
}

struct Damaged(Result<(), String>);

impl From<StoreError> for Damaged {
    fn from(error: StoreError) -> Self {
        panic!("{error}")
    }
}
