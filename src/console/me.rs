//! What a person sets for himself: language, password, authenticator, recovery codes, devices.

use std::borrow::Borrow;

use actix_web::http::StatusCode;
use askama::Template;

use super::auth::attempts::PASSWORD_WAIT_MAX;
use super::auth::password::{Password, judge};
use super::auth::people;
use super::auth::records::{Session, User};
use super::auth::recovery::RecoveryCodes;
use super::auth::session::Token;
use super::auth::sessions;
use super::enrol::show_codes;
use super::settings::{Tab, Tabs};
use super::setup::weak_text;
use super::visit::{Member, Problem, Reply, rate_key};
use crate::audit::{Action, Detail};
use crate::lang::Lang;
use crate::store::tables::USERS;
use crate::store::{Read, StoreError};
use crate::web::{Frame, Page, Room};

#[derive(Template)]
#[template(path = "console/me.html")]
struct MePage {
    page: Page,
    frame: Frame,
    tabs: Tabs,
    user: User,
    sessions: Vec<Device>,
    current_error: String,
    new_error: &'static str,
    done: Option<&'static str>,
}

/// One browser that is logged in.
struct Device {
    /// The start of the token's hash: enough to name it, useless otherwise.
    name: String,
    session: Session,
    is_this: bool,
}

impl MePage {
    fn is_lang(&self, lang: impl Borrow<Lang>) -> bool {
        self.page.lang == *lang.borrow()
    }

    fn codes_left(&self) -> usize {
        self.user.recovery.left()
    }

    fn enrolled_at(&self) -> Option<crate::domain::time::Timestamp> {
        self.user.second_factor.as_ref().map(|factor| factor.enrolled_at)
    }

    fn has_others(&self) -> bool {
        self.sessions.len() > 1
    }
}

fn device_name(hash: &[u8; 32]) -> String {
    data_encoding::HEXLOWER.encode(&hash[..8])
}

async fn build(member: &Member) -> Result<MePage, Problem> {
    let (user, now, this) = (member.user.clone(), member.now, member.token.hash());
    let rows = member.console.store().read(move |tx| sessions::of_user(tx, &user, now)).await?;
    let devices =
        rows.into_iter().map(|(hash, session)| Device { name: device_name(&hash), session, is_this: hash == this });
    Ok(MePage {
        sessions: devices.collect(),
        user: member.user.clone(),
        current_error: String::new(),
        new_error: "",
        done: member.done(),
        tabs: Tabs::of(member, Tab::Me),
        page: member.page.clone(),
        frame: member.frame(Room::Settings),
    })
}

pub(super) async fn page(member: Member) -> Reply {
    let page = build(&member).await?;
    Ok(member.render(StatusCode::OK, &page))
}

pub(super) async fn set_language(member: Member) -> Reply {
    let lang = Lang::from_tag(member.form.text("lang")).ok_or(Problem::Malformed)?;
    let (id, stamp, chain) = (member.user.id, member.stamp(), member.chain());
    member
        .console
        .store()
        .write(move |tx| {
            let Some(mut user) = tx.get(&USERS, &id)? else { return Ok::<_, StoreError>(()) };
            user.language = Some(lang);
            tx.put(&USERS, &id, &user)?;
            stamp.record(tx, chain, Action::LanguageChanged, id, Detail::new().with("language", lang.tag()))
        })
        .await?;
    // The browser remembers it too.
    Ok(member.go(&format!("/console/settings/me?done=language&lang={}", lang.tag())))
}

pub(super) async fn set_password(member: Member) -> Reply {
    let current = Password::new(member.form.raw("current").to_owned());
    let new = Password::new(member.form.raw("new").to_owned());
    let mut page = build(&member).await?;
    let key = rate_key("password", member.user.login.as_str());
    let wait = member.console.throttle().wait(&[key], member.now);
    if let Some(wait) = wait {
        let seconds = wait.min(PASSWORD_WAIT_MAX).as_seconds().max(1);
        page.current_error = match member.page.zh() {
            true => format!("尝试太多次，请 {seconds} 秒后再试。"),
            false => format!("Too many tries. Wait {seconds} seconds."),
        };
        return Ok(member.render(StatusCode::TOO_MANY_REQUESTS, &page));
    }
    if !member.console.hasher().verify(Some(member.user.password.clone()), current).await? {
        member.console.throttle().failed(&[key], member.now);
        page.current_error = member.page.t("现在的密码不对。", "This is not your present password.").to_owned();
        return Ok(member.render(StatusCode::UNPROCESSABLE_ENTITY, &page));
    }
    member.console.throttle().succeeded(&key);
    if let Err(weak) = judge(&new, &[&member.user.name, member.user.login.as_str(), &member.merchant.name]) {
        page.new_error = weak_text(&member.page, weak);
        return Ok(member.render(StatusCode::UNPROCESSABLE_ENTITY, &page));
    }
    let hash = member.console.hasher().hash(new).await?;
    renewed(&member, "password_changed", move |tx, user, chain, stamp| {
        people::set_password(tx, user, hash.clone(), chain, stamp)
    })
    .await
}

/// Ends all sessions but this one.
pub(super) async fn end_others(member: Member) -> Reply {
    renewed(&member, "sessions_ended", |tx, user, chain, stamp| {
        user.epoch += 1;
        tx.put(&USERS, &user.id, user)?;
        stamp.record(tx, chain, Action::SessionsEnded, user.id, Detail::new())
    })
    .await
}

/// Changes the person in a way that ends all sessions, and gives this browser a new one.
async fn renewed(
    member: &Member,
    done: &str,
    change: impl Fn(
        &mut crate::store::WriteTx<'_>,
        &mut User,
        crate::domain::ids::MerchantId,
        &crate::audit::log::Stamp,
    ) -> Result<(), StoreError>
    + Send
    + 'static,
) -> Reply {
    let token = Token::generate(member.console.env().entropy.as_ref());
    let (old, new) = (member.token.hash(), token.hash());
    let (id, epoch, stamp, chain) = (member.user.id, member.user.epoch, member.stamp(), member.chain());
    let session = member.session.clone();
    let changed = member
        .console
        .store()
        .write(move |tx| {
            // Somebody who was changed meanwhile is logged out, not overwritten.
            let Some(mut user) = tx.get(&USERS, &id)?.filter(|user| user.epoch == epoch) else { return Ok(false) };
            change(tx, &mut user, chain, &stamp)?;
            let session = Session { epoch: user.epoch, ..session.clone() };
            sessions::renew(tx, old, new, &session)?;
            Ok::<_, StoreError>(true)
        })
        .await?;
    if !changed {
        return Err(Problem::LoggedOut);
    }
    Ok(member.go_with(&format!("/console/settings/me?done={done}"), &token))
}

pub(super) async fn end_one(member: Member) -> Reply {
    let name: String = member.part("session")?;
    let (user, now, stamp, chain) = (member.user.clone(), member.now, member.stamp(), member.chain());
    let ended = member
        .console
        .store()
        .write(move |tx| {
            let found = sessions::of_user(tx, &user, now)?.into_iter().find(|(hash, _)| device_name(hash) == name);
            let Some((hash, session)) = found else { return Ok::<_, StoreError>(false) };
            sessions::end(tx, user.id, hash)?;
            let detail = Detail::new().with("device", &session.device).with("from", &session.ip);
            stamp.record(tx, chain, Action::SessionEnded, user.id, detail)?;
            Ok(true)
        })
        .await?;
    if ended { Ok(member.go("/console/settings/me?done=session_ended")) } else { Err(Problem::NotFound) }
}

/// A fresh set of recovery codes; the old ones stop working.
pub(super) async fn renew_codes(member: Member) -> Reply {
    if !member.session.is_verified(member.now) {
        return Err(Problem::VerifyFirst);
    }
    let (recovery, codes) = RecoveryCodes::generate(member.console.env().entropy.as_ref());
    let (id, stamp, chain) = (member.user.id, member.stamp(), member.chain());
    member
        .console
        .store()
        .write(move |tx| {
            let Some(mut user) = tx.get(&USERS, &id)? else { return Ok::<_, StoreError>(()) };
            user.recovery = recovery.clone();
            tx.put(&USERS, &id, &user)?;
            stamp.record(tx, chain, Action::RecoveryCodesRenewed, id, Detail::new())
        })
        .await?;
    Ok(show_codes(&member, codes))
}
