//! A digest over everything that a shop asked for, so that a repeated request is told from a conflicting one.

use ring::digest::{Context, SHA256};

/// Collects parts in a fixed order.
pub struct Fingerprint(Context);

impl Fingerprint {
    pub fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// Lengths keep neighbours apart; the largest number marks what is absent.
    #[must_use]
    pub fn with(mut self, part: Option<&str>) -> Self {
        self.0.update(&part.map_or(u64::MAX, |text| text.len() as u64).to_be_bytes());
        self.0.update(part.unwrap_or("").as_bytes());
        self
    }

    /// Names and values in their order.
    #[must_use]
    pub fn with_all<'a>(self, pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        pairs.into_iter().fold(self, |this, (name, value)| this.with(Some(name)).with(Some(value)))
    }

    /// Cut to 16 bytes.
    pub fn finish(self) -> [u8; 16] {
        *self.0.finish().as_ref().first_chunk().expect("SHA-256 has 32 bytes")
    }
}
