//! Recovery codes: ten, each good for one login without the phone, shown once and stored hashed.

use data_encoding::Specification;
use ring::digest;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::env::{Entropy, random};

/// Codes of one set.
pub const RECOVERY_CODES: usize = 10;
/// Random bytes of a code: 80 bits need no slow hash.
const CODE_BYTES: usize = 10;
/// Crockford's alphabet in lower case: nothing that can be misread from paper.
const SYMBOLS: &str = "0123456789abcdefghjkmnpqrstvwxyz";

/// The hashes of the codes that are not used yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryCodes {
    unused: Vec<[u8; 32]>,
}

impl RecoveryCodes {
    /// A new set, and the texts to show once: `k7m2-9xqd-h4vw-a0tn`.
    pub fn generate(entropy: &dyn Entropy) -> (Self, Vec<Zeroizing<String>>) {
        let encoding = {
            let mut spec = Specification::new();
            spec.symbols.push_str(SYMBOLS);
            spec.encoding().expect("32 different symbols")
        };
        let texts: Vec<Zeroizing<String>> = (0..RECOVERY_CODES)
            .map(|_| {
                let code = Zeroizing::new(encoding.encode(&random::<CODE_BYTES>(entropy)));
                let groups: Vec<&str> = (0..code.len()).step_by(4).map(|at| &code[at..at + 4]).collect();
                Zeroizing::new(groups.join("-"))
            })
            .collect();
        (Self { unused: texts.iter().map(|text| hash(text)).collect() }, texts)
    }

    pub fn left(&self) -> usize {
        self.unused.len()
    }

    /// The set without this code; `None` when it is not in it.
    pub fn used(&self, code: &str) -> Option<Self> {
        let wanted = hash(code);
        let mut rest = self.unused.clone();
        let before = rest.len();
        rest.retain(|stored| !bool::from(stored.ct_eq(&wanted)));
        (rest.len() < before).then_some(Self { unused: rest })
    }
}

/// Spaces, dashes and case do not matter; the letters that look like digits are read as these.
fn hash(code: &str) -> [u8; 32] {
    let normal: Zeroizing<String> = Zeroizing::new(
        code.chars()
            .filter(|c| c.is_ascii_alphanumeric())
            .map(|c| match c.to_ascii_lowercase() {
                'o' => '0',
                'i' | 'l' => '1',
                other => other,
            })
            .collect(),
    );
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"coffer recovery code\0");
    context.update(normal.as_bytes());
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::SystemEntropy;

    #[test]
    fn each_of_ten_codes_works_once() {
        let (mut codes, texts) = RecoveryCodes::generate(&SystemEntropy);
        assert_eq!((codes.left(), texts.len()), (10, 10));
        for (i, text) in texts.iter().enumerate() {
            assert_eq!(text.len(), 19);
            let after = codes.used(text).unwrap();
            assert_eq!(after.left(), 9 - i);
            assert_eq!(after.used(text), None, "a used code is spent");
            codes = after;
        }
        assert_eq!(codes.used(""), None);
    }

    #[test]
    fn a_code_may_be_typed_as_it_is_read() {
        let (codes, texts) = RecoveryCodes::generate(&SystemEntropy);
        let typed = texts[0].to_uppercase().replace('-', " ").replace('0', "O").replace('1', "l");
        assert!(codes.used(&typed).is_some());
    }
}
