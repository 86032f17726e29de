//! Asking again for the second factor before a step that moves money or rights, when the last one is a while ago.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

use super::auth::people::{self, Checked};
use super::auth::sessions;
use super::login::Trouble;
use super::visit::{Member, Reply};
use crate::store::StoreError;
use crate::web::Page;

#[derive(Template)]
#[template(path = "console/confirm.html")]
struct ConfirmPage<'a> {
    page: &'a Page,
    csrf: String,
    next: String,
    trouble: Option<Trouble>,
}

pub(super) async fn page(member: Member) -> Reply {
    Ok(show(&member, StatusCode::OK, None))
}

fn show(member: &Member, status: StatusCode, trouble: Option<Trouble>) -> HttpResponse {
    member.render(status, &ConfirmPage { page: &member.page, csrf: member.csrf(), next: member.next(), trouble })
}

pub(super) async fn submit(member: Member) -> Reply {
    let (stamp, chain, user, hash) = (member.stamp(), member.chain(), member.user.id, member.token.hash());
    let (vault, code, now) = (member.console.vault().clone(), member.form.text("code").to_owned(), member.now);
    let checked = member
        .console
        .store()
        .write(move |tx| {
            let checked = people::check_second_factor(tx, &vault, user, &code, chain, &stamp)?;
            if let Checked::Accepted | Checked::AcceptedRecovery { .. } = checked {
                sessions::update(tx, hash, |session| session.verified_at = now)?;
            }
            Ok::<_, StoreError>(checked)
        })
        .await?;
    match checked {
        Checked::Accepted | Checked::AcceptedRecovery { .. } => Ok(member.go(&member.next())),
        Checked::Wrong => Ok(show(&member, StatusCode::UNAUTHORIZED, Some(Trouble::Wrong))),
        Checked::Locked(wait) => Ok(show(&member, StatusCode::TOO_MANY_REQUESTS, Some(Trouble::Wait(wait)))),
    }
}
