//! One checkpoint as a line of JSON, signed over a text of its own so that no reader depends on how JSON is spelled.

use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use super::{Chain, Checkpoint};
use crate::domain::ids::{Mode, Scope};
use crate::domain::time::Timestamp;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    at: String,
    chain: String,
    seq: u64,
    /// Hex of the head's hash.
    hash: String,
    /// Base64 of the Ed25519 signature over [`signed`].
    signature: String,
}

/// `journal/mer_…/test` or `audit/mer_…`.
pub(super) fn name(chain: Chain) -> String {
    match chain {
        Chain::Journal(scope) => format!("journal/{}/{}", scope.merchant, scope.mode.as_str()),
        Chain::Audit(merchant) => format!("audit/{merchant}"),
    }
}

fn parse_name(text: &str) -> Option<Chain> {
    let mut parts = text.split('/');
    let chain = match (parts.next()?, parts.next()?, parts.next()) {
        ("journal", merchant, Some(mode)) => {
            let mode = [Mode::Test, Mode::Live].into_iter().find(|m| m.as_str() == mode)?;
            Chain::Journal(Scope { merchant: merchant.parse().ok()?, mode })
        }
        ("audit", merchant, None) => Chain::Audit(merchant.parse().ok()?),
        _ => return None,
    };
    parts.next().is_none().then_some(chain)
}

/// The signed bytes.
fn signed(checkpoint: &Checkpoint) -> String {
    let hash = data_encoding::HEXLOWER.encode(&checkpoint.hash);
    let millis = checkpoint.at.as_millis();
    format!("coffer checkpoint 1\n{millis}\n{}\n{}\n{hash}\n", name(checkpoint.chain), checkpoint.seq)
}

pub(super) fn write(checkpoint: &Checkpoint, key: &Ed25519KeyPair) -> String {
    let line = Line {
        at: checkpoint.at.to_rfc3339(),
        chain: name(checkpoint.chain),
        seq: checkpoint.seq,
        hash: data_encoding::HEXLOWER.encode(&checkpoint.hash),
        signature: data_encoding::BASE64.encode(key.sign(signed(checkpoint).as_bytes()).as_ref()),
    };
    serde_json::to_string(&line).expect("text and numbers are JSON") + "\n"
}

/// `None` for what is not a line, or not signed with the key.
pub(super) fn read(text: &str, public_key: &[u8]) -> Option<Checkpoint> {
    let line: Line = serde_json::from_str(text).ok()?;
    let checkpoint = Checkpoint {
        chain: parse_name(&line.chain)?,
        at: Timestamp::parse_rfc3339(&line.at)?,
        seq: line.seq,
        hash: data_encoding::HEXLOWER.decode(line.hash.as_bytes()).ok()?.try_into().ok()?,
    };
    let signature = data_encoding::BASE64.decode(line.signature.as_bytes()).ok()?;
    let key = UnparsedPublicKey::new(&ED25519, public_key);
    key.verify(signed(&checkpoint).as_bytes(), &signature).ok()?;
    Some(checkpoint)
}
