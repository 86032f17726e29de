//! Daily statements, also those that were uploaded by hand: read to their end or refused, and what they sum up to is the sum
//! of their lines.

use std::io::Cursor;

use coffer::channels::statement::{
    Fee, FundDirection, Promise, StatementId, StatementKind, StatementLine, Totals, TradeKind,
};
use coffer::domain::money::Money;
use encoding_rs::GBK;

use super::notifications::channel;
use super::{Seed, Verdict};

/// The first line names a provider and one of its books, the rest is the file.
pub fn run(data: &[u8]) -> Verdict {
    let Some(end) = data.iter().position(|byte| *byte == b'\n') else { return Verdict::Refused };
    let first = std::str::from_utf8(&data[..end]).unwrap_or_default();
    let (name, kind) = match first.split_once(' ') {
        Some((name, "trades")) => (name, StatementKind::Trades),
        Some((name, "funds")) => (name, StatementKind::Funds),
        _ => return Verdict::Refused,
    };
    let Some(channel) = channel(name) else { return Verdict::Refused };
    let wanted = StatementId { kind, day: "2026-11-17".parse().expect("a day") };
    // Providers add up what was ordered, or what of it reached the merchant's account.
    let (mut ordered, mut settled) = (Totals::default(), Totals::default());
    let mut each = |line: StatementLine| match line {
        StatementLine::Trade(trade) => {
            let is_in = trade.kind == TradeKind::Payment;
            add(&mut ordered, is_in, trade.amount, trade.fee);
            add(&mut settled, is_in, trade.settled, trade.fee);
        }
        StatementLine::Fund(fund) => {
            let is_in = fund.direction == FundDirection::In;
            add(&mut ordered, is_in, fund.amount, Fee::ZERO);
            add(&mut settled, is_in, fund.amount, Fee::ZERO);
        }
    };
    match channel.read_statement(wanted, &Promise::None, &mut Cursor::new(&data[end + 1..]), &mut each) {
        Ok(totals) => {
            assert!(totals == ordered || totals == settled, "{totals:?}, {ordered:?}, {settled:?}");
            Verdict::Accepted
        }
        Err(error) => {
            assert!(!error.to_string().chars().any(char::is_control), "{error:?} would break a line of the log");
            Verdict::Refused
        }
    }
}

fn add(sum: &mut Totals, is_in: bool, amount: Money, fee: Fee) {
    sum.lines += 1;
    let side = if is_in { &mut sum.in_minor } else { &mut sum.out_minor };
    *side = side.saturating_add(amount.minor());
    sum.fee = sum.fee.checked_add(fee).unwrap_or(sum.fee);
}

const WECHAT_TRADES: &str = "\
交易时间,公众账号ID,商户号,微信订单号,商户订单号,交易状态,货币种类,应结订单金额,微信退款单号,商户退款单号,退款金额,退款状态,手续费
`2026-11-17 10:00:00,`wx2421b1c4370ec43b,`1900000001,`4200001,`01JD3Q9W8XK2V5N7R4T6Y0ABCD,`SUCCESS,`CNY,`12.30,`0,`0,`0.00,`,`0.07000
`2026-11-17 11:00:00,`wx2421b1c4370ec43b,`1900000001,`4200001,`01JD3Q9W8XK2V5N7R4T6Y0ABCD,`REFUND,`CNY,`0.00,`5000001,`01JD3Q9W8XK2V5N7R4T6Y0ABCE,`6.00,`SUCCESS,`-0.03000
总交易单数,应结订单总金额,退款总金额,手续费总金额
`2,`12.30,`6.00,`0.04000
";

const WECHAT_FUNDS: &str = "\
记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),资金变更提交申请人,备注,业务凭证号
`2026-11-17 10:00:00,`4200001,`1001,`交易,`交易,`收入,`12.30,`112.30,`system,`,`01JD3Q9W8XK2V5N7R4T6Y0ABCD
`2026-11-17 10:00:00,`4200001,`1002,`扣除交易手续费,`扣除交易手续费,`支出,`0.07,`112.23,`system,`,`01JD3Q9W8XK2V5N7R4T6Y0ABCD
资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额
`2,`1,`12.30,`1,`0.07
";

const ALIPAY_TRADES: &str = "\
#支付宝业务明细查询
#账号：[20880000000000010156]
#起始日期：[2026年11月17日 00:00:00]   终止日期：[2026年11月18日 00:00:00]
#-----------------------------------------业务明细列表----------------------------------------
支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,订单金额（元）,商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,退款批次号/请求号,服务费（元）,分润（元）,备注
2026111722001400001\t,01KA0000000000000000000000\t,交易,马克杯 \t,2026-11-17 10:00:00,2026-11-17 10:00:05,\t,\t,\t,\t,a**(138****0000)\t,12.30,12.30,0.00,0.00,0.00,0.00,0.00,\t,0.00,0.00,\t,-0.07,0.00,\t
2026111722001400001\t,01KA0000000000000000000000\t,退款,马克杯 \t,2026-11-17 10:00:00,2026-11-17 23:59:59,\t,\t,\t,\t,a**(138****0000)\t,-6.00,-6.00,0.00,0.00,0.00,0.00,0.00,\t,0.00,0.00,01KA0000000000000000000001\t,0.03,0.00,\t
#-----------------------------------------业务明细列表结束------------------------------------
#交易合计：1笔，商家实收共12.30元，商家优惠共0.00元
#退款合计：1笔，商家实收退款共-6.00元，商家优惠退款共0.00元
#导出时间：[2026年11月18日 06:27:10]
";

pub fn seeds() -> Vec<Seed> {
    let file = |first: &str, bytes: &[u8]| [format!("{first}\n").as_bytes(), bytes].concat();
    let gbk = GBK.encode(ALIPAY_TRADES).0;
    vec![
        ("wechatpay-trades".to_owned(), file("wechatpay trades", WECHAT_TRADES.as_bytes())),
        ("wechatpay-funds".to_owned(), file("wechatpay funds", WECHAT_FUNDS.as_bytes())),
        ("alipay-trades".to_owned(), file("alipay trades", &gbk)),
    ]
}
