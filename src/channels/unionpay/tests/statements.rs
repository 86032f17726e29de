//! Clearing files: the answer that carries one, and its lines.

use std::io::{Cursor, Write};

use super::*;
use crate::channels::statement::{Fee, FundKind, Totals, TradeKind};

const ZM: &[u8] = include_bytes!("../fixtures/zm.txt");
const ZME: &[u8] = include_bytes!("../fixtures/zme.txt");
const ZM_NAME: &str = "INN26111788ZM_777290058110048";
const ZME_NAME: &str = "INN26111788ZME_777290058110048";

fn wanted() -> StatementId {
    StatementId { kind: StatementKind::Trades, day: "2026-11-17".parse().unwrap() }
}

fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn read(bytes: &[u8]) -> Result<(Vec<StatementLine>, Totals), StatementError> {
    let mut lines = Vec::new();
    let totals = account().read_statement(wanted(), &Promise::None, &mut &*bytes, &mut |line| lines.push(line))?;
    Ok((lines, totals))
}

fn answer(pairs: &[(&str, &str)], now: Timestamp) -> Result<StatementAnswer, ChannelError> {
    let fields = said(&[&[("txnType", "76"), ("settleDate", "1117")], pairs].concat());
    let sealing = Sealing { now, ..SEALING };
    account().read_statement_answer(wanted(), &response(200, raw(&sealed(fields))), &sealing)
}

fn content(zip: &[u8]) -> String {
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(zip).unwrap();
    data_encoding::BASE64.encode(&packer.finish().unwrap())
}

#[test]
fn a_days_file_is_read_line_by_line() {
    let (lines, totals) = read(&zip(&[(ZM_NAME, ZM), (ZME_NAME, ZME), ("readme.txt", b"x")])).unwrap();
    let [
        StatementLine::Trade(payment),
        StatementLine::Trade(refunded),
        StatementLine::Trade(undone),
        StatementLine::Fund(fix),
    ] = &lines[..]
    else {
        panic!("{lines:?}")
    };
    assert_eq!((payment.kind, payment.order_no.as_str()), (TradeKind::Payment, attempt().bare().as_str()));
    assert_eq!((payment.amount, payment.settled), (Money::new(1230, Currency::CNY), Money::new(1230, Currency::CNY)));
    assert_eq!((payment.fee, payment.fee.minor()), (Fee::from_e5(7000), 7));
    assert_eq!(payment.at, time::read_beijing("20261117153000").unwrap());
    assert_eq!((payment.transaction_id.as_str(), payment.refund_no.as_deref()), ("782611171530000000001", None));
    assert!(payment.raw.contains("钱匣小店"), "{}", payment.raw);
    assert_eq!((refunded.kind, refunded.order_no.as_str()), (TradeKind::Refund, attempt().bare().as_str()));
    assert_eq!(refunded.refund_no.as_deref(), Some(refund().bare().as_str()));
    assert_eq!(refunded.refund_id.as_deref(), Some("782611171540000000002"));
    assert_eq!(refunded.transaction_id, payment.transaction_id);
    assert_eq!(refunded.fee.minor(), -3, "what is credited is given back");
    assert_eq!((undone.kind, undone.order_no.as_str()), (TradeKind::Reversal, ""), "an older, shorter line");
    assert_eq!((fix.kind, fix.amount), (FundKind::Unlisted, Money::new(500, Currency::CNY)));
    assert_eq!((fix.flow_no.as_str(), fix.business_no.as_str()), ("0000071117101500", "0674021110153000"));
    assert_eq!(totals, Totals { lines: 4, in_minor: 1230, out_minor: 1200, fee: Fee::from_e5(4000) });
}

#[test]
fn the_answer_carries_the_file_or_says_why_not() {
    let zip = zip(&[(ZM_NAME, ZM)]);
    let next_day = time::read_beijing("20261118100000").unwrap();
    let Ok(StatementAnswer::File { bytes, promise: Promise::None }) =
        answer(&[("fileContent", &content(&zip))], next_day)
    else {
        panic!()
    };
    assert_eq!(bytes, zip);
    assert!(matches!(answer(&[("respCode", "98")], next_day), Ok(StatementAnswer::NotYet)));
    let much_later = next_day.plus(Duration::from_days(3));
    assert!(matches!(answer(&[("respCode", "98")], much_later), Ok(StatementAnswer::Empty)));
    assert!(matches!(answer(&[("respCode", "06")], next_day), Ok(StatementAnswer::Unknown { .. })));
    assert!(matches!(answer(&[("respCode", "32")], next_day), Ok(StatementAnswer::Refused { .. })));
    assert!(matches!(answer(&[], next_day), Err(ChannelError::Malformed { .. })));
    for pair in [("settleDate", "1116"), ("txnType", "01"), ("merId", "777290058110097")] {
        assert_not_genuine(answer(&[pair], next_day));
    }
}

#[test]
fn a_line_that_is_not_as_it_has_to_be_refuses_the_whole_file() {
    // Lines of the file end in CR LF, LF, CR LF.
    let changes: [(usize, &[u8]); 14] = [
        (65, b"x"), // a separator
        (66, b"00000000123 "),
        (66, b"-00000001230"),
        (166, b"X"),  // neither C nor D
        (180, b"D"),  // a payment that takes money
        (215, b"77"), // a kind that nobody knows
        (35, b"1332153000"),
        (87, b"                     "),
        (112, b"                                "),
        (112, b"\xc7\xae"),
        (293, b"777290058110097"),
        (293, b"               "),
        (609 + 215, b"02"),
        (609 + 271, b"                     "),
    ];
    for (at, bytes) in changes {
        let mut file = ZM.to_vec();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        let seen = read(&zip(&[(ZM_NAME, &file)]));
        assert!(matches!(seen, Err(StatementError::BadLine { .. })), "{at}: {seen:?}");
    }
    for file in [&ZM[..474], &ZM[..1000], b"x\r\n", &[b'0'; 40_000]] {
        let seen = read(&zip(&[(ZM_NAME, file)]));
        assert!(matches!(seen, Err(StatementError::BadLine { .. })), "{seen:?}");
    }
}

#[test]
fn a_file_of_another_kind_or_day_is_refused() {
    let of_another_day = zip(&[("INN26111688ZM_777290058110048", ZM)]);
    let without_transactions = zip(&[(ZME_NAME, ZME)]);
    let entries: Vec<(String, &[u8])> = (0..20).map(|n| (format!("INN26111788ZM_{n}"), ZM)).collect();
    let entries: Vec<(&str, &[u8])> = entries.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
    for bytes in
        [&of_another_day[..], &without_transactions, b"", b"no zip", &zip(&entries), &zip(&[(ZM_NAME, ZM)])[..300]]
    {
        let seen = read(bytes);
        assert!(matches!(seen, Err(StatementError::Unreadable { .. })), "{seen:?}");
    }
    assert_eq!(read(&zip(&[(ZM_NAME, b"")])).unwrap().1, Totals::default(), "a day without transactions");
}
