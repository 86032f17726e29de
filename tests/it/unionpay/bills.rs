//! The day's clearing file from the simulator, read by the adapter, with every fault of bills.

use coffer::channels::statement::{
    Promise, StatementAnswer, StatementError, StatementId, StatementKind, StatementLine, Totals, TradeKind,
};
use coffer::channels::{Channel, Order};
use coffer::domain::method::Method;
use coffer::domain::time::{Duration, Timestamp};
use coffer::sandbox::provider::fault::Fault;
use coffer::sandbox::provider::model::Deed;
use coffer::sandbox::unionpay::Form;

use super::town::{Town, town_of};

async fn ask(town: &Town, wanted: StatementId) -> StatementAnswer {
    let request = town.channel.request_statement(wanted, &town.sealing()).unwrap();
    let response = town.send(request).await.unwrap();
    // The file is a field of an answer like others.
    assert_eq!(response.header("content-type"), Some("text/html;charset=UTF-8"));
    town.channel.read_statement_answer(wanted, &response, &town.sealing()).unwrap()
}

async fn read(town: &Town, wanted: StatementId) -> Result<(Vec<StatementLine>, Totals), StatementError> {
    let answer = ask(town, wanted).await;
    let StatementAnswer::File { bytes, promise } = answer else { panic!("{answer:?}") };
    assert_eq!(promise, Promise::None);
    let mut lines = Vec::new();
    let totals = town.channel.read_statement(wanted, &promise, &mut &bytes[..], &mut |line| lines.push(line))?;
    Ok((lines, totals))
}

#[tokio::test]
async fn a_day_of_payments_and_refunds_is_in_its_file_to_the_fen() {
    for form in Form::ALL {
        a_day(&town_of(form).await).await;
    }
}

async fn a_day(town: &Town) {
    // The merchant names a day by its real clock, so what happens is moved back: today's file is made tomorrow.
    let now = town.simulators.world.now().await.unwrap();
    let clearing = now.plus(Duration::from_hours(1)).in_zone("Asia/Shanghai").date();
    let wanted = StatementId { kind: StatementKind::Trades, day: clearing };
    let mut attempts = Vec::new();
    for method in [Method::UnionpayQr, Method::UnionpayApp] {
        let attempt = town.attempt();
        let code = town.open(attempt, method).await;
        town.pay(code, Deed::Pay).await;
        attempts.push(attempt);
    }
    let refund = town.refund(town.about(attempts[0], Method::UnionpayQr), 1, 600);
    town.ask(&Order::Refund(refund.clone())).await.unwrap();
    assert!(matches!(ask(town, wanted).await, StatementAnswer::NotYet), "made the next morning");

    town.skip(Duration::from_hours(36)).await;
    let (lines, totals) = read(town, wanted).await.unwrap();
    // 0.6 percent of 12.30 twice, and of 6.00 given back.
    assert_eq!((totals.lines, totals.in_minor, totals.out_minor), (3, 2460, 600));
    assert_eq!(totals.fee.minor(), 7 + 7 - 4);
    for line in &lines {
        let StatementLine::Trade(line) = line else { panic!("{line:?}") };
        assert!(attempts.iter().any(|attempt| attempt.bare() == line.order_no), "{line:?}");
        let refund_no = (line.kind == TradeKind::Refund).then(|| refund.about.refund.bare());
        assert_eq!(line.refund_no, refund_no);
    }
    for (fault, lines, received) in
        [(Fault::BillRowMissing, 2, 1230), (Fault::BillRowExtra, 4, 2560), (Fault::BillRowAltered, 3, 2461)]
    {
        town.faults(&[fault]).await;
        let totals = read(town, wanted).await.unwrap().1;
        assert_eq!((totals.lines, totals.in_minor), (lines, received), "{fault:?}");
    }
    town.faults(&[Fault::BillLate]).await;
    assert!(matches!(ask(town, wanted).await, StatementAnswer::NotYet));
    town.faults(&[Fault::BillCut]).await;
    let cut = read(town, wanted).await;
    assert!(matches!(cut, Err(StatementError::Unreadable { .. })), "{cut:?}");
    town.faults(&[Fault::NewKey]).await;
    assert!(read(town, wanted).await.is_ok(), "another certificate of the same name");
}

#[tokio::test]
async fn a_refund_is_in_the_file_of_the_day_on_which_it_succeeded_and_one_that_failed_in_none() {
    let town = town_of(Form::Certificate).await;
    let now = town.simulators.world.now().await.unwrap();
    let clearing = |at: Timestamp| at.plus(Duration::from_hours(1)).in_zone("Asia/Shanghai").date();
    let of = |day| StatementId { kind: StatementKind::Trades, day };
    for (number, fault) in [(1, Fault::RefundAbnormal), (2, Fault::RefundStuck)] {
        town.faults(&[fault]).await;
        let attempt = town.attempt();
        let code = town.open(attempt, Method::UnionpayQr).await;
        town.pay(code, Deed::Pay).await;
        let refund = town.refund(town.about(attempt, Method::UnionpayQr), number, 600);
        town.ask(&Order::Refund(refund)).await.unwrap();
    }
    town.faults(&[]).await;
    town.skip(Duration::from_hours(36)).await;
    let (_, totals) = read(&town, of(clearing(now))).await.unwrap();
    assert_eq!((totals.lines, totals.in_minor, totals.out_minor), (2, 2460, 0));
    // A stuck refund arrives after three days, on a day that the merchant's own clock has not reached.
    town.skip(Duration::from_days(3)).await;
    let (lines, totals) = read(&town, of(clearing(now.plus(Duration::from_days(3))))).await.unwrap();
    assert_eq!((lines.len(), totals.in_minor, totals.out_minor), (1, 0, 600));
}
