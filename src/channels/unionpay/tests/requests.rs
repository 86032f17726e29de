//! What is sent, byte for byte, against requests computed elsewhere.

use super::keyed::KEY;
use super::*;
use crate::channels::statement::{StatementId, StatementKind};
use crate::domain::payment::NextAction;
use crate::env::transport::OutgoingRequest;

fn call(order: &Order) -> OutgoingRequest {
    call_of(&account(), order)
}

fn call_of(account: &UnionPay, order: &Order) -> OutgoingRequest {
    match account.request(order, &SEALING) {
        Ok(Prepared::Call(request)) => request,
        other => panic!("{other:?}"),
    }
}

/// Every form of contract, and how its requests are called in the file.
fn contracts() -> [(&'static str, UnionPay); 3] {
    let by_key = |method| opened(&record_by_key(method, KEY));
    [("", account()), ("_sha256", by_key(KeyedMethod::Sha256)), ("_sm3", by_key(KeyedMethod::Sm3))]
}

fn expected(name: &str) -> String {
    let requests: serde_json::Value = serde_json::from_str(include_str!("../fixtures/requests.json")).unwrap();
    requests[name].as_str().unwrap().to_owned()
}

#[test]
fn every_call_is_as_computed_elsewhere() {
    let by_query_id = {
        let mut about = refund_reference(Method::UnionpayGateway);
        about.order.transaction_id = Some("782611181234560000001".to_owned());
        about
    };
    let query = Order::Query(reference(Method::UnionpayGateway));
    for (name, path, order) in [
        ("app", "appTransReq.do", Order::Create(create(Method::UnionpayApp))),
        ("qr", "backTransReq.do", Order::Create(create(Method::UnionpayQr))),
        ("barcode", "backTransReq.do", Order::Create(create(Method::UnionpayBarcode))),
        ("query", "queryTrans.do", query.clone()),
        ("query", "queryTrans.do", Order::Close(reference(Method::UnionpayQr))),
        ("reversal", "backTransReq.do", Order::Close(reference(Method::UnionpayBarcode))),
        ("refund_by_query_id", "backTransReq.do", refund_order(by_query_id)),
        ("refund_by_number", "backTransReq.do", refund_order(refund_reference(Method::UnionpayQr))),
        ("refund_query", "queryTrans.do", Order::QueryRefund(refund_reference(Method::UnionpayQr))),
    ] {
        for (form, account) in contracts() {
            let request = call_of(&account, &order);
            let name = format!("{name}{form}");
            assert_eq!(String::from_utf8(request.body.clone()).unwrap(), expected(&name), "{name}");
            assert_eq!(request.url, format!("https://gateway.test.95516.com/gateway/api/{path}"));
            assert_eq!(request.headers[0].1, "application/x-www-form-urlencoded;charset=UTF-8");
            assert_eq!(call_of(&account, &order), request, "asking twice is asking once");
        }
    }
}

#[test]
fn a_gateway_payment_is_a_signed_form_for_the_browser() {
    for (contract, account) in contracts() {
        let shown = account.request(&Order::Create(create(Method::UnionpayGateway)), &SEALING);
        let Ok(Prepared::Show(NextAction::Form { url, fields })) = shown else { panic!("{shown:?}") };
        assert_eq!(url, "https://front.example.com/gateway/api/frontTransReq.do", "where the browser reaches it");
        let mut form = Fields::default();
        fields.iter().for_each(|(name, value)| form.put(name, value.as_str()));
        assert_eq!(form.to_form(), expected(&format!("gateway{contract}")));
    }
}

#[test]
fn on_a_phone_the_form_says_that_it_is_one() {
    let form = |method| match account().request(&Order::Create(create(method)), &SEALING) {
        Ok(Prepared::Show(NextAction::Form { url, fields })) => (url, fields),
        other => panic!("{other:?}"),
    };
    let (url, fields) = form(Method::UnionpayWap);
    let (gateway_url, gateway) = form(Method::UnionpayGateway);
    assert_eq!(url, gateway_url);
    let differs: Vec<_> = fields.iter().zip(&gateway).filter(|(one, other)| one != other).collect();
    assert_eq!(differs[0].0, &("channelType".to_owned(), "08".to_owned()));
    assert_eq!(differs.iter().map(|(one, _)| one.0.as_str()).collect::<Vec<_>>(), ["channelType", "signature"]);
}

#[test]
fn a_statement_is_asked_for_at_the_file_host() {
    let day = "2026-11-17".parse().unwrap();
    let wanted = StatementId { kind: StatementKind::Trades, day };
    for (contract, account) in contracts() {
        let request = account.request_statement(wanted, &SEALING).unwrap();
        assert_eq!(request.url, "https://filedownload.test.95516.com/");
        assert_eq!(String::from_utf8(request.body).unwrap(), expected(&format!("statement{contract}")));
    }
    for (base, url) in [
        (PRODUCTION, "https://filedownload.95516.com/"),
        ("http://127.0.0.1:8080/sim/unionpay", "http://127.0.0.1:8080/sim/unionpay/"),
    ] {
        let account = UnionPay::open(record().to_secret().expose(), base, base).unwrap();
        assert_eq!(account.request_statement(wanted, &SEALING).unwrap().url, url);
    }
    let funds = StatementId { kind: StatementKind::Funds, day };
    assert_eq!(account().request_statement(funds, &SEALING).err(), Some(ChannelError::Unsupported));
}

#[test]
fn what_does_not_fit_unionpay_is_not_sent() {
    let changes: [fn(&mut CreateOrder); 5] = [
        |create| create.amount = Money::new(1230, Currency::USD),
        |create| create.amount = Money::zero(Currency::CNY),
        |create| create.notify_url = format!("https://pay.example.com/{}", "x".repeat(256)),
        |create| create.auth_code = None,
        |create| create.auth_code = Some("62&txnAmt=1".to_owned()),
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut order = create(Method::UnionpayBarcode);
        change(&mut order);
        let result = account().request(&Order::Create(order), &SEALING);
        assert!(matches!(result, Err(ChannelError::Unfit { .. })), "{number}: {result:?}");
    }
}

#[test]
fn what_is_not_in_the_terms_is_not_asked_for() {
    for method in Method::ALL.iter().copied().filter(|method| !METHODS.contains(method)) {
        let result = account().request(&Order::Create(create(method)), &SEALING);
        assert_eq!(result.err(), Some(ChannelError::Unsupported), "{method}");
    }
    let offered: Vec<Method> = account().terms().methods.iter().map(|terms| terms.method).collect();
    assert_eq!(offered, METHODS);
    assert_eq!(account().terms().currencies, [Currency::CNY]);
}

#[test]
fn goods_cannot_break_out_of_their_field() {
    for (description, goods) in [
        ("x}&txnAmt=1&y={", Some("{commodityName=xtxnAmt1y}")),
        ("马克杯\r\n大", Some("{commodityName=马克杯大}")),
        ("{}&=[]", None),
    ] {
        let order = CreateOrder { description: description.to_owned(), ..create(Method::UnionpayApp) };
        let fields = Fields::read_form(&call(&Order::Create(order)).body).unwrap();
        assert_eq!(fields.get("riskRateInfo"), goods);
        assert_eq!(fields.get("txnAmt"), Some("1230"));
        assert!(fields.is_plain());
    }
}
