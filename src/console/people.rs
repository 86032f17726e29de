//! The people of a shop: who they are, what they may do, inviting, removing, letting back in. Nobody hands out a right
//! that he lacks, and only an owner touches owners.

use actix_web::http::StatusCode;
use askama::Template;

use super::auth::people::{self, PeopleError};
use super::auth::records::{Login, Membership, PERSON_NAME_CHARS_MAX, SetupPurpose, User};
use super::auth::roles::{Permission, Role};
use super::auth::setup::Link;
use super::endpoint::SecretPage;
use super::settings::{Tab, Tabs};
use super::visit::{Member, Notice, Problem, Reply, role_name};
use crate::audit::{Action, Detail};
use crate::domain::ids::UserId;
use crate::web::{Frame, Page, Room};

#[derive(Template)]
#[template(path = "console/people.html")]
struct PeoplePage {
    page: Page,
    frame: Frame,
    tabs: Tabs,
    people: Vec<Person>,
    /// Roles that this person may give.
    roles: Vec<Role>,
    login: String,
    name: String,
    login_error: &'static str,
    name_error: &'static str,
    may_manage: bool,
    done: Option<&'static str>,
}

struct Person {
    user: User,
    role: Role,
    is_me: bool,
    /// This person may be changed by whoever looks.
    is_open: bool,
}

impl PeoplePage {
    fn role(&self, role: &Role) -> &'static str {
        role_name(*role).get(self.page.lang)
    }

    fn role_text(&self, role: &Role) -> &'static str {
        role_text(role, &self.page)
    }
}

/// What a role may do, in a sentence.
fn role_text(role: &Role, page: &Page) -> &'static str {
    match role {
        Role::Owner => page.lang.t("全部权限，包括其他店主。", "Everything, other owners included."),
        Role::Admin => {
            page.lang.t("人员、密钥、回调、设置；不能退款。", "People, keys, callbacks, settings; no refunds.")
        }
        Role::Finance => page.lang.t("退款、账本、查询收款。", "Refunds, the ledger, payments."),
        Role::Operator => page.lang.t(
            "收款、向渠道查询、取消、重发通知；看设置。",
            "Payments, asking the channel, canceling, callbacks; sees settings.",
        ),
        Role::Support => page.lang.t("查收款、重发通知。", "Looks up payments, sends callbacks again."),
        Role::Auditor => page.lang.t("什么都能看，什么都不能改。", "Sees everything, changes nothing."),
    }
}

pub(super) async fn page(member: Member) -> Reply {
    let page = build(&member).await?;
    Ok(member.render(StatusCode::OK, &page))
}

async fn build(member: &Member) -> Result<PeoplePage, Problem> {
    let (merchant, mine, me) = (member.merchant.id, member.role, member.user.id);
    let may_manage = member.may(Permission::ManageUsers);
    let users = member.console.store().read(move |tx| people::members(tx, merchant)).await?;
    let people = users.into_iter().filter(|user| user.disabled_at.is_none()).filter_map(|user| {
        let role = user.role_at(merchant)?;
        let is_me = user.id == me;
        Some(Person { user, role, is_me, is_open: may_manage && !is_me && mine.may_assign(role) })
    });
    Ok(PeoplePage {
        people: people.collect(),
        roles: Role::ALL.into_iter().filter(|role| mine.may_assign(*role)).collect(),
        login: String::new(),
        name: String::new(),
        login_error: "",
        name_error: "",
        may_manage,
        done: member.done(),
        tabs: Tabs::of(member, Tab::People),
        page: member.page.clone(),
        frame: member.frame(Room::Settings),
    })
}

pub(super) async fn invite(member: Member) -> Reply {
    let (typed_login, name) = (member.form.text("login").to_owned(), member.form.text("name").to_owned());
    let role = Role::parse(member.form.text("role")).ok_or(Problem::Malformed)?;
    if !member.role.may_assign(role) {
        return Err(Problem::Forbidden);
    }
    let mut page = build(&member).await?;
    let login = Login::parse(&typed_login);
    if login.is_err() {
        page.login_error = member.page.lang.t(
            "邮箱或短名，只能用字母、数字和 . _ - + @。",
            "An e-mail address or a short name of letters, digits and . _ - + @.",
        );
    } else if let Ok(login) = login.clone()
        && member.console.store().read(move |tx| people::find_by_login(tx, &login)).await?.is_some()
    {
        page.login_error = member.page.lang.t("这个登录名已有人使用。", "Somebody uses this login already.");
    }
    if name.is_empty() || name.chars().count() > PERSON_NAME_CHARS_MAX {
        page.name_error = member.page.lang.t("请写 1 到 40 个字。", "Write 1 to 40 characters.");
    }
    let (Ok(login), true) = (login, page.login_error.is_empty() && page.name_error.is_empty()) else {
        (page.login, page.name) = (typed_login, name);
        return Ok(member.render(StatusCode::UNPROCESSABLE_ENTITY, &page));
    };
    let detail = Detail::new().masked("login", login.as_str()).with("role", role);
    let membership = Membership { merchant: member.merchant.id, role };
    let purpose = SetupPurpose::Invitation { login, name, membership };
    let link = issue(&member, purpose, Action::UserInvited, String::new(), detail).await?;
    show_link(&member, &link)
}

/// Stores a one-time link with its audit record; answers the address.
async fn issue(
    member: &Member,
    purpose: SetupPurpose,
    action: Action,
    object: String,
    detail: Detail,
) -> Result<String, Problem> {
    let link = Link::new(purpose, member.console.env(), &member.console.link(""));
    let (url, stamp, chain) = (link.url.clone(), member.stamp(), member.chain());
    let stored = member.console.store().write(move |tx| {
        link.store(tx)?;
        stamp.record(tx, chain, action, &object, detail.clone())
    });
    stored.await?;
    Ok(url)
}

fn show_link(member: &Member, link: &str) -> Reply {
    let page = SecretPage {
        page: &member.page,
        frame: member.frame(Room::Settings),
        title: member.page.t("把这个链接交给他", "Hand over this link"),
        what: member.page.t(
            "48 小时内有效，只能用一次。请当面或用可靠的方式发给本人。",
            "It works once, within 48 hours. Give it to nobody but this person.",
        ),
        secret: link,
        href: "/console/settings/people".to_owned(),
    };
    Ok(member.render(StatusCode::OK, &page))
}

/// Somebody of this shop whom this person may change.
async fn subject(member: &Member) -> Result<(User, Role), Problem> {
    let id: UserId = member.part("user")?;
    let merchant = member.merchant.id;
    let user = member.console.store().read(move |tx| people::find(tx, id)).await?.ok_or(Problem::NotFound)?;
    let role = user.role_at(merchant).filter(|_| user.disabled_at.is_none()).ok_or(Problem::NotFound)?;
    // What one does to oneself stands under "me".
    if user.id == member.user.id || !member.role.may_assign(role) {
        return Err(Problem::Forbidden);
    }
    Ok((user, role))
}

fn refused(member: &Member, error: PeopleError) -> Reply {
    let why = match error {
        PeopleError::Store(error) => return Err(error.into()),
        PeopleError::NotFound => return Err(Problem::NotFound),
        PeopleError::LoginTaken => member.page.t("这个登录名已有人使用。", "Somebody uses this login already."),
        PeopleError::LastOwner => {
            member.page.t("店铺至少要有一位店主。请先指定另一位。", "A shop needs an owner. Name another one first.")
        }
        PeopleError::TooMany => member.page.t("人数已到上限。", "There are as many people as there can be."),
    };
    let (title, way) = (member.page.t("没有执行", "Nothing was done"), member.page.t("返回", "Back"));
    let notice = Notice::new(&member.page, title, why, way, "/console/settings/people");
    Ok(notice.respond(&member.page, StatusCode::CONFLICT))
}

pub(super) async fn change_role(member: Member) -> Reply {
    let (user, _) = subject(&member).await?;
    let role = Role::parse(member.form.text("role")).ok_or(Problem::Malformed)?;
    if !member.role.may_assign(role) {
        return Err(Problem::Forbidden);
    }
    let (merchant, stamp) = (member.merchant.id, member.stamp());
    let write = member.console.store().write(move |tx| people::change_role(tx, merchant, user.id, role, &stamp));
    match write.await {
        Ok(()) => Ok(member.go("/console/settings/people?done=role_changed")),
        Err(error) => refused(&member, error),
    }
}

pub(super) async fn remove(member: Member) -> Reply {
    let (user, _) = subject(&member).await?;
    let (merchant, stamp) = (member.merchant.id, member.stamp());
    let write = member.console.store().write(move |tx| people::remove(tx, merchant, user.id, &stamp));
    match write.await {
        Ok(()) => Ok(member.go("/console/settings/people?done=person_removed")),
        Err(error) => refused(&member, error),
    }
}

/// A link with which somebody who lost access chooses password and authenticator anew.
pub(super) async fn reset(member: Member) -> Reply {
    let (user, _) = subject(&member).await?;
    // Whoever works for another shop too could be taken over there by this one.
    if user.memberships.len() > 1 {
        return Err(Problem::Forbidden);
    }
    let detail = Detail::new().masked("login", user.login.as_str());
    let purpose = SetupPurpose::Reset { user: user.id };
    let link = issue(&member, purpose, Action::UserResetIssued, user.id.to_string(), detail).await?;
    show_link(&member, &link)
}
