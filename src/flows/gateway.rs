//! What every use case and every room of the house needs, in one cheap handle.

use std::sync::Arc;

use ring::hmac;

use super::envelopes::Envelopes;
use super::{Changes, unbelieved};
use crate::channels::registry::Registry;
use crate::crypto::{OpenError, Place, Vault};
use crate::domain::event::Event;
use crate::domain::ids::{MerchantId, Mode, PaymentId, Scope};
use crate::domain::method::Method;
use crate::domain::money::Money;
use crate::domain::payment::Route;
use crate::env::Env;
use crate::env::target::TargetPolicy;
use crate::env::transport::Transport;
use crate::signals::metrics::Outgoing;
use crate::store::tables::LINK_KEY;
use crate::store::{Read, Store, StoreError};

/// Bytes of the code that proves that a link was made here.
const TOKEN_CODE_BYTES: usize = 9;

/// Bytes of a code over something that a browser keeps for us.
const SEAL_BYTES: usize = 16;

/// Makes the JSON that a callback carries. It is the API's own object, so the API brings the function.
pub type RenderEvent = Arc<dyn Fn(&Gateway, Scope, &Event) -> Vec<u8> + Send + Sync>;

#[derive(Clone)]
pub struct Gateway {
    pub store: Store,
    pub env: Env,
    pub vault: Arc<Vault>,
    pub transport: Arc<dyn Transport>,
    pub channels: Arc<Registry>,
    pub changes: Changes,
    pub settings: Arc<Settings>,
    pub render_event: RenderEvent,
    /// Where refunds go that cannot go back, until the channel has heard it.
    pub envelopes: Envelopes,
    /// Counts what goes out.
    pub outgoing: Outgoing,
    /// Messages that were not believed, as far as they are not written.
    pub unbelieved: unbelieved::Waiting,
    link_key: hmac::Key,
}

/// Addresses and rules, fixed for the life of the process.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where customers and providers reach this server, without a slash at the end.
    pub public_url: String,
    /// Where this server reaches itself, for the simulated provider.
    pub own_url: String,
    pub callbacks: TargetPolicy,
    pub channels: TargetPolicy,
    /// For the simulated provider, which lives at `own_url`.
    pub sandbox: TargetPolicy,
    /// Effects under way at once in all.
    pub in_flight_max: usize,
    /// Callbacks under way at once to one endpoint.
    pub per_endpoint_max: usize,
}

/// Why a gateway could not be built on a store.
#[derive(Debug)]
pub enum GatewayError {
    Store(StoreError),
    /// The master key is not the one that the file was written with.
    Key(OpenError),
}

impl std::fmt::Display for GatewayError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            GatewayError::Store(error) => write!(f, "{error}"),
            GatewayError::Key(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for GatewayError {}

impl From<StoreError> for GatewayError {
    fn from(error: StoreError) -> Self {
        GatewayError::Store(error)
    }
}

impl Gateway {
    /// Builds the gateway on an open store. Blocks; accounts that cannot be opened are logged and left out.
    pub fn build(
        store: Store,
        env: Env,
        vault: Arc<Vault>,
        transport: Arc<dyn Transport>,
        settings: Settings,
        render_event: RenderEvent,
    ) -> Result<Gateway, GatewayError> {
        let link_key = link_key(&store, &env, &vault)?;
        let changes = Changes::default();
        let listener = changes.clone();
        store.on_commit(move |signals| listener.hear(signals));
        let gateway = Gateway {
            store,
            env,
            vault,
            transport,
            channels: Arc::new(Registry::default()),
            changes,
            settings: Arc::new(settings),
            render_event,
            envelopes: Envelopes::default(),
            unbelieved: unbelieved::Waiting::default(),
            outgoing: Outgoing::default(),
            link_key,
        };
        gateway.reload_channels()?;
        Ok(gateway)
    }

    /// Reads the channel accounts again, after one was added or changed.
    pub fn reload_channels(&self) -> Result<(), StoreError> {
        let Settings { own_url, public_url, .. } = self.settings.as_ref();
        for (id, why) in self.channels.load(&self.store, &self.vault, own_url, public_url)? {
            tracing::warn!(account = %id, "channel account cannot be used: {why}");
        }
        Ok(())
    }

    /// The channel account for a new attempt, if any takes it.
    pub fn route(&self, scope: Scope, method: Method, amount: Money) -> Option<Route> {
        let lot = u32::from_le_bytes(self.env.random());
        self.channels.choose(scope, method, amount, self.env.now(), lot)
    }

    /// The unguessable name of a payment's cashier page: merchant, payment and mode with a code over them, so that no
    /// table is needed and nobody can make one up.
    pub fn checkout_token(&self, scope: Scope, payment: PaymentId) -> String {
        let mut bytes = [0; 33 + TOKEN_CODE_BYTES];
        bytes[..16].copy_from_slice(&payment.to_bytes());
        bytes[16..32].copy_from_slice(&scope.merchant.to_bytes());
        bytes[32] = match scope.mode {
            Mode::Test => b't',
            Mode::Live => b'l',
        };
        let code = hmac::sign(&self.link_key, &bytes[..33]);
        bytes[33..].copy_from_slice(&code.as_ref()[..TOKEN_CODE_BYTES]);
        data_encoding::BASE64URL_NOPAD.encode(&bytes)
    }

    /// Reads what [`Self::checkout_token`] wrote.
    pub fn read_checkout_token(&self, token: &str) -> Option<(Scope, PaymentId)> {
        let bytes = data_encoding::BASE64URL_NOPAD.decode(token.as_bytes()).ok()?;
        if bytes.len() != 33 + TOKEN_CODE_BYTES {
            return None;
        }
        let (named, code) = bytes.split_at(33);
        let expected = hmac::sign(&self.link_key, named);
        if !bool::from(subtle::ConstantTimeEq::ct_eq(code, &expected.as_ref()[..TOKEN_CODE_BYTES])) {
            return None;
        }
        let mode = match named[32] {
            b't' => Mode::Test,
            b'l' => Mode::Live,
            _ => return None,
        };
        let merchant = MerchantId::from_bytes(named[16..32].try_into().ok()?);
        Some((Scope { merchant, mode }, PaymentId::from_bytes(named[..16].try_into().ok()?)))
    }

    /// A code, of letters and digits, over something that is given to a browser and comes back from it. `purpose` keeps the
    /// uses apart.
    pub fn seal(&self, purpose: &str, about: &[u8]) -> String {
        let code = hmac::sign(&self.link_key, &[purpose.as_bytes(), &[0], about].concat());
        data_encoding::HEXLOWER.encode(&code.as_ref()[..SEAL_BYTES])
    }

    /// Whether [`Self::seal`] made this code.
    pub fn sealed(&self, purpose: &str, about: &[u8], code: &str) -> bool {
        bool::from(subtle::ConstantTimeEq::ct_eq(code.as_bytes(), self.seal(purpose, about).as_bytes()))
    }

    pub fn checkout_url(&self, scope: Scope, payment: PaymentId) -> String {
        format!("{}/c/{}", self.settings.public_url, self.checkout_token(scope, payment))
    }
}

/// The key behind the cashier's links: made once, sealed in the store.
fn link_key(store: &Store, env: &Env, vault: &Vault) -> Result<hmac::Key, GatewayError> {
    let place = Place { table: LINK_KEY.name(), row: &[0], field: "key" };
    let known = store.read_blocking(|tx| tx.get(&LINK_KEY, &0u8))?;
    let bytes = match known {
        Some(sealed) => vault.open(&place, &sealed).map_err(GatewayError::Key)?,
        None => {
            let key: [u8; 32] = env.random();
            let sealed = vault.seal(&place, &key, env.entropy.as_ref());
            store.write_blocking(move |tx| tx.put(&LINK_KEY, &0u8, &sealed))?;
            crate::crypto::Secret::new(key.to_vec())
        }
    };
    Ok(hmac::Key::new(hmac::HMAC_SHA256, bytes.expose()))
}
