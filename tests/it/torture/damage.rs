//! Files that were damaged, cut, lost or exchanged: they are not served, and the message says what to do next.
//!
//! `COFFER_BITS` asks for more flipped bits: `COFFER_BITS=5000 cargo test --test it torture::damage -- --nocapture`.

use std::path::Path;
use std::sync::Arc;

use coffer::crypto::{MasterKey, Vault};
use coffer::demo::prepare::{self, Plan};
use coffer::domain::ids::{MerchantId, Mode, Scope};
use coffer::ledger::Head;
use coffer::store::tables::JOURNAL_HEADS;
use coffer::store::{ALL_TABLES, Order, Rows, Span, Store, StoreError, StoreOptions, verify_file};
use serde_json::json;

use super::client::Request;
use super::process::{Home, PATIENCE};
use coffer::simulation::{self, Dice};

/// Bits that are flipped, one at a time, without being asked for more.
const BITS: u64 = 120;

fn open(path: &Path) -> Result<Store, StoreError> {
    alone(|| Store::open(path, StoreOptions { create: false, ..StoreOptions::default() }))
}

/// A process that another test starts holds our locks too, for the moment between its fork and its exec.
fn alone<T>(open: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    loop {
        match open() {
            Err(StoreError::Locked) => std::thread::yield_now(),
            other => return other,
        }
    }
}

/// Every row of every table.
fn content(store: &Store) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    for table in ALL_TABLES {
        let walked = store.read_blocking(|tx| {
            tx.rows(table.name(), &Span::all(), Order::Ascending, &mut |key, value| {
                rows.push((table.name(), key.to_vec(), value.to_vec()));
                std::ops::ControlFlow::Continue(())
            })
        });
        walked.unwrap_or_else(|error: StoreError| panic!("{error}"));
    }
    rows
}

#[test]
fn a_flipped_bit_is_found_or_changes_nothing_at_all() {
    let bits = std::env::var("COFFER_BITS").map_or(BITS, |text| text.parse().unwrap());
    let home = crate::cli::running::Folder::new();
    let (path, damaged) = (home.path("good.db"), home.path("damaged.db"));
    let store = Store::open(&path, StoreOptions::default()).unwrap();
    let vault = Arc::new(Vault::new(&MasterKey::from_bytes([3; 32])));
    let plan = Plan {
        env: &simulation::environment(1),
        vault: &vault,
        base_url: "http://127.0.0.1:8080",
        history_days: 1,
        simulators: false,
    };
    prepare::fill(&store, &plan, &mut |_, _, _| {}).unwrap();
    let expected = content(&store);
    store.close();
    let good = std::fs::read(&path).unwrap();

    let mut dice = Dice::new(bits);
    let (mut found, mut harmless) = (0, 0);
    for number in 0..bits {
        // The beginning, where the file describes itself, as often as all the rest.
        let end = if number.is_multiple_of(2) { 512 } else { good.len() };
        let (at, bit) = (dice.place(end), 1u8 << dice.below(8));
        let mut bytes = good.clone();
        bytes[at] ^= bit;
        std::fs::write(&damaged, &bytes).unwrap();
        match open(&damaged) {
            Err(error) => {
                found += 1;
                let says = error.to_string();
                assert!(says.contains("coffer restore") || says.contains("start the newer version"), "{at}: {says}");
            }
            Ok(store) => {
                harmless += 1;
                assert!(content(&store) == expected, "bit {bit:#04x} of byte {at} changed what is read");
                let scope = Scope { merchant: MerchantId::from_bytes([0xee; 16]), mode: Mode::Live };
                let written = store.write_blocking(move |tx| tx.put(&JOURNAL_HEADS, &scope, &Head::genesis(scope)));
                written.unwrap_or_else(|error: StoreError| panic!("bit {bit:#04x} of byte {at}: {error}"));
                store.close();
                let report = alone(|| verify_file(&damaged, ALL_TABLES, |_, _| {}));
                let report = report.unwrap_or_else(|error| panic!("bit {bit:#04x} of byte {at}: {error}"));
                let rows: u64 = report.tables.iter().filter(|(name, _)| *name != "meta").map(|(_, rows)| rows).sum();
                assert_eq!(rows, expected.len() as u64 + 1, "bit {bit:#04x} of byte {at}");
            }
        }
    }
    println!("{bits} bits of {} bytes: {found} found, {harmless} in what holds nothing", good.len());
    assert!(found > 0);
}

/// A shop with some money in its books; stopped in order.
fn lived_in() -> Home {
    let home = Home::new();
    let process = home.start();
    trade(&home, process.address, 1);
    process.signal("TERM");
    assert_eq!(process.ended().code, Some(0));
    home
}

fn trade(home: &Home, address: std::net::SocketAddr, number: u32) {
    let ask = |request: Request| request.send(address, &home.token, PATIENCE).unwrap();
    let body = json!({
        "order_id": format!("D-{number}"), "amount": { "currency": "CNY", "value": "9.00" }, "description": "一只杯子",
    });
    let created = ask(Request::post("/v1/payments", &body, &format!("create-{number}")));
    let path = format!("/v1/test/payments/{}/simulate", created.json()["id"].as_str().unwrap());
    let paid = ask(Request::post(path, &json!({ "outcome": "paid" }), &format!("pay-{number}")));
    assert_eq!(paid.json()["status"], "paid", "{}", paid.body);
}

const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];

#[test]
fn every_bad_file_is_refused_with_the_next_step_and_the_good_one_goes_on() {
    let home = lived_in();
    let file = home.folder.path("coffer.db");
    let good = std::fs::read(&file).unwrap();
    let name = good.windows(7).rposition(|window| window == b"My shop").unwrap();
    let mut flipped = good.clone();
    flipped[name] ^= 1;
    let cases: [(&str, Vec<u8>); 6] = [
        ("a flipped bit", flipped),
        ("half of it", good[..good.len() / 2].to_vec()),
        ("its first page alone", good[..4096].to_vec()),
        ("nothing in it", Vec::new()),
        ("another file", b"PK\x03\x04 an archive of something".repeat(1000)),
        ("zeros, as after a crash of a file system", vec![0; good.len()]),
    ];
    for (case, bytes) in cases {
        std::fs::write(&file, &bytes).unwrap();
        for command in [&SERVE[..], &["verify"], &["doctor"], &["backup", "b.db"]] {
            let said = home.folder.run(command);
            assert!(matches!(said.code, 1 | 4), "{case}, {command:?}: {} {}", said.code, said.err);
            let text = format!("{}{}", said.out, said.err);
            assert!(text.contains("coffer restore"), "{case}, {command:?} does not say what to do:\n{text}");
        }
        assert!(std::fs::read(&file).unwrap() == bytes, "{case}: the file was changed");
    }
    std::fs::write(&file, &good).unwrap();
    home.verify();
    let process = home.start();
    trade(&home, process.address, 2);
}

#[test]
fn lost_data_is_not_taken_for_a_new_beginning() {
    let home = lived_in();
    home.folder.run(&["backup", "b.db"]).fine();
    std::fs::remove_file(home.folder.path("coffer.db")).unwrap();
    for command in [&SERVE[..], &["init"], &["doctor"]] {
        let said = home.folder.run(command);
        assert!(matches!(said.code, 1 | 4), "{command:?}: {}", said.code);
        let text = format!("{}{}", said.out, said.err);
        assert!(text.contains("checkpoints.log") && text.contains("coffer restore"), "{command:?}:\n{text}");
    }
    let backup = home.folder.path("b.db");
    home.folder.run(&["restore", backup.to_str().unwrap()]).fine();
    let process = home.start();
    trade(&home, process.address, 2);
    process.kill();
    home.verify();
}

#[test]
fn an_older_copy_is_noticed_until_somebody_says_that_it_is_meant() {
    let home = lived_in();
    let file = home.folder.path("coffer.db");
    let older = std::fs::read(&file).unwrap();
    let process = home.start();
    trade(&home, process.address, 2);
    process.signal("TERM");
    assert_eq!(process.ended().code, Some(0));
    let newer = std::fs::read(&file).unwrap();

    std::fs::write(&file, &older).unwrap();
    // In itself it is right; only the checkpoints know better.
    home.verify();
    let err = home.folder.run(&SERVE).refused(4);
    for word in ["the data is older than its last proof", "coffer restore", "checkpoints.log"] {
        assert!(err.contains(word), "{err}");
    }
    std::fs::write(&file, &newer).unwrap();
    home.start().kill();

    std::fs::write(&file, &older).unwrap();
    std::fs::rename(home.folder.path("checkpoints.log"), home.folder.path("checkpoints.old")).unwrap();
    let process = home.start();
    trade(&home, process.address, 3);
    process.kill();
    home.verify();
}
