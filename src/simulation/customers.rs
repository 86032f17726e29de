//! What customers do: bring orders to the wallet, pay, refuse, go away, pay late, and come back with their browsers, which
//! proves nothing.

use super::dice::Dice;
use super::requests::Request;
use super::story::{Checked, Story};
use crate::domain::method::{Flow, Method};

/// What a customer did in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Pays,
    PaysAnother,
    PaysClosed,
    Declines,
    Leaves,
}

/// What is noted of it: the ways through a page, an app and a wallet's own pages are known by less than codes are.
fn noted(flow: Flow, deed: Deed) -> Option<&'static str> {
    Some(match (flow, deed) {
        (Flow::Redirect, Deed::Pays) => "a payer on a page paid",
        (Flow::Redirect, Deed::Declines) => "a payer on a page refused",
        (Flow::Redirect, Deed::Leaves) => "a payer on a page went away",
        (Flow::App, Deed::Pays) => "a payer in an app paid",
        (Flow::App, Deed::Declines) => "a payer in an app refused",
        (Flow::App, Deed::Leaves) => "a payer in an app went away",
        (Flow::JsApi, Deed::Pays) => "a payer inside a wallet paid",
        (Flow::JsApi, Deed::Declines) => "a payer inside a wallet refused",
        (Flow::JsApi, Deed::Leaves) => "a payer inside a wallet went away",
        (Flow::Redirect | Flow::App | Flow::JsApi, Deed::PaysClosed) => {
            "a payer on a page, in an app or inside a wallet paid what was closed"
        }
        (Flow::QrCode | Flow::BarCode, _) | (_, Deed::PaysAnother) => return None,
    })
}

impl Story {
    /// A customer does something with a code, a page or an app; messages about it may be on their way, or several, or none.
    pub(super) fn customer(&mut self, dice: &mut Dice) -> Checked {
        let now = self.ground.clock.world();
        let mut outside = self.ground.wire.outside();
        // Mostly codes that nobody has paid yet; a paid one is tried again now and then.
        let mut payable = self.model.payable(self.now().max(now));
        payable.extend(self.model.at_the_counter());
        payable.retain(|number| outside.is_unpaid(number) || outside.is_pocketed(number) || dice.chance(5));
        let flow_of = |number: &String| {
            let method = self.model.method_of(number).and_then(Method::parse);
            method.map_or(Flow::QrCode, Method::flow)
        };
        // Pages, apps and what is closed are fewer than codes, and looked at as often.
        let on_own_ways = |number: &String| matches!(flow_of(number), Flow::Redirect | Flow::App | Flow::JsApi);
        let few: Vec<String> = payable.iter().filter(|number| on_own_ways(number)).cloned().collect();
        let closed: Vec<String> = few.iter().filter(|number| outside.is_closed(number)).cloned().collect();
        let among = match dice.below(10) {
            0..4 if !closed.is_empty() => &closed,
            0..6 if !few.is_empty() => &few,
            _ => &payable,
        };
        let Some(number) = dice.pick(among).cloned() else { return Ok(()) };
        let flow = flow_of(&number);
        // Whoever has opened it may open it again, or post the form twice.
        let comes = outside.is_pocketed(&number) || dice.chance(10);
        if comes && outside.pockets.contains_key(&number) && !outside.carry(&number) {
            drop(outside);
            self.say(|| format!("a customer comes too late with {number}"));
            return Ok(());
        }
        let closed = outside.is_closed(&number);
        let deed = match dice.below(10) {
            0 => Deed::Declines,
            1 if dice.chance(70) => Deed::PaysAnother,
            2 if on_own_ways(&number) => Deed::Leaves,
            3 if on_own_ways(&number) => Deed::Declines,
            1.. if !closed => Deed::Pays,
            // Paying a closed order is rare, as in life; not everybody reloads a page or an app.
            1..4 => Deed::PaysClosed,
            4.. if on_own_ways(&number) => Deed::PaysClosed,
            _ => return Ok(()),
        };
        let copies = dice.one_of([1, 1, 1, 0, 2]);
        let done = match deed {
            Deed::Pays | Deed::PaysClosed => outside.pay(&number, false, copies, now, dice),
            Deed::PaysAnother => outside.pay(&number, true, copies, now, dice),
            Deed::Declines => outside.decline(&number, copies, now),
            Deed::Leaves => true,
        };
        if !done {
            return Ok(());
        }
        if let Some(noted) = noted(flow, deed) {
            outside.note(noted);
        }
        if deed == Deed::PaysAnother {
            outside.note("a wrong amount was paid");
        }
        drop(outside);
        self.say(|| format!("a customer {deed:?} {number}; {copies} messages"));
        let order = self.model.order_paid_by(&number).filter(|_| flow == Flow::Redirect && dice.chance(60));
        order.map_or(Ok(()), |order| self.request(&Request::Return { order }))
    }

    /// A browser comes back to a payment's page, with whatever it claims: the channel is asked, and nothing else happens.
    pub(super) fn come_back(&mut self, order: &str) -> Checked {
        let (scope, id) = (self.ground.scope, self.id_of(order)?);
        let moment = crate::flows::Moment::new(&self.ground.env);
        let paid = self.model.state(order) == Some("paid");
        let at_provider = {
            let outside = self.ground.wire.outside();
            self.model
                .numbers_of(order)
                .iter()
                .any(|number| outside.truth(number).is_some_and(|truth| truth.received.is_some()))
        };
        self.note(match (paid, at_provider) {
            (true, _) => "a browser came back to what was paid",
            (false, true) => "a browser came back before the news of its payment",
            (false, false) => "a browser came back, and nobody had paid",
        });
        self.ask(move |tx| crate::cashier::ask_unless_just_asked(tx, scope, id, moment)).map(drop)
    }
}
