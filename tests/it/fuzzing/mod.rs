//! Every fuzz target on stable Rust: the corpus, and a fixed number of mutations of each of its files; another number with
//! `COFFER_FUZZ_MUTATIONS`. `fuzz/` lets a fuzzer go on from the same corpus with the same code.

mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coffer::crypto::{MasterKey, Vault};
use coffer::demo::prepare::{self, Plan};
use coffer::simulation::{self, Dice};
use coffer::store::{Store, StoreOptions};

use self::targets::{Seed, Target, Verdict};

/// Changes that one mutation makes at most.
const CHANGES_MAX: usize = 4;
/// What parsers stumble over.
const TOKENS: [&[u8]; 22] = [
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xc0\xaf",
    b"\r\n",
    b"\n",
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b"null",
    b"-1",
    b"1e9",
    b"18446744073709551616",
    b"{\"a\":",
    b"[[[[",
    b"}",
    b", ",
    b"%00",
    b"&",
    b"=",
    b"\xfd\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xfb\x01\x00",
];

fn folder(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target.name)
}

/// The files of a target's corpus, and its seeds where no file has them yet.
fn corpus(target: &Target, more: Vec<Seed>) -> Vec<Seed> {
    let folder = folder(target);
    let fixed = [(target.seeds)(), more].concat();
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        fixed.iter().for_each(|(name, data)| std::fs::write(folder.join(name), data).unwrap());
    }
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<Seed> = entries
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
        })
        .collect();
    files.retain(|(name, _)| !fixed.iter().any(|(other, _)| other == name));
    files.extend(fixed);
    files.sort();
    files
}

/// Runs a target over its corpus and mutations of it; answers how many inputs were accepted.
fn fuzz(name: &str, more: Vec<Seed>) -> usize {
    let target = targets::ALL.iter().find(|target| target.name == name).expect("a target");
    let corpus = corpus(target, more);
    let mutations = std::env::var("COFFER_FUZZ_MUTATIONS").map_or(target.mutations, |number| number.parse().unwrap());
    let mut seen = [0, 0];
    for (place, (file, data)) in corpus.iter().enumerate() {
        let mut dice = Dice::new(place as u64);
        for mutation in 0..=mutations {
            let input = if mutation == 0 { data.clone() } else { mutated(data, &corpus, &mut dice) };
            let ran = catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
            let verdict = ran.unwrap_or_else(|panic| {
                eprintln!("{name}, file {file}, mutation {mutation}:\n{}", input.escape_ascii());
                resume_unwind(panic)
            });
            seen[usize::from(verdict == Verdict::Accepted)] += 1;
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{name}: {seen:?} refused and accepted");
    seen[1]
}

/// A few changes, as a fuzzer makes them.
fn mutated(data: &[u8], corpus: &[Seed], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = data.to_vec();
    for _ in 0..=dice.place(CHANGES_MAX) {
        let at = dice.place(bytes.len() + 1);
        let end = at + dice.place(bytes.len() - at + 1).min(16);
        match dice.place(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << dice.place(8),
            1 if at < bytes.len() => bytes[at] = dice.roll() as u8,
            2 => drop(bytes.drain(at..end)),
            3 => bytes.extend_from_within(at..end),
            4 => bytes.splice(at..at, TOKENS[dice.place(TOKENS.len())].iter().copied()).for_each(drop),
            // The end of another file behind the beginning of this one.
            5 => {
                let other = &corpus[dice.place(corpus.len())].1;
                bytes.truncate(at);
                bytes.extend_from_slice(&other[dice.place(other.len() + 1)..]);
            }
            _ => bytes.insert(at, dice.roll() as u8),
        }
    }
    bytes
}

#[test]
fn flat_xml_is_written_as_it_was_read() {
    fuzz("xml", Vec::new());
}

#[test]
fn an_id_or_a_time_prints_as_it_was_read() {
    fuzz("ids", Vec::new());
}

#[test]
fn an_amount_has_one_spelling_and_a_refusal_names_its_field() {
    fuzz("amounts", Vec::new());
}

#[test]
fn a_body_is_read_as_others_read_it_or_refused_by_name() {
    fuzz("bodies", Vec::new());
}

#[test]
fn whoever_follows_the_next_page_sees_every_row_once() {
    fuzz("queries", Vec::new());
}

#[test]
fn a_signed_request_that_was_changed_is_never_accepted() {
    fuzz("signatures", Vec::new());
}

#[test]
fn a_notification_that_was_changed_is_never_believed() {
    fuzz("notifications", Vec::new());
}

#[test]
fn an_answer_without_a_signature_is_never_money() {
    fuzz("answers", Vec::new());
}

#[test]
fn a_statement_is_the_sum_of_its_lines_or_refused() {
    fuzz("statements", Vec::new());
}

#[test]
fn a_record_is_written_as_it_was_read() {
    let store = lived_in();
    let rows = targets::records::rows(&store);
    for (table, row) in &rows {
        assert_eq!(targets::records::run(row), Verdict::Accepted, "a row of {table} that this program wrote");
    }
    assert!(rows.len() > 40, "the store has rows of only {} tables", rows.len());
    assert!(fuzz("records", rows) > 0);
}

/// A store with a shop that has a past, always the same.
fn lived_in() -> Store {
    let store = Store::open_memory(StoreOptions::default()).unwrap();
    let env = simulation::environment(1);
    let vault = Arc::new(Vault::new(&MasterKey::from_bytes([3; 32])));
    let plan = Plan { env: &env, vault: &vault, base_url: "http://127.0.0.1:8080", history_days: 3, simulators: false };
    prepare::fill(&store, &plan, &mut |_, _, _| {}).unwrap();
    store
}
