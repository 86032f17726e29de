//! The keys of one contract, ready: what signs, what verifies, and how Alipay's certificates follow one another.

use super::credentials::{self, ALIPAY_CERTIFICATES_MAX, Credentials, Trust};
use super::sign;
use crate::channels::ChannelError;
use crate::channels::text::shortened;
use crate::crypto::rsa::{Digest, RsaSigner, RsaVerifier};
use crate::crypto::{Certificate, ContentKey};
use crate::domain::time::Timestamp;

pub struct Keys {
    pub signer: RsaSigner,
    pub content: Option<ContentKey>,
    trust: Trusted,
    /// What replaced keys verified, the newest first.
    earlier: Vec<Trusted>,
    /// Keys that contents were encrypted with before.
    earlier_content: Vec<ContentKey>,
}

enum Trusted {
    Key(RsaVerifier),
    Certificates { app_sn: String, root_sn: String, alipay: Vec<Signatory> },
}

/// One certificate that Alipay signs with.
struct Signatory {
    sn: String,
    key: RsaVerifier,
    certificate: Certificate,
}

impl Keys {
    /// Fails with [`ChannelError::Credentials`] when something cannot be read. Validity in time is asked where a key is
    /// used.
    pub fn open(record: &Credentials) -> Result<Self, ChannelError> {
        let bad = |what: &str| ChannelError::Credentials { detail: format!("{what} cannot be read") };
        let content = |key: &String| ContentKey::read(key).ok_or_else(|| bad("the content key"));
        let earlier = record.earlier.iter();
        Ok(Self {
            content: record.content_key.as_ref().map(content).transpose()?,
            trust: Trusted::open(&record.trust)?,
            earlier: earlier.clone().map(|earlier| Trusted::open(&earlier.trust)).collect::<Result<_, _>>()?,
            earlier_content: earlier
                .filter_map(|one| one.content_key.as_ref())
                .map(content)
                .collect::<Result<_, _>>()?,
            signer: RsaSigner::read(&record.private_key).map_err(|_| bad("the private key"))?,
        })
    }

    /// Opens what Alipay encrypted: with the present key, or with one before it. A wrong key may open to rubbish, so what
    /// comes out has to begin as JSON does.
    pub fn open_content(&self, closed: &str) -> Option<Vec<u8>> {
        let keys = self.content.iter().chain(&self.earlier_content);
        keys.filter_map(|key| key.open(closed)).find(|plain| plain.first() == Some(&b'{'))
    }

    /// The numbers of the app's certificate and of the roots, which requests carry in certificate mode.
    pub fn sns(&self) -> Option<(&str, &str)> {
        match &self.trust {
            Trusted::Key(_) => None,
            Trusted::Certificates { app_sn, root_sn, .. } => Some((app_sn, root_sn)),
        }
    }

    /// Whether Alipay signed `text`. `sn` is the certificate that it says it used, if it says so.
    pub fn verify(&self, text: &[u8], sign: &str, sn: Option<&str>, now: Timestamp) -> Result<(), ChannelError> {
        let present = self.trust.verify(text, sign, sn, now);
        // The complaint is about the present keys: these are what a person can put right.
        present.or_else(|error| {
            let before = self.earlier.iter().any(|earlier| earlier.verify(text, sign, sn, now).is_ok());
            if before { Ok(()) } else { Err(error) }
        })
    }

    pub fn knows(&self, sn: &str) -> bool {
        std::iter::once(&self.trust).chain(&self.earlier).any(|trust| trust.knows(sn))
    }

    /// The certificate of Alipay to ask for in certificate mode: the one that is missing, else the newest.
    pub fn certificate_to_fetch<'a>(&'a self, record: &'a Credentials) -> Option<&'a str> {
        match (&self.trust, &record.trust) {
            (Trusted::Certificates { .. }, Trust::Certificate { wanted_sn: Some(sn), .. }) => Some(sn),
            (Trusted::Certificates { alipay, .. }, _) => alipay.first().map(|one| one.sn.as_str()),
            (Trusted::Key(_), _) => None,
        }
    }
}

impl Trusted {
    fn open(trust: &Trust) -> Result<Self, ChannelError> {
        let bad = |what: &str| ChannelError::Credentials { detail: format!("{what} cannot be read") };
        Ok(match trust {
            Trust::Key { alipay_public_key } => {
                Trusted::Key(RsaVerifier::read(alipay_public_key).map_err(|_| bad("Alipay's public key"))?)
            }
            Trust::Certificate { app_certificate, alipay_certificates, root_certificates, wanted_sn: _ } => {
                let app = Certificate::read(app_certificate).map_err(|_| bad("the app's certificate"))?;
                let alipay: Option<Vec<Signatory>> = alipay_certificates.iter().map(|file| signatory(file)).collect();
                Trusted::Certificates {
                    app_sn: sign::certificate_sn(&app),
                    root_sn: sign::root_sn(&Certificate::read_bundle(root_certificates)),
                    alipay: alipay.filter(|all| !all.is_empty()).ok_or_else(|| bad("Alipay's certificate"))?,
                }
            }
        })
    }

    fn verify(&self, text: &[u8], sign: &str, sn: Option<&str>, now: Timestamp) -> Result<(), ChannelError> {
        let wrong = |detail: String| Err(ChannelError::NotGenuine { detail });
        let holds = |key: &RsaVerifier| key.verifies_base64(Digest::Sha256, text, sign);
        match self {
            Trusted::Key(key) if holds(key) => Ok(()),
            Trusted::Key(_) => wrong("the signature is wrong".to_owned()),
            Trusted::Certificates { alipay, .. } => {
                let mut named = alipay.iter().filter(|one| sn.is_none_or(|sn| sn == one.sn)).peekable();
                if let (None, Some(sn)) = (named.peek(), sn) {
                    return Err(ChannelError::UnknownKey { id: shortened(sn) });
                }
                match named.find(|one| holds(&one.key)) {
                    Some(one) if one.certificate.is_valid_at(now) => Ok(()),
                    Some(_) => wrong("signed with a certificate that has expired".to_owned()),
                    None => wrong("the signature is wrong".to_owned()),
                }
            }
        }
    }

    fn knows(&self, sn: &str) -> bool {
        match self {
            Trusted::Key(_) => false,
            Trusted::Certificates { alipay, .. } => alipay.iter().any(|one| one.sn == sn),
        }
    }
}

fn signatory(file: &str) -> Option<Signatory> {
    let certificate = Certificate::read(file).ok()?;
    let key = certificate.public_key().ok()?;
    Some(Signatory { sn: sign::certificate_sn(&certificate), key, certificate })
}

/// Notes that Alipay signs with a certificate that has to be fetched. `None` when that is noted already, or nonsense.
pub fn want(record: &Credentials, sn: &str) -> Option<Credentials> {
    let plausible = sn.len() == 32 && sn.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut record = record.clone();
    let Trust::Certificate { wanted_sn, .. } = &mut record.trust else { return None };
    if !plausible || wanted_sn.as_deref() == Some(sn) {
        return None;
    }
    *wanted_sn = Some(sn.to_owned());
    Some(record)
}

/// The record without a note of a certificate to fetch.
pub fn forget_wanted(record: &Credentials) -> Credentials {
    let mut record = record.clone();
    if let Trust::Certificate { wanted_sn, .. } = &mut record.trust {
        *wanted_sn = None;
    }
    record
}

/// The record with a certificate that Alipay handed out. It has to carry the number `sn`, to be in the name of the one that
/// it follows, and to descend, over certificates valid at `now`, from the roots that the merchant entered: nothing else
/// says whose it is.
pub fn adopt(record: &Credentials, file: &str, sn: &str, now: Timestamp) -> Result<Credentials, ChannelError> {
    let refused = |detail: &str| ChannelError::NotGenuine { detail: format!("the offered certificate {detail}") };
    let mut record = record.clone();
    let Trust::Certificate { alipay_certificates, root_certificates, wanted_sn, .. } = &mut record.trust else {
        return Err(ChannelError::Unsupported);
    };
    let chain = Certificate::read_bundle(file);
    let known: Vec<Certificate> = alipay_certificates.iter().flat_map(|file| Certificate::read_bundle(file)).collect();
    let roots = Certificate::read_bundle(root_certificates);
    if chain.first().is_none_or(|leaf| sign::certificate_sn(leaf) != sn) {
        return Err(refused("is another one"));
    }
    let links = credentials::links(&chain, &known, &roots).ok_or_else(|| refused("does not descend from the roots"))?;
    if !links.iter().all(|link| link.is_valid_at(now)) {
        return Err(refused("or one above it is not valid now"));
    }
    // Merchants' own certificates descend from the same roots. They neither vouch for others nor carry Alipay's name.
    if !links.iter().skip(1).all(|link| link.is_authority()) {
        return Err(refused("descends from one that may not sign others"));
    }
    if !known.iter().any(|old| old.common_name().is_some() && old.common_name() == links[0].common_name()) {
        return Err(refused("is not in the name of the one it follows"));
    }
    alipay_certificates.insert(0, file.trim().to_owned());
    alipay_certificates.truncate(ALIPAY_CERTIFICATES_MAX);
    *wanted_sn = None;
    Ok(record)
}
