//! A store in memory and the records that flows would keep, so that stories can be told in a few words.

use std::collections::{BTreeMap, BTreeSet};

use super::Step;
use crate::domain::fee::fee_return;
use crate::domain::ids::{AccountId, AttemptId, CaseId, MerchantId, Mode, PaymentId, RefundId, Scope};
use crate::domain::money::{Currency, Money, decimal};
use crate::domain::time::Timestamp;
use crate::ledger::rules::{self, Clearing, Collected, GivenBack, RefundLegs, Refunding, Unexpected};
use crate::ledger::verify::{self, BalanceRow, JournalWalk, PaymentFacts};
use crate::ledger::{
    Account, AccountCode, Balance, Chained, ChannelPosition, EntryId, Head, JournalEntry, MerchantPosition, Side, Sub,
};

pub fn cny(text: &str) -> Money {
    Money::parse(text, Currency::CNY).unwrap()
}

pub fn cny_minor(minor: u64) -> Money {
    Money::new(minor, Currency::CNY)
}

pub fn share(amount: Money, ppm: u32) -> Money {
    let minor = u128::from(amount.minor()) * u128::from(ppm) / 1_000_000;
    cny_minor(u64::try_from(minor).unwrap())
}

struct Payment {
    fact: Collected,
    refunded: Money,
    in_transit: Money,
    fee_returned: Money,
    cleared: bool,
}

struct Refund {
    fact: Refunding,
    legs: RefundLegs,
    open: bool,
}

/// One merchant with one channel account, in CNY.
pub struct World {
    merchant: MerchantId,
    channel: AccountId,
    head: Head,
    journal: Vec<Chained>,
    posted: BTreeSet<EntryId>,
    balances: BTreeMap<Account, Balance>,
    payments: BTreeMap<String, Payment>,
    refunds: BTreeMap<String, Refund>,
    cases: BTreeMap<String, Unexpected>,
    /// What the last step posted.
    last: Option<JournalEntry>,
    /// The plain model: what the merchant has, less what he owes.
    worth: i128,
}

/// An id that is the same for the same name.
fn bytes(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes
}

impl World {
    pub fn new() -> Self {
        let merchant = MerchantId::from_bytes(bytes("m1"));
        Self {
            merchant,
            channel: AccountId::from_bytes(bytes("channel")),
            head: Self::genesis(merchant),
            journal: Vec::new(),
            posted: BTreeSet::new(),
            balances: BTreeMap::new(),
            payments: BTreeMap::new(),
            refunds: BTreeMap::new(),
            cases: BTreeMap::new(),
            last: None,
            worth: 0,
        }
    }

    fn genesis(merchant: MerchantId) -> Head {
        Head::genesis(Scope { merchant, mode: Mode::Test })
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(i64::try_from(self.head.seq).unwrap())
    }

    fn post(&mut self, entry: JournalEntry) {
        self.last = Some(entry.clone());
        if !self.posted.insert(entry.id()) {
            return;
        }
        for posting in entry.postings() {
            let balance = self.balances.entry(posting.account).or_default();
            *balance = balance.apply(posting).unwrap();
        }
        let chained = self.head.append(entry);
        self.head = chained.head();
        self.journal.push(chained);
    }

    fn balance(&self, account: Account) -> Balance {
        self.balances.get(&account).copied().unwrap_or_default()
    }

    fn position(&self) -> MerchantPosition {
        let of = |account: fn(MerchantId) -> Account| self.balance(account(self.merchant));
        MerchantPosition::new(
            of(Account::merchant_pending),
            of(Account::merchant_available),
            of(Account::owed_by_merchant),
        )
        .unwrap()
    }

    fn at_channel(&self) -> ChannelPosition {
        let of = |account: fn(AccountId) -> Account| self.balance(account(self.channel));
        ChannelPosition::new(of(Account::channel_receivable), of(Account::settled)).unwrap()
    }

    pub fn collected(&self, payment: &str, amount: Money, fee: Money, cost: Money) -> Collected {
        Collected {
            merchant: self.merchant,
            channel: self.channel,
            payment: PaymentId::from_bytes(bytes(payment)),
            attempt: AttemptId::from_bytes(bytes(payment)),
            amount,
            fee,
            cost,
        }
    }

    pub fn refunding(&self, refund: &str, payment: &str, amount: Money) -> Refunding {
        Refunding {
            merchant: self.merchant,
            payment: PaymentId::from_bytes(bytes(payment)),
            attempt: AttemptId::from_bytes(bytes(payment)),
            refund: RefundId::from_bytes(bytes(refund)),
            amount,
        }
    }

    fn record(&mut self, name: &str, fact: Collected) {
        self.worth += i128::from(fact.amount.minor()) - i128::from(fact.fee.minor());
        let zero = cny_minor(0);
        let payment = Payment { fact, refunded: zero, in_transit: zero, fee_returned: zero, cleared: false };
        assert!(self.payments.insert(name.to_owned(), payment).is_none(), "{name} twice");
    }

    pub fn pay(&mut self, name: &str, amount: Money, fee: Money, cost: Money) {
        let fact = self.collected(name, amount, fee, cost);
        self.record(name, fact);
        self.post(rules::paid(&fact, self.now()).unwrap());
    }

    pub fn clear(&mut self, name: &str) {
        self.payments.get_mut(name).unwrap().cleared = true;
        let waiting = self.payments.values().filter(|p| !p.cleared);
        let still_waiting_minor = waiting.map(|p| u128::from(p.fact.amount.minor() - p.fact.fee.minor())).sum::<u128>();
        let Collected { merchant, payment, attempt, .. } = self.payments[name].fact;
        let fact = Clearing { merchant, payment, attempt, currency: Currency::CNY, still_waiting_minor };
        match rules::cleared(&fact, &self.position(), self.now()).unwrap() {
            Some(entry) => self.post(entry),
            None => self.last = None,
        }
    }

    pub fn refund(&mut self, name: &str, payment: &str, amount: Money) {
        let fact = self.refunding(name, payment, amount);
        let (entry, legs) = rules::refund_accepted(&fact, &self.position(), self.now()).unwrap();
        self.post(entry);
        let payment = self.payments.get_mut(payment).unwrap();
        payment.in_transit = payment.in_transit.checked_add(amount).unwrap();
        self.refunds.insert(name.to_owned(), Refund { fact, legs, open: true });
        self.worth -= i128::from(amount.minor());
    }

    /// The refund's fact and legs, and its payment with the refund no longer in transit.
    fn finish(&mut self, name: &str) -> (Refunding, RefundLegs, &mut Payment) {
        let refund = self.refunds.get_mut(name).unwrap();
        refund.open = false;
        let (fact, legs) = (refund.fact, refund.legs);
        let payment = self.payments.values_mut().find(|p| p.fact.payment == fact.payment).unwrap();
        payment.in_transit = payment.in_transit.checked_sub(fact.amount).unwrap();
        (fact, legs, payment)
    }

    pub fn succeed(&mut self, name: &str, with_fee: bool, cost: Money) {
        let (fact, _, payment) = self.finish(name);
        payment.refunded = payment.refunded.checked_add(fact.amount).unwrap();
        let Collected { amount, fee, .. } = payment.fact;
        let fee = match with_fee {
            true => fee_return(amount, fee, payment.refunded, payment.fee_returned).unwrap(),
            false => cny_minor(0),
        };
        payment.fee_returned = payment.fee_returned.checked_add(fee).unwrap();
        let back = GivenBack { fee, cost };
        let (merchant, at_channel) = (self.position(), self.at_channel());
        let entry = rules::refund_succeeded(&fact, self.channel, &back, &merchant, &at_channel, self.now());
        self.post(entry.unwrap());
        self.worth += i128::from(fee.minor());
    }

    pub fn fail(&mut self, name: &str) {
        let (fact, legs, _) = self.finish(name);
        let entry = rules::refund_failed(&fact, &legs, &self.position(), self.now());
        self.post(entry.unwrap());
        self.worth += i128::from(fact.amount.minor());
    }

    pub fn surplus(&mut self, name: &str, amount: Money) {
        let case = CaseId::from_bytes(bytes(name));
        let fact = Unexpected { case, channel: self.channel, payment: None, attempt: None, amount };
        self.post(rules::long_received(&fact, self.now()).unwrap());
        self.cases.insert(name.to_owned(), fact);
    }

    pub fn book(&mut self, name: &str, payment: &str, fee: Money) {
        let case = self.cases.remove(name).unwrap();
        let fact = self.collected(payment, case.amount, fee, cny_minor(0));
        self.record(payment, fact);
        self.post(rules::long_booked(case.case, &fact, self.now()).unwrap());
    }

    pub fn repay(&mut self, name: &str) {
        let case = self.cases.remove(name).unwrap();
        self.post(rules::long_paid_back(&case, &self.at_channel(), self.now()).unwrap());
    }

    pub fn again(&mut self) {
        if let Some(last) = self.last.clone() {
            self.post(last);
        }
    }

    pub fn reverse(&mut self) {
        let last = self.journal.last().unwrap();
        let entry = last.reversal(self.now());
        assert_eq!(entry.links().reverses, Some(last.seq));
        // The only stories with reversals are about a payment that was never refunded.
        let (_, payment) = self.payments.pop_last().unwrap();
        self.worth -= i128::from(payment.fact.amount.minor()) - i128::from(payment.fact.fee.minor());
        self.post(entry);
    }

    /// A step of a random story, skipped when there is nothing it could happen to.
    pub fn take(&mut self, step: Step) {
        let name = |prefix: &str, seq: u64| format!("{prefix}{seq}");
        let (seq, zero) = (self.journal.len() as u64, cny_minor(0));
        let pick = |names: Vec<&String>, i: usize| (!names.is_empty()).then(|| names[i % names.len()].clone());
        let open = || self.refunds.iter().filter(|(_, r)| r.open).map(|(name, _)| name).collect();
        match step {
            Step::Pay { minor, fee_ppm, cost_ppm } => {
                let amount = cny_minor(minor);
                self.pay(&name("p", seq), amount, share(amount, fee_ppm), share(amount, cost_ppm));
            }
            Step::Refund { payment, part_ppm } => {
                if let Some(payment) = pick(self.payments.keys().collect(), payment) {
                    let p = &self.payments[&payment];
                    let left = p.fact.amount.checked_sub(p.refunded).unwrap().checked_sub(p.in_transit).unwrap();
                    if !left.is_zero() {
                        let part = share(left, part_ppm).minor().max(1);
                        self.refund(&name("r", seq), &payment, cny_minor(part));
                    }
                }
            }
            Step::Succeed { refund, with_fee } => {
                if let Some(refund) = pick(open(), refund) {
                    self.succeed(&refund, with_fee, zero);
                }
            }
            Step::Fail { refund } => {
                if let Some(refund) = pick(open(), refund) {
                    self.fail(&refund);
                }
            }
            Step::Clear { payment } => {
                let waiting = self.payments.iter().filter(|(_, p)| !p.cleared).map(|(name, _)| name);
                if let Some(payment) = pick(waiting.collect(), payment) {
                    self.clear(&payment);
                }
            }
            Step::Surplus { minor } => self.surplus(&name("c", seq), cny_minor(minor)),
            Step::Book { case, fee_ppm } => {
                if let Some(case) = pick(self.cases.keys().collect(), case) {
                    let fee = share(self.cases[&case].amount, fee_ppm);
                    self.book(&case, &name("p", seq), fee);
                }
            }
            Step::Repay { case } => {
                if let Some(case) = pick(self.cases.keys().collect(), case) {
                    self.repay(&case);
                }
            }
            Step::Again => self.again(),
        }
    }

    fn rows(&self) -> Vec<BalanceRow> {
        let row = |(&account, &balance): (&Account, &Balance)| BalanceRow { currency: Currency::CNY, account, balance };
        self.balances.iter().map(row).collect()
    }

    /// I1 to I6, I9 and I12, and what the plain model says the merchant is worth.
    #[track_caller]
    pub fn assert_sound(&self) {
        let mut walk = JournalWalk::new(Self::genesis(self.merchant));
        for chained in &self.journal {
            walk.read(chained).unwrap();
        }
        assert_eq!(walk.head(), self.head);
        verify::sums_to_zero(self.rows()).unwrap();
        verify::stored_equals_fold(self.rows(), walk.balances()).unwrap();
        verify::right_sides(self.rows()).unwrap();
        for payment in self.payments.values() {
            let facts = PaymentFacts {
                payment: payment.fact.payment,
                paid_minor: payment.fact.amount.minor(),
                fee_minor: payment.fact.fee.minor(),
                refunded_minor: payment.refunded.minor(),
                refunds_in_transit_minor: payment.in_transit.minor(),
                fee_returned_minor: payment.fee_returned.minor(),
            };
            verify::payment(&facts).unwrap();
        }
        let refunds = self.refunds.values().filter(|refund| refund.open).map(|refund| &refund.fact);
        let refunds = refunds.map(|fact| (Currency::CNY, Sub::Refund(fact.refund), fact.amount.minor()));
        verify::open_items(AccountCode::RefundInTransit, refunds, self.rows()).unwrap();
        let cases = self.cases.values().map(|case| (Currency::CNY, Sub::Case(case.case), case.amount.minor()));
        verify::open_items(AccountCode::SuspenseLong, cases, self.rows()).unwrap();
        verify::money_has_owners(self.rows()).unwrap();

        let MerchantPosition { pending, available, owed } = self.position();
        let booked = i128::try_from(pending + available).unwrap() - i128::try_from(owed).unwrap();
        assert_eq!(booked, self.worth, "what the merchant has, less what he owes");
    }

    /// `Dr 1001 100.00, Cr 2001 100.00`.
    pub fn last_postings(&self) -> String {
        let postings = self.last.iter().flat_map(JournalEntry::postings).map(|posting| {
            let side = match posting.side {
                Side::Debit => "Dr",
                Side::Credit => "Cr",
            };
            format!("{side} {} {}", posting.account.code().code(), cny_minor(posting.minor).to_decimal())
        });
        or_nothing(postings.collect())
    }

    /// What every account of the chart holds, sub-keys added up.
    pub fn books(&self) -> String {
        let mut sums: BTreeMap<AccountCode, u128> = BTreeMap::new();
        for (account, balance) in &self.balances {
            *sums.entry(account.code()).or_default() += balance.of(account.code()).unwrap();
        }
        let held = sums.into_iter().filter(|(_, sum)| *sum > 0);
        or_nothing(held.map(|(code, sum)| format!("{} {}", code.code(), decimal(sum, Currency::CNY))).collect())
    }
}

fn or_nothing(parts: Vec<String>) -> String {
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}
