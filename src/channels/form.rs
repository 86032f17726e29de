//! What a merchant types in to connect a channel: the fields of each provider with a guide to where they are found, and
//! one check for all of them.

use std::collections::BTreeMap;

use super::{alipay, unionpay, wechatpay};
use crate::crypto::rsa::{self, RsaSigner};
use crate::crypto::{Certificate, Secret};
use crate::domain::ids::Mode;
use crate::domain::merchant::ChannelKind;
use crate::domain::time::{Duration, Timestamp};
use crate::lang::Text;

/// How long before its end a certificate is warned about.
pub const EXPIRY_WARNING: Duration = Duration::from_days(30);

/// How a field is entered and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A number or id in one line.
    Line,
    /// A secret in one line.
    Secret,
    /// A private key in PEM form.
    SecretText,
    /// A file with a private key that is no text, as base64.
    SecretFile,
    /// Certificates and public keys.
    OpenText,
    /// One of several: what is sent, and what people read. The first is chosen where nothing was.
    Choice(&'static [(&'static str, Text)]),
}

/// One field of the form.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The name of the input.
    pub name: &'static str,
    pub label: Text,
    /// Where to find it.
    pub guide: Text,
    pub shape: Shape,
    pub required: bool,
}

const fn field(name: &'static str, shape: Shape, label: Text, guide: Text) -> Field {
    Field { name, label, guide, shape, required: true }
}

const fn optional(name: &'static str, shape: Shape, label: Text, guide: Text) -> Field {
    Field { name, label, guide, shape, required: false }
}

const WECHAT_PAY: &[Field] = &[
    field(
        "mch_id",
        Shape::Line,
        Text::new("商户号", "Merchant number"),
        Text::new(
            "微信支付商户平台 → 账户中心 → 商户信息。10 位数字。",
            "WeChat Pay merchant platform → account centre → merchant information. Ten digits.",
        ),
    ),
    field(
        "app_id",
        Shape::Line,
        Text::new("AppID", "App id"),
        Text::new(
            "产品中心 → AppID 账号管理中已关联的公众号、小程序或应用，以 wx 开头。",
            "Product centre → AppID management: the account, mini program or app that is bound to the number. Begins with wx.",
        ),
    ),
    field(
        "merchant_key",
        Shape::SecretText,
        Text::new("商户 API 私钥", "Merchant API private key"),
        Text::new(
            "账户中心 → API 安全 → 商户 API 证书。打开 apiclient_key.pem，全部粘贴。",
            "Account centre → API security → merchant API certificate. Open apiclient_key.pem and paste all of it.",
        ),
    ),
    field(
        "merchant_certificate",
        Shape::OpenText,
        Text::new("商户 API 证书", "Merchant API certificate"),
        Text::new(
            "同一个压缩包里的 apiclient_cert.pem。用来核对私钥，并在到期前提醒。",
            "apiclient_cert.pem from the same archive. It tells whether the key fits, and when it ends.",
        ),
    ),
    field(
        "api_v3_key",
        Shape::Secret,
        Text::new("APIv3 密钥", "APIv3 key"),
        Text::new(
            "API 安全 → APIv3 密钥。您自己设置的 32 个字符；没有设置就收不到通知。",
            "API security → APIv3 key: the 32 characters that you set yourself. Without one there are no notifications.",
        ),
    ),
    optional(
        "public_key_id",
        Shape::Line,
        Text::new("微信支付公钥 ID", "WeChat Pay public key id"),
        Text::new(
            "API 安全 → 微信支付公钥，以 PUB_KEY_ID_ 开头。老商户没有公钥就和下一项一起留空。",
            "API security → WeChat Pay public key; begins with PUB_KEY_ID_. Older merchants without one leave both empty.",
        ),
    ),
    optional(
        "public_key",
        Shape::OpenText,
        Text::new("微信支付公钥", "WeChat Pay public key"),
        Text::new("同一页下载的 pub_key.pem，全部粘贴。", "pub_key.pem, downloaded on the same page. Paste all of it."),
    ),
    field(
        "code_interface",
        Shape::Choice(&[("v3", Text::new("V3（默认）", "V3 (default)")), ("v2", Text::new("V2", "V2"))]),
        Text::new("付款码接口", "Interface for payment codes"),
        Text::new(
            "用扫码枪收款才要管它。① 先留 V3，收一笔小额试试。② 提示“没有权限”（NO_AUTH），说明商户号只开通了 V2，多数门店如此。③ 回到这里选 V2，填下一项，商户证书也要在。退款不受影响。",
            "Only for shops that scan customers' codes. 1. Keep V3 and try a small payment. 2. If it says NO_AUTH, the merchant number has V2 only, as most shops do. 3. Come back, choose V2 and fill in the next field; the merchant certificate is needed too. Refunds stay the same.",
        ),
    ),
    optional(
        "api_v2_key",
        Shape::Secret,
        Text::new("APIv2 密钥", "APIv2 key"),
        Text::new(
            "选 V2 才填。账户中心 → API 安全 → APIv2 密钥，32 个字符，与 APIv3 密钥是两把。看不到旧的，忘了只能重设；还在用它的其他系统要一起改。",
            "Only with V2. Account centre → API security → APIv2 key: 32 characters, not the APIv3 key. It cannot be looked up; if you set a new one, change it in every system that still uses it.",
        ),
    ),
    optional(
        "official_account_app_id",
        Shape::Line,
        Text::new("公众号 AppID", "Official account app id"),
        Text::new("在微信里的网页收款时需要。", "For pages inside WeChat."),
    ),
    optional(
        "official_account_secret",
        Shape::Secret,
        Text::new("公众号 AppSecret", "Official account app secret"),
        Text::new(
            "填了，顾客用微信打开收银台就能直接付款。公众平台 → 设置与开发 → 基本配置；还要把本收银台的域名加进公众号的“网页授权域名”，把 收银台地址/c/ 加进商户平台的“JSAPI 支付授权目录”，把本机 IP 加进公众号的 IP 白名单。",
            "With it customers pay at once when the cashier is opened in WeChat. Official accounts platform → settings → basic configuration. Also add this cashier's domain to the account's web authorization domains, ADDRESS/c/ to the merchant platform's JSAPI directories, and this server's IP to the account's allow-list.",
        ),
    ),
    optional(
        "mini_program_app_id",
        Shape::Line,
        Text::new("小程序 AppID", "Mini program app id"),
        Text::new("小程序收款时需要。", "For mini programs."),
    ),
    optional(
        "app_app_id",
        Shape::Line,
        Text::new("移动应用 AppID", "Mobile app id"),
        Text::new("App 收款时需要，来自微信开放平台。", "For your own app; from the WeChat open platform."),
    ),
];

const ALIPAY: &[Field] = &[
    field(
        "app_id",
        Shape::Line,
        Text::new("应用 APPID", "App id"),
        Text::new("支付宝开放平台 → 控制台 → 应用详情。", "Alipay open platform → console → app details."),
    ),
    field(
        "seller_id",
        Shape::Line,
        Text::new("商家 PID", "Seller id (PID)"),
        Text::new(
            "开放平台 → 账户中心，2088 开头的 16 位数字。",
            "Open platform → account centre: 16 digits that begin with 2088.",
        ),
    ),
    field(
        "private_key",
        Shape::SecretText,
        Text::new("应用私钥", "App private key"),
        Text::new(
            "用支付宝密钥工具生成的应用私钥（RSA2，2048 位），全部粘贴。",
            "The app private key that Alipay's key tool made (RSA2, 2048 bits). Paste all of it.",
        ),
    ),
    optional(
        "alipay_public_key",
        Shape::OpenText,
        Text::new("支付宝公钥", "Alipay public key"),
        Text::new(
            "接口加签方式选“密钥”时填：复制支付宝公钥，不是应用公钥。",
            "For signing by key: copy Alipay's public key, not your app's.",
        ),
    ),
    optional(
        "app_certificate",
        Shape::OpenText,
        Text::new("应用公钥证书", "App certificate"),
        Text::new(
            "加签方式选“证书”时，三个证书都要填：appCertPublicKey_….crt。",
            "For signing by certificate all three are needed: appCertPublicKey_….crt.",
        ),
    ),
    optional(
        "alipay_certificate",
        Shape::OpenText,
        Text::new("支付宝公钥证书", "Alipay certificate"),
        Text::new("alipayCertPublicKey_RSA2.crt。", "alipayCertPublicKey_RSA2.crt."),
    ),
    optional(
        "root_certificates",
        Shape::OpenText,
        Text::new("支付宝根证书", "Alipay root certificates"),
        Text::new("alipayRootCert.crt，整个文件。", "alipayRootCert.crt, the whole file."),
    ),
    optional(
        "content_key",
        Shape::Secret,
        Text::new("接口内容加密密钥", "Content encryption key"),
        Text::new("没有开启接口内容加密就留空。", "Leave it empty if content encryption is off."),
    ),
];

const UNIONPAY: &[Field] = &[
    field(
        "mer_id",
        Shape::Line,
        Text::new("商户号", "Merchant number"),
        Text::new("收单机构给的 15 位商户号。", "The 15 characters that your acquirer gave you."),
    ),
    field(
        "sign_method",
        Shape::Choice(&[
            ("01", Text::new("证书（PFX 文件）", "Certificate (PFX file)")),
            ("11", Text::new("密钥，SHA-256", "Shared key, SHA-256")),
            ("12", Text::new("密钥，国密 SM3", "Shared key, SM3")),
        ]),
        Text::new("签名方式", "Way of signing"),
        Text::new(
            "看开通通知：要您去 CFCA 下载证书的选“证书”，填 PFX 那几项；直接给了一串密钥的选“密钥”，只填下一项。接口参数里叫 signMethod：01、11、12。",
            "As your acquirer wrote: with a certificate to download from CFCA, choose it and enter the PFX; with a key in the letter, choose that and enter it below, and no certificates. In the interface it is signMethod: 01, 11, 12.",
        ),
    ),
    optional(
        "secure_key",
        Shape::Secret,
        Text::new("密钥", "Shared key"),
        Text::new(
            "只在签名方式选“密钥”时填。商户服务平台 → 密钥管理，或收单机构发来的那串字符（配置文件里的 secureKey），原样复制。谁有它就能冒充银联，别用聊天软件转发。",
            "Only for signing by key. Merchant service platform → keys, or the line that your acquirer sent (secureKey in configuration files), copied as it is. Whoever has it can speak as UnionPay, so do not send it through a chat.",
        ),
    ),
    optional(
        "pfx",
        Shape::SecretFile,
        Text::new("签名证书 PFX", "Signing certificate (PFX)"),
        Text::new(
            "选择下载的 .pfx 文件，或粘贴它的 Base64 文本（Linux：base64 文件名；Windows：certutil -encode）。也可以改填下面的私钥和证书。",
            "Choose the .pfx file, or paste it as base64 (Linux: base64 FILE; Windows: certutil -encode). Or enter key and certificate below.",
        ),
    ),
    optional(
        "pfx_password",
        Shape::Secret,
        Text::new("PFX 密码", "Password of the PFX"),
        Text::new("下载证书时您自己设置的密码。", "The one you set when you downloaded it."),
    ),
    optional(
        "private_key",
        Shape::SecretText,
        Text::new("签名私钥", "Private key"),
        Text::new("没有 PFX 时填，PEM 格式。", "Where there is no PFX; PEM form."),
    ),
    optional(
        "certificate",
        Shape::OpenText,
        Text::new("签名证书", "Certificate"),
        Text::new("私钥对应的证书，PEM 格式。", "The certificate of that key; PEM form."),
    ),
    optional(
        "trusted_certificates",
        Shape::OpenText,
        Text::new("银联根证书和中级证书", "UnionPay's root and middle certificates"),
        Text::new("留空就用银联公布的正式证书。", "Left empty, those that UnionPay publishes are used."),
    ),
    optional(
        "term_id",
        Shape::Line,
        Text::new("终端号", "Terminal number"),
        Text::new("合同里有就填，8 位。", "8 characters, where your contract names one."),
    ),
];

/// The fields of a provider's form; none where nothing is typed in.
pub fn fields(kind: ChannelKind) -> &'static [Field] {
    match kind {
        ChannelKind::TestWallet => &[],
        ChannelKind::WechatPay => WECHAT_PAY,
        ChannelKind::Alipay => ALIPAY,
        ChannelKind::Unionpay => UNIONPAY,
    }
}

/// What was typed in, by the names of the fields.
pub type Typed = BTreeMap<&'static str, String>;

/// A field that is wrong, and how to put it right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub field: &'static str,
    pub text: Text,
}

/// The record for the vault, or what is wrong. `old` are the keys that these replace: what still arrives under them goes
/// on being understood.
pub fn check(
    kind: ChannelKind,
    typed: &Typed,
    old: Option<&Secret>,
    mode: Mode,
    now: Timestamp,
) -> Result<Secret, Vec<Wrong>> {
    const OTHER: Text = Text::new(
        "这是另一个商户号或应用。请新增一个渠道账户，再停用旧的。",
        "This is another merchant number or app. Please add a new account for it and pause the old one.",
    );
    let text = |name: &str| typed.get(name).map_or("", String::as_str);
    match kind {
        ChannelKind::TestWallet => Err(Vec::new()),
        ChannelKind::WechatPay => {
            let entered = wechatpay::check::Entered {
                mch_id: text("mch_id"),
                app_id: text("app_id"),
                official_account_app_id: text("official_account_app_id"),
                official_account_secret: text("official_account_secret"),
                mini_program_app_id: text("mini_program_app_id"),
                app_app_id: text("app_app_id"),
                merchant_key: text("merchant_key"),
                merchant_certificate: text("merchant_certificate"),
                merchant_serial: "",
                api_v3_key: text("api_v3_key"),
                previous_api_v3_key: "",
                code_interface: text("code_interface"),
                api_v2_key: text("api_v2_key"),
                public_key_id: text("public_key_id"),
                public_key: text("public_key"),
            };
            match wechatpay::check::check(&entered, now) {
                Ok(credentials) => {
                    let old = old.and_then(|old| wechatpay::Credentials::read(old.expose()).ok());
                    match old {
                        Some(old) if old.mch_id != credentials.mch_id => {
                            Err(vec![Wrong { field: "mch_id", text: OTHER }])
                        }
                        Some(old) => Ok(credentials.replacing(&old).to_secret()),
                        None => Ok(credentials.to_secret()),
                    }
                }
                Err(problems) => Err(problems.iter().map(|p| Wrong { field: p.field.code(), text: p.text }).collect()),
            }
        }
        ChannelKind::Alipay => {
            let entered = alipay::credentials::Typed {
                app_id: text("app_id"),
                seller_id: text("seller_id"),
                private_key: text("private_key"),
                alipay_public_key: text("alipay_public_key"),
                app_certificate: text("app_certificate"),
                alipay_certificate: text("alipay_certificate"),
                root_certificates: text("root_certificates"),
                content_key: text("content_key"),
            };
            match alipay::credentials::check(&entered, now) {
                Ok(checked) => {
                    let old = old.and_then(|old| alipay::credentials::Credentials::read(old.expose()));
                    match old {
                        Some(old) if old.app_id != checked.credentials.app_id => {
                            Err(vec![Wrong { field: "app_id", text: OTHER }])
                        }
                        Some(_) | None => Ok(checked.credentials.to_secret()),
                    }
                }
                Err(wrong) => Err(vec![Wrong { field: wrong.field.name(), text: wrong.sentence }]),
            }
        }
        ChannelKind::Unionpay => {
            // certutil frames the text like PEM; what is not base64 is no file either, which the check says.
            let pfx = rsa::der_in(text("pfx")).unwrap_or_else(|_| text("pfx").as_bytes().to_vec());
            let entered = unionpay::credentials::Typed {
                mer_id: text("mer_id"),
                sign_method: text("sign_method"),
                secure_key: text("secure_key"),
                pfx: &pfx,
                pfx_password: text("pfx_password"),
                private_key: text("private_key"),
                certificate: text("certificate"),
                trusted_certificates: text("trusted_certificates"),
                accept_sha1: true,
                // Only the simulator and UnionPay's test environment sign with that name.
                accept_test_name: mode == Mode::Test,
                term_id: text("term_id"),
            };
            let checked = unionpay::credentials::check(&entered, now)
                .map_err(|wrong| vec![Wrong { field: unionpay_field(wrong.field), text: wrong.sentence }])?;
            let old = old.and_then(|old| unionpay::credentials::Credentials::read(old.expose()));
            match old {
                Some(old) if old.mer_id != checked.credentials.mer_id => {
                    Err(vec![Wrong { field: "mer_id", text: OTHER }])
                }
                Some(_) | None => Ok(checked.credentials.to_secret()),
            }
        }
    }
}

fn unionpay_field(field: unionpay::credentials::Field) -> &'static str {
    use unionpay::credentials::Field;
    match field {
        Field::MerId => "mer_id",
        Field::SignMethod => "sign_method",
        Field::SecureKey => "secure_key",
        Field::Pfx => "pfx",
        Field::PfxPassword => "pfx_password",
        Field::PrivateKey => "private_key",
        Field::Certificate => "certificate",
        Field::TrustedCertificates => "trusted_certificates",
        Field::TermId => "term_id",
    }
}

/// What was chosen for an account, by the names of the fields: who types in new keys begins with it.
pub fn chosen(kind: ChannelKind, credentials: &Secret) -> Typed {
    match kind {
        ChannelKind::WechatPay => {
            let record = wechatpay::Credentials::read(credentials.expose()).ok();
            let v2 = record.is_some_and(|record| record.code_v2_key.is_some());
            Typed::from([("code_interface", if v2 { "v2" } else { "v3" }.to_owned())])
        }
        ChannelKind::Unionpay => {
            let record = unionpay::credentials::Credentials::read(credentials.expose());
            let chosen = record.map(|record| ("sign_method", record.contract.sign_method().to_owned()));
            chosen.into_iter().collect()
        }
        ChannelKind::TestWallet | ChannelKind::Alipay => Typed::new(),
    }
}

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
