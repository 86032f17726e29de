//! One file per target: what is done with any bytes, and what must hold. Shared with `fuzz/`, where a fuzzer chooses the
//! bytes; `tests/it/fuzzing` chooses them on stable Rust.

pub mod amounts;
pub mod answers;
pub mod bodies;
pub mod ids;
pub mod message;
pub mod notifications;
pub mod queries;
pub mod records;
pub mod signatures;
pub mod statements;
pub mod xml;

/// Whether the bytes were taken for what they pretend to be. A run that sees only one of the two proves little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    Refused,
}

impl From<bool> for Verdict {
    fn from(accepted: bool) -> Self {
        if accepted { Verdict::Accepted } else { Verdict::Refused }
    }
}

/// A corpus file: its name and what is in it.
pub type Seed = (String, Vec<u8>);

/// A target with what to begin from.
pub struct Target {
    /// Also the name of its folder in `fuzz/corpus`.
    pub name: &'static str,
    pub run: fn(&[u8]) -> Verdict,
    pub seeds: fn() -> Vec<Seed>,
    /// How many mutations of each file a plain test run can afford.
    pub mutations: u64,
}

/// Every target.
pub const ALL: &[Target] = &[
    Target { name: "ids", run: ids::run, seeds: ids::seeds, mutations: 1000 },
    Target { name: "amounts", run: amounts::run, seeds: amounts::seeds, mutations: 1000 },
    Target { name: "bodies", run: bodies::run, seeds: bodies::seeds, mutations: 1000 },
    Target { name: "queries", run: queries::run, seeds: queries::seeds, mutations: 1000 },
    Target { name: "signatures", run: signatures::run, seeds: signatures::seeds, mutations: 1000 },
    Target { name: "notifications", run: notifications::run, seeds: notifications::seeds, mutations: 200 },
    Target { name: "answers", run: answers::run, seeds: answers::seeds, mutations: 200 },
    Target { name: "statements", run: statements::run, seeds: statements::seeds, mutations: 1000 },
    Target { name: "xml", run: xml::run, seeds: xml::seeds, mutations: 1000 },
    Target { name: "records", run: records::run, seeds: records::seeds, mutations: 1000 },
];

/// A seed of text.
fn seed(name: &str, text: &str) -> Seed {
    (name.to_owned(), text.as_bytes().to_vec())
}
