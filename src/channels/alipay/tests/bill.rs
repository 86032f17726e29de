//! Bills: where they are fetched, each line, and files that do not agree with themselves.

use std::io::{Cursor, Write};

use super::*;
use crate::channels::statement::{
    Fee, FundDirection, FundKind, Promise, StatementAnswer, StatementError, StatementId, StatementKind, StatementLine,
    Totals, TradeKind,
};

const NODE: &str = "alipay_data_dataservice_bill_downloadurl_query_response";

fn wanted(kind: StatementKind) -> StatementId {
    StatementId { kind, day: jiff::civil::date(2026, 11, 17) }
}

const HEADING: &str = "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,订单金额（元）,商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,退款批次号/请求号,服务费（元）,分润（元）,备注";

/// A bill of one payment and one refund of a part of it.
fn trades() -> String {
    format!(
        "#支付宝业务明细查询\n\
         #账号：[{SELLER_ID}0156]\n\
         #起始日期：[2026年11月17日 00:00:00]   终止日期：[2026年11月18日 00:00:00]\n\
         #-----------------------------------------业务明细列表----------------------------------------\n\
         {HEADING}\n\
         2026111722001400001\t,01KA0000000000000000000000\t,交易,马克杯 \t,2026-11-17 10:00:00,2026-11-17 10:00:05,\t,\t,\t,\t,a**(138****0000)\t,12.30,12.30,0.00,0.00,0.00,0.00,0.00,\t,0.00,0.00,\t,-0.07,0.00,\t\n\
         2026111722001400001\t,01KA0000000000000000000000\t,退款,马克杯 \t,2026-11-17 10:00:00,2026-11-17 23:59:59,\t,\t,\t,\t,a**(138****0000)\t,-6.00,-6.00,0.00,0.00,0.00,0.00,0.00,\t,0.00,0.00,01KA0000000000000000000001\t,0.03,0.00,\t\n\
         #-----------------------------------------业务明细列表结束------------------------------------\n\
         #交易合计：1笔，商家实收共12.30元，商家优惠共0.00元\n\
         #退款合计：1笔，商家实收退款共-6.00元，商家优惠退款共0.00元\n\
         #导出时间：[2026年11月18日 06:27:10]\n"
    )
}

fn funds() -> String {
    format!(
        "#支付宝账务明细查询\r\n\
         #账号：[{SELLER_ID}0156]\r\n\
         #起始日期：[2026年11月17日 00:00:00]   终止日期：[2026年11月18日 00:00:00]\r\n\
         #-----账务明细列表-----\r\n\
         账务流水号,业务流水号,商户订单号,商品名称,发生时间,对方账号,收入金额（+元）,支出金额（-元）,账户余额（元）,交易渠道,业务类型,备注\r\n\
         1001\t,2026111722001400001\t,01KA0000000000000000000000\t,杯\t,2026-11-17 10:00:05,a**\t,12.30,0.00,112.30,支付宝\t,在线支付\t,\t\r\n\
         1002\t,2026111722001400001\t,01KA0000000000000000000000\t,\t,2026-11-17 10:00:05,\t, ,-0.07,112.23,支付宝\t,收费\t,服务费\t\r\n\
         1003\t,\t,\t,\t,2026-11-17 12:00:00,\t,0.00,-100.00,12.23,支付宝\t,花呗代还\t,\t\r\n\
         #-----账务明细列表结束-----\r\n\
         #支出合计：2笔，共-100.07元\r\n\
         #收入合计：1笔，共12.30元\r\n"
    )
}

fn gbk(text: &str) -> Vec<u8> {
    let (bytes, _, lost) = encoding_rs::GBK.encode(text);
    assert!(!lost);
    bytes.into_owned()
}

/// As Alipay packs it: names in GBK, the summary beside the detail.
fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for (i, (_, bytes)) in files.iter().enumerate() {
        zip.start_file(format!("name{i:020}"), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    let mut packed = zip.finish().unwrap().into_inner();
    // The writer would mark names as UTF-8, which Alipay does not, so they are put in afterwards.
    for (i, (name, _)) in files.iter().enumerate() {
        let (from, mut to) = (format!("name{i:020}").into_bytes(), gbk(name));
        assert!(to.len() <= from.len(), "{name}");
        to.resize(from.len(), b'_');
        let mut at = 0;
        while let Some(found) = packed[at..].windows(from.len()).position(|window| window == from) {
            packed[at + found..at + found + from.len()].copy_from_slice(&to);
            at += found + from.len();
        }
    }
    packed
}

fn read(kind: StatementKind, file: &[u8]) -> Result<(Vec<StatementLine>, Totals), StatementError> {
    let mut lines = Vec::new();
    let totals =
        opened(&by_key()).read_statement(wanted(kind), &Promise::None, &mut Cursor::new(file), &mut |line| {
            lines.push(line);
        })?;
    Ok((lines, totals))
}

fn read_trades(text: &str) -> Result<(Vec<StatementLine>, Totals), StatementError> {
    read(StatementKind::Trades, &gbk(text))
}

#[test]
fn a_days_trades_are_read_to_the_fen() {
    let summary = gbk("#支付宝业务汇总查询\n");
    let file = zipped(&[("业务明细(汇总).csv", &summary), ("20881_业务明细.csv", &gbk(&trades()))]);
    let (lines, totals) = read(StatementKind::Trades, &file).unwrap();
    assert_eq!(totals, Totals { lines: 2, in_minor: 1230, out_minor: 600, fee: Fee::from_e5(4_000) });
    let [StatementLine::Trade(payment), StatementLine::Trade(refund)] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((payment.kind, refund.kind), (TradeKind::Payment, TradeKind::Refund));
    assert_eq!(payment.at, wire::parse_beijing("2026-11-17 10:00:05").unwrap());
    assert_eq!(
        (payment.merchant_no.as_str(), payment.app_id.as_str(), payment.transaction_id.as_str()),
        (SELLER_ID, APP_ID, "2026111722001400001")
    );
    assert_eq!(payment.order_no, "01KA0000000000000000000000");
    assert_eq!((payment.amount.minor(), payment.settled.minor(), payment.fee.as_e5()), (1230, 1230, 7_000));
    assert_eq!((refund.amount.minor(), refund.settled.minor(), refund.fee.as_e5()), (600, 600, -3_000));
    assert_eq!(payment.refund_no, None);
    assert_eq!(refund.refund_no.as_deref(), Some("01KA0000000000000000000001"));
    assert!(payment.raw.starts_with("2026111722001400001\t,"));
    // The detail as somebody unpacked it reads the same.
    assert_eq!(read_trades(&trades()).unwrap(), (lines, totals));
}

#[test]
fn a_days_funds_are_read_and_what_is_not_listed_is_said_to_be() {
    let file = zipped(&[("20881_账务明细.csv", &gbk(&funds()))]);
    let (lines, totals) = read(StatementKind::Funds, &file).unwrap();
    assert_eq!(totals, Totals { lines: 3, in_minor: 1230, out_minor: 10_007, fee: Fee::ZERO });
    let kinds: Vec<_> = lines
        .iter()
        .map(|line| match line {
            StatementLine::Fund(line) => {
                (line.kind, line.direction, line.amount.minor(), line.balance.unwrap().minor())
            }
            StatementLine::Trade(line) => panic!("{line:?}"),
        })
        .collect();
    use FundDirection::{In, Out};
    let expected = [
        (FundKind::Payment, In, 1230, 11_230),
        (FundKind::Fee, Out, 7, 11_223),
        (FundKind::Unlisted, Out, 10_000, 1_223),
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn headings_are_matched_by_name_and_commas_of_goods_are_no_cells() {
    let older = trades().replace("（元）", "(元)").replace(",备注", ",备注,新栏").replace(",\t\n", ",\t,x\n");
    assert_eq!(read_trades(&older).unwrap().1, read_trades(&trades()).unwrap().1);
    let comma = trades().replace("马克杯 \t", "杯, 盘, 碗\t");
    assert_eq!(read_trades(&comma).unwrap().1.lines, 2);
    let quoted = trades().replace("马克杯 \t", "\"杯, \"\"大\"\"\"");
    assert_eq!(read_trades(&quoted).unwrap().1.lines, 2);
    let empty = format!(
        "#账号：[{SELLER_ID}0156]\n{HEADING}\n#业务明细列表结束\n#交易合计：0笔，商家实收共0.00元，商家优惠共0.00元\n"
    );
    assert_eq!(read_trades(&empty).unwrap().1, Totals::default());
}

#[test]
fn a_file_that_does_not_agree_with_itself_is_refused_whole() {
    let good = trades();
    let lines: Vec<&str> = good.lines().collect();
    let without = |skip: usize| -> String {
        lines.iter().enumerate().filter(|(i, _)| *i != skip).map(|(_, line)| format!("{line}\n")).collect()
    };
    // A row is missing or doubled, an amount changed.
    for bad in [
        without(5),
        without(6),
        good.replace(lines[5], &format!("{}\n{}", lines[5], lines[5])),
        good.replace(",12.30,12.30,", ",12.31,12.31,"),
        good.replace("商家实收共12.30元", "商家实收共12.29元"),
        good.replace("#退款合计：1笔", "#退款合计：x笔"),
    ] {
        assert!(matches!(read_trades(&bad), Err(StatementError::WrongTotals { .. })), "{bad}");
    }
    // A row that is not as it has to be.
    for (from, to) in [
        (",12.30,12.30,", ",-12.30,12.30,"),
        (",12.30,12.30,", ",12.305,12.30,"),
        (",12.30,12.30,", ",1e3,12.30,"),
        (",12.30,12.30,", ",=1+1,12.30,"),
        (",-6.00,-6.00,", ",6.00,-6.00,"),
        (",交易,", ",理财,"),
        ("2026-11-17 10:00:05", "2026-11-16 10:00:05"),
        ("2026-11-17 10:00:05", "10:00:05"),
        ("2026111722001400001\t,01KA0000000000000000000000\t,交易", "\t,01KA0000000000000000000000\t,交易"),
        ("01KA0000000000000000000001\t", "\t"),
        ("马克杯 \t,2026-11-17 10:00:00,", "马克杯,"),
        ("#退款合计", "2026,1\n#退款合计"),
        (HEADING, "支付宝交易号,商户订单号"),
        (HEADING, &HEADING.replace("备注", "服务费（元）")),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        assert!(matches!(read_trades(&bad), Err(StatementError::BadLine { .. })), "{from} {to}");
    }
    // Another account's, another day's, cut, empty, no text.
    for bad in [
        good.replace(SELLER_ID, "2088999999999999"),
        good.replace("#起始日期：[2026年11月17日", "#起始日期：[2026年11月16日"),
        lines[..7].join("\n"),
        String::new(),
    ] {
        assert!(matches!(read_trades(&bad), Err(StatementError::Unreadable { .. })), "{bad}");
    }
    assert!(matches!(
        read(StatementKind::Trades, good.as_bytes()),
        Err(StatementError::BadLine { .. } | StatementError::Unreadable { .. })
    ));
    let long = format!("#{}\n{good}", "x".repeat(20_000));
    assert!(matches!(read_trades(&long), Err(StatementError::BadLine { line: 1, .. })));
}

#[test]
fn a_package_that_is_not_as_alipay_packs_is_refused() {
    let good = gbk(&trades());
    let file = zipped(&[("a_业务明细.csv", &good)]);
    for bad in [
        zipped(&[("a_业务明细(汇总).csv", &good)]),
        zipped(&[("a_账务明细.csv", &good)]),
        zipped(&[("a_业务明细.csv", &good), ("b_业务明细.csv", &good)]),
        file[..file.len() / 2].to_vec(),
        b"PK\x03\x04".to_vec(),
    ] {
        assert!(matches!(read(StatementKind::Trades, &bad), Err(StatementError::Unreadable { .. })));
    }
    // A bent byte in the packed text does not read as another bill.
    for at in (40..file.len() / 2).step_by(11) {
        let mut bent = file.clone();
        bent[at] ^= 0x10;
        if let Ok(read) = read(StatementKind::Trades, &bent) {
            assert_eq!(read, read_trades(&trades()).unwrap());
        }
    }
}

fn asked(node: &str, now: Timestamp) -> Result<StatementAnswer, ChannelError> {
    let sealing = Sealing { now, ..SEALING };
    opened(&by_key()).read_statement_answer(wanted(StatementKind::Trades), &answer(NODE, node), &sealing)
}

#[test]
fn the_address_of_a_bill_is_followed_without_a_signature() {
    let url = "https://dwbillcenter.alipay.com/downloadBillFile.resource?bizType=trade&x=1";
    let node = format!(r#"{{"code":"10000","msg":"Success","bill_download_url":"{}"}}"#, url.replace('/', r"\/"));
    let Ok(StatementAnswer::Download { request, promise: Promise::None }) = asked(&node, NOW) else { panic!() };
    assert_eq!((request.url.as_str(), request.body.len()), (url, 0));
    for bad in ["", "file:///etc/passwd", "https://a@b.example.com/x", "//x", "nothing"] {
        assert_malformed(asked(&format!(r#"{{"code":"10000","bill_download_url":"{bad}"}}"#), NOW));
    }
}

#[test]
fn a_missing_bill_is_late_until_the_next_day_is_over() {
    let code = |code: &str| format!(r#"{{"code":"40004","sub_code":"{code}","sub_msg":"x"}}"#);
    let evening = Timestamp::parse_rfc3339("2026-11-18T15:59:59Z").unwrap();
    let over = evening.plus(Duration::from_seconds(1));
    for word in ["BILL_NOT_EXIST", "NO_BILL_DATA", "isp.bill_not_exist", "isv.bill-not-exist"] {
        assert!(matches!(asked(&code(word), evening), Ok(StatementAnswer::NotYet)), "{word}");
        assert!(matches!(asked(&code(word), over), Ok(StatementAnswer::Empty)), "{word}");
    }
    for word in ["INVAILID_ARGUMENTS", "TYPE_NOT_SUPPORTED", "BILL_DATE_BEFORE_REGISTRATION"] {
        assert!(matches!(asked(&code(word), over), Ok(StatementAnswer::Refused { .. })), "{word}");
    }
    for word in ["UNKNOWN_ERROR", "", "NEW"] {
        assert!(matches!(asked(&code(word), over), Ok(StatementAnswer::Unknown { .. })), "{word}");
    }
}
