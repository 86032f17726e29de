//! A provider that speaks Alipay's gateway (version 2), as strict as the real one and as badly behaved as it is told to be.
//! Written from the protocol alone: it shares nothing with the adapter that will call it, so each checks the other's
//! reading.
//!
//! Source of all protocol facts: the public documentation of Alipay's open platform; paragraph numbers refer to the fact
//! sheet by which both sides were written.

mod bill;
mod call;
mod counter;
mod fault;
mod form;
mod gate;
mod keys;
mod server;
mod v3;
mod view;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Weak};

use data_encoding::HEXLOWER;
use ring::hmac;
use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;

pub use keys::Mode;
pub use server::{Incoming, Outgoing, PREFIX, routes};

use self::keys::{Keys, Merchant, Signer, Whose};
use crate::crypto::rsa::RsaSigner;
use crate::domain::method::Brand;
use crate::domain::time::Duration;
use crate::env::transport::{Method, OutgoingRequest, OutgoingResponse};
use crate::lang::Text;
use crate::sandbox::provider::certificate::pem;
use crate::sandbox::provider::fault::{Fault, Faults};
use crate::sandbox::provider::handout::KeyForms;
use crate::sandbox::provider::model::Order;
use crate::sandbox::provider::records::Letter;
use crate::sandbox::provider::{CredentialFile, Credentials, Dialect, Facts, News, Recipe, Taking, Telling, World};
use crate::store::StoreError;

/// The provider's name in tables, addresses and JSON.
pub const NAME: &str = "alipay";
/// Digits of a trade's number.
const TRADE_NO_LEN: usize = 28;
/// Trades that wait for their payer, among which one is looked for by its number.
const TRADES_LOOKED_AT: usize = 500;

/// Gaps before each further try: eight within 25 hours. Source: §7.2.
pub const LADDER: [Duration; 7] = [
    Duration::from_minutes(4),
    Duration::from_minutes(10),
    Duration::from_minutes(10),
    Duration::from_hours(1),
    Duration::from_hours(2),
    Duration::from_hours(6),
    Duration::from_hours(15),
];

const PATIENCE: Duration = Duration::from_seconds(5);
/// How far ahead the clock is that is wrong on purpose.
const SKEW: Duration = Duration::from_minutes(10);

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
    Fault::ClockSkew,
    Fault::NewKey,
    Fault::PayAfterClose,
    Fault::PasswordLate,
    Fault::RefundStuck,
    Fault::RefundAbnormal,
    Fault::BalanceShort,
    Fault::BillRowMissing,
    Fault::BillRowExtra,
    Fault::BillRowAltered,
    Fault::BillLate,
    Fault::BillCut,
    Fault::BillLinkDead,
];

/// The provider; clones share it.
#[derive(Clone)]
pub struct Alipay(Arc<Provider>);

struct Provider {
    /// Itself, to be called by the phone as by anybody else.
    own: Weak<Provider>,
    world: World,
    keys: Keys,
    ready: OnceCell<()>,
}

/// What a merchant has to know, for accounts that are made without a person.
#[derive(Clone, Debug)]
pub struct MerchantSide {
    pub app_id: String,
    /// Of the payee, `2088…`.
    pub seller_id: String,
    /// PKCS#8 PEM.
    pub private_key: String,
    /// As the open platform shows it: bare base64.
    pub alipay_public_key: String,
    pub app_certificate: String,
    /// The leaf and its issuer.
    pub alipay_certificate: String,
    pub root_certificates: String,
    /// Base64, for the encryption of contents.
    pub content_key: String,
}

impl Alipay {
    /// Puts the provider into the world. Keys are made when somebody first needs them.
    pub fn open(world: &World) -> Self {
        let provider = Arc::new_cyclic(|own| Provider {
            own: own.clone(),
            world: world.clone(),
            keys: Keys::new(world.clone()),
            ready: OnceCell::new(),
        });
        let provider = Self(provider);
        world.add(provider.0.clone());
        provider
    }

    /// The merchant's side in one of the two modes; made the first time, which takes seconds.
    pub async fn merchant(&self, mode: Mode) -> Result<MerchantSide, StoreError> {
        self.prepare().await?;
        let provider = self.0.clone();
        let side = tokio::task::spawn_blocking(move || provider.merchant_side(mode)).await;
        side.unwrap_or(Err(StoreError::Panicked))
    }

    /// The same for threads that may block.
    pub fn side(&self, mode: Mode) -> Result<MerchantSide, StoreError> {
        self.0.keys.prepare()?;
        self.0.merchant_side(mode)
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
    fn merchant_side(&self, mode: Mode) -> Result<MerchantSide, StoreError> {
        let (app, alipay) = (self.keys.signer(Whose::App(mode))?, self.keys.signer(Whose::Alipay)?);
        let root = self.keys.signer(Whose::Root)?;
        let merchant = self.keys.merchant(mode.app_id())?.expect("was enrolled when the keys were made");
        Ok(MerchantSide {
            app_id: mode.app_id().to_owned(),
            seller_id: merchant.pid,
            private_key: pem("PRIVATE KEY", app.private.expose()),
            alipay_public_key: data_encoding::BASE64.encode(&alipay.rsa.public().to_spki()),
            app_certificate: pem("CERTIFICATE", &app.certificate),
            alipay_certificate: self.chain(&alipay)?,
            root_certificates: pem("CERTIFICATE", &root.certificate),
            content_key: merchant.content_key,
        })
    }

    fn chain(&self, signer: &Signer) -> Result<String, StoreError> {
        let issuer = self.keys.signer(Whose::Issuer)?;
        Ok(pem("CERTIFICATE", &signer.certificate) + &pem("CERTIFICATE", &issuer.certificate))
    }

    /// The provider's certificates by number, for merchants who ask.
    fn certificates(&self) -> Result<Vec<(String, String)>, StoreError> {
        let all = [Whose::Alipay, Whose::AlipayNext].into_iter();
        all.map(|whose| self.keys.signer(whose).and_then(|signer| Ok((signer.sn.clone(), self.chain(&signer)?))))
            .collect()
    }

    /// Whose key signs for a merchant, and whether the certificate is named. Source: §4, §5.
    fn answering(&self, merchant: &Merchant, faults: Faults) -> Result<(Arc<Signer>, bool), StoreError> {
        let certified = merchant.mode == Mode::Certificate;
        let whose = if certified && faults.has(Fault::NewKey) { Whose::AlipayNext } else { Whose::Alipay };
        Ok((self.keys.signer(whose)?, certified))
    }

    fn token_key(&self) -> Result<hmac::Key, StoreError> {
        Ok(hmac::Key::new(hmac::HMAC_SHA256, self.keys.signer(Whose::Root)?.private.expose()))
    }

    /// A form with its signature, as notifications and ways back carry it. Source: §7.1.
    fn signed_form(&self, fields: Map<String, Value>, key: &RsaSigner) -> String {
        let texts: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default())).collect();
        let mut sorted = texts.clone();
        sorted.sort_unstable();
        let covered = sorted.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        let sign = key.sign_sha256_base64(covered.as_bytes());
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(texts).append_pair("sign_type", "RSA2").append_pair("sign", &sign);
        form.finish()
    }
}

static FACTS: Facts = Facts {
    name: NAME,
    title: Text::new("支付宝", "Alipay"),
    brand: Brand::Alipay,
    ladder: &LADDER,
    patience: PATIENCE,
    faults: FAULTS,
};

impl Dialect for Provider {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    /// Refunds are told where the payment was. Source: §7.2.
    fn tell(&self, news: &News<'_>) -> Option<Telling> {
        let url = news.order.asked.notify_url.clone()?;
        Some(Telling { url, text: Value::Object(view::notification(news)?).to_string() })
    }

    fn try_seal(&self, letter: &Letter) -> Result<Option<OutgoingRequest>, StoreError> {
        let Some(merchant) = self.keys.merchant(&letter.merchant)? else { return Ok(None) };
        let Ok(mut fields) = serde_json::from_str::<Map<String, Value>>(&letter.text) else { return Ok(None) };
        let now = self.world.wire_now();
        let now = if letter.faults.has(Fault::ClockSkew) { now.plus(SKEW) } else { now };
        fields.insert("notify_time".to_owned(), json!(view::beijing(now)));
        fields.insert("charset".to_owned(), json!("utf-8"));
        // A forger has some key, but not this one.
        let signer = if letter.forged {
            self.keys.signer(Whose::App(merchant.mode))?
        } else {
            self.answering(&merchant, letter.faults)?.0
        };
        let body = self.signed_form(fields, &signer.rsa).into_bytes();
        let content_type = "application/x-www-form-urlencoded; charset=utf-8".to_owned();
        let headers =
            vec![("content-type".to_owned(), content_type), ("user-agent".to_owned(), "Mozilla/4.0".to_owned())];
        Ok(Some(OutgoingRequest {
            method: Method::Post,
            url: letter.notify_url.clone(),
            headers,
            body,
            identity: None,
        }))
    }

    /// Source: §7.2: exactly these seven characters.
    fn heard(&self, answer: &OutgoingResponse) -> bool {
        answer.status == 200 && answer.body == b"success"
    }

    /// A code's text, the address of a payment's page, or anything that holds one.
    fn scan(&self, text: &str) -> Option<[u8; 16]> {
        let marks = ["qr.alipay.com/bax", "/phone/alipay/", "/alipay/return/"];
        marks.into_iter().find_map(|mark| {
            let at = text.find(mark)? + mark.len();
            HEXLOWER.decode(text.get(at..)?.get(..32)?.as_bytes()).ok()?.try_into().ok()
        })
    }

    /// The text that App payments are handed over with is a signed call; mini programs hand over the trade's number.
    /// Source: §10.4, §10.6.
    fn take<'a>(&'a self, text: &'a str) -> Taking<'a> {
        Box::pin(async move {
            if text.len() == TRADE_NO_LEN && text.bytes().all(|b| b.is_ascii_digit()) {
                let waiting = self.world.waiting(TRADES_LOOKED_AT).await.ok()?;
                let named = |(dialect, order): &(Arc<dyn Dialect>, Order)| {
                    dialect.name() == NAME && view::trade_no(order) == text
                };
                return waiting.into_iter().find(named).map(|(_, order)| order.code);
            }
            if !text.contains(&format!("method={}", call::Product::App.method())) {
                return None;
            }
            let answer =
                Alipay(self.own.upgrade()?).serve(Incoming { query: text.as_bytes(), body: &[], base: "" }).await;
            self.scan(answer.location.as_deref()?)
        })
    }

    /// 18 digits that begin with 25 to 30. Source: §10.5.
    fn payer_code(&self, random: u64) -> String {
        format!("28{:016}", random % 10_000_000_000_000_000)
    }

    fn credentials(&self) -> Result<Credentials, StoreError> {
        self.keys.prepare()?;
        let (alipay, root) = (self.keys.signer(Whose::Alipay)?, self.keys.signer(Whose::Root)?);
        let (mut merchants, mut files) = (Vec::new(), Vec::new());
        for mode in Mode::ALL {
            let side = self.merchant_side(mode)?;
            let own = self.keys.signer(Whose::App(mode))?;
            let forms = KeyForms::of(&own.private);
            let public_pem = pem("PUBLIC KEY", &alipay.rsa.public().to_spki());
            let mut file = |name: &str, what: Text, content: &str| {
                let name = format!("{}/{name}", side.app_id);
                files.push(CredentialFile { name, what, content: content.as_bytes().to_vec() });
            };
            file("app_private_key.pem", Text::new("应用私钥", "application's private key"), &forms.pkcs8);
            let what = Text::new("同上，PKCS#1，非 Java 语言用", "the same as PKCS#1, for other languages than Java");
            file("app_private_key_pkcs1.pem", what, &forms.pkcs1);
            let what = Text::new("同上，无头尾，密钥工具的样子", "the same without header, as the key tool writes it");
            file("app_private_key.txt", what, &forms.pkcs8_bare);
            match mode {
                Mode::Key => {
                    let what = Text::new("支付宝公钥", "Alipay's public key");
                    file("alipay_public_key.txt", what, &side.alipay_public_key);
                    file("alipay_public_key.pem", Text::new("同上，PEM", "the same as PEM"), &public_pem);
                }
                Mode::Certificate => {
                    let what = Text::new("应用公钥证书", "application's certificate");
                    file(&format!("appCertPublicKey_{}.crt", side.app_id), what, &side.app_certificate);
                    let what = Text::new("支付宝公钥证书", "Alipay's certificate");
                    file("alipayCertPublicKey_RSA2.crt", what, &side.alipay_certificate);
                    let what = Text::new("支付宝根证书", "Alipay's root certificate");
                    file("alipayRootCert.crt", what, &side.root_certificates);
                }
            }
            let about = match mode {
                Mode::Key => Text::new("密钥模式的商户", "A merchant in key mode"),
                Mode::Certificate => Text::new("证书模式的商户", "A merchant in certificate mode"),
            };
            let by_certificate = |text: &str| (mode == Mode::Certificate).then(|| text.to_owned());
            let told = json!({
                "about": { "zh": about.zh, "en": about.en },
                "mode": mode,
                "app_id": side.app_id,
                "seller_id": side.seller_id,
                "alipay_public_key": side.alipay_public_key,
                "alipay_public_key_pem": public_pem,
                "app_certificate": by_certificate(&side.app_certificate),
                "app_cert_sn": by_certificate(&own.sn),
                "alipay_certificate": by_certificate(&side.alipay_certificate),
                "alipay_cert_sn": by_certificate(&alipay.sn),
                "root_certificates": by_certificate(&side.root_certificates),
                "alipay_root_cert_sn": by_certificate(&root.sn),
                "encrypt_key": side.content_key,
            });
            let mut told = told.as_object().cloned().unwrap_or_default();
            forms.tell(&mut told);
            merchants.push(Value::Object(told));
        }
        let host = self.world.host(PREFIX);
        let mut json = serde_json::Map::new();
        json.insert("base_url".to_owned(), json!(format!("{host}/gateway.do")));
        json.insert("v3_url".to_owned(), json!(host));
        json.insert("merchants".to_owned(), Value::Array(merchants));
        Ok(Credentials { json, files, recipes: recipes(&host) })
    }
}

/// Source: the SDKs' own code.
fn recipes(host: &str) -> Vec<Recipe> {
    let recipe = |sdk, code: String| Recipe { sdk, code };
    let key = "keyType: 'PKCS8'";
    vec![
        recipe(
            "Node · alipay-sdk",
            format!("new AlipaySdk({{…, {key}, gateway: '{host}/gateway.do', endpoint: '{host}'}})"),
        ),
        recipe(
            "Java · alipay-sdk-java",
            format!(
                "config.setServerUrl(\"{host}/gateway.do\")   // AlipayConfig, CertAlipayRequest
new DefaultAlipayClient(\"{host}/gateway.do\", app_id, private_key_base64, \"json\", \"UTF-8\", alipay_public_key, \"RSA2\")"
            ),
        ),
        recipe(
            "Go · smartwalle/alipay",
            format!(
                "alipay.New(appId, privateKey, true,
\talipay.WithProductionGateway(\"{host}/gateway.do\"),
\talipay.WithTimeLocation(time.FixedZone(\"CST\", 8*3600)))"
            ),
        ),
        recipe(
            "Python · alipay-sdk-python",
            "# coffer sim --listen 127.0.0.1:80
config.server_url = 'http://127.0.0.1/gateway.do'
# private_key_pkcs1"
                .to_owned(),
        ),
        recipe("Python · python-alipay-sdk", format!("alipay._gateway = '{host}/gateway.do'")),
        recipe(
            "PHP · alipay-sdk-php",
            format!("date_default_timezone_set('Asia/Shanghai');\n$aop->gatewayUrl = '{host}/gateway.do';"),
        ),
        recipe(
            "Easy SDK",
            format!("config.protocol = 'http'; config.gatewayHost = '{}'", host.trim_start_matches("http://")),
        ),
    ]
}
