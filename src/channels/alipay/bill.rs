//! Alipay's bills (对账单): where to fetch a day's file, and its lines.
//!
//! A file is a zip with a detail and a summary of comma-separated lines in GBK. Every line is read strictly, and what the
//! file says about itself (whose, which day, how many, how much) has to agree with its lines, or none of it counts.
//! Source: Alipay, `alipay.data.dataservice.bill.downloadurl.query`, 业务账单 and 账务账单.

use std::io::{BufRead, BufReader, Cursor, Read};

use encoding_rs::GBK;
use jiff::civil::Date;
use serde::Serialize;

use super::answer::{Answer, Heard, SUCCESS, hear};
use super::{Alipay, errors, request, wire};
use crate::channels::errors::Advice;
use crate::channels::statement::{
    Fee, FundDirection, FundKind, FundLine, LINE_MAX_BYTES, Promise, StatementAnswer, StatementError, StatementId,
    StatementKind, StatementLine, Totals, TradeKind, TradeLine, TradeStatus, UNPACKED_MAX_BYTES, decimal_e5,
};
use crate::channels::{ChannelError, Sealing};
use crate::domain::money::{Currency, Money};
use crate::domain::time::{Duration, Timestamp};
use crate::env::transport::{Method as Verb, OutgoingRequest, OutgoingResponse};

const METHOD: &str = "alipay.data.dataservice.bill.downloadurl.query";
/// Source: the same, `bill_download_url`.
const URL_MAX: usize = 2048;
/// Bytes of a packed file that are read: about a million lines.
const PACKED_MAX_BYTES: u64 = 256 * 1024 * 1024;
/// Files in one zip that are looked at; real ones hold two.
const ENTRIES_MAX: usize = 8;

#[derive(Serialize)]
struct Content {
    bill_type: &'static str,
    bill_date: String,
}

pub(super) fn request(alipay: &Alipay, wanted: StatementId, now: Timestamp) -> OutgoingRequest {
    let bill_type = match wanted.kind {
        StatementKind::Trades => "trade",
        StatementKind::Funds => "signcustomer",
    };
    request::call(alipay, METHOD, Content { bill_type, bill_date: wanted.day.to_string() }, now)
}

pub(super) fn read_answer(
    alipay: &Alipay,
    wanted: StatementId,
    response: &OutgoingResponse,
    sealing: &Sealing,
) -> Result<StatementAnswer, ChannelError> {
    let answer = match hear(alipay, METHOD, response, sealing.now)? {
        Heard::Genuine(answer) => answer,
        Heard::Unproven { detail, .. } => return Ok(StatementAnswer::Unknown { detail }),
    };
    if answer.code == SUCCESS {
        return download(&answer);
    }
    Ok(match errors::of_bill(answer.reason()).map(|meaning| meaning.advice) {
        // Not made yet, or nothing to make: only the end of the next day decides.
        Some(Advice::Repeat) if is_settled(wanted.day, sealing.now) => StatementAnswer::Empty,
        Some(Advice::Repeat) => StatementAnswer::NotYet,
        Some(Advice::Stop) => {
            StatementAnswer::Refused { code: wire::shortened(answer.reason()), detail: answer.detail() }
        }
        Some(Advice::Ask) | None => StatementAnswer::Unknown { detail: answer.detail() },
    })
}

/// The address is good for thirty seconds and asks for no signature.
fn download(answer: &Answer) -> Result<StatementAnswer, ChannelError> {
    let url = answer.bill_download_url.as_deref().unwrap_or("");
    let parsed = url::Url::parse(url).ok().filter(|_| url.len() <= URL_MAX);
    if parsed.is_none_or(|url| !matches!(url.scheme(), "https" | "http") || !url.username().is_empty()) {
        return Err(ChannelError::Malformed { detail: "no usable address of the bill".to_owned() });
    }
    let user_agent = ("user-agent".to_owned(), concat!("coffer/", env!("CARGO_PKG_VERSION")).to_owned());
    let request = OutgoingRequest {
        method: Verb::Get,
        url: url.to_owned(),
        headers: vec![user_agent],
        body: Vec::new(),
        identity: None,
    };
    Ok(StatementAnswer::Download { request, promise: Promise::None })
}

/// Bills are made in the morning of the next day.
fn is_settled(day: Date, now: Timestamp) -> bool {
    wire::parse_beijing(&format!("{day} 00:00:00")).is_some_and(|begin| now.since(begin) >= Duration::from_days(2))
}

/// Reads a day's file: the zip that Alipay hands out, or the detail alone as somebody unpacked it.
pub(super) fn read(
    alipay: &Alipay,
    wanted: StatementId,
    file: &mut dyn Read,
    each: &mut dyn FnMut(StatementLine),
) -> Result<Totals, StatementError> {
    let mut packed = Vec::new();
    let read = file.take(PACKED_MAX_BYTES + 1).read_to_end(&mut packed).map_err(|_| unreadable("it breaks off"))?;
    if read as u64 > PACKED_MAX_BYTES {
        return Err(unreadable("it is too large"));
    }
    let account = Account { seller_id: &alipay.record.seller_id, app_id: &alipay.record.app_id, wanted };
    if !packed.starts_with(b"PK") {
        return account.read(Lines::new(Cursor::new(packed)), each);
    }
    let mut zip = zip::ZipArchive::new(Cursor::new(packed)).map_err(|_| unreadable("it is no zip"))?;
    let title = title(wanted.kind);
    let mut found = None;
    for index in 0..zip.len().min(ENTRIES_MAX) {
        let entry = zip.by_index(index).map_err(|_| unreadable("an entry of the zip cannot be opened"))?;
        // Names are GBK without a mark that says so.
        let name = match std::str::from_utf8(entry.name_raw()) {
            Ok(name) => name.to_owned(),
            Err(_) => GBK.decode_without_bom_handling(entry.name_raw()).0.into_owned(),
        };
        if name.contains(title) && !name.contains("汇总") && found.replace(index).is_some() {
            return Err(unreadable("it holds two details"));
        }
    }
    let index = found.ok_or_else(|| unreadable("it holds no detail of that kind"))?;
    let entry = zip.by_index(index).map_err(|_| unreadable("the detail cannot be opened"))?;
    account.read(Lines::new(BufReader::new(entry)), each)
}

/// What the file of this kind is called.
const fn title(kind: StatementKind) -> &'static str {
    match kind {
        StatementKind::Trades => "业务明细",
        StatementKind::Funds => "账务明细",
    }
}

/// Whose file it has to be, and of which day.
struct Account<'a> {
    seller_id: &'a str,
    app_id: &'a str,
    wanted: StatementId,
}

impl Account<'_> {
    fn read(
        &self,
        mut lines: Lines<impl BufRead>,
        each: &mut dyn FnMut(StatementLine),
    ) -> Result<Totals, StatementError> {
        let heading = loop {
            let line = lines.next()?.ok_or_else(|| unreadable("it ends before its heading"))?;
            match line.strip_prefix('#') {
                Some(remark) => self.check_head(remark)?,
                None => break Heading::new(&line, self.wanted.kind).ok_or_else(|| lines.bad("not the heading"))?,
            }
        };
        let (mut sums, mut is_complete) = (Sums::default(), false);
        while let Some(line) = lines.next()? {
            let Some(remark) = line.strip_prefix('#') else {
                if is_complete {
                    return Err(lines.bad("a row behind the end"));
                }
                let read = match self.wanted.kind {
                    StatementKind::Trades => self.trade(&heading, &line, &mut sums).map(StatementLine::Trade),
                    StatementKind::Funds => self.fund(&heading, &line, &mut sums).map(StatementLine::Fund),
                };
                each(read.map_err(|detail| lines.bad(detail))?);
                continue;
            };
            is_complete |= remark.contains("列表结束");
            sums.check(remark)?;
        }
        if !is_complete {
            return Err(unreadable("it breaks off before its end"));
        }
        Ok(sums.totals)
    }

    /// What stands above the heading: another merchant's file, or another day's, is not read.
    fn check_head(&self, remark: &str) -> Result<(), StatementError> {
        let remark = remark.replace(':', "：");
        if let Some(number) = in_brackets(&remark, "账号：")
            && !number.starts_with(self.seller_id)
        {
            return Err(unreadable("it belongs to another account"));
        }
        let day = self.wanted.day.strftime("%Y年%m月%d日").to_string();
        if in_brackets(&remark, "起始日期：").is_some_and(|from| !from.starts_with(&day)) {
            return Err(unreadable("it is of another day"));
        }
        Ok(())
    }

    fn trade(&self, heading: &Heading, line: &str, sums: &mut Sums) -> Result<TradeLine, &'static str> {
        let row = heading.row(line)?;
        let (amount, settled) = (row.e5("订单金额（元）")?, row.e5("商家实收（元）")?);
        let fee = Fee::from_e5(row.e5("服务费（元）")?.abs());
        let kind = match row.text("业务类型")? {
            "交易" => TradeKind::Payment,
            "退款" => TradeKind::Refund,
            _ => return Err("a kind of business that is not known"),
        };
        let is_refund = kind == TradeKind::Refund;
        if (amount > 0 && is_refund) || (amount < 0 && !is_refund) {
            return Err("an amount with the wrong sign");
        }
        // The sign of the fee differs between files; the kind of the row tells who got it.
        let fee = if is_refund { Fee::from_e5(-fee.as_e5()) } else { fee };
        let refund_no = row.text("退款批次号/请求号").unwrap_or("");
        if is_refund && refund_no.is_empty() {
            return Err("a refund without a number");
        }
        let read = TradeLine {
            kind,
            status: TradeStatus::Succeeded,
            at: self.at(row.text("完成时间")?)?,
            merchant_no: self.seller_id.to_owned(),
            app_id: self.app_id.to_owned(),
            transaction_id: row.number("支付宝交易号")?,
            order_no: row.number("商户订单号")?,
            refund_id: None,
            refund_no: is_refund.then(|| refund_no.to_owned()),
            amount: yuan(amount)?,
            settled: yuan(settled)?,
            fee,
            raw: line.to_owned(),
        };
        sums.add(is_refund, read.amount, settled, read.fee)?;
        Ok(read)
    }

    fn fund(&self, heading: &Heading, line: &str, sums: &mut Sums) -> Result<FundLine, &'static str> {
        let row = heading.row(line)?;
        let (income, expense) = (row.e5_or_zero("收入金额（+元）")?, row.e5_or_zero("支出金额（-元）")?);
        let direction = match (income, expense) {
            (1.., 0) => FundDirection::In,
            (0, ..0) => FundDirection::Out,
            _ => return Err("not one amount in or out"),
        };
        let business = row.text("业务类型")?;
        let read = FundLine {
            kind: match business {
                "在线支付" | "交易付款" => FundKind::Payment,
                "交易退款" => FundKind::Refund,
                "收费" => FundKind::Fee,
                "退费" => FundKind::FeeReturned,
                "提现" => FundKind::Payout,
                "充值" => FundKind::TopUp,
                "交易分账" => FundKind::Split,
                "分账退回" => FundKind::SplitReturned,
                _ => FundKind::Unlisted,
            },
            direction,
            at: self.at(row.text("发生时间")?)?,
            flow_no: row.number("账务流水号")?,
            business_no: row.text("业务流水号")?.to_owned(),
            business: business.to_owned(),
            voucher: row.text("商户订单号")?.to_owned(),
            amount: yuan(income - expense)?,
            balance: match row.text("账户余额（元）")? {
                "" => None,
                text => Some(decimal_e5(text).ok_or("a balance that is no amount").and_then(yuan)?),
            },
            note: row.text("备注").unwrap_or("").to_owned(),
            raw: line.to_owned(),
        };
        sums.add(direction == FundDirection::Out, read.amount, income + expense, Fee::ZERO)?;
        Ok(read)
    }

    /// A row stands in the bill of the day in which it was done.
    fn at(&self, text: &str) -> Result<Timestamp, &'static str> {
        let at = wire::parse_beijing(text).ok_or("a time that cannot be read")?;
        if wire::beijing_day(at) == self.wanted.day.to_string() { Ok(at) } else { Err("a time of another day") }
    }
}

/// Refuses more than two decimals, and is without a sign.
fn yuan(e5: i64) -> Result<Money, &'static str> {
    if e5 % 1000 != 0 {
        return Err("an amount below the fen");
    }
    Ok(Money::new((e5 / 1000).unsigned_abs(), Currency::CNY))
}

/// Columns by name: some were added over the years, and headings differ in their brackets.
struct Heading {
    names: Vec<String>,
}

impl Heading {
    fn new(line: &str, kind: StatementKind) -> Option<Self> {
        let names: Vec<String> = cells(line).iter().map(|cell| cell.replace('(', "（").replace(')', "）")).collect();
        let needed: &[&str] = match kind {
            StatementKind::Trades => &[
                "支付宝交易号",
                "商户订单号",
                "业务类型",
                "完成时间",
                "订单金额（元）",
                "商家实收（元）",
                "服务费（元）",
            ],
            StatementKind::Funds => &["账务流水号", "发生时间", "收入金额（+元）", "支出金额（-元）", "业务类型"],
        };
        needed.iter().all(|name| names.iter().filter(|other| other == name).count() == 1).then_some(Self { names })
    }

    /// Only the name of the goods is written by shops, so cells too many are commas of it. Should they be another's, the
    /// times and amounts behind do not read as such, and the line is refused.
    fn row<'a>(&'a self, line: &str) -> Result<Row<'a>, &'static str> {
        let mut cells = cells(line);
        let extra = cells.len().checked_sub(self.names.len()).ok_or("fewer cells than the heading")?;
        if extra > 0 {
            let goods = self.names.iter().position(|name| name == "商品名称").ok_or("more cells than the heading")?;
            let joined = cells[goods..=goods + extra].join(",");
            cells.splice(goods..=goods + extra, [joined]);
        }
        Ok(Row { names: &self.names, cells })
    }
}

struct Row<'a> {
    names: &'a [String],
    cells: Vec<String>,
}

impl Row<'_> {
    fn text(&self, name: &str) -> Result<&str, &'static str> {
        let column = self.names.iter().position(|other| other == name);
        column.and_then(|column| self.cells.get(column)).map(String::as_str).ok_or("a column is missing")
    }

    /// A number that names something.
    fn number(&self, name: &str) -> Result<String, &'static str> {
        let text = self.text(name)?;
        let plain = !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_graphic());
        if plain { Ok(text.to_owned()) } else { Err("a number that cannot be read") }
    }

    /// Hundred-thousandths of a yuan.
    fn e5(&self, name: &str) -> Result<i64, &'static str> {
        decimal_e5(self.text(name)?).ok_or("an amount that cannot be read")
    }

    fn e5_or_zero(&self, name: &str) -> Result<i64, &'static str> {
        if self.text(name)?.is_empty() { Ok(0) } else { self.e5(name) }
    }
}

/// Cells without the tabs and blanks that pad them. A cell in quotes may hold commas and doubled quotes.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let cell = cells.last_mut().expect("begins with one cell");
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' if quoted || cell.trim().is_empty() => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            other => cell.push(other),
        }
    }
    cells.into_iter().map(|cell| cell.trim().to_owned()).collect()
}

/// The text between the brackets behind a label.
fn in_brackets<'a>(remark: &'a str, label: &str) -> Option<&'a str> {
    remark.split_once(label)?.1.trim_start().strip_prefix('[')?.split_once(']').map(|(inner, _)| inner)
}

#[derive(Default)]
struct Sums {
    totals: Totals,
    /// Rows in and out.
    counts: [u64; 2],
    /// What moved the account, in and out; hundred-thousandths of a yuan.
    settled_e5: [i64; 2],
}

impl Sums {
    fn add(&mut self, out: bool, amount: Money, settled_e5: i64, fee: Fee) -> Result<(), &'static str> {
        let totals = &mut self.totals;
        let sum = if out { &mut totals.out_minor } else { &mut totals.in_minor };
        *sum = sum.checked_add(amount.minor()).ok_or("the sum is out of range")?;
        totals.fee = totals.fee.checked_add(fee).ok_or("the fees are out of range")?;
        totals.lines += 1;
        let side = usize::from(out);
        self.counts[side] += 1;
        self.settled_e5[side] = self.settled_e5[side].checked_add(settled_e5).ok_or("the sum is out of range")?;
        Ok(())
    }

    /// Compares with a line of the file's own summary, as far as this remark is one.
    fn check(&self, remark: &str) -> Result<(), StatementError> {
        let remark = remark.replace(':', "：");
        let sides: [(&str, usize, &[&str]); 4] = [
            ("交易合计：", 0, &["商家实收共", "实收共"]),
            ("退款合计：", 1, &["商家实收退款共", "实收退款共"]),
            ("收入合计：", 0, &["共"]),
            ("支出合计：", 1, &["共"]),
        ];
        let Some((rest, side, labels)) =
            sides.iter().find_map(|(label, side, sums)| Some((remark.trim().strip_prefix(label)?, *side, *sums)))
        else {
            return Ok(());
        };
        let wrong =
            |what: &str| StatementError::WrongTotals { detail: format!("{what}: {}", wire::shortened(&remark)) };
        let count = rest.split_once('笔').and_then(|(count, _)| count.trim().parse::<u64>().ok());
        if count != Some(self.counts[side]) {
            return Err(wrong("another number of rows"));
        }
        // Older files word the amounts otherwise; where the words are these, the sum has to agree.
        let amount = labels.iter().find_map(|label| rest.split_once(label)).map(|(_, rest)| rest);
        let amount = amount.and_then(|rest| rest.split_once('元')).map(|(amount, _)| decimal_e5(amount.trim()));
        match amount {
            Some(told) if told.map(i64::abs) != Some(self.settled_e5[side].abs()) => Err(wrong("another sum")),
            Some(_) | None => Ok(()),
        }
    }
}

/// Lines of GBK text, counted from 1, without their ends. Empty ones are passed over.
struct Lines<R> {
    source: R,
    number: u64,
    bytes: u64,
}

impl<R: BufRead> Lines<R> {
    fn new(source: R) -> Self {
        Self { source, number: 0, bytes: 0 }
    }

    fn next(&mut self) -> Result<Option<String>, StatementError> {
        loop {
            let mut line = Vec::new();
            let mut limited = (&mut self.source).take(LINE_MAX_BYTES as u64 + 1);
            let read = limited.read_until(b'\n', &mut line).map_err(|_| unreadable("it breaks off"))?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            self.bytes += read as u64;
            if line.len() > LINE_MAX_BYTES {
                return Err(self.bad("longer than lines are"));
            }
            if self.bytes > UNPACKED_MAX_BYTES {
                return Err(unreadable("it unpacks to too much"));
            }
            let text = GBK.decode_without_bom_handling_and_without_replacement(&line);
            let text = text.ok_or_else(|| self.bad("not GBK text"))?;
            let text = text.trim();
            if !text.is_empty() {
                return Ok(Some(text.to_owned()));
            }
        }
    }

    fn bad(&self, detail: &str) -> StatementError {
        StatementError::BadLine { line: self.number, detail: detail.to_owned() }
    }
}

fn unreadable(detail: &str) -> StatementError {
    StatementError::Unreadable { detail: detail.to_owned() }
}
