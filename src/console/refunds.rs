//! The list of refunds and one refund.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use askama::Template;

use super::auth::people;
use super::auth::roles::Permission;
use super::paging::{Cursor, Pager, Rows, page as page_of};
use super::payments;
use super::visit::{Member, Problem, Reply};
use super::words;
use crate::domain::ids::{PaymentId, RefundId, Scope};
use crate::domain::merchant::ChannelKind;
use crate::domain::payment::Payment;
use crate::domain::redirect::{Outcome, Redirect};
use crate::domain::refund::{Refund, RefundState};
use crate::domain::trouble::Trouble;
use crate::flows::record::refund_state_key;
use crate::flows::redirects;
use crate::store::tables::{ACCOUNTS, PAYMENTS, REFUNDS, REFUNDS_BY_STATE};
use crate::store::{Order, Read, Span, StoreError};
use crate::web::{Frame, Page, Room};

#[derive(Template)]
#[template(path = "console/refunds.html")]
struct RefundsPage {
    page: Page,
    frame: Frame,
    refunds: Vec<Refund>,
    /// Order numbers of the payments they belong to.
    orders: BTreeMap<PaymentId, String>,
    pager: Pager,
    state: Option<RefundState>,
    may_export: bool,
}

impl RefundsPage {
    fn is_state(&self, state: &RefundState) -> bool {
        self.state.as_ref() == Some(state)
    }

    /// What the file is filtered by, as the list is.
    fn filters(&self) -> [(&'static str, &'static str); 1] {
        [("status", self.state.map_or("", RefundState::code))]
    }

    fn order(&self, refund: &Refund) -> &str {
        self.orders.get(&refund.payment).map_or("", String::as_str)
    }
}

#[derive(Template)]
#[template(path = "console/refund.html")]
struct RefundPage {
    page: Page,
    frame: Frame,
    refund: Refund,
    payment: Payment,
    /// What a person decided last about where it goes.
    redirect: Option<Redirect>,
    decided_by: String,
    channel: ChannelKind,
    may_refund: bool,
    done: Option<&'static str>,
}

impl RefundPage {
    fn is_under_way(&self) -> bool {
        matches!(self.refund.state, RefundState::Pending | RefundState::Processing)
    }

    fn is_blocked(&self) -> bool {
        self.refund.state == RefundState::Undeliverable
    }

    fn is_returned(&self) -> bool {
        self.refund.state == RefundState::Returned
    }

    /// Where the money goes or went instead.
    fn destination(&self) -> Option<&'static str> {
        let redirect = self.redirect.as_ref().filter(|redirect| redirect.stands())?;
        Some(words::destination_word(redirect.to, self.page.lang))
    }

    /// What is being waited for after a decision.
    fn after_deciding(&self) -> Option<&'static str> {
        let redirect = self.redirect.as_ref().filter(|_| self.is_under_way())?;
        let t = |zh, en| self.page.lang.t(zh, en);
        match redirect.outcome {
            Outcome::Accepted => Some(t(
                "渠道已接受新的去向，正在办理，一般要一到几个工作日。",
                "The channel has taken the new destination. It usually takes a few working days.",
            )),
            Outcome::UnderWay => Some(t(
                "新的去向正在告诉渠道。没有得到回答时会先查清渠道收到没有，同一笔钱不会发往两处。银行卡资料不保存：万一没送到，会请您重新填写。",
                "The channel is being told where it goes. Without an answer it is asked first whether it heard, so the money never goes to two places. Card details are not kept: should they be lost on the way, you are asked again.",
            )),
            Outcome::Refused { .. } | Outcome::Lost | Outcome::Bounced => None,
        }
    }

    /// Why a person is asked again.
    fn asked_again(&self) -> String {
        let t = |zh: &str, en: &str| self.page.lang.t(zh, en).to_owned();
        match self.redirect.as_ref().map(|redirect| &redirect.outcome) {
            Some(Outcome::Refused { detail }) => {
                let said = Trouble::from(detail.as_str()).raw();
                match self.page.zh() {
                    true => format!("渠道没有接受上次填写的内容：{said}"),
                    false => format!("The channel did not accept what was entered last: {said}"),
                }
            }
            Some(Outcome::Lost) => t(
                "上次填写的内容没有送到渠道（例如程序中途重启过）。银行卡资料从不保存，所以请再填一遍。",
                "What was entered last never reached the channel, for instance because the program was restarted. Card details are never kept, so please enter them again.",
            ),
            Some(Outcome::Bounced) => t(
                "上次指定的账户也收不了这笔钱，请换一个。",
                "The account that was named last cannot take the money either. Name another one.",
            ),
            Some(Outcome::UnderWay | Outcome::Accepted) | None => String::new(),
        }
    }

    /// What a provider without such a call does instead, and what the merchant can do.
    fn other_channels(&self) -> Option<&'static str> {
        let t = |zh, en| self.page.lang.t(zh, en);
        if !self.is_under_way() && !self.is_failed() {
            return None;
        }
        match self.channel {
            ChannelKind::Alipay => Some(t(
                "顾客的账户收不了钱时，支付宝会一直处理或拒绝，不能改退到别的卡；失败后金额回到您的余额，请用转账等方式付给顾客。",
                "If the customer's account cannot take the money, Alipay keeps trying or refuses, and no other card can be named. Once it has failed the amount is back with you: pay the customer by transfer.",
            )),
            ChannelKind::Unionpay => Some(t(
                "银联退款由发卡行入账，卡已注销时过几天会失败，不能改退到别的卡；失败后金额回到您的余额，请用转账等方式付给顾客。",
                "UnionPay refunds are credited by the card's bank. With a closed card they fail some days later, and no other card can be named. Once it has failed the amount is back with you: pay the customer by transfer.",
            )),
            ChannelKind::WechatPay | ChannelKind::TestWallet => None,
        }
    }

    fn is_failed(&self) -> bool {
        self.refund.state == RefundState::Failed
    }
}

pub(super) async fn list_page(member: Member) -> Reply {
    let state = RefundState::parse(member.query.text("status"));
    let cursor = Cursor::read(member.query.text("after"), member.query.text("before"));
    let scope = member.scope();
    let (rows, orders) = member
        .console
        .store()
        .read(move |tx| {
            let rows = list(tx, scope, state, &cursor)?;
            let orders = payments::orders(tx, scope, rows.rows.iter().map(|refund| refund.payment))?;
            Ok::<_, StoreError>((rows, orders))
        })
        .await?;
    let pager = Pager::new(&member.page, &rows, |refund| refund.id.to_string());
    let page = RefundsPage {
        page: member.page.clone(),
        frame: member.frame(Room::Refunds),
        refunds: rows.rows,
        orders,
        pager,
        state,
        may_export: member.may(Permission::Export),
    };
    Ok(member.render(StatusCode::OK, &page))
}

fn list(
    tx: &impl Read,
    scope: Scope,
    state: Option<RefundState>,
    cursor: &Cursor<RefundId>,
) -> Result<Rows<Refund>, StoreError> {
    let Some(state) = state else {
        let rows = page_of(tx, &REFUNDS, Span::prefix(&scope), cursor, |id| (scope, id))?;
        return Ok(rows.map(|(_, refund)| refund));
    };
    let place = refund_state_key(state);
    let rows = page_of(tx, &REFUNDS_BY_STATE, Span::prefix(&(scope, place)), cursor, |id| (scope, place, id))?;
    rows.try_filter_map(|((_, _, id), ())| tx.get(&REFUNDS, &(scope, id)))
}

/// Refunds that wait for a person, the oldest first.
pub(super) fn for_a_person(tx: &impl Read, scope: Scope, most: usize) -> Result<Vec<Refund>, StoreError> {
    let mut found = Vec::new();
    for state in RefundState::FOR_A_PERSON {
        let span = Span::prefix(&(scope, refund_state_key(state)));
        for ((_, _, id), ()) in tx.scan(&REFUNDS_BY_STATE, &span, Order::Ascending, most)? {
            found.extend(tx.get(&REFUNDS, &(scope, id))?);
        }
    }
    Ok(found)
}

pub(super) async fn page(member: Member) -> Reply {
    let id: RefundId = member.part("refund")?;
    let scope = member.scope();
    let found = member
        .console
        .store()
        .read(move |tx| {
            let Some(refund) = tx.get(&REFUNDS, &(scope, id))? else { return Ok::<_, StoreError>(None) };
            let Some(payment) = tx.get(&PAYMENTS, &(scope, refund.payment))? else { return Ok(None) };
            let redirect = redirects::last(tx, scope, id)?;
            let by = redirect.as_ref().map(|redirect| people::find(tx, redirect.by)).transpose()?.flatten();
            let account = tx.get(&ACCOUNTS, &(scope, refund.account))?;
            Ok(Some((refund, payment, redirect, by, account)))
        })
        .await?;
    let (refund, payment, redirect, by, account) = found.ok_or(Problem::NotFound)?;
    let page = RefundPage {
        page: member.page.clone(),
        frame: member.frame(Room::Refunds),
        refund,
        payment,
        redirect,
        decided_by: by.map(|user| user.name).unwrap_or_default(),
        channel: account.map_or(ChannelKind::TestWallet, |account| account.kind),
        may_refund: member.may(Permission::Refund),
        done: member.done(),
    };
    Ok(member.render(StatusCode::OK, &page))
}
