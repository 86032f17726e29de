//! A provider that speaks UnionPay ACP 5.1.0, as strict as the real one and as badly behaved as it is told to be. Written
//! from the protocol alone: it shares nothing with the adapter that calls it, so each checks the other's reading.
//!
//! Source of all protocol facts: the fact sheet by which both sides were written; paragraph numbers refer to it.

mod bill;
mod call;
mod counter;
mod keys;
mod server;
mod time;
mod wire;

use std::sync::Arc;

use serde_json::json;
use tokio::sync::OnceCell;

pub use keys::{Form, MER_ID};
pub use server::{Incoming, Outgoing, PREFIX, routes};

use self::counter::{giving_back, transaction};
use self::keys::{Keys, Manner, Role};
use self::wire::Fields;
use crate::domain::method::Brand;
use crate::domain::time::Duration;
use crate::env::transport::{Method, OutgoingRequest, OutgoingResponse};
use crate::lang::Text;
use crate::sandbox::provider::certificate::pem;
use crate::sandbox::provider::fault::Fault;
use crate::sandbox::provider::handout::KeyForms;
use crate::sandbox::provider::model::Event;
use crate::sandbox::provider::records::Letter;
use crate::sandbox::provider::{CredentialFile, Credentials, Dialect, Facts, News, Recipe, Telling, World, handout};
use crate::store::StoreError;

/// The provider's name in tables, addresses and JSON.
pub const NAME: &str = "unionpay";

/// Gaps before each further try, five tries in all. Source: §5.
const LADDER: [Duration; 4] =
    [Duration::from_minutes(1), Duration::from_minutes(2), Duration::from_minutes(4), Duration::from_minutes(5)];
/// Source: §5.
const PATIENCE: Duration = Duration::from_seconds(10);

const FAULTS: &[Fault] = &[
    Fault::LoseNotification,
    Fault::DoubleNotification,
    Fault::DelayNotification,
    Fault::ReorderNotification,
    Fault::ForgeNotification,
    Fault::MisstateAmount,
    Fault::Throttle,
    Fault::AnswerError,
    Fault::AnswerErrorAfterDoing,
    Fault::AnswerLate,
    Fault::AnswerCut,
    Fault::AnswerRubbish,
    Fault::AnswerSlow,
    Fault::AnswerUnsigned,
    Fault::AnswerTampered,
    Fault::NewKey,
    Fault::PayAfterClose,
    Fault::PasswordLate,
    Fault::RefundStuck,
    Fault::RefundAbnormal,
    Fault::CardClosed,
    Fault::BalanceShort,
    Fault::BillRowMissing,
    Fault::BillRowExtra,
    Fault::BillRowAltered,
    Fault::BillLate,
    Fault::BillCut,
];

/// The provider; clones share it.
#[derive(Clone)]
pub struct UnionPay(Arc<Provider>);

struct Provider {
    world: World,
    keys: Keys,
    ready: OnceCell<()>,
}

/// What a merchant has to know, for accounts that are made without a person. All PEM.
#[derive(Clone, Debug)]
pub struct MerchantSide {
    pub mer_id: String,
    pub private_key: String,
    pub certificate: String,
    /// `acp_root.cer` and `acp_middle.cer`.
    pub root: String,
    pub middle: String,
}

impl UnionPay {
    /// Puts the provider into the world. Keys are made when somebody first needs them.
    pub fn open(world: &World) -> Self {
        let provider = Provider { world: world.clone(), keys: Keys::new(world.clone()), ready: OnceCell::new() };
        let provider = Self(Arc::new(provider));
        world.add(provider.0.clone());
        provider
    }

    /// The merchant's side; made the first time, which takes seconds.
    pub async fn merchant(&self) -> Result<MerchantSide, StoreError> {
        self.prepare().await?;
        self.0.merchant_side()
    }

    /// The same for threads that may block.
    pub fn side(&self) -> Result<MerchantSide, StoreError> {
        self.0.keys.prepare()?;
        self.0.merchant_side()
    }

    async fn prepare(&self) -> Result<(), StoreError> {
        let make = || async {
            let provider = self.0.clone();
            let made = tokio::task::spawn_blocking(move || provider.keys.prepare()).await;
            made.unwrap_or(Err(StoreError::Panicked))
        };
        self.0.ready.get_or_try_init(make).await.map(|_| ())
    }

    fn dialect(&self) -> Arc<dyn Dialect> {
        self.0.clone()
    }
}

impl Provider {
    fn merchant_side(&self) -> Result<MerchantSide, StoreError> {
        let merchant = self.keys.signer(Role::Merchant)?;
        Ok(MerchantSide {
            mer_id: MER_ID.to_owned(),
            private_key: pem("PRIVATE KEY", merchant.private.expose()),
            certificate: merchant.pem(),
            root: self.keys.signer(Role::Root)?.pem(),
            middle: self.keys.signer(Role::Middle)?.pem(),
        })
    }
}

/// Fields of a message that UnionPay sends by itself, before it is signed. Only successes are told. Source: §5.
fn notification(news: &News<'_>) -> Option<Fields> {
    let (said, details) = match (news.event(), news.refund) {
        (Event::Paid, _) => (transaction(news.order), &news.order.asked.details),
        (Event::Refunded, Some(refund)) => (giving_back(refund), &refund.asked.details),
        (
            Event::Refunded
            | Event::PaymentFailed
            | Event::OrderClosed
            | Event::OrderRevoked
            | Event::RefundAbnormal
            | Event::RefundClosed,
            _,
        ) => return None,
    };
    let asked: Fields = serde_json::from_str(details).unwrap_or_default();
    let mut fields: Fields = said.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    for name in ["bizType", "accessType", "merId", "encoding"] {
        fields.insert(name.to_owned(), asked.get(name).cloned().unwrap_or_default());
    }
    let amount = news.amount().minor().to_string();
    let facts = [
        ("version", "5.1.0"),
        ("respCode", "00"),
        ("respMsg", "success"),
        ("exchangeRate", "0"),
        ("txnAmt", &amount),
        ("settleAmt", &amount),
    ];
    fields.extend(facts.map(|(name, value)| (name.to_owned(), value.to_owned())));
    Some(fields)
}

static FACTS: Facts = Facts {
    name: NAME,
    title: Text::new("银联", "UnionPay"),
    brand: Brand::UnionPay,
    ladder: &LADDER,
    patience: PATIENCE,
    faults: FAULTS,
};

impl Dialect for Provider {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn tell(&self, news: &News<'_>) -> Option<Telling> {
        let url = match news.refund {
            Some(refund) => refund.asked.notify_url.clone()?,
            None => news.order.asked.notify_url.clone()?,
        };
        let text = serde_json::to_string(&notification(news)?).expect("plain text always serialises");
        Some(Telling { url, text })
    }

    fn try_seal(&self, letter: &Letter) -> Result<Option<OutgoingRequest>, StoreError> {
        let Ok(mut fields) = serde_json::from_str::<Fields>(&letter.text) else { return Ok(None) };
        let manner = Manner { new_key: letter.faults.has(Fault::NewKey), forged: letter.forged };
        self.keys.seal(&mut fields, &letter.merchant, manner)?;
        let headers = vec![("content-type".to_owned(), "application/x-www-form-urlencoded;charset=UTF-8".to_owned())];
        let body = wire::to_form(&fields).into_bytes();
        Ok(Some(OutgoingRequest {
            method: Method::Post,
            url: letter.notify_url.clone(),
            headers,
            body,
            identity: None,
        }))
    }

    /// Source: §5: 200, and 302 counts as well.
    fn heard(&self, answer: &OutgoingResponse) -> bool {
        matches!(answer.status, 200 | 302)
    }

    /// A code's text, an app's transaction number, or the address of the payer's page.
    fn scan(&self, text: &str) -> Option<[u8; 16]> {
        let (at, _) = ["https://qr.95516.com/00010000/", "/sim/phone/unionpay/", "tn=", ""]
            .into_iter()
            .find_map(|mark| text.find(mark).map(|at| (at + mark.len(), mark)))?;
        let digits = text.get(at..)?.get(..32)?;
        data_encoding::HEXLOWER.decode(digits.as_bytes()).ok()?.try_into().ok()
    }

    /// 19 digits that begin with 62. Source: §2, qrNo.
    fn payer_code(&self, random: u64) -> String {
        format!("62{:017}", random % 100_000_000_000_000_000)
    }

    fn credentials(&self) -> Result<Credentials, StoreError> {
        self.keys.prepare()?;
        let side = self.merchant_side()?;
        let (merchant, signer) = (self.keys.signer(Role::Merchant)?, self.keys.signer(Role::Signer)?);
        let forms = KeyForms::of(&merchant.private);
        let host = self.world.host(PREFIX);
        let encryption = self.keys.signer(Role::Encryption)?;
        let by_certificate = properties(&host, Form::Certificate, "");
        let mut files = Vec::new();
        let mut file = |form: Form, name: &str, what: Text, content: &[u8]| {
            files.push(CredentialFile { name: format!("{}/{name}", form.mer_id()), what, content: content.to_vec() });
        };
        let configuration = Text::new("官方 SDK 的配置文件", "configuration of the official SDKs");
        let own = Form::Certificate;
        file(own, "acp_sdk.properties", configuration, by_certificate.as_bytes());
        let pfx = handout::pkcs12(&merchant.private, &merchant.certificate, None, PFX_PASSWORD).unwrap_or_default();
        let what = Text::new("商户签名证书（密码 000000）", "merchant's signing certificate (password 000000)");
        file(own, "acp_sign.pfx", what, &pfx);
        let what = Text::new("商户私钥（PEM）", "merchant's private key (PEM)");
        file(own, "acp_sign.key", what, forms.pkcs8.as_bytes());
        let what = Text::new("商户签名证书（PEM）", "merchant's signing certificate (PEM)");
        file(own, "acp_sign.cer", what, side.certificate.as_bytes());
        let what = Text::new("银联根证书", "UnionPay's root certificate");
        file(own, "acp_root.cer", what, side.root.as_bytes());
        let what = Text::new("银联中级证书", "UnionPay's middle certificate");
        file(own, "acp_middle.cer", what, side.middle.as_bytes());
        let what = Text::new("敏感信息加密证书", "certificate to encrypt sensitive fields with");
        file(own, "acp_enc.cer", what, encryption.pem().as_bytes());
        let about =
            Text::new("用证书签名的商户（signMethod 01）", "A merchant who signs by certificate (signMethod 01)");
        let told = json!({
            "about": { "zh": about.zh, "en": about.en },
            "mer_id": side.mer_id,
            "sign_method": own.sign_method(),
            "cert_id": merchant.cert_id,
            "certificate": side.certificate,
            "pfx_base64": data_encoding::BASE64.encode(&pfx),
            "pfx_password": PFX_PASSWORD,
            "root_certificate": side.root,
            "middle_certificate": side.middle,
            "verify_certificate": signer.pem(),
            "encrypt_certificate": encryption.pem(),
            "encrypt_cert_id": encryption.cert_id,
        });
        let mut told = told.as_object().cloned().unwrap_or_default();
        forms.tell(&mut told);
        let mut json = told.clone();
        json.remove("about");
        let mut merchants = vec![json!(told)];
        let mut recipes = vec![Recipe { sdk: "acpsdk（Java、PHP、.NET）", code: by_certificate }];
        for (form, sdk, about) in BY_KEY {
            let Some(secure_key) = self.keys.shared(form)? else { continue };
            let properties = properties(&host, form, &secure_key);
            file(form, "acp_sdk.properties", configuration, properties.as_bytes());
            merchants.push(json!({
                "about": { "zh": about.zh, "en": about.en },
                "mer_id": form.mer_id(),
                "sign_method": form.sign_method(),
                "secure_key": secure_key,
            }));
            recipes.push(Recipe { sdk, code: properties });
        }
        json.insert("merchants".to_owned(), json!(merchants));
        for (name, place) in [
            ("base_url", ""),
            ("front_trans_url", "/gateway/api/frontTransReq.do"),
            ("back_trans_url", "/gateway/api/backTransReq.do"),
            ("app_trans_url", "/gateway/api/appTransReq.do"),
            ("single_query_url", "/gateway/api/queryTrans.do"),
            ("file_url", "/"),
        ] {
            json.insert(name.to_owned(), json!(format!("{host}{place}")));
        }
        recipes.push(Recipe { sdk: "Go · smartwalle/unionpay", code: GO.replace("{host}", &host) });
        recipes.push(Recipe {
            sdk: "Node · node-unionpay-sdk",
            code: format!("https://gateway.test.95516.com  →  {host}"),
        });
        Ok(Credentials { json, files, recipes })
    }
}

/// The form that opens in the browser names UnionPay's test gateway too, and is led here as text.
const GO: &str = r#"type here struct{ http.RoundTripper }

func (h here) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL, _ = url.Parse("{host}" + r.URL.RequestURI())
	r.Host = ""
	return h.RoundTripper.RoundTrip(r)
}

client, err := unionpay.New(pfx, "000000", merId, false,
	unionpay.WithHTTPClient(&http.Client{Transport: here{http.DefaultTransport}}))
html := strings.Replace(payment.HTML, "https://gateway.test.95516.com", "{host}", 1)"#;

/// The merchants without a certificate, the SDKs that can sign so, and how they are called.
const BY_KEY: [(Form, &str, Text); 2] = [
    (
        Form::Sha256,
        "acpsdk（Java、PHP、.NET），signMethod 11",
        Text::new(
            "用密钥签名的商户，SHA-256（signMethod 11）",
            "A merchant with a shared key, SHA-256 (signMethod 11)",
        ),
    ),
    (
        Form::Sm3,
        "acpsdk（Java、.NET），signMethod 12",
        Text::new("用密钥签名的商户，国密 SM3（signMethod 12）", "A merchant with a shared key, SM3 (signMethod 12)"),
    ),
];

/// The file that UnionPay's own SDKs read their addresses and keys from. Source: `acp_sdk.properties` of the development
/// kit.
fn properties(host: &str, form: Form, secure_key: &str) -> String {
    let mut text = String::new();
    for (name, place) in [
        ("frontTransUrl", "frontTransReq.do"),
        ("backTransUrl", "backTransReq.do"),
        ("singleQueryUrl", "queryTrans.do"),
        ("appTransUrl", "appTransReq.do"),
    ] {
        text += &format!("acpsdk.{name}={host}/gateway/api/{place}\n");
    }
    text += &format!("acpsdk.fileTransUrl={host}/\n");
    let keys: &[(&str, &str)] = match form {
        Form::Certificate => &[
            ("ifValidateCNName", "true"),
            ("ifValidateRemoteCert", "false"),
            ("signCert.path", "acp_sign.pfx"),
            ("signCert.pwd", PFX_PASSWORD),
            ("signCert.type", "PKCS12"),
            ("rootCert.path", "acp_root.cer"),
            ("middleCert.path", "acp_middle.cer"),
            ("encryptCert.path", "acp_enc.cer"),
        ],
        Form::Sha256 | Form::Sm3 => &[("ifValidateRemoteCert", "false"), ("secureKey", secure_key)],
    };
    let contract = [("version", "5.1.0"), ("signMethod", form.sign_method()), ("merId", form.mer_id())];
    for (name, value) in contract.iter().chain(keys) {
        text += &format!("acpsdk.{name}={value}\n");
    }
    text
}

/// As with UnionPay's own test files. Source: §3.6.
const PFX_PASSWORD: &str = "000000";
