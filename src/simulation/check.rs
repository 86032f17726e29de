//! What is looked at: after every step what the step touched and the books; after every crash and in the end everything.

use std::collections::{BTreeMap, BTreeSet};

use super::house::{BOOKKEEPER, OWN_ADDRESS, SHOP, endpoint_of};
use super::model::{Books, News, View};
use super::rare::paid_by;
use super::story::{Checked, Story};
use super::town::Contract;
use crate::domain::case::CaseKind;
use crate::domain::endpoint::{DeliveryState, EndpointState};
use crate::domain::event::{Event, EventType};
use crate::domain::ids::{EventId, PaymentId};
use crate::domain::method::Flow;
use crate::domain::payment::{Payment, PaymentState};
use crate::domain::refund::{Refund, RefundSource, RefundState};
use crate::flows::verify;
use crate::ledger::{Account, AccountCode, Side};
use crate::sandbox::provider::model::RefundStatus;
use crate::store::tables::{
    ATTEMPTS, BALANCES, CASES, DELIVERIES, ENDPOINTS, EVENTS, EVENTS_BY_PAYMENT, JOURNAL, PAYMENTS, REFUNDS,
};
use crate::store::{Order, Read, SCAN_ROWS_MAX, Span, StoreError};

fn read(error: &StoreError) -> String {
    format!("the store cannot be read: {error}")
}

/// The events' names as the model calls them.
fn told_as(kind: EventType) -> &'static str {
    match kind {
        EventType::PaymentCreated => "created",
        EventType::PaymentProcessing => "processing",
        EventType::PaymentPaid => "paid",
        EventType::PaymentFailed => "failed",
        EventType::PaymentExpired => "expired",
        EventType::PaymentCanceled => "canceled",
        EventType::PaymentLate => "late",
        EventType::RefundCreated => "refund.created",
        EventType::RefundSucceeded => "refund.succeeded",
        EventType::RefundFailed => "refund.failed",
        EventType::RefundUndeliverable => "refund.undeliverable",
        EventType::RefundReturned => "refund.returned",
        EventType::WebhookPing => "ping",
    }
}

impl Story {
    /// After a step: the payments that it touched, and the sums of the books. Not while the disk breaks: then everything
    /// is looked at after the crash.
    pub(super) fn check(&mut self) -> Checked {
        if self.dying {
            return Ok(());
        }
        let touched = self.house()?.take_touched();
        if !touched.is_empty() {
            for id in touched {
                self.check_payment(id)?;
            }
            self.check_books()?;
        }
        self.check_quiet()
    }

    /// Nothing went wrong that nobody would see: neither in the log nor towards the outside.
    fn check_quiet(&mut self) -> Checked {
        if let Some(error) = self.logged() {
            return Err(format!("logged as an error: {error}"));
        }
        let broken = self.ground.wire.outside().broken.clone();
        broken.map_or(Ok(()), Err)?;
        if let Some(number) = self.model.left_open() {
            return Err(format!("{number} has to be closed, is asked about again and again, and is not closed"));
        }
        match self.house()?.resting() {
            0 => Ok(()),
            _ => Err("something that was due could not be handled".to_owned()),
        }
    }

    /// After a crash and in the end: everything.
    pub(super) fn check_all(&mut self) -> Checked {
        self.house()?.take_touched();
        let payments = self.house()?.all(&PAYMENTS).map_err(|error| read(&error))?;
        let stored: BTreeSet<&String> = payments.iter().map(|(_, payment)| &payment.order_id).collect();
        let known: BTreeSet<&String> = self.model.orders().collect();
        if stored != known || stored.len() != payments.len() {
            return Err(format!("there are the orders {stored:?}, and there must be {known:?}"));
        }
        let ids: BTreeMap<String, PaymentId> =
            payments.iter().map(|(_, payment)| (payment.order_id.clone(), payment.id)).collect();
        if let Some((order, id)) = self.told.iter().find(|(order, id)| ids.get(*order) != Some(id)) {
            return Err(format!("{order} was answered as {id}, and is not there under that id"));
        }
        for (_, payment) in payments {
            self.compare(&payment)?;
        }
        // What was not answered was found out: a client would ask again and be told.
        self.told.extend(ids);
        self.check_books()?;
        verify::verify_live(self.house()?.store(), &mut |_| {}).map(drop).map_err(|finding| finding.to_string())
    }

    /// After news that the gateway need not have believed: the payment that it is about.
    pub(super) fn check_about(&mut self, news: &News) -> Checked {
        let order = self.model.order_of(news).and_then(|order| self.told.get(&order).copied());
        order.map_or(Ok(()), |id| self.check_payment(id))
    }

    fn check_payment(&mut self, id: PaymentId) -> Checked {
        let found = self.house()?.one(&PAYMENTS, &(self.ground.scope, id)).map_err(|error| read(&error))?;
        let payment = found.ok_or_else(|| format!("{id} is gone"))?;
        self.compare(&payment)
    }

    fn compare(&mut self, payment: &Payment) -> Checked {
        let order = &payment.order_id;
        let (seen, attempts, fresh) = self.seen(payment)?;
        let refunds: Vec<String> = payment.refunds.iter().map(|id| id.bare()).collect();
        self.model.link(order, &attempts, &refunds);
        let explained = self.model.explains(order, &seen);
        if !explained {
            let expected = self.model.view(order);
            return Err(format!("{order} is\n    {seen:?}\nand must be\n    {expected:?}"));
        }
        let now = self.now();
        for Event { id, kind, at, .. } in fresh {
            if at > now {
                return Err(format!("{id} says that it happened at {at}, and it is {now}"));
            }
            self.check_fan_out(payment, id, kind)?;
        }
        Ok(())
    }

    /// What is stored about a payment, the numbers of its attempts, and its events that were not seen before.
    fn seen(&mut self, payment: &Payment) -> Checked<(View, Vec<String>, Vec<Event>)> {
        let scope = self.ground.scope;
        let (known, ground) = (&self.events, &self.ground);
        let house = self.house()?;
        let looked = house.store().read_blocking(|tx| {
            let (mut attempts, mut given) = (Vec::new(), Vec::new());
            for id in &payment.attempts {
                let attempt = tx.get(&ATTEMPTS, &(scope, *id))?;
                attempts.push(attempt.as_ref().map_or("missing", |attempt| attempt.state.code()));
                let carried = attempt.filter(|attempt| ground.how(attempt.method, attempt.account, false).carried);
                given.extend(carried.and_then(|attempt| Some((attempt.id.bare(), attempt.next_action?))));
            }
            let mut refunds = Vec::new();
            for id in &payment.refunds {
                let refund = tx.get(&REFUNDS, &(scope, *id))?;
                refunds.push(refund.map_or((0, "missing"), |refund| (refund.amount.minor(), refund.state.code())));
            }
            let (mut events, mut fresh) = (Vec::new(), Vec::new());
            let span = Span::prefix(&(scope, payment.id));
            for ((_, _, id), ()) in tx.scan(&EVENTS_BY_PAYMENT, &span, Order::Ascending, SCAN_ROWS_MAX)? {
                match known.get(&id) {
                    Some(kind) => events.push(*kind),
                    None => {
                        let event = tx.get(&EVENTS, &(scope, id))?;
                        events.push(event.as_ref().map_or("missing", |event| told_as(event.kind)));
                        fresh.extend(event.map(|event| event.open(tx, scope, id)).transpose()?);
                    }
                }
            }
            let cases = tx.scan(&CASES, &Span::prefix(&scope), Order::Ascending, SCAN_ROWS_MAX)?;
            let cases = cases.into_iter().filter(|(_, case)| case.payment == payment.id);
            let mut cases: Vec<_> = cases.map(|(_, case)| (case.kind.code(), case.state.code())).collect();
            cases.sort_unstable();
            Ok::<_, StoreError>((attempts, given, refunds, events, cases, fresh))
        });
        let (attempts, given, refunds, events, cases, fresh) = looked.map_err(|error| read(&error))?;
        // A device keeps what it was given, whatever becomes of the attempt.
        self.ground.wire.outside().pockets.extend(given);
        self.events.extend(fresh.iter().map(|event| (event.id, told_as(event.kind))));
        let view = View {
            state: payment.state.code(),
            late: payment.late,
            fee: payment.fee_minor,
            refunding: payment.refunding_minor,
            refunded: payment.refunded_minor,
            fee_returned: payment.fee_returned_minor,
            attempts,
            refunds,
            events,
            cases,
        };
        Ok((view, payment.attempts.iter().map(|id| id.bare()).collect(), fresh))
    }

    /// I11: a new event is on its way to everybody who wants it.
    fn check_fan_out(&mut self, payment: &Payment, id: EventId, kind: EventType) -> Checked {
        let scope = self.ground.scope;
        let span = Span::prefix(&(scope, id));
        let house = self.house()?;
        let rows = house.store().read_blocking(|tx| tx.scan(&DELIVERIES, &span, Order::Ascending, SCAN_ROWS_MAX));
        let rows = rows.map_err(|error| read(&error))?;
        let there: BTreeSet<_> = rows.iter().map(|((_, _, to), _)| *to).collect();
        let own = rows.iter().filter(|(_, delivery)| delivery.url.is_some()).count();
        if own != usize::from(payment.callback_url.is_some()) {
            return Err(format!("{id} goes to {own} addresses of the payment's own"));
        }
        let is_refund = matches!(kind, EventType::RefundCreated | EventType::RefundSucceeded | EventType::RefundFailed);
        for (host, wanted) in [(SHOP, true), (BOOKKEEPER, is_refund)] {
            let endpoint = endpoint_of(host);
            if wanted && !there.contains(&endpoint) {
                if self.is_enabled(host)? {
                    return Err(format!("{} of {} is not on its way to {host}", kind.code(), payment.order_id));
                }
                self.shop_was_off |= host == SHOP;
            }
            if !wanted && there.contains(&endpoint) {
                return Err(format!("{} goes to {host}, which did not ask for it", kind.code()));
            }
        }
        Ok(())
    }

    fn is_enabled(&self, host: &str) -> Checked<bool> {
        let endpoint = self.house()?.one(&ENDPOINTS, &(self.ground.scope, endpoint_of(host)));
        let endpoint = endpoint.map_err(|error| read(&error))?;
        Ok(endpoint.is_some_and(|endpoint| endpoint.state == EndpointState::Enabled))
    }

    /// I2 and I4, and every account's sum against the model.
    fn check_books(&self) -> Checked {
        let rows = self.house()?.all(&BALANCES).map_err(|error| read(&error))?;
        let (mut debits, mut credits) = (0u128, 0u128);
        let mut books = Books::default();
        for ((_, _, account), balance) in rows {
            let account = Account::from_bytes(account).map_err(|_| "an account that does not exist")?;
            debits += balance.debit_minor;
            credits += balance.credit_minor;
            let stands = balance.of(account.code()).map_err(|_| format!("{account} stands on its wrong side"))?;
            let minor = i128::try_from(stands).map_err(|_| format!("{account} holds more than there is"))?;
            match account.code() {
                AccountCode::ChannelReceivable | AccountCode::Settled => books.held += minor,
                AccountCode::MerchantPending | AccountCode::MerchantAvailable => books.merchant += minor,
                AccountCode::OwedByMerchant => books.merchant -= minor,
                AccountCode::RefundInTransit => books.in_transit += minor,
                AccountCode::SuspenseLong => books.suspense += minor,
                AccountCode::FeeIncome => books.income += minor,
                AccountCode::Equity => books.elsewhere += minor,
                AccountCode::SuspenseShort
                | AccountCode::MerchantFrozen
                | AccountCode::PayoutInTransit
                | AccountCode::ReceiverPayable
                | AccountCode::AdjustmentGain
                | AccountCode::ChannelCost
                | AccountCode::AdjustmentLoss => return Err(format!("nothing here moves {account}")),
            }
        }
        if debits != credits {
            return Err(format!("the accounts do not sum to zero: {debits} and {credits}"));
        }
        let expected = self.model.books();
        if books != expected {
            return Err(format!("the books are\n    {books:?}\nand must be\n    {expected:?}"));
        }
        Ok(())
    }

    /// Nothing is open, and the gateway and the world agree about every fen.
    pub(super) fn check_end(&mut self) -> Checked {
        self.check_all()?;
        self.check_quiet()?;
        let due = self.house()?.due().map_err(|error| read(&error))?;
        if let Some((_, effect)) = due.first() {
            return Err(format!("{effect:?} is due for ever"));
        }
        self.check_against_provider()?;
        self.check_polled()?;
        self.check_credentials()?;
        self.check_refunds_ended()?;
        self.check_callbacks_ended()?;
        self.note_endings()
    }

    /// Every payment that was made at a provider is booked exactly once, and nothing else is. What was paid and taken back
    /// again was no payment.
    fn check_against_provider(&self) -> Checked {
        let house = self.house()?;
        let attempts = house.all(&ATTEMPTS).map_err(|error| read(&error))?;
        let journal = house.all(&JOURNAL).map_err(|error| read(&error))?;
        let mut held = 0i128;
        let mut outside = self.ground.wire.outside();
        for (_, attempt) in &attempts {
            let number = attempt.id.bare();
            let booked = journal.iter().filter(|(_, chained)| {
                let received = chained.entry.postings().iter().any(|posting| {
                    posting.account.code() == AccountCode::ChannelReceivable && posting.side == Side::Debit
                });
                received && chained.entry.links().attempt == Some(attempt.id)
            });
            let truth = outside.truth(&number);
            let received = truth.as_ref().and_then(|truth| truth.received.clone().map(|received| (truth, received)));
            let right = received.as_ref().filter(|(truth, (minor, _))| *minor == truth.asked_minor && !truth.revoked);
            let booked = booked.count();
            // The channel named another amount: a person has to look at it first, or has, and believed it.
            let taken = self.model.taken(&number);
            let believed = received.as_ref().is_some_and(|(truth, (minor, _))| taken == Some(*minor) && !truth.revoked);
            let awaited = booked == 0 && self.model.is_disputed(&number);
            if booked != usize::from(right.is_some() || believed) && !awaited {
                let made = if right.is_some() { "made" } else { "not made" };
                return Err(format!("the payment of {number} was {made} and is booked {booked} times"));
            }
            let right = received.filter(|_| booked > 0);
            if let Some(truth) = truth.as_ref().filter(|_| attempt.method.flow() == Flow::JsApi)
                && !truth.details.contains(self.model.payer_of(&number))
            {
                return Err(format!("{number} was ordered for another person than is to pay it: {}", truth.details));
            }
            if truth.as_ref().is_some_and(|truth| truth.revoked) {
                outside.note("a charge at the counter was taken back");
            }
            if right.is_some() && self.ground.contract_of(attempt.account).is_some() {
                outside.note(paid_by(attempt.method));
            }
            if right.is_some() {
                let by_v2 = outside.towns.iter().any(|town| town.code_v2);
                outside.note(match (attempt.method.flow(), self.ground.contract_of(attempt.account)) {
                    (Flow::BarCode, _) if by_v2 => "a charge at the counter was paid through WeChat Pay's V2",
                    (Flow::BarCode, _) => "a charge at the counter was paid",
                    (_, None) => "the test wallet took money",
                    (_, Some(Contract::WechatPublicKey)) => "WeChat Pay took money, in public-key mode",
                    (_, Some(Contract::WechatCertificate)) => "WeChat Pay took money, by platform certificates",
                    (_, Some(Contract::AlipayKey)) => "Alipay took money, in key mode",
                    (_, Some(Contract::AlipayCertificate)) => "Alipay took money, by certificates",
                    (_, Some(Contract::UnionPay)) => "UnionPay took money",
                });
            }
            if let Some((truth, (minor, transaction))) = right {
                if attempt.transaction_id.as_ref() != Some(&transaction) {
                    return Err(format!("{number} was paid by {transaction}, not {:?}", attempt.transaction_id));
                }
                held += i128::from(minor) - i128::from(truth.refunded_minor);
            }
        }
        let books = self.model.books();
        if books.held != held {
            return Err(format!("the providers hold {held} for the merchant, the books say {}", books.held));
        }
        let disputed =
            |order: &str| self.model.view(order).is_some_and(|view| view.cases.contains(&("wrong_amount", "open")));
        let open = self
            .model
            .orders()
            .find(|order| matches!(self.model.state(order), Some("open" | "processing")) && !disputed(order));
        open.map_or(Ok(()), |order| Err(format!("{order} is open for ever")))
    }

    fn check_refunds_ended(&self) -> Checked {
        let outside = self.ground.wire.outside();
        for (_, refund) in self.house()?.all(&REFUNDS).map_err(|error| read(&error))? {
            let truth = outside.truth(&refund.attempt.bare());
            let there = truth.and_then(|truth| truth.refunds.get(&refund.id.bare()).copied());
            let agree = match refund.state {
                RefundState::Succeeded => there == Some(RefundStatus::Success),
                RefundState::Failed => matches!(there, None | Some(RefundStatus::Abnormal | RefundStatus::Closed)),
                RefundState::Pending | RefundState::Processing | RefundState::Undeliverable | RefundState::Returned => {
                    false
                }
            };
            if !agree {
                return Err(format!("{} is {} and at the provider {there:?}", refund.id, refund.state.code()));
            }
        }
        Ok(())
    }

    /// Every event was taken, or given up after its ladder, or is held for an endpoint that is off.
    fn check_callbacks_ended(&mut self) -> Checked {
        let mut behind = BTreeSet::new();
        for ((_, _, to), delivery) in self.house()?.all(&DELIVERIES).map_err(|error| read(&error))? {
            let event = delivery.event.to_string();
            let host = [SHOP, BOOKKEEPER].into_iter().find(|host| endpoint_of(host) == to).unwrap_or(OWN_ADDRESS);
            let outside = self.ground.wire.outside();
            let shop = outside.shops.iter().find(|shop| shop.host == host);
            let taken = shop.is_some_and(|shop| shop.taken.contains_key(&event));
            match delivery.state {
                DeliveryState::Delivered if !taken => return Err(format!("{event} never arrived at {host}")),
                DeliveryState::Delivered => {}
                DeliveryState::Dead if delivery.step < 10 => return Err(format!("{event} was given up too early")),
                DeliveryState::Dead | DeliveryState::Held => {
                    behind.insert(host);
                }
                DeliveryState::Pending => return Err(format!("{event} waits for {host} for ever")),
            }
            drop(outside);
            self.note_delivery(delivery.state, delivery.attempts, delivery.step);
        }
        if behind.contains(SHOP) || self.shop_was_off {
            return Ok(());
        }
        let outside = self.ground.wire.outside();
        let shop = outside.shops.iter().find(|shop| shop.host == SHOP).ok_or("no shop")?;
        for order in self.model.orders() {
            let state = self.model.state(order).unwrap_or_default();
            let knows = shop.orders.get(order).map(|(_, status)| status.as_str());
            if matches!(state, "paid" | "expired" | "canceled" | "failed") && knows.is_some_and(|knows| knows != state)
            {
                return Err(format!("{order} is {state}, and after all callbacks the shop believes {knows:?}"));
            }
        }
        Ok(())
    }

    fn note_delivery(&self, state: DeliveryState, attempts: u32, step: u32) {
        if step > 1 {
            self.note("a callback was repeated");
        }
        match state {
            DeliveryState::Dead => self.note("a callback died"),
            DeliveryState::Held => self.note("a callback was held"),
            DeliveryState::Delivered if attempts > step + 1 => self.note("a shop denied a callback and got it again"),
            DeliveryState::Delivered | DeliveryState::Pending => {}
        }
    }

    fn note_endings(&self) -> Checked {
        let house = self.house()?;
        for (_, case) in house.all(&CASES).map_err(|error| read(&error))? {
            match case.kind {
                CaseKind::SecondPayment => self.note("an order was paid twice"),
                CaseKind::LatePayment => self.note("late money was held"),
                CaseKind::WrongAmount | CaseKind::WrongIdentity | CaseKind::Contradiction => {}
            }
        }
        for (_, payment) in house.all(&PAYMENTS).map_err(|error| read(&error))? {
            match payment.state {
                PaymentState::Expired => self.note("a payment expired"),
                PaymentState::Canceled => self.note("a payment was canceled"),
                PaymentState::Failed => self.note("a payment failed"),
                PaymentState::Paid if payment.late && payment.refunds.is_empty() => self.note("late money was booked"),
                PaymentState::Paid if payment.late => self.note("late money was given back"),
                PaymentState::Paid | PaymentState::Open | PaymentState::Processing => {}
            }
            if payment.fee_returned_minor > 0 {
                self.note("a fee was given back");
            }
        }
        for (_, refund) in house.all(&REFUNDS).map_err(|error| read(&error))? {
            self.note_refund(&refund);
        }
        for (_, endpoint) in house.all(&ENDPOINTS).map_err(|error| read(&error))? {
            if endpoint.state == EndpointState::Suspended {
                self.note("an endpoint was suspended");
            }
        }
        Ok(())
    }

    fn note_refund(&self, refund: &Refund) {
        if refund.queries > 8 {
            self.note("a refund took long");
        }
        match (&refund.source, refund.state) {
            (RefundSource::Suspense(_), RefundState::Succeeded) => self.note("suspense was paid back"),
            (RefundSource::Merchant(_), RefundState::Succeeded) => self.note("a refund succeeded"),
            (_, RefundState::Failed) => self.note("a refund failed"),
            (
                _,
                RefundState::Pending | RefundState::Processing | RefundState::Undeliverable | RefundState::Returned,
            ) => {}
        }
    }
}
