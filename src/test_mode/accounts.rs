//! Gives every merchant's test mode one channel account at each simulated provider of this server.
//!
//! # Which account takes a payment
//! The simulated providers share test mode's payments by method, each its own, and the test wallet becomes a reserve: it
//! takes what comes before their keys are made, and while they keep failing, as routing has it for live accounts too. The
//! other way round (the wallet first) would leave the production adapters unused until somebody changed the shares. What a
//! person has set differently is left alone: a kind of which there is an account already gets no second one, and only a
//! wallet with the share that it was made with becomes a reserve.
//!
//! # Which mode
//! The accounts verify by certificate (平台证书, 公钥证书) and not by a bare public key, because certificates can do everything
//! that the fault board has: they are fetched, they are replaced, and a merchant may be late to notice.
//!
//! # When
//! Keys take seconds, so they are made beside the running server, one after the other, and each is kept as soon as it is
//! there. The accounts follow in one commit. Whatever happens in between, the next start goes on from there.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::audit::log::Stamp;
use crate::audit::{Action, Detail};
use crate::channels::alipay::credentials as alipay;
use crate::channels::unionpay::credentials as unionpay;
use crate::channels::wechatpay::{AnswersBy, AppIds, Credentials as WechatPay};
use crate::crypto::{Sealed, Secret, Vault};
use crate::domain::ids::{AccountId, Mode, Scope};
use crate::domain::merchant::{ChannelAccount, ChannelKind, Merchant, Share};
use crate::domain::time::Duration;
use crate::env::Env;
use crate::flows::accounts::{self, ACCOUNTS_MAX, Terms};
use crate::flows::gateway::Gateway;
use crate::sandbox::simulators::Simulators;
use crate::sandbox::{alipay as simulated_alipay, unionpay as simulated_unionpay, wechatpay as simulated_wechat};
use crate::store::tables::{ACCOUNTS, MERCHANTS};
use crate::store::{Order, Read, Span, Store, StoreError};

/// The kinds that are simulated, in the order in which they are made.
const KINDS: [ChannelKind; 3] = [ChannelKind::WechatPay, ChannelKind::Alipay, ChannelKind::Unionpay];

/// How long to wait after the store did not take it.
const AFTER_TROUBLE: Duration = Duration::from_seconds(10);

/// What accounts are made with: parts of a running gateway, or of a folder that is being set up.
pub struct Maker<'a> {
    pub store: &'a Store,
    pub env: &'a Env,
    pub vault: &'a Arc<Vault>,
    pub simulators: &'a Simulators,
}

/// An account that is about to be stored.
struct Prepared {
    id: AccountId,
    kind: ChannelKind,
    credentials: Sealed,
}

impl Maker<'_> {
    /// Makes the accounts that are missing and answers how many. Blocks, for seconds where keys have to be made; repeating
    /// it does nothing more.
    pub fn connect(&self) -> Result<usize, StoreError> {
        let mut made = 0;
        for merchant in self.merchants()? {
            made += self.connect_merchant(&merchant)?;
        }
        Ok(made)
    }

    fn merchants(&self) -> Result<Vec<Merchant>, StoreError> {
        self.store.read_blocking(|tx| {
            let mut merchants = Vec::new();
            tx.walk(&MERCHANTS, &Span::all(), |_, merchant| {
                merchants.push(merchant);
                Ok::<_, StoreError>(std::ops::ControlFlow::Continue(()))
            })?;
            Ok(merchants)
        })
    }

    fn connect_merchant(&self, merchant: &Merchant) -> Result<usize, StoreError> {
        let scope = Scope { merchant: merchant.id, mode: Mode::Test };
        let there = self.store.read_blocking(|tx| accounts_of(tx, scope))?;
        let missing: Vec<ChannelKind> = KINDS.into_iter().filter(|kind| !has(&there, *kind)).collect();
        if missing.is_empty() || there.len() + missing.len() > ACCOUNTS_MAX {
            return Ok(0);
        }
        let now = self.env.now();
        let mut prepared = Vec::new();
        for kind in missing {
            let id = AccountId::new(now, self.env.random());
            let credentials = self.credentials(kind, &merchant.name)?;
            prepared.push(Prepared {
                id,
                kind,
                credentials: accounts::seal_under(self.vault, self.env, scope, id, &credentials),
            });
        }
        self.store.write_blocking(move |tx| {
            let there = accounts_of(tx, scope)?;
            let mut added = 0;
            for Prepared { id, kind, credentials } in &prepared {
                if has(&there, *kind) {
                    continue;
                }
                // A name is what a person types in, so it speaks both languages.
                let label = format!("{} {} · 模拟 sim", kind.name_zh(), kind.name_en());
                let terms = Terms { label, active: true, share: Share::WHOLE };
                accounts::add(tx, (scope, *id), *kind, &terms, credentials.clone(), now)?;
                let detail = Detail::new().with("kind", kind.code());
                Stamp::system(now).record(tx, scope.merchant, Action::ChannelAdded, *id, detail)?;
                added += 1;
            }
            for wallet in &there {
                if added > 0 && wallet.kind == ChannelKind::TestWallet && wallet.share == Share::WHOLE {
                    let share = Share { weight: 0, ..Share::WHOLE };
                    let terms = Terms { label: wallet.label.clone(), active: wallet.active, share };
                    accounts::change(tx, scope, wallet.id, &terms, None)?;
                    let detail = Detail::new().with("weight", share.weight);
                    Stamp::system(now).record(tx, scope.merchant, Action::ChannelChanged, wallet.id, detail)?;
                }
            }
            Ok(added)
        })
    }

    /// The merchant's side of a simulated provider, which calls him `name` from now on.
    fn credentials(&self, kind: ChannelKind, name: &str) -> Result<Secret, StoreError> {
        let Simulators { world, wechatpay, alipay, unionpay } = self.simulators;
        Ok(match kind {
            ChannelKind::WechatPay => {
                let side = wechatpay.side(simulated_wechat::Mode::Certificate)?;
                world.rename(simulated_wechat::NAME, &side.mchid, name)?;
                of_wechat(side)
            }
            ChannelKind::Alipay => {
                let side = alipay.side(simulated_alipay::Mode::Certificate)?;
                world.rename(simulated_alipay::NAME, &side.app_id, name)?;
                of_alipay(side)
            }
            ChannelKind::Unionpay => {
                let side = unionpay.side()?;
                world.rename(simulated_unionpay::NAME, &side.mer_id, name)?;
                of_unionpay(side)
            }
            ChannelKind::TestWallet => unreachable!("{KINDS:?} has no test wallet"),
        })
    }
}

/// Connects beside the running server, on a thread of its own, until it is done or `stopping` turns true. The thread is
/// not waited for: a key that is half made is lost, and nothing else.
pub fn connect_beside(gateway: Gateway, simulators: Simulators, stopping: watch::Receiver<bool>) {
    let work = move || {
        while !*stopping.borrow() {
            let Gateway { store, env, vault, .. } = &gateway;
            let connected = Maker { store, env, vault, simulators: &simulators }.connect().and_then(|made| {
                if made > 0 {
                    gateway.reload_channels()?;
                    accounts::plan_upkeep(&gateway)?;
                    tracing::info!(made, "test mode has accounts at the simulated providers");
                }
                Ok(())
            });
            match connected {
                Ok(()) => return,
                Err(_) if *stopping.borrow() => return,
                Err(error) => {
                    tracing::warn!(%error, "test mode's accounts could not be made; trying again");
                    std::thread::sleep(AFTER_TROUBLE.to_std());
                }
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("test-mode".to_owned()).spawn(work) {
        tracing::warn!(%error, "test mode gets no accounts at the simulated providers");
    }
}

fn accounts_of(tx: &impl Read, scope: Scope) -> Result<Vec<ChannelAccount>, StoreError> {
    let rows = tx.scan(&ACCOUNTS, &Span::prefix(&scope), Order::Ascending, ACCOUNTS_MAX)?;
    Ok(rows.into_iter().map(|(_, account)| account).collect())
}

fn has(accounts: &[ChannelAccount], kind: ChannelKind) -> bool {
    accounts.iter().any(|account| account.kind == kind)
}

fn of_wechat(side: simulated_wechat::MerchantSide) -> Secret {
    let mut apps = side.appids.into_iter();
    let official = apps.next().unwrap_or_default();
    WechatPay {
        mch_id: side.mchid,
        app_ids: AppIds {
            default: official.clone(),
            official_account: Some(official),
            mini_program: apps.next(),
            app: apps.next(),
        },
        official_account_secret: Some(side.app_secret),
        merchant_key: side.private_key,
        merchant_serial: side.serial,
        merchant_certificate: Some(side.certificate),
        api_v3_key: side.api_v3_key,
        previous_api_v3_key: None,
        code_v2_key: None,
        public_keys: BTreeMap::from([(side.public_key_id, side.public_key)]),
        platform_certificates: side.platform_certificate.into_iter().map(|(_, certificate)| certificate).collect(),
        answers: AnswersBy::PlatformCertificate,
    }
    .to_secret()
}

fn of_alipay(side: simulated_alipay::MerchantSide) -> Secret {
    let trust = alipay::Trust::Certificate {
        app_certificate: side.app_certificate,
        alipay_certificates: vec![side.alipay_certificate],
        root_certificates: side.root_certificates,
        wanted_sn: None,
    };
    let (app_id, seller_id, private_key) = (side.app_id, side.seller_id, side.private_key);
    alipay::Credentials { app_id, seller_id, private_key, trust, content_key: None, earlier: Vec::new() }.to_secret()
}

fn of_unionpay(side: simulated_unionpay::MerchantSide) -> Secret {
    let contract = unionpay::Contract::Certificate(unionpay::ByCertificate {
        sign_key: side.private_key,
        sign_certificate: side.certificate,
        trusted_certificates: side.root + &side.middle,
        accept_sha1: false,
        accept_test_name: true,
    });
    unionpay::Credentials { mer_id: side.mer_id, term_id: None, earlier: Vec::new(), contract }.to_secret()
}
