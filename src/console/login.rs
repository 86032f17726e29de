//! Password, then second factor; logging out; which merchant and mode are on the screen.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

use super::auth::password::Password;
use super::auth::people::{self, Checked};
use super::auth::records::{Login, Session, User};
use super::auth::session::Token;
use super::auth::sessions;
use super::visit::{Member, Problem, Reply, Visit, rate_key};
use crate::audit::{Action, Actor, Detail, INSTALLATION};
use crate::domain::ids::{MerchantId, Mode, Scope};
use crate::domain::time::{Duration, Timestamp};
use crate::store::tables::USERS;
use crate::store::{Read, StoreError};
use crate::web::Page;

#[derive(Template)]
#[template(path = "console/login.html")]
struct LoginPage<'a> {
    page: &'a Page,
    csrf: String,
    next: String,
    login: &'a str,
    trouble: Option<Trouble>,
    /// Nobody exists yet: the link that was printed at the first start is the way in.
    nobody: bool,
}

#[derive(Template)]
#[template(path = "console/login_code.html")]
struct CodePage<'a> {
    page: &'a Page,
    csrf: String,
    next: String,
    trouble: Option<Trouble>,
}

/// Why the door stayed shut. Whether a login exists is never said.
pub(super) enum Trouble {
    Wrong,
    Wait(Duration),
}

impl Trouble {
    pub(super) fn wait(&self, page: &Page) -> String {
        match self {
            Trouble::Wrong => String::new(),
            Trouble::Wait(wait) => {
                let seconds = wait.as_seconds().max(1);
                let (count, zh, en) = if seconds < 120 {
                    (seconds, "秒", "seconds")
                } else {
                    (seconds.div_ceil(60), "分钟", "minutes")
                };
                format!("{count} {}", page.t(zh, en))
            }
        }
    }
}

pub(super) async fn page(visit: Visit) -> Reply {
    let (token, now) = (visit.token.clone(), visit.now);
    let (inside, anybody) = visit
        .console
        .store()
        .read(move |tx| Ok::<_, StoreError>((sessions::find(tx, &token, now)?.is_some(), people::anybody(tx)?)))
        .await?;
    if inside {
        return Ok(visit.go(&visit.next()));
    }
    Ok(show_login(&visit, StatusCode::OK, "", None, !anybody))
}

fn show_login(visit: &Visit, status: StatusCode, login: &str, trouble: Option<Trouble>, nobody: bool) -> HttpResponse {
    let page = LoginPage { page: &visit.page, csrf: visit.csrf(), next: visit.next(), login, trouble, nobody };
    visit.render(status, &page)
}

pub(super) async fn submit(visit: Visit) -> Reply {
    let typed = visit.form.text("login");
    let keys = [rate_key("login", &typed.to_lowercase()), visit.rate_key()];
    let wait = visit.console.throttle().wait(&keys, visit.now);
    if let Some(wait) = wait {
        return Ok(show_login(&visit, StatusCode::TOO_MANY_REQUESTS, typed, Some(Trouble::Wait(wait)), false));
    }
    let user = match Login::parse(typed) {
        Ok(login) => visit.console.store().read(move |tx| people::find_by_login(tx, &login)).await?,
        Err(_) => None,
    };
    let password = Password::new(visit.form.raw("password").to_owned());
    let stored = user.as_ref().map(|user| user.password.clone());
    let right = visit.console.hasher().verify(stored, password).await?;
    match user.filter(|user| right && user.disabled_at.is_none()) {
        Some(user) => {
            visit.console.throttle().succeeded(&keys[0]);
            let token = start_half(&visit, user).await?;
            let next: String = url::form_urlencoded::byte_serialize(visit.next().as_bytes()).collect();
            Ok(visit.go_with(&format!("/console/login/code?next={next}"), &token))
        }
        None => {
            visit.console.throttle().failed(&keys, visit.now);
            let (stamp, typed_copy) = (visit.stamp(Actor::Stranger), typed.to_owned());
            let detail = move || Detail::new().masked("login", &typed_copy);
            let store = visit.console.store();
            store.write(move |tx| stamp.record(tx, INSTALLATION, Action::LoginFailed, "", detail())).await?;
            Ok(show_login(&visit, StatusCode::UNAUTHORIZED, typed, Some(Trouble::Wrong), false))
        }
    }
}

/// Stores a session that opens nothing but the page for the second factor, under a new token.
pub(super) async fn start_half(visit: &Visit, user: User) -> Result<Token, StoreError> {
    let token = Token::generate(visit.console.env().entropy.as_ref());
    let session = new_session(visit, &user);
    let hash = token.hash();
    visit.console.store().write(move |tx| sessions::start(tx, hash, &session)).await?;
    Ok(token)
}

/// A session of this browser, before the second factor.
fn new_session(visit: &Visit, user: &User) -> Session {
    Session {
        user: user.id,
        epoch: user.epoch,
        scope: entry_of(user),
        second_factor_due: true,
        verified_at: Timestamp::MIN,
        enrolling: None,
        created_at: visit.now,
        last_seen_at: visit.now,
        ip: visit.ip.to_string(),
        device: visit.device.clone(),
    }
}

/// Where a login begins: where the person was last, as long as that is still allowed.
fn entry_of(user: &User) -> Scope {
    match user.role_at(user.home.merchant) {
        Some(_) => user.home,
        None => {
            let merchant = user.memberships.first().map_or(user.home.merchant, |membership| membership.merchant);
            Scope { merchant, mode: Mode::Test }
        }
    }
}

pub(super) async fn code_page(member: Member) -> Reply {
    if !member.session.second_factor_due {
        return Ok(member.go(&member.next()));
    }
    if member.user.second_factor.is_none() {
        return Ok(member.go("/console/enrol"));
    }
    Ok(show_code(&member, StatusCode::OK, None))
}

fn show_code(member: &Member, status: StatusCode, trouble: Option<Trouble>) -> HttpResponse {
    let page = CodePage { page: &member.page, csrf: member.csrf(), next: member.next(), trouble };
    member.render(status, &page)
}

pub(super) async fn code_submit(member: Member) -> Reply {
    if member.user.second_factor.is_none() {
        return Ok(member.go("/console/enrol"));
    }
    let token = Token::generate(member.console.env().entropy.as_ref());
    let (old, new) = (member.token.hash(), token.hash());
    let session = Session {
        second_factor_due: false,
        verified_at: member.now,
        created_at: member.now,
        last_seen_at: member.now,
        ..member.session.clone()
    };
    let (stamp, chain, user) = (member.stamp(), member.chain(), member.user.id);
    let (vault, code, device) =
        (member.console.vault().clone(), member.form.text("code").to_owned(), member.device.clone());
    let checked = member
        .console
        .store()
        .write(move |tx| {
            let checked = people::check_second_factor(tx, &vault, user, &code, chain, &stamp)?;
            if let Checked::Accepted | Checked::AcceptedRecovery { .. } = checked {
                sessions::renew(tx, old, new, &session)?;
                let detail = Detail::new().with("device", &device);
                stamp.record(tx, chain, Action::LoginSucceeded, user, detail)?;
            }
            Ok::<_, StoreError>(checked)
        })
        .await?;
    match checked {
        Checked::Accepted => Ok(member.go_with(&member.next(), &token)),
        // Whoever needed a code of last resort should look at his phone and at what is left.
        Checked::AcceptedRecovery { .. } => Ok(member.go_with("/console/settings/me?done=recovery_used", &token)),
        Checked::Wrong => Ok(show_code(&member, StatusCode::UNAUTHORIZED, Some(Trouble::Wrong))),
        Checked::Locked(wait) => Ok(show_code(&member, StatusCode::TOO_MANY_REQUESTS, Some(Trouble::Wait(wait)))),
    }
}

pub(super) async fn logout(member: Member) -> Reply {
    let (hash, user, stamp, chain) = (member.token.hash(), member.user.id, member.stamp(), member.chain());
    member
        .console
        .store()
        .write(move |tx| {
            sessions::end(tx, user, hash)?;
            stamp.record(tx, chain, Action::LoggedOut, user, Detail::new())
        })
        .await?;
    let mut response = member.go("/console/login");
    response.add_cookie(&member.console.cookie_kind().remove()).expect("our cookie is a valid header");
    Ok(response)
}

/// Puts another merchant or mode on the screen, and remembers it.
pub(super) async fn switch(member: Member) -> Reply {
    let mut scope = member.scope();
    match member.form.text("merchant") {
        "" => {}
        id => {
            let id: MerchantId = id.parse().map_err(|_| Problem::NotFound)?;
            member.user.role_at(id).ok_or(Problem::NotFound)?;
            scope.merchant = id;
        }
    }
    scope.mode = match member.form.text("mode") {
        "" => scope.mode,
        "test" => Mode::Test,
        "live" => Mode::Live,
        _ => return Err(Problem::Malformed),
    };
    let (hash, id, stamp) = (member.token.hash(), member.user.id, member.stamp());
    member
        .console
        .store()
        .write(move |tx| {
            sessions::update(tx, hash, |session| session.scope = scope)?;
            if let Some(mut user) = tx.get(&USERS, &id)? {
                user.home = scope;
                tx.put(&USERS, &id, &user)?;
            }
            let detail = Detail::new().with("mode", scope.mode.as_str());
            stamp.record(tx, scope.merchant, Action::MerchantSwitched, scope.merchant, detail)
        })
        .await?;
    Ok(member.go("/console"))
}
