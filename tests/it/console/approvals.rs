//! Large refunds take two persons: one proposes, another sees exactly what will run and agrees, once.

use actix_web::http::StatusCode;
use coffer::domain::approval::{Command, Proposal, ProposalState};
use coffer::domain::event::Actor;
use coffer::domain::ids::{KeyId, PaymentId};
use coffer::domain::money::{Currency, Money};
use coffer::domain::time::Duration;
use coffer::flows::refunds::{NewRefund, request_within};
use coffer::flows::verify::verify;
use coffer::flows::{FlowError, Moment, Refusal, approvals};
use coffer::store::tables::{PAYMENTS, PROPOSALS, PROPOSALS_WAITING};
use coffer::store::{Order, Read, Span, StoreError};

use super::site::{Answer, Browser, OTHER_SHOP, SHOP, Site};

const NUMBER: &str = "console-abcdefghabcdefgh";

impl Site {
    async fn limit(&self, yuan: &str) {
        let done = self.browser_of("owner").await.post("/console/settings/approvals", &[("over", yuan)]).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
    }

    async fn proposal(&self) -> Proposal {
        let read = self.console.store().read(|tx| tx.scan(&PROPOSALS, &Span::prefix(&SHOP), Order::Descending, 1));
        read.await.unwrap().remove(0).1
    }

    async fn refunds_of(&self, payment: PaymentId) -> usize {
        let read = self.console.store().read(move |tx| tx.get(&PAYMENTS, &(SHOP, payment)));
        read.await.unwrap().unwrap().refunds.len()
    }

    async fn assert_whole(&self) {
        let verified = self.console.store().read(|tx| Ok::<_, StoreError>(verify(tx, &mut |_| {}).map(drop)));
        verified.await.unwrap().unwrap();
    }
}

async fn ask(browser: &mut Browser<'_>, payment: PaymentId, number: &str, yuan: &str) -> Answer {
    let fields = [("number", number), ("amount", yuan), ("again", yuan), ("reason", "broken")];
    browser.post(&format!("/console/payments/{payment}/refund"), &fields).await
}

fn hex(proposal: &Proposal) -> String {
    data_encoding::HEXLOWER.encode(&proposal.hash)
}

#[tokio::test]
async fn a_large_refund_waits_for_another_person_and_runs_once() {
    let site = Site::staffed().await;
    let payment = site.paid(SHOP, "A-1", 100).await;
    let (mut owner, mut finance) = (site.browser_of("owner").await, site.browser_of("finance").await);
    // Off until somebody switches it on; then parts add up.
    site.limit("60.00").await;
    assert!(ask(&mut finance, payment, "console-aaaaaaaaaaaaaaaa", "50.00").await.location.ends_with("done=refunded"));
    let asked = ask(&mut finance, payment, NUMBER, "20.00").await;
    let proposal = site.proposal().await;
    let page = format!("/console/approvals/{}", proposal.id);
    assert_eq!(asked.location, format!("{page}?done=proposed"), "{}", asked.body);
    assert_eq!(
        ask(&mut finance, payment, NUMBER, "20.00").await.location,
        asked.location,
        "the same form is one request"
    );
    assert_eq!(site.refunds_of(payment).await, 1, "nothing moved");
    assert!(owner.get("/console/attention").await.body.contains(&page));
    let shown = owner.get(&page).await.body;
    assert!(shown.contains("20.00") && shown.contains("broken") && shown.contains(&hex(&proposal)), "{shown}");
    // Not by its maker, not with other content, not with another amount.
    let agree = |hash: String, amount: &str| [("hash".to_owned(), hash), ("amount".to_owned(), amount.to_owned())];
    let post = async |browser: &mut Browser<'_>, fields: [(String, String); 2]| {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        browser.post(&format!("{page}/approve"), &fields).await.status
    };
    assert_eq!(post(&mut finance, agree(hex(&proposal), "20.00")).await, StatusCode::CONFLICT);
    assert_eq!(post(&mut owner, agree("00".repeat(32), "20.00")).await, StatusCode::CONFLICT);
    assert_eq!(post(&mut owner, agree("zz".to_owned(), "20.00")).await, StatusCode::BAD_REQUEST);
    assert_eq!(post(&mut owner, agree(hex(&proposal), "20.01")).await, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(site.refunds_of(payment).await, 1);
    assert_eq!(post(&mut owner, agree(hex(&proposal), "20.00")).await, StatusCode::SEE_OTHER);
    assert_eq!(site.last_action().await, "refund.approved");
    assert_eq!(post(&mut owner, agree(hex(&proposal), "20.00")).await, StatusCode::CONFLICT, "once");
    assert_eq!(site.refunds_of(payment).await, 2);
    assert!(matches!(site.proposal().await.state, ProposalState::Approved { .. }));
    site.assert_whole().await;
}

#[tokio::test]
async fn who_approves_looks_at_the_payment_as_it_stands() {
    let site = Site::staffed().await;
    let payment = site.paid(SHOP, "A-1", 100).await;
    site.limit("30.00").await;
    let (mut owner, mut finance) = (site.browser_of("owner").await, site.browser_of("finance").await);
    ask(&mut finance, payment, NUMBER, "80.00").await;
    let first = site.proposal().await;
    site.pass(Duration::from_seconds(1));
    ask(&mut finance, payment, "console-bbbbbbbbbbbbbbbb", "80.00").await;
    let second = site.proposal().await;
    for (proposal, status) in [(first, StatusCode::SEE_OTHER), (second, StatusCode::CONFLICT)] {
        let fields = [("hash", hex(&proposal)), ("amount", "80.00".to_owned())];
        let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
        let answer = owner.post(&format!("/console/approvals/{}/approve", proposal.id), &fields).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    assert_eq!(site.refunds_of(payment).await, 1, "80 and 80 of 100 never both pass");
    site.assert_whole().await;
}

#[tokio::test]
async fn a_proposal_is_refused_withdrawn_or_runs_out() {
    let site = Site::staffed().await;
    let payment = site.paid(SHOP, "A-1", 100).await;
    site.limit("0.00").await;
    let (mut owner, mut finance) = (site.browser_of("owner").await, site.browser_of("finance").await);
    for (number, by_owner) in [("console-aaaaaaaaaaaaaaaa", true), ("console-bbbbbbbbbbbbbbbb", false)] {
        ask(&mut finance, payment, number, "1.00").await;
        let id = site.proposal().await.id;
        let browser = if by_owner { &mut owner } else { &mut finance };
        assert!(browser.post(&format!("/console/approvals/{id}/refuse"), &[]).await.location.ends_with("done=refused"));
        assert_eq!(site.last_action().await, "refund.refused");
        site.pass(Duration::from_seconds(1));
    }
    ask(&mut finance, payment, NUMBER, "1.00").await;
    let proposal = site.proposal().await;
    site.pass(Duration::from_days(3));
    let (mut owner, hash) = (site.browser_of("owner").await, hex(&proposal));
    let path = format!("/console/approvals/{}/approve", proposal.id);
    let late = owner.post(&path, &[("hash", &hash), ("amount", "1.00")]).await;
    assert_eq!(late.status, StatusCode::CONFLICT, "{}", late.body);
    let now = site.now();
    let ended = site.console.store().write(move |tx| approvals::expire_due(tx, now, 10)).await.unwrap();
    assert_eq!(ended, 1);
    assert!(matches!(site.proposal().await.state, ProposalState::Expired { .. }));
    let waiting = site.console.store().read(|tx| tx.scan(&PROPOSALS_WAITING, &Span::all(), Order::Ascending, 9)).await;
    assert!(waiting.unwrap().is_empty());
    assert_eq!(site.refunds_of(payment).await, 0);
    site.assert_whole().await;
}

#[tokio::test]
async fn a_key_does_not_pass_the_limit_and_one_person_cannot_set_it() {
    let site = Site::staffed().await;
    let payment = site.paid(SHOP, "A-1", 100).await;
    site.limit("50.00").await;
    let asked = |minor| {
        let moment = Moment::new(site.console.env());
        let new = NewRefund {
            amount: Some(Money::new(minor, Currency::CNY)),
            refund_no: None,
            reason: None,
            metadata: Default::default(),
            fingerprint: [0; 16],
        };
        site.console.store().write(move |tx| {
            let by = Actor::Api(KeyId::from_bytes([1; 16]));
            request_within(tx, SHOP, payment, &new, by, &|_| None, &mut moment.clone())
        })
    };
    let refused = asked(5_001).await.unwrap_err();
    assert!(matches!(refused, FlowError::Refused(Refusal::ApprovalNeeded { .. })), "{refused}");
    asked(5_000).await.unwrap();
    let refused = asked(1).await.unwrap_err();
    assert!(matches!(refused, FlowError::Refused(Refusal::ApprovalNeeded { .. })), "{refused}");
    // The other shop has one owner and nobody else.
    let mut rival = site.browser_of("rival").await;
    let alone = rival.post("/console/settings/approvals", &[("over", "50.00")]).await;
    assert_eq!(alone.status, StatusCode::UNPROCESSABLE_ENTITY);
    let wrong = rival.post("/console/settings/approvals", &[("over", "lots")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(OTHER_SHOP != SHOP);
}

#[tokio::test]
async fn two_who_approve_at_once_refund_once() {
    let site = Site::staffed().await;
    let payment = site.paid(SHOP, "A-1", 100).await;
    site.limit("0.00").await;
    let maker = site.user_id("finance");
    let moment = Moment::new(site.console.env());
    let command =
        Command::Refund { payment, amount: Money::new(100, Currency::CNY), refund_no: NUMBER.to_owned(), reason: None };
    let write = move |tx: &mut coffer::store::WriteTx<'_>| {
        approvals::propose(tx, SHOP, &command, maker, &|_| None, &mut moment.clone())
    };
    let proposal = site.console.store().write(write).await.unwrap();
    let approve = |random: u8| {
        let moment = Moment::at(site.now(), [random; 10]);
        let (id, hash, owner) = (proposal.id, proposal.hash, site.user_id("owner"));
        site.console
            .store()
            .write(move |tx| approvals::approve(tx, SHOP, id, hash, owner, &|_| None, &mut moment.clone()))
    };
    let (one, two, three) = tokio::join!(approve(1), approve(2), approve(3));
    let passed = [&one, &two, &three].into_iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!((passed, site.refunds_of(payment).await), (1, 1));
    site.assert_whole().await;
}
