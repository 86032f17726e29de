//! The books: the trial balance as a tree, the entries, one entry, and the proof.

use actix_web::http::StatusCode;
use askama::Template;

use super::auth::roles::Permission;
use super::paging::{Cursor, Pager, numbers, page as page_of};
use super::verification::Verification;
use super::visit::{Member, Problem, Reply};
use super::words;
use crate::domain::ids::{PaymentId, RefundId, Scope};
use crate::domain::money::Currency;
use crate::flows::books::{currency_key, touching};
use crate::ledger::{Account, AccountCode, Balance, Chained, Head, Kind, Posting, Side, Sub};
use crate::proof::{Chain, Checkpoint};
use crate::store::tables::{ACCOUNT_TOTALS, BALANCES, CHECKPOINTS, JOURNAL, JOURNAL_HEADS, USERS, VERIFICATIONS};
use crate::store::{Order, Read, Span, StoreError};
use crate::web::{Frame, Page, Room};

/// Sub-accounts of one account that are looked at for those that hold something.
const SUBS_SCANNED_MAX: usize = 20_000;
/// Sub-accounts that are shown.
const SUBS_MAX: usize = 200;
/// Checkpoints are one per chain; an installation with more chains shows none rather than reading for long.
const CHECKPOINTS_MAX: usize = 2_000;

#[derive(Template)]
#[template(path = "console/ledger.html")]
struct LedgerPage {
    page: Page,
    frame: Frame,
    currency: Currency,
    groups: Vec<Group>,
    debit: i128,
    credit: i128,
    head: Option<Head>,
    checkpoint: Option<Checkpoint>,
    verification: Option<(Verification, String)>,
    entries: Vec<Chained>,
    may_verify: bool,
    done: Option<&'static str>,
}

/// Accounts of one kind.
struct Group {
    name: &'static str,
    rows: Vec<AccountRow>,
}

struct AccountRow {
    code: AccountCode,
    name: &'static str,
    debit: i128,
    credit: i128,
    /// Seen from the account's normal side.
    net: i128,
}

fn minor(amount: u128) -> i128 {
    i128::try_from(amount).unwrap_or(i128::MAX)
}

fn account_name(code: AccountCode, page: &Page) -> &'static str {
    page.lang.t(code.name_zh(), code.name_en())
}

fn net(balance: &Balance, code: AccountCode) -> i128 {
    let (debit, credit) = (minor(balance.debit_minor), minor(balance.credit_minor));
    match code.normal_side() {
        Side::Debit => debit - credit,
        Side::Credit => credit - debit,
    }
}

fn kind_name(kind: Kind, page: &Page) -> &'static str {
    match kind {
        Kind::Asset => page.lang.t("资产", "Assets"),
        Kind::Liability => page.lang.t("负债", "Liabilities"),
        Kind::Equity => page.lang.t("权益", "Equity"),
        Kind::Income => page.lang.t("收入", "Income"),
        Kind::Expense => page.lang.t("支出", "Expenses"),
    }
}

impl LedgerPage {
    fn is_balanced(&self) -> bool {
        self.debit == self.credit
    }

    fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}

impl Verification {
    fn is_clean(&self) -> bool {
        self.finding.is_none()
    }
}

pub(super) async fn page(member: Member) -> Reply {
    let (scope, currency) = (member.scope(), member.merchant.currency);
    let (totals, head, checkpoint, verification, entries) = member
        .console
        .store()
        .read(move |tx| {
            let span = Span::prefix(&(scope, currency_key(currency)));
            let totals = tx.scan(&ACCOUNT_TOTALS, &span, Order::Ascending, AccountCode::ALL.len())?;
            let verification = match tx.get(&VERIFICATIONS, &scope)? {
                Some(verification) => {
                    let by = tx.get(&USERS, &verification.by)?.map(|user| user.name).unwrap_or_default();
                    Some((verification, by))
                }
                None => None,
            };
            let newest = tx.scan(&JOURNAL, &Span::prefix(&scope), Order::Descending, 10)?;
            let entries: Vec<Chained> = newest.into_iter().map(|(_, chained)| chained).collect();
            let head = tx.get(&JOURNAL_HEADS, &scope)?;
            Ok::<_, StoreError>((totals, head, checkpoint(tx, scope)?, verification, entries))
        })
        .await?;
    let mut rows: Vec<AccountRow> = Vec::new();
    for ((_, _, code), balance) in &totals {
        let Some(code) = AccountCode::from_code(*code) else { continue };
        rows.push(AccountRow {
            code,
            name: account_name(code, &member.page),
            debit: minor(balance.debit_minor),
            credit: minor(balance.credit_minor),
            net: net(balance, code),
        });
    }
    let (debit, credit) = rows.iter().fold((0, 0), |(d, c), row| (d + row.debit, c + row.credit));
    let mut groups: Vec<Group> = Vec::new();
    for row in rows {
        let name = kind_name(row.code.kind(), &member.page);
        match groups.last_mut().filter(|group| group.name == name) {
            Some(group) => group.rows.push(row),
            None => groups.push(Group { name, rows: vec![row] }),
        }
    }
    let page = LedgerPage {
        currency,
        groups,
        debit,
        credit,
        head,
        checkpoint,
        verification,
        entries,
        may_verify: member.may(Permission::VerifyBooks),
        done: member.done(),
        page: member.page.clone(),
        frame: member.frame(Room::Ledger),
    };
    Ok(member.render(StatusCode::OK, &page))
}

/// The last signed head of this journal.
fn checkpoint(tx: &impl Read, scope: Scope) -> Result<Option<Checkpoint>, StoreError> {
    let rows = tx.scan(&CHECKPOINTS, &Span::all(), Order::Ascending, CHECKPOINTS_MAX)?;
    Ok(rows.into_iter().map(|(_, checkpoint)| checkpoint).find(|one| one.chain == Chain::Journal(scope)))
}

#[derive(Template)]
#[template(path = "console/ledger_account.html")]
struct AccountPage {
    page: Page,
    frame: Frame,
    currency: Currency,
    code: AccountCode,
    name: &'static str,
    total: i128,
    subs: Vec<SubRow>,
    /// More hold something than are shown.
    is_cut: bool,
    entries: Vec<Chained>,
    pager: Pager,
}

struct SubRow {
    name: String,
    href: Option<String>,
    net: i128,
}

/// Where a sub-account leads to.
fn sub_link(sub: Sub) -> Option<String> {
    match sub {
        Sub::Refund(refund) => Some(refund_path(refund)),
        Sub::Case(case) => Some(format!("/console/cases/{case}")),
        Sub::None | Sub::ChannelAccount(_) | Sub::Merchant(_) => None,
    }
}

fn refund_path(refund: RefundId) -> String {
    format!("/console/refunds/{refund}")
}

pub(super) async fn account_page(member: Member) -> Reply {
    let code = AccountCode::from_code(member.part("code")?).ok_or(Problem::NotFound)?;
    let (scope, currency) = (member.scope(), member.merchant.currency);
    let cursor: Cursor<u64> = Cursor::read(member.query.text("after"), member.query.text("before"));
    let (total, subs, rows) = member
        .console
        .store()
        .read(move |tx| {
            let key = currency_key(currency);
            let total = tx.get(&ACCOUNT_TOTALS, &(scope, key, code.code()))?.unwrap_or_default();
            let subs = subs(tx, scope, key, code)?;
            let rows = numbers(&cursor, |range, order, limit| touching(tx, scope, code.code(), range, order, limit))?;
            let entries = rows.rows.iter().map(|seq| tx.get(&JOURNAL, &(scope, *seq)));
            let entries: Vec<Chained> = entries.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
            let (has_newer, has_older) = (rows.has_newer, rows.has_older);
            let rows = super::paging::Rows { rows: entries, has_newer, has_older };
            Ok::<_, StoreError>((total, subs, rows))
        })
        .await?;
    let is_cut = subs.len() > SUBS_MAX;
    let pager = Pager::new(&member.page, &rows, |chained| chained.seq.to_string());
    let page = AccountPage {
        currency,
        code,
        name: account_name(code, &member.page),
        total: net(&total, code),
        subs: subs
            .into_iter()
            .take(SUBS_MAX)
            .map(|(sub, balance)| SubRow { name: sub.to_string(), href: sub_link(sub), net: net(&balance, code) })
            .collect(),
        is_cut,
        entries: rows.rows,
        pager,
        page: member.page.clone(),
        frame: member.frame(Room::Ledger),
    };
    Ok(member.render(StatusCode::OK, &page))
}

/// Sub-accounts of an account that hold something, up to one more than are shown.
fn subs(tx: &impl Read, scope: Scope, currency: [u8; 3], code: AccountCode) -> Result<Vec<(Sub, Balance)>, StoreError> {
    // An account's bytes begin with its code.
    let span = Span::prefix(&(scope, currency, code.code().to_be_bytes()));
    let mut subs = Vec::new();
    // The newest first: old refunds hold nothing any more.
    for ((_, _, account), balance) in tx.scan(&BALANCES, &span, Order::Descending, SUBS_SCANNED_MAX)? {
        let Ok(account) = Account::from_bytes(account) else { continue };
        if balance.debit_minor != balance.credit_minor && account.sub() != Sub::None {
            subs.push((account.sub(), balance));
        }
        if subs.len() > SUBS_MAX {
            break;
        }
    }
    Ok(subs)
}

#[derive(Template)]
#[template(path = "console/ledger_entries.html")]
struct EntriesPage {
    page: Page,
    frame: Frame,
    entries: Vec<Chained>,
    pager: Pager,
    may_export: bool,
}

/// The amount that an entry moves: all its debits.
pub(super) fn moved(chained: &Chained) -> i128 {
    let debits = chained.entry.postings().iter().filter(|posting| posting.side == Side::Debit);
    debits.fold(0, |sum, posting| sum + i128::from(posting.minor))
}

pub(super) async fn entries_page(member: Member) -> Reply {
    let scope = member.scope();
    let cursor: Cursor<u64> = Cursor::read(member.query.text("after"), member.query.text("before"));
    let rows = member
        .console
        .store()
        .read(move |tx| page_of(tx, &JOURNAL, Span::prefix(&scope), &cursor, |seq| (scope, seq)))
        .await?
        .map(|(_, chained)| chained);
    let pager = Pager::new(&member.page, &rows, |chained| chained.seq.to_string());
    let page = EntriesPage {
        page: member.page.clone(),
        frame: member.frame(Room::Ledger),
        entries: rows.rows,
        pager,
        may_export: member.may(Permission::Export),
    };
    Ok(member.render(StatusCode::OK, &page))
}

#[derive(Template)]
#[template(path = "console/ledger_entry.html")]
struct EntryPage {
    page: Page,
    frame: Frame,
    chained: Chained,
    postings: Vec<PostingRow>,
    /// Its content gives its hash, and it continues the entry before it.
    is_whole: bool,
    payment: Option<PaymentId>,
    refund: Option<RefundId>,
    /// Number of the last entry.
    last: u64,
}

struct PostingRow {
    code: AccountCode,
    name: &'static str,
    sub: String,
    debit: Option<i128>,
    credit: Option<i128>,
}

impl PostingRow {
    fn new(posting: &Posting, page: &Page) -> Self {
        let amount = i128::from(posting.minor);
        let (debit, credit) = match posting.side {
            Side::Debit => (Some(amount), None),
            Side::Credit => (None, Some(amount)),
        };
        let code = posting.account.code();
        Self { code, name: account_name(code, page), sub: posting.account.sub().to_string(), debit, credit }
    }
}

impl EntryPage {
    fn hash(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.chained.hash)
    }

    fn previous(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.chained.previous)
    }

    fn has_next(&self) -> bool {
        self.chained.seq < self.last
    }

    fn total(&self) -> i128 {
        moved(&self.chained)
    }
}

pub(super) async fn entry_page(member: Member) -> Reply {
    let (scope, seq): (Scope, u64) = (member.scope(), member.part("seq")?);
    let found = member
        .console
        .store()
        .read(move |tx| {
            let Some(chained) = tx.get(&JOURNAL, &(scope, seq))? else { return Ok::<_, StoreError>(None) };
            let before = match seq.checked_sub(1) {
                Some(before) => tx.get(&JOURNAL, &(scope, before))?.map(|before| before.hash),
                None => None,
            };
            let before = before.unwrap_or_else(|| Head::genesis(scope).hash);
            let last = tx.get(&JOURNAL_HEADS, &scope)?.map_or(seq, |head| head.seq);
            Ok(Some((chained.verify(before).is_ok(), chained, last)))
        })
        .await?;
    let (is_whole, chained, last) = found.ok_or(Problem::NotFound)?;
    let page = EntryPage {
        postings: chained.entry.postings().iter().map(|posting| PostingRow::new(posting, &member.page)).collect(),
        payment: chained.entry.links().payment,
        refund: chained.entry.links().refund,
        is_whole,
        chained,
        last,
        page: member.page.clone(),
        frame: member.frame(Room::Ledger),
    };
    Ok(member.render(StatusCode::OK, &page))
}
