//! What a merchant types in to connect a channel: the fields of each provider with a guide to where they are found, and
//! one check for all of them.

mod facts;
mod steps;

use std::collections::BTreeMap;

pub use self::facts::{Fact, end, facts};
pub use self::steps::{Field, Step};
use super::{alipay, unionpay, wechatpay};
use crate::crypto::{Secret, rsa};
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
    /// Yes or no.
    Check,
    /// One of several: what is sent, and what people read. The first is chosen where nothing was.
    Choice(&'static [(&'static str, Text)]),
}

/// The steps of a provider's form; none where nothing is typed in.
pub fn steps(kind: ChannelKind) -> &'static [Step] {
    match kind {
        ChannelKind::TestWallet => &[],
        ChannelKind::WechatPay => steps::WECHAT_PAY,
        ChannelKind::Alipay => steps::ALIPAY,
        ChannelKind::Unionpay => steps::UNIONPAY,
    }
}

/// Every field of a provider's form.
pub fn fields(kind: ChannelKind) -> impl Iterator<Item = &'static Field> {
    steps(kind).iter().flat_map(|step| step.fields)
}

/// What was typed in, by the names of the fields. A box that is ticked says `yes`.
pub type Typed = BTreeMap<&'static str, String>;

/// What a ticked box says.
pub const YES: &str = "yes";

/// What the form of a new account begins with.
pub fn blank(kind: ChannelKind) -> Typed {
    match kind {
        ChannelKind::Unionpay => Typed::from([("accept_sha1", YES.to_owned())]),
        ChannelKind::TestWallet | ChannelKind::WechatPay | ChannelKind::Alipay => Typed::new(),
    }
}

/// A field that is wrong, and how to put it right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub field: &'static str,
    pub text: Text,
}

/// The keys that are replaced, and which of their secrets shall go (the names of [`Field::removable`] ones).
#[derive(Clone, Copy)]
pub struct Replaced<'a> {
    pub credentials: &'a Secret,
    pub removed: &'a [&'static str],
}

const OTHER: Text = Text::new(
    "这是另一个商户号或应用。请新增一个渠道账户，再停用旧的。",
    "This is another merchant number or app. Please add a new account for it and pause the old one.",
);

/// The record for the vault, or everything that is wrong. A secret that is left empty stays what it was in `old`, and what
/// still arrives under `old` goes on being understood.
pub fn check(
    kind: ChannelKind,
    typed: &Typed,
    old: Option<Replaced<'_>>,
    mode: Mode,
    now: Timestamp,
) -> Result<Secret, Vec<Wrong>> {
    match kind {
        ChannelKind::TestWallet => Err(Vec::new()),
        ChannelKind::WechatPay => check_wechat(typed, old, now),
        ChannelKind::Alipay => check_alipay(typed, old, now),
        ChannelKind::Unionpay => check_unionpay(typed, old, mode, now),
    }
}

fn text<'a>(typed: &'a Typed, name: &str) -> &'a str {
    typed.get(name).map_or("", String::as_str)
}

fn is_empty(typed: &Typed, name: &str) -> bool {
    text(typed, name).trim().is_empty()
}

/// Fills in what was left empty.
fn keep(typed: &mut Typed, name: &'static str, before: Option<&String>) {
    if let Some(before) = before.filter(|_| is_empty(typed, name)) {
        typed.insert(name, before.clone());
    }
}

fn check_wechat(typed: &Typed, old: Option<Replaced<'_>>, now: Timestamp) -> Result<Secret, Vec<Wrong>> {
    let mut typed = typed.clone();
    let mut wrong = Vec::new();
    let before = old.and_then(|old| wechatpay::Credentials::read(old.credentials.expose()).ok());
    if let (Some(before), Some(Replaced { removed, .. })) = (&before, old) {
        keep(&mut typed, "merchant_key", Some(&before.merchant_key));
        keep(&mut typed, "api_v3_key", Some(&before.api_v3_key));
        if text(&typed, "code_interface") == "v2" {
            keep(&mut typed, "api_v2_key", before.code_v2_key.as_ref());
        }
        let secret = before.official_account_secret.as_ref().filter(|_| !removed.contains(&"official_account_secret"));
        let app = text(&typed, "official_account_app_id").trim();
        if Some(app) == before.app_ids.official_account.as_deref() {
            keep(&mut typed, "official_account_secret", secret);
        } else if secret.is_some() && !app.is_empty() && is_empty(&typed, "official_account_secret") {
            let text = Text::new(
                "公众号换了，请填新公众号的 AppSecret；不再需要就勾选删除。",
                "This is another official account: enter its AppSecret, or tick that the old one is to be removed.",
            );
            wrong.push(Wrong { field: "official_account_secret", text });
        }
    }
    let text = |name| text(&typed, name);
    let entered = wechatpay::check::Entered {
        mch_id: text("mch_id"),
        app_id: text("app_id"),
        official_account_app_id: text("official_account_app_id"),
        official_account_secret: text("official_account_secret"),
        mini_program_app_id: text("mini_program_app_id"),
        app_app_id: text("app_app_id"),
        merchant_key: text("merchant_key"),
        merchant_certificate: text("merchant_certificate"),
        merchant_serial: text("merchant_serial"),
        api_v3_key: text("api_v3_key"),
        previous_api_v3_key: "",
        code_interface: text("code_interface"),
        api_v2_key: text("api_v2_key"),
        public_key_id: text("public_key_id"),
        public_key: text("public_key"),
    };
    let checked = wechatpay::check::check(&entered, now);
    let problems = checked.as_ref().err().into_iter().flatten();
    wrong.extend(problems.map(|problem| Wrong { field: problem.field.code(), text: problem.text }));
    let same = |record: &wechatpay::Credentials| before.as_ref().is_none_or(|old| old.mch_id == record.mch_id);
    finish(checked.ok(), wrong, "mch_id", same, |record| {
        before.as_ref().map_or_else(|| record.to_secret(), |old| record.clone().replacing(old).to_secret())
    })
}

fn check_alipay(typed: &Typed, old: Option<Replaced<'_>>, now: Timestamp) -> Result<Secret, Vec<Wrong>> {
    use alipay::credentials::{Credentials, Trust};
    const CERTIFICATES: [&str; 3] = ["app_certificate", "alipay_certificate", "root_certificates"];
    let mut typed = typed.clone();
    let before = old.and_then(|old| Credentials::read(old.credentials.expose()));
    if let (Some(before), Some(Replaced { credentials, removed })) = (&before, old) {
        keep(&mut typed, "private_key", Some(&before.private_key));
        if !removed.contains(&"content_key") {
            keep(&mut typed, "content_key", before.content_key.as_ref());
        }
        // A key beside certificates that were not touched: the account changes to keys.
        let shown = present(ChannelKind::Alipay, credentials).typed;
        let untouched = CERTIFICATES.iter().all(|name| text(&typed, name).trim() == text(&shown, name).trim());
        if matches!(before.trust, Trust::Certificate { .. }) && !is_empty(&typed, "alipay_public_key") && untouched {
            CERTIFICATES.iter().for_each(|name| drop(typed.remove(name)));
        }
    }
    let text = |name| text(&typed, name);
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
    let checked = alipay::credentials::check(&entered, now);
    let complaints = checked.as_ref().err().into_iter().flatten();
    let wrong = complaints.map(|wrong| Wrong { field: wrong.field.name(), text: wrong.sentence }).collect();
    let same = |record: &Credentials| before.as_ref().is_none_or(|old| old.app_id == record.app_id);
    finish(checked.ok(), wrong, "app_id", same, |record| {
        before.as_ref().map_or_else(|| record.to_secret(), |old| record.clone().replacing(old).to_secret())
    })
}

fn check_unionpay(typed: &Typed, old: Option<Replaced<'_>>, mode: Mode, now: Timestamp) -> Result<Secret, Vec<Wrong>> {
    use unionpay::credentials::{Contract, Credentials};
    let mut typed = typed.clone();
    let before = old.and_then(|old| Credentials::read(old.credentials.expose()));
    let by_certificate = matches!(text(&typed, "sign_method").trim(), "" | unionpay::sign::SIGN_METHOD);
    if let (Some(before), Some(Replaced { credentials, .. })) = (&before, old) {
        match (&before.contract, by_certificate) {
            (Contract::Certificate(own), true) => {
                if is_empty(&typed, "pfx") {
                    keep(&mut typed, "private_key", Some(&own.sign_key));
                }
            }
            (Contract::Key(own), false) => keep(&mut typed, "secure_key", Some(&own.secure_key)),
            (Contract::Certificate(_), false) => {
                // The form showed them, and nobody meant them for the new way of signing.
                let shown = present(ChannelKind::Unionpay, credentials).typed;
                for name in ["certificate", "trusted_certificates"] {
                    if text(&typed, name).trim() == text(&shown, name).trim() {
                        typed.remove(name);
                    }
                }
            }
            (Contract::Key(_), true) => {}
        }
    }
    let text = |name| text(&typed, name);
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
        accept_sha1: text("accept_sha1") == YES,
        // Only the simulator and UnionPay's test environment sign with that name.
        accept_test_name: mode == Mode::Test,
        term_id: text("term_id"),
    };
    let checked = unionpay::credentials::check(&entered, now);
    let complaints = checked.as_ref().err().into_iter().flatten();
    let wrong = complaints.map(|wrong| Wrong { field: unionpay_field(wrong.field), text: wrong.sentence }).collect();
    let same = |record: &Credentials| before.as_ref().is_none_or(|old| old.mer_id == record.mer_id);
    finish(checked.ok(), wrong, "mer_id", same, |record| {
        before.as_ref().map_or_else(|| record.to_secret(), |old| record.clone().replacing(old).to_secret())
    })
}

/// What was checked as bytes, when nothing is wrong with it and it is the same contract as before.
fn finish<R>(
    checked: Option<R>,
    wrong: Vec<Wrong>,
    number: &'static str,
    is_same: impl FnOnce(&R) -> bool,
    secret: impl FnOnce(&R) -> Secret,
) -> Result<Secret, Vec<Wrong>> {
    match checked {
        Some(record) if !is_same(&record) => Err(vec![Wrong { field: number, text: OTHER }]),
        Some(record) if wrong.is_empty() => Ok(secret(&record)),
        Some(_) | None => Err(wrong),
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
        Field::AcceptSha1 => "accept_sha1",
        Field::TermId => "term_id",
    }
}

/// What an account has, for the form that replaces it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// What is no secret, as it would be typed.
    pub typed: Typed,
    /// The fields of secrets that are there.
    pub secrets: Vec<&'static str>,
}

/// What may be shown of opened credentials in their form. Nothing of it is secret.
pub fn present(kind: ChannelKind, credentials: &Secret) -> Present {
    let mut present = Present::default();
    let Present { typed, secrets } = &mut present;
    let mut open = |name: &'static str, value: &str| drop(typed.insert(name, value.to_owned()));
    match kind {
        ChannelKind::TestWallet => {}
        ChannelKind::WechatPay => {
            let Ok(record) = wechatpay::Credentials::read(credentials.expose()) else { return present };
            let apps = record.app_ids;
            open("mch_id", &record.mch_id);
            open("app_id", &apps.default);
            open("official_account_app_id", &apps.official_account.unwrap_or_default());
            open("mini_program_app_id", &apps.mini_program.unwrap_or_default());
            open("app_app_id", &apps.app.unwrap_or_default());
            // Beside a certificate the number would be in the way of the next one.
            match &record.merchant_certificate {
                Some(certificate) => open("merchant_certificate", certificate),
                None => open("merchant_serial", &record.merchant_serial),
            }
            open("code_interface", if record.code_v2_key.is_some() { "v2" } else { "v3" });
            if let wechatpay::AnswersBy::PublicKey { id } = &record.answers {
                open("public_key_id", id);
                open("public_key", record.public_keys.get(id).map_or("", String::as_str));
            }
            secrets.extend(["merchant_key", "api_v3_key"]);
            secrets.extend(record.code_v2_key.map(|_| "api_v2_key"));
            secrets.extend(record.official_account_secret.map(|_| "official_account_secret"));
        }
        ChannelKind::Alipay => {
            use alipay::credentials::{Credentials, Trust};
            let Some(record) = Credentials::read(credentials.expose()) else { return present };
            open("app_id", &record.app_id);
            open("seller_id", &record.seller_id);
            match &record.trust {
                Trust::Key { alipay_public_key } => open("alipay_public_key", alipay_public_key),
                Trust::Certificate { app_certificate, alipay_certificates, root_certificates, wanted_sn: _ } => {
                    open("app_certificate", app_certificate);
                    open("alipay_certificate", alipay_certificates.first().map_or("", String::as_str));
                    open("root_certificates", root_certificates);
                }
            }
            secrets.push("private_key");
            secrets.extend(record.content_key.map(|_| "content_key"));
        }
        ChannelKind::Unionpay => {
            use unionpay::credentials::{Contract, Credentials};
            let Some(record) = Credentials::read(credentials.expose()) else { return present };
            open("mer_id", &record.mer_id);
            open("term_id", record.term_id.as_deref().unwrap_or(""));
            open("sign_method", record.contract.sign_method());
            match &record.contract {
                Contract::Certificate(own) => {
                    open("certificate", &own.sign_certificate);
                    open("trusted_certificates", &own.trusted_certificates);
                    open("accept_sha1", if own.accept_sha1 { YES } else { "" });
                    secrets.extend(["pfx", "private_key"]);
                }
                Contract::Key(_) => {
                    // For the day on which it changes to certificates.
                    open("accept_sha1", YES);
                    secrets.push("secure_key");
                }
            }
        }
    }
    present
}

/// What of opened credentials can be used and deserves a second look all the same.
pub fn warnings(kind: ChannelKind, credentials: &Secret, now: Timestamp) -> Vec<Text> {
    let record = credentials.expose();
    match kind {
        ChannelKind::TestWallet => Vec::new(),
        ChannelKind::WechatPay => {
            wechatpay::Credentials::read(record).map(|record| record.warnings(now)).unwrap_or_default()
        }
        ChannelKind::Alipay => {
            let record = alipay::credentials::Credentials::read(record);
            let warnings = record.map(|record| record.warnings(now)).unwrap_or_default();
            warnings.into_iter().map(|warning| warning.sentence).collect()
        }
        ChannelKind::Unionpay => {
            let record = unionpay::credentials::Credentials::read(record);
            let warnings = record.map(|record| record.warnings(now)).unwrap_or_default();
            warnings.into_iter().map(|warning| warning.sentence).collect()
        }
    }
}

/// Opened credentials without what earlier ones left behind: a test of the present keys must not pass by old ones.
pub fn alone(kind: ChannelKind, credentials: &Secret) -> Option<Secret> {
    match kind {
        // These name the key that an answer has to be signed with.
        ChannelKind::TestWallet | ChannelKind::WechatPay => Some(Secret::new(credentials.expose().to_vec())),
        ChannelKind::Alipay => {
            let record = alipay::credentials::Credentials::read(credentials.expose())?;
            Some(alipay::credentials::Credentials { earlier: Vec::new(), ..record }.to_secret())
        }
        ChannelKind::Unionpay => {
            let record = unionpay::credentials::Credentials::read(credentials.expose())?;
            Some(unionpay::credentials::Credentials { earlier: Vec::new(), ..record }.to_secret())
        }
    }
}
