//! What a case acts with: an order of the shop in test mode, a payer and a channel that do as they are told, and a look at
//! what came of it. Everything goes through the flows, as for any payment.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::catalogue::Code;
use super::judge::Found;
use crate::domain::case::CaseKind;
use crate::domain::event::{Actor, EventType};
use crate::domain::ids::{AttemptId, CaseId, EndpointId, EventId, PaymentId, RefundId, RunId, Scope};
use crate::domain::merchant::Merchant;
use crate::domain::method::{Brand, Flow, Method};
use crate::domain::money::Money;
use crate::domain::payment::{Attempt, Customer, Ending, Payment};
use crate::domain::refund::Refund;
use crate::domain::time::Duration;
use crate::flows::decisions::{self, Decision};
use crate::flows::deliveries;
use crate::flows::gateway::Gateway;
use crate::flows::payments::{self, NewPayment};
use crate::flows::refunds::{self, NewRefund};
use crate::flows::{FlowError, Moment, Refusal, record};
use crate::sandbox::provider::fault::{Fault, Faults};
use crate::sandbox::provider::play::{SimulateError, Simulation};
use crate::sandbox::provider::records::Mood as PayersMood;
use crate::store::tables::{CASE_BY_CAUSE, EVENTS, EVENTS_BY_PAYMENT, JOURNAL_BY_PAYMENT};
use crate::store::{Order, Read, SCAN_ROWS_MAX, Span, StoreError, WriteTx};
use crate::test_mode::players::Players;

/// How long anything that the simulated channel does may take; its slowest refund takes ten seconds.
const STEP_MAX: Duration = Duration::from_seconds(30);
/// How long an order of a case is open: it ends much earlier.
const OPEN_FOR: Duration = Duration::from_minutes(30);
/// Minor units of an order; two parts and a rest can be taken of it.
pub const AMOUNT_MINOR: u64 = 1230;

/// What the payer does, or the channel lets happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Play {
    Pay,
    Decline,
    /// Paid, and the channel does not tell.
    PayUntold,
    PayTwiceTold,
    /// Paid after the order was closed.
    PayLate,
    PayWrongAmount,
    /// The channel lets the order's time run out.
    RunOut,
}

impl Play {
    /// Nobody pays in time, so the time is what ends the order.
    const fn runs_out(self) -> bool {
        match self {
            Play::Decline | Play::PayLate | Play::RunOut => true,
            Play::Pay | Play::PayUntold | Play::PayTwiceTold | Play::PayWrongAmount => false,
        }
    }
}

/// How the channel behaves about one order from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// Answers are errors for a while, whatever was done.
    AnswersFail,
    /// Refunds take some seconds and then fail.
    RefundsFail,
}

/// Why the payer could not play.
#[derive(Debug)]
pub enum Trouble {
    /// Nothing happened in time.
    Stuck,
    /// This cannot be played with the channels that test mode has.
    NotOffered,
    Flow(FlowError),
}

impl From<FlowError> for Trouble {
    fn from(error: FlowError) -> Self {
        Trouble::Flow(error)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Trouble::Flow(error.into())
    }
}

/// What a payer or channel does, under way.
pub type Playing<'a, T> = Pin<Box<dyn Future<Output = Result<T, Trouble>> + Send + 'a>>;

/// Payers and channels of test mode: the one place that knows which simulator carries an attempt.
pub trait Payer: Send + Sync {
    fn play(&self, attempt: AttemptId, play: Play) -> Playing<'_, ()>;
    fn behave(&self, attempt: AttemptId, mood: Mood) -> Playing<'_, ()>;
    /// The digits of a code of a payer who will be asked for the password, where a simulator has such payers.
    fn show_code(&self, method: Method) -> Playing<'_, String>;
}

impl Payer for Players {
    fn play(&self, attempt: AttemptId, play: Play) -> Playing<'_, ()> {
        let simulation = match play {
            Play::Pay => Simulation::Paid,
            Play::Decline => Simulation::Failed,
            Play::PayUntold => Simulation::LostNotification,
            Play::PayTwiceTold => Simulation::DuplicateNotification,
            Play::PayLate => Simulation::Late,
            Play::PayWrongAmount => Simulation::WrongAmount,
            Play::RunOut => Simulation::Expired,
        };
        Box::pin(async move { Ok(self.play(attempt, simulation).await?) })
    }

    fn behave(&self, attempt: AttemptId, mood: Mood) -> Playing<'_, ()> {
        let faults = match mood {
            Mood::Well => Faults::NONE,
            Mood::AnswersFail => Faults::NONE.with(Fault::AnswerErrorAfterDoing),
            Mood::RefundsFail => Faults::NONE.with(Fault::RefundAbnormal),
        };
        Box::pin(async move { Ok(self.set_faults(attempt, faults).await?) })
    }

    fn show_code(&self, method: Method) -> Playing<'_, String> {
        Box::pin(async move {
            self.show_code(method.brand(), PayersMood::AskedForPassword).await?.ok_or(Trouble::NotOffered)
        })
    }
}

impl From<SimulateError> for Trouble {
    fn from(error: SimulateError) -> Self {
        match error {
            SimulateError::Store(error) => error.into(),
            SimulateError::Unknown | SimulateError::Ended => Trouble::Stuck,
        }
    }
}

/// One run's stage.
pub struct Stage {
    pub gateway: Gateway,
    pub scope: Scope,
    run: RunId,
    payer: Arc<dyn Payer>,
    callback_url: Option<String>,
    orders: AtomicU32,
}

impl Stage {
    pub fn new(
        gateway: Gateway,
        payer: Arc<dyn Payer>,
        scope: Scope,
        run: RunId,
        callback_url: Option<String>,
    ) -> Self {
        Self { gateway, scope, run, payer, callback_url, orders: AtomicU32::new(0) }
    }

    pub fn callback_url(&self) -> Option<&str> {
        self.callback_url.as_deref()
    }

    fn moment(&self) -> Moment {
        Moment::new(&self.gateway.env)
    }

    async fn write<T: Send + 'static>(
        &self,
        change: impl Fn(&mut WriteTx<'_>, &mut Moment) -> Result<T, FlowError> + Send + 'static,
    ) -> Result<T, FlowError> {
        let moment = self.moment();
        self.gateway.store.write(move |tx| change(tx, &mut moment.clone())).await
    }

    pub async fn merchant(&self) -> Result<Merchant, Trouble> {
        let scope = self.scope;
        Ok(self.gateway.store.read(move |tx| record::merchant(tx, scope)).await?)
    }

    /// The amount of every order.
    pub async fn amount(&self) -> Result<Money, Trouble> {
        Ok(Money::new(AMOUNT_MINOR, self.merchant().await?.currency))
    }

    /// Ways to pay of this kind that test mode offers, each wallet once.
    pub async fn methods(&self, flow: Flow) -> Result<Vec<Method>, Trouble> {
        let amount = self.amount().await?;
        let offers = self.gateway.channels.offers(self.scope, Some(amount));
        let mut methods: Vec<Method> = Vec::new();
        for method in offers.into_iter().map(|offer| offer.method).filter(|method| method.flow() == flow) {
            if methods.iter().all(|other| other.brand() != method.brand()) {
                methods.push(method);
            }
        }
        if methods.is_empty() { Err(Trouble::NotOffered) } else { Ok(methods) }
    }

    /// The shop's order; a code that the customer shows comes with its method.
    pub async fn order(&self, case: Code, shown: Option<(Method, String)>) -> Result<PaymentId, Trouble> {
        let number = self.orders.fetch_add(1, Relaxed) + 1;
        let amount = self.amount().await?;
        let (method, auth_code) = shown.unzip();
        let route = match method {
            Some(method) => Some(self.gateway.route(self.scope, method, amount).ok_or(Trouble::NotOffered)?),
            None => None,
        };
        let new = NewPayment {
            order_id: format!("CASES-{}-{number}", self.run.bare()),
            amount,
            description: format!("Coffer case: {}", case.as_str()),
            method,
            expires_in: OPEN_FOR,
            return_url: None,
            cancel_url: None,
            callback_url: self.callback_url.clone(),
            customer: Customer::default(),
            auth_code,
            metadata: BTreeMap::from([("case".to_owned(), case.as_str().to_owned())]),
            fingerprint: [0; 16],
        };
        let scope = self.scope;
        let created = self.write(move |tx, moment| payments::create(tx, scope, &new, route, moment)).await?;
        Ok(created.payment().id)
    }

    /// The customer chooses a method, and the channel shows its code.
    pub async fn choose(&self, id: PaymentId, method: Method) -> Result<AttemptId, Trouble> {
        let (scope, amount) = (self.scope, self.amount().await?);
        let route = self.gateway.route(scope, method, amount).ok_or(Trouble::NotOffered)?;
        let attempt =
            self.write(move |tx, moment| payments::choose_method(tx, scope, id, method, route, moment)).await?;
        self.until(id, |_, newest| newest.is_some_and(|a| a.id == attempt.id && a.next_action.is_some())).await?;
        Ok(attempt.id)
    }

    /// An order with a code to scan.
    pub async fn charge(&self, case: Code) -> Result<(PaymentId, AttemptId), Trouble> {
        let method = self.methods(Flow::QrCode).await?[0];
        self.charge_by(case, method).await
    }

    /// The same for refunds that follow one another. WeChat Pay wants a minute between them, so another wallet is taken where
    /// there is one; UnionPay also fails a refund for good, as not every channel does.
    pub async fn charge_to_refund(&self, case: Code) -> Result<(PaymentId, AttemptId), Trouble> {
        let methods = self.methods(Flow::QrCode).await?;
        let of = |brand| methods.iter().copied().find(|method| method.brand() == brand);
        let method = [Brand::UnionPay, Brand::Alipay].into_iter().find_map(of).unwrap_or(methods[0]);
        self.charge_by(case, method).await
    }

    async fn charge_by(&self, case: Code, method: Method) -> Result<(PaymentId, AttemptId), Trouble> {
        let id = self.order(case, None).await?;
        Ok((id, self.choose(id, method).await?))
    }

    /// Lets it happen. Channels tell of payments alone: of another end Coffer hears by asking when the time is over, and
    /// nobody waits for that here.
    pub async fn play(&self, attempt: AttemptId, play: Play) -> Result<(), Trouble> {
        self.payer.play(attempt, play).await?;
        if !play.runs_out() {
            return Ok(());
        }
        let scope = self.scope;
        let ask = self.write(move |tx, moment| {
            payments::run_out(tx, scope, attempt, payments::OVER_SINCE, moment)?;
            let payment = record::attempt(tx, scope, attempt)?.payment;
            payments::ask_now(tx, scope, payment, moment)
        });
        ask.await?;
        Ok(())
    }

    pub async fn behave(&self, attempt: AttemptId, mood: Mood) -> Result<(), Trouble> {
        self.payer.behave(attempt, mood).await
    }

    pub async fn show_code(&self, method: Method) -> Result<String, Trouble> {
        self.payer.show_code(method).await
    }

    pub async fn end(&self, id: PaymentId, ending: Ending) -> Result<(), Trouble> {
        let scope = self.scope;
        self.write(move |tx, moment| payments::end(tx, scope, id, ending, Actor::System, moment)).await?;
        Ok(())
    }

    /// Asks the channel now instead of at the ladder's next rung.
    pub async fn ask(&self, id: PaymentId) -> Result<(), Trouble> {
        let scope = self.scope;
        self.write(move |tx, moment| payments::ask_now(tx, scope, id, moment)).await?;
        Ok(())
    }

    /// `amount` `None`: all that is left.
    pub async fn refund(&self, id: PaymentId, amount: Option<Money>) -> Result<RefundId, Trouble> {
        let scope = self.scope;
        let new = NewRefund {
            amount,
            refund_no: None,
            reason: Some("Coffer case".to_owned()),
            metadata: BTreeMap::new(),
            fingerprint: [0; 16],
        };
        let asked = self.write(move |tx, moment| refunds::request(tx, scope, id, &new, Actor::System, moment)).await?;
        Ok(asked.refund().id)
    }

    /// Whether more than is left is refused.
    pub async fn refuses_more(&self, id: PaymentId, amount: Money) -> Result<bool, Trouble> {
        match self.refund(id, Some(amount)).await {
            Err(Trouble::Flow(FlowError::Refused(Refusal::RefundNothingLeft | Refusal::RefundTooLarge { .. }))) => {
                Ok(true)
            }
            Ok(_) => Ok(false),
            Err(trouble) => Err(trouble),
        }
    }

    /// Waits until the refund has ended.
    pub async fn refunded(&self, id: PaymentId, refund: RefundId) -> Result<Refund, Trouble> {
        let scope = self.scope;
        let mut watch = self.gateway.changes.watch(id);
        let waiting = async {
            loop {
                let known = self.gateway.store.read(move |tx| refunds::refund(tx, scope, refund)).await?;
                if known.state.is_final() {
                    return Ok(known);
                }
                watch.changed().await;
            }
        };
        tokio::time::timeout(STEP_MAX.to_std(), waiting).await.unwrap_or(Err(Trouble::Stuck))
    }

    /// Waits until the payment and its newest attempt are as wanted.
    pub async fn until(
        &self,
        id: PaymentId,
        wanted: impl Fn(&Payment, Option<&Attempt>) -> bool,
    ) -> Result<Payment, Trouble> {
        let mut watch = self.gateway.changes.watch(id);
        let waiting = async {
            loop {
                let (payment, attempt) = self.look(id).await?;
                if wanted(&payment, attempt.as_ref()) {
                    return Ok(payment);
                }
                watch.changed().await;
            }
        };
        tokio::time::timeout(STEP_MAX.to_std(), waiting).await.unwrap_or(Err(Trouble::Stuck))
    }

    pub async fn look(&self, id: PaymentId) -> Result<(Payment, Option<Attempt>), Trouble> {
        let scope = self.scope;
        let read = self.gateway.store.read(move |tx| {
            let payment = record::payment(tx, scope, id)?;
            let newest = payment.attempts.last().map(|newest| record::attempt(tx, scope, *newest)).transpose()?;
            Ok::<_, FlowError>((payment, newest))
        });
        Ok(read.await?)
    }

    /// How the payment stands, for judging.
    pub async fn found(&self, id: PaymentId) -> Result<Found, Trouble> {
        let scope = self.scope;
        let events = self.events(id).await?;
        let read = self.gateway.store.read(move |tx| {
            let payment = record::payment(tx, scope, id)?;
            let span = Span::prefix(&(scope, id));
            let entries = tx.scan(&JOURNAL_BY_PAYMENT, &span, Order::Ascending, SCAN_ROWS_MAX)?.len();
            Ok::<_, FlowError>((payment, entries))
        });
        let (payment, entries) = read.await?;
        Ok(Found {
            state: payment.state,
            late: payment.late,
            paid: payment.amount_paid().minor(),
            refunded: payment.refunded_minor,
            events: events.into_iter().map(|(_, kind)| kind).collect(),
            entries,
        })
    }

    /// Everything that was told of a payment, in order.
    pub async fn events(&self, id: PaymentId) -> Result<Vec<(EventId, EventType)>, Trouble> {
        let scope = self.scope;
        let read = self.gateway.store.read(move |tx| {
            let span = Span::prefix(&(scope, id));
            let mut told = Vec::new();
            for ((_, _, event), ()) in tx.scan(&EVENTS_BY_PAYMENT, &span, Order::Ascending, SCAN_ROWS_MAX)? {
                told.extend(tx.get(&EVENTS, &(scope, event))?.map(|stored| (event, stored.kind)));
            }
            Ok::<_, StoreError>(told)
        });
        Ok(read.await?)
    }

    /// An address that rested after failures is well again: real callbacks go there at once.
    pub async fn wake(&self, endpoint: EndpointId) -> Result<(), Trouble> {
        let scope = self.scope;
        self.write(move |tx, _| deliveries::switch(tx, scope, endpoint, true)).await?;
        Ok(())
    }

    /// The difference that was opened about an attempt, if there is one.
    pub async fn difference(&self, attempt: AttemptId, kind: CaseKind) -> Result<Option<CaseId>, Trouble> {
        let cause = (self.scope, attempt.to_bytes(), record::case_kind_key(kind));
        Ok(self.gateway.store.read(move |tx| tx.get(&CASE_BY_CAUSE, &cause)).await?)
    }

    /// Decides about a difference that a case made, so that nobody finds it among what there is to do.
    pub async fn decide(&self, case: CaseId, decision: Decision) -> Result<(), Trouble> {
        let scope = self.scope;
        self.write(move |tx, moment| decisions::decide(tx, scope, case, 0, &decision, Actor::System, moment)).await?;
        Ok(())
    }
}
