//! What may be shown of an account's credentials: ids, fingerprints of keys, and until when certificates are good.

use super::EXPIRY_WARNING;
use crate::channels::{alipay, unionpay, wechatpay};
use crate::crypto::rsa::RsaSigner;
use crate::crypto::{Certificate, Secret};
use crate::domain::merchant::ChannelKind;
use crate::domain::time::Timestamp;
use crate::lang::Text;

/// Something of an account's credentials that may be shown: an id, or the fingerprint of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    pub label: Text,
    pub value: String,
    /// When it stops working.
    pub ends_at: Option<Timestamp>,
}

impl Fact {
    pub fn is_ending(&self, now: Timestamp) -> bool {
        self.ends_at.is_some_and(|end| end <= now.plus(EXPIRY_WARNING))
    }
}

/// When the first kind of certificate is used up, and which: an old one that is kept beside a newer one may end.
pub fn end(facts: &[Fact]) -> Option<(Text, Timestamp)> {
    let mut ends: Vec<(Text, Timestamp)> = Vec::new();
    for fact in facts {
        let Some(at) = fact.ends_at else { continue };
        match ends.iter_mut().find(|(label, _)| *label == fact.label) {
            Some((_, last)) => *last = at.max(*last),
            None => ends.push((fact.label, at)),
        }
    }
    ends.into_iter().min_by_key(|(_, at)| *at)
}

const fn plain(label: Text, value: String) -> Fact {
    Fact { label, value, ends_at: None }
}

fn key_fact(label: Text, pem: &str) -> Option<Fact> {
    RsaSigner::read(pem).ok().map(|key| plain(label, key.public().fingerprint()))
}

fn certificate_fact(label: Text, pem: &str) -> Option<Fact> {
    let certificate = Certificate::read(pem).ok()?;
    Some(Fact { label, value: certificate.serial_hex(), ends_at: Some(certificate.not_after()) })
}

/// What may be shown of opened credentials. Nothing of a secret can be found out from it.
pub fn facts(kind: ChannelKind, credentials: &Secret) -> Vec<Fact> {
    const KEY: Text = Text::new("私钥指纹", "Private key's fingerprint");
    let mut facts = Vec::new();
    match kind {
        ChannelKind::TestWallet => {}
        ChannelKind::WechatPay => {
            let Ok(record) = serde_json::from_slice::<wechatpay::Credentials>(credentials.expose()) else {
                return facts;
            };
            facts.push(plain(Text::new("商户号", "Merchant number"), record.mch_id.clone()));
            facts.push(plain(Text::new("AppID", "App id"), record.app_ids.default));
            if let Some(app_id) = record.app_ids.official_account.filter(|_| record.official_account_secret.is_some()) {
                facts.push(plain(Text::new("微信内直接付款", "Pays inside WeChat"), app_id));
            }
            if let Some(key) = &record.code_v2_key {
                let label = Text::new("付款码走 V2，密钥指纹", "Payment codes through V2, key's fingerprint");
                facts.push(plain(label, wechatpay::code_v2::fingerprint(&record.mch_id, key)));
            }
            facts.extend(key_fact(KEY, &record.merchant_key));
            let label = Text::new("商户证书", "Merchant certificate");
            let certificate = record.merchant_certificate.as_deref();
            facts.extend(certificate.and_then(|pem| certificate_fact(label, pem)));
            for id in record.public_keys.into_keys() {
                facts.push(plain(Text::new("微信支付公钥", "WeChat Pay public key"), id));
            }
            let label = Text::new("平台证书", "Platform certificate");
            facts.extend(record.platform_certificates.iter().filter_map(|pem| certificate_fact(label, pem)));
        }
        ChannelKind::Alipay => {
            let Ok(record) = serde_json::from_slice::<alipay::credentials::Credentials>(credentials.expose()) else {
                return facts;
            };
            facts.push(plain(Text::new("应用 APPID", "App id"), record.app_id));
            facts.push(plain(Text::new("商家 PID", "Seller id"), record.seller_id));
            facts.extend(key_fact(KEY, &record.private_key));
            match record.trust {
                alipay::credentials::Trust::Key { .. } => {}
                alipay::credentials::Trust::Certificate { app_certificate, alipay_certificates, .. } => {
                    facts.extend(certificate_fact(Text::new("应用证书", "App certificate"), &app_certificate));
                    let label = Text::new("支付宝证书", "Alipay certificate");
                    facts.extend(alipay_certificates.iter().filter_map(|pem| certificate_fact(label, pem)));
                }
            }
        }
        ChannelKind::Unionpay => {
            use unionpay::credentials::{Contract, Credentials};
            let Some(record) = Credentials::read(credentials.expose()) else { return facts };
            let fingerprint = record.key_fingerprint();
            facts.push(plain(Text::new("商户号", "Merchant number"), record.mer_id));
            match record.contract {
                Contract::Certificate(own) => {
                    facts.extend(fingerprint.map(|fingerprint| plain(KEY, fingerprint)));
                    let label = Text::new("签名证书", "Signing certificate");
                    facts.extend(certificate_fact(label, &own.sign_certificate));
                }
                Contract::Key(own) => {
                    let method = own.sign_method.code().to_owned();
                    facts.push(plain(Text::new("签名方式（signMethod）", "Way of signing (signMethod)"), method));
                    let label = Text::new("密钥指纹", "Shared key's fingerprint");
                    facts.extend(fingerprint.map(|fingerprint| plain(label, fingerprint)));
                }
            }
        }
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_certificate_beside_a_newer_one_may_end() {
        const OURS: Text = Text::new("商户证书", "Merchant certificate");
        const THEIRS: Text = Text::new("平台证书", "Platform certificate");
        let fact = |label, day| Fact { label, value: String::new(), ends_at: Some(Timestamp::from_seconds(day)) };
        let key = plain(OURS, "a fingerprint".to_owned());
        assert_eq!(end(std::slice::from_ref(&key)), None, "keys do not end");
        let facts = [fact(THEIRS, 1), fact(OURS, 3), fact(THEIRS, 2), key];
        assert_eq!(end(&facts), Some((THEIRS, Timestamp::from_seconds(2))));
        assert_eq!(end(&facts[..2]), Some((THEIRS, Timestamp::from_seconds(1))));
    }
}
