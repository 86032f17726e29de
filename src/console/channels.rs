//! The merchant's channel accounts: how they do, what they take, and their keys by fingerprint.

use actix_web::http::StatusCode;
use askama::Template;

use super::auth::roles::Permission;
use super::settings::{Tab, Tabs};
use super::visit::{Member, Problem, Reply};
use crate::audit::{Action, Detail};
use crate::channels::form::{self, Fact};
use crate::channels::registry::{CREDENTIALS_FIELD, Health, credentials_row};
use crate::crypto::{Place, Secret};
use crate::domain::ids::AccountId;
use crate::domain::merchant::{ChannelAccount, ChannelKind, Share};
use crate::domain::method::Method;
use crate::domain::money::{Currency, Money};
use crate::domain::time::Timestamp;
use crate::flows::accounts::{self, LABEL_CHARS_MAX, Terms};
use crate::store::tables::ACCOUNTS;
use crate::store::{Order, Read, Span, StoreError};
use crate::web::{Frame, Page, Room};

/// An account as pages show it.
pub(super) struct Seen {
    pub account: ChannelAccount,
    pub facts: Vec<Fact>,
    pub methods: Vec<Method>,
    pub health: Health,
    /// Why it cannot be used at all.
    pub broken: bool,
    ending: bool,
    now: Timestamp,
}

impl Seen {
    fn of(member: &Member, account: ChannelAccount) -> Self {
        let channels = &member.console.gateway().channels;
        let open = channels.get(account.id);
        let methods = open.as_ref().map(|open| open.channel.terms().methods.iter().map(|terms| terms.method).collect());
        let facts = credentials(member, &account).map(|opened| form::facts(account.kind, &opened)).unwrap_or_default();
        Self {
            facts,
            methods: methods.unwrap_or_default(),
            health: channels.health(account.id),
            broken: open.is_none(),
            ending: open.is_some_and(|open| open.ending(member.now).is_some()),
            now: member.now,
            account,
        }
    }

    pub fn rests(&self) -> bool {
        self.health.rests(self.now)
    }

    pub fn is_ending(&self, fact: &Fact) -> bool {
        fact.is_ending(self.now)
    }

    pub fn any_ending(&self) -> bool {
        self.ending
    }

    pub fn kind_word(&self, page: &Page) -> &'static str {
        page.t(self.account.kind.name_zh(), self.account.kind.name_en())
    }

    pub fn method_words(&self, page: &Page) -> String {
        let words: Vec<&str> = self.methods.iter().map(|method| page.t(method.name_zh(), method.name_en())).collect();
        words.join(page.t("、", ", "))
    }
}

pub(super) fn credentials(member: &Member, account: &ChannelAccount) -> Option<Secret> {
    let row = credentials_row(account.scope, account.id);
    let place = Place { table: ACCOUNTS.name(), row: &row, field: CREDENTIALS_FIELD };
    member.console.gateway().vault.open(&place, &account.credentials).ok()
}

#[derive(Template)]
#[template(path = "console/channels.html")]
struct ChannelsPage {
    page: Page,
    frame: Frame,
    tabs: Tabs,
    accounts: Vec<Seen>,
    kinds: Vec<ChannelKind>,
    may_manage: bool,
    done: Option<&'static str>,
}

/// Providers that a merchant can connect.
pub(super) fn kinds() -> Vec<ChannelKind> {
    ChannelKind::ALL.into_iter().filter(|kind| !form::fields(*kind).is_empty()).collect()
}

pub(super) async fn page(member: Member) -> Reply {
    let scope = member.scope();
    let rows = member
        .console
        .store()
        .read(move |tx| tx.scan(&ACCOUNTS, &Span::prefix(&scope), Order::Ascending, accounts::ACCOUNTS_MAX))
        .await?;
    let page = ChannelsPage {
        page: member.page.clone(),
        frame: member.frame(Room::Settings),
        tabs: Tabs::of(&member, Tab::Channels),
        accounts: rows.into_iter().map(|(_, account)| Seen::of(&member, account)).collect(),
        kinds: kinds(),
        may_manage: member.may(Permission::ManageSettings),
        done: member.done(),
    };
    Ok(member.render(StatusCode::OK, &page))
}

#[derive(Template)]
#[template(path = "console/channel.html")]
struct ChannelPage {
    page: Page,
    frame: Frame,
    seen: Seen,
    /// What was typed, where it could not be saved.
    label: String,
    weight: String,
    min: String,
    max: String,
    error: &'static str,
    may_manage: bool,
    may_replace: bool,
    done: Option<&'static str>,
}

pub(super) async fn load(member: &Member) -> Result<ChannelAccount, Problem> {
    let id: AccountId = member.part("account")?;
    let scope = member.scope();
    member.console.store().read(move |tx| tx.get(&ACCOUNTS, &(scope, id))).await?.ok_or(Problem::NotFound)
}

/// Yuan as in a form; empty for no limit.
fn limit(minor: u64) -> String {
    if minor == 0 || minor == u64::MAX { String::new() } else { Money::new(minor, Currency::CNY).to_decimal() }
}

fn detail(member: &Member, account: ChannelAccount) -> ChannelPage {
    let share = account.share;
    ChannelPage {
        page: member.page.clone(),
        frame: member.frame(Room::Settings),
        label: account.label.clone(),
        weight: share.weight.to_string(),
        min: limit(share.min_minor),
        max: limit(share.max_minor),
        error: "",
        may_manage: member.may(Permission::ManageSettings),
        may_replace: !form::fields(account.kind).is_empty(),
        done: member.done(),
        seen: Seen::of(member, account),
    }
}

pub(super) async fn account_page(member: Member) -> Reply {
    let account = load(&member).await?;
    Ok(member.render(StatusCode::OK, &detail(&member, account)))
}

/// What was typed about name, share and amounts; `Err` says what is wrong.
fn read_terms(member: &Member) -> Result<Terms, &'static str> {
    let page = &member.page;
    let label = member.form.text("label");
    if label.is_empty() || label.chars().count() > LABEL_CHARS_MAX {
        return Err(page.t("请填写名称，最多 40 个字。", "A name is needed, 40 characters at most."));
    }
    let weight = member.form.text("weight").parse::<u16>().ok().filter(|weight| *weight <= Share::WEIGHT_MAX);
    let Some(weight) = weight else {
        return Err(page.t("份额应是 0 到 1000 的整数。", "The share is a whole number from 0 to 1000."));
    };
    let amount = |name: &str, otherwise: u64| match member.form.text(name) {
        "" => Some(otherwise),
        text => Money::parse(text, Currency::CNY).ok().map(|money| money.minor()),
    };
    let (Some(min_minor), Some(max_minor)) = (amount("min", 0), amount("max", u64::MAX)) else {
        return Err(
            page.t("金额写成 12.30 这样，不限就留空。", "Amounts look like 12.30; leave them empty for no limit.")
        );
    };
    if min_minor > max_minor {
        return Err(page.t("最小金额大于最大金额。", "The smallest amount is above the largest."));
    }
    let active = member.form.has("active");
    Ok(Terms { label: label.to_owned(), active, share: Share { weight, min_minor, max_minor } })
}

pub(super) async fn save(member: Member) -> Reply {
    let account = load(&member).await?;
    let terms = match read_terms(&member) {
        Ok(terms) => terms,
        Err(error) => {
            let text = |name: &str| member.form.text(name).to_owned();
            let typed = ChannelPage {
                label: text("label"),
                weight: text("weight"),
                min: text("min"),
                max: text("max"),
                error,
                ..detail(&member, account)
            };
            return Ok(member.render(StatusCode::UNPROCESSABLE_ENTITY, &typed));
        }
    };
    let (scope, id, stamp) = (member.scope(), account.id, member.stamp());
    member
        .console
        .store()
        .write(move |tx| {
            accounts::change(tx, scope, id, &terms, None)?;
            let said = Detail::new().with("active", terms.active).with("weight", terms.share.weight);
            stamp.record(tx, scope.merchant, Action::ChannelChanged, id, said)?;
            Ok::<_, StoreError>(())
        })
        .await?;
    member.console.gateway().reload_channels()?;
    Ok(member.go(&format!("/console/settings/channels/{id}?done=saved")))
}
