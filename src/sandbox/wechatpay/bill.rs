//! Trade bills and fund-flow bills, written as the provider writes them. Source: §14.

use super::call::{BillKind, text};
use super::view::{details, openid};
use crate::domain::money::Money;
use crate::domain::time::Timestamp;
use crate::sandbox::provider::fault::{Fault, Faults};
use crate::sandbox::provider::model::{Order, Refund, RefundStatus, number};

/// The merchant pays 0.60 %.
const RATE_PER_10_000: u64 = 60;
const RATE: &str = "0.60%";

/// A movement of money with everything that a row needs.
#[derive(Clone, Debug)]
pub enum Move {
    Paid {
        at: Timestamp,
        order: Order,
    },
    /// Given back because the merchant took the order back (撤销).
    Revoked {
        at: Timestamp,
        order: Order,
    },
    Refunded {
        order: Order,
        refund: Refund,
    },
}

/// The file, uncompressed. `None`: nothing of the kind moved that day.
pub fn write(kind: BillKind, mchid: &str, moves: &[Move], faults: Faults) -> Option<Vec<u8>> {
    let mut rows: Vec<Row> = moves.iter().map(Row::of).filter(|row| row.belongs(kind)).collect();
    if faults.has(Fault::BillRowMissing) && !rows.is_empty() {
        rows.remove(0);
    }
    if faults.has(Fault::BillRowAltered)
        && let Some(row) = rows.first_mut()
    {
        if row.is_payment() { row.paid += 1 } else { row.refunded += 1 }
    }
    if faults.has(Fault::BillRowExtra)
        && let Some(first) = rows.first()
    {
        let cause = format!("nobody {}", first.transaction_id);
        rows.push(Row {
            transaction_id: number("42", &cause),
            out_trade_no: "NOBODYKNOWS0001".to_owned(),
            state: "SUCCESS",
            paid: 100,
            refunded: 0,
            refund: None,
            ..first.clone()
        });
    }
    if rows.is_empty() {
        return None;
    }
    let text = match kind {
        BillKind::All | BillKind::Success | BillKind::Refund => trade_bill(kind, mchid, &rows),
        BillKind::FundFlow => fund_flow_bill(&rows),
        BillKind::OtherFunds => return None,
    };
    Some([b"\xef\xbb\xbf", text.as_bytes()].concat())
}

#[derive(Clone)]
struct Row {
    at: Timestamp,
    appid: String,
    device: String,
    transaction_id: String,
    out_trade_no: String,
    openid: String,
    trade_type: String,
    state: &'static str,
    /// Fen.
    paid: u64,
    refunded: u64,
    refund: Option<RefundPart>,
    description: String,
    attach: String,
}

#[derive(Clone)]
struct RefundPart {
    refund_id: String,
    out_refund_no: String,
    status: &'static str,
    asked_at: Timestamp,
    done_at: Option<Timestamp>,
}

impl Row {
    fn of(moved: &Move) -> Self {
        let (at, order, state, refund) = match moved {
            Move::Paid { at, order } => (*at, order, "SUCCESS", None),
            Move::Revoked { at, order } => (*at, order, "REVOKED", None),
            Move::Refunded { order, refund } => (refund.created_at, order, "REFUND", Some(refund)),
        };
        let (trade_type, body) = details(order);
        let received = order.received.as_ref();
        let received_minor = received.map_or(0, |received| received.amount.minor());
        let scene = body.get("scene_info").and_then(|scene| scene.get("device_id"));
        Self {
            at,
            appid: text(&body, "appid").unwrap_or_default().to_owned(),
            device: scene.and_then(|device| device.as_str()).unwrap_or_default().to_owned(),
            transaction_id: received.map(|received| received.transaction_id.clone()).unwrap_or_default(),
            out_trade_no: order.asked.number.clone(),
            openid: openid(order),
            trade_type,
            state,
            paid: if matches!(moved, Move::Paid { .. }) { received_minor } else { 0 },
            refunded: match moved {
                Move::Paid { .. } => 0,
                Move::Revoked { .. } => received_minor,
                Move::Refunded { refund, .. } => refund.asked.amount.minor(),
            },
            refund: refund.map(|refund| RefundPart {
                refund_id: refund.refund_id.clone(),
                out_refund_no: refund.asked.number.clone(),
                status: match refund.status {
                    RefundStatus::Processing | RefundStatus::Abnormal => "PROCESSING",
                    RefundStatus::Success => "SUCCESS",
                    RefundStatus::Closed => "FAIL",
                },
                asked_at: refund.created_at,
                done_at: refund.ended_at,
            }),
            description: order.asked.description.clone(),
            attach: text(&body, "attach").unwrap_or_default().to_owned(),
        }
    }

    fn is_payment(&self) -> bool {
        self.state == "SUCCESS"
    }

    fn belongs(&self, kind: BillKind) -> bool {
        match kind {
            BillKind::All | BillKind::FundFlow => true,
            BillKind::Success => self.is_payment(),
            BillKind::Refund => self.refund.is_some(),
            BillKind::OtherFunds => false,
        }
    }

    /// Fen; negative where it is given back.
    fn fee(&self) -> i128 {
        fee_of(self.paid) - fee_of(self.refunded)
    }
}

fn fee_of(minor: u64) -> i128 {
    (i128::from(minor) * i128::from(RATE_PER_10_000) + 5_000) / 10_000
}

const HEAD: &str = "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额";
const REFUND_HEAD: &str = "微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态";

fn trade_bill(kind: BillKind, mchid: &str, rows: &[Row]) -> String {
    let tail = "商品名称,商户数据包,手续费,费率,订单金额";
    let heading = match kind {
        BillKind::Success => format!("{HEAD},{tail},费率备注"),
        BillKind::Refund => format!("{HEAD},退款申请时间,退款成功时间,{REFUND_HEAD},{tail},申请退款金额,费率备注"),
        BillKind::All | BillKind::FundFlow | BillKind::OtherFunds => {
            format!("{HEAD},{REFUND_HEAD},{tail},申请退款金额,费率备注")
        }
    };
    let mut lines = vec![heading];
    for row in rows {
        let mut cells = vec![
            clock(row.at),
            row.appid.clone(),
            mchid.to_owned(),
            "0".to_owned(),
            row.device.clone(),
            row.transaction_id.clone(),
            row.out_trade_no.clone(),
            row.openid.clone(),
            row.trade_type.clone(),
            row.state.to_owned(),
            "OTHERS".to_owned(),
            "CNY".to_owned(),
            yuan(row.paid),
            "0.00".to_owned(),
        ];
        if kind == BillKind::Refund {
            let refund = row.refund.as_ref();
            cells.push(refund.map(|refund| clock(refund.asked_at)).unwrap_or_default());
            cells.push(refund.and_then(|refund| refund.done_at).map(clock).unwrap_or_default());
        }
        if kind != BillKind::Success {
            cells.extend(match &row.refund {
                Some(refund) => [
                    refund.refund_id.clone(),
                    refund.out_refund_no.clone(),
                    yuan(row.refunded),
                    "0.00".to_owned(),
                    "ORIGINAL".to_owned(),
                    refund.status.to_owned(),
                ],
                None => {
                    let (kind, status) = if row.is_payment() { ("", "") } else { ("ORIGINAL", "SUCCESS") };
                    ["0", "0", &yuan(row.refunded), "0.00", kind, status].map(str::to_owned)
                }
            });
        }
        cells.extend([
            row.description.replace(['\r', '\n'], " "),
            row.attach.clone(),
            fee_text(row.fee()),
            RATE.to_owned(),
            yuan(row.paid),
        ]);
        if kind != BillKind::Success {
            cells.push(yuan(row.refunded));
        }
        cells.push(String::new());
        lines.push(ticked(&cells));
    }
    let sum = |of: fn(&Row) -> u64| yuan(rows.iter().map(of).sum());
    let (paid, refunded) = (sum(|row| row.paid), sum(|row| row.refunded));
    let fees = fee_text(rows.iter().map(Row::fee).sum());
    let count = format!("{}.0", rows.len());
    if kind == BillKind::Success {
        lines.push("总交易单数,应结订单总金额,手续费总金额,订单总金额".to_owned());
        lines.push(ticked(&[count, paid.clone(), fees, paid]));
    } else {
        lines.push(
            "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额".to_owned(),
        );
        lines.push(ticked(&[count, paid.clone(), refunded.clone(), "0.00".to_owned(), fees, paid, refunded]));
    }
    lines.join("\r\n") + "\r\n"
}

fn fund_flow_bill(rows: &[Row]) -> String {
    let heading = "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额（元）,账户结余（元）,资金变更提交申请人,备注,业务凭证号";
    let mut lines = vec![heading.to_owned()];
    let mut balance: i128 = 0;
    let (mut incoming, mut outgoing) = ((0u64, 0i128), (0u64, 0i128));
    let mut book = |row: &Row, about: &str, what: &str, minor: i128, note: &str, voucher: &str| {
        if minor == 0 {
            return;
        }
        balance += minor;
        let side = if minor > 0 { &mut incoming } else { &mut outgoing };
        *side = (side.0 + 1, side.1 + minor.abs());
        lines.push(ticked(&[
            clock(row.at),
            about.to_owned(),
            number("10", &format!("{about} {what}")),
            what.to_owned(),
            what.to_owned(),
            if minor > 0 { "收入" } else { "支出" }.to_owned(),
            signed_yuan(minor.abs()),
            signed_yuan(balance),
            "system".to_owned(),
            note.to_owned(),
            voucher.to_owned(),
        ]));
    };
    for row in rows {
        match &row.refund {
            Some(refund) => {
                let about = &refund.refund_id;
                book(row, about, "退款", -i128::from(row.refunded), "", &refund.out_refund_no);
                book(row, about, "退还交易手续费", -row.fee(), "", &refund.out_refund_no);
            }
            None if row.is_payment() => {
                book(row, &row.transaction_id, "交易", i128::from(row.paid), "", &row.out_trade_no);
                book(row, &row.transaction_id, "扣除交易手续费", -row.fee(), RATE, &row.out_trade_no);
            }
            None => {
                book(row, &row.transaction_id, "撤销", -i128::from(row.refunded), "", &row.out_trade_no);
                book(row, &row.transaction_id, "退还交易手续费", -row.fee(), "", &row.out_trade_no);
            }
        }
    }
    lines.push("资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额".to_owned());
    let total = incoming.0 + outgoing.0;
    lines.push(ticked(&[
        format!("{total}.0"),
        format!("{}.0", incoming.0),
        signed_yuan(incoming.1),
        format!("{}.0", outgoing.0),
        signed_yuan(outgoing.1),
    ]));
    lines.join("\r\n") + "\r\n"
}

/// Every value has a backtick in front; headings have none.
fn ticked(cells: &[String]) -> String {
    cells.iter().map(|cell| format!("`{cell}")).collect::<Vec<_>>().join(",")
}

fn clock(at: Timestamp) -> String {
    at.in_zone("Asia/Shanghai").strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn yuan(minor: u64) -> String {
    Money::new(minor, crate::domain::money::Currency::CNY).to_decimal()
}

fn signed_yuan(minor: i128) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", minor.unsigned_abs() / 100, minor.unsigned_abs() % 100)
}

/// Fees have five decimals.
fn fee_text(minor: i128) -> String {
    format!("{}000", signed_yuan(minor))
}
