//! What the store promises, on a store in memory.

use super::*;

const WORDS: Table<String, String> = Table::new("words", 1);

fn memory() -> Store {
    Store::open_memory(StoreOptions::default()).unwrap()
}

fn put(store: &Store, key: &str, value: &str) -> Result<(), StoreError> {
    let (key, value) = (key.to_owned(), value.to_owned());
    store.write_blocking(move |tx| tx.put(&WORDS, &key, &value))
}

fn all(store: &Store) -> Vec<(String, String)> {
    store.read_blocking(|tx| tx.scan(&WORDS, &Span::all(), Order::Ascending, 1000)).unwrap()
}

#[test]
fn a_written_record_is_read() {
    let store = memory();
    put(&store, "a", "1").unwrap();
    assert_eq!(all(&store), [("a".to_owned(), "1".to_owned())]);
}
