//! What calls and answers of the three protocols say, read by whoever watches the wire: only as much as the model needs, and
//! written from the protocols alone. Adapter, simulator and this reader have to agree.

use serde_json::Value;

use super::model::{Asked, News, RefundWord, Word};
use crate::domain::merchant::ChannelKind;
use crate::env::transport::{OutgoingRequest, OutgoingResponse};
use crate::sandbox::provider::model::Event;
use crate::sandbox::provider::records::Letter;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Create,
    /// Charges a code that the payer showed.
    Charge,
    Query,
    Close,
    /// Takes a charge back.
    Reverse,
    Refund,
    QueryRefund,
    /// Everything that is about no order.
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) op: Op,
    /// The gateway's number of the order or refund; empty where the call does not name it.
    pub(super) number: String,
    /// What the provider keeps it under.
    pub(super) key: String,
}

pub(super) fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    &rest[rest.find('/').unwrap_or(rest.len())..]
}

fn form(text: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text).map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

pub(super) fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    fields.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value.as_str())
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn call(kind: ChannelKind, request: &OutgoingRequest) -> Call {
    let call = |op, number: &str| Call { op, number: number.to_owned(), key: number.to_owned() };
    match kind {
        ChannelKind::WechatPay => {
            let path = path_of(&request.url);
            let path = path.split('?').next().unwrap_or_default();
            let number = || xml_text(&request.body, "out_trade_no");
            match path.trim_start_matches("/sim/wechatpay") {
                "/pay/micropay" => return call(Op::Charge, &number()),
                "/pay/orderquery" => return call(Op::Query, &number()),
                "/secapi/pay/reverse" => return call(Op::Reverse, &number()),
                _ => {}
            }
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let parts: Vec<&str> = path.trim_start_matches("/sim/wechatpay/v3/").split('/').collect();
            match parts.as_slice() {
                ["pay", "transactions", "codepay"] => call(Op::Charge, text(&body, "out_trade_no")),
                ["pay", "transactions", "out-trade-no", number] => call(Op::Query, number),
                ["pay", "transactions", "id", _] => call(Op::Query, ""),
                ["pay", "transactions", "out-trade-no", number, "close"] => call(Op::Close, number),
                ["pay", "transactions", "out-trade-no", number, "reverse"] => call(Op::Reverse, number),
                ["pay", "transactions", _] => call(Op::Create, text(&body, "out_trade_no")),
                ["refund", "domestic", "refunds"] => call(Op::Refund, text(&body, "out_refund_no")),
                ["refund", "domestic", "refunds", number] => call(Op::QueryRefund, number),
                _ => call(Op::Other, ""),
            }
        }
        ChannelKind::Alipay => {
            let (_, query) = request.url.split_once('?').unwrap_or_default();
            let fields = [form(query.as_bytes()), form(&request.body)].concat();
            let content: Value = serde_json::from_str(field(&fields, "biz_content")).unwrap_or_default();
            let order = text(&content, "out_trade_no");
            let refund = text(&content, "out_request_no");
            let about_refund = |op| Call { op, number: refund.to_owned(), key: format!("{order}/{refund}") };
            match field(&fields, "method") {
                "alipay.trade.precreate" | "alipay.trade.create" => call(Op::Create, order),
                "alipay.trade.pay" => call(Op::Charge, order),
                "alipay.trade.query" => call(Op::Query, order),
                "alipay.trade.close" => call(Op::Close, order),
                "alipay.trade.cancel" => call(Op::Reverse, order),
                "alipay.trade.refund" => about_refund(Op::Refund),
                "alipay.trade.fastpay.refund.query" => about_refund(Op::QueryRefund),
                _ => call(Op::Other, ""),
            }
        }
        ChannelKind::Unionpay => {
            let fields = form(&request.body);
            let number = field(&fields, "orderId");
            let key = format!("{number} {}", field(&fields, "txnTime"));
            let call = |op| Call { op, number: number.to_owned(), key: key.clone() };
            match (field(&fields, "txnType"), field(&fields, "txnSubType")) {
                ("01", "06") => call(Op::Charge),
                ("01", _) => call(Op::Create),
                // Of an order or of a refund: the number tells.
                ("00", _) => call(Op::Query),
                ("99", _) => call(Op::Reverse),
                ("04", _) => call(Op::Refund),
                _ => call(Op::Other),
            }
        }
        ChannelKind::TestWallet => call(Op::Other, ""),
    }
}

/// Whether a path is of WeChat Pay's older interface.
pub(super) fn is_code_v2(path: &str) -> bool {
    ["/pay/micropay", "/pay/orderquery", "/secapi/pay/reverse"].iter().any(|end| path.ends_with(end))
}

/// The text of a field in WeChat Pay's flat XML; empty where there is none.
fn xml_text(xml: &[u8], name: &str) -> String {
    let xml = String::from_utf8_lossy(xml);
    let inner = xml.split_once(&format!("<{name}>")).and_then(|(_, rest)| rest.split_once(&format!("</{name}>")));
    let inner = inner.map_or("", |(inner, _)| inner);
    inner.trim_start_matches("<![CDATA[").trim_end_matches("]]>").to_owned()
}

/// What a genuine answer says; `None` when it says nothing about an order or refund.
pub(super) fn answer(kind: ChannelKind, call: &Call, response: &OutgoingResponse) -> Option<News> {
    match kind {
        ChannelKind::WechatPay if response.body.starts_with(b"<xml>") => code_v2(call, &response.body),
        ChannelKind::WechatPay => wechatpay(call, response),
        ChannelKind::Alipay => alipay(call, response),
        ChannelKind::Unionpay => unionpay(call, response),
        ChannelKind::TestWallet => None,
    }
}

fn order(number: &str, word: Word, op: Op) -> Option<News> {
    let asked = match op {
        Op::Create | Op::Charge => Asked::Create,
        Op::Close | Op::Reverse => Asked::Close,
        Op::Query | Op::Refund | Op::QueryRefund | Op::Other => Asked::Query,
    };
    Some(News::Order { number: number.to_owned(), word, asked })
}

fn refund(number: &str, word: RefundWord, op: Op) -> Option<News> {
    let asked = if op == Op::Refund { Asked::Refund } else { Asked::QueryRefund };
    Some(News::Refund { number: number.to_owned(), word, asked })
}

fn wechatpay(call: &Call, response: &OutgoingResponse) -> Option<News> {
    let said: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let code = text(&said, "code");
    let number = if call.number.is_empty() { text(&said, "out_trade_no") } else { &call.number };
    let order = |word| order(number, word, call.op);
    let refund = |word| refund(number, word, call.op);
    let done = (200..300).contains(&response.status);
    // The same number with other content: there is an order, so nothing is refused.
    let repeated = ["重入", "已支付"].iter().any(|words| text(&said, "message").contains(words));
    match call.op {
        Op::Create if done => order(Word::Accepted),
        Op::Charge if response.status == 202 => order(Word::NotPaid),
        Op::Charge | Op::Query if done => order(wechat_state(&said)),
        Op::Create | Op::Charge => {
            if code == "SIGN_ERROR" {
                return order(Word::Barred);
            }
            let for_good = ["PARAM_ERROR", "INVALID_REQUEST", "AUTH_CODE_INVALID", "NOT_ENOUGH"].contains(&code);
            order(if for_good && !repeated { Word::Refused } else { Word::Unknown })
        }
        Op::Query | Op::Close | Op::Reverse if code == "ORDER_NOT_EXIST" => order(Word::NotFound),
        Op::Close | Op::Reverse if done || code == "ORDER_CLOSED" => order(Word::Closed),
        Op::Query | Op::Close | Op::Reverse => order(Word::Unknown),
        Op::Refund | Op::QueryRefund if done => match text(&said, "status") {
            "SUCCESS" => refund(RefundWord::Succeeded),
            "CLOSED" => refund(RefundWord::Failed),
            "PROCESSING" => refund(RefundWord::Processing),
            "ABNORMAL" => refund(RefundWord::Undeliverable),
            _ => None,
        },
        Op::Refund if (400..500).contains(&response.status) && response.status != 429 => refund(RefundWord::Refused),
        Op::QueryRefund if code == "RESOURCE_NOT_EXISTS" => refund(RefundWord::NotFound),
        Op::Refund | Op::QueryRefund | Op::Other => None,
    }
}

fn code_v2(call: &Call, body: &[u8]) -> Option<News> {
    let text = |name| xml_text(body, name);
    let number = if call.number.is_empty() { text("out_trade_no") } else { call.number.clone() };
    let paid = || Word::Paid { minor: text("total_fee").parse().unwrap_or(0), transaction: text("transaction_id") };
    let done = text("result_code") == "SUCCESS";
    let word = match (call.op, text("err_code").as_str()) {
        (Op::Charge, _) if done => paid(),
        (Op::Charge, "USERPAYING") => Word::NotPaid,
        (Op::Charge, "AUTHCODEEXPIRE" | "AUTH_CODE_INVALID" | "NOTENOUGH" | "PARAM_ERROR") => Word::Refused,
        (Op::Query, _) if done => match text("trade_state").as_str() {
            "SUCCESS" | "REFUND" => paid(),
            "NOTPAY" | "USERPAYING" => Word::NotPaid,
            "CLOSED" | "REVOKED" => Word::Closed,
            "PAYERROR" => Word::Declined,
            _ => Word::Unknown,
        },
        (Op::Reverse, _) if done && text("recall") == "N" => Word::Closed,
        (Op::Query | Op::Reverse, "ORDERNOTEXIST") => Word::NotFound,
        _ => Word::Unknown,
    };
    order(&number, word, call.op)
}

fn wechat_state(said: &Value) -> Word {
    match text(said, "trade_state") {
        "SUCCESS" | "REFUND" => Word::Paid {
            minor: said["amount"]["total"].as_u64().unwrap_or(0),
            transaction: text(said, "transaction_id").to_owned(),
        },
        "NOTPAY" | "USERPAYING" => Word::NotPaid,
        "CLOSED" | "REVOKED" => Word::Closed,
        "PAYERROR" => Word::Declined,
        _ => Word::Unknown,
    }
}

/// Yuan with two decimals.
fn fen(yuan: &str) -> u64 {
    yuan.replace('.', "").parse().unwrap_or(0)
}

fn alipay(call: &Call, response: &OutgoingResponse) -> Option<News> {
    let envelope: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let (name, said) = envelope.as_object()?.iter().find(|(name, _)| name.ends_with("_response"))?;
    let order = |word| order(&call.number, word, call.op);
    if name == "error_response" {
        // A wrong clock: refused before the order is looked at.
        let barred = matches!(call.op, Op::Create | Op::Charge) && text(said, "sub_code") == "isv.invalid-timestamp";
        return if barred { order(Word::Barred) } else { None };
    }
    let refund = |word| refund(&call.number, word, call.op);
    let paid = || Word::Paid { minor: fen(text(said, "total_amount")), transaction: text(said, "trade_no").to_owned() };
    let why = text(said, "sub_code");
    match (call.op, text(said, "code")) {
        (Op::Create, "10000") => order(Word::Accepted),
        (Op::Charge, "10000") => order(paid()),
        (Op::Charge, "10003") => order(Word::NotPaid),
        (Op::Create | Op::Charge, _) => order(match why {
            "ACQ.PAYMENT_AUTH_CODE_INVALID" | "ACQ.BUYER_BALANCE_NOT_ENOUGH" => Word::Declined,
            "ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR" | "ACQ.INVALID_PARAMETER" => Word::Refused,
            _ => Word::Unknown,
        }),
        (Op::Query, "10000") => order(match text(said, "trade_status") {
            "TRADE_SUCCESS" | "TRADE_FINISHED" => paid(),
            "WAIT_BUYER_PAY" => Word::NotPaid,
            "TRADE_CLOSED" => Word::Closed,
            _ => Word::Unknown,
        }),
        (Op::Query | Op::Close | Op::Reverse, _) if why == "ACQ.TRADE_NOT_EXIST" => order(Word::NotFound),
        (Op::Close, "10000") => order(Word::Closed),
        (Op::Reverse, "10000") => order(if text(said, "action").is_empty() { Word::NotFound } else { Word::Closed }),
        (Op::Query | Op::Close | Op::Reverse, _) => order(Word::Unknown),
        (Op::Refund, "10000") => {
            refund(if text(said, "fund_change") == "Y" { RefundWord::Succeeded } else { RefundWord::Processing })
        }
        (Op::Refund, _) => match why {
            "ACQ.SELLER_BALANCE_NOT_ENOUGH" | "ACQ.SYSTEM_ERROR" => None,
            _ => refund(RefundWord::Refused),
        },
        (Op::QueryRefund, "10000") if text(said, "refund_status") == "REFUND_SUCCESS" => refund(RefundWord::Succeeded),
        (Op::QueryRefund, _) => refund(RefundWord::NotFound),
        (Op::Other, _) => None,
    }
}

fn unionpay(call: &Call, response: &OutgoingResponse) -> Option<News> {
    let said = String::from_utf8_lossy(&response.body);
    let pairs = said.split('&').filter_map(|pair| pair.split_once('='));
    let said: Vec<(String, String)> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let order = |word| order(&call.number, word, call.op);
    let refund = |word| refund(&call.number, word, call.op);
    let (code, result) = (field(&said, "respCode"), field(&said, "origRespCode"));
    let over = field(&said, "txnSubType") == "06";
    match (call.op, code) {
        (Op::Create, "00") => order(Word::Accepted),
        (Op::Charge, "00" | "05") => order(Word::NotPaid),
        (Op::Create | Op::Charge, "64") => order(Word::Declined),
        (Op::Create, "12") => order(Word::CodeLost),
        (Op::Create | Op::Charge, "01" | "10" | "13") => order(Word::Refused),
        (Op::Create | Op::Charge, _) => order(Word::Unknown),
        (Op::Query, "34") => order(Word::NotFound),
        (Op::Query, "00") => order(match result {
            "00" if field(&said, "txnType") == "99" => Word::Closed,
            "00" => Word::Paid {
                minor: field(&said, "txnAmt").parse().unwrap_or(0),
                transaction: field(&said, "queryId").to_owned(),
            },
            "05" => Word::NotPaid,
            "01" if over => Word::Declined,
            _ => Word::Unknown,
        }),
        (Op::Reverse, "00" | "45") => order(Word::Closed),
        (Op::Reverse, "34" | "35") => order(Word::NotFound),
        (Op::Query | Op::Close | Op::Reverse, _) => order(Word::Unknown),
        (Op::Refund, "00" | "05") => refund(RefundWord::Processing),
        (Op::Refund, "12" | "06" | "37") => None,
        (Op::Refund, _) => refund(RefundWord::Refused),
        (Op::QueryRefund, "34") => refund(RefundWord::NotFound),
        (Op::QueryRefund, "00") => match result {
            "00" => refund(RefundWord::Succeeded),
            "05" => refund(RefundWord::Processing),
            _ => refund(RefundWord::Failed),
        },
        (Op::QueryRefund | Op::Other, _) => None,
    }
}

/// What a message says, before it is sealed.
pub(super) fn letter(kind: ChannelKind, letter: &Letter) -> Option<News> {
    let told: Value = serde_json::from_str(&letter.text).unwrap_or_default();
    let order = |number: &str, word| Some(News::Order { number: number.to_owned(), word, asked: Asked::Nobody });
    let refund = |number: &str, word| Some(News::Refund { number: number.to_owned(), word, asked: Asked::Nobody });
    match kind {
        ChannelKind::WechatPay => {
            let plain = &told["plain"];
            match letter.event {
                Event::Paid => order(text(plain, "out_trade_no"), wechat_state(plain)),
                Event::Refunded => {
                    let minor = plain["amount"]["refund"].as_u64().unwrap_or(0);
                    refund(text(plain, "out_refund_no"), RefundWord::SucceededWith { minor })
                }
                Event::RefundClosed => refund(text(plain, "out_refund_no"), RefundWord::Failed),
                Event::RefundAbnormal => refund(text(plain, "out_refund_no"), RefundWord::Undeliverable),
                Event::PaymentFailed | Event::OrderClosed | Event::OrderRevoked => None,
            }
        }
        ChannelKind::Alipay => {
            let number = text(&told, "out_trade_no");
            if !text(&told, "gmt_refund").is_empty() || !text(&told, "refund_fee").is_empty() {
                return refund(text(&told, "out_biz_no"), RefundWord::Processing);
            }
            match text(&told, "trade_status") {
                "TRADE_SUCCESS" => {
                    let (minor, transaction) = (fen(text(&told, "total_amount")), text(&told, "trade_no").to_owned());
                    order(number, Word::Paid { minor, transaction })
                }
                "TRADE_CLOSED" if text(&told, "gmt_payment").is_empty() => order(number, Word::Closed),
                _ => None,
            }
        }
        ChannelKind::Unionpay => {
            let minor = text(&told, "txnAmt").parse().unwrap_or(0);
            let (number, transaction) = (text(&told, "orderId"), text(&told, "queryId").to_owned());
            match text(&told, "txnType") {
                "01" => order(number, Word::Paid { minor, transaction }),
                "04" => refund(number, RefundWord::SucceededWith { minor }),
                _ => None,
            }
        }
        ChannelKind::TestWallet => None,
    }
}
