//! A provider that speaks `WeChat Pay APIv3`, as strict as the real one and as badly behaved as it is told to be. Written
//! from the protocol alone: it shares nothing with the adapter that will call it, so each checks the other's reading.
//!
//! Source of all protocol facts: the public manual of `WeChat Pay APIv3` for direct merchants; paragraph numbers refer to
//! the fact sheet by which both sides were written.

mod bill;
mod call;
mod code_v2;
mod counter;
mod error;
mod inside;
mod keys;
mod schema;
mod server;
mod sign;
mod view;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use ring::hmac;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

pub use code_v2::Incoming as IncomingV2;
pub use keys::Mode;
pub use server::{Incoming, Outgoing, PREFIX, routes};

use self::keys::{Keys, Merchant, Own, Signer};
use self::sign::Manner;
use crate::crypto::rsa::decrypt_oaep_sha1;
use crate::domain::method::Brand;
use crate::domain::time::{Duration, Timestamp};
use crate::env::transport::{Method, OutgoingRequest, OutgoingResponse};
use crate::lang::Text;
use crate::sandbox::provider::certificate::pem;
use crate::sandbox::provider::fault::{Fault, Faults};
use crate::sandbox::provider::handout::KeyForms;
use crate::sandbox::provider::records::Letter;
use crate::sandbox::provider::{CredentialFile, Credentials, Dialect, Facts, News, Recipe, Telling, World, handout};
use crate::store::StoreError;

/// The provider's name in tables, addresses and JSON.
pub const NAME: &str = "wechatpay";

/// Gaps before each further try: 24 h 4 min in all. Source: §16.
pub const LADDER: [Duration; 15] = [
    Duration::from_seconds(15),
    Duration::from_seconds(15),
    Duration::from_seconds(30),
    Duration::from_minutes(3),
    Duration::from_minutes(10),
    Duration::from_minutes(20),
    Duration::from_minutes(30),
    Duration::from_minutes(30),
    Duration::from_minutes(30),
    Duration::from_minutes(60),
    Duration::from_hours(3),
    Duration::from_hours(3),
    Duration::from_hours(3),
    Duration::from_hours(6),
    Duration::from_hours(6),
];

/// Source: §16.
const PATIENCE: Duration = Duration::from_seconds(5);
/// The name by which programs in Java ask for the key in `apiclient_cert.p12`; every merchant's file has it.
const P12_ALIAS: &str = "Tenpay Certificate";
/// How far ahead the clock is that is wrong on purpose.
const SKEW: Duration = Duration::from_minutes(10);

const FAULTS: &[Fault] = &[
    Fault::LoseNotification,
    Fault::DoubleNotification,
    Fault::DelayNotification,
    Fault::ReorderNotification,
    Fault::ForgeNotification,
    Fault::MisstateAmount,
    Fault::ProbeNotification,
    Fault::MixedKeys,
    Fault::Throttle,
    Fault::AnswerError,
    Fault::AnswerErrorAfterDoing,
    Fault::AnswerLate,
    Fault::AnswerCut,
    Fault::AnswerRubbish,
    Fault::AnswerSlow,
    Fault::AnswerUnsigned,
    Fault::AnswerTampered,
    Fault::ProbeAnswer,
    Fault::ClockSkew,
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
    Fault::BillHashWrong,
    Fault::BillCut,
    Fault::BillLinkDead,
];

/// The provider; clones share it.
#[derive(Clone)]
pub struct WechatPay(Arc<Provider>);

struct Provider {
    world: World,
    keys: Keys,
    visitors: inside::Visitors,
    ready: OnceCell<()>,
}

/// What a merchant has to know, for accounts that are made without a person.
#[derive(Clone, Debug)]
pub struct MerchantSide {
    pub mchid: String,
    /// Of an official account, a mini program and an app.
    pub appids: Vec<String>,
    /// The official account's AppSecret.
    pub app_secret: String,
    /// PKCS#8 PEM.
    pub private_key: String,
    /// Of the merchant's own certificate.
    pub serial: String,
    pub certificate: String,
    pub api_v3_key: String,
    /// For the older interface.
    pub api_v2_key: String,
    pub public_key: String,
    pub public_key_id: String,
    /// In certificate mode: the platform certificate of the moment, with its serial.
    pub platform_certificate: Option<(String, String)>,
}

impl WechatPay {
    /// Puts the provider into the world. Keys are made when somebody first needs them.
    pub fn open(world: &World) -> Self {
        let provider = Provider {
            world: world.clone(),
            keys: Keys::new(world.clone()),
            visitors: inside::Visitors::default(),
            ready: OnceCell::new(),
        };
        let provider = Self(Arc::new(provider));
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
        let mchid = mode.mchid();
        let (own, public) = (self.keys.merchant_signer(mchid)?, self.keys.own(Own::Public)?);
        let platform = self.keys.own(Own::Certificate)?;
        let merchant = self.keys.merchant(mchid)?.expect("was enrolled when the keys were made");
        Ok(MerchantSide {
            mchid: mchid.to_owned(),
            app_secret: self.app_secret(merchant.appids.first().map_or("", String::as_str))?,
            appids: merchant.appids,
            private_key: pem("PRIVATE KEY", own.private.expose()),
            serial: own.id.clone(),
            certificate: pem("CERTIFICATE", &own.certificate),
            api_v3_key: merchant.api_v3_key,
            api_v2_key: self.api_v2_key(mchid)?,
            public_key: pem("PUBLIC KEY", &public.rsa.public().to_spki()),
            public_key_id: public.id.clone(),
            platform_certificate: (mode == Mode::Certificate)
                .then(|| (platform.id.clone(), pem("CERTIFICATE", &platform.certificate))),
        })
    }

    /// Which key answers a request: the one that it names, as far as the merchant's mode has it. Source: §4.
    fn answering_key(
        &self,
        merchant: &Merchant,
        named: Option<&str>,
        faults: Faults,
    ) -> Result<Arc<Signer>, StoreError> {
        let public = self.keys.own(Own::Public)?;
        if merchant.mode == Mode::PublicKey || named == Some(public.id.as_str()) {
            return Ok(public);
        }
        self.keys.own(newest(faults))
    }

    /// Source: §4: callbacks are moved over to the public key by and by.
    fn notifying_key(&self, merchant: &Merchant, letter: &Letter) -> Result<Arc<Signer>, StoreError> {
        let odd = letter.id[0] & 1 == 1;
        match merchant.mode {
            Mode::PublicKey => self.keys.own(Own::Public),
            Mode::Certificate if letter.faults.has(Fault::MixedKeys) && odd => self.keys.own(Own::Public),
            Mode::Certificate => self.keys.own(newest(letter.faults)),
        }
    }

    /// Whether a field was encrypted for one of the provider's keys. Source: §6.
    fn opens(&self, field: &str) -> Result<bool, StoreError> {
        let Ok(sealed) = data_encoding::BASE64.decode(field.as_bytes()) else { return Ok(false) };
        for own in [Own::Public, Own::Certificate, Own::NewCertificate] {
            if decrypt_oaep_sha1(self.keys.own(own)?.private.expose(), &sealed).is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn token_key(&self) -> Result<hmac::Key, StoreError> {
        Ok(hmac::Key::new(hmac::HMAC_SHA256, self.keys.own(Own::Public)?.private.expose()))
    }
}

fn newest(faults: Faults) -> Own {
    if faults.has(Fault::NewKey) { Own::NewCertificate } else { Own::Certificate }
}

fn skewed(now: Timestamp, faults: Faults) -> Timestamp {
    if faults.has(Fault::ClockSkew) { now.plus(SKEW) } else { now }
}

static FACTS: Facts = Facts {
    name: NAME,
    title: Text::new("微信支付", "WeChat Pay"),
    brand: Brand::WeChat,
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
        Some(Telling { url, text: view::notification(news)?.to_string() })
    }

    fn try_seal(&self, letter: &Letter) -> Result<Option<OutgoingRequest>, StoreError> {
        let Some(merchant) = self.keys.merchant(&letter.merchant)? else { return Ok(None) };
        let told: Value = serde_json::from_str(&letter.text).unwrap_or_default();
        let plain = told.get("plain").map(Value::to_string).unwrap_or_default();
        let original_type = told.get("original_type").and_then(Value::as_str).unwrap_or_default();
        let random: [u8; 12] = self.world.env().random();
        let nonce = random.map(|byte| b"0123456789abcdefghijklmnopqrstuv"[usize::from(byte & 31)]);
        let id = data_encoding::HEXLOWER.encode(&letter.id);
        let body = json!({
            "id": format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]),
            "create_time": view::beijing(letter.posted_at),
            "resource_type": "encrypt-resource",
            "event_type": told.get("event_type"),
            "summary": told.get("summary"),
            "resource": {
                "original_type": original_type,
                "algorithm": "AEAD_AES_256_GCM",
                "ciphertext": merchant.encrypt(plain.as_bytes(), &nonce, original_type),
                "associated_data": original_type,
                "nonce": String::from_utf8_lossy(&nonce),
            },
        });
        let body = body.to_string().into_bytes();
        let genuine = self.notifying_key(&merchant, letter)?;
        // A forger has some key, but not this one, and claims that it is.
        let signer = if letter.forged { self.keys.merchant_signer(&letter.merchant)? } else { genuine.clone() };
        let manner = if letter.probed { Manner::Probe } else { Manner::Properly };
        let now = skewed(self.world.wire_now(), letter.faults);
        let signature = sign::headers(&signer.rsa, &genuine.id, &body, manner, now, self.world.env().random());
        let mut headers = vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("user-agent".to_owned(), "Mozilla/4.0".to_owned()),
            ("request-id".to_owned(), format!("{}-0", id.to_uppercase())),
        ];
        headers.extend(signature.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)));
        Ok(Some(OutgoingRequest {
            method: Method::Post,
            url: letter.notify_url.clone(),
            headers,
            body,
            identity: None,
        }))
    }

    /// Source: §16: the status decides, whatever the body says.
    fn heard(&self, answer: &OutgoingResponse) -> bool {
        matches!(answer.status, 200 | 204)
    }

    /// A code's text, an H5 address, a prepay id, or anything that holds one.
    fn scan(&self, text: &str) -> Option<[u8; 16]> {
        let marks = ["weixin://wxpay/bizpayurl?pr=", "prepay_id=wx", "wx"];
        marks.into_iter().find_map(|mark| {
            text.match_indices(mark).find_map(|(at, _)| {
                let digits = text.get(at + mark.len()..)?.get(..32)?;
                data_encoding::HEXLOWER.decode(digits.as_bytes()).ok()?.try_into().ok()
            })
        })
    }

    /// 18 digits that begin with 10 to 15. Source: §10.
    fn payer_code(&self, random: u64) -> String {
        format!("13{:016}", random % 10_000_000_000_000_000)
    }

    fn credentials(&self) -> Result<Credentials, StoreError> {
        self.keys.prepare()?;
        let (mut merchants, mut files) = (Vec::new(), Vec::new());
        for mode in Mode::ALL {
            let side = self.merchant_side(mode)?;
            let own = self.keys.merchant_signer(mode.mchid())?;
            let forms = KeyForms::of(&own.private);
            let mut file = |name: &str, what: Text, content: &[u8]| {
                files.push(CredentialFile { name: format!("{}/{name}", side.mchid), what, content: content.to_vec() });
            };
            let what = Text::new("商户 API 私钥", "merchant's private key");
            file("apiclient_key.pem", what, forms.pkcs8.as_bytes());
            let what = Text::new("商户 API 证书", "merchant's certificate");
            file("apiclient_cert.pem", what, side.certificate.as_bytes());
            if let Some(p12) = handout::pkcs12(&own.private, &own.certificate, Some(P12_ALIAS), &side.mchid) {
                let what = Text::new("同上，密码为商户号", "both in one; the password is the merchant number");
                file("apiclient_cert.p12", what, &p12);
            }
            let what = Text::new("微信支付公钥", "WeChat Pay public key");
            file("pub_key.pem", what, side.public_key.as_bytes());
            if let Some((serial, certificate)) = &side.platform_certificate {
                let what = Text::new("微信支付平台证书", "platform certificate");
                file(&format!("wechatpay_{serial}.pem"), what, certificate.as_bytes());
            }
            let about = match mode {
                Mode::PublicKey => Text::new("公钥模式的商户", "A merchant in public-key mode"),
                Mode::Certificate => Text::new("平台证书模式的商户", "A merchant with platform certificates"),
            };
            let told = json!({
                "about": { "zh": about.zh, "en": about.en },
                "mode": mode,
                "mchid": side.mchid,
                "appid": side.appids.first(),
                "appids": side.appids,
                "appid_official_account": side.appids.first(),
                "appid_mini_program": side.appids.get(1),
                "appid_app": side.appids.get(2),
                "app_secret": side.app_secret,
                "serial_no": side.serial,
                "certificate": side.certificate,
                "api_v3_key": side.api_v3_key,
                "api_v2_key": side.api_v2_key,
                "public_key_id": side.public_key_id,
                "public_key": side.public_key,
                "platform_certificate_serial": side.platform_certificate.as_ref().map(|(serial, _)| serial),
                "platform_certificate": side.platform_certificate.as_ref().map(|(_, certificate)| certificate),
            });
            let mut told = told.as_object().cloned().unwrap_or_default();
            forms.tell(&mut told);
            merchants.push(Value::Object(told));
        }
        let host = self.world.host(PREFIX);
        let mut json = serde_json::Map::new();
        json.insert("base_url".to_owned(), json!(host));
        json.insert("merchants".to_owned(), Value::Array(merchants));
        Ok(Credentials { json, files, recipes: recipes(&host) })
    }
}

/// Source: the SDKs' own code.
fn recipes(host: &str) -> Vec<Recipe> {
    let recipe = |sdk, code: String| Recipe { sdk, code };
    vec![
        recipe(
            "PHP · wechatpay/wechatpay",
            format!(
                "Builder::factory([…, 'base_uri' => '{host}/'])\n# php CertificateDownloader.php --baseuri {host}/ …"
            ),
        ),
        recipe("Node · wechatpay-axios-plugin", format!("new Wechatpay({{…, baseURL: '{host}'}})")),
        recipe(
            "Node · wechatpay-node-v3",
            format!(
                "class Here extends PayRequest {{\n  to(url) {{ return url.replace('https://api.mch.weixin.qq.com', '{host}') }}\n  \
                 get(url, headers) {{ return super.get(this.to(url), headers) }}\n  \
                 post(url, body, headers) {{ return super.post(this.to(url), body, headers) }}\n}}\n\
                 pay.createHttp(new Here())"
            ),
        ),
        recipe("Python · wechatpayv3", format!("wxpay._core._gate_way = '{host}'")),
        recipe(
            "V2 · 付款码 (WXPayAPI, WxJava, gopay, EasyWeChat…)",
            format!(
                "https://api.mch.weixin.qq.com  →  {host}\nkey = api_v2_key\n\
                 POST {host}/pay/micropay\nPOST {host}/pay/orderquery\nPOST {host}/secapi/pay/reverse   // https: apiclient_cert.p12; http: not asked for"
            ),
        ),
        recipe("Java · wechatpay-java", JAVA.replace("{host}", host)),
        recipe("Go · wechatpay-go", GO.replace("{host}", host)),
    ]
}

/// Its services and its fetching of certificates know one host each; an interceptor leads both here.
const JAVA: &str = r#"OkHttpClient client = new OkHttpClient.Builder().addInterceptor(chain -> {
  String url = chain.request().url().toString().replaceFirst("https://api.mch.weixin.qq.com", "{host}");
  return chain.proceed(chain.request().newBuilder().url(url).build());
}).build();
DefaultHttpClientBuilder http = new DefaultHttpClientBuilder().okHttpClient(client);

new RSAAutoCertificateConfig.Builder()….httpClientBuilder(http).build()
new NativePayService.Builder().httpClient(http.config(config).build()).build()"#;

/// The default transport is changed, because what fetches certificates takes no other.
const GO: &str = r#"type here struct{ http.RoundTripper }

func (h here) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == "api.mch.weixin.qq.com" {
		r = r.Clone(r.Context())
		r.URL, _ = url.Parse("{host}" + r.URL.RequestURI())
		r.Host = ""
	}
	return h.RoundTripper.RoundTrip(r)
}

// before core.NewClient
http.DefaultTransport = here{http.DefaultTransport}"#;
