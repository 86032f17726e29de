//! Random transactions against a plain map: what a scan, a walk and a get answer inside and after each of them.

use std::{collections::BTreeMap, ops::ControlFlow};

use coffer::store::{Order, Read, Span, StoreError, Table, WriteTx};
use proptest::prelude::*;

use super::{Failure, memory};

const ROWS: Table<(u8, u8), u16> = Table::new("rows", 1);

type Model = BTreeMap<(u8, u8), u16>;

#[derive(Clone, Debug)]
enum Step {
    Put((u8, u8), u16),
    Delete((u8, u8)),
    /// A part of its own, and whether it fails.
    Nested(Vec<Step>, bool),
    Look(Range, bool, usize),
}

#[derive(Clone, Debug)]
enum Range {
    All,
    Prefix(u8),
    Between((u8, u8), (u8, u8)),
    After((u8, u8)),
    PrefixAfter(u8, (u8, u8)),
}

impl Range {
    fn span(&self) -> Span {
        match self {
            Range::All => Span::all(),
            Range::Prefix(first) => Span::prefix(first),
            Range::Between(from, until) => Span::all().from(from).until(until),
            Range::After(key) => Span::all().after(key),
            Range::PrefixAfter(first, key) => Span::prefix(first).after(key),
        }
    }

    fn has(&self, key: (u8, u8)) -> bool {
        match self {
            Range::All => true,
            Range::Prefix(first) => key.0 == *first,
            Range::Between(from, until) => *from <= key && key < *until,
            Range::After(after) => key > *after,
            Range::PrefixAfter(first, after) => key.0 == *first && key > *after,
        }
    }
}

fn key() -> impl Strategy<Value = (u8, u8)> {
    let part = || prop_oneof![Just(0u8), Just(1), Just(254), Just(255)];
    (part(), part())
}

fn range() -> impl Strategy<Value = Range> {
    prop_oneof![
        Just(Range::All),
        key().prop_map(|key| Range::Prefix(key.0)),
        (key(), key()).prop_map(|(from, until)| Range::Between(from, until)),
        key().prop_map(Range::After),
        (key(), key()).prop_map(|(prefix, after)| Range::PrefixAfter(prefix.0, after)),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let leaf = prop_oneof![
        4 => (key(), any::<u16>()).prop_map(|(key, value)| Step::Put(key, value)),
        3 => key().prop_map(Step::Delete),
        2 => (range(), any::<bool>(), 0..20usize).prop_map(|(range, down, limit)| Step::Look(range, down, limit)),
    ];
    let step = leaf.prop_recursive(3, 24, 6, |inner| {
        (prop::collection::vec(inner, 0..6), any::<bool>()).prop_map(|(steps, fails)| Step::Nested(steps, fails))
    });
    prop::collection::vec(step, 0..12)
}

fn expected(model: &Model, range: &Range, down: bool, limit: usize) -> Vec<((u8, u8), u16)> {
    let inside = model.iter().map(|(key, value)| (*key, *value)).filter(|(key, _)| range.has(*key));
    let mut rows: Vec<_> = inside.collect();
    if down {
        rows.reverse();
    }
    rows.truncate(limit);
    rows
}

fn look(tx: &impl Read, model: &Model, range: &Range, down: bool, limit: usize) -> Result<(), StoreError> {
    let order = if down { Order::Descending } else { Order::Ascending };
    assert_eq!(tx.scan(&ROWS, &range.span(), order, limit)?, expected(model, range, down, limit), "{range:?}");
    let mut walked = Vec::new();
    tx.walk(&ROWS, &range.span(), |key, value| {
        walked.push((key, value));
        Ok::<_, StoreError>(ControlFlow::Continue(()))
    })?;
    assert_eq!(walked, expected(model, range, false, usize::MAX));
    Ok(())
}

fn apply(tx: &mut WriteTx<'_>, model: &mut Model, steps: &[Step]) -> Result<(), StoreError> {
    for step in steps {
        match step {
            Step::Put(key, value) => {
                tx.put(&ROWS, key, value)?;
                model.insert(*key, *value);
                assert_eq!(tx.get(&ROWS, key)?, Some(*value));
            }
            Step::Delete(key) => {
                assert_eq!(tx.delete(&ROWS, key)?, model.remove(key).is_some());
                assert_eq!(tx.get(&ROWS, key)?, None);
            }
            Step::Nested(steps, fails) => {
                let mut inner = model.clone();
                let result = tx.nested(|tx| {
                    apply(tx, &mut inner, steps)?;
                    if *fails { Err(Failure::Refused) } else { Ok(()) }
                });
                match result {
                    Ok(()) => *model = inner,
                    Err(Failure::Refused) => {}
                    Err(Failure::Store(error)) => return Err(error),
                }
            }
            Step::Look(range, down, limit) => look(tx, model, range, *down, *limit)?,
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn transactions_do_what_a_map_does(
        transactions in prop::collection::vec((steps(), any::<bool>()), 1..6),
        finally in range(),
        down: bool,
    ) {
        let store = memory();
        let mut model = Model::new();
        for (steps, refused) in transactions {
            let before = model.clone();
            let outcome = store.write_blocking(move |tx| {
                let mut model = before.clone();
                apply(tx, &mut model, &steps)?;
                if refused { Err(Failure::Refused) } else { Ok(model) }
            });
            match outcome {
                Ok(after) => model = after,
                Err(Failure::Refused) => {}
                Err(Failure::Store(error)) => panic!("{error}"),
            }
            store.read_blocking(|tx| look(tx, &model, &finally, down, 7)).unwrap();
        }
    }
}
