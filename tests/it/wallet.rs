//! The simulated provider over real HTTP: from a payment's creation through the phone page to the books.

use std::net::TcpListener;
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};
use coffer::channels::test_wallet::sign;
use coffer::crypto::{MasterKey, Vault};
use coffer::domain::case::CaseKind;
use coffer::domain::ids::{AccountId, AttemptId, Mode, PaymentId, Scope};
use coffer::domain::method::Method;
use coffer::domain::money::{Currency, Money};
use coffer::domain::payment::{Attempt, Customer, Ending, NextAction, Payment, PaymentState};
use coffer::domain::time::Duration;
use coffer::env::Env;
use coffer::env::http::HttpTransport;
use coffer::env::target::TargetPolicy;
use coffer::env::transport::{Limits, Method as Verb, OutgoingRequest, OutgoingResponse, Transport};
use coffer::flows::gateway::{Gateway, Settings};
use coffer::flows::runner::Runner;
use coffer::flows::setup::NewMerchant;
use coffer::flows::{Moment, payments};
use coffer::sandbox::wallet::fault::{Fault, Faults};
use coffer::sandbox::wallet::model::Simulation;
use coffer::sandbox::wallet::{self, Wallet};
use coffer::store::tables::{ATTEMPTS, CASES, PAYMENTS};
use coffer::store::{Order, Read, Span, Store, StoreError, StoreOptions};
use tokio::sync::watch;

/// A whole gateway with its provider, listening on a port of its own.
struct Site {
    base: String,
    gateway: Gateway,
    wallet: Wallet,
    scope: Scope,
    account: AccountId,
    server: ServerHandle,
    stop: watch::Sender<bool>,
}

impl Site {
    async fn open() -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let own = base.clone();
        let built = tokio::task::spawn_blocking(move || build(own)).await.unwrap();
        let (gateway, runner, wallet, scope, account) = built;
        let rooms = (web::Data::new(gateway.clone()), web::Data::new(wallet.clone()));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(rooms.0.clone())
                .app_data(rooms.1.clone())
                .configure(coffer::notifications::routes)
                .configure(wallet::routes)
        })
        .workers(1)
        .disable_signals()
        .listen(listener)
        .unwrap()
        .run();
        let handle = server.handle();
        tokio::spawn(server);
        let (stop, stopping) = watch::channel(false);
        let (queue, provider) = (stopping.clone(), wallet.clone());
        tokio::spawn(async move { runner.run(queue).await });
        tokio::spawn(async move { provider.run(stopping).await });
        Site { base, gateway, wallet, scope, account, server: handle, stop }
    }

    async fn close(self) {
        self.stop.send_replace(true);
        self.server.stop(false).await;
    }

    async fn send(&self, method: Verb, url: &str, headers: &[(&str, &str)], body: &str) -> OutgoingResponse {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request = OutgoingRequest { method, url: url.to_owned(), headers, body: body.as_bytes().to_vec() };
        self.gateway.transport.send(request, &self.gateway.settings.sandbox, Limits::default()).await.unwrap()
    }

    async fn get(&self, url: &str) -> String {
        let page = self.send(Verb::Get, url, &[], "").await;
        assert_eq!(page.status, 200, "{url}");
        String::from_utf8(page.body).unwrap()
    }

    async fn tap(&self, url: &str, form: &str) -> u16 {
        self.send(Verb::Post, url, &[("content-type", "application/x-www-form-urlencoded")], form).await.status
    }

    /// Creates a payment of 12.30 and waits until the provider has accepted it; the phone page's address with it.
    async fn charge(&self, order_id: &str) -> (PaymentId, AttemptId, String) {
        let (scope, account) = (self.scope, self.account);
        let new = payments::NewPayment {
            order_id: order_id.to_owned(),
            amount: Money::new(1230, Currency::CNY),
            description: "一只马克杯 <b>".to_owned(),
            method: Some(Method::WechatNative),
            expires_in: Duration::from_minutes(30),
            return_url: Some(format!("{}/back", self.base)),
            cancel_url: None,
            callback_url: None,
            customer: Customer::default(),
            metadata: Default::default(),
            fingerprint: [0; 16],
        };
        let moment = Moment::new(&self.gateway.env);
        let created = self
            .gateway
            .store
            .write(move |tx| payments::create(tx, scope, &new, Some(account), &mut moment.clone()))
            .await
            .unwrap();
        let id = created.payment().id;
        let attempt = self.until(id, |_, attempt| attempt.next_action.clone().map(|action| (attempt.id, action))).await;
        let (attempt, NextAction::QrCode { data }) = attempt else { panic!("a code") };
        (id, attempt, data)
    }

    /// Waits for the first state of a payment and its newest attempt that gives an answer.
    async fn until<T>(&self, id: PaymentId, mut look: impl FnMut(&Payment, &Attempt) -> Option<T>) -> T {
        let mut watch = self.gateway.changes.watch(id);
        loop {
            let (payment, attempt) = self.look(id).await;
            match look(&payment, &attempt) {
                Some(found) => return found,
                None => watch.changed().await,
            }
        }
    }

    async fn look(&self, id: PaymentId) -> (Payment, Attempt) {
        let scope = self.scope;
        let looked = self.gateway.store.read(move |tx| {
            let payment = tx.get(&PAYMENTS, &(scope, id))?.expect("the payment is there");
            let newest = *payment.attempts.last().expect("it has an attempt");
            let attempt = tx.get(&ATTEMPTS, &(scope, newest))?.expect("the attempt is there");
            Ok::<_, StoreError>((payment, attempt))
        });
        looked.await.unwrap()
    }

    async fn until_state(&self, id: PaymentId, state: PaymentState) -> Payment {
        self.until(id, |payment, _| (payment.state == state).then(|| payment.clone())).await
    }

    async fn cases(&self) -> Vec<CaseKind> {
        let cases = self.gateway.store.read(|tx| tx.scan(&CASES, &Span::all(), Order::Ascending, 10));
        let cases: Result<_, StoreError> = cases.await;
        cases.unwrap().into_iter().map(|(_, case)| case.kind).collect()
    }
}

fn build(own: String) -> (Gateway, Runner, Wallet, Scope, AccountId) {
    let sandbox = TargetPolicy {
        https_only: false,
        ports: Vec::new(),
        allow_loopback: true,
        allow_subnets: Vec::new(),
        own_listeners: Vec::new(),
    };
    let settings = Settings {
        public_url: own.clone(),
        own_url: own,
        callbacks: TargetPolicy::default(),
        channels: TargetPolicy::default(),
        sandbox,
        in_flight_max: 8,
        per_endpoint_max: 4,
    };
    let transport: Arc<dyn Transport> = Arc::new(HttpTransport::system(&[]).unwrap());
    let store = Store::open_memory(StoreOptions::default()).unwrap();
    let vault = Arc::new(Vault::new(&MasterKey::from_bytes([1; 32])));
    let render = Arc::new(coffer::api::render_event);
    let env = Env::system();
    let gateway = Gateway::build(store, env.clone(), vault.clone(), transport, settings, render).unwrap();
    let wallet = Wallet::open(&gateway).unwrap();
    let enrolment = wallet.enrol("小杯子店");
    let credentials = enrolment.credentials().to_secret();
    let merchant = NewMerchant::prepare(&env, &vault, "小杯子店", "Asia/Shanghai", |_| credentials);
    let scope = merchant.scope(Mode::Test);
    let stored: Result<(), StoreError> = gateway.store.write_blocking(move |tx| {
        enrolment.store(tx)?;
        merchant.store(tx)
    });
    stored.unwrap();
    gateway.reload_channels().unwrap();
    let account = gateway.channels.of(scope)[0].account.id;
    let runner = Runner::new(gateway.clone()).unwrap();
    (gateway, runner, wallet, scope, account)
}

#[tokio::test]
async fn a_customer_pays_on_the_phone_and_the_payment_is_paid() {
    let site = Site::open().await;
    let (id, _, phone) = site.charge("order-1").await;
    let page = site.get(&phone).await;
    assert!(page.contains("小杯子店") && page.contains("12.30"), "{page}");
    assert!(page.contains("一只马克杯 &#60;b&#62;"), "text from the shop is escaped");
    assert!(!page.contains("<script") && !page.contains(" style="), "the page needs no script and no inline style");
    assert_eq!(site.tap(&phone, "do=pay").await, 303);
    let paid = site.until_state(id, PaymentState::Paid).await;
    assert_eq!((paid.late, paid.amount_paid()), (false, Money::new(1230, Currency::CNY)));
    assert!(site.get(&format!("{phone}?lang=en")).await.contains("Paid"));
    assert_eq!(site.tap(&phone, "do=pay").await, 303, "paying twice shows that it is paid");
    site.close().await;
}

#[tokio::test]
async fn looking_at_the_phone_page_changes_nothing_and_a_guessed_code_opens_nothing() {
    let site = Site::open().await;
    let (_, attempt, phone) = site.charge("order-1").await;
    let before = site.wallet.order(attempt).await.unwrap();
    for suffix in ["", "?do=pay", "?lang=en"] {
        site.get(&format!("{phone}{suffix}")).await;
    }
    assert_eq!(site.wallet.order(attempt).await.unwrap(), before);
    assert_eq!(site.tap(&phone, "do=everything").await, 404);
    assert_eq!(site.tap(&phone, "").await, 404);
    let guessed = format!("{}AAAA", phone.strip_suffix(&phone[phone.len() - 4..]).unwrap());
    assert_eq!(site.tap(&guessed, "do=pay").await, 404);
    assert_eq!(site.send(Verb::Get, &format!("{phone}x"), &[], "").await.status, 404);
    assert_eq!(site.wallet.order(attempt).await.unwrap(), before);
    site.close().await;
}

#[tokio::test]
async fn a_lost_notification_is_healed_by_asking() {
    let site = Site::open().await;
    let (id, attempt, _) = site.charge("order-1").await;
    site.wallet.simulate(attempt, Simulation::LostNotification).await.unwrap();
    site.until_state(id, PaymentState::Paid).await;
    site.close().await;
}

#[tokio::test]
async fn a_wrong_amount_books_nothing_and_opens_a_case() {
    let site = Site::open().await;
    let (id, _, phone) = site.charge("order-1").await;
    let mut watch = site.gateway.changes.watch(id);
    assert_eq!(site.tap(&phone, "do=pay_wrong_amount").await, 303);
    while site.cases().await.is_empty() {
        watch.changed().await;
    }
    let (payment, _) = site.look(id).await;
    assert!(payment.state != PaymentState::Paid && payment.amount_paid().is_zero());
    assert_eq!(site.cases().await, [CaseKind::WrongAmount]);
    site.close().await;
}

#[tokio::test]
async fn money_after_the_end_is_booked_and_marked_late() {
    let site = Site::open().await;
    let (id, _, phone) = site.charge("order-1").await;
    assert_eq!(site.tap(&phone, "do=pay_late").await, 303);
    let (scope, moment) = (site.scope, Moment::new(&site.gateway.env));
    let end = move |tx: &mut coffer::store::WriteTx<'_>| {
        payments::end(
            tx,
            scope,
            id,
            Ending::CancelByCustomer,
            coffer::domain::event::Actor::Customer,
            &mut moment.clone(),
        )
    };
    site.gateway.store.write(end).await.unwrap();
    site.until_state(id, PaymentState::Canceled).await;
    let paid = site.until_state(id, PaymentState::Paid).await;
    assert!(paid.late);
    site.close().await;
}

#[tokio::test]
async fn a_forged_notification_changes_nothing() {
    let site = Site::open().await;
    let (id, attempt, phone) = site.charge("order-1").await;
    let faults = "fault=forge_notification&fault=nonsense";
    assert_eq!(site.tap(&format!("{phone}/faults"), faults).await, 303);
    let order = site.wallet.order(attempt).await.unwrap().unwrap();
    assert_eq!(order.faults, Faults::NONE.with(Fault::ForgeNotification));
    assert!(site.get(&phone).await.contains("value=\"forge_notification\" checked"));
    // What a stranger could send without any key at all.
    let notify = format!("{}/notify/{}", site.base, site.account);
    let body = r#"{"id":"1","create_time":"2026-11-23T00:00:00Z"}"#;
    for headers in [
        vec![],
        vec![(sign::SIGNATURE_HEADER, "")],
        vec![(sign::SIGNATURE_HEADER, "AAAA"), (sign::NONCE_HEADER, "1"), (sign::TIMESTAMP_HEADER, "1")],
    ] {
        let answer = site.send(Verb::Post, &notify, &headers, body).await;
        assert!(answer.status >= 400, "{headers:?}: {}", answer.status);
    }
    let (payment, _) = site.look(id).await;
    assert_eq!(payment.state, PaymentState::Processing);
    site.close().await;
}

#[tokio::test]
async fn the_counter_refuses_what_is_not_signed() {
    let site = Site::open().await;
    let orders = format!("{}/sandbox/wallet/v1/orders", site.base);
    for headers in [vec![], vec![("authorization", "WALLET-HMAC-SHA256 mch_id=\"1\"")]] {
        assert_eq!(site.send(Verb::Post, &orders, &headers, "{}").await.status, 401);
    }
    let large = "x".repeat(70_000);
    assert_eq!(site.send(Verb::Post, &orders, &[], &large).await.status, 413);
    site.close().await;
}
