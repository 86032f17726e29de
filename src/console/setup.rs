//! One-time links: the first owner of a new installation, people who were invited, people who lost access. Used or
//! expired, the page does not exist.

use actix_web::http::StatusCode;
use askama::Template;

use super::auth::password::{PASSWORD_CHARS_MAX, Password, Weak, judge};
use super::auth::people::{self, PeopleError};
use super::auth::records::{Login, Membership, PERSON_NAME_CHARS_MAX, Session, SetupPurpose, SetupToken, User};
use super::auth::roles::Role;
use super::auth::session::Token;
use super::auth::{sessions, setup as links};
use super::visit::{Problem, Reply, Visit, role_name};
use crate::audit::log::Stamp;
use crate::audit::{Action, Actor, Detail};
use crate::domain::ids::UserId;
use crate::domain::merchant::Merchant;
use crate::domain::time::Timestamp;
use crate::store::tables::{MERCHANTS, SETUP_TOKENS, USERS};
use crate::store::{Read, StoreError, WriteTx};
use crate::web::Page;

/// Characters of a shop's name.
pub const SHOP_NAME_CHARS_MAX: usize = 40;

#[derive(Template)]
#[template(path = "console/setup.html")]
struct SetupPage<'a> {
    page: &'a Page,
    csrf: String,
    link: &'a Link,
    typed: &'a Typed,
    errors: Errors,
}

/// What a link is good for, with what the page shows about it.
struct Link {
    hash: [u8; 32],
    setup: SetupToken,
    shop: String,
    /// Whose access is set anew.
    user: Option<User>,
}

#[derive(Default)]
struct Typed {
    shop: String,
    name: String,
    login: String,
}

/// What is wrong with each field; empty is right.
#[derive(Default)]
struct Errors {
    shop: &'static str,
    name: &'static str,
    login: &'static str,
    password: &'static str,
}

impl Errors {
    fn any(&self) -> bool {
        [self.shop, self.name, self.login, self.password].iter().any(|error| !error.is_empty())
    }
}

impl Link {
    fn is_first_owner(&self) -> bool {
        matches!(self.setup.purpose, SetupPurpose::FirstOwner { .. })
    }

    fn role(&self, page: &Page) -> &'static str {
        let role = match &self.setup.purpose {
            SetupPurpose::FirstOwner { .. } => Role::Owner,
            SetupPurpose::Invitation { membership, .. } => membership.role,
            SetupPurpose::Reset { .. } => return "",
        };
        role_name(role).get(page.lang)
    }

    fn is_invitation(&self) -> bool {
        matches!(self.setup.purpose, SetupPurpose::Invitation { .. })
    }

    fn is_reset(&self) -> bool {
        self.user.is_some()
    }
}

async fn find(visit: &Visit) -> Result<Link, Problem> {
    let text: String = visit.part("token")?;
    let hash = Token::parse(&text).ok_or(Problem::NotFound)?.hash();
    let now = visit.now;
    visit.console.store().read(move |tx| good_link(tx, hash, now)).await?.ok_or(Problem::NotFound)
}

fn good_link(tx: &impl Read, hash: [u8; 32], now: Timestamp) -> Result<Option<Link>, StoreError> {
    let Some(setup) = tx.get(&SETUP_TOKENS, &hash)? else { return Ok(None) };
    if !links::is_good(&setup, people::anybody(tx)?, now) {
        return Ok(None);
    }
    let (merchant, user) = match &setup.purpose {
        SetupPurpose::FirstOwner { merchant } => (*merchant, None),
        SetupPurpose::Invitation { membership, .. } => (membership.merchant, None),
        SetupPurpose::Reset { user } => match people::find(tx, *user)?.filter(|user| user.disabled_at.is_none()) {
            Some(user) => (user.home.merchant, Some(user)),
            None => return Ok(None),
        },
    };
    let shop = tx.get(&MERCHANTS, &merchant)?.map(|merchant| merchant.name).unwrap_or_default();
    Ok(Some(Link { hash, setup, shop, user }))
}

pub(super) async fn page(visit: Visit) -> Reply {
    let link = find(&visit).await?;
    let typed = match &link.setup.purpose {
        SetupPurpose::FirstOwner { .. } => Typed { shop: link.shop.clone(), ..Typed::default() },
        SetupPurpose::Invitation { login, name, .. } => {
            Typed { name: name.clone(), login: login.as_str().to_owned(), ..Typed::default() }
        }
        SetupPurpose::Reset { .. } => Typed::default(),
    };
    let page =
        SetupPage { page: &visit.page, csrf: visit.csrf(), link: &link, typed: &typed, errors: Errors::default() };
    Ok(visit.render(StatusCode::OK, &page))
}

pub(super) async fn submit(visit: Visit) -> Reply {
    let link = find(&visit).await?;
    let form = |name| visit.form.text(name).to_owned();
    let typed = Typed { shop: form("shop"), name: form("name"), login: form("login") };
    let password = Password::new(visit.form.raw("password").to_owned());
    let (login, errors) = check(&visit.page, &link, &typed, &password);
    let (Some(login), false) = (login, errors.any()) else {
        let page = SetupPage { page: &visit.page, csrf: visit.csrf(), link: &link, typed: &typed, errors };
        return Ok(visit.render(StatusCode::UNPROCESSABLE_ENTITY, &page));
    };
    let hash = visit.console.hasher().hash(password).await?;
    let env = visit.console.env();
    let id = UserId::new(visit.now, env.random());
    let token = Token::generate(env.entropy.as_ref());
    let (new, used, now) = (token.hash(), link.hash, visit.now);
    let (ip, device) = (visit.ip.to_string(), visit.device.clone());
    let (name, shop) = (typed.name.clone(), typed.shop.clone());
    let done = visit
        .console
        .store()
        .write(move |tx| {
            // Looked up again: two clicks make one person.
            let Some(link) = good_link(tx, used, now)? else { return Err(PeopleError::NotFound) };
            tx.delete(&SETUP_TOKENS, &used)?;
            let person = NewPerson { id, login: login.clone(), name: name.clone(), shop: shop.clone() };
            let user = settle(tx, &link, &person, &hash, now, &ip)?;
            let session = Session {
                user: user.id,
                epoch: user.epoch,
                scope: user.home,
                second_factor_due: true,
                verified_at: Timestamp::MIN,
                enrolling: None,
                created_at: now,
                last_seen_at: now,
                ip: ip.clone(),
                device: device.clone(),
            };
            Ok(sessions::start(tx, new, &session)?)
        })
        .await;
    match done {
        Ok(()) => Ok(visit.go_with("/console/enrol", &token)),
        Err(PeopleError::LoginTaken) => {
            let errors = Errors {
                login: visit.page.lang.t("这个登录名已有人使用。", "Somebody else uses this login."),
                ..Errors::default()
            };
            let page = SetupPage { page: &visit.page, csrf: visit.csrf(), link: &link, typed: &typed, errors };
            Ok(visit.render(StatusCode::UNPROCESSABLE_ENTITY, &page))
        }
        Err(PeopleError::Store(error)) => Err(error.into()),
        Err(PeopleError::NotFound | PeopleError::LastOwner | PeopleError::TooMany) => Err(Problem::NotFound),
    }
}

struct NewPerson {
    id: UserId,
    login: Login,
    name: String,
    shop: String,
}

/// Makes or changes the person that the link speaks of.
fn settle(
    tx: &mut WriteTx<'_>,
    link: &Link,
    person: &NewPerson,
    hash: &super::auth::password::PasswordHash,
    now: Timestamp,
    ip: &str,
) -> Result<User, PeopleError> {
    let make = |membership| {
        people::new_user(person.id, person.login.clone(), person.name.clone(), hash.clone(), membership, now)
    };
    let stamp = |id| Stamp { at: now, actor: Actor::User(id), ip: ip.to_owned() };
    match (&link.setup.purpose, &link.user) {
        (SetupPurpose::FirstOwner { merchant }, _) => {
            let user = make(Membership { merchant: *merchant, role: Role::Owner });
            people::create(tx, &user)?;
            if let Some(shop) = tx.get(&MERCHANTS, merchant)? {
                tx.put(&MERCHANTS, merchant, &Merchant { name: person.shop.clone(), ..shop })?;
            }
            let detail = Detail::new().masked("login", user.login.as_str());
            stamp(user.id).record(tx, *merchant, Action::SetupCompleted, user.id, detail)?;
            Ok(user)
        }
        (SetupPurpose::Invitation { membership, .. }, _) => {
            let user = make(*membership);
            people::create(tx, &user)?;
            let detail = Detail::new().masked("login", user.login.as_str()).with("role", membership.role);
            stamp(user.id).record(tx, membership.merchant, Action::UserCreated, user.id, detail)?;
            Ok(user)
        }
        (SetupPurpose::Reset { .. }, Some(user)) => {
            let mut user = user.clone();
            // The phone is lost as well: a new one is enrolled on the next page.
            user.second_factor = None;
            user.recovery = super::auth::recovery::RecoveryCodes::default();
            user.attempts = super::auth::attempts::Attempts::NONE;
            let chain = user.home.merchant;
            let stamp = stamp(user.id);
            people::set_password(tx, &mut user, hash.clone(), chain, &stamp)?;
            tx.put(&USERS, &user.id, &user)?;
            Ok(user)
        }
        (SetupPurpose::Reset { .. }, None) => Err(PeopleError::NotFound),
    }
}

fn check(page: &Page, link: &Link, typed: &Typed, password: &Password) -> (Option<Login>, Errors) {
    let mut errors = Errors::default();
    let mut login = None;
    match &link.user {
        Some(user) => login = Some(user.login.clone()),
        None => {
            if typed.name.is_empty() || typed.name.chars().count() > PERSON_NAME_CHARS_MAX {
                errors.name = page.lang.t("请写 1 到 40 个字。", "Write 1 to 40 characters.");
            }
            let parsed = match &link.setup.purpose {
                // Whoever invites says who comes.
                SetupPurpose::Invitation { login, .. } => Ok(login.clone()),
                SetupPurpose::FirstOwner { .. } | SetupPurpose::Reset { .. } => Login::parse(&typed.login),
            };
            match parsed {
                Ok(parsed) => login = Some(parsed),
                Err(_) => {
                    errors.login = page.lang.t(
                        "邮箱或短名，只能用字母、数字和 . _ - + @。",
                        "An e-mail address or a short name of letters, digits and . _ - + @.",
                    );
                }
            }
        }
    }
    if link.is_first_owner() && (typed.shop.is_empty() || typed.shop.chars().count() > SHOP_NAME_CHARS_MAX) {
        errors.shop = page.lang.t("请写 1 到 40 个字。", "Write 1 to 40 characters.");
    }
    let name = link.user.as_ref().map_or(typed.name.as_str(), |user| &user.name);
    let login_text = login.as_ref().map_or(typed.login.as_str(), Login::as_str);
    if let Err(weak) = judge(password, &[name, login_text, &typed.shop, &link.shop]) {
        errors.password = weak_text(page, weak);
    }
    (login, errors)
}

/// What to change about a password that was refused.
pub(super) fn weak_text(page: &Page, weak: Weak) -> &'static str {
    const { assert!(PASSWORD_CHARS_MAX == 128, "the texts below name the number") };
    match weak {
        Weak::TooShort => page.lang.t("至少 12 个字符。", "At least 12 characters."),
        Weak::TooLong => page.lang.t("最多 128 个字符。", "At most 128 characters."),
        Weak::Repetitive => {
            page.lang.t("同样的字符重复太多，很容易猜到。", "The same characters over and over are easy to guess.")
        }
        Weak::OnlyDigits => page.lang.t("只有数字，很容易猜到。请加上几个词。", "Digits alone are easy to guess. Add some words."),
        Weak::Guessable => page.lang.t(
            "主要由常见词、键盘顺序或您的名字组成。试试四个互不相干的词。",
            "Mostly common words, keyboard runs or your own name. Try four words that have nothing to do with each other.",
        ),
    }
}
