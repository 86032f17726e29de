//! Keys and certificates of both sides: two merchants, one in key mode and one in certificate mode, and the provider's own.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use data_encoding::{BASE64, HEXLOWER};
use md5::{Digest as _, Md5};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::NAME;
use crate::crypto::rsa::{Digest, RsaSigner};
use crate::crypto::{ContentKey, Secret};
use crate::domain::time::{Duration, Timestamp};
use crate::sandbox::provider::World;
use crate::sandbox::provider::certificate::{self, Contents, Name, Part};
use crate::sandbox::provider::records::Member;
use crate::store::StoreError;

/// Certificates are good for so long. Source: §5.
const CERTIFICATE_LIFE: Duration = Duration::from_days(5 * 365);

/// How a merchant and the provider know each other's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// 密钥.
    Key,
    /// 证书.
    Certificate,
}

impl Mode {
    pub const ALL: [Mode; 2] = [Mode::Key, Mode::Certificate];

    /// The simulated merchant's application in this mode.
    pub const fn app_id(self) -> &'static str {
        match self {
            Mode::Key => "9021000100000001",
            Mode::Certificate => "9021000100000002",
        }
    }

    /// The merchant's own number (PID).
    pub const fn pid(self) -> &'static str {
        match self {
            Mode::Key => "2088700000000001",
            Mode::Certificate => "2088700000000002",
        }
    }
}

/// A merchant as the provider knows it; stored as JSON under the application's number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merchant {
    pub mode: Mode,
    pub pid: String,
    /// For the encryption of contents, base64. Used by whoever asks for it.
    pub content_key: String,
}

impl Merchant {
    pub fn cipher(&self) -> ContentKey {
        ContentKey::read(&self.content_key).expect("was made of sixteen bytes")
    }
}

/// A private key with its certificate and the certificate's number.
pub struct Signer {
    pub rsa: RsaSigner,
    /// PKCS#8 DER.
    pub private: Secret,
    /// DER.
    pub certificate: Vec<u8>,
    /// SN.
    pub sn: String,
}

/// Whose key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    Root,
    /// Stands between the root and all others.
    Issuer,
    Alipay,
    /// The one that will replace the other.
    AlipayNext,
    App(Mode),
}

impl Whose {
    fn name(self) -> String {
        match self {
            Whose::Root => "root".to_owned(),
            Whose::Issuer => "issuer".to_owned(),
            Whose::Alipay => "alipay-1".to_owned(),
            Whose::AlipayNext => "alipay-2".to_owned(),
            Whose::App(mode) => format!("app-{}", mode.app_id()),
        }
    }

    const fn issuer(self) -> Whose {
        match self {
            Whose::Root | Whose::Issuer => Whose::Root,
            Whose::Alipay | Whose::AlipayNext | Whose::App(_) => Whose::Issuer,
        }
    }

    /// Organisation, unit and common name.
    fn subject(self) -> [String; 3] {
        let own = |name: &str| ["Ant Financial sim", "Certification Authority sim", name].map(str::to_owned);
        match self {
            Whose::Root => own("Ant Financial Certification Authority R1 sim"),
            Whose::Issuer => own("Ant Financial Certification Authority Class 2 R1 sim"),
            Whose::Alipay | Whose::AlipayNext => {
                let name = format!("支付宝(中国)网络技术有限公司-{}", Mode::Certificate.pid());
                ["Coffer Simulator".to_owned(), "Alipay".to_owned(), name]
            }
            Whose::App(mode) => {
                let name = format!("{}-{}", mode.pid(), mode.app_id());
                ["Coffer Simulator".to_owned(), "Alipay".to_owned(), name]
            }
        }
    }
}

pub struct Keys {
    world: World,
    open: RwLock<BTreeMap<String, Arc<Signer>>>,
}

impl Keys {
    pub fn new(world: World) -> Self {
        Self { world, open: RwLock::default() }
    }

    /// Makes whatever is not there yet. Blocks for seconds the first time.
    pub fn prepare(&self) -> Result<(), StoreError> {
        for whose in [Whose::Root, Whose::Issuer, Whose::Alipay, Whose::AlipayNext] {
            self.signer(whose)?;
        }
        for mode in Mode::ALL {
            self.signer(Whose::App(mode))?;
            if self.world.member(NAME, mode.app_id())?.is_none() {
                let content_key = BASE64.encode(&self.world.env().random::<16>());
                let merchant = Merchant { mode, pid: mode.pid().to_owned(), content_key };
                let details = serde_json::to_string(&merchant).expect("plain text always serialises");
                let name = match mode {
                    Mode::Key => "小杯子店",
                    Mode::Certificate => "老字号茶铺",
                };
                let member = Member { name: name.to_owned(), details, created_at: self.world.wire_now() };
                self.world.enrol(NAME, mode.app_id(), &member)?;
            }
        }
        Ok(())
    }

    /// The merchant with this application.
    pub fn merchant(&self, app_id: &str) -> Result<Option<Merchant>, StoreError> {
        Ok(self.world.member(NAME, app_id)?.and_then(|member| serde_json::from_str(&member.details).ok()))
    }

    pub fn signer(&self, whose: Whose) -> Result<Arc<Signer>, StoreError> {
        let name = whose.name();
        if let Some(known) = self.open.read().unwrap_or_else(PoisonError::into_inner).get(&name) {
            return Ok(known.clone());
        }
        let above = if whose == Whose::Root { None } else { Some(self.signer(whose.issuer())?) };
        let record = self.world.key(NAME, &name, |private, now| {
            let own = RsaSigner::from_der(private.expose()).expect("a key that was just made");
            certify(whose, &own, above.as_deref().map_or(&own, |above| &above.rsa), now)
        })?;
        let rsa = RsaSigner::from_der(&record.private).expect("a key that was stored whole");
        let sn = number_of(whose.issuer(), serial(&rsa));
        let signer =
            Arc::new(Signer { rsa, private: Secret::new(record.private), certificate: record.certificate, sn });
        self.open.write().unwrap_or_else(PoisonError::into_inner).insert(name, signer.clone());
        Ok(signer)
    }
}

fn certify(whose: Whose, own: &RsaSigner, issuer: &RsaSigner, now: Timestamp) -> Vec<u8> {
    let [subject, above] = [whose.subject(), whose.issuer().subject()];
    let name = |[organization, unit, common]: &[String; 3]| -> [(Part, String); 4] {
        [
            (Part::Country, "CN".to_owned()),
            (Part::Organization, organization.clone()),
            (Part::Unit, unit.clone()),
            (Part::Common, common.clone()),
        ]
    };
    let (subject, above) = (name(&subject), name(&above));
    let subject: Vec<(Part, &str)> = subject.iter().map(|(part, text)| (*part, text.as_str())).collect();
    let above: Vec<(Part, &str)> = above.iter().map(|(part, text)| (*part, text.as_str())).collect();
    let (subject, above): (Name<'_>, Name<'_>) = (&subject, &above);
    let contents = Contents {
        serial: &serial(own).to_be_bytes(),
        issuer: above,
        subject,
        not_before: now.minus(Duration::from_days(1)),
        not_after: now.plus(CERTIFICATE_LIFE),
        public_key: &own.public().to_spki(),
        authority: matches!(whose, Whose::Root | Whose::Issuer),
        digest: Digest::Sha256,
    };
    certificate::write(&contents, |body| issuer.sign_sha256(body))
}

/// Positive, and the same for the same key.
fn serial(key: &RsaSigner) -> u128 {
    let hash = digest(&SHA256, &key.public().to_spki());
    let (head, _) = hash.as_ref().split_first_chunk::<16>().expect("SHA-256 has 32 bytes");
    u128::from_be_bytes(*head) >> 1 | 1 << 120
}

/// Source: §5: MD5 of the issuer's name, most specific part first, and the serial number in decimal.
fn number_of(issuer: Whose, serial: u128) -> String {
    let [organization, unit, common] = issuer.subject();
    let text = format!("CN={common},OU={unit},O={organization},C=CN{serial}");
    HEXLOWER.encode(&Md5::digest(text.as_bytes()))
}
