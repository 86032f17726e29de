//! The provider's bills: a zip of two comma-separated files in GBK, as its merchants download them. Source: §13.

use std::fmt::Write as _;
use std::io::Write as _;

use encoding_rs::GBK;
use flate2::{Compression, Crc, write::DeflateEncoder};

use super::call::BillKind;
use super::view::{self, fee_minor};
use crate::domain::money::Money;
use crate::domain::time::Timestamp;
use crate::sandbox::provider::fault::{Fault, Faults};
use crate::sandbox::provider::model::{Order, Refund, number};

/// A movement of money.
pub enum Move {
    Paid {
        at: Timestamp,
        order: Order,
    },
    /// Taken back by `alipay.trade.cancel`.
    Reversed {
        at: Timestamp,
        order: Order,
    },
    Refunded {
        order: Order,
        refund: Refund,
    },
}

/// A row before it is written.
#[derive(Clone)]
struct Row {
    trade_no: String,
    order_no: String,
    /// Of a refund.
    request_no: Option<String>,
    subject: String,
    created_at: Timestamp,
    done_at: Timestamp,
    minor: u64,
    fee_minor: u64,
}

const TRADE_HEADING: &str = "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,订单金额（元）,商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,退款批次号/请求号,服务费（元）,分润（元）,备注";
const SUMMARY_HEADING: &str = "门店编号,门店名称,交易订单总笔数,退款订单总笔数,订单金额（元）,商家实收（元）,支付宝优惠（元）,商家优惠（元）,卡消费金额（元）,服务费（元）,分润（元）,实收净额（元）";
const FUNDS_HEADING: &str = "账务流水号,业务流水号,商户订单号,商品名称,发生时间,对方账号,收入金额（+元）,支出金额（-元）,账户余额（元）,交易渠道,业务类型,备注";

/// The packed file of a period.
pub fn write(
    kind: BillKind,
    pid: &str,
    (begin, end): (Timestamp, Timestamp),
    moves: &[Move],
    faults: Faults,
    now: Timestamp,
) -> Vec<u8> {
    let mut rows: Vec<Row> = moves.iter().map(row).collect();
    if faults.has(Fault::BillRowMissing) && !rows.is_empty() {
        rows.remove(0);
    }
    if let (true, Some(first)) = (faults.has(Fault::BillRowAltered), rows.first_mut()) {
        first.minor += 1;
    }
    if faults.has(Fault::BillRowExtra) {
        rows.push(Row {
            trade_no: number("42", "nobody's trade"),
            order_no: "NOBODYS_ORDER_0001".to_owned(),
            request_no: None,
            subject: "多出来的一行".to_owned(),
            created_at: begin,
            done_at: begin,
            minor: 100,
            fee_minor: 1,
        });
    }
    let day = |at: Timestamp| at.in_zone("Asia/Shanghai").strftime("%Y年%m月%d日").to_string();
    let head = |title: &str, list: &str| {
        format!(
            "#支付宝{title}查询\n#账号：[{pid}0156]\n#起始日期：[{} 00:00:00]   终止日期：[{} 00:00:00]\n#{}{list}{}\n",
            day(begin),
            day(end),
            "-".repeat(41),
            "-".repeat(40)
        )
    };
    let foot = format!("#导出时间：[{}]\n", now.in_zone("Asia/Shanghai").strftime("%Y年%m月%d日 %H:%M:%S"));
    let stamp = begin.in_zone("Asia/Shanghai").strftime("%Y%m%d").to_string();
    match kind {
        BillKind::Trade => {
            let detail = format!("{}{}{foot}", head("业务明细", "业务明细列表"), trades(&rows));
            let summary = format!("{}{}{foot}", head("业务汇总", "业务汇总列表"), summary(&rows));
            zip(&[
                (format!("{pid}0156_{stamp}_业务明细.csv"), gbk(&detail)),
                (format!("{pid}0156_{stamp}_业务明细(汇总).csv"), gbk(&summary)),
            ])
        }
        BillKind::Funds => {
            let detail = format!("{}{}{foot}", head("账务明细", "账务明细列表"), funds(&rows));
            zip(&[(format!("{pid}0156_{stamp}_账务明细.csv"), gbk(&detail))])
        }
    }
}

fn row(moved: &Move) -> Row {
    let of = |order: &Order, amount: Money, done_at: Timestamp, request_no: Option<String>| Row {
        trade_no: view::trade_no(order),
        order_no: order.asked.number.clone(),
        request_no,
        subject: order.asked.description.replace(['\r', '\n'], " "),
        created_at: order.created_at,
        done_at,
        minor: amount.minor(),
        fee_minor: fee_minor(amount),
    };
    let received = |order: &Order| order.received.as_ref().map_or(order.asked.amount, |received| received.amount);
    match moved {
        Move::Paid { at, order } => of(order, received(order), *at, None),
        Move::Reversed { at, order } => of(order, received(order), *at, Some(order.asked.number.clone())),
        Move::Refunded { order, refund } => {
            let number = view::out_request_no(refund).to_owned();
            of(order, refund.asked.amount, refund.created_at, Some(number))
        }
    }
}

/// Rows, sums of both directions in fen: count, amount.
fn sums(rows: &[Row]) -> [(usize, u64); 2] {
    let of = |back: bool| {
        let side = rows.iter().filter(|row| row.request_no.is_some() == back);
        (side.clone().count(), side.map(|row| row.minor).sum())
    };
    [of(false), of(true)]
}

fn trades(rows: &[Row]) -> String {
    let mut text = format!("{TRADE_HEADING}\n");
    for row in rows {
        let back = row.request_no.is_some();
        let sign = if back { "-" } else { "" };
        // A fee is taken with a minus sign and given back without one.
        let fee_sign = if back || row.fee_minor == 0 { "" } else { "-" };
        let amount = format!("{sign}{}", view::yuan(row.minor));
        let cells = [
            format!("{}\t", row.trade_no),
            format!("{}\t", row.order_no),
            if back { "退款" } else { "交易" }.to_owned(),
            format!("{} \t", row.subject),
            view::beijing(row.created_at),
            view::beijing(row.done_at),
            "\t".to_owned(),
            "\t".to_owned(),
            "\t".to_owned(),
            "\t".to_owned(),
            "*先生(138****0000)\t".to_owned(),
            amount.clone(),
            amount,
            "0.00".to_owned(),
            "0.00".to_owned(),
            "0.00".to_owned(),
            "0.00".to_owned(),
            "0.00".to_owned(),
            "\t".to_owned(),
            "0.00".to_owned(),
            "0.00".to_owned(),
            format!("{}\t", row.request_no.as_deref().unwrap_or_default()),
            format!("{fee_sign}{}", view::yuan(row.fee_minor)),
            "0.00".to_owned(),
            "\t".to_owned(),
        ];
        text += &cells.join(",");
        text.push('\n');
    }
    let [(paid, received), (refunds, refunded)] = sums(rows);
    let minus = if refunded > 0 { "-" } else { "" };
    let _ = write!(
        text,
        "#{}业务明细列表结束{}\n#交易合计：{paid}笔，商家实收共{}元，商家优惠共0.00元\n\
         #退款合计：{refunds}笔，商家实收退款共{minus}{}元，商家优惠退款共0.00元\n",
        "-".repeat(41),
        "-".repeat(36),
        view::yuan(received),
        view::yuan(refunded)
    );
    text
}

fn summary(rows: &[Row]) -> String {
    let [(paid, received), (refunds, refunded)] = sums(rows);
    let signed = |minor: i128| {
        let sign = if minor < 0 { "-" } else { "" };
        format!("{sign}{}", view::yuan(u64::try_from(minor.unsigned_abs()).unwrap_or(u64::MAX)))
    };
    let fees: i128 =
        rows.iter().map(|row| i128::from(row.fee_minor) * if row.request_no.is_some() { 1 } else { -1 }).sum();
    let net = i128::from(received) - i128::from(refunded);
    format!(
        "{SUMMARY_HEADING}\n合计\t,\t,{paid},{refunds},{net},{net},0.00,0.00,0.00,{fees},0.00,{own}\n#{dashes}业务汇总列表结束{dashes}\n",
        net = signed(net),
        fees = signed(fees),
        own = signed(net + fees),
        dashes = "-".repeat(40)
    )
}

/// Each movement and each fee is a line of its own; the balance begins anew with each file.
fn funds(rows: &[Row]) -> String {
    let mut text = format!("{FUNDS_HEADING}\n");
    let (mut balance, mut counts, mut totals) = (100_000_000_i128, [0_u32; 2], [0_u64; 2]);
    for row in rows {
        let back = row.request_no.is_some();
        let lines = [
            (if back { "交易退款" } else { "在线支付" }, row.minor, !back),
            (if back { "退费" } else { "收费" }, row.fee_minor, back),
        ];
        for (business, minor, income) in lines.into_iter().filter(|(_, minor, _)| *minor > 0) {
            balance += if income { i128::from(minor) } else { -i128::from(minor) };
            counts[usize::from(!income)] += 1;
            totals[usize::from(!income)] += minor;
            let (gained, spent) = if income {
                (view::yuan(minor), "0.00".to_owned())
            } else {
                ("0.00".to_owned(), format!("-{}", view::yuan(minor)))
            };
            let flow =
                number("71", &format!("{} {} {business}", row.trade_no, row.request_no.as_deref().unwrap_or("")));
            let held = view::yuan(u64::try_from(balance).unwrap_or(0));
            let at = view::beijing(row.done_at);
            let _ = writeln!(
                text,
                "{flow}\t,{}\t,{}\t,{} \t,{at},*先生(138****0000)\t,{gained},{spent},{held},支付宝\t,{business}\t,\t",
                row.trade_no, row.order_no, row.subject
            );
        }
    }
    let minus = if totals[1] > 0 { "-" } else { "" };
    let _ = write!(
        text,
        "#{dashes}账务明细列表结束{dashes}\n#支出合计：{}笔，共{minus}{}元\n#收入合计：{}笔，共{}元\n",
        counts[1],
        view::yuan(totals[1]),
        counts[0],
        view::yuan(totals[0]),
        dashes = "-".repeat(40)
    );
    text
}

fn gbk(text: &str) -> Vec<u8> {
    GBK.encode(text).0.into_owned()
}

/// Packs files. Their names are GBK without the mark of UTF-8, which crates that write zips would set.
/// Source: PKWARE, .ZIP File Format Specification, 4.3 and 4.4.
fn zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let name = gbk(name);
        let mut crc = Crc::new();
        crc.update(content);
        let mut packer = DeflateEncoder::new(Vec::new(), Compression::fast());
        let packed =
            packer.write_all(content).and_then(|()| packer.finish()).expect("writing into memory does not fail");
        let mut about = Vec::new();
        // Version 2.0, no flags, deflate, 1980-01-01.
        for field in [20_u16, 0, 8, 0, 0x21] {
            about.extend(field.to_le_bytes());
        }
        about.extend(crc.sum().to_le_bytes());
        about.extend(size(packed.len()));
        about.extend(size(content.len()));
        about.extend(u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes());
        about.extend([0; 2]);
        let offset = size(out.len());
        out.extend(*b"PK\x03\x04");
        out.extend(&about);
        out.extend(&name);
        out.extend(packed);
        directory.extend(*b"PK\x01\x02\x14\x00");
        directory.extend(&about);
        directory.extend([0; 10]);
        directory.extend(offset);
        directory.extend(&name);
    }
    let (start, length) = (size(out.len()), size(directory.len()));
    let count = u16::try_from(files.len()).unwrap_or(u16::MAX).to_le_bytes();
    out.extend(directory);
    out.extend(*b"PK\x05\x06\x00\x00\x00\x00");
    out.extend(count);
    out.extend(count);
    out.extend(length);
    out.extend(start);
    out.extend([0; 2]);
    out
}

/// Bills stay far below four gigabytes.
fn size(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes()
}
