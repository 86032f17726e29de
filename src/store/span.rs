//! Spans: which keys a scan or a walk sees.

use std::ops::Bound;

use super::key::Key;

/// A range of keys. Starts as all keys or all with a prefix, and is narrowed from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first bytes inside.
    lower: Vec<u8>,
    /// The first bytes behind it, if it ends before the last key.
    upper: Option<Vec<u8>>,
}

/// In which direction a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Ascending,
    Descending,
}

impl Span {
    /// Every row of the table.
    pub fn all() -> Self {
        Self { lower: Vec::new(), upper: None }
    }

    /// Every key that begins with `prefix`: the first parts of a tuple, as keys concatenate.
    pub fn prefix(prefix: &impl Key) -> Self {
        let lower = bytes(prefix);
        let upper = successor(lower.clone());
        Self { lower, upper }
    }

    /// Only from `key` on, itself included.
    pub fn from(mut self, key: &impl Key) -> Self {
        self.raise(bytes(key));
        self
    }

    /// Only behind `key`; of a shorter tuple, behind all that begin with it.
    pub fn after(mut self, key: &impl Key) -> Self {
        match successor(bytes(key)) {
            Some(lower) => self.raise(lower),
            // Nothing sorts behind it.
            None => self.upper = Some(Vec::new()),
        }
        self
    }

    /// Only before `key`, itself excluded.
    pub fn until(mut self, key: &impl Key) -> Self {
        let upper = bytes(key);
        if self.upper.as_ref().is_none_or(|old| upper < *old) {
            self.upper = Some(upper);
        }
        self
    }

    fn raise(&mut self, lower: Vec<u8>) {
        if lower > self.lower {
            self.lower = lower;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.upper.as_ref().is_some_and(|upper| *upper <= self.lower)
    }

    pub(super) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let upper = self.upper.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        (Bound::Included(self.lower.as_slice()), upper)
    }
}

fn bytes(key: &impl Key) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    key.encode(&mut out);
    out
}

/// The first bytes behind everything that begins with `prefix`; `None` when nothing is.
fn successor(mut prefix: Vec<u8>) -> Option<Vec<u8>> {
    while let Some(last) = prefix.pop() {
        if let Some(next) = last.checked_add(1) {
            prefix.push(next);
            return Some(prefix);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(span: &Span, key: &impl Key) -> bool {
        let (key, (lower, upper)) = (bytes(key), span.bounds());
        let above = match lower {
            Bound::Included(lower) => *key >= *lower,
            Bound::Excluded(_) | Bound::Unbounded => unreachable!("spans have an inclusive start"),
        };
        let below = match upper {
            Bound::Excluded(upper) => *key < *upper,
            Bound::Unbounded => true,
            Bound::Included(_) => unreachable!("spans have an exclusive end"),
        };
        above && below && !span.is_empty()
    }

    /// Which of the nine pairs of 0, 7 and 255 are in a span.
    fn pairs(span: Span) -> Vec<(u8, u8)> {
        let values = [0, 7, 255];
        let all = values.iter().flat_map(|a| values.map(|b| (*a, b)));
        all.filter(|pair| has(&span, pair)).collect()
    }

    #[test]
    fn a_prefix_holds_what_begins_with_it() {
        assert_eq!(pairs(Span::prefix(&7u8)), [(7, 0), (7, 7), (7, 255)]);
        assert_eq!(pairs(Span::prefix(&255u8)), [(255, 0), (255, 7), (255, 255)]);
        assert_eq!(pairs(Span::prefix(&(7u8, 7u8))), [(7, 7)]);
        assert_eq!(pairs(Span::prefix(&())).len(), 9);
        assert_eq!(pairs(Span::all()).len(), 9);
    }

    #[test]
    fn bounds_narrow_and_never_widen() {
        assert_eq!(pairs(Span::prefix(&7u8).from(&(7u8, 7u8))), [(7, 7), (7, 255)]);
        assert_eq!(pairs(Span::prefix(&7u8).after(&(7u8, 7u8))), [(7, 255)]);
        assert_eq!(pairs(Span::prefix(&7u8).until(&(7u8, 7u8))), [(7, 0)]);
        assert_eq!(pairs(Span::prefix(&7u8).from(&(0u8, 0u8)).until(&(255u8, 0u8))), [(7, 0), (7, 7), (7, 255)]);
        assert_eq!(pairs(Span::prefix(&7u8).from(&255u8)), []);
        assert_eq!(pairs(Span::prefix(&7u8).until(&0u8)), []);
        assert_eq!(pairs(Span::all().after(&(255u8, 255u8))), []);
        assert_eq!(pairs(Span::all().after(&(255u8, 255u8)).until(&7u8)), []);
    }

    #[test]
    fn after_a_shorter_key_comes_what_does_not_begin_with_it() {
        assert_eq!(pairs(Span::all().after(&7u8)), [(255, 0), (255, 7), (255, 255)]);
        assert_eq!(pairs(Span::all().from(&7u8).until(&255u8)), [(7, 0), (7, 7), (7, 255)]);
    }
}
