//! What the notary promises: it notices an older copy, a rewritten chain and a file of somebody else.

use super::*;
use crate::crypto::MasterKey;
use crate::domain::ids::{AccountId, Mode};
use crate::domain::money::Currency;
use crate::flows::books;
use crate::ledger::rules::{Unexpected, long_received};
use crate::store::StoreOptions;

struct Shop {
    store: Store,
    notary: Notary,
    file: PathBuf,
}

fn scope() -> Scope {
    Scope { merchant: MerchantId::from_bytes([1; 16]), mode: Mode::Test }
}

fn shop(name: &str) -> Shop {
    let file = std::env::temp_dir().join(format!("coffer-proof-{}-{name}.log", std::process::id()));
    drop(fs::remove_file(&file));
    let store = Store::open_memory(StoreOptions::default()).unwrap();
    let notary = notary(&store, &file);
    Shop { store, notary, file }
}

fn notary(store: &Store, file: &Path) -> Notary {
    let vault = Vault::new(&MasterKey::from_bytes([7; 32]));
    Notary::open(store.clone(), Env::system(), &vault, file.to_owned()).unwrap()
}

fn book(store: &Store, number: u8) {
    let entry = long_received(
        &Unexpected {
            case: crate::domain::ids::CaseId::from_bytes([number; 16]),
            channel: AccountId::from_bytes([2; 16]),
            payment: None,
            attempt: None,
            amount: crate::domain::money::Money::new(100, Currency::CNY),
        },
        Timestamp::from_seconds(i64::from(number)),
    );
    let entry = entry.unwrap();
    store.write_blocking(move |tx| books::post(tx, scope(), entry.clone())).unwrap();
}

impl Drop for Shop {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.file));
    }
}

#[test]
fn a_store_that_has_grown_agrees_with_its_checkpoints() {
    let shop = shop("grown");
    book(&shop.store, 1);
    assert_eq!(shop.notary.sign().unwrap(), 1);
    assert_eq!(shop.notary.sign().unwrap(), 0, "nothing new, nothing signed");
    book(&shop.store, 2);
    assert_eq!(shop.notary.check().unwrap(), 1);
}

#[test]
fn an_older_copy_is_noticed() {
    let shop = shop("older");
    book(&shop.store, 1);
    book(&shop.store, 2);
    shop.notary.sign().unwrap();
    shop.store.write_blocking(|tx| tx.delete(&JOURNAL, &(scope(), 2))).unwrap();
    assert!(matches!(shop.notary.check(), Err(Alarm::Older { .. })));
}

#[test]
fn a_rewritten_chain_is_noticed() {
    let shop = shop("rewritten");
    book(&shop.store, 1);
    shop.notary.sign().unwrap();
    shop.store
        .write_blocking(|tx| {
            let mut entry = tx.get(&JOURNAL, &(scope(), 1))?.unwrap();
            entry.hash[0] ^= 1;
            tx.put(&JOURNAL, &(scope(), 1), &entry)
        })
        .unwrap();
    assert!(matches!(shop.notary.check(), Err(Alarm::Rewritten { .. })));
}

#[test]
fn a_line_that_was_changed_or_signed_by_another_is_noticed() {
    let shop = shop("forged");
    book(&shop.store, 1);
    shop.notary.sign().unwrap();
    let text = fs::read_to_string(&shop.file).unwrap();
    fs::write(&shop.file, text.replace("\"seq\":1", "\"seq\":0")).unwrap();
    assert!(matches!(shop.notary.check(), Err(Alarm::NotGenuine { .. })));
    fs::write(&shop.file, &text).unwrap();
    let other = Store::open_memory(StoreOptions::default()).unwrap();
    assert!(matches!(notary(&other, &shop.file).check(), Err(Alarm::NotGenuine { .. })));
}

#[test]
fn a_line_cut_off_by_a_crash_says_nothing_and_hurts_nothing() {
    let shop = shop("cut");
    book(&shop.store, 1);
    shop.notary.sign().unwrap();
    let whole = fs::read_to_string(&shop.file).unwrap();
    fs::write(&shop.file, format!("{whole}{}", &whole[..40])).unwrap();
    assert_eq!(shop.notary.check().unwrap(), 1);
    book(&shop.store, 2);
    shop.notary.sign().unwrap();
    assert_eq!(shop.notary.check().unwrap(), 1);
    assert_eq!(fs::read_to_string(&shop.file).unwrap().lines().count(), 2);
}

#[test]
fn a_chain_without_an_entry_that_was_signed_is_noticed_without_the_file() {
    let shop = shop("remembered");
    book(&shop.store, 1);
    assert_eq!(shop.store.read_blocking(check_remembered).unwrap(), 0, "nothing was signed yet");
    shop.notary.sign().unwrap();
    book(&shop.store, 2);
    assert_eq!(shop.store.read_blocking(check_remembered).unwrap(), 1);
    shop.store.write_blocking(|tx| tx.delete(&JOURNAL, &(scope(), 1))).unwrap();
    let alarm = shop.store.read_blocking(check_remembered).unwrap_err();
    assert!(matches!(alarm, Alarm::Older { .. }), "{alarm}");
}
