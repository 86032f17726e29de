//! Keys and certificates of both sides: an authority of two floors, the provider's signers below it, and a merchant.
//!
//! Source: §3.5, §3.6 and §9 of the fact sheet. The chain is signed with SHA-256: what checks it is the adapter under test,
//! and the historic SHA-1 chain is among its published vectors.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::NAME;
use crate::crypto::Secret;
use crate::crypto::rsa::{Digest, RsaSigner};
use crate::domain::time::{Duration, Timestamp};
use crate::sandbox::provider::World;
use crate::sandbox::provider::certificate::{self, Contents, Part, pem};
use crate::sandbox::provider::records::Member;
use crate::store::StoreError;

/// The simulated merchant.
pub const MER_ID: &str = "777290058110048";

const CERTIFICATE_LIFE: Duration = Duration::from_days(5 * 365);
const AUTHORITY_LIFE: Duration = Duration::from_days(20 * 365);

/// Whose key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Root,
    Middle,
    /// UnionPay's signer, and the one that will replace it.
    Signer,
    NewSigner,
    Merchant,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Role::Root => "root",
            Role::Middle => "middle",
            Role::Signer => "signer-1",
            Role::NewSigner => "signer-2",
            Role::Merchant => "merchant",
        }
    }

    const fn common_name(self) -> &'static str {
        match self {
            Role::Root => "COFFER SIM CS CA",
            Role::Middle => "COFFER SIM OCA1",
            Role::Signer => "041@8310000000083040@中国银联股份有限公司@00016495",
            Role::NewSigner => "041@8310000000083040@中国银联股份有限公司@00016496",
            Role::Merchant => "041@Z2026-11-23@777290058110048:SIGN@00000001",
        }
    }

    const fn issuer(self) -> Role {
        match self {
            Role::Root | Role::Middle => Role::Root,
            Role::Signer | Role::NewSigner | Role::Merchant => Role::Middle,
        }
    }
}

/// A private key with its certificate.
pub struct Signer {
    pub rsa: RsaSigner,
    /// PKCS#8 DER.
    pub private: Secret,
    /// DER.
    pub certificate: Vec<u8>,
    /// The certificate's serial number as `certId` names it.
    pub cert_id: String,
}

impl Signer {
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }
}

/// A merchant as the provider knows it; stored as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Merchant {
    pub cert_id: String,
}

pub struct Keys {
    world: World,
    open: RwLock<BTreeMap<Role, Arc<Signer>>>,
}

impl Keys {
    pub fn new(world: World) -> Self {
        Self { world, open: RwLock::default() }
    }

    /// Makes whatever is not there yet. Blocks for seconds the first time.
    pub fn prepare(&self) -> Result<(), StoreError> {
        for role in [Role::Root, Role::Middle, Role::Signer, Role::NewSigner] {
            self.signer(role)?;
        }
        let cert_id = self.signer(Role::Merchant)?.cert_id.clone();
        if self.world.member(NAME, MER_ID)?.is_none() {
            let details = serde_json::to_string(&Merchant { cert_id }).expect("plain text always serialises");
            let member = Member { name: "街角小店".to_owned(), details, created_at: self.world.wire_now() };
            self.world.enrol(NAME, MER_ID, &member)?;
        }
        Ok(())
    }

    pub fn merchant(&self, mer_id: &str) -> Result<Option<Merchant>, StoreError> {
        Ok(self.world.member(NAME, mer_id)?.and_then(|member| serde_json::from_str(&member.details).ok()))
    }

    pub fn signer(&self, role: Role) -> Result<Arc<Signer>, StoreError> {
        if let Some(known) = self.open.read().unwrap_or_else(PoisonError::into_inner).get(&role) {
            return Ok(known.clone());
        }
        let issuer = if role == Role::Root { None } else { Some(self.signer(role.issuer())?) };
        let certify = |private: &Secret, now: Timestamp| certify(role, issuer.as_deref(), private, now);
        let record = self.world.key(NAME, role.name(), certify)?;
        let rsa = RsaSigner::from_der(&record.private).expect("a key that was stored whole");
        let serial = serial(&rsa.public().to_spki());
        let cert_id = serial.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte)).to_string();
        let signer =
            Arc::new(Signer { rsa, private: Secret::new(record.private), certificate: record.certificate, cert_id });
        self.open.write().unwrap_or_else(PoisonError::into_inner).insert(role, signer.clone());
        Ok(signer)
    }
}

fn certify(role: Role, issuer: Option<&Signer>, private: &Secret, now: Timestamp) -> Vec<u8> {
    let own = RsaSigner::from_der(private.expose()).expect("a key that was just made");
    let spki = own.public().to_spki();
    let name = |role: Role| {
        [(Part::Country, "CN"), (Part::Organization, "Coffer Simulator"), (Part::Common, role.common_name())]
    };
    let authority = matches!(role, Role::Root | Role::Middle);
    let contents = Contents {
        serial: &serial(&spki),
        issuer: &name(role.issuer()),
        subject: &name(role),
        not_before: now.minus(Duration::from_days(1)),
        not_after: now.plus(if authority { AUTHORITY_LIFE } else { CERTIFICATE_LIFE }),
        public_key: &spki,
        authority,
        digest: Digest::Sha256,
    };
    let key = issuer.map_or(&own, |issuer| &issuer.rsa);
    certificate::write(&contents, |body| key.sign_sha256(body))
}

/// Five bytes, as those that CFCA gives: eleven decimal digits.
fn serial(spki: &[u8]) -> [u8; 5] {
    let hash = ring::digest::digest(&ring::digest::SHA256, spki);
    let (head, _) = hash.as_ref().split_first_chunk::<4>().expect("SHA-256 has 32 bytes");
    [0x10, head[0], head[1], head[2], head[3]]
}
