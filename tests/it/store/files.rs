//! Files: backup, restore, verification, and the refusal of what is not or no longer a good data file.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use coffer::{
    domain::{
        ids::{MerchantId, Mode, PaymentId, Scope},
        money::{Currency, Money},
        time::Timestamp,
    },
    store::{Order, Read, Span, Store, StoreError, StoreOptions, Table, TableCheck, restore, verify_file},
};

use super::{COUNTS, Folder, WORDS, pairs, put, words};

const KNOWN: [TableCheck; 3] = [WORDS.check(), COUNTS.check(), SAMPLES.check()];

fn open(path: &Path) -> Result<Store, StoreError> {
    Store::open(path, StoreOptions::default())
}

/// A closed file with one word of a kilobyte and a few short ones.
fn sample_file(path: &Path) {
    let store = open(path).unwrap();
    for (key, value) in [("a", "1"), ("b", "needle".repeat(200).as_str()), ("c", "3")] {
        put(&store, key, value).unwrap();
    }
    store.close();
}

#[test]
fn what_was_written_is_there_after_opening_again() {
    let folder = Folder::new();
    let path = folder.file("coffer.redb");
    let store = open(&path).unwrap();
    put(&store, "a", "1").unwrap();
    assert!(store.stats().file_bytes > 0);
    // Without a close, and a copy taken while it runs.
    fs::copy(&path, folder.file("copy.redb")).unwrap();
    drop(store);
    assert_eq!(words(&open(&path).unwrap()), pairs([("a", "1")]));
    assert_eq!(words(&open(&folder.file("copy.redb")).unwrap()), pairs([("a", "1")]));
}

#[cfg(unix)]
#[test]
fn only_the_owner_reads_the_file_its_backup_and_what_is_restored() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let [data, backup, restored] = ["data", "backup", "restored"].map(|name| folder.file(name));
    let store = open(&data).unwrap();
    store.backup(&backup, |_, _| {}).unwrap();
    restore(&backup, &restored).unwrap();
    for path in [data, backup, restored] {
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
}

#[test]
fn a_backup_while_writing_is_one_consistent_snapshot() {
    let folder = Folder::new();
    let store = open(&folder.file("data")).unwrap();
    let add = |store: &Store| {
        store.write_blocking::<_, StoreError, _>(|tx| {
            for row in [0, 500] {
                let count = tx.get(&COUNTS, &row)?.unwrap_or(0) + 1;
                tx.put(&COUNTS, &row, &count)?;
                tx.put(&COUNTS, &(row + u32::try_from(count % 400).expect("less than 400")), &count)?;
            }
            Ok(())
        })
    };
    let count = |store: &Store, row: u32| {
        store.read_blocking::<_, StoreError, _>(|tx| tx.get(&COUNTS, &row)).unwrap().unwrap_or(0)
    };
    put(&store, "a", "1").unwrap();
    add(&store).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writing = std::thread::spawn({
        let (store, stop) = (store.clone(), stop.clone());
        move || {
            while !stop.load(Relaxed) {
                add(&store).unwrap();
            }
        }
    });
    for i in 0..5 {
        let path = folder.file(&format!("backup-{i}"));
        let before = count(&store, 500);
        let mut told = Vec::new();
        store.backup(&path, |done, total| told.push((done, total))).unwrap();
        let after = count(&store, 500);
        let (done, total) = *told.last().unwrap();
        assert_eq!(done, total);
        assert_eq!(verify_file(&path, &KNOWN, |_, _| {}).unwrap().tables.values().sum::<u64>(), total);
        let backup = open(&path).unwrap();
        assert_eq!(count(&backup, 0), count(&backup, 500), "both rows are from the same moment");
        assert!((before..=after).contains(&count(&backup, 500)));
        assert_eq!(words(&backup), pairs([("a", "1")]));
    }
    stop.store(true, Relaxed);
    writing.join().unwrap();
}

#[test]
fn a_backup_is_not_larger_than_what_it_holds_asks_for() {
    let folder = Folder::new();
    let store = open(&folder.file("data")).unwrap();
    let value = "x".repeat(1000);
    for round in 0..20 {
        for key in ["a", "b", "c"] {
            put(&store, &format!("{key}{}", round % 2), &value).unwrap();
        }
    }
    let path = folder.file("backup");
    store.backup(&path, |_, _| {}).unwrap();
    let report = verify_file(&path, &KNOWN, |_, _| {}).unwrap();
    assert_eq!(report.tables["words"], 6);
    assert_eq!(report.file_bytes, fs::metadata(&path).unwrap().len());
    assert!(report.file_bytes < 150_000, "{report:?}");
}

#[test]
fn nothing_is_overwritten_and_leftovers_are_replaced() {
    let folder = Folder::new();
    let data = folder.file("data");
    sample_file(&data);
    let store = open(&data).unwrap();
    let taken = folder.file("taken");
    fs::write(&taken, "mine").unwrap();
    assert!(matches!(store.backup(&taken, |_, _| {}), Err(StoreError::Exists { .. })));
    assert!(matches!(restore(&data, &taken), Err(StoreError::Exists { .. })));
    assert_eq!(fs::read_to_string(&taken).unwrap(), "mine");

    fs::write(folder.file("backup.part"), "left by a crash").unwrap();
    let backup = folder.file("backup");
    store.backup(&backup, |_, _| {}).unwrap();
    let restored = folder.file("restored");
    restore(&backup, &restored).unwrap();
    assert_eq!(words(&open(&restored).unwrap()), words(&store));
    let mut names: Vec<_> = fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["backup", "data", "restored", "taken"]);
}

#[test]
fn verification_changes_nothing_and_names_the_first_bad_row() {
    const WRONG: Table<String, u64> = Table::new("words", 9);
    let folder = Folder::new();
    let path = folder.file("data");
    sample_file(&path);
    let before = fs::read(&path).unwrap();
    let report = verify_file(&path, &KNOWN, |_, _| {}).unwrap();
    assert_eq!(report.tables, [("meta".to_owned(), 1), ("words".to_owned(), 3)].into());
    assert_eq!(fs::read(&path).unwrap(), before);
    assert!(matches!(
        verify_file(&path, &[COUNTS.check()], |_, _| {}),
        Err(StoreError::UnknownTable { table }) if table == "words"
    ));

    let store = open(&path).unwrap();
    store.write_blocking::<_, StoreError, _>(|tx| tx.put(&WRONG, &"bb".to_owned(), &1)).unwrap();
    assert!(matches!(verify_file(&path, &KNOWN, |_, _| {}), Err(StoreError::Locked)));
    store.close();
    match verify_file(&path, &KNOWN, |_, _| {}) {
        Err(StoreError::Corrupt { table, key }) => assert_eq!((table.as_str(), key.as_str()), ("words", "62620001")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_flipped_bit_is_refused_or_harmless() {
    let folder = Folder::new();
    let path = folder.file("data");
    sample_file(&path);
    let good = fs::read(&path).unwrap();
    let expected = words(&open(&path).unwrap());
    let damaged = folder.file("damaged");
    let flip = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        fs::write(&damaged, bytes).unwrap();
    };

    let needle = good.windows(12).position(|part| part == b"needleneedle").unwrap();
    flip(needle + 7);
    assert!(matches!(open(&damaged), Err(StoreError::Damaged { .. })));
    assert!(matches!(verify_file(&damaged, &KNOWN, |_, _| {}), Err(StoreError::Damaged { .. })));
    assert!(matches!(restore(&damaged, &folder.file("restored")), Err(StoreError::Damaged { .. })));
    assert!(!folder.file("restored").exists());

    let mut refused = 0;
    for at in (0..good.len()).step_by(509) {
        flip(at);
        match open(&damaged) {
            Ok(store) => assert_eq!(words(&store), expected, "a flipped bit at {at} changed what is read"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 0);
}

#[test]
fn what_cannot_be_opened_says_why() {
    let folder = Folder::new();
    let file = folder.file("data");
    let store = open(&file).unwrap();
    assert!(matches!(open(&file), Err(StoreError::Locked)));
    drop(store);

    let text = folder.file("text");
    for content in ["no database", &"no database either ".repeat(10_000)] {
        fs::write(&text, content).unwrap();
        assert!(matches!(open(&text), Err(StoreError::Foreign { .. })), "{:?}", open(&text).err());
        assert!(matches!(verify_file(&text, &KNOWN, |_, _| {}), Err(StoreError::Foreign { .. })));
        assert_eq!(fs::read_to_string(&text).unwrap(), content, "a foreign file stays as it is");
    }
    fs::write(&text, "").unwrap();
    assert!(matches!(restore(&text, &folder.file("restored")), Err(StoreError::Empty { .. })));
    assert!(matches!(verify_file(&text, &KNOWN, |_, _| {}), Err(StoreError::Empty { .. })));
    let existing = StoreOptions { create: false, ..StoreOptions::default() };
    assert!(matches!(Store::open(&text, existing.clone()), Err(StoreError::Empty { .. })));

    let missing = folder.file("missing");
    assert!(matches!(Store::open(&missing, existing), Err(StoreError::Missing { .. })));
    assert!(matches!(restore(&missing, &folder.file("restored")), Err(StoreError::Missing { .. })));
    assert!(!missing.exists());
    match open(&folder.file("no/such/folder")) {
        Err(error @ StoreError::Io { .. }) => assert!(error.to_string().contains("no/such/folder"), "{error}"),
        other => panic!("{:?}", other.err()),
    }
}

/// Every shape that records use, so that a change of their bytes is seen.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Sample {
    text: String,
    small: u8,
    large: u64,
    signed: i64,
    amount: Money,
    at: Timestamp,
    payment: PaymentId,
    choice: Choice,
    list: Vec<u32>,
    maybe: Option<bool>,
    bytes: [u8; 4],
}

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
enum Choice {
    Nothing,
    One(u32),
    Named { name: String },
}

const SAMPLES: Table<(Scope, Timestamp), Sample> = Table::new("samples", 1);

fn samples() -> Vec<((Scope, Timestamp), Sample)> {
    let scope = |mode| Scope { merchant: MerchantId::from_bytes([3; 16]), mode };
    let sample = |n: u32, choice| Sample {
        text: "一个杯子 mug".to_owned(),
        small: 250,
        large: u64::MAX - u64::from(n),
        signed: -1 - i64::from(n),
        amount: Money::new(1990, Currency::CNY),
        at: Timestamp::from_millis(1_700_000_000_123),
        payment: PaymentId::from_bytes([n as u8; 16]),
        choice,
        list: vec![0, 251, 65_536],
        maybe: n.is_multiple_of(2).then_some(true),
        bytes: [0, 1, 2, 255],
    };
    vec![
        ((scope(Mode::Test), Timestamp::from_millis(-5)), sample(1, Choice::Nothing)),
        ((scope(Mode::Test), Timestamp::from_millis(5)), sample(2, Choice::One(70_000))),
        ((scope(Mode::Live), Timestamp::from_millis(0)), sample(3, Choice::Named { name: "n".to_owned() })),
    ]
}

/// The file that this very version of the schema wrote. It is never written again once the schema is released: a later
/// schema adds `store_v2.redb` beside it, and this test goes on reading both.
///
/// To write it (a new schema before its release, or another set of tables): add rows to `samples` or a table of your own
/// below, run `UPDATE_FIXTURES=1 cargo test --test it store::files::a_file_of_this_schema`, and commit the file.
#[test]
fn a_file_of_this_schema_stays_readable() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/store_v1.redb");
    let folder = Folder::new();
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        let store = open(&folder.file("new")).unwrap();
        put(&store, "a", "1").unwrap();
        store
            .write_blocking::<_, StoreError, _>(|tx| {
                samples().iter().try_for_each(|(key, sample)| tx.put(&SAMPLES, key, sample))
            })
            .unwrap();
        drop(fs::remove_file(&fixture));
        store.backup(&fixture, |_, _| {}).unwrap();
    }
    // Opening writes, so a copy is opened.
    let copy = folder.file("copy");
    fs::copy(&fixture, &copy).unwrap();
    verify_file(&copy, &KNOWN, |_, _| {}).unwrap();
    let store = open(&copy).unwrap();
    assert_eq!(words(&store), pairs([("a", "1")]));
    let read = store.read_blocking::<_, StoreError, _>(|tx| tx.scan(&SAMPLES, &Span::all(), Order::Ascending, 10));
    assert_eq!(read.unwrap(), samples());
}

/// What a power loss leaves of a file that was being created does not stand in the way, and is no file yet.
#[test]
fn a_file_appears_whole_or_not_at_all() {
    let folder = Folder::new();
    let path = folder.file("new.db");
    let aside = folder.file("new.db.part");
    std::fs::write(&aside, b"half of a file").unwrap();
    open(&path).unwrap().close();
    assert!(!aside.exists());
    assert!(std::fs::metadata(&path).unwrap().len() > 0);
    open(&path).unwrap().close();
}
