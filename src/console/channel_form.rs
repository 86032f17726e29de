//! Connecting a channel, and giving an account new keys. What is typed in is checked, sealed, and never shown again.

use actix_web::http::StatusCode;
use askama::Template;

use super::channels;
use super::visit::{Member, Problem, Reply};
use crate::audit::{Action, Detail};
use crate::channels::form::{self, Field, Replaced, Shape, Step, Typed, Wrong, YES};
use crate::crypto::Secret;
use crate::domain::ids::{AccountId, Mode};
use crate::domain::merchant::{ChannelAccount, ChannelKind, Share};
use crate::flows::accounts::{self, ACCOUNTS_MAX, Terms};
use crate::flows::connection;
use crate::store::tables::ACCOUNTS;
use crate::store::{Order, Read, Span, StoreError};
use crate::web::{Frame, Page, Room};

#[derive(Template)]
#[template(path = "console/channel_form.html")]
struct ChannelForm {
    page: Page,
    frame: Frame,
    kind: ChannelKind,
    /// The account that gets new keys; none for a new one.
    account: Option<ChannelAccount>,
    typed: Typed,
    /// Secrets that are there and stay when nothing is typed.
    kept: Vec<&'static str>,
    wrong: Vec<Wrong>,
    whole_error: &'static str,
    /// In test mode the provider is played by this server.
    test: bool,
}

impl ChannelForm {
    fn new(member: &Member, kind: ChannelKind, account: Option<ChannelAccount>) -> Self {
        Self {
            page: member.page.clone(),
            frame: member.frame(Room::Settings),
            kind,
            account,
            typed: form::blank(kind),
            kept: Vec::new(),
            wrong: Vec::new(),
            whole_error: "",
            test: member.scope().mode == Mode::Test,
        }
    }

    fn kind_word(&self) -> &'static str {
        self.page.t(self.kind.name_zh(), self.kind.name_en())
    }

    /// The form of an account that is there, with what is no secret.
    fn filled(member: &Member, account: ChannelAccount) -> Self {
        let old = channels::credentials(member, &account);
        let form::Present { typed, secrets } = old.map(|old| form::present(account.kind, &old)).unwrap_or_default();
        Self { typed, kept: secrets, ..Self::new(member, account.kind, Some(account)) }
    }

    fn steps(&self) -> &'static [Step] {
        form::steps(self.kind)
    }

    fn is_kept(&self, field: &Field) -> bool {
        self.kept.contains(&field.name)
    }

    /// What browsers insist on; what is kept need not be typed again.
    fn is_required(&self, field: &Field) -> bool {
        field.required && !self.is_kept(field)
    }

    fn is_ticked(&self, field: &Field) -> bool {
        self.value(field) == YES
    }

    /// Secrets are typed again: a page that came back with them could be kept by a browser.
    fn value(&self, field: &Field) -> &str {
        match field.shape {
            Shape::Line | Shape::OpenText | Shape::Check | Shape::Choice(_) => {
                self.typed.get(field.name).map_or("", String::as_str)
            }
            Shape::Secret | Shape::SecretText | Shape::SecretFile => "",
        }
    }

    /// Providers hand these out as files.
    fn is_file(&self, field: &Field) -> bool {
        match field.shape {
            Shape::Line | Shape::Secret | Shape::Check | Shape::Choice(_) => false,
            Shape::SecretText | Shape::SecretFile | Shape::OpenText => true,
        }
    }

    fn error(&self, field: &Field) -> &'static str {
        let wrong = self.wrong.iter().find(|wrong| wrong.field == field.name);
        wrong.map_or("", |wrong| wrong.text.get(self.page.lang))
    }

    /// Faults of fields that the form does not have.
    fn other_errors(&self) -> Vec<&'static str> {
        let known = |wrong: &&Wrong| !form::fields(self.kind).any(|field| field.name == wrong.field);
        self.wrong.iter().filter(known).map(|wrong| wrong.text.get(self.page.lang)).collect()
    }

    /// Reads what was typed; `None` when something is wrong, which is noted.
    fn read(&mut self, member: &Member) -> Option<Secret> {
        let old = self.account.as_ref().and_then(|account| channels::credentials(member, account));
        let text = |field: &'static Field| (field.name, member.form.text(field.name).replace("\r\n", "\n"));
        self.typed = form::fields(self.kind).map(text).collect();
        let removes = |field: &&Field| field.removable && member.form.has(&format!("remove_{}", field.name));
        let removed: Vec<&'static str> = form::fields(self.kind).filter(removes).map(|field| field.name).collect();
        let old = old.as_ref().map(|credentials| Replaced { credentials, removed: &removed });
        match form::check(self.kind, &self.typed, old, member.scope().mode, member.now) {
            Ok(secret) => Some(secret),
            Err(wrong) => {
                self.wrong = wrong;
                None
            }
        }
    }
}

fn kind_of(member: &Member) -> Result<ChannelKind, Problem> {
    let code: String = member.part("kind")?;
    channels::kinds().into_iter().find(|kind| kind.code() == code).ok_or(Problem::NotFound)
}

pub(super) async fn new_page(member: Member) -> Reply {
    let form = ChannelForm::new(&member, kind_of(&member)?, None);
    Ok(member.render(StatusCode::OK, &form))
}

pub(super) async fn create(member: Member) -> Reply {
    let kind = kind_of(&member)?;
    let mut form = ChannelForm::new(&member, kind, None);
    let Some(secret) = form.read(&member) else {
        return Ok(member.render(StatusCode::UNPROCESSABLE_ENTITY, &form));
    };
    let gateway = member.console.gateway();
    let (scope, stamp, now) = (member.scope(), member.stamp(), member.now);
    let id = AccountId::new(now, member.console.env().random());
    let sealed = accounts::seal(gateway, scope, id, &secret);
    // The first good test of the connection switches it on.
    let terms = Terms { label: form.kind_word().to_owned(), active: false, share: Share::WHOLE };
    let added = member
        .console
        .store()
        .write(move |tx| {
            let others = tx.scan(&ACCOUNTS, &Span::prefix(&scope), Order::Ascending, ACCOUNTS_MAX)?;
            if others.len() >= ACCOUNTS_MAX {
                return Ok(false);
            }
            accounts::add(tx, (scope, id), kind, &terms, sealed.clone(), now)?;
            connection::expect(tx, scope, id)?;
            stamp.record(tx, scope.merchant, Action::ChannelAdded, id, Detail::new().with("kind", kind.code()))?;
            Ok::<_, StoreError>(true)
        })
        .await?;
    if !added {
        form.whole_error = form.page.t("渠道账户太多了，请先整理。", "There are too many channel accounts.");
        return Ok(member.render(StatusCode::CONFLICT, &form));
    }
    in_use(&member).await?;
    Ok(member.go(&format!("/console/settings/channels/{id}?done=channel_added")))
}

pub(super) async fn keys_page(member: Member) -> Reply {
    let account = channels::load(&member).await?;
    if form::steps(account.kind).is_empty() {
        return Err(Problem::NotFound);
    }
    let form = ChannelForm::filled(&member, account);
    Ok(member.render(StatusCode::OK, &form))
}

pub(super) async fn replace(member: Member) -> Reply {
    let account = channels::load(&member).await?;
    let (scope, id, stamp) = (member.scope(), account.id, member.stamp());
    let terms = Terms { label: account.label.clone(), active: account.active, share: account.share };
    let mut form = ChannelForm::filled(&member, account);
    let Some(secret) = form.read(&member) else {
        return Ok(member.render(StatusCode::UNPROCESSABLE_ENTITY, &form));
    };
    let sealed = accounts::seal(member.console.gateway(), scope, id, &secret);
    member
        .console
        .store()
        .write(move |tx| {
            accounts::change(tx, scope, id, &terms, Some(&sealed))?;
            connection::forget(tx, scope, id)?;
            stamp.record(tx, scope.merchant, Action::ChannelKeysReplaced, id, Detail::new())?;
            Ok::<_, StoreError>(())
        })
        .await?;
    member.console.gateway().channels.forget(id);
    in_use(&member).await?;
    Ok(member.go(&format!("/console/settings/channels/{id}?done=channel_keys")))
}

/// Opens the accounts again and plans what has to be fetched for them.
async fn in_use(member: &Member) -> Result<(), StoreError> {
    let gateway = member.console.gateway().clone();
    let opened = actix_web::web::block(move || {
        gateway.reload_channels()?;
        accounts::plan_upkeep(&gateway)
    });
    // The pool of blocking threads ends with the process only.
    opened.await.unwrap_or(Ok(()))
}
