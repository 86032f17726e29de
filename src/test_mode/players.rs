//! Plays payers and channels of test mode, whoever simulates the channel that carries an attempt.

use std::sync::Arc;

use crate::domain::ids::AttemptId;
use crate::domain::method::Brand;
use crate::domain::payment::{Attempt, NextAction};
use crate::env::target::TargetPolicy;
use crate::env::transport::{Limits, Method, OutgoingRequest, Transport};
use crate::flows::gateway::Gateway;
use crate::sandbox::provider::fault::Faults;
use crate::sandbox::provider::play::{SimulateError, Simulation};
use crate::sandbox::provider::records::Mood;
use crate::sandbox::simulators::Simulators;
use crate::sandbox::wallet::Wallet;
use crate::store::StoreError;

/// All simulated providers of a server.
#[derive(Clone)]
pub struct Players {
    wallet: Wallet,
    simulators: Simulators,
    transport: Arc<dyn Transport>,
    policy: TargetPolicy,
}

impl Players {
    pub fn new(gateway: &Gateway, wallet: Wallet, simulators: Simulators) -> Self {
        let (transport, policy) = (gateway.transport.clone(), gateway.settings.sandbox.clone());
        Self { wallet, simulators, transport, policy }
    }

    /// Ends an attempt, also one whose order the payer's device brings: then that is played first.
    pub async fn simulate(&self, attempt: &Attempt, simulation: Simulation) -> Result<(), SimulateError> {
        match self.play(attempt.id, simulation).await {
            Err(SimulateError::Unknown) => {
                self.visit(attempt.next_action.as_ref()).await;
                self.play(attempt.id, simulation).await
            }
            played => played,
        }
    }

    /// Ends an attempt at the provider that knows it.
    pub async fn play(&self, attempt: AttemptId, simulation: Simulation) -> Result<(), SimulateError> {
        let mut played = self.wallet.simulate(attempt, simulation).await;
        let world = &self.simulators.world;
        for dialect in world.dialects() {
            if !matches!(played, Err(SimulateError::Unknown)) {
                break;
            }
            played = world.play(&dialect, attempt.bare(), simulation).await;
        }
        played
    }

    /// How the provider that knows an attempt behaves about it from now on.
    pub async fn set_faults(&self, attempt: AttemptId, faults: Faults) -> Result<(), SimulateError> {
        if let Some(order) = self.wallet.order(attempt).await? {
            return self.wallet.set_faults(order.code, faults).await?.ok_or(SimulateError::Unknown);
        }
        let world = &self.simulators.world;
        for dialect in world.dialects() {
            let number = attempt.bare();
            let set = world.at(&dialect, move |desk| match desk.order_beginning(&number)? {
                Some(order) => desk.set_faults(&order, faults).map(Some),
                None => Ok(None),
            });
            if set.await?.is_some() {
                return Ok(());
            }
        }
        Err(SimulateError::Unknown)
    }

    /// The digits of a code that a payer shows; `None` where the wallet of this brand has no such payers.
    pub async fn show_code(&self, brand: Brand, mood: Mood) -> Result<Option<String>, StoreError> {
        let world = &self.simulators.world;
        match world.dialects().into_iter().find(|dialect| dialect.brand() == brand) {
            Some(dialect) => world.show_code(&dialect, mood).await.map(Some),
            None => Ok(None),
        }
    }

    /// Goes where the payer's device would go. Whatever comes of it, the provider knows the order or does not.
    async fn visit(&self, next: Option<&NextAction>) {
        let world = &self.simulators.world;
        let (method, url, body) = match next {
            Some(NextAction::Redirect { url }) => (Method::Get, url, Vec::new()),
            Some(NextAction::Form { url, fields }) => {
                let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
                (Method::Post, url, form.into_bytes())
            }
            Some(NextAction::AppParams { params }) => {
                for text in params.values() {
                    for dialect in world.dialects() {
                        if dialect.take(text).await.is_some() {
                            return;
                        }
                    }
                }
                return;
            }
            Some(NextAction::QrCode { .. } | NextAction::JsApiParams { .. } | NextAction::Confirm) | None => return,
        };
        let Some(url) = world.notify_address(url) else { return };
        let headers = vec![("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned())];
        let request = OutgoingRequest { method, url, headers, body, identity: None };
        drop(self.transport.send(request, &self.policy, Limits::default()).await);
    }
}
