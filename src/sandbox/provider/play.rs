//! How the test API ends an attempt without a person at the payer's phone. One shape for the test wallet and for the
//! providers that speak real protocols.

use std::fmt;

use super::model::{Change, Deed, Order, Refusal, TradeState};
use crate::domain::time::Timestamp;
use crate::store::StoreError;

/// How an attempt is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Simulation {
    Paid,
    Failed,
    /// The provider lets the order's time run out; nobody pays.
    Expired,
    /// Paid after the order was closed. Whoever simulates it also ends the payment, so that Coffer closes the order.
    Late,
    WrongAmount,
    LostNotification,
    DuplicateNotification,
}

impl Simulation {
    pub const ALL: [Simulation; 7] = [
        Simulation::Paid,
        Simulation::Failed,
        Simulation::Expired,
        Simulation::Late,
        Simulation::WrongAmount,
        Simulation::LostNotification,
        Simulation::DuplicateNotification,
    ];

    /// The word in the API.
    pub const fn code(self) -> &'static str {
        match self {
            Simulation::Paid => "paid",
            Simulation::Failed => "failed",
            Simulation::Expired => "expired",
            Simulation::Late => "late",
            Simulation::WrongAmount => "wrong_amount",
            Simulation::LostNotification => "lost_notification",
            Simulation::DuplicateNotification => "duplicate_notification",
        }
    }

    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|simulation| simulation.code() == code)
    }

    /// Nobody pays in time, so the time is what ends the attempt.
    pub const fn runs_out(self) -> bool {
        match self {
            Simulation::Failed | Simulation::Expired | Simulation::Late => true,
            Simulation::Paid
            | Simulation::WrongAmount
            | Simulation::LostNotification
            | Simulation::DuplicateNotification => false,
        }
    }

    /// What the payer does for it; `None` where it is the provider's clock that does it.
    pub const fn deed(self) -> Option<Deed> {
        match self {
            Simulation::Paid => Some(Deed::Pay),
            Simulation::Failed => Some(Deed::Refuse),
            Simulation::Expired => None,
            Simulation::Late => Some(Deed::PayLate),
            Simulation::WrongAmount => Some(Deed::PayWrongAmount),
            Simulation::LostNotification => Some(Deed::PayUntold),
            Simulation::DuplicateNotification => Some(Deed::PayTwiceTold),
        }
    }
}

/// Why an attempt could not be ended.
#[derive(Clone, Debug)]
pub enum SimulateError {
    /// The provider does not know the order yet, or never will.
    Unknown,
    /// The order has ended already.
    Ended,
    Store(StoreError),
}

impl fmt::Display for SimulateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SimulateError::Unknown => f.write_str("the simulated provider does not know this attempt"),
            SimulateError::Ended => f.write_str("the simulated provider's order has ended"),
            SimulateError::Store(_) => f.write_str("the simulated provider's store did not take it"),
        }
    }
}

impl std::error::Error for SimulateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SimulateError::Store(error) => Some(error),
            SimulateError::Unknown | SimulateError::Ended => None,
        }
    }
}

impl From<StoreError> for SimulateError {
    fn from(error: StoreError) -> Self {
        SimulateError::Store(error)
    }
}

impl Order {
    /// Ends the order as the test API asks.
    pub fn play(&self, simulation: Simulation, now: Timestamp) -> Result<Change, Refusal> {
        let Some(deed) = simulation.deed() else { return self.run_out(now) };
        match simulation {
            // A payer who gives up may try again, as in life; here it is over, because somebody wants to see the end.
            Simulation::Failed => self.fail(now),
            // Not every provider closes an order when the merchant asks, but the time runs out at all of them.
            Simulation::Late => {
                let armed = self.act(deed, now)?;
                if armed.order.state == TradeState::NotPaid { armed.order.run_out(now) } else { Ok(armed) }
            }
            Simulation::Paid
            | Simulation::Expired
            | Simulation::WrongAmount
            | Simulation::LostNotification
            | Simulation::DuplicateNotification => self.act(deed, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::{Currency, Money};
    use crate::domain::time::Duration;
    use crate::sandbox::provider::fault::Faults;
    use crate::sandbox::provider::model::{LATE_AFTER, NewOrder, one_off};

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn order() -> Order {
        let asked = NewOrder {
            merchant: "m".to_owned(),
            number: "n".to_owned(),
            amount: Money::new(1230, Currency::CNY),
            description: String::new(),
            expires_at: NOW.plus(Duration::from_minutes(15)),
            notify_url: None,
            return_url: None,
            failure_ends: false,
            details: String::new(),
        };
        Order::create(asked, [7; 16], Duration::from_minutes(15), Faults::NONE, NOW).order
    }

    fn played(simulation: Simulation) -> Change {
        order().play(simulation, NOW).unwrap()
    }

    #[test]
    fn every_outcome_ends_an_order_that_nobody_has_paid() {
        let told = |simulation| played(simulation).notices.len();
        assert_eq!((told(Simulation::Paid), told(Simulation::LostNotification)), (1, 0));
        assert_eq!(told(Simulation::DuplicateNotification), 2);
        assert_eq!(played(Simulation::Failed).order.state, TradeState::Failed);
        assert_eq!(played(Simulation::Expired).order.state, TradeState::Closed);
        let received = played(Simulation::WrongAmount).order.received.unwrap();
        assert_eq!(received.amount, one_off(order().asked.amount));
    }

    #[test]
    fn late_money_comes_after_the_orders_own_end() {
        let ended = played(Simulation::Late).order;
        assert_eq!(ended.state, TradeState::Closed);
        assert_eq!(ended.advance(NOW.plus(LATE_AFTER)).order.state, TradeState::Paid);
    }

    #[test]
    fn what_has_ended_is_refused() {
        let paid = played(Simulation::Paid).order;
        for simulation in Simulation::ALL {
            assert_eq!(paid.play(simulation, NOW), Err(Refusal::Paid), "{simulation:?}");
        }
    }
}
