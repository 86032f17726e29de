//! Keys and certificates of both sides: an authority of two floors, what the provider has below it, and a merchant; and
//! two merchants who share a key with the provider instead.
//!
//! Source: §3.3, §3.5 to §3.7 and §9 of the fact sheet. The chain is signed with SHA-256: what checks it is the adapter under test,
//! and the historic SHA-1 chain is among its published vectors.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::NAME;
use super::wire::{self, Fields};
use crate::crypto::rsa::{Digest, RsaSigner, decrypt_pkcs1v15};
use crate::crypto::{Hash, Secret};
use crate::domain::time::{Duration, Timestamp};
use crate::sandbox::provider::World;
use crate::sandbox::provider::certificate::{self, Contents, Part, pem};
use crate::sandbox::provider::records::Member;
use crate::store::StoreError;

/// The simulated merchant with a certificate.
pub const MER_ID: &str = "777290058110048";

/// How a merchant's contract signs. There is a simulated merchant for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    Certificate,
    Sha256,
    Sm3,
}

impl Form {
    pub const ALL: [Form; 3] = [Form::Certificate, Form::Sha256, Form::Sm3];

    pub const fn mer_id(self) -> &'static str {
        match self {
            Form::Certificate => MER_ID,
            Form::Sha256 => "777290058110011",
            Form::Sm3 => "777290058110012",
        }
    }

    /// `signMethod`.
    pub const fn sign_method(self) -> &'static str {
        match self {
            Form::Certificate => "01",
            Form::Sha256 => "11",
            Form::Sm3 => "12",
        }
    }

    const fn hash(self) -> Hash {
        match self {
            Form::Certificate | Form::Sha256 => Hash::Sha256,
            Form::Sm3 => Hash::Sm3,
        }
    }
}

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
    /// For what merchants encrypt, and the one that will replace it.
    Encryption,
    NewEncryption,
    Merchant,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Role::Root => "root",
            Role::Middle => "middle",
            Role::Signer => "signer-1",
            Role::NewSigner => "signer-2",
            Role::Encryption => "encryption-1",
            Role::NewEncryption => "encryption-2",
            Role::Merchant => "merchant",
        }
    }

    const fn common_name(self) -> &'static str {
        match self {
            Role::Root => "COFFER SIM CS CA",
            Role::Middle => "COFFER SIM OCA1",
            Role::Signer => "041@8310000000083040@中国银联股份有限公司@00016495",
            Role::NewSigner => "041@8310000000083040@中国银联股份有限公司@00016496",
            Role::Encryption => "041@Z2026-11-23@00040000:SIGN@00000005",
            Role::NewEncryption => "041@Z2026-11-23@00040000:SIGN@00000006",
            Role::Merchant => "041@Z2026-11-23@777290058110048:SIGN@00000001",
        }
    }

    const fn issuer(self) -> Role {
        match self {
            Role::Root | Role::Middle => Role::Root,
            Role::Signer | Role::NewSigner | Role::Encryption | Role::NewEncryption | Role::Merchant => Role::Middle,
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
#[serde(untagged)]
pub enum Merchant {
    Certificate { cert_id: String },
    Key { form: Form, secure_key: String },
}

impl Merchant {
    pub fn form(&self) -> Form {
        match self {
            Merchant::Certificate { .. } => Form::Certificate,
            Merchant::Key { form, .. } => *form,
        }
    }
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
        let roles = [Role::Root, Role::Middle, Role::Signer, Role::NewSigner, Role::Encryption, Role::NewEncryption];
        for role in roles {
            self.signer(role)?;
        }
        let own = self.signer(Role::Merchant)?;
        for form in Form::ALL {
            if self.world.member(NAME, form.mer_id())?.is_some() {
                continue;
            }
            let merchant = match form {
                Form::Certificate => Merchant::Certificate { cert_id: own.cert_id.clone() },
                Form::Sha256 | Form::Sm3 => Merchant::Key { form, secure_key: shared_key(form, &own.private) },
            };
            let details = serde_json::to_string(&merchant).expect("plain text always serialises");
            let member = Member { name: "街角小店".to_owned(), details, created_at: self.world.wire_now() };
            self.world.enrol(NAME, form.mer_id(), &member)?;
        }
        Ok(())
    }

    /// The key that the merchant of this form shares with the provider; none where he has a certificate.
    pub fn shared(&self, form: Form) -> Result<Option<String>, StoreError> {
        Ok(match self.merchant(form.mer_id())? {
            Some(Merchant::Key { secure_key, .. }) => Some(secure_key),
            Some(Merchant::Certificate { .. }) | None => None,
        })
    }

    /// Signs what goes to a merchant, in the way of his contract. Who is no merchant gets a certificate's signature, which
    /// everybody can check.
    pub fn seal(&self, fields: &mut Fields, mer_id: &str, manner: Manner) -> Result<(), StoreError> {
        let merchant = self.merchant(mer_id)?;
        let form = merchant.as_ref().map_or(Form::Certificate, Merchant::form);
        fields.insert("signMethod".to_owned(), form.sign_method().to_owned());
        if let Some(Merchant::Key { secure_key, .. }) = merchant {
            // A forger has some key, but not this one.
            let key = if manner.forged { secure_key.chars().rev().collect() } else { secure_key };
            let signature = wire::hashed(fields, form.hash(), &key);
            fields.insert("signature".to_owned(), signature);
            return Ok(());
        }
        let genuine = self.signer(if manner.new_key { Role::NewSigner } else { Role::Signer })?;
        // Or he shows the certificate that he found in another message.
        let key = if manner.forged { self.signer(Role::Merchant)? } else { genuine.clone() };
        wire::seal(fields, &genuine, &key);
        Ok(())
    }

    /// Whether the merchant signed it, in the way of his contract.
    pub fn is_signed(&self, fields: &Fields, merchant: &Merchant) -> Result<bool, StoreError> {
        Ok(match merchant {
            Merchant::Certificate { .. } => wire::is_signed(fields, self.signer(Role::Merchant)?.rsa.public()),
            Merchant::Key { form, secure_key } => {
                fields.get("signature") == Some(&wire::hashed(fields, form.hash(), secure_key))
            }
        })
    }

    /// Whether `sealed` (base64), if anything is, was encrypted for the certificate with this number. `None`: there is no
    /// such certificate. Source: §3.7.
    pub fn opens(&self, cert_id: &str, sealed: Option<&str>) -> Result<Option<bool>, StoreError> {
        for role in [Role::Encryption, Role::NewEncryption] {
            let own = self.signer(role)?;
            if own.cert_id != cert_id {
                continue;
            }
            let opened = sealed.map(|sealed| {
                let sealed = data_encoding::BASE64.decode(sealed.as_bytes()).ok()?;
                decrypt_pkcs1v15(own.private.expose(), &sealed)
            });
            return Ok(Some(opened.is_none_or(|opened| opened.is_some())));
        }
        Ok(None)
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

/// How something is signed on purpose.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// With the certificate that replaces the first one. Shared keys have none.
    pub new_key: bool,
    /// By somebody else.
    pub forged: bool,
}

/// Made of the merchant's private key, so that it is as hard to guess and costs no randomness of its own.
fn shared_key(form: Form, private: &Secret) -> String {
    let mut letters = Hash::Sha256.letters(&[form.sign_method().as_bytes(), private.expose()].concat());
    letters.truncate(32);
    letters
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
