//! The merchant's channel accounts: how they do, what they take, and their keys by fingerprint.

use actix_web::http::StatusCode;
use askama::Template;

use super::auth::roles::Permission;
use super::settings::{Tab, Tabs};
use super::visit::{Member, Problem, Reply};
use super::words;
use crate::audit::{Action, Detail};
use crate::channels::form::{self, Fact};
use crate::channels::registry::{CREDENTIALS_FIELD, Health, credentials_row};
use crate::crypto::{Place, Secret};
use crate::domain::ids::AccountId;
use crate::domain::merchant::{ChannelAccount, ChannelKind, Share};
use crate::domain::method::Method;
use crate::domain::money::{Currency, Money};
use crate::domain::time::Timestamp;
use crate::flows::FlowError;
use crate::flows::accounts::{self, LABEL_CHARS_MAX, Terms};
use crate::flows::connection::{self, ConnectionTest};
use crate::flows::unbelieved::{self, Unbelieved};
use crate::lang::Text;
use crate::store::tables::{ACCOUNTS, CONNECTION_TESTS};
use crate::store::{Order, Read, Span, StoreError};
use crate::web::{Frame, Page, Room};

/// An account as pages show it.
pub(super) struct Seen {
    pub account: ChannelAccount,
    pub facts: Vec<Fact>,
    /// What of its keys deserves a second look.
    pub warnings: Vec<Text>,
    /// What the connection test found; nothing for accounts that nobody typed in.
    pub tested: Option<ConnectionTest>,
    pub methods: Vec<Method>,
    pub health: Health,
    /// Why it cannot be used at all.
    pub broken: bool,
    ending: bool,
    now: Timestamp,
}

impl Seen {
    fn of(member: &Member, account: ChannelAccount, tested: Option<ConnectionTest>) -> Self {
        let channels = &member.console.gateway().channels;
        let open = channels.get(account.id);
        let methods = open.as_ref().map(|open| open.channel.terms().methods.iter().map(|terms| terms.method).collect());
        let opened = credentials(member, &account);
        let of_opened =
            |opened: &Secret| (form::facts(account.kind, opened), form::warnings(account.kind, opened, member.now));
        let (facts, warnings) = opened.as_ref().map(of_opened).unwrap_or_default();
        Self {
            facts,
            warnings,
            tested,
            methods: methods.unwrap_or_default(),
            health: channels.health(account.id),
            broken: open.is_none(),
            ending: open.is_some_and(|open| open.ending(member.now).is_some()),
            now: member.now,
            account,
        }
    }

    /// Keys that were typed in and never answered: neither a test nor a payment.
    pub fn is_untested(&self) -> bool {
        let found = self.tested.as_ref().is_some_and(|tested| tested.found.is_none());
        found && self.health.last_answer.is_none()
    }

    /// Takes no payments before its first good test.
    pub fn waits_for_test(&self) -> bool {
        !self.account.active && self.tested.as_ref().is_some_and(|tested| tested.starts)
    }

    /// The last test: whether it was good, what it means, and the provider's own words.
    pub fn verdict(&self, page: &Page) -> Option<(bool, &'static str, &str)> {
        let found = self.tested.as_ref()?.found.as_ref()?;
        Some((found.works(), found.sentence(self.account.kind).get(page.lang), found.said()))
    }

    pub fn tested_at(&self) -> Option<Timestamp> {
        self.tested.as_ref()?.asked_at
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
    ChannelKind::ALL.into_iter().filter(|kind| !form::steps(*kind).is_empty()).collect()
}

pub(super) async fn page(member: Member) -> Reply {
    let scope = member.scope();
    let rows = member
        .console
        .store()
        .read(move |tx| {
            let rows = tx.scan(&ACCOUNTS, &Span::prefix(&scope), Order::Ascending, accounts::ACCOUNTS_MAX)?;
            let with_test = |(key, account)| Ok((account, tx.get(&CONNECTION_TESTS, &key)?));
            rows.into_iter().map(with_test).collect::<Result<Vec<_>, StoreError>>()
        })
        .await?;
    let page = ChannelsPage {
        page: member.page.clone(),
        frame: member.frame(Room::Settings),
        tabs: Tabs::of(&member, Tab::Channels),
        accounts: rows.into_iter().map(|(account, tested)| Seen::of(&member, account, tested)).collect(),
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
    /// Messages that were not believed today.
    unbelieved: Option<Unbelieved>,
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

async fn detail(member: &Member, account: ChannelAccount) -> Result<ChannelPage, Problem> {
    let (share, row) = (account.share, (account.scope, account.id));
    let (gateway, scope, id, now) = (member.console.gateway().clone(), account.scope, account.id, member.now);
    let read = member.console.store().read(move |tx| {
        let unbelieved = unbelieved::today(tx, &gateway, scope, id, now)?;
        Ok::<_, FlowError>((tx.get(&CONNECTION_TESTS, &row)?, unbelieved))
    });
    let (tested, unbelieved) = read.await?;
    Ok(ChannelPage {
        unbelieved,
        page: member.page.clone(),
        frame: member.frame(Room::Settings),
        label: account.label.clone(),
        weight: share.weight.to_string(),
        min: limit(share.min_minor),
        max: limit(share.max_minor),
        error: "",
        may_manage: member.may(Permission::ManageSettings),
        may_replace: !form::steps(account.kind).is_empty(),
        done: member.done(),
        seen: Seen::of(member, account, tested),
    })
}

pub(super) async fn account_page(member: Member) -> Reply {
    let account = load(&member).await?;
    let page = detail(&member, account).await?;
    Ok(member.render(StatusCode::OK, &page))
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
                ..detail(&member, account).await?
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
            connection::decided(tx, scope, id)?;
            let said = Detail::new().with("active", terms.active).with("weight", terms.share.weight);
            stamp.record(tx, scope.merchant, Action::ChannelChanged, id, said)?;
            Ok::<_, StoreError>(())
        })
        .await?;
    member.console.gateway().reload_channels()?;
    Ok(member.go(&format!("/console/settings/channels/{id}?done=saved")))
}

/// Asks the provider one harmless question; the account's page tells what came of it.
pub(super) async fn test(member: Member) -> Reply {
    let account = load(&member).await?;
    let place = format!("/console/settings/channels/{}", account.id);
    match connection::test(member.console.gateway(), &account, member.stamp()).await? {
        Some(_) => Ok(member.go(&format!("{place}#test"))),
        None => Ok(member.go(&format!("{place}?done=tested_just_now#test"))),
    }
}
