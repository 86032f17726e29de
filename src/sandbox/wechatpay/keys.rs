//! Keys and certificates of both sides: two merchants, one in public-key mode and one with platform certificates, and the
//! provider's own keys.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use data_encoding::HEXUPPER;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};

use super::NAME;
use crate::crypto::Secret;
use crate::crypto::rsa::{Digest, RsaSigner};
use crate::domain::time::{Duration, Timestamp};
use crate::env::Env;
use crate::sandbox::provider::World;
use crate::sandbox::provider::certificate::{self, Contents, Part};
use crate::sandbox::provider::model::number;
use crate::sandbox::provider::records::Member;
use crate::store::StoreError;

/// Certificates are good for so long.
const CERTIFICATE_LIFE: Duration = Duration::from_days(5 * 365);

/// Which of the provider's keys a merchant trusts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// 公钥模式: there is no platform certificate at all.
    PublicKey,
    /// 平台证书模式, and the public key for the switch.
    Certificate,
}

impl Mode {
    pub const ALL: [Mode; 2] = [Mode::PublicKey, Mode::Certificate];

    /// The number of the simulated merchant in this mode.
    pub const fn mchid(self) -> &'static str {
        match self {
            Mode::PublicKey => "1900000101",
            Mode::Certificate => "1900000102",
        }
    }
}

/// A merchant as the provider knows it; stored as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Merchant {
    pub mode: Mode,
    /// Of an official account, a mini program and an app.
    pub appids: Vec<String>,
    pub api_v3_key: String,
    /// Of the merchant's own API certificate.
    pub serial: String,
}

/// A private key with its name on the wire and its certificate.
pub struct Signer {
    /// A certificate's serial, or the id of a public key.
    pub id: String,
    pub rsa: RsaSigner,
    /// PKCS#8 DER.
    pub private: Secret,
    /// DER; also made for the public key, where nobody sees it.
    pub certificate: Vec<u8>,
    pub from: Timestamp,
    pub until: Timestamp,
}

/// The provider's keys, in the order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    Public,
    Certificate,
    /// The certificate that will replace the other.
    NewCertificate,
}

impl Own {
    const fn name(self) -> &'static str {
        match self {
            Own::Public => "public",
            Own::Certificate => "certificate-1",
            Own::NewCertificate => "certificate-2",
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
        for own in [Own::Public, Own::Certificate, Own::NewCertificate] {
            self.own(own)?;
        }
        for mode in Mode::ALL {
            let signer = self.merchant_signer(mode.mchid())?;
            if self.world.member(NAME, mode.mchid())?.is_none() {
                let merchant = Merchant::new(mode, &signer.id, self.world.env());
                let name = match mode {
                    Mode::PublicKey => "小杯子店",
                    Mode::Certificate => "老字号茶铺",
                };
                let details = serde_json::to_string(&merchant).expect("plain text always serialises");
                let member = Member { name: name.to_owned(), details, created_at: self.world.wire_now() };
                self.world.enrol(NAME, mode.mchid(), &member)?;
            }
        }
        Ok(())
    }

    pub fn own(&self, own: Own) -> Result<Arc<Signer>, StoreError> {
        self.signer(own.name(), "Simulated WeChat Pay")
    }

    /// The merchant's own key, with which requests are signed.
    pub fn merchant_signer(&self, mchid: &str) -> Result<Arc<Signer>, StoreError> {
        self.signer(&format!("merchant-{mchid}"), mchid)
    }

    /// The merchant with this number.
    pub fn merchant(&self, mchid: &str) -> Result<Option<Merchant>, StoreError> {
        Ok(self.world.member(NAME, mchid)?.and_then(|member| serde_json::from_str(&member.details).ok()))
    }

    fn signer(&self, name: &str, common_name: &str) -> Result<Arc<Signer>, StoreError> {
        if let Some(known) = self.open.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(known.clone());
        }
        let certify = |private: &Secret, now: Timestamp| {
            let rsa = RsaSigner::from_der(private.expose()).expect("a key that was just made");
            let names: certificate::Name<'_> =
                &[(Part::Country, "CN"), (Part::Organization, "Coffer Simulator"), (Part::Common, common_name)];
            let spki = rsa.public().to_spki();
            let contents = Contents {
                serial: &serial(&spki),
                issuer: names,
                subject: names,
                not_before: now.minus(Duration::from_days(1)),
                not_after: now.plus(CERTIFICATE_LIFE),
                public_key: &spki,
                authority: false,
                digest: Digest::Sha256,
            };
            certificate::write(&contents, |body| rsa.sign_sha256(body))
        };
        let record = self.world.key(NAME, name, certify)?;
        let rsa = RsaSigner::from_der(&record.private).expect("a key that was stored whole");
        let spki = rsa.public().to_spki();
        let id = if name == Own::Public.name() {
            format!("PUB_KEY_ID_{}", number("01", &rsa.public().fingerprint()))
        } else {
            HEXUPPER.encode(&serial(&spki))
        };
        let signer = Arc::new(Signer {
            id,
            rsa,
            private: Secret::new(record.private),
            certificate: record.certificate,
            from: record.created_at.minus(Duration::from_days(1)),
            until: record.created_at.plus(CERTIFICATE_LIFE),
        });
        self.open.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), signer.clone());
        Ok(signer)
    }
}

impl Merchant {
    fn new(mode: Mode, serial: &str, env: &Env) -> Self {
        let appid = || format!("wx{}", data_encoding::HEXLOWER.encode(&env.random::<8>()));
        Self {
            mode,
            appids: (0..3).map(|_| appid()).collect(),
            api_v3_key: data_encoding::HEXLOWER.encode(&env.random::<16>()),
            serial: serial.to_owned(),
        }
    }

    /// AEAD_AES_256_GCM under the APIv3 key: base64 of ciphertext and tag.
    pub fn encrypt(&self, plain: &[u8], nonce: &[u8; 12], associated_data: &str) -> String {
        let key = UnboundKey::new(&AES_256_GCM, self.api_v3_key.as_bytes()).expect("the key has 32 bytes");
        let mut sealed = plain.to_vec();
        LessSafeKey::new(key)
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(associated_data.as_bytes()),
                &mut sealed,
            )
            .expect("a message far below the cipher's limit");
        data_encoding::BASE64.encode(&sealed)
    }
}

/// Twenty bytes, positive and without a zero in front, so that the hexadecimal form has 40 digits.
fn serial(spki: &[u8]) -> [u8; 20] {
    let hash = ring::digest::digest(&ring::digest::SHA256, spki);
    let (head, _) = hash.as_ref().split_first_chunk::<20>().expect("SHA-256 has 32 bytes");
    let mut serial = *head;
    serial[0] = 0x10 | (serial[0] & 0x6f);
    serial
}
