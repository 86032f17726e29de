//! Clearing files (对账文件): asked for, unpacked, and read line by line.
//!
//! A ZIP holds two texts in GBK with fields of fixed width in *bytes*: `…ZM_…` are the day's transactions, `…ZME_…` its
//! corrections (差错). Source: UnionPay ACP 5.1.0, file transfer and layouts. A correction names no order, so it comes out as
//! a movement that a person has to name.

use std::io::{BufRead, BufReader, Cursor, Read};

use jiff::civil::Date;

use super::UnionPay;
use super::response::{answer_code, detail, genuine, malformed};
use super::time::{beijing, read_beijing};
use crate::channels::statement::{
    Fee, FundDirection, FundKind, FundLine, LINE_MAX_BYTES, Promise, StatementAnswer, StatementError, StatementId,
    StatementKind, StatementLine, Totals, TradeKind, TradeLine, TradeStatus, UNPACKED_MAX_BYTES,
};
use crate::channels::{ChannelError, no_words};
use crate::domain::money::{Currency, Money};
use crate::domain::time::{Duration, Timestamp};
use crate::env::transport::{OutgoingRequest, OutgoingResponse};

/// Packed bytes of a day's file that are read.
const PACKED_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Code 98 says "no file" both before it is made and when there is nothing to put in. After so long it is the latter.
const EMPTY_AFTER: Duration = Duration::from_days(3);
/// Files inside a ZIP that are looked at; real ones hold two or three.
const ENTRIES_MAX: usize = 16;

pub(super) fn request(
    account: &UnionPay,
    wanted: StatementId,
    now: Timestamp,
) -> Result<OutgoingRequest, ChannelError> {
    if wanted.kind != StatementKind::Trades {
        return Err(ChannelError::Unsupported);
    }
    let mut fields = account.fields("76", "01", "000000", "07");
    fields.put("settleDate", month_day(wanted.day));
    fields.put("txnTime", beijing(now));
    fields.put("fileType", "00");
    Ok(account.call(&account.file_url(), fields))
}

pub(super) fn read_answer(
    account: &UnionPay,
    wanted: StatementId,
    response: &OutgoingResponse,
    now: Timestamp,
) -> Result<StatementAnswer, ChannelError> {
    if response.truncated || response.status != 200 {
        return Ok(StatementAnswer::Unknown { detail: no_words(response.status).to_string() });
    }
    let fields = genuine(account, &response.body, now)?;
    account.is_named(&fields)?;
    if fields.get("txnType") != Some("76") || fields.get("settleDate").is_some_and(|d| d != month_day(wanted.day)) {
        return Err(ChannelError::NotGenuine { detail: "the answer is about another file".to_owned() });
    }
    Ok(match answer_code(&fields)? {
        "00" => {
            let content = fields.get("fileContent").ok_or_else(|| malformed("an answer without fileContent"))?;
            StatementAnswer::File { bytes: unpack(content)?, promise: Promise::None }
        }
        "98" if now.since(day_end(wanted.day)) > EMPTY_AFTER => StatementAnswer::Empty,
        "98" => StatementAnswer::NotYet,
        code @ ("02" | "03" | "04" | "05" | "06" | "37") => StatementAnswer::Unknown { detail: detail(&fields, code) },
        code => StatementAnswer::Refused { code: code.to_owned(), detail: detail(&fields, code) },
    })
}

/// `fileContent`: base64 of zlib of the ZIP.
pub(super) fn unpack(content: &str) -> Result<Vec<u8>, ChannelError> {
    let packed =
        data_encoding::BASE64.decode(content.as_bytes()).map_err(|_| malformed("fileContent is not base64"))?;
    let mut zip = Vec::new();
    let mut reader = flate2::read::ZlibDecoder::new(packed.as_slice()).take(PACKED_MAX_BYTES + 1);
    reader.read_to_end(&mut zip).map_err(|_| malformed("fileContent cannot be unpacked"))?;
    if zip.len() as u64 > PACKED_MAX_BYTES { Err(malformed("fileContent is too large")) } else { Ok(zip) }
}

/// Reads a day's ZIP. Lines count only when this answers `Ok`.
pub(super) fn read(
    mer_id: &str,
    wanted: StatementId,
    file: &mut dyn Read,
    each: &mut dyn FnMut(StatementLine),
) -> Result<Totals, StatementError> {
    if wanted.kind != StatementKind::Trades {
        return Err(StatementError::Unsupported);
    }
    let mut bytes = Vec::new();
    file.take(PACKED_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error.to_string()))?;
    if bytes.len() as u64 > PACKED_MAX_BYTES {
        return Err(unreadable("it is too large"));
    }
    let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|_| unreadable("it is no ZIP file"))?;
    if zip.len() > ENTRIES_MAX {
        return Err(unreadable("it holds too many files"));
    }
    let mut book = Book { mer_id, day: wanted.day, totals: Totals::default(), each };
    let mut found = false;
    for index in 0..zip.len() {
        let entry = zip.by_index(index).map_err(|_| unreadable("a file inside cannot be read"))?;
        let name = entry.name().map_err(|_| unreadable("a file inside has no name"))?.into_owned();
        let Some(layout) = Layout::of(&name, wanted.day)? else { continue };
        found |= layout == Layout::Transactions;
        book.entry(layout, entry)?;
    }
    if found { Ok(book.totals) } else { Err(unreadable("it holds no file of transactions (ZM)")) }
}

/// Which of the two texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Transactions,
    Corrections,
}

impl Layout {
    /// By the entry's name, `INNyyMMdd88ZM_…` or `INNyyMMdd88ZME_…`; `None` for files of other kinds.
    fn of(name: &str, day: Date) -> Result<Option<Layout>, StatementError> {
        let name = name.rsplit('/').next().unwrap_or(name);
        if !name.starts_with("INN") {
            return Ok(None);
        }
        let layout = match name.get(11..) {
            Some(rest) if rest.starts_with("ZM_") => Layout::Transactions,
            Some(rest) if rest.starts_with("ZME_") => Layout::Corrections,
            Some(_) | None => return Ok(None),
        };
        if name.get(3..9) != Some(day.strftime("%y%m%d").to_string().as_str()) {
            return Err(unreadable("it is the file of another day"));
        }
        Ok(Some(layout))
    }
}

struct Book<'a> {
    mer_id: &'a str,
    day: Date,
    totals: Totals,
    each: &'a mut dyn FnMut(StatementLine),
}

impl Book<'_> {
    fn entry(&mut self, layout: Layout, entry: impl Read) -> Result<(), StatementError> {
        let mut reader = BufReader::new(entry.take(UNPACKED_MAX_BYTES));
        let mut number = 0;
        loop {
            let mut bytes = Vec::new();
            let read = (&mut reader).take(LINE_MAX_BYTES as u64).read_until(b'\n', &mut bytes);
            if read.map_err(|error| unreadable(&error.to_string()))? == 0 {
                return Ok(());
            }
            number += 1;
            let ended = bytes.last() == Some(&b'\n');
            let bad = |detail: &str| StatementError::BadLine { line: number, detail: detail.to_owned() };
            if !ended && bytes.len() == LINE_MAX_BYTES {
                return Err(bad("it is too long"));
            }
            while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
                bytes.pop();
            }
            if bytes.is_empty() {
                continue;
            }
            let line = Line { bytes: &bytes };
            let read = match layout {
                Layout::Transactions => line.transaction(self.day),
                Layout::Corrections => line.correction(self.day),
            };
            let (mer_id, line) = read.map_err(bad)?;
            if mer_id != self.mer_id {
                return Err(bad("it is about another merchant"));
            }
            self.count(&line).ok_or_else(|| bad("the amounts are too large"))?;
            (self.each)(line);
        }
    }

    fn count(&mut self, line: &StatementLine) -> Option<()> {
        let (incoming, minor) = match line {
            StatementLine::Trade(trade) => {
                self.totals.fee = self.totals.fee.checked_add(trade.fee)?;
                (trade.kind == TradeKind::Payment, trade.amount.minor())
            }
            StatementLine::Fund(fund) => (fund.direction == FundDirection::In, fund.amount.minor()),
        };
        let sum = if incoming { &mut self.totals.in_minor } else { &mut self.totals.out_minor };
        *sum = sum.checked_add(minor)?;
        self.totals.lines += 1;
        Some(())
    }
}

/// Where the stable fields of a line stand, in bytes: offset and length, one blank between any two.
type Columns = &'static [(usize, usize)];

#[rustfmt::skip]
const ZM: Columns = &[
    (0, 3), (4, 11), (16, 11), (28, 6), (35, 10), (46, 19), (66, 12), (79, 4), (84, 2), (87, 21),
    (109, 2), (112, 32), (145, 2), (148, 6), (155, 10), (166, 13), (180, 13), (194, 4), (199, 15), (215, 2),
    (218, 2), (221, 6), (228, 2), (231, 4), (236, 32), (269, 1), (271, 21), (293, 15), (309, 1), (311, 15),
    (327, 32), (360, 13), (374, 13), (388, 8), (397, 32), (430, 13), (444, 13), (458, 12), (471, 2), (474, 1),
];
/// 原始交易订单号, in newer files only.
const ZM_ORIGINAL_ORDER: (usize, usize) = (476, 32);

#[rustfmt::skip]
const ZME: Columns = &[
    (0, 3), (4, 11), (16, 11), (28, 6), (35, 10), (46, 19), (66, 12), (79, 4), (84, 2), (87, 2), (90, 6),
    (97, 10), (108, 4), (113, 12), (126, 13), (140, 13), (154, 15), (170, 15), (186, 1), (188, 12), (201, 2),
];

struct Line<'a> {
    bytes: &'a [u8],
}

impl Line<'_> {
    /// A ZM line, with the merchant it names.
    fn transaction(&self, day: Date) -> Result<(String, StatementLine), &'static str> {
        self.check_columns(ZM)?;
        let field = |number: usize| self.field(ZM[number - 1]);
        let kind = match field(20)? {
            "01" => TradeKind::Payment,
            "04" => TradeKind::Refund,
            "31" | "99" => TradeKind::Reversal,
            _ => return Err("the kind of transaction is not known"),
        };
        let query_id = required(field(10)?, "it has no queryId")?;
        let number = required(field(12)?, "it has no order number")?;
        let (original_id, is_payment) = (field(27)?, kind == TradeKind::Payment);
        let (settled, direction) = signed(field(17)?)?;
        let expected = if is_payment { FundDirection::In } else { FundDirection::Out };
        if settled != 0 && direction != expected {
            return Err("the sign of the settled amount does not fit the kind of transaction");
        }
        let (fee, direction) = signed(field(16)?)?;
        let fee = i64::try_from(fee * 1000).map_err(|_| "the fee is too large")?;
        let line = TradeLine {
            kind,
            status: TradeStatus::Succeeded,
            at: near(field(5)?, day).ok_or("the time cannot be read")?,
            merchant_no: field(28)?.to_owned(),
            app_id: String::new(),
            transaction_id: if is_payment { query_id.clone() } else { required(original_id, "it has no original")? },
            order_no: if is_payment { number.clone() } else { self.original_order() },
            refund_id: (!is_payment).then_some(query_id),
            refund_no: (!is_payment).then_some(number),
            amount: yuan(digits(field(7)?)?),
            settled: yuan(settled),
            fee: Fee::from_e5(if direction == FundDirection::Out { fee } else { -fee }),
            raw: self.text(),
        };
        Ok((line.merchant_no.clone(), StatementLine::Trade(line)))
    }

    /// A ZME line, with the merchant it names.
    fn correction(&self, day: Date) -> Result<(String, StatementLine), &'static str> {
        self.check_columns(ZME)?;
        let field = |number: usize| self.field(ZME[number - 1]);
        let (settled, direction) = signed(field(16)?)?;
        let line = FundLine {
            kind: FundKind::Unlisted,
            direction,
            at: near(field(5)?, day).ok_or("the time cannot be read")?,
            flow_no: format!("{}{}", field(4)?, field(5)?),
            // What it corrects is named by trace number and time only.
            business_no: format!("{}{}", field(11)?, field(12)?),
            business: field(1)?.to_owned(),
            voucher: String::new(),
            amount: yuan(settled),
            balance: None,
            note: format!("original amount {} fen", digits(field(14)?)?),
            raw: self.text(),
        };
        Ok((field(18)?.to_owned(), StatementLine::Fund(line)))
    }

    /// The columns that are known have to be there, with a blank before each but the first.
    fn check_columns(&self, columns: Columns) -> Result<(), &'static str> {
        let blanks = columns.iter().skip(1).all(|(at, _)| self.bytes.get(at - 1) == Some(&b' '));
        let long_enough = columns.last().is_some_and(|(at, length)| self.bytes.len() >= at + length);
        if !long_enough {
            Err("it is too short")
        } else if blanks {
            Ok(())
        } else {
            Err("its columns are not where they have to be")
        }
    }

    fn field(&self, (at, length): (usize, usize)) -> Result<&str, &'static str> {
        let bytes = self.bytes.get(at..at + length).ok_or("it is too short")?;
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii());
        text.map(|text| text.trim_matches(' ')).ok_or("a field is not plain text")
    }

    /// Our number of the payment that was refunded; older files keep other things in that place.
    fn original_order(&self) -> String {
        let text = self.field(ZM_ORIGINAL_ORDER).unwrap_or_default();
        let number = (8..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
        if number { text.to_owned() } else { String::new() }
    }

    fn text(&self) -> String {
        encoding_rs::GBK.decode_without_bom_handling(self.bytes).0.into_owned()
    }
}

fn required(text: &str, missing: &'static str) -> Result<String, &'static str> {
    if text.is_empty() { Err(missing) } else { Ok(text.to_owned()) }
}

/// Fen, padded with zeros to twelve digits.
fn digits(text: &str) -> Result<u64, &'static str> {
    let plain = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain).ok_or("an amount is no number of fen")
}

/// `C` to the merchant or `D` from the merchant, and fen behind it.
fn signed(text: &str) -> Result<(u64, FundDirection), &'static str> {
    let (direction, rest) = match text.as_bytes().first() {
        Some(b'C') => (FundDirection::In, &text[1..]),
        Some(b'D') => (FundDirection::Out, &text[1..]),
        _ => return Err("an amount has neither C nor D before it"),
    };
    Ok((digits(rest)?, direction))
}

fn yuan(minor: u64) -> Money {
    Money::new(minor, Currency::CNY)
}

/// `MMDDhhmmss` in the year in which it comes before the end of the clearing day.
fn near(text: &str, day: Date) -> Option<Timestamp> {
    let latest = day_end(day);
    let year = day.year();
    [year, year - 1].into_iter().filter_map(|y| read_beijing(&format!("{y:04}{text}"))).find(|at| *at <= latest)
}

/// The end of the clearing day, at about 23:00 Beijing time; nothing in its file is later than the calendar day.
fn day_end(day: Date) -> Timestamp {
    let text = day.strftime("%Y%m%d235959").to_string();
    read_beijing(&text).expect("every date has this second in Beijing")
}

/// `MMDD`.
fn month_day(day: Date) -> String {
    day.strftime("%m%d").to_string()
}

fn unreadable(detail: &str) -> StatementError {
    StatementError::Unreadable { detail: detail.to_owned() }
}
