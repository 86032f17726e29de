//! The invariants as pure functions over rows. Each stops at the first row that breaks it and names the row.

use std::collections::BTreeMap;
use std::fmt;

use super::account::{Account, AccountCode, Side, Sub};
use super::balance::Balance;
use super::chain::{Chained, Head};
use crate::domain::ids::{MerchantId, PaymentId};
use crate::domain::money::{Currency, decimal};

/// An invariant that does not hold, and the first row that shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// `I1` to `I12`.
    pub invariant: &'static str,
    /// The row, in words that find it: `entry 17`, `CNY 2006 re_01…`, `payment pay_01…`.
    pub row: String,
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.invariant, self.row, self.detail)
    }
}

impl std::error::Error for Violation {}

/// The balance of one account in one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BalanceRow {
    pub currency: Currency,
    pub account: Account,
    pub balance: Balance,
}

impl BalanceRow {
    fn violation(&self, invariant: &'static str, detail: String) -> Violation {
        Violation { invariant, row: format!("{} {}", self.currency, self.account), detail }
    }

    /// I4 for one row.
    fn net(&self) -> Result<u128, Violation> {
        self.balance.of(self.account.code()).map_err(|why| self.violation("I4", why.to_string()))
    }
}

/// Reads a journal from its first entry to its last: I1 and I9 on the way, and the balances at the end.
#[derive(Clone, Debug)]
pub struct JournalWalk {
    head: Head,
    fold: BTreeMap<(Currency, Account), Balance>,
}

impl JournalWalk {
    /// Starts behind `head`, usually [`Head::genesis`].
    pub fn new(head: Head) -> Self {
        Self { head, fold: BTreeMap::new() }
    }

    /// I1: the entry balances. I9: its number, its time and its hash follow those of the entry before.
    pub fn read(&mut self, chained: &Chained) -> Result<(), Violation> {
        let violation =
            |invariant, detail: String| Err(Violation { invariant, row: format!("entry {}", chained.seq), detail });
        if Some(chained.seq) != self.head.seq.checked_add(1) {
            return violation("I9", format!("it follows entry {}", self.head.seq));
        }
        if let Err(fault) = chained.verify(self.head.hash) {
            return violation("I9", fault.to_string());
        }
        let at = chained.entry.at();
        if at < self.head.at {
            return violation("I9", format!("it is dated {at}, before {}", self.head.at));
        }
        if let Err(why) = chained.entry.check() {
            return violation("I1", why.to_string());
        }
        for posting in chained.entry.postings() {
            let balance = self.fold.entry((chained.entry.currency(), posting.account)).or_default();
            match balance.apply(posting) {
                Ok(next) => *balance = next,
                Err(overflow) => return violation("I3", format!("{}: {overflow}", posting.account)),
            }
        }
        self.head = chained.head();
        Ok(())
    }

    /// The end of what was read, to be compared with the stored end.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Forgets balances that the caller has compared, so that memory does not grow with the journal. What is posted to such
    /// an account later starts from zero.
    pub fn forget(&mut self, mut settled: impl FnMut(BalanceRow) -> bool) {
        self.fold.retain(|&(currency, account), &mut balance| !settled(BalanceRow { currency, account, balance }));
    }

    /// The balances of what was read, by currency and account.
    pub fn balances(&self) -> impl Iterator<Item = BalanceRow> + '_ {
        self.fold.iter().map(|(&(currency, account), &balance)| BalanceRow { currency, account, balance })
    }
}

/// I2: in every currency all debits equal all credits.
pub fn sums_to_zero(rows: impl IntoIterator<Item = BalanceRow>) -> Result<(), Violation> {
    let mut totals: BTreeMap<Currency, Balance> = BTreeMap::new();
    for row in rows {
        let total = totals.entry(row.currency).or_default();
        let sum = |a: u128, b: u128| a.checked_add(b).ok_or_else(|| row.violation("I2", "the total overflows".into()));
        total.debit_minor = sum(total.debit_minor, row.balance.debit_minor)?;
        total.credit_minor = sum(total.credit_minor, row.balance.credit_minor)?;
    }
    for (currency, total) in totals {
        if total.debit_minor != total.credit_minor {
            let (debit, credit) = (decimal(total.debit_minor, currency), decimal(total.credit_minor, currency));
            let detail = format!("debits of {debit} do not equal credits of {credit}");
            return Err(Violation { invariant: "I2", row: format!("all {currency} accounts"), detail });
        }
    }
    Ok(())
}

/// I3: the stored balances are the fold of the postings. A row of zeros and a missing row are the same.
pub fn stored_equals_fold(
    stored: impl IntoIterator<Item = BalanceRow>,
    fold: impl IntoIterator<Item = BalanceRow>,
) -> Result<(), Violation> {
    let mut expected: BTreeMap<(Currency, Account), Balance> =
        fold.into_iter().map(|row| ((row.currency, row.account), row.balance)).collect();
    let differs = |row: BalanceRow, expected: Balance| {
        let text = |b: Balance| {
            format!(
                "{} debited, {} credited",
                decimal(b.debit_minor, row.currency),
                decimal(b.credit_minor, row.currency)
            )
        };
        row.violation("I3", format!("stored are {}, its postings add up to {}", text(row.balance), text(expected)))
    };
    for row in stored {
        let sum = expected.remove(&(row.currency, row.account)).unwrap_or_default();
        if row.balance != sum {
            return Err(differs(row, sum));
        }
    }
    match expected.into_iter().find(|(_, sum)| *sum != Balance::default()) {
        None => Ok(()),
        Some(((currency, account), sum)) => {
            Err(differs(BalanceRow { currency, account, balance: Balance::default() }, sum))
        }
    }
}

/// I4: no account stands on its wrong side, and no merchant owes while he has available money.
pub fn right_sides(rows: impl IntoIterator<Item = BalanceRow>) -> Result<(), Violation> {
    let mut owing: BTreeMap<(Currency, MerchantId), BalanceRow> = BTreeMap::new();
    let mut having: BTreeMap<(Currency, MerchantId), u128> = BTreeMap::new();
    for row in rows {
        let net = row.net()?;
        if let Sub::Merchant(merchant) = row.account.sub()
            && net > 0
        {
            if row.account.code() == AccountCode::OwedByMerchant {
                owing.insert((row.currency, merchant), row);
            }
            if row.account.code() == AccountCode::MerchantAvailable {
                having.insert((row.currency, merchant), net);
            }
        }
    }
    for (key, row) in owing {
        if let Some(available) = having.get(&key) {
            let available = decimal(*available, row.currency);
            return Err(row.violation("I4", format!("he owes although {available} is available")));
        }
    }
    Ok(())
}

/// What one payment's records say, in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentFacts {
    pub payment: PaymentId,
    /// Zero as long as it is not paid.
    pub paid_minor: u64,
    pub fee_minor: u64,
    pub refunded_minor: u64,
    pub refunds_in_transit_minor: u64,
    pub fee_returned_minor: u64,
}

/// I5: no more is refunded or on its way back than was paid, and no more of the fee is given back than was taken.
pub fn payment(facts: &PaymentFacts) -> Result<(), Violation> {
    let violation = |detail| Err(Violation { invariant: "I5", row: format!("payment {}", facts.payment), detail });
    let back = u128::from(facts.refunded_minor) + u128::from(facts.refunds_in_transit_minor);
    if back > u128::from(facts.paid_minor) {
        return violation(format!("{} was paid, {back} is refunded or in transit (minor units)", facts.paid_minor));
    }
    if facts.fee_minor > facts.paid_minor {
        return violation(format!("a fee of {} on {} (minor units)", facts.fee_minor, facts.paid_minor));
    }
    if facts.fee_returned_minor > facts.fee_minor {
        return violation(format!(
            "a fee of {}, of which {} was given back (minor units)",
            facts.fee_minor, facts.fee_returned_minor
        ));
    }
    Ok(())
}

/// I6 for one account: what it holds under each sub-key is what is open there. `open` are the open refunds of 2006, the
/// open cases of 2201 and so on; amounts of one sub-key add up.
pub fn open_items(
    code: AccountCode,
    open: impl IntoIterator<Item = (Currency, Sub, u64)>,
    rows: impl IntoIterator<Item = BalanceRow>,
) -> Result<(), Violation> {
    let mut expected: BTreeMap<(Currency, Sub), u128> = BTreeMap::new();
    for (currency, sub, minor) in open {
        *expected.entry((currency, sub)).or_default() += u128::from(minor);
    }
    let differs = |currency, sub, held, open| {
        let (held, open) = (decimal(held, currency), decimal(open, currency));
        let row = format!("{currency} {} {sub}", code.code());
        Err(Violation { invariant: "I6", row, detail: format!("it holds {held}, open is {open}") })
    };
    for row in rows.into_iter().filter(|row| row.account.code() == code) {
        let held = row.net()?;
        let open = expected.remove(&(row.currency, row.account.sub())).unwrap_or(0);
        if held != open {
            return differs(row.currency, row.account.sub(), held, open);
        }
    }
    match expected.into_iter().find(|(_, open)| *open > 0) {
        None => Ok(()),
        Some(((currency, sub), open)) => differs(currency, sub, 0, open),
    }
}

/// I12: what lies at the channels and banks belongs to somebody, 1001 + 1002 = Σ(2001..2006) + 2201 − 1101 − 1201 +
/// (4001 + 4002 − 5001 − 5002) + 3001. Both sides are kept free of minus signs.
pub fn money_has_owners(rows: impl IntoIterator<Item = BalanceRow>) -> Result<(), Violation> {
    #[derive(Default)]
    struct Sides {
        assets_and_expenses: u128,
        claims_and_income: u128,
    }
    let mut sums: BTreeMap<Currency, Sides> = BTreeMap::new();
    for row in rows {
        let sides = sums.entry(row.currency).or_default();
        let side = match row.account.code().normal_side() {
            Side::Debit => &mut sides.assets_and_expenses,
            Side::Credit => &mut sides.claims_and_income,
        };
        let sum = side.checked_add(row.net()?);
        *side = sum.ok_or_else(|| row.violation("I12", "the total overflows".into()))?;
    }
    for (currency, sides) in sums {
        if sides.assets_and_expenses != sides.claims_and_income {
            let has = decimal(sides.assets_and_expenses, currency);
            let owns = decimal(sides.claims_and_income, currency);
            let detail = format!("assets and expenses are {has}, claims, income and equity are {owns}");
            return Err(Violation { invariant: "I12", row: format!("all {currency} accounts"), detail });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{AccountId, Mode, RefundId, Scope};
    use crate::domain::time::Timestamp;
    use crate::ledger::{Cause, JournalEntry, Links, Posting, Reason};

    const MERCHANT: MerchantId = MerchantId::from_bytes([1; 16]);
    const REFUND: RefundId = RefundId::from_bytes([3; 16]);

    fn genesis() -> Head {
        Head::genesis(Scope { merchant: MERCHANT, mode: Mode::Test })
    }

    fn journal(length: u8) -> Vec<Chained> {
        let mut head = genesis();
        let mut append = |i: u8| {
            let cause = Cause { subject: [i; 16], reason: Reason::Paid };
            let channel = Account::channel_receivable(AccountId::from_bytes([2; 16]));
            let postings =
                vec![Posting::debit(channel, 100), Posting::credit(Account::merchant_pending(MERCHANT), 100)];
            let at = Timestamp::from_seconds(i64::from(i));
            let chained = head.append(JournalEntry::new(cause, Currency::CNY, at, Links::default(), postings).unwrap());
            head = chained.head();
            chained
        };
        (1..=length).map(&mut append).collect()
    }

    fn walk(journal: &[Chained]) -> Result<JournalWalk, String> {
        let mut walk = JournalWalk::new(genesis());
        journal.iter().try_for_each(|chained| walk.read(chained)).map_err(|violation| violation.to_string())?;
        Ok(walk)
    }

    fn row(account: Account, debit_minor: u128, credit_minor: u128) -> BalanceRow {
        BalanceRow { currency: Currency::CNY, account, balance: Balance { debit_minor, credit_minor } }
    }

    /// What a failing check says.
    #[track_caller]
    fn says(result: Result<(), Violation>, expected: &str) {
        assert_eq!(result.map_err(|violation| violation.to_string()), Err(expected.to_owned()));
    }

    #[test]
    fn a_journal_that_was_written_in_order_reads_back_with_its_end_and_its_balances() {
        let journal = journal(3);
        let walk = walk(&journal).unwrap();
        assert_eq!(walk.head(), journal[2].head());
        let balances: Vec<_> = walk.balances().map(|row| (row.account.code().code(), row.balance)).collect();
        let expected = |debit_minor, credit_minor| Balance { debit_minor, credit_minor };
        assert_eq!(balances, [(1001, expected(300, 0)), (2001, expected(0, 300))]);
    }

    #[test]
    fn a_missing_moved_or_changed_entry_is_named() {
        let whole = journal(4);
        let says = |journal: &[Chained], expected: &str| assert_eq!(walk(journal).err().as_deref(), Some(expected));
        says(&[&whole[..1], &whole[2..]].concat(), "I9: entry 3: it follows entry 1");
        says(&whole[1..], "I9: entry 2: it follows entry 0");
        says(&[&whole[..2], &whole[1..]].concat(), "I9: entry 2: it follows entry 2");

        let mut changed = whole.clone();
        changed[1].hash[0] ^= 1;
        says(&changed, "I9: entry 2: its content was changed after it was written");

        // Somebody who rewrites one entry with a correct hash of its own is found at the next one.
        let mut forged = whole.clone();
        forged[1] = whole[3].entry.clone().chain(2, whole[0].hash);
        says(&forged, "I9: entry 3: the entry before it is not the one it was chained to");

        let mut back = whole.clone();
        back[3] = whole[0].entry.clone().chain(4, whole[2].hash);
        says(&back, "I9: entry 4: it is dated 1970-01-01T00:00:01.000Z, before 1970-01-01T00:00:03.000Z");
    }

    #[test]
    fn i2_all_debits_equal_all_credits_in_every_currency() {
        let fine = [row(Account::channel_cost(), 500, 0), row(Account::equity(), 100, 600)];
        assert_eq!(sums_to_zero(fine), Ok(()));
        let off = [fine[0], row(Account::equity(), 100, 599)];
        says(sums_to_zero(off), "I2: all CNY accounts: debits of 6.00 do not equal credits of 5.99");
        let mixed = [fine[0], BalanceRow { currency: Currency::USD, ..row(Account::equity(), 0, 500) }];
        says(sums_to_zero(mixed), "I2: all CNY accounts: debits of 5.00 do not equal credits of 0.00");
    }

    #[test]
    fn i3_stored_balances_are_the_fold_of_the_postings() {
        let (cost, fee) = (row(Account::channel_cost(), 500, 0), row(Account::fee_income(), 0, 500));
        let closed = row(Account::equity(), 0, 0);
        assert_eq!(stored_equals_fold([cost, fee, closed], [cost, fee]), Ok(()));
        assert_eq!(stored_equals_fold([cost, fee], [cost, fee, closed]), Ok(()));
        says(
            stored_equals_fold([row(Account::channel_cost(), 501, 1), fee], [cost, fee]),
            "I3: CNY 5001: stored are 5.01 debited, 0.01 credited, its postings add up to 5.00 debited, 0.00 credited",
        );
        says(
            stored_equals_fold([cost, fee], [cost]),
            "I3: CNY 4001: stored are 0.00 debited, 5.00 credited, its postings add up to 0.00 debited, 0.00 credited",
        );
        says(
            stored_equals_fold([cost], [cost, fee]),
            "I3: CNY 4001: stored are 0.00 debited, 0.00 credited, its postings add up to 0.00 debited, 5.00 credited",
        );
    }

    #[test]
    fn i4_no_account_on_its_wrong_side_and_no_debt_beside_available_money() {
        let owed = |debit| row(Account::owed_by_merchant(MERCHANT), debit, 0);
        let available = |credit| row(Account::merchant_available(MERCHANT), 0, credit);
        let pending = row(Account::merchant_pending(MERCHANT), 0, 9);
        assert_eq!(right_sides([owed(0), pending, available(5)]), Ok(()));
        assert_eq!(right_sides([owed(5), pending, available(0)]), Ok(()));
        let other = row(Account::merchant_available(MerchantId::from_bytes([9; 16])), 0, 5);
        assert_eq!(right_sides([owed(5), other]), Ok(()));
        let dollars = BalanceRow { currency: Currency::USD, ..available(5) };
        assert_eq!(right_sides([owed(5), dollars]), Ok(()));
        says(
            right_sides([available(7), owed(5)]),
            &format!("I4: CNY 1101 {MERCHANT}: he owes although 0.07 is available"),
        );
        says(right_sides([row(Account::fee_income(), 2, 1)]), "I4: CNY 4001: account 4001 stands on its wrong side");
    }

    #[test]
    fn i5_no_more_goes_back_than_came() {
        let payment_id = PaymentId::from_bytes([4; 16]);
        let fine = PaymentFacts {
            payment: payment_id,
            paid_minor: 100,
            fee_minor: 3,
            refunded_minor: 60,
            refunds_in_transit_minor: 40,
            fee_returned_minor: 3,
        };
        assert_eq!(payment(&fine), Ok(()));
        let says = |facts, detail: &str| says(payment(&facts), &format!("I5: payment {payment_id}: {detail}"));
        says(
            PaymentFacts { refunds_in_transit_minor: 41, ..fine },
            "100 was paid, 101 is refunded or in transit (minor units)",
        );
        says(
            PaymentFacts { refunded_minor: u64::MAX, ..fine },
            "100 was paid, 18446744073709551655 is refunded or in transit (minor units)",
        );
        says(PaymentFacts { fee_returned_minor: 4, ..fine }, "a fee of 3, of which 4 was given back (minor units)");
        says(PaymentFacts { fee_minor: 101, ..fine }, "a fee of 101 on 100 (minor units)");
    }

    #[test]
    fn i6_an_account_in_transit_holds_exactly_what_is_open() {
        let held =
            |minor: u128| [row(Account::refund_in_transit(REFUND), 100, 100 + minor), row(Account::equity(), 0, 9)];
        let open = |minor| [(Currency::CNY, Sub::Refund(REFUND), minor)];
        let refunds = AccountCode::RefundInTransit;
        assert_eq!(open_items(refunds, open(60), held(60)), Ok(()));
        assert_eq!(open_items(refunds, [], held(0)), Ok(()));
        let named = |detail: &str| format!("I6: CNY 2006 {REFUND}: {detail}");
        says(open_items(refunds, open(60), held(59)), &named("it holds 0.59, open is 0.60"));
        says(open_items(refunds, [], held(60)), &named("it holds 0.60, open is 0.00"));
        says(open_items(refunds, open(60), []), &named("it holds 0.00, open is 0.60"));
    }

    #[test]
    fn i12_money_has_owners() {
        let channel = Account::channel_receivable(AccountId::from_bytes([2; 16]));
        let rows = |in_transit, pending| {
            [
                row(channel, in_transit, 0),
                row(Account::channel_cost(), 1, 0),
                row(Account::owed_by_merchant(MERCHANT), 2, 0),
                row(Account::merchant_pending(MERCHANT), 0, pending),
                row(Account::fee_income(), 0, 3),
            ]
        };
        assert_eq!(money_has_owners(rows(100, 100)), Ok(()));
        says(
            money_has_owners(rows(100, 99)),
            "I12: all CNY accounts: assets and expenses are 1.03, claims, income and equity are 1.02",
        );
    }
}
