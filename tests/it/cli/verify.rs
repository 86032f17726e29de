//! `coffer verify` on good and on damaged files.

use coffer::domain::ids::Mode;
use coffer::store::tables::{AUDIT, CALLBACK_DEFAULTS, MERCHANTS};
use coffer::store::{Order, Read, Span, Store, StoreOptions};

use super::running::Folder;

/// Changes the store behind the program's back.
fn tamper(folder: &Folder, change: impl Fn(&mut coffer::store::WriteTx<'_>) + Send + 'static) {
    let store = Store::open(&folder.path("coffer.db"), StoreOptions::default()).unwrap();
    store
        .write_blocking(move |tx| {
            change(tx);
            Ok::<_, coffer::store::StoreError>(())
        })
        .unwrap();
    store.close();
}

#[test]
fn a_new_folder_is_right_with_and_without_a_server_and_so_is_its_backup() {
    let folder = Folder::set_up();
    let out = folder.run(&["verify"]).fine();
    assert!(out.contains("everything is right") && out.contains("2 audit records"), "{out}");
    let before = std::fs::read(folder.path("coffer.db")).unwrap();
    folder.run(&["verify"]).fine();
    assert_eq!(std::fs::read(folder.path("coffer.db")).unwrap(), before, "looking changes nothing");
    folder.run(&["backup", "b.db"]).fine();
    folder.run(&["verify", "b.db"]).fine();
    let _server = folder.serve();
    let out = folder.run(&["verify"]).fine();
    assert!(out.contains("a copy of it is checked") && out.contains("everything is right"), "{out}");
    let left: Vec<_> = std::fs::read_dir(folder.path("backups")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_truncated_audit_log_is_found_and_the_row_is_named() {
    let folder = Folder::set_up();
    tamper(&folder, |tx| {
        let (merchant, _) = tx.scan(&MERCHANTS, &Span::all(), Order::Ascending, 1).unwrap().pop().unwrap();
        assert!(tx.delete(&AUDIT, &(merchant, 1)).unwrap());
    });
    let err = folder.run(&["verify"]).refused(4);
    assert!(err.contains("the audit log was changed") && err.contains("2"), "{err}");
}

#[test]
fn a_row_of_a_merchant_that_is_gone_is_named() {
    let folder = Folder::set_up();
    tamper(&folder, |tx| {
        let (merchant, _) = tx.scan(&MERCHANTS, &Span::all(), Order::Ascending, 1).unwrap().pop().unwrap();
        let scope = coffer::domain::ids::Scope { merchant, mode: Mode::Test };
        let head = coffer::ledger::Head { seq: 1, ..coffer::ledger::Head::genesis(scope) };
        tx.put(&coffer::store::tables::JOURNAL_HEADS, &scope, &head).unwrap();
        assert!(tx.contains(&CALLBACK_DEFAULTS, &scope).unwrap());
    });
    let err = folder.run(&["verify"]).refused(4);
    assert!(err.contains("I9: entry 1") && err.contains("its end was stored as 1"), "{err}");
}

#[test]
fn a_flipped_bit_on_the_disk_is_found() {
    let folder = Folder::set_up();
    let mut bytes = std::fs::read(folder.path("coffer.db")).unwrap();
    // In the middle of a record: the shop's name.
    let at = bytes.windows(7).rposition(|window| window == b"My shop").unwrap();
    bytes[at] ^= 1;
    std::fs::write(folder.path("coffer.db"), bytes).unwrap();
    let err = folder.run(&["verify"]).refused(4);
    assert!(err.contains("damaged"), "{err}");
    folder.run(&["serve", "--listen", "127.0.0.1:0"]).refused(4);
}

#[test]
fn what_is_no_store_is_said_to_be_none() {
    let folder = Folder::new();
    folder.write("x.db", "hello");
    let err = folder.run(&["verify", "x.db"]).refused(1);
    assert!(err.contains("is not a data file"), "{err}");
    folder.run(&["verify", "missing.db"]).refused(1);
}
