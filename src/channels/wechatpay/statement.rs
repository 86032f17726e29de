//! Daily statements: the trade bill (交易账单) and the fund-flow bill (资金账单), asked for, checked, and read line by line.
//!
//! Layout: a heading, lines whose values each begin with a backtick, then a heading and a line of totals. There is no
//! quoting, so values are cut at `` ,` ``. Columns are found by their names, because old accounts have older names and new
//! columns are appended. Source: WeChat Pay API v3, "申请交易账单", "申请资金账单", and the sample in the provider's PHP SDK.

use std::io::{self, BufRead, BufReader, Read};

use data_encoding::HEXLOWER_PERMISSIVE;
use flate2::read::MultiGzDecoder;
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use serde::Deserialize;

use super::response::{Refusal, malformed, parse};
use super::{WechatPay, errors, request};
use crate::channels::errors::{Advice, find};
use crate::channels::statement::{
    Fee, FundDirection, FundKind, FundLine, LINE_MAX_BYTES, Promise, StatementAnswer, StatementError, StatementId,
    StatementKind, StatementLine, Totals, TradeKind, TradeLine, TradeStatus, UNPACKED_MAX_BYTES, beijing_time,
    decimal_e5, decimal_minor,
};
use crate::channels::text::shortened;
use crate::channels::{ChannelError, Sealing, no_words};
use crate::domain::money::{Currency, Money};
use crate::env::transport::{Method as Verb, OutgoingRequest, OutgoingResponse};

#[derive(Deserialize)]
struct Link {
    hash_type: String,
    hash_value: String,
    download_url: String,
}

pub(super) fn ask(wechat: &WechatPay, wanted: StatementId, sealing: &Sealing) -> OutgoingRequest {
    let day = wanted.day;
    let path = match wanted.kind {
        StatementKind::Trades => format!("/v3/bill/tradebill?bill_date={day}&bill_type=ALL&tar_type=GZIP"),
        StatementKind::Funds => format!("/v3/bill/fundflowbill?bill_date={day}&account_type=BASIC&tar_type=GZIP"),
    };
    request::signed(wechat, Verb::Get, &path, Vec::new(), sealing)
}

pub(super) fn read_answer(
    wechat: &WechatPay,
    response: &OutgoingResponse,
    sealing: &Sealing,
) -> Result<StatementAnswer, ChannelError> {
    if response.truncated || response.status != 200 {
        return Ok(refused(response));
    }
    wechat.verify(&response.headers, &response.body, sealing.now)?;
    let link: Link = parse(&response.body)?;
    let hash = HEXLOWER_PERMISSIVE.decode(link.hash_value.as_bytes()).ok();
    let hash: Option<[u8; 20]> = hash.and_then(|hash| hash.try_into().ok());
    let (Some(hash), "SHA1") = (hash, link.hash_type.as_str()) else {
        return Err(malformed("a statement without its checksum"));
    };
    if !is_the_providers(&wechat.base_url, &link.download_url) {
        return Err(malformed(&format!("a statement at the address {}", shortened(&link.download_url))));
    }
    let request = request::signed_url(wechat, Verb::Get, link.download_url, Vec::new(), sealing);
    Ok(StatementAnswer::Download { request, promise: Promise::Sha1(hash) })
}

fn refused(response: &OutgoingResponse) -> StatementAnswer {
    let Some(refusal) = Refusal::read(response) else {
        return StatementAnswer::Unknown { detail: no_words(response.status).to_string() };
    };
    let detail = refusal.sentence(response);
    match refusal.code.as_str() {
        "NO_STATEMENT_EXIST" => StatementAnswer::Empty,
        "STATEMENT_CREATING" => StatementAnswer::NotYet,
        code => match find(errors::TABLE, code).map(|meaning| meaning.advice) {
            Some(Advice::Stop) => StatementAnswer::Refused { code: code.to_owned(), detail },
            Some(Advice::Ask | Advice::Repeat) | None => {
                StatementAnswer::Unknown { detail: format!("{code}: {detail} (HTTP {})", response.status) }
            }
        },
    }
}

/// Below the address that was asked, or another host of the provider. The link was signed, but it shall not lead away.
fn is_the_providers(base_url: &str, url: &str) -> bool {
    let (Ok(base), Ok(link)) = (url::Url::parse(base_url), url::Url::parse(url)) else { return false };
    let host = link.host_str().unwrap_or_default();
    let known = host.ends_with(".mch.weixin.qq.com") || host.ends_with(".wechatpay.cn");
    link.origin() == base.origin() || (link.scheme() == "https" && link.port().is_none() && known)
}

/// Reads a bill, packed or not.
pub(super) fn read_file(
    mch_id: &str,
    wanted: StatementId,
    promise: &Promise,
    file: &mut dyn Read,
    each: &mut dyn FnMut(StatementLine),
) -> Result<Totals, StatementError> {
    let mut file = BufReader::new(file);
    let packed = file.fill_buf().map_err(unreadable)?.starts_with(&[0x1f, 0x8b]);
    if packed {
        read_lines(mch_id, wanted, promise, &mut Unpacked::new(&mut MultiGzDecoder::new(file)), each)
    } else {
        read_lines(mch_id, wanted, promise, &mut Unpacked::new(&mut file), each)
    }
}

fn read_lines(
    mch_id: &str,
    wanted: StatementId,
    promise: &Promise,
    bytes: &mut Unpacked<'_>,
    each: &mut dyn FnMut(StatementLine),
) -> Result<Totals, StatementError> {
    let Some(heading) = bytes.line()? else {
        return Err(StatementError::Unreadable { detail: "the file is empty".to_owned() });
    };
    let mut table = Table::new(heading.strip_prefix('\u{feff}').unwrap_or(&heading), mch_id, wanted)?;
    let mut totals = Totals::default();
    let summary_heading = loop {
        let Some(line) = bytes.line()? else {
            return Err(StatementError::WrongTotals { detail: "the file ends without its summary".to_owned() });
        };
        if !line.starts_with('`') {
            break line;
        }
        let parsed = table.line(line).map_err(|detail| StatementError::BadLine { line: bytes.lines, detail })?;
        add(&mut totals, &parsed);
        each(parsed);
    };
    let summary = bytes.line()?.unwrap_or_default();
    table.check(&summary_heading, &summary)?;
    while let Some(rest) = bytes.line()? {
        if !rest.is_empty() {
            let detail = "something behind the summary".to_owned();
            return Err(StatementError::BadLine { line: bytes.lines, detail });
        }
    }
    match promise {
        Promise::None => Ok(totals),
        Promise::Sha1(promised) if bytes.hash.clone().finish().as_ref() == promised => Ok(totals),
        Promise::Sha1(_) => Err(StatementError::WrongChecksum),
    }
}

fn add(totals: &mut Totals, line: &StatementLine) {
    totals.lines += 1;
    let (is_in, minor, fee) = match line {
        StatementLine::Trade(trade) => (trade.kind == TradeKind::Payment, trade.settled.minor(), trade.fee),
        StatementLine::Fund(fund) => (fund.direction == FundDirection::In, fund.amount.minor(), Fee::ZERO),
    };
    let side = if is_in { &mut totals.in_minor } else { &mut totals.out_minor };
    *side = side.saturating_add(minor);
    totals.fee = totals.fee.checked_add(fee).unwrap_or(totals.fee);
}

/// The unpacked bytes, hashed as they are read and cut into lines.
struct Unpacked<'a> {
    reader: BufReader<&'a mut dyn Read>,
    hash: Context,
    lines: u64,
    read: u64,
}

impl<'a> Unpacked<'a> {
    fn new(bytes: &'a mut dyn Read) -> Self {
        let reader = BufReader::with_capacity(64 * 1024, bytes);
        Self { reader, hash: Context::new(&SHA1_FOR_LEGACY_USE_ONLY), lines: 0, read: 0 }
    }

    /// The next line without its end; `None` behind the last one.
    fn line(&mut self) -> Result<Option<String>, StatementError> {
        let mut line = Vec::new();
        let mut limited = (&mut self.reader).take(LINE_MAX_BYTES as u64 + 1);
        let count = limited.read_until(b'\n', &mut line).map_err(unreadable)?;
        if count == 0 {
            return Ok(None);
        }
        self.lines += 1;
        self.read += count as u64;
        self.hash.update(&line);
        let number = self.lines;
        let bad = |detail: &str| StatementError::BadLine { line: number, detail: detail.to_owned() };
        if count > LINE_MAX_BYTES {
            return Err(bad("it is too long"));
        }
        if self.read > UNPACKED_MAX_BYTES {
            return Err(StatementError::Unreadable { detail: "it is too large".to_owned() });
        }
        while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            line.pop();
        }
        String::from_utf8(line).map(Some).map_err(|_| bad("it is not UTF-8"))
    }
}

fn unreadable(error: io::Error) -> StatementError {
    StatementError::Unreadable { detail: error.to_string() }
}

/// The columns of one file, and the running sums that its summary has to agree with.
struct Table<'a> {
    mch_id: &'a str,
    wanted: StatementId,
    columns: Vec<String>,
    /// Sums by the names that the summary uses.
    sums: Vec<(&'static str, i64)>,
    lines: i64,
}

/// Columns of the trade bill that are added up, and the summary's names of the sums. Each pair of names is one column:
/// the present name and the one of old accounts.
const TRADE_SUMS: [(&[&str], &[&str]); 5] = [
    (&["应结订单金额", "总金额"], &["应结订单总金额", "总交易额"]),
    (&["退款金额"], &["退款总金额", "总退款金额"]),
    (&["手续费"], &["手续费总金额"]),
    (&["订单金额"], &["订单总金额"]),
    (&["申请退款金额"], &["申请退款总金额"]),
];
const FUND_SUMS: [&str; 4] = ["收入笔数", "收入金额", "支出笔数", "支出金额"];

impl<'a> Table<'a> {
    fn new(heading: &str, mch_id: &'a str, wanted: StatementId) -> Result<Self, StatementError> {
        let columns: Vec<String> = heading.split(',').map(column_name).collect();
        let needed: &[&[&str]] = match wanted.kind {
            StatementKind::Trades => &[
                &["交易时间"],
                &["公众账号ID"],
                &["商户号"],
                &["微信订单号"],
                &["商户订单号"],
                &["交易状态"],
                &["货币种类"],
                &["应结订单金额", "总金额"],
                &["微信退款单号"],
                &["商户退款单号"],
                &["退款金额"],
                &["退款状态"],
                &["手续费"],
            ],
            StatementKind::Funds => &[
                &["记账时间"],
                &["微信支付业务单号"],
                &["资金流水单号"],
                &["业务名称"],
                &["业务类型"],
                &["收支类型"],
                &["收支金额(元)"],
            ],
        };
        let has = |names: &[&str]| columns.iter().any(|column| names.contains(&column.as_str()));
        if let Some(missing) = needed.iter().find(|names| !has(names)) {
            let detail = format!("the column {} is missing", missing[0]);
            return Err(StatementError::BadLine { line: 1, detail });
        }
        let sums = match wanted.kind {
            StatementKind::Trades => {
                TRADE_SUMS.iter().filter(|(names, _)| has(names)).map(|(names, _)| (names[0], 0)).collect()
            }
            StatementKind::Funds => FUND_SUMS.map(|name| (name, 0)).to_vec(),
        };
        Ok(Self { mch_id, wanted, columns, sums, lines: 0 })
    }

    fn line(&mut self, raw: String) -> Result<StatementLine, String> {
        let values = values(&raw);
        if values.len() != self.columns.len() {
            return Err(format!("{} values under {} headings", values.len(), self.columns.len()));
        }
        let row = Row { columns: &self.columns, values: &values };
        let (line, sums) = match self.wanted.kind {
            StatementKind::Trades => {
                let mut sums = Vec::new();
                for (names, _) in TRADE_SUMS.iter().filter(|(names, _)| row.find(names).is_some()) {
                    sums.push((names[0], row.e5(names)?));
                }
                (StatementLine::Trade(trade(&row, self.mch_id, self.wanted, raw.clone())?), sums)
            }
            StatementKind::Funds => {
                let fund = fund(&row, raw.clone())?;
                let e5 = row.e5(&["收支金额(元)"])?;
                let sums = match fund.direction {
                    FundDirection::In => vec![("收入笔数", 100_000), ("收入金额", e5)],
                    FundDirection::Out => vec![("支出笔数", 100_000), ("支出金额", e5)],
                };
                (StatementLine::Fund(fund), sums)
            }
        };
        for (name, value) in sums {
            let sum = self.sums.iter_mut().find(|(other, _)| *other == name);
            let (_, sum) = sum.expect("sums are made from the same columns");
            *sum = sum.checked_add(value).ok_or("the sum is out of range")?;
        }
        self.lines += 1;
        Ok(line)
    }

    /// Compares the file's own totals with those of its lines. A total that the file does not have is not missed.
    fn check(&self, heading: &str, line: &str) -> Result<(), StatementError> {
        let wrong = |detail: String| StatementError::WrongTotals { detail };
        let names: Vec<String> = heading.split(',').map(column_name).collect();
        let values = values(line);
        if values.len() != names.len() || !line.starts_with('`') {
            return Err(wrong("the summary cannot be read".to_owned()));
        }
        let row = Row { columns: &names, values: &values };
        let compare = |name: &str, names: &[&str], sum: i64| match row.find(names) {
            None => Ok(()),
            Some(text) if decimal_e5(text) == Some(sum) => Ok(()),
            Some(text) => Err(wrong(format!("{name}: {} against {}", shortened(text), yuan(sum)))),
        };
        let count = match self.wanted.kind {
            StatementKind::Trades => "总交易单数",
            StatementKind::Funds => "资金流水总笔数",
        };
        if row.find(&[count]).is_none() {
            return Err(wrong("the summary does not say how many lines there are".to_owned()));
        }
        compare(count, &[count], self.lines * 100_000)?;
        for (name, sum) in &self.sums {
            let in_summary = TRADE_SUMS.iter().find(|(names, _)| names[0] == *name).map(|(_, totals)| *totals);
            compare(name, in_summary.unwrap_or(&[name]), *sum)?;
        }
        Ok(())
    }
}

/// One line's values by the names of their columns.
struct Row<'a> {
    columns: &'a [String],
    values: &'a [&'a str],
}

impl<'a> Row<'a> {
    /// The value under the first of `names` that the file has.
    fn find(&self, names: &[&str]) -> Option<&'a str> {
        let at = |name: &&str| self.columns.iter().position(|column| column == name);
        names.iter().find_map(at).and_then(|at| self.values.get(at).copied())
    }

    fn text(&self, name: &str) -> Result<&'a str, String> {
        self.find(&[name]).filter(|text| !text.is_empty()).ok_or_else(|| format!("{name} is empty"))
    }

    fn e5(&self, names: &[&str]) -> Result<i64, String> {
        let text = self.find(names).unwrap_or_default();
        decimal_e5(text).ok_or_else(|| format!("{} is not a number: {}", names[0], shortened(text)))
    }

    fn minor(&self, names: &[&str]) -> Result<u64, String> {
        let text = self.find(names).unwrap_or_default();
        decimal_minor(text).ok_or_else(|| format!("{} is not an amount: {}", names[0], shortened(text)))
    }

    /// A number of theirs or ours where the line has one: the provider writes `0` for none.
    fn number(&self, name: &str) -> Option<String> {
        self.find(&[name]).filter(|text| !text.is_empty() && *text != "0").map(str::to_owned)
    }
}

fn trade(row: &Row<'_>, mch_id: &str, wanted: StatementId, raw: String) -> Result<TradeLine, String> {
    let merchant_no = row.text("商户号")?;
    if merchant_no != mch_id {
        return Err(format!("it belongs to the merchant number {}", shortened(merchant_no)));
    }
    let currency = row.text("货币种类")?;
    let currency = Currency::parse(currency).ok_or_else(|| format!("the currency {}", shortened(currency)))?;
    let at = row.text("交易时间")?;
    let kind = match row.text("交易状态")? {
        "SUCCESS" => TradeKind::Payment,
        "REFUND" => TradeKind::Refund,
        "REVOKED" => TradeKind::Reversal,
        other => return Err(format!("交易状态 {}", shortened(other))),
    };
    // A refund may carry the time of its payment, which can lie in an earlier day.
    if kind == TradeKind::Payment && !at.starts_with(&wanted.day.to_string()) {
        return Err(format!("{} is another day", shortened(at)));
    }
    let order = [&["应结订单金额", "总金额"][..], &["退款金额"][..]];
    let (settled, amount) = match kind {
        TradeKind::Payment => (row.minor(order[0])?, row.minor(&["订单金额", "应结订单金额", "总金额"])?),
        TradeKind::Refund => (row.minor(order[1])?, row.minor(&["申请退款金额", "退款金额"])?),
        // What was taken stands on one side or on the other.
        TradeKind::Reversal => {
            let given_back = row.minor(order[1])?;
            let settled = if given_back > 0 { given_back } else { row.minor(order[0])? };
            (settled, settled)
        }
    };
    let status = match (kind, row.find(&["退款状态"]).unwrap_or_default()) {
        (TradeKind::Payment | TradeKind::Reversal, _) | (TradeKind::Refund, "SUCCESS") => TradeStatus::Succeeded,
        (TradeKind::Refund, "PROCESSING") => TradeStatus::Processing,
        (TradeKind::Refund, "FAIL") => TradeStatus::Failed,
        (TradeKind::Refund, other) => return Err(format!("退款状态 {}", shortened(other))),
    };
    let (refund_id, refund_no) = (row.number("微信退款单号"), row.number("商户退款单号"));
    if (kind == TradeKind::Refund) != refund_id.is_some() && kind != TradeKind::Reversal {
        return Err("a refund's number stands on a line that is none, or is missing".to_owned());
    }
    Ok(TradeLine {
        kind,
        status,
        at: beijing_time(at).ok_or_else(|| format!("the time {}", shortened(at)))?,
        merchant_no: merchant_no.to_owned(),
        app_id: row.find(&["公众账号ID"]).unwrap_or_default().to_owned(),
        transaction_id: row.text("微信订单号")?.to_owned(),
        order_no: row.text("商户订单号")?.to_owned(),
        refund_id,
        refund_no,
        amount: Money::new(amount, currency),
        settled: Money::new(settled, currency),
        fee: Fee::from_e5(row.e5(&["手续费"])?),
        raw,
    })
}

fn fund(row: &Row<'_>, raw: String) -> Result<FundLine, String> {
    let at = row.text("记账时间")?;
    let direction = match row.text("收支类型")? {
        "收入" => FundDirection::In,
        "支出" => FundDirection::Out,
        other => return Err(format!("收支类型 {}", shortened(other))),
    };
    let business = row.text("业务类型")?;
    let kind = match business {
        "交易" => FundKind::Payment,
        "退款" => FundKind::Refund,
        "扣除交易手续费" => FundKind::Fee,
        "退还交易手续费" | "退款手续费返还" => FundKind::FeeReturned,
        "提现" => FundKind::Payout,
        "充值" => FundKind::TopUp,
        "分账" => FundKind::Split,
        "分账回退" => FundKind::SplitReturned,
        _ => FundKind::Unlisted,
    };
    let balance = match row.find(&["账户结余(元)"]) {
        None | Some("") => None,
        Some(_) => Some(Money::new(row.minor(&["账户结余(元)"])?, Currency::CNY)),
    };
    Ok(FundLine {
        kind,
        direction,
        at: beijing_time(at).ok_or_else(|| format!("the time {}", shortened(at)))?,
        flow_no: row.text("资金流水单号")?.to_owned(),
        business_no: row.find(&["微信支付业务单号"]).unwrap_or_default().to_owned(),
        business: format!("{}/{business}", row.find(&["业务名称"]).unwrap_or_default()),
        voucher: row.find(&["业务凭证号"]).unwrap_or_default().to_owned(),
        amount: Money::new(row.minor(&["收支金额(元)"])?, Currency::CNY),
        balance,
        note: row.find(&["备注"]).unwrap_or_default().to_owned(),
        raw,
    })
}

/// Values of a line: each begins with a backtick, so a comma inside of one does not end it.
fn values(line: &str) -> Vec<&str> {
    line.strip_prefix('`').unwrap_or(line).split(",`").collect()
}

/// Brackets are printed in two widths.
fn column_name(name: &str) -> String {
    name.trim().trim_start_matches('`').replace('（', "(").replace('）', ")")
}

fn yuan(e5: i64) -> String {
    let sign = if e5 < 0 { "-" } else { "" };
    format!("{sign}{}.{:05}", e5.unsigned_abs() / 100_000, e5.unsigned_abs() % 100_000)
}
