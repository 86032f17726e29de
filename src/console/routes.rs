//! The one table of the console's routes: method, path, who may pass, and the page. The router is built from it, and the
//! tests walk it for every role, so a page cannot exist beside it.

use actix_web::{HttpRequest, web};

use super::auth::roles::{Permission, Role};
use super::visit::{Member, Running, Visit, answer};
use super::{
    Console, approval, attention, audit_log, callbacks, case, case_form, cases, channel_form, channels, confirm,
    developers, endpoint, endpoint_form, enrol, export, home, ledger, login, me, paid_outside, payment, payments,
    people, redirect_form, refund_form, refunds, search, settings, setup, verification,
};
use crate::web::{Room, reading};

/// A route looks or changes; nothing else exists. No GET changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    Post,
}

/// Who may pass.
#[derive(Clone, Copy)]
pub enum Door {
    /// Anybody: set-up and login.
    Open(fn(Visit) -> Running),
    /// Whoever gave the right password, with or without the second factor.
    Half(fn(Member) -> Running),
    /// Whoever is logged in, in any role.
    Inside(fn(Member) -> Running),
    /// Whoever is logged in and has the permission; `verified` asks for a recent second factor as well.
    Room { needs: Permission, verified: bool, page: fn(Member) -> Running },
}

/// One row of the table.
pub struct Route {
    pub verb: Verb,
    pub path: &'static str,
    pub door: Door,
}

const fn get(path: &'static str, door: Door) -> Route {
    Route { verb: Verb::Get, path, door }
}

const fn post(path: &'static str, door: Door) -> Route {
    Route { verb: Verb::Post, path, door }
}

const fn may(needs: Permission, page: fn(Member) -> Running) -> Door {
    Door::Room { needs, verified: false, page }
}

/// Steps that move money or rights.
const fn verified(needs: Permission, page: fn(Member) -> Running) -> Door {
    Door::Room { needs, verified: true, page }
}

/// An `async fn` as a plain function pointer.
macro_rules! page {
    ($page:path) => {
        |visit| Box::pin($page(visit))
    };
}

use Door::{Half, Inside, Open};
use Permission as P;

/// The table.
pub static ROUTES: &[Route] = &[
    get("/console/setup/{token}", Open(page!(setup::page))),
    post("/console/setup/{token}", Open(page!(setup::submit))),
    get("/console/login", Open(page!(login::page))),
    post("/console/login", Open(page!(login::submit))),
    get("/console/login/code", Half(page!(login::code_page))),
    post("/console/login/code", Half(page!(login::code_submit))),
    get("/console/enrol", Half(page!(enrol::page))),
    post("/console/enrol", Half(page!(enrol::submit))),
    post("/console/logout", Half(page!(login::logout))),
    get("/console/confirm", Inside(page!(confirm::page))),
    post("/console/confirm", Inside(page!(confirm::submit))),
    post("/console/switch", Inside(page!(login::switch))),
    get("/console", may(P::ViewPayments, page!(home::page))),
    get("/console/payments", may(P::ViewPayments, page!(payments::page))),
    get("/console/payments/{payment}", may(P::ViewPayments, page!(payment::page))),
    post("/console/payments/{payment}/sync", may(P::WorkPayments, page!(payment::sync))),
    post("/console/payments/{payment}/cancel", may(P::WorkPayments, page!(payment::cancel))),
    get("/console/payments/{payment}/refund", verified(P::Refund, page!(refund_form::page))),
    post("/console/payments/{payment}/refund", verified(P::Refund, page!(refund_form::submit))),
    get("/console/refunds", may(P::ViewPayments, page!(refunds::list_page))),
    get("/console/refunds/{refund}", may(P::ViewPayments, page!(refunds::page))),
    get("/console/refunds/{refund}/redirect", verified(P::Refund, page!(redirect_form::page))),
    post("/console/refunds/{refund}/redirect", verified(P::Refund, page!(redirect_form::submit))),
    get("/console/refunds/{refund}/paid", verified(P::Refund, page!(paid_outside::page))),
    post("/console/refunds/{refund}/paid", verified(P::Refund, page!(paid_outside::submit))),
    post("/console/payments/export", may(P::Export, page!(export::payments))),
    post("/console/refunds/export", may(P::Export, page!(export::refunds))),
    post("/console/ledger/export", may(P::Export, page!(export::ledger))),
    get("/console/approvals/{proposal}", may(P::ViewPayments, page!(approval::page))),
    post("/console/approvals/{proposal}/approve", verified(P::Refund, page!(approval::approve))),
    post("/console/approvals/{proposal}/refuse", may(P::Refund, page!(approval::refuse))),
    get("/console/attention", may(P::ViewPayments, page!(attention::page))),
    get("/console/cases/{case}", may(P::ViewPayments, page!(case::page))),
    get("/console/cases/{case}/decide", verified(P::DecideCases, page!(case_form::page))),
    post("/console/cases/{case}/decide", verified(P::DecideCases, page!(case_form::submit))),
    get("/console/callbacks", may(P::ViewPayments, page!(callbacks::page))),
    get("/console/callbacks/new", verified(P::ManageKeys, page!(endpoint_form::new_page))),
    post("/console/callbacks/new", verified(P::ManageKeys, page!(endpoint_form::create))),
    get("/console/callbacks/{endpoint}", may(P::ViewPayments, page!(endpoint::page))),
    post("/console/callbacks/{endpoint}/test", may(P::ResendCallbacks, page!(endpoint::test))),
    post("/console/callbacks/{endpoint}/resend", may(P::ResendCallbacks, page!(endpoint::resend))),
    post("/console/callbacks/{endpoint}/switch", may(P::ManageKeys, page!(endpoint::switch))),
    get("/console/callbacks/{endpoint}/edit", verified(P::ManageKeys, page!(endpoint_form::edit_page))),
    post("/console/callbacks/{endpoint}/edit", verified(P::ManageKeys, page!(endpoint_form::edit))),
    post("/console/callbacks/{endpoint}/rotate", verified(P::ManageKeys, page!(endpoint::rotate))),
    post("/console/callbacks/{endpoint}/remove", verified(P::ManageKeys, page!(endpoint::remove))),
    get("/console/callbacks/{endpoint}/{event}", may(P::ViewPayments, page!(endpoint::delivery_page))),
    post("/console/callbacks/{endpoint}/{event}/resend", may(P::ResendCallbacks, page!(endpoint::delivery_resend))),
    get("/console/ledger", may(P::ViewBooks, page!(ledger::page))),
    post("/console/ledger/verify", may(P::VerifyBooks, page!(verification::run))),
    get("/console/ledger/entries", may(P::ViewBooks, page!(ledger::entries_page))),
    get("/console/ledger/entries/{seq}", may(P::ViewBooks, page!(ledger::entry_page))),
    get("/console/ledger/accounts/{code}", may(P::ViewBooks, page!(ledger::account_page))),
    get("/console/developers", may(P::ViewSettings, page!(developers::page))),
    get("/console/developers/keys/new", verified(P::ManageKeys, page!(developers::new_page))),
    post("/console/developers/keys/new", verified(P::ManageKeys, page!(developers::create))),
    post("/console/developers/keys/{key}/revoke", may(P::ManageKeys, page!(developers::revoke))),
    get("/console/developers/cases", may(P::ViewSettings, page!(cases::page))),
    post("/console/developers/cases", may(P::ManageKeys, page!(cases::start))),
    get("/console/developers/cases/{run}", may(P::ViewSettings, page!(cases::run_page))),
    get("/console/developers/cases/{run}/report", may(P::ViewSettings, page!(cases::file))),
    get("/console/search", may(P::ViewPayments, page!(search::page))),
    get("/console/settings", Inside(page!(settings::page))),
    post("/console/settings/shop", may(P::ManageSettings, page!(settings::save_shop))),
    post("/console/settings/approvals", verified(P::ManageSettings, page!(settings::save_approvals))),
    post("/console/settings/fees", verified(P::ManageSettings, page!(settings::save_fees))),
    get("/console/settings/channels", may(P::ViewSettings, page!(channels::page))),
    get("/console/settings/channels/new/{kind}", verified(P::ManageSettings, page!(channel_form::new_page))),
    post("/console/settings/channels/new/{kind}", verified(P::ManageSettings, page!(channel_form::create))),
    get("/console/settings/channels/{account}", may(P::ViewSettings, page!(channels::account_page))),
    post("/console/settings/channels/{account}", verified(P::ManageSettings, page!(channels::save))),
    post("/console/settings/channels/{account}/test", verified(P::ManageSettings, page!(channels::test))),
    get("/console/settings/channels/{account}/keys", verified(P::ManageSettings, page!(channel_form::keys_page))),
    post("/console/settings/channels/{account}/keys", verified(P::ManageSettings, page!(channel_form::replace))),
    get("/console/settings/people", may(P::ViewSettings, page!(people::page))),
    post("/console/settings/people", verified(P::ManageUsers, page!(people::invite))),
    post("/console/settings/people/{user}/role", verified(P::ManageUsers, page!(people::change_role))),
    post("/console/settings/people/{user}/remove", verified(P::ManageUsers, page!(people::remove))),
    post("/console/settings/people/{user}/reset", verified(P::ManageUsers, page!(people::reset))),
    get("/console/settings/me", Inside(page!(me::page))),
    post("/console/settings/me/language", Inside(page!(me::set_language))),
    post("/console/settings/me/password", Inside(page!(me::set_password))),
    post("/console/settings/me/recovery", Inside(page!(me::renew_codes))),
    post("/console/settings/me/sessions", Inside(page!(me::end_others))),
    post("/console/settings/me/sessions/{session}", Inside(page!(me::end_one))),
    get("/console/settings/audit", may(P::ViewAudit, page!(audit_log::page))),
];

/// Registers every route of the table.
pub fn configure(console: Console) -> impl FnOnce(&mut web::ServiceConfig) + Clone {
    move |config| {
        for route in ROUTES {
            let handle = {
                let console = console.clone();
                move |request: HttpRequest, body: web::Payload| answer(route, console.clone(), request, body)
            };
            match route.verb {
                Verb::Get => {
                    config.route(route.path, reading().to(handle));
                }
                Verb::Post => {
                    config.route(route.path, web::post().to(handle));
                }
            }
        }
    }
}

/// The rooms that a role finds in its rail: those whose first page it may open.
pub fn allowed_rooms(role: Role) -> Vec<Room> {
    let may_open = |room: &Room| {
        ROUTES.iter().any(|route| match route.door {
            Door::Room { needs, .. } => route.verb == Verb::Get && route.path == room.path() && role.may(needs),
            Door::Inside(_) => route.verb == Verb::Get && route.path == room.path(),
            Door::Open(_) | Door::Half(_) => false,
        })
    };
    Room::ALL.into_iter().filter(may_open).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stands_once_per_verb_and_every_change_needs_a_permission_or_is_about_oneself() {
        for (i, route) in ROUTES.iter().enumerate() {
            let twin = ROUTES[..i].iter().any(|other| (other.verb, other.path) == (route.verb, route.path));
            assert!(!twin, "{} stands twice", route.path);
            if let Door::Room { needs, .. } = route.door {
                let changes = route.verb == Verb::Post;
                // Taking a list as a file changes nothing, but it is written down, so it is no GET.
                let looks = needs.only_views() && needs != P::Export;
                assert!(!changes || !looks, "{}: looking is no permission to change", route.path);
            }
        }
    }
}
