//! Query strings and cursors: whoever follows `next` sees every row that was asked for once, and no other.

use std::sync::OnceLock;

use coffer::api::error::Place;
use coffer::api::fields::read_query;
use coffer::api::page::Window;
use coffer::domain::ids::PaymentId;
use coffer::domain::time::{Duration, Timestamp};
use coffer::store::{Read, Span, Store, StoreError, StoreOptions, Table};

use super::{Seed, Verdict, seed};

const ROWS: Table<(u8, PaymentId), ()> = Table::new("rows", 1);
/// The merchant whose list it is; there are rows of others on both sides.
const OWN: u8 = 7;
const START: Timestamp = Timestamp::from_seconds(1_795_000_000);

/// Ids a second apart, three of each time.
fn ids() -> Vec<PaymentId> {
    let at = |n: u64| START.plus(Duration::from_seconds(n / 3));
    (0..40).map(|n| PaymentId::new(at(n), [n as u8; 10])).collect()
}

fn store() -> &'static Store {
    static STORE: OnceLock<Store> = OnceLock::new();
    STORE.get_or_init(|| {
        let store = Store::open_memory(StoreOptions::default()).unwrap();
        let filled = store.write_blocking(|tx| {
            let rows =
                [OWN - 1, OWN, OWN + 1].into_iter().flat_map(|owner| ids().into_iter().map(move |id| (owner, id)));
            rows.into_iter().try_for_each(|row| tx.put(&ROWS, &row, &()))
        });
        filled.unwrap_or_else(|error: StoreError| panic!("{error}"));
        store
    })
}

pub fn run(data: &[u8]) -> Verdict {
    let Ok(query) = std::str::from_utf8(data) else { return Verdict::Refused };
    let numbered = read_query(query, Window::<u64>::read_numbered);
    let window = match read_query(query, Window::<PaymentId>::read) {
        Ok(window) => window,
        Err(problem) => {
            let errors = problem.errors();
            assert!(!errors.is_empty(), "{problem:?} names no parameter");
            assert!(errors.iter().all(|error| matches!(error.place, Place::Query(_))), "{problem:?}");
            return Verdict::from(numbered.is_ok());
        }
    };
    let expected = expected(query);
    let mut seen = Vec::new();
    let mut page = rows(&window, query);
    // Each page but the last shows at least one row, so there are no more pages than rows.
    for _ in 0..=ids().len() {
        assert!(page.0.is_sorted_by(|a, b| a > b), "newest first");
        seen.extend(page.0);
        let Some(next) = page.1 else {
            seen.sort();
            assert_eq!(seen, expected, "{query}");
            return Verdict::Accepted;
        };
        let query = next.strip_prefix("/v1/x?").expect("the list's own address");
        let window = read_query(query, Window::<PaymentId>::read).expect("what we wrote, we read");
        page = rows(&window, query);
    }
    panic!("{query} never ends");
}

fn rows(window: &Window<PaymentId>, query: &str) -> (Vec<PaymentId>, Option<String>) {
    let (span, order) = window.span(Span::prefix(&OWN), |id| (OWN, id));
    let rows = store().read_blocking(|tx| tx.scan(&ROWS, &span, order, window.scan_limit()));
    let rows = rows.unwrap_or_else(|error: StoreError| panic!("{error}"));
    assert!(rows.iter().all(|((owner, _), ())| *owner == OWN), "another merchant's row");
    let page = window.page(rows.into_iter().map(|((_, id), ())| id).collect());
    let next = page.next("/v1/x", query, |id| id.to_string());
    (page.rows, next)
}

/// What an accepted query asks for, oldest first, read by another parser.
fn expected(query: &str) -> Vec<PaymentId> {
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let value = |name: &str| pairs.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
    let id = |name| value(name).map(|text| text.parse::<PaymentId>().expect("accepted"));
    let time = |name| value(name).map(|text| Timestamp::parse_rfc3339(text).expect("accepted"));
    let (after, before) = (id("after"), id("before"));
    let (from, until) = (time("created_at[gte]"), time("created_at[lt]"));
    let wanted = |id: &PaymentId| {
        after.is_none_or(|after| *id < after)
            && before.is_none_or(|before| *id > before)
            && from.is_none_or(|from| id.created_at() >= from)
            && until.is_none_or(|until| id.created_at() < until)
    };
    ids().into_iter().filter(wanted).collect()
}

pub fn seeds() -> Vec<Seed> {
    let ids = ids();
    let from = START.plus(Duration::from_seconds(4));
    vec![
        seed("all", ""),
        seed("first", "limit=1"),
        seed("small", "limit=7"),
        seed("after", &format!("limit=3&after={}", ids[20])),
        seed("before", &format!("before={}&limit=4", ids[20])),
        seed("both", &format!("before={}&after={}", ids[3], ids[20])),
        seed("between", &format!("created_at%5Bgte%5D={from}&created_at[lt]=2026-11-18T11:06:45%2B08:00&limit=2")),
        seed("numbered", "after=17&limit=100"),
        seed("twice", "limit=1&limit=2"),
        seed("escapes", "%6cimit=%31&+=%zz"),
        seed("unknown", "limi=3&aftr=1&=&&a=b=c"),
    ]
}
