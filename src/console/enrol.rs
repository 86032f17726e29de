//! Enrolling an authenticator: the secret as a picture and as text, confirmed by its first code, then the recovery codes,
//! shown once. Nobody gets further than this page without a second factor.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use zeroize::Zeroizing;

use super::auth::people;
use super::auth::records::{SecondFactor, Session, enrolment_place, second_factor_place};
use super::auth::recovery::RecoveryCodes;
use super::auth::session::Token;
use super::auth::sessions;
use super::auth::totp::TotpSecret;
use super::visit::{Member, Problem, Reply};
use crate::audit::{Action, Detail};
use crate::store::Read;
use crate::store::StoreError;
use crate::store::tables::USERS;
use crate::web::{Page, QrCode};

/// Stands before the account's name in the authenticator.
const ISSUER: &str = "Coffer";

#[derive(Template)]
#[template(path = "console/enrol.html")]
struct EnrolPage<'a> {
    page: &'a Page,
    csrf: String,
    qr: QrCode,
    /// In groups of four, for typing.
    secret: Zeroizing<String>,
    /// Replaces one that works: the old one goes on until the new one is confirmed.
    again: bool,
    wrong: bool,
}

#[derive(Template)]
#[template(path = "console/recovery_codes.html")]
pub(super) struct RecoveryCodesPage<'a> {
    pub page: &'a Page,
    pub codes: Vec<Zeroizing<String>>,
}

/// Somebody with a working second factor comes here only after giving it.
fn is_allowed(member: &Member) -> bool {
    member.user.second_factor.is_none() || (!member.session.second_factor_due && member.session.is_verified(member.now))
}

pub(super) async fn page(member: Member) -> Reply {
    if !is_allowed(&member) {
        return Err(if member.session.second_factor_due { Problem::HalfLoggedIn } else { Problem::VerifyFirst });
    }
    let secret = match pending(&member)? {
        Some(secret) => secret,
        None => begin(&member).await?,
    };
    show(&member, StatusCode::OK, &secret, false)
}

fn show(member: &Member, status: StatusCode, secret: &TotpSecret, wrong: bool) -> Reply {
    let url = secret.otpauth_url(ISSUER, member.user.login.as_str());
    let label = member.page.t("验证器二维码", "Code for the authenticator");
    let qr = QrCode::draw(&url, label).map_err(|error| Problem::Internal(error.to_string()))?;
    let base32 = secret.to_base32();
    let groups: Vec<&str> = (0..base32.len()).step_by(4).map(|at| &base32[at..(at + 4).min(base32.len())]).collect();
    let page = EnrolPage {
        page: &member.page,
        csrf: member.csrf(),
        qr,
        secret: Zeroizing::new(groups.join(" ")),
        again: member.user.second_factor.is_some(),
        wrong,
    };
    Ok(member.render(status, &page))
}

/// The secret that this session's enrolment began with, so that reloading the page keeps the picture valid.
fn pending(member: &Member) -> Result<Option<TotpSecret>, Problem> {
    let Some(sealed) = &member.session.enrolling else { return Ok(None) };
    let hash = member.token.hash();
    match member.console.vault().open(&enrolment_place(&hash), sealed) {
        Ok(secret) => Ok(Some(TotpSecret::from_bytes(secret.expose().to_vec()))),
        // Sealed under another token or key: begin anew.
        Err(_) => Ok(None),
    }
}

/// Begins an enrolment. It changes nothing that counts: the secret is the session's until it is confirmed.
async fn begin(member: &Member) -> Result<TotpSecret, Problem> {
    let entropy = member.console.env().entropy.clone();
    let secret = TotpSecret::generate(entropy.as_ref());
    let hash = member.token.hash();
    let sealed = member.console.vault().seal(&enrolment_place(&hash), secret.as_bytes(), entropy.as_ref());
    let update = move |session: &mut Session| session.enrolling = Some(sealed.clone());
    member.console.store().write(move |tx| sessions::update(tx, hash, &update)).await?;
    Ok(secret)
}

pub(super) async fn submit(member: Member) -> Reply {
    if !is_allowed(&member) {
        return Err(if member.session.second_factor_due { Problem::HalfLoggedIn } else { Problem::VerifyFirst });
    }
    let Some(secret) = pending(&member)? else { return Ok(member.go("/console/enrol")) };
    let Some(step) = secret.matching_step(member.form.text("code"), member.now, None) else {
        return show(&member, StatusCode::UNAUTHORIZED, &secret, true);
    };
    let entropy = member.console.env().entropy.clone();
    let id = member.user.id;
    let sealed = member.console.vault().seal(&second_factor_place(&id.to_bytes()), secret.as_bytes(), entropy.as_ref());
    let factor = SecondFactor { secret: sealed, enrolled_at: member.now, last_step: step };
    let (recovery, codes) = RecoveryCodes::generate(entropy.as_ref());
    let token = Token::generate(entropy.as_ref());
    let (old, new) = (member.token.hash(), token.hash());
    let (stamp, chain, first) = (member.stamp(), member.chain(), member.session.second_factor_due);
    let (session, now, epoch) = (member.session.clone(), member.now, member.user.epoch);
    let enrolled = member
        .console
        .store()
        .write(move |tx| {
            // Somebody who was changed meanwhile starts over.
            let Some(mut user) = tx.get(&USERS, &id)?.filter(|user| user.epoch == epoch) else { return Ok(false) };
            people::enrol(tx, &mut user, factor.clone(), recovery.clone(), chain, &stamp)?;
            let session = Session {
                epoch: user.epoch,
                second_factor_due: false,
                verified_at: now,
                enrolling: None,
                created_at: now,
                last_seen_at: now,
                ..session.clone()
            };
            sessions::renew(tx, old, new, &session)?;
            if first {
                stamp.record(tx, chain, Action::LoginSucceeded, id, Detail::new().with("device", &session.device))?;
            }
            Ok::<_, StoreError>(true)
        })
        .await?;
    if !enrolled {
        return Err(Problem::LoggedOut);
    }
    let mut response = show_codes(&member, codes);
    response.add_cookie(&member.console.cookie_kind().carry(&token)).expect("our cookie is a valid header");
    Ok(response)
}

pub(super) fn show_codes(member: &Member, codes: Vec<Zeroizing<String>>) -> HttpResponse {
    member.render(StatusCode::OK, &RecoveryCodesPage { page: &member.page, codes })
}
