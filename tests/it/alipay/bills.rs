//! The day's bill from the simulator, read by the adapter, with every fault of bills.

use std::io::Cursor;

use coffer::channels::Order;
use coffer::channels::statement::{
    Promise, StatementAnswer, StatementError, StatementId, StatementKind, StatementLine, Totals, TradeKind,
};
use coffer::domain::method::Method;
use coffer::domain::time::Duration;
use coffer::sandbox::provider::fault::Fault;
use coffer::sandbox::provider::model::Deed;

use super::town::{Contract, Town, town};

async fn ask(town: &Town, wanted: StatementId) -> StatementAnswer {
    let request = town.channel.request_statement(wanted, &town.sealing()).unwrap();
    let response = town.send(request).await.unwrap();
    town.channel.read_statement_answer(wanted, &response, &town.sealing()).unwrap()
}

type Read = Result<(Vec<StatementLine>, Totals), StatementError>;

/// The file's status when it is fetched, and what is in it.
async fn fetch(town: &Town, wanted: StatementId) -> (u16, Read) {
    let answer = ask(town, wanted).await;
    let StatementAnswer::Download { request, promise: Promise::None } = answer else { panic!("{answer:?}") };
    let file = town.send(request).await.unwrap();
    let kind = if file.status == 200 { "application/zip" } else { "text/plain; charset=utf-8" };
    assert_eq!(file.header("content-type"), Some(kind), "a browser saves it under this kind");
    let mut lines = Vec::new();
    let read = town.channel.read_statement(wanted, &Promise::None, &mut Cursor::new(&file.body), &mut |line| {
        lines.push(line);
    });
    (file.status, read.map(|totals| (lines, totals)))
}

#[tokio::test]
async fn a_day_of_payments_and_refunds_is_in_its_bill_to_the_fen() {
    let town = town(Contract::Certificate).await;
    // From noon on, so that the day does not end in between.
    let now = town.simulators.world.now().await.unwrap();
    let noon = now.in_zone("Asia/Shanghai").tomorrow().unwrap().with().hour(12).minute(0).build().unwrap();
    let ahead = noon.timestamp().as_millisecond() - now.as_millis();
    town.skip(Duration::from_millis(u64::try_from(ahead).unwrap())).await;
    let day = noon.date();
    let [trades, funds] = [StatementKind::Trades, StatementKind::Funds].map(|kind| StatementId { kind, day });

    let mut attempts = Vec::new();
    for method in [Method::AlipayQr, Method::AlipayWap] {
        let attempt = town.attempt();
        let code = town.open(attempt, method).await;
        town.pay(code, Deed::Pay).await;
        attempts.push(attempt);
    }
    let refund = town.refund(attempts[0], 1, 600);
    town.ask(&Order::Refund(refund.clone())).await.unwrap();
    assert!(matches!(ask(&town, trades).await, StatementAnswer::NotYet), "made the next morning");

    town.skip(Duration::from_hours(24)).await;
    let (status, read) = fetch(&town, trades).await;
    let (lines, totals) = read.unwrap();
    // 0.6 percent of 12.30 twice, and of 6.00 given back.
    assert_eq!((status, totals.lines, totals.in_minor, totals.out_minor), (200, 3, 2460, 600));
    assert_eq!(totals.fee.minor(), 7 + 7 - 4);
    for line in &lines {
        let StatementLine::Trade(line) = line else { panic!("{line:?}") };
        assert!(attempts.iter().any(|attempt| attempt.bare() == line.order_no));
        let refund_no = (line.kind == TradeKind::Refund).then(|| refund.about.refund.bare());
        assert_eq!(line.refund_no, refund_no);
    }
    let (_, read) = fetch(&town, funds).await;
    let (lines, totals) = read.unwrap();
    assert_eq!((lines.len(), totals.in_minor, totals.out_minor), (6, 2460 + 4, 600 + 14));

    for (fault, lines, received) in
        [(Fault::BillRowMissing, 2, 1230), (Fault::BillRowExtra, 4, 2560), (Fault::BillRowAltered, 3, 2461)]
    {
        town.faults(&[fault]).await;
        let (_, read) = fetch(&town, trades).await;
        let totals = read.unwrap().1;
        assert_eq!((totals.lines, totals.in_minor), (lines, received), "{fault:?}");
    }
    town.faults(&[Fault::BillLate]).await;
    assert!(matches!(ask(&town, trades).await, StatementAnswer::NotYet));
    town.faults(&[Fault::BillCut]).await;
    assert!(matches!(fetch(&town, trades).await.1, Err(StatementError::Unreadable { .. })));
    town.faults(&[Fault::BillLinkDead]).await;
    let (status, read) = fetch(&town, trades).await;
    assert_eq!(status, 403);
    assert!(read.is_err());
    town.faults(&[]).await;
    let empty = StatementId { kind: StatementKind::Trades, day: day.yesterday().unwrap() };
    assert_eq!(fetch(&town, empty).await.1.unwrap().1, Totals::default());
}
