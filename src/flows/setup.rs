//! A new merchant with everything it needs to take its first payment: books, callback secrets, the test wallet.

use super::Moment;
use super::deliveries::{SECRET_FIELD, defaults_row};
use crate::callbacks::WebhookSecret;
use crate::channels::registry::{CREDENTIALS_FIELD, credentials_row};
use crate::crypto::{Place, Sealed, Secret, Vault};
use crate::domain::fee::{FeeRule, FeeSchedule};
use crate::domain::ids::{AccountId, MerchantId, Mode, Scope};
use crate::domain::merchant::{
    CallbackDefaults, ChannelAccount, ChannelKind, DuplicatePolicy, LatePolicy, Merchant, Share,
};
use crate::domain::money::Currency;
use crate::env::Env;
use crate::store::tables::{ACCOUNT_SCOPES, ACCOUNTS, CALLBACK_DEFAULTS, MERCHANTS};
use crate::store::{StoreError, WriteTx};

/// The rows of a new merchant, ready to be stored in one commit.
#[derive(Clone)]
pub struct NewMerchant {
    pub merchant: Merchant,
    callback_defaults: Vec<(Scope, CallbackDefaults)>,
    accounts: Vec<ChannelAccount>,
    /// The default callback secret of test mode, to be shown once.
    pub test_secret: WebhookSecret,
    pub live_secret: WebhookSecret,
}

impl NewMerchant {
    pub fn id(&self) -> MerchantId {
        self.merchant.id
    }

    pub fn scope(&self, mode: Mode) -> Scope {
        Scope { merchant: self.merchant.id, mode }
    }

    /// Makes ids, keys and secrets. `wallet` makes the credentials of the simulated provider for a new account.
    pub fn prepare(
        env: &Env,
        vault: &Vault,
        name: &str,
        zone: &str,
        wallet: impl FnOnce(AccountId) -> Secret,
    ) -> NewMerchant {
        let mut moment = Moment::new(env);
        let entropy = env.entropy.as_ref();
        let merchant = Merchant {
            id: MerchantId::new(moment.now, moment.random()),
            name: name.to_owned(),
            zone: zone.to_owned(),
            currency: Currency::CNY,
            // The rate that WeChat Pay and Alipay commonly ask of small merchants.
            fees: FeeSchedule {
                default: FeeRule { rate_ppm: 6_000, min_minor: 0, max_minor: None },
                methods: Default::default(),
            },
            fee_returned_on_refund: true,
            late: LatePolicy::Book,
            duplicate: DuplicatePolicy::Refund,
            created_at: moment.now,
        };
        let scope = |mode| Scope { merchant: merchant.id, mode };
        let secret = |mode| {
            let shown = WebhookSecret::generate(entropy);
            let row = defaults_row(scope(mode));
            let place = Place { table: CALLBACK_DEFAULTS.name(), row: &row, field: SECRET_FIELD };
            let secret: Sealed = vault.seal(&place, shown.bytes().expose(), entropy);
            (shown, (scope(mode), CallbackDefaults { secret, previous: None }))
        };
        let (test_secret, test) = secret(Mode::Test);
        let (live_secret, live) = secret(Mode::Live);
        let account = AccountId::new(moment.now, moment.random());
        let row = credentials_row(scope(Mode::Test), account);
        let place = Place { table: ACCOUNTS.name(), row: &row, field: CREDENTIALS_FIELD };
        let accounts = vec![ChannelAccount {
            id: account,
            scope: scope(Mode::Test),
            kind: ChannelKind::TestWallet,
            label: "Test wallet".to_owned(),
            base_url: None,
            credentials: vault.seal(&place, wallet(account).expose(), entropy),
            active: true,
            share: Share::WHOLE,
            upkeep_at: None,
            upkept_at: None,
            created_at: moment.now,
        }];
        NewMerchant { merchant, callback_defaults: vec![test, live], accounts, test_secret, live_secret }
    }

    /// Stores the merchant. The channel registry has to be reloaded afterwards.
    pub fn store(&self, tx: &mut WriteTx<'_>) -> Result<(), StoreError> {
        tx.put(&MERCHANTS, &self.merchant.id, &self.merchant)?;
        for (scope, defaults) in &self.callback_defaults {
            tx.put(&CALLBACK_DEFAULTS, scope, defaults)?;
        }
        for account in &self.accounts {
            tx.put(&ACCOUNTS, &(account.scope, account.id), account)?;
            tx.put(&ACCOUNT_SCOPES, &account.id, &account.scope)?;
        }
        Ok(())
    }
}
