//! What the adapter believes and what it refuses. Vectors were computed with an independent implementation.

use ring::signature::{Ed25519KeyPair, KeyPair};

use super::response::{OrderView, RefundView};
use super::sign::{self, BadSignature, Claim};
use super::*;
use crate::channels::{CreateOrder, OrderRef, PaidFacts, RefundOrder, RefundRef, Subject};
use crate::domain::ids::{AttemptId, RefundId};
use crate::domain::money::Money;
use crate::domain::payment::NextAction;
use crate::env::transport::{Method as Verb, OutgoingRequest};

const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);
const SEALING: Sealing = Sealing { now: NOW, nonce: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15] };

fn provider(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

fn credentials() -> Credentials {
    Credentials {
        mch_id: "1900000001".to_owned(),
        app_id: "wxtest01".to_owned(),
        hmac_key: BASE64.encode(&(0..32).collect::<Vec<u8>>()),
        provider_public_key: BASE64.encode(provider(7).public_key().as_ref()),
    }
}

fn wallet() -> TestWallet {
    TestWallet::open(credentials().to_secret().expose(), "http://127.0.0.1:8080/").unwrap()
}

fn attempt() -> AttemptId {
    AttemptId::new(NOW, [1; 10])
}

fn refund() -> RefundId {
    RefundId::new(NOW, [2; 10])
}

fn reference() -> OrderRef {
    let expires_at = NOW.plus(Duration::from_minutes(30));
    OrderRef { attempt: attempt(), method: Method::AlipayQr, created_at: NOW, expires_at, transaction_id: None }
}

fn refund_reference() -> RefundRef {
    RefundRef { refund: refund(), created_at: NOW, order: reference(), channel_refund_id: None }
}

fn create(method: Method) -> Order {
    Order::Create(CreateOrder {
        attempt: attempt(),
        method,
        amount: Money::new(1230, Currency::CNY),
        description: "一只马克杯".to_owned(),
        created_at: NOW,
        expires_at: NOW.plus(Duration::from_minutes(30)),
        notify_url: "http://127.0.0.1:8080/notify".to_owned(),
        return_url: "http://127.0.0.1:8080/c/x".to_owned(),
        customer_ip: None,
        openid: None,
        auth_code: None,
    })
}

fn call(order: &Order) -> OutgoingRequest {
    match wallet().request(order, &SEALING) {
        Ok(Prepared::Call(request)) => request,
        other => panic!("{other:?}"),
    }
}

/// An order as the provider would tell it, with a change.
fn view(change: impl FnOnce(&mut OrderView)) -> OrderView {
    let mut view = OrderView {
        mch_id: "1900000001".to_owned(),
        app_id: "wxtest01".to_owned(),
        out_trade_no: attempt().bare(),
        trade_state: "NOTPAY".to_owned(),
        amount: request::AmountBody { total: 1230, currency: "CNY".to_owned() },
        pay_url: Some("http://127.0.0.1:8080/sandbox/wallet/pay/abc".to_owned()),
        transaction_id: None,
        success_time: None,
    };
    change(&mut view);
    view
}

fn paid(view: &mut OrderView) {
    view.trade_state = "SUCCESS".to_owned();
    view.transaction_id = Some("4200001".to_owned());
    view.success_time = Some(NOW.to_rfc3339());
}

fn refund_view(status: &str) -> RefundView {
    RefundView {
        mch_id: "1900000001".to_owned(),
        out_trade_no: attempt().bare(),
        out_refund_no: refund().bare(),
        refund_id: "5000001".to_owned(),
        status: status.to_owned(),
        amount: request::AmountBody { total: 600, currency: "CNY".to_owned() },
    }
}

fn headers(key: &Ed25519KeyPair, body: &[u8], at: Timestamp) -> Vec<(String, String)> {
    let sealing = Sealing { now: at, ..SEALING };
    sign::provider_headers(key, body, &sealing).into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn answer(status: u16, body: &impl Serialize) -> OutgoingResponse {
    raw_answer(status, serde_json::to_vec(body).unwrap())
}

fn raw_answer(status: u16, body: Vec<u8>) -> OutgoingResponse {
    OutgoingResponse {
        status,
        headers: headers(&provider(7), &body, NOW),
        body,
        truncated: false,
        address: "127.0.0.1:8080".parse().unwrap(),
        connect_ms: 0,
        total_ms: 1,
    }
}

fn hear(order: &Order, response: &OutgoingResponse) -> Result<Observation, ChannelError> {
    wallet().read_response(order, response, NOW)
}

fn refusal(code: &str) -> OutgoingResponse {
    answer(400, &response::ErrorBody { code: code.to_owned(), message: "no".to_owned() })
}

fn notified(body: &[u8], headers: &[(String, String)], now: Timestamp) -> Result<VerifiedNotification, ChannelError> {
    wallet().read_notification(&Inbound { headers, body }, now)
}

fn notification(order: &OrderView) -> Vec<u8> {
    let body = notification::NotificationBody {
        id: "n1".to_owned(),
        create_time: NOW.to_rfc3339(),
        order: Some(order.clone()),
        refund: None,
    };
    serde_json::to_vec(&body).unwrap()
}

#[track_caller]
fn assert_not_genuine(result: Result<impl fmt::Debug, ChannelError>) {
    assert!(matches!(result, Err(ChannelError::NotGenuine { .. })), "{result:?}");
}

#[test]
fn requests_are_signed_as_the_vector_says() {
    let key = Secret::new((0..32).collect::<Vec<u8>>());
    let (path, body) = ("/sandbox/wallet/v1/orders/01JD/close", br#"{"mch_id":"1900000001"}"#);
    let header = sign::authorization(&key, "1900000001", "POST", path, body, &SEALING);
    assert_eq!(
        header,
        "WALLET-HMAC-SHA256 mch_id=\"1900000001\",nonce=\"000102030405060708090a0b0c0d0e0f\",\
         timestamp=\"1795000000\",signature=\"voE5dK2RKSov+GbSfG1WBBowtZNrlrW9X25VAH5GT0M=\""
    );
    let claim = Claim::parse(&header).unwrap();
    assert_eq!(claim.mch_id, "1900000001");
    assert_eq!(claim.verify(&key, "POST", path, body, NOW), Ok(()));
    for (key, method, path, body) in [
        (&Secret::new([9; 32]), "POST", path, body.as_slice()),
        (&key, "GET", path, body),
        (&key, "POST", "/sandbox/wallet/v1/orders/01JE/close", body),
        (&key, "POST", path, b"{}"),
    ] {
        assert_eq!(claim.verify(key, method, path, body, NOW), Err(BadSignature::Wrong));
    }
    let late = NOW.plus(Duration::from_seconds(301));
    assert_eq!(claim.verify(&key, "POST", path, body, late), Err(BadSignature::Stale));
}

#[test]
fn an_authorization_header_with_a_part_missing_doubled_or_foreign_is_refused() {
    for bad in [
        "",
        "Bearer x",
        "WALLET-HMAC-SHA256 ",
        r#"WALLET-HMAC-SHA256 mch_id="1",nonce="2",timestamp="3""#,
        r#"WALLET-HMAC-SHA256 mch_id="1",nonce="2",timestamp="3",signature="""#,
        r#"WALLET-HMAC-SHA256 mch_id="1",mch_id="2",nonce="2",timestamp="3",signature="4""#,
        r#"WALLET-HMAC-SHA256 mch_id="1",nonce="2",timestamp="3",signature="4",alg="none""#,
        r#"WALLET-HMAC-SHA256 mch_id=1,nonce="2",timestamp="3",signature="4""#,
        r#"WALLET-NONE mch_id="1",nonce="2",timestamp="3",signature="4""#,
    ] {
        assert!(Claim::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn provider_messages_are_verified_as_the_vector_says() {
    let body = r#"{"id":"n1","名":"马克杯"}"#.as_bytes();
    let key = BASE64.decode(b"6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=").unwrap();
    let signature = "6z4ICoDjjhcUmju6zxI4hPl5MUfe0C5M90mKXy6Wshekgr+y3zYpO3A6T0zq2iav1PfXk2K3MwxZPdr7F2ULAA==";
    let headers = headers(&provider(7), body, NOW);
    assert!(headers.contains(&(sign::SIGNATURE_HEADER.to_owned(), signature.to_owned())));
    assert_eq!(sign::verify_provider(&key, &headers, body, NOW), Ok(()));
}

#[test]
fn a_create_call_says_everything_and_carries_a_signature_that_verifies() {
    let request = call(&create(Method::AlipayQr));
    assert_eq!((request.method, request.url.as_str()), (Verb::Post, "http://127.0.0.1:8080/sandbox/wallet/v1/orders"));
    let body: request::OrderBody = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body.out_trade_no, attempt().bare());
    assert_eq!(body.amount, request::AmountBody { total: 1230, currency: "CNY".to_owned() });
    assert_eq!(
        (body.mch_id.as_str(), body.app_id.as_str(), body.method.as_str()),
        ("1900000001", "wxtest01", "alipay_qr")
    );
    let (_, header) = request.headers.iter().find(|(name, _)| name == "authorization").unwrap();
    let key = Secret::new((0..32).collect::<Vec<u8>>());
    let claim = Claim::parse(header).unwrap();
    assert_eq!(claim.verify(&key, "POST", "/sandbox/wallet/v1/orders", &request.body, NOW), Ok(()));
}

#[test]
fn the_same_order_is_asked_for_in_the_same_words() {
    assert_eq!(call(&create(Method::WechatNative)), call(&create(Method::WechatNative)));
}

#[test]
fn what_is_not_in_the_terms_is_not_asked_for() {
    for method in Method::ALL.iter().copied().filter(|method| !METHODS.contains(method)) {
        assert_eq!(wallet().request(&create(method), &SEALING).err(), Some(ChannelError::Unsupported), "{method}");
    }
    let offered: Vec<Method> = wallet().terms().methods.iter().map(|terms| terms.method).collect();
    assert_eq!(offered, METHODS);
}

#[test]
fn an_accepted_order_shows_a_code_or_a_page_as_its_method_flows() {
    let url = "http://127.0.0.1:8080/sandbox/wallet/pay/abc".to_owned();
    let accepted = answer(200, &view(|_| {}));
    assert_eq!(
        hear(&create(Method::UnionpayQr), &accepted),
        Ok(Observation::Accepted { next_action: NextAction::QrCode { data: url.clone() } })
    );
    assert_eq!(
        hear(&create(Method::WechatH5), &accepted),
        Ok(Observation::Accepted { next_action: NextAction::Redirect { url } })
    );
}

#[test]
fn every_state_has_one_meaning_and_a_strange_one_means_unknown() {
    let query = Order::Query(reference());
    for (state, expected) in [
        ("NOTPAY", Observation::NotPaid),
        ("USERPAYING", Observation::NotPaid),
        ("CLOSED", Observation::Closed),
        ("FROZEN", Observation::Unknown { detail: "trade_state FROZEN".to_owned() }),
        ("success", Observation::Unknown { detail: "trade_state success".to_owned() }),
        ("", Observation::Unknown { detail: "trade_state ".to_owned() }),
    ] {
        assert_eq!(hear(&query, &answer(200, &view(|v| v.trade_state = state.to_owned()))), Ok(expected));
    }
    let declined = hear(&query, &answer(200, &view(|v| v.trade_state = "PAYERROR".to_owned())));
    assert!(matches!(declined, Ok(Observation::Declined { .. })));
    let facts = PaidFacts {
        amount: Money::new(1230, Currency::CNY),
        transaction_id: "4200001".to_owned(),
        paid_at: NOW,
        identity: Ok(()),
    };
    assert_eq!(hear(&query, &answer(200, &view(paid))), Ok(Observation::Paid(facts)));
}

#[test]
fn refund_states_have_one_meaning_and_a_strange_one_means_unknown() {
    let query = Order::QueryRefund(refund_reference());
    let channel_refund_id = Some("5000001".to_owned());
    let hear = |status| hear(&query, &answer(200, &refund_view(status))).unwrap();
    assert_eq!(hear("PROCESSING"), Observation::RefundProcessing { channel_refund_id: channel_refund_id.clone() });
    let amount = Money::new(600, Currency::CNY);
    assert_eq!(hear("SUCCESS"), Observation::RefundSucceeded { channel_refund_id, amount });
    assert!(matches!(hear("ABNORMAL"), Observation::RefundFailed { .. }));
    assert!(matches!(hear("MAYBE"), Observation::Unknown { .. }));
}

#[test]
fn a_refusal_means_what_was_asked_makes_of_it() {
    let (query, close) = (Order::Query(reference()), Order::Close(reference()));
    let refund = Order::Refund(RefundOrder {
        about: refund_reference(),
        amount: Money::new(600, Currency::CNY),
        total: Money::new(1230, Currency::CNY),
        reason: None,
        notify_url: "http://127.0.0.1:8080/notify".to_owned(),
    });
    let create = create(Method::AlipayQr);
    assert_eq!(hear(&query, &refusal("ORDER_NOT_EXIST")), Ok(Observation::NotFound));
    for (order, code) in [
        (&create, "OUT_TRADE_NO_USED"),
        (&create, "PARAM_ERROR"),
        (&close, "ORDERPAID"),
        (&close, "USERPAYING"),
        (&refund, "NOT_ENOUGH"),
        (&refund, "ORDER_NOT_EXIST"),
    ] {
        assert!(matches!(hear(order, &refusal(code)), Ok(Observation::Refused { .. })), "{code}");
    }
    // A repeated create of a paid order must not read as "nothing was created".
    for (order, code) in [
        (&create, "ORDERPAID"),
        (&create, "ORDERCLOSED"),
        (&query, "PARAM_ERROR"),
        (&create, "FREQUENCY_LIMITED"),
        (&refund, "SYSTEM_ERROR"),
        (&create, "A_NEW_CODE"),
    ] {
        assert!(matches!(hear(order, &refusal(code)), Ok(Observation::Unknown { .. })), "{code}");
    }
    assert!(matches!(hear(&create, &refusal("SIGN_ERROR")), Err(ChannelError::Credentials { .. })));
}

#[test]
fn an_answer_that_proves_nothing_is_not_believed() {
    let query = Order::Query(reference());
    let genuine = answer(200, &view(paid));
    // No signature, an empty one, a doubled one.
    let without = |name: &str| {
        let mut answer = genuine.clone();
        answer.headers.retain(|(n, _)| n != name);
        answer
    };
    for name in [sign::SIGNATURE_HEADER, sign::NONCE_HEADER, sign::TIMESTAMP_HEADER] {
        assert_not_genuine(hear(&query, &without(name)));
        let mut empty = without(name);
        empty.headers.push((name.to_owned(), String::new()));
        assert_not_genuine(hear(&query, &empty));
        let mut doubled = genuine.clone();
        doubled.headers.push((name.to_owned(), genuine.header(name).unwrap().to_owned()));
        assert_not_genuine(hear(&query, &doubled));
    }
    // Changed after signing, and signed by another provider.
    let mut changed = genuine.clone();
    changed.body = serde_json::to_vec(&view(|v| {
        paid(v);
        v.amount.total = 1;
    }))
    .unwrap();
    assert_not_genuine(hear(&query, &changed));
    let mut foreign = genuine.clone();
    foreign.headers = headers(&provider(8), &foreign.body, NOW);
    assert_not_genuine(hear(&query, &foreign));
    // Genuine, but the answer to another question.
    let other = answer(200, &view(|v| v.out_trade_no = AttemptId::new(NOW, [9; 10]).bare()));
    assert_not_genuine(hear(&query, &other));
    // An unsigned refusal could make a paid order look unknown.
    let mut unsigned = refusal("ORDER_NOT_EXIST");
    unsigned.headers.clear();
    assert_not_genuine(hear(&query, &unsigned));
}

#[test]
fn trouble_on_the_way_means_unknown() {
    let create = create(Method::AlipayQr);
    let mut proxy = raw_answer(502, b"<html>bad gateway</html>".to_vec());
    proxy.headers.clear();
    assert!(matches!(hear(&create, &proxy), Ok(Observation::Unknown { .. })));
    let mut cut = answer(200, &view(|_| {}));
    cut.truncated = true;
    assert!(matches!(hear(&create, &cut), Ok(Observation::Unknown { .. })));
    assert!(matches!(hear(&create, &raw_answer(200, b"rubbish".to_vec())), Err(ChannelError::Malformed { .. })));
}

#[test]
fn a_notification_is_believed_for_five_minutes() {
    let body = notification(&view(paid));
    for seconds in [0, 299, 300] {
        let headers = headers(&provider(7), &body, NOW);
        assert!(notified(&body, &headers, NOW.plus(Duration::from_seconds(seconds))).is_ok());
        assert!(notified(&body, &headers, NOW.minus(Duration::from_seconds(seconds))).is_ok());
    }
    for minutes in [6, 10] {
        let headers = headers(&provider(7), &body, NOW);
        assert_not_genuine(notified(&body, &headers, NOW.plus(Duration::from_minutes(minutes))));
        assert_not_genuine(notified(&body, &headers, NOW.minus(Duration::from_minutes(minutes))));
    }
    let mut odd = headers(&provider(7), &body, NOW);
    odd.iter_mut().filter(|(n, _)| n == sign::TIMESTAMP_HEADER).for_each(|(_, v)| v.insert(0, '+'));
    assert_not_genuine(notified(&body, &odd, NOW));
}

#[test]
fn a_forged_notification_is_refused() {
    let body = notification(&view(paid));
    let genuine = headers(&provider(7), &body, NOW);
    assert_not_genuine(notified(&body, &[], NOW));
    assert_not_genuine(notified(&body, &headers(&provider(8), &body, NOW), NOW));
    for i in 0..body.len() {
        let mut changed = body.clone();
        changed[i] ^= 1;
        assert_not_genuine(notified(&changed, &genuine, NOW));
    }
    let huge = vec![b' '; notification::NOTIFICATION_MAX_BYTES + 1];
    assert_not_genuine(notified(&huge, &headers(&provider(7), &huge, NOW), NOW));
}

#[test]
fn a_genuine_notification_under_another_name_says_so() {
    for change in [(|v: &mut OrderView| v.mch_id = "1900000002".to_owned()) as fn(&mut OrderView), |v| {
        v.app_id = "wxother".to_owned()
    }] {
        let body = notification(&view(|v| {
            paid(v);
            change(v);
        }));
        let told = notified(&body, &headers(&provider(7), &body, NOW), NOW).unwrap();
        assert_eq!(told.about(), Subject::Order(attempt()));
        let Observation::Paid(facts) = told.observation() else { panic!("{told:?}") };
        assert!(facts.identity.is_err());
        // Closing or refusing under another name is not about this account at all.
        let body = notification(&view(|v| {
            v.trade_state = "CLOSED".to_owned();
            change(v);
        }));
        assert_not_genuine(notified(&body, &headers(&provider(7), &body, NOW), NOW));
    }
}

#[test]
fn amount_and_currency_are_passed_on_as_told() {
    for (total, currency) in [(1229, Currency::CNY), (1231, Currency::CNY), (1230, Currency::USD)] {
        let body = notification(&view(|v| {
            paid(v);
            v.amount = request::AmountBody { total, currency: currency.code().to_owned() };
        }));
        let told = notified(&body, &headers(&provider(7), &body, NOW), NOW).unwrap();
        let Observation::Paid(facts) = told.observation() else { panic!("{told:?}") };
        assert_eq!(facts.amount, Money::new(total, currency));
    }
}

#[test]
fn a_genuine_body_that_cannot_be_read_is_malformed() {
    let good = String::from_utf8(notification(&view(paid))).unwrap();
    let bodies: Vec<Vec<u8>> = vec![
        b"{}".to_vec(),
        b"null".to_vec(),
        good.replace("\"id\":\"n1\"", "\"id\":\"n1\",\"id\":\"n2\"").into_bytes(),
        good.replace("\"total\":1230", "\"total\":1230,\"total\":1").into_bytes(),
        good.replace("1230", "12.30").into_bytes(),
        good.replace("1230", "-1230").into_bytes(),
        good.replace("1230", "18446744073709551616").into_bytes(),
        good.replace("CNY", "XXX").into_bytes(),
        good.replace("4200001", "").into_bytes(),
        good.replace(&attempt().bare(), "../../etc/passwd").into_bytes(),
        format!("\u{feff}{good}").into_bytes(),
        format!("{good}{good}").into_bytes(),
        [good.as_bytes(), &[0xff]].concat(),
        vec![b'['; 50_000],
    ];
    for body in bodies {
        let result = notified(&body, &headers(&provider(7), &body, NOW), NOW);
        let shown = String::from_utf8_lossy(&body[..body.len().min(120)]).into_owned();
        assert!(matches!(result, Err(ChannelError::Malformed { .. })), "{shown}: {result:?}");
    }
}

#[test]
fn credentials_without_usable_keys_are_refused() {
    let changes: [fn(&mut Credentials); 7] = [
        |c| c.hmac_key.clear(),
        |c| c.hmac_key = BASE64.encode(&[1; 31]),
        |c| c.hmac_key = "not base64!".to_owned(),
        |c| c.provider_public_key.clear(),
        |c| c.provider_public_key = BASE64.encode(&[1; 31]),
        |c| c.mch_id.clear(),
        |c| c.app_id = "a\",b=\"".to_owned(),
    ];
    for change in changes {
        let mut record = credentials();
        change(&mut record);
        let opened = TestWallet::open(record.to_secret().expose(), "http://127.0.0.1:8080");
        assert!(matches!(opened, Err(ChannelError::Credentials { .. })));
    }
}

#[test]
fn nothing_secret_is_printed() {
    let record = credentials();
    let printed = format!("{record:?} {:?}", call(&create(Method::AlipayQr)));
    assert!(!printed.contains(&record.hmac_key) && !printed.contains("WALLET-HMAC"), "{printed}");
}
