//! Settings of the shop: name, zone, fees, and what to do with money that comes late or twice.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use askama::Template;

use super::auth::people;
use super::auth::records::User;
use super::auth::roles::Permission;
use super::setup::SHOP_NAME_CHARS_MAX;
use super::visit::{Member, Problem, Reply};
use super::words;
use crate::audit::{Action, Detail};
use crate::domain::approval::ApprovalRule;
use crate::domain::fee::{FeeRule, FeeSchedule};
use crate::domain::merchant::{DuplicatePolicy, LatePolicy, Merchant};
use crate::domain::method::Method;
use crate::domain::money::{Currency, Money, decimal};
use crate::flows::approvals;
use crate::store::tables::{APPROVAL_RULES, MERCHANTS};
use crate::store::{Read, StoreError};
use crate::web::{Frame, Page, Room};

/// Zones that are offered; any other IANA name can be typed.
const ZONES: [&str; 8] = [
    "Asia/Shanghai",
    "Asia/Hong_Kong",
    "Asia/Urumqi",
    "Asia/Taipei",
    "Asia/Singapore",
    "Asia/Tokyo",
    "Europe/Berlin",
    "America/Los_Angeles",
];
/// A rate of one hundred per cent, in parts per million.
const RATE_PPM_MAX: u32 = 1_000_000;

/// One page of the settings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Shop,
    Channels,
    People,
    Me,
    Audit,
}

/// The tabs of the settings, as far as the person may open them, and the one that is open.
pub(super) struct Tabs {
    here: Tab,
    pub shop: bool,
    pub people: bool,
    pub audit: bool,
}

impl Tabs {
    pub fn is_shop(&self) -> bool {
        self.here == Tab::Shop
    }

    pub fn is_channels(&self) -> bool {
        self.here == Tab::Channels
    }

    pub fn is_people(&self) -> bool {
        self.here == Tab::People
    }

    pub fn is_me(&self) -> bool {
        self.here == Tab::Me
    }

    pub fn is_audit(&self) -> bool {
        self.here == Tab::Audit
    }

    pub fn of(member: &Member, here: Tab) -> Self {
        Self {
            here,
            shop: member.may(Permission::ViewSettings),
            people: member.may(Permission::ViewSettings),
            audit: member.may(Permission::ViewAudit),
        }
    }
}

#[derive(Template)]
#[template(path = "console/settings.html")]
struct SettingsPage {
    page: Page,
    frame: Frame,
    tabs: Tabs,
    merchant: Merchant,
    /// What was typed, where it could not be saved.
    name: String,
    zone: String,
    fees: Vec<FeeRow>,
    /// Refunds beyond it take two persons; empty is off.
    over: String,
    errors: Errors,
    may_manage: bool,
    done: Option<&'static str>,
}

#[derive(Default)]
struct Errors {
    name: &'static str,
    zone: &'static str,
    fees: &'static str,
    over: &'static str,
}

/// The default, or one method's exception, as it stands in the form.
struct FeeRow {
    /// Empty for the default.
    code: &'static str,
    name: &'static str,
    rate: String,
    min: String,
}

impl SettingsPage {
    async fn new(member: &Member, errors: Errors) -> Result<Self, Problem> {
        let merchant = member.merchant.clone();
        let page = member.page.clone();
        let id = merchant.id;
        let over = member.console.store().read(move |tx| approvals::rule(tx, id)).await?.refund_over_minor;
        Ok(Self {
            frame: member.frame(Room::Settings),
            tabs: Tabs::of(member, Tab::Shop),
            name: merchant.name.clone(),
            zone: merchant.zone.clone(),
            fees: fee_rows(&page, &merchant.fees, merchant.currency),
            errors,
            may_manage: member.may(Permission::ManageSettings),
            over: over.map(|minor| Money::new(minor, merchant.currency).to_decimal()).unwrap_or_default(),
            done: member.done(),
            merchant,
            page,
        })
    }

    fn is_late(&self, policy: impl Borrow<LatePolicy>) -> bool {
        self.merchant.late == *policy.borrow()
    }

    fn is_duplicate(&self, policy: impl Borrow<DuplicatePolicy>) -> bool {
        self.merchant.duplicate == *policy.borrow()
    }
}

pub(super) async fn page(member: Member) -> Reply {
    if !member.may(Permission::ViewSettings) {
        return Ok(member.go("/console/settings/me"));
    }
    Ok(member.render(StatusCode::OK, &SettingsPage::new(&member, Errors::default()).await?))
}

pub(super) async fn save_shop(member: Member) -> Reply {
    let (name, zone) = (member.form.text("name").to_owned(), member.form.text("zone").to_owned());
    let mut errors = Errors::default();
    if name.is_empty() || name.chars().count() > SHOP_NAME_CHARS_MAX {
        errors.name = member.page.lang.t("请写 1 到 40 个字。", "Write 1 to 40 characters.");
    }
    if jiff::tz::TimeZone::get(&zone).is_err() {
        errors.zone = member
            .page
            .lang
            .t("没有这个时区，例如 Asia/Shanghai。", "There is no such zone; an example is Asia/Shanghai.");
    }
    let late = match member.form.text("late") {
        "book" => LatePolicy::Book,
        "refund" => LatePolicy::Refund,
        "hold" => LatePolicy::Hold,
        _ => return Err(Problem::Malformed),
    };
    let duplicate = match member.form.text("duplicate") {
        "refund" => DuplicatePolicy::Refund,
        "hold" => DuplicatePolicy::Hold,
        _ => return Err(Problem::Malformed),
    };
    if !errors.name.is_empty() || !errors.zone.is_empty() {
        let page = SettingsPage { name, zone, ..SettingsPage::new(&member, errors).await? };
        return Ok(member.render(StatusCode::UNPROCESSABLE_ENTITY, &page));
    }
    change(&member, Action::SettingsChanged, move |merchant| {
        let detail = Detail::new()
            .with("name", &name)
            .with("zone", &zone)
            .with("late", format!("{late:?}"))
            .with("duplicate", format!("{duplicate:?}"));
        (Merchant { name: name.clone(), zone: zone.clone(), late, duplicate, ..merchant }, detail)
    })
    .await?;
    Ok(member.go("/console/settings?done=saved"))
}

pub(super) async fn save_fees(member: Member) -> Reply {
    let currency = member.merchant.currency;
    let Some(fees) = read_fees(&member, currency) else {
        let errors = Errors {
            fees: member.page.lang.t(
                "费率写成百分数，例如 0.6；最低收费写成金额，例如 0.01。",
                "Write rates in per cent, such as 0.6, and minimums as amounts, such as 0.01.",
            ),
            ..Errors::default()
        };
        let typed = |code: &str, name: &str| member.form.text(&format!("{name}-{code}")).to_owned();
        let mut page = SettingsPage::new(&member, errors).await?;
        for row in &mut page.fees {
            (row.rate, row.min) = (typed(row.code, "rate"), typed(row.code, "min"));
        }
        return Ok(member.render(StatusCode::UNPROCESSABLE_ENTITY, &page));
    };
    let returned = member.form.has("returned");
    change(&member, Action::FeesChanged, move |merchant| {
        let detail = Detail::new()
            .with("default_ppm", fees.default.rate_ppm)
            .with("default_min", fees.default.min_minor)
            .with("exceptions", fees.methods.len())
            .with("returned_on_refund", returned);
        (Merchant { fees: fees.clone(), fee_returned_on_refund: returned, ..merchant }, detail)
    })
    .await?;
    Ok(member.go("/console/settings?done=fees_saved"))
}

/// Above which sum the refunds of one payment take two persons; empty switches it off.
pub(super) async fn save_approvals(member: Member) -> Reply {
    let (currency, lang) = (member.merchant.currency, member.page.lang);
    let over = member.form.text("over").to_owned();
    let limit = match over.as_str() {
        "" => Ok(None),
        text => Money::parse(text, currency).map(|limit| Some(limit.minor())),
    };
    let error = match limit {
        Err(_) => lang.t("写成金额，例如 500.00。", "Write an amount, such as 500.00."),
        Ok(limit) if store_rule(&member, limit).await? => return Ok(member.go("/console/settings?done=saved")),
        Ok(_) => lang.t(
            "至少要有两个能退款的人，才能互相复核。请先在“人员”里邀请一位店主或财务。",
            "It takes at least two people who may refund. Invite another owner or finance person first.",
        ),
    };
    let page = SettingsPage { over, ..SettingsPage::new(&member, Errors { over: error, ..Errors::default() }).await? };
    Ok(member.render(StatusCode::UNPROCESSABLE_ENTITY, &page))
}

/// `false` when there are not two people who could approve each other's refunds.
async fn store_rule(member: &Member, limit: Option<u64>) -> Result<bool, Problem> {
    let (id, stamp) = (member.merchant.id, member.stamp());
    let write = member.console.store().write(move |tx| {
        let may_refund = |user: &User| user.role_at(id).is_some_and(|role| role.may(Permission::Refund));
        let refunders =
            people::members(tx, id)?.iter().filter(|user| user.disabled_at.is_none() && may_refund(user)).count();
        if limit.is_some() && refunders < 2 {
            return Ok::<_, StoreError>(false);
        }
        let before = approvals::rule(tx, id)?.refund_over_minor;
        tx.put(&APPROVAL_RULES, &id, &ApprovalRule { refund_over_minor: limit })?;
        let shown = |minor: Option<u64>| minor.map_or_else(|| "off".to_owned(), |minor| minor.to_string());
        let detail = Detail::new().with("from_minor", shown(before)).with("refund_over_minor", shown(limit));
        stamp.record(tx, id, Action::ApprovalRuleChanged, id, detail)?;
        Ok(true)
    });
    Ok(write.await?)
}

/// Changes the merchant's record as it is now, and writes the audit record in the same commit.
async fn change(
    member: &Member,
    action: Action,
    edit: impl Fn(Merchant) -> (Merchant, Detail) + Send + 'static,
) -> Result<(), Problem> {
    let (id, stamp) = (member.merchant.id, member.stamp());
    let done = member.console.store().write(move |tx| {
        let Some(merchant) = tx.get(&MERCHANTS, &id)? else { return Ok::<_, StoreError>(()) };
        let (merchant, detail) = edit(merchant);
        tx.put(&MERCHANTS, &id, &merchant)?;
        stamp.record(tx, id, action, id, detail)
    });
    Ok(done.await?)
}

fn fee_rows(page: &Page, fees: &FeeSchedule, currency: Currency) -> Vec<FeeRow> {
    let row = |code, name, rule: Option<&FeeRule>| FeeRow {
        code,
        name,
        rate: rule.map(|rule| percent(rule.rate_ppm)).unwrap_or_default(),
        min: rule.map(|rule| decimal(u128::from(rule.min_minor), currency)).unwrap_or_default(),
    };
    let mut rows = vec![row("", page.lang.t("所有方式", "All methods"), Some(&fees.default))];
    rows.extend(
        Method::ALL
            .iter()
            .map(|method| row(method.code(), words::method_word(method, page.lang), fees.methods.get(method.code()))),
    );
    rows
}

fn read_fees(member: &Member, currency: Currency) -> Option<FeeSchedule> {
    let rule = |code: &str| -> Option<Option<FeeRule>> {
        let (rate, min) = (member.form.text(&format!("rate-{code}")), member.form.text(&format!("min-{code}")));
        if rate.is_empty() && min.is_empty() {
            return Some(None);
        }
        let min_minor = if min.is_empty() { 0 } else { Money::parse(min, currency).ok()?.minor() };
        let rate_ppm = if rate.is_empty() { 0 } else { parse_percent(rate)? };
        Some(Some(FeeRule { rate_ppm, min_minor, max_minor: None }))
    };
    let default = rule("")?.unwrap_or(FeeRule::FREE);
    let mut methods = BTreeMap::new();
    for method in Method::ALL {
        if let Some(rule) = rule(method.code())? {
            methods.insert(method.code().to_owned(), rule);
        }
    }
    Some(FeeSchedule { default, methods })
}

/// `0.6` for 6,000 parts per million.
fn percent(ppm: u32) -> String {
    let text = format!("{}.{:04}", ppm / 10_000, ppm % 10_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Per cent with up to four decimals, at most a hundred.
fn parse_percent(text: &str) -> Option<u32> {
    let text = text.strip_suffix('%').unwrap_or(text).trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits =
        |part: &str, max: usize| !part.is_empty() && part.len() <= max && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole, 3) || !digits(fraction, 4) {
        return None;
    }
    let ppm = whole.parse::<u32>().ok()? * 10_000 + format!("{fraction:0<4}").parse::<u32>().ok()?;
    (ppm <= RATE_PPM_MAX).then_some(ppm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_they_are_written() {
        for (text, ppm) in [("0.6", 6_000), ("0.38", 3_800), ("0", 0), ("1", 10_000), ("0.0001", 1), ("100", 1_000_000)]
        {
            assert_eq!(parse_percent(text), Some(ppm), "{text}");
            assert_eq!(percent(ppm), text);
        }
        assert_eq!(parse_percent("0.6%"), Some(6_000));
        for bad in ["", "-1", "100.1", "0.00001", "1e2", "６", ".5", "0,6", "1000"] {
            assert_eq!(parse_percent(bad), None, "{bad:?}");
        }
    }
}
