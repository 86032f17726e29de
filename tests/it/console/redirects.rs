//! Refunds that cannot go back the way they came, in the console: shown where something waits, decided by whom may refund.

use actix_web::http::StatusCode;
use coffer::channels::Observation;
use coffer::domain::approval::ProposalState;
use coffer::domain::event::Actor;
use coffer::domain::follow::RefundStep;
use coffer::domain::ids::{KeyId, PaymentId, RefundId};
use coffer::domain::money::{Currency, Money};
use coffer::domain::redirect::Destination;
use coffer::domain::refund::{Refund, RefundState};
use coffer::flows::refunds::{self, NewRefund};
use coffer::flows::{FlowError, Moment, redirects};
use coffer::store::tables::{PROPOSALS, REFUNDS};
use coffer::store::{Order, Read, Span};

use super::site::{SHOP, Site};

const AMOUNT: Money = Money::new(6_000, Currency::CNY);

impl Site {
    /// A refund of 60 yuan that the channel cannot deliver.
    async fn blocked(&self, payment: PaymentId) -> RefundId {
        let moment = Moment::new(self.console.env());
        let written = self.console.store().write(move |tx| {
            let mut moment = moment;
            let new = NewRefund {
                amount: Some(AMOUNT),
                refund_no: None,
                reason: None,
                metadata: Default::default(),
                fingerprint: [0; 16],
            };
            let by = Actor::Api(KeyId::from_bytes([1; 16]));
            let id = refunds::request(tx, SHOP, payment, &new, by, &mut moment)?.refund().id;
            let channel_refund_id = Some("5000".to_owned());
            let word = Observation::RefundUndeliverable { channel_refund_id, detail: "ABNORMAL".to_owned() };
            refunds::observe(tx, SHOP, id, &word, Some(RefundStep::Send), &mut moment)?;
            Ok::<_, FlowError>(id)
        });
        written.await.unwrap()
    }

    async fn hear(&self, id: RefundId, word: Observation) {
        let (moment, asked) = (Moment::new(self.console.env()), Some(self.refund(id).await.step));
        let heard =
            self.console.store().write(move |tx| refunds::observe(tx, SHOP, id, &word, asked, &mut moment.clone()));
        heard.await.unwrap();
    }

    async fn refund(&self, id: RefundId) -> Refund {
        self.console.store().read(move |tx| tx.get(&REFUNDS, &(SHOP, id))).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn it_is_shown_wherever_something_waits_and_only_who_may_refund_decides() {
    let site = Site::staffed().await;
    let payment = site.paid(SHOP, "A-1", 100).await;
    let id = site.blocked(payment).await;
    let path = format!("/console/refunds/{id}");
    let mut finance = site.browser_of("finance").await;
    for page in ["/console", "/console/attention", &format!("/console/payments/{payment}")] {
        assert!(finance.get(page).await.body.contains(&path), "{page}");
    }
    let refund = finance.get(&path).await;
    assert!(refund.body.contains(&format!("{path}/redirect")), "{}", refund.body);
    let mut viewer = site.browser_of("support").await;
    assert!(!viewer.get(&path).await.body.contains("/redirect"));
    assert_eq!(viewer.post(&format!("{path}/redirect"), &[("to", "merchant")]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(site.refund(id).await.state, RefundState::Undeliverable);
}

#[tokio::test]
async fn errors_name_the_field_and_nothing_typed_about_the_card_comes_back() {
    let site = Site::staffed().await;
    let payment = site.paid(SHOP, "A-1", 100).await;
    let id = site.blocked(payment).await;
    let form = format!("/console/refunds/{id}/redirect");
    let mut finance = site.browser_of("finance").await;
    let version = site.refund(id).await.version.to_string();
    let (card, holder) = ("4111111111111112", "Wang Xiaoming");
    let fields = |to, card, amount| {
        [
            ("number", "abc"),
            ("version", version.as_str()),
            ("to", to),
            ("bank", "X"),
            ("card", card),
            ("holder", holder),
            ("amount", amount),
        ]
    };
    let wrong = finance.post(&form, &fields("customer_card", card, "6.00")).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    for field in ["bank-error", "card-error", "amount-error"] {
        assert!(wrong.body.contains(&format!("id=\"{field}\"")), "{field}: {}", wrong.body);
    }
    assert!(!wrong.body.contains(card) && !wrong.body.contains(holder), "{}", wrong.body);
    assert_eq!(finance.post(&form, &fields("", card, "60.00")).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(site.refund(id).await.state, RefundState::Undeliverable);
}

#[tokio::test]
async fn to_the_own_account_and_then_paid_by_hand() {
    let site = Site::staffed().await;
    let payment = site.paid(SHOP, "A-1", 100).await;
    let id = site.blocked(payment).await;
    let path = format!("/console/refunds/{id}");
    let mut finance = site.browser_of("finance").await;
    let seen = site.refund(id).await.version.to_string();
    let fields = [("number", "abc"), ("version", seen.as_str()), ("to", "merchant"), ("amount", "60.00")];
    let decided = finance.post(&format!("{path}/redirect"), &fields).await;
    assert_eq!((decided.status, site.refund(id).await.step), (StatusCode::SEE_OTHER, RefundStep::Redirect));
    assert_eq!(site.last_action().await, "refund.redirected");
    // The same form a second time: it was decided.
    assert_eq!(finance.post(&format!("{path}/redirect"), &fields).await.status, StatusCode::CONFLICT);
    site.hear(id, Observation::RefundProcessing { channel_refund_id: None }).await;
    site.hear(id, Observation::RefundSucceeded { channel_refund_id: None, amount: AMOUNT }).await;
    let refund = site.refund(id).await;
    assert_eq!(refund.state, RefundState::Returned);
    assert!(finance.get("/console/attention").await.body.contains(&path));
    assert!(finance.get(&path).await.body.contains(&format!("{path}/paid")));
    let version = refund.version.to_string();
    let told = |note, amount| [("version", version.as_str()), ("note", note), ("amount", amount)];
    for (note, amount) in [("", "60.00"), ("transfer", "6.00")] {
        let answer = finance.post(&format!("{path}/paid"), &told(note, amount)).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{note} {amount}");
    }
    assert_eq!(finance.post(&format!("{path}/paid"), &told("transfer", "60.00")).await.status, StatusCode::SEE_OTHER);
    assert_eq!(site.refund(id).await.state, RefundState::Succeeded);
    assert_eq!(site.last_action().await, "refund.paid_outside");
    assert_eq!(finance.post(&format!("{path}/paid"), &told("transfer", "60.00")).await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn where_a_refund_takes_two_persons_its_new_destination_does_too() {
    let site = Site::staffed().await;
    let limit = site.browser_of("owner").await.post("/console/settings/approvals", &[("over", "50.00")]).await;
    assert_eq!(limit.status, StatusCode::SEE_OTHER);
    let payment = site.paid(SHOP, "A-1", 100).await;
    let id = site.blocked(payment).await;
    let (mut finance, mut owner) = (site.browser_of("finance").await, site.browser_of("owner").await);
    let seen = site.refund(id).await.version.to_string();
    let fields = [("number", "abc"), ("version", seen.as_str()), ("to", "merchant"), ("amount", "60.00")];
    let asked = finance.post(&format!("/console/refunds/{id}/redirect"), &fields).await;
    assert!(asked.location.contains("/console/approvals/"), "{}", asked.body);
    assert_eq!(site.refund(id).await.state, RefundState::Undeliverable, "nothing runs yet");
    let proposals = site.console.store().read(|tx| tx.scan(&PROPOSALS, &Span::prefix(&SHOP), Order::Descending, 1));
    let proposal = proposals.await.unwrap().remove(0).1;
    let page = format!("/console/approvals/{}", proposal.id);
    let hash = data_encoding::HEXLOWER.encode(&proposal.hash);
    let agree = [("hash", hash.as_str()), ("amount", "60.00")];
    assert_eq!(
        finance.post(&format!("{page}/approve"), &agree).await.status,
        StatusCode::CONFLICT,
        "nobody agrees with himself"
    );
    assert!(owner.get(&page).await.body.contains("own account"));
    assert_eq!(owner.post(&format!("{page}/approve"), &agree).await.status, StatusCode::SEE_OTHER);
    let to = site.console.store().read(move |tx| redirects::last(tx, SHOP, id)).await.unwrap().unwrap();
    assert_eq!((to.to, to.by), (Destination::Merchant, site.user_id("finance")));
    assert_eq!(site.refund(id).await.state, RefundState::Processing);
    let proposal =
        site.console.store().read(move |tx| tx.get(&PROPOSALS, &(SHOP, proposal.id))).await.unwrap().unwrap();
    assert!(matches!(proposal.state, ProposalState::Approved { refund, .. } if refund == id));
}
