//! Hashes as protocols write them, in lower-case hex: SHA-256, and SM3, which Chinese standards put in its place.

use data_encoding::HEXLOWER;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    Sha256,
    /// Source: GB/T 32905-2016.
    Sm3,
}

impl Hash {
    /// 64 letters.
    pub fn letters(self, bytes: &[u8]) -> String {
        match self {
            Hash::Sha256 => HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref()),
            Hash::Sm3 => {
                use sm3::Digest;
                HEXLOWER.encode(&sm3::Sm3::digest(bytes))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_hash_as_the_standards_say() {
        // Sources: FIPS 180-4; GB/T 32905-2016, appendix A.
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Hash::Sha256.letters(b"abc"), sha256);
        let sm3 = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0";
        assert_eq!(Hash::Sm3.letters(b"abc"), sm3);
        let sm3 = "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732";
        assert_eq!(Hash::Sm3.letters(&b"abcd".repeat(16)), sm3);
    }
}
