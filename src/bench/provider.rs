//! WeChat Pay as measurements need it: takes every order, and says of every one that it was paid, signed and sealed as the
//! real one does it. It remembers nothing and checks nothing: that is the simulator's business, and this costs no CPU of the
//! gateway's threads.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::BASE64;
use ring::aead;
use serde_json::json;

use super::BenchError;
use super::baseline::RSA_KEY;
use super::listener::Listener;
use super::load;
use super::site::{PRICE_MINOR, Site};
use crate::channels::wechatpay::{AnswersBy, AppIds, Credentials};
use crate::crypto::rsa::RsaSigner;
use crate::domain::ids::{AccountId, AttemptId};
use crate::domain::merchant::{ChannelKind, Share};
use crate::domain::time::Timestamp;
use crate::env::Env;
use crate::flows::accounts::{self, Terms};
use crate::store::tables::ACCOUNTS;
use crate::store::{Read, StoreError};

const MCH_ID: &str = "1900000109";
const APP_ID: &str = "wxd678efh567hg6787";
const API_V3_KEY: &str = "a key for measuring, 32 bytes xx";
const KEY_ID: &str = "PUB_KEY_ID_0000000000000024101100397200000006";
const SERIAL: &str = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1";

/// A handle; clones share the key.
#[derive(Clone)]
pub struct Provider {
    /// The merchant's account at this provider.
    pub account: AccountId,
    signer: Arc<RsaSigner>,
    /// The answer to an order, with the second that it was signed in.
    taken: Arc<Mutex<(i64, Vec<u8>)>>,
    env: Env,
}

impl Provider {
    /// Takes a port, and gives the merchant an account here that all payments by its methods go to.
    pub fn open(site: &Site) -> Result<Self, BenchError> {
        let opening = BenchError::io("opening the provider");
        let port = std::net::TcpListener::bind("127.0.0.1:0").map_err(&opening)?;
        port.set_nonblocking(true).map_err(&opening)?;
        let base_url = format!("http://{}", port.local_addr().map_err(&opening)?);
        let signer = RsaSigner::from_der(RSA_KEY).expect("the key is part of the program");
        let credentials = Credentials {
            mch_id: MCH_ID.to_owned(),
            app_ids: AppIds { default: APP_ID.to_owned(), official_account: None, mini_program: None, app: None },
            official_account_secret: None,
            merchant_key: BASE64.encode(RSA_KEY),
            merchant_serial: SERIAL.to_owned(),
            merchant_certificate: None,
            api_v3_key: API_V3_KEY.to_owned(),
            previous_api_v3_key: None,
            code_v2_key: None,
            public_keys: BTreeMap::from([(KEY_ID.to_owned(), BASE64.encode(&signer.public().to_spki()))]),
            platform_certificates: Vec::new(),
            answers: AnswersBy::PublicKey { id: KEY_ID.to_owned() },
        };
        let gateway = &site.house.gateway;
        let (scope, now) = (site.scope, site.env.now());
        let account = AccountId::new(now, site.env.random());
        let sealed = accounts::seal(gateway, scope, account, &credentials.to_secret());
        let others: Vec<AccountId> = gateway.channels.of(scope).iter().map(|open| open.account.id).collect();
        let terms = Terms { label: "Bench".to_owned(), active: true, share: Share::WHOLE };
        gateway.store.write_blocking(move |tx| {
            for other in &others {
                if let Some(mut reserve) = tx.get(&ACCOUNTS, &(scope, *other))? {
                    reserve.share.weight = 0;
                    tx.put(&ACCOUNTS, &(scope, *other), &reserve)?;
                }
            }
            accounts::add(tx, (scope, account), ChannelKind::WechatPay, &terms, sealed.clone(), now)?;
            let mut added = tx.get(&ACCOUNTS, &(scope, account))?.expect("it was just added");
            added.base_url = Some(base_url.clone());
            tx.put(&ACCOUNTS, &(scope, account), &added)?;
            Ok::<_, StoreError>(())
        })?;
        gateway.reload_channels()?;
        let provider = Self { account, signer: Arc::new(signer), taken: Arc::default(), env: site.env.clone() };
        provider.listen(port)?;
        Ok(provider)
    }

    /// Takes orders for as long as the process lives: an account whose provider is silent would be left to rest.
    fn listen(&self, port: std::net::TcpListener) -> Result<(), BenchError> {
        let provider = self.clone();
        let work = move || {
            load::on_client_thread(async move {
                let port = tokio::net::TcpListener::from_std(port).map_err(BenchError::io("opening the provider"))?;
                let _listener = Listener::on(port, Arc::new(move |head, _| provider.answer(head)))?;
                std::future::pending::<Result<(), BenchError>>().await
            })
        };
        let thread = std::thread::Builder::new().name("bench-provider".to_owned()).spawn(work);
        thread.map(drop).map_err(BenchError::io("opening the provider"))
    }

    /// An order is taken; everything else is a question about one, and none was paid without our telling.
    fn answer(&self, head: &str) -> Option<Vec<u8>> {
        let mut words = head.split(' ');
        let (verb, target) = (words.next()?, words.next()?);
        if verb == "POST" {
            return Some(self.taken());
        }
        let number = target.split('?').next()?.rsplit('/').next()?;
        let answer = json!({ "appid": APP_ID, "mchid": MCH_ID, "out_trade_no": number, "trade_state": "NOTPAY" });
        Some(self.signed("HTTP/1.1 200 OK", answer.to_string().as_bytes()))
    }

    /// The same code for every order, signed once a second: the machine is there for the gateway.
    fn taken(&self) -> Vec<u8> {
        let second = self.env.now().as_seconds();
        let mut last = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0 != second {
            let answer = json!({ "code_url": "weixin://wxpay/bizpayurl?pr=bench" });
            *last = (second, self.signed("HTTP/1.1 200 OK", answer.to_string().as_bytes()));
        }
        last.1.clone()
    }

    /// The request that tells the gateway at `address` that an order was paid.
    pub fn notification(&self, address: SocketAddr, attempt: AttemptId) -> Vec<u8> {
        let now = self.env.now();
        let number = attempt.bare();
        let paid = json!({
            "mchid": MCH_ID,
            "appid": APP_ID,
            "out_trade_no": number,
            "transaction_id": format!("42{:026}", u128::from_be_bytes(attempt.to_bytes()) % 10u128.pow(26)),
            "trade_type": "NATIVE",
            "trade_state": "SUCCESS",
            "trade_state_desc": "支付成功",
            "bank_type": "OTHERS",
            "attach": "",
            "success_time": rfc3339(now),
            "payer": { "openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o" },
            "amount": { "total": PRICE_MINOR, "payer_total": PRICE_MINOR, "currency": "CNY", "payer_currency": "CNY" },
        });
        let nonce: [u8; 6] = self.env.random();
        let nonce = data_encoding::HEXLOWER.encode(&nonce);
        let notice = json!({
            "id": number,
            "create_time": rfc3339(now),
            "resource_type": "encrypt-resource",
            "event_type": "TRANSACTION.SUCCESS",
            "summary": "支付成功",
            "resource": {
                "original_type": "transaction",
                "algorithm": "AEAD_AES_256_GCM",
                "ciphertext": sealed(paid.to_string().into_bytes(), &nonce),
                "associated_data": "transaction",
                "nonce": nonce,
            },
        });
        let head = format!("POST /notify/{} HTTP/1.1\r\nhost: {address}", self.account);
        self.signed(&head, notice.to_string().as_bytes())
    }

    /// A message with our signature in its head.
    fn signed(&self, head: &str, body: &[u8]) -> Vec<u8> {
        let (time, nonce) = (self.env.now().as_seconds(), self.env.random::<16>());
        let nonce = data_encoding::HEXUPPER.encode(&nonce);
        let text = [format!("{time}\n{nonce}\n").as_bytes(), body, b"\n"].concat();
        let signature = self.signer.sign_sha256_base64(&text);
        let head = format!(
            "{head}\r\ncontent-type: application/json\r\nwechatpay-timestamp: {time}\r\nwechatpay-nonce: {nonce}\r\n\
             wechatpay-serial: {KEY_ID}\r\nwechatpay-signature: {signature}\r\n\
             wechatpay-signature-type: WECHATPAY2-SHA256-RSA2048\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    }
}

fn rfc3339(at: Timestamp) -> String {
    at.in_zone("Asia/Shanghai").strftime("%Y-%m-%dT%H:%M:%S+08:00").to_string()
}

fn sealed(mut plain: Vec<u8>, nonce: &str) -> String {
    let key = aead::UnboundKey::new(&aead::AES_256_GCM, API_V3_KEY.as_bytes()).expect("32 bytes");
    let nonce = aead::Nonce::try_assume_unique_for_key(nonce.as_bytes()).expect("twelve characters");
    aead::LessSafeKey::new(key)
        .seal_in_place_append_tag(nonce, aead::Aad::from(b"transaction"), &mut plain)
        .expect("a small message");
    BASE64.encode(&plain)
}
