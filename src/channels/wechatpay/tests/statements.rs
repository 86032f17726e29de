//! Daily statements: asked for, fetched, and read to the fen or not at all.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::*;
use crate::channels::statement::{
    Fee, FundDirection, FundKind, FundLine, LINE_MAX_BYTES, TradeKind, TradeLine, TradeStatus, beijing_time,
};

fn day(kind: StatementKind) -> StatementId {
    StatementId { kind, day: jiff::civil::date(2026, 1, 1) }
}

fn read(
    wanted: StatementId,
    promise: &Promise,
    mut file: &[u8],
) -> Result<(Totals, Vec<StatementLine>), StatementError> {
    let mut lines = Vec::new();
    let totals = wechat().read_statement(wanted, promise, &mut file, &mut |line| lines.push(line))?;
    Ok((totals, lines))
}

fn trades(file: &str) -> Result<(Totals, Vec<StatementLine>), StatementError> {
    read(day(StatementKind::Trades), &Promise::None, file.as_bytes())
}

fn published() -> String {
    text(&vectors()["trade_bill_all"]["csv_utf8"]).to_owned()
}

fn sha1(bytes: &[u8]) -> Promise {
    Promise::Sha1(digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().try_into().unwrap())
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const FUNDS: &str = "\u{feff}记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额（元）,账户结余（元）,\
    资金变更提交申请人,备注,业务凭证号\r\n\
    `2026-01-01 10:00:01,`4200000000202601010000000001,`F1,`交易,`交易,`收入,`10.00,`110.00,`system,`结算总金额 10.00 元;含手续费 0.06 元,`T20260101_0001\r\n\
    `2026-01-01 10:00:01,`4200000000202601010000000001,`F2,`交易,`扣除交易手续费,`支出,`0.06,`109.94,`system,`,`T20260101_0001\r\n\
    `2026-01-01 12:00:00,`50000000002026010100000000001,`F3,`退款,`退款,`支出,`4.00,`105.94,`system,`,`R20260101_0001\r\n\
    `2026-01-01 13:00:00,`X,`F4,`营销,`代金券,`支出,`1.00,`104.94,`system,`,`\r\n\
    资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额\r\n`4.0,`1.0,`10.00,`3.0,`5.06\r\n";

#[test]
fn the_published_bill_is_read_packed_and_plain() {
    let bill = &vectors()["trade_bill_all"];
    let hash = data_encoding::HEXLOWER.decode(text(&bill["sha1_hex"]).as_bytes()).unwrap();
    let promise = Promise::Sha1(hash.try_into().unwrap());
    let gzip = BASE64.decode(text(&bill["gzip_base64"]).as_bytes()).unwrap();
    let (totals, lines) = read(day(StatementKind::Trades), &promise, &gzip).unwrap();
    assert_eq!(read(day(StatementKind::Trades), &promise, published().as_bytes()), Ok((totals, lines.clone())));
    assert_eq!(totals, Totals { lines: 2, in_minor: 1000, out_minor: 400, fee: Fee::from_e5(4_000) });
    let file = published();
    let raws: Vec<&str> = file.lines().skip(1).collect();
    let payment = TradeLine {
        kind: TradeKind::Payment,
        status: TradeStatus::Succeeded,
        at: beijing_time("2026-01-01 10:00:01").unwrap(),
        merchant_no: MCH_ID.to_owned(),
        app_id: APP_ID.to_owned(),
        transaction_id: "4200000000202601010000000001".to_owned(),
        order_no: "T20260101_0001".to_owned(),
        refund_id: None,
        refund_no: None,
        amount: fen(1000),
        settled: fen(1000),
        fee: Fee::from_e5(6_000),
        raw: raws[0].to_owned(),
    };
    let refund = TradeLine {
        kind: TradeKind::Refund,
        at: beijing_time("2026-01-01 11:00:01").unwrap(),
        refund_id: Some("50000000002026010100000000001".to_owned()),
        refund_no: Some("R20260101_0001".to_owned()),
        amount: fen(400),
        settled: fen(400),
        fee: Fee::from_e5(-2_000),
        raw: raws[1].to_owned(),
        ..payment.clone()
    };
    assert_eq!(lines, [StatementLine::Trade(payment), StatementLine::Trade(refund)]);
}

#[test]
fn the_fund_flow_is_read_with_both_kinds_of_brackets() {
    let halfwidth = FUNDS.replace('（', "(").replace('）', ")");
    for file in [FUNDS, &halfwidth] {
        let (totals, lines) =
            read(day(StatementKind::Funds), &sha1(file.as_bytes()), &packed(file.as_bytes())).unwrap();
        assert_eq!(totals, Totals { lines: 4, in_minor: 1000, out_minor: 506, fee: Fee::ZERO });
        let [StatementLine::Fund(first), _, _, StatementLine::Fund(last)] = &lines[..] else { panic!("{lines:?}") };
        let expected = FundLine {
            kind: FundKind::Payment,
            direction: FundDirection::In,
            at: beijing_time("2026-01-01 10:00:01").unwrap(),
            flow_no: "F1".to_owned(),
            business_no: "4200000000202601010000000001".to_owned(),
            business: "交易/交易".to_owned(),
            voucher: "T20260101_0001".to_owned(),
            amount: fen(1000),
            balance: Some(fen(11_000)),
            note: "结算总金额 10.00 元;含手续费 0.06 元".to_owned(),
            raw: FUNDS.lines().nth(1).unwrap().to_owned(),
        };
        assert_eq!(first, &expected);
        assert_eq!((last.kind, last.business.as_str()), (FundKind::Unlisted, "营销/代金券"), "a person names it");
    }
}

#[test]
fn columns_are_found_by_their_names() {
    // Names of old accounts, a column more, and a comma inside of a text.
    let old = published()
        .replace("应结订单金额", "总金额")
        .replace("代金券金额", "企业红包金额")
        .replace("费率备注\r\n", "费率备注,新列\r\n")
        .replace(",`\r\n`", ",`,`x\r\n`")
        .replace(",`\r\n总", ",`,`x\r\n总")
        .replace("示例商品", "示例,商品");
    let (totals, _) = trades(&old).unwrap();
    assert_eq!(totals.lines, 2);
    assert!(matches!(trades(&published().replacen("商户号", "别的", 1)), Err(StatementError::BadLine { line: 1, .. })));
}

#[test]
fn reversed_failed_and_running_lines_have_their_kind() {
    let change = |from: &str, to: &str| trades(&published().replace(from, to)).unwrap().1;
    let second = |lines: Vec<StatementLine>| match lines.into_iter().nth(1) {
        Some(StatementLine::Trade(line)) => (line.kind, line.status),
        other => panic!("{other:?}"),
    };
    let refund = "`ORIGINAL,`SUCCESS";
    assert_eq!(second(change(refund, "`ORIGINAL,`PROCESSING")), (TradeKind::Refund, TradeStatus::Processing));
    assert_eq!(second(change(refund, "`ORIGINAL,`FAIL")), (TradeKind::Refund, TradeStatus::Failed));
    assert_eq!(second(change("`NATIVE,`REFUND", "`NATIVE,`REVOKED")), (TradeKind::Reversal, TradeStatus::Succeeded));
}

#[test]
fn a_file_that_does_not_add_up_is_refused_whole() {
    for (from, to) in [
        ("`2.0,`10.00", "`3.0,`10.00"),
        ("`2.0,`10.00,`4.00", "`2.0,`10.01,`4.00"),
        ("`2.0,`10.00,`4.00", "`2.0,`10.00,`4.01"),
        (",`0.04,", ",`0.05,"),
        // One line's amount was altered, or its fee.
        ("`CNY,`10.00,`0.00", "`CNY,`11.00,`0.00"),
        ("`0.06000", "`0.07000"),
    ] {
        let refused = trades(&published().replacen(from, to, 1));
        assert!(matches!(refused, Err(StatementError::WrongTotals { .. })), "{from}: {refused:?}");
    }
    let whole = published();
    let lines: Vec<&str> = whole.split_inclusive("\r\n").collect();
    // A line is missing, is there twice, or the end is missing.
    for kept in [&[0, 1, 3, 4][..], &[0, 1, 1, 2, 3, 4], &[0, 1, 2], &[0, 1, 2, 3]] {
        let file: String = kept.iter().map(|&line| lines[line]).collect();
        assert!(matches!(trades(&file), Err(StatementError::WrongTotals { .. })), "{kept:?}");
    }
    assert!(matches!(
        read(day(StatementKind::Funds), &Promise::None, FUNDS.replace("`3.0,`5.06", "`3.0,`5.07").as_bytes()),
        Err(StatementError::WrongTotals { .. })
    ));
}

#[test]
fn a_line_that_is_not_as_it_has_to_be_stops_the_file() {
    for (from, to) in [
        ("`10.00,`0.00,`0,", "`1e1,`0.00,`0,"),
        ("`10.00,`0.00,`0,", "`-10.00,`0.00,`0,"),
        ("`10.00,`0.00,`0,", "`10.005,`0.00,`0,"),
        ("`10.00,`0.00,`0,", "`,`0.00,`0,"),
        ("`CNY", "`XXX"),
        ("`NATIVE,`SUCCESS", "`NATIVE,`NEW"),
        ("`ORIGINAL,`SUCCESS", "`ORIGINAL,`NEW"),
        ("`2026-01-01 10:00:01", "`2026-01-01 10:00"),
        ("`2026-01-01 10:00:01", "`2026-01-02 10:00:01"),
        ("`1900009191", "`1900009192"),
        ("`50000000002026010100000000001", "`0"),
        ("示例商品", "示例,`商品"),
        ("`附加,", ""),
        ("`4200000000202601010000000001", "`"),
        (",`4.00\r\n", ",`4.00\r\n=cmd()\r\n"),
    ] {
        let refused = trades(&published().replacen(from, to, 1));
        assert!(matches!(refused, Err(StatementError::BadLine { .. })), "{from} {to}: {refused:?}");
    }
    let long = published().replace("示例商品", &"品".repeat(LINE_MAX_BYTES));
    assert!(matches!(trades(&long), Err(StatementError::BadLine { line: 2, .. })));
    let mut bytes = published().into_bytes();
    bytes[700] = 0xff;
    assert!(matches!(read(day(StatementKind::Trades), &Promise::None, &bytes), Err(StatementError::BadLine { .. })));
}

#[test]
fn a_file_that_is_not_the_promised_one_is_refused() {
    let whole = published();
    let promise = sha1(whole.as_bytes());
    // A change that adds up is still another file.
    let changed = whole.replace("示例商品", "别的商品");
    for file in [changed.as_bytes().to_vec(), packed(changed.as_bytes()), format!("{whole}\r\n").into_bytes()] {
        assert_eq!(read(day(StatementKind::Trades), &promise, &file), Err(StatementError::WrongChecksum));
    }
    let good = packed(whole.as_bytes());
    for cut in [1, 10, good.len() / 2, good.len() - 8, good.len() - 1] {
        assert!(read(day(StatementKind::Trades), &promise, &good[..cut]).is_err(), "{cut}");
    }
    assert!(read(day(StatementKind::Trades), &Promise::None, b"").is_err());
    // Small when packed, endless when unpacked: the first line ends it.
    let bomb = packed(&vec![b'a'; 10 * LINE_MAX_BYTES]);
    assert!(matches!(
        read(day(StatementKind::Trades), &Promise::None, &bomb),
        Err(StatementError::BadLine { line: 1, .. })
    ));
}

#[test]
fn a_day_is_asked_for_and_its_file_is_fetched_with_a_signature() {
    let asked = |kind| wechat().request_statement(day(kind), &SEALING).unwrap().url;
    let trades = format!("{HOST}/v3/bill/tradebill?bill_date=2026-01-01&bill_type=ALL&tar_type=GZIP");
    assert_eq!(asked(StatementKind::Trades), trades);
    let funds = format!("{HOST}/v3/bill/fundflowbill?bill_date=2026-01-01&account_type=BASIC&tar_type=GZIP");
    assert_eq!(asked(StatementKind::Funds), funds);
    assert_eq!(wechat().terms().statements, [StatementKind::Trades, StatementKind::Funds]);

    let hear =
        |response: &OutgoingResponse| wechat().read_statement_answer(day(StatementKind::Trades), response, &SEALING);
    let url = "https://api.mch.weixin.qq.com/v3/billdownload/file?token=6XIv%2B5_&tartype=gzip";
    let link = |url: &str, kind: &str, hash: &str| {
        answer(200, &json!({"hash_type": kind, "hash_value": hash, "download_url": url}))
    };
    let hash = "bda534f8f5b29ed366f00ff49898f22f6db7297a";
    let Ok(StatementAnswer::Download { request, promise }) = hear(&link(url, "SHA1", hash)) else { panic!() };
    assert_eq!(request.url, url, "the address as it was given");
    assert_eq!(promise, sha1(published().as_bytes()));
    let (_, authorization) = request.headers.iter().find(|(name, _)| name == "authorization").unwrap();
    let signature = authorization.split_once("signature=\"").unwrap().1.trim_end_matches('"');
    let said =
        "GET\n/v3/billdownload/file?token=6XIv%2B5_&tartype=gzip\n1795000000\n000102030405060708090A0B0C0D0E0F\n\n";
    let merchant = RsaSigner::read(&key_base64("java_merchant_test")).unwrap();
    assert!(merchant.public().verifies_base64(crate::crypto::rsa::Digest::Sha256, said.as_bytes(), signature));

    for (url, kind, hash) in [
        ("https://evil.example.com/v3/billdownload/file", "SHA1", hash),
        ("http://api.mch.weixin.qq.com/v3/billdownload/file", "SHA1", hash),
        ("https://api.mch.weixin.qq.com.evil.example/", "SHA1", hash),
        ("https://api.mch.weixin.qq.com:22/", "SHA1", hash),
        ("file:///etc/passwd", "SHA1", hash),
        (url, "MD5", hash),
        (url, "SHA1", "bda5"),
        (url, "SHA1", "not hex"),
    ] {
        assert_malformed(hear(&link(url, kind, hash)));
    }
    let mut unsigned = link(url, "SHA1", hash);
    unsigned.headers.clear();
    assert_not_genuine(hear(&unsigned));
}

#[test]
fn a_day_without_a_file_says_why() {
    let hear = |status, code| {
        let response = refusal(status, code, "");
        wechat().read_statement_answer(day(StatementKind::Funds), &response, &SEALING).unwrap()
    };
    assert!(matches!(hear(400, "NO_STATEMENT_EXIST"), StatementAnswer::Empty));
    assert!(matches!(hear(400, "STATEMENT_CREATING"), StatementAnswer::NotYet));
    for code in ["NO_AUTH", "INVALID_REQUEST", "PARAM_ERROR"] {
        assert!(matches!(hear(403, code), StatementAnswer::Refused { .. }), "{code}");
    }
    for code in ["SYSTEM_ERROR", "FREQUENCY_LIMITED", "A_NEW_CODE"] {
        assert!(matches!(hear(500, code), StatementAnswer::Unknown { .. }), "{code}");
    }
    let proxy = raw_answer(502, b"<html>".to_vec(), Vec::new());
    let heard = wechat().read_statement_answer(day(StatementKind::Funds), &proxy, &SEALING).unwrap();
    assert!(matches!(heard, StatementAnswer::Unknown { .. }));
}
