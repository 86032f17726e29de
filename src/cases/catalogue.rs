//! The list of cases, and the list of faults that they can find, each in both languages. Both lists are append-only,
//! because reports that were kept name their lines by place.

use serde::{Deserialize, Serialize};

use crate::lang::Text;

/// Chapters of `/docs/api` that a fault leads to.
mod chapter {
    pub const CALLBACKS: &str = "/docs/api#callbacks";
    pub const ENDPOINTS: &str = "/docs/api#webhooks";
    pub const RULES: &str = "/docs/api#rules";
    pub const TEST: &str = "/docs/api#test";
}

/// What a case is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    Reach,
    Payments,
    Refunds,
    Callbacks,
    Books,
}

impl Group {
    pub const ALL: [Group; 5] = [Group::Reach, Group::Payments, Group::Refunds, Group::Callbacks, Group::Books];

    pub const fn code(self) -> &'static str {
        match self {
            Group::Reach => "reach",
            Group::Payments => "payments",
            Group::Refunds => "refunds",
            Group::Callbacks => "callbacks",
            Group::Books => "books",
        }
    }

    pub const fn title(self) -> Text {
        match self {
            Group::Reach => Text::new("接通", "Reaching the shop"),
            Group::Payments => Text::new("收款", "Payments"),
            Group::Refunds => Text::new("退款", "Refunds"),
            Group::Callbacks => Text::new("回调变体", "Callbacks as they come in life"),
            Group::Books => Text::new("账本", "Books"),
        }
    }
}

macro_rules! cases {
    ($($variant:ident $code:literal $group:ident, $zh:literal $en:literal, $does_zh:literal $does_en:literal, $wants_zh:literal $wants_en:literal;)*) => {
        /// One case, in the order in which they run. Codes are never renamed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Code { $($variant,)* }

        impl Code {
            pub const ALL: &[Code] = &[$(Code::$variant,)*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $code,)* }
            }

            pub fn parse(code: &str) -> Option<Self> {
                match code { $($code => Some(Code::$variant),)* _ => None }
            }

            pub const fn group(self) -> Group {
                match self { $(Code::$variant => Group::$group,)* }
            }

            pub const fn title(self) -> Text {
                match self { $(Code::$variant => Text::new($zh, $en),)* }
            }

            /// What it does.
            pub const fn does(self) -> Text {
                match self { $(Code::$variant => Text::new($does_zh, $does_en),)* }
            }

            /// What has to come of it.
            pub const fn wants(self) -> Text {
                match self { $(Code::$variant => Text::new($wants_zh, $wants_en),)* }
            }
        }
    };
}

cases! { // variant, code, group, title (zh, en), what it does (zh, en), what is expected (zh, en)
    Endpoint "endpoint" Reach,
        "回调地址" "Callback address",
        "查看测试模式的回调地址。" "Looks at the callback addresses of test mode.",
        "至少一个已启用，并订阅付款成功、迟到付款和退款结果。"
        "At least one is switched on and subscribes to paid and late payments and to the outcomes of refunds.";
    Delivery "delivery" Reach,
        "普通回调" "A plain callback",
        "付清一笔订单，发送一次签名正确的 payment.paid。" "Pays an order and sends its payment.paid with a right signature.",
        "5 秒内返回 2xx。不认识的订单号也要返回 2xx。"
        "A 2xx within 5 seconds, also for an order number that the shop does not know.";
    Paid "paid" Payments,
        "正常支付" "Paid",
        "每种钱包各付清一笔订单。" "Pays an order with each wallet that test mode offers.",
        "订单变为已付款，网店接受全部回调。" "The payment is paid, and the shop takes every callback.";
    Declined "declined" Payments,
        "失败后重付" "Declined, then paid",
        "第一次付款失败，换一次再付清。" "The first try is declined, the second pays.",
        "只记一次收款，只通知一次付款成功。" "The money is booked once, and payment.paid is told once.";
    Canceled "canceled" Payments,
        "撤销订单" "Canceled",
        "下单后由网店撤销。" "The shop cancels an order before it is paid.",
        "渠道先关单，再通知 payment.canceled；账上没有钱。"
        "The channel closes the order, payment.canceled is told, nothing is booked.";
    Expired "expired" Payments,
        "超时关单" "Expired",
        "没有人付款，订单到期。" "Nobody pays until the time is over.",
        "渠道确认关单后通知 payment.expired；账上没有钱。"
        "payment.expired is told once the channel has confirmed the end; nothing is booked.";
    Late "late" Payments,
        "关单后到账" "Paid after the end",
        "订单到期关闭，随后款项才到。" "The order expires, and the money comes afterwards.",
        "这笔钱不丢：按商户设置入账、退回或留待处理，网店接受 payment.late。"
        "The money is not lost: it is booked, returned or held as the merchant has set, and the shop takes payment.late.";
    LostNotification "lost_notification" Payments,
        "渠道通知丢失" "The channel's notification is lost",
        "客人已付款，渠道没有通知。" "The customer pays, and the channel does not tell.",
        "钱匣自己查到，网店照常收到 payment.paid。"
        "Coffer finds it by asking, and the shop is told payment.paid all the same.";
    DuplicateNotification "duplicate_notification" Payments,
        "渠道重复通知" "The channel tells twice",
        "同一笔付款，渠道通知两次。" "The channel sends its notification of one payment twice.",
        "只记一次账，只产生一个 payment.paid。" "It is booked once, and there is one payment.paid.";
    WrongAmount "wrong_amount" Payments,
        "金额不符" "A wrong amount",
        "渠道报告的金额与订单不同。" "The channel reports another amount than was asked for.",
        "不入账、不通知付款成功，列为待办。" "Nothing is booked, payment.paid is not told, and it waits for a person.";
    ChannelOutage "channel_outage" Payments,
        "渠道网络异常" "The channel breaks down",
        "客人已付款，渠道接口连续出错，通知也丢失。" "The customer pays while the channel answers with errors and tells nothing.",
        "结果未知时保持原状，恢复后补记为已付款。"
        "While nothing is known nothing changes; when the channel is back, the payment is paid.";
    Barcode "barcode" Payments,
        "付款码" "Payment code",
        "扫客人出示的付款码，客人输入密码后付清。" "Charges a code that the customer shows; a password is typed first.",
        "等待输入密码，不重复扣款，最后为已付款。" "Coffer waits for the password, charges once, and the payment is paid.";
    BarcodeCanceled "barcode_canceled" Payments,
        "付款码撤销" "Payment code, reversed",
        "客人没有输入密码，收银员撤销。" "The customer does not type the password, and the cashier cancels.",
        "渠道撤销后为已取消；账上没有钱。" "The charge is reversed, the payment is canceled, nothing is booked.";
    Refund "refund" Refunds,
        "全额退款" "A whole refund",
        "付清后全额退款。" "Pays an order and gives all of it back.",
        "退款成功，网店接受 refund.succeeded。" "The refund succeeds, and the shop takes refund.succeeded.";
    PartialRefunds "partial_refunds" Refunds,
        "部分退款" "Partial refunds",
        "分两次退完，再多退一分。" "Gives the amount back in two parts, then asks for a cent more.",
        "两笔都成功，多退的被拒绝。" "Both succeed, and what is too much is refused.";
    RefundFailed "refund_failed" Refunds,
        "退款失败后重退" "A refund that fails",
        "第一笔退款在渠道处理后失败，再退一次。" "The channel works on a refund and fails; it is asked for again.",
        "失败的金额可以再退，网店接受 refund.failed 和 refund.succeeded。"
        "The amount can be refunded again, and the shop takes refund.failed and refund.succeeded.";
    Repeated "repeated" Callbacks,
        "重复回调" "The same event again",
        "把同一个事件再发两次。" "Sends an event two more times.",
        "每次都返回 2xx，不重复发货。" "A 2xx each time, and nothing is done twice.";
    Parallel "parallel" Callbacks,
        "并发回调" "The same event at the same time",
        "同时发送三份同一个事件。" "Sends three copies of an event at once.",
        "全部返回 2xx。" "A 2xx for each.";
    Reordered "reordered" Callbacks,
        "乱序回调" "Events out of order",
        "付款成功之后，再送到更早的 payment.processing。" "After payment.paid the older payment.processing arrives.",
        "返回 2xx，已付款的订单不变回未付款（请在网店核对）。"
        "A 2xx, and a paid order stays paid (look at it in the shop).";
    Forged "forged" Callbacks,
        "伪造签名" "A forged signature",
        "用别的密钥签名，通知订单已付款。" "Says that an order is paid, signed with a foreign key.",
        "返回 401 或 400。" "A 401 or 400.";
    Unsigned "unsigned" Callbacks,
        "没有签名" "No signature",
        "不带签名，通知订单已付款。" "Says that an order is paid, with no signature at all.",
        "返回 401 或 400。" "A 401 or 400.";
    Tampered "tampered" Callbacks,
        "篡改内容" "Changed on the way",
        "签名之后改动正文，再改动 webhook-id。" "Changes the body after it was signed, then the webhook-id.",
        "两次都返回 401 或 400。" "A 401 or 400 both times.";
    Stale "stale" Callbacks,
        "过期重放" "An old message",
        "发送签名正确、但十分钟前的消息。" "Sends a message that was rightly signed ten minutes ago.",
        "返回 401 或 400。" "A 401 or 400.";
    UnknownEvent "unknown_event" Callbacks,
        "未知事件" "An unknown event",
        "发送一种网店不认识的事件。" "Sends a type of event that the shop does not know.",
        "返回 2xx，不处理。" "A 2xx, and nothing is done.";
    UnknownFields "unknown_fields" Callbacks,
        "未知字段" "Unknown fields",
        "在正文里加上新的字段。" "Adds new fields to the body.",
        "返回 2xx，忽略它们。" "A 2xx; they are ignored.";
    Large "large" Callbacks,
        "大正文" "A large body",
        "附带大约 64 kB 的 metadata。" "Carries nearly 64 kB of metadata, as a payment may.",
        "返回 2xx。" "A 2xx.";
    Books "books" Books,
        "账目核对" "The books agree",
        "重新计算测试模式的全部账目。" "Recomputes all books of test mode.",
        "每一分钱都有来源和去向。" "Every cent has a source and a place.";
}

macro_rules! faults {
    ($($(#[$doc:meta])* $variant:ident $code:literal $chapter:ident, $zh:literal $en:literal;)*) => {
        /// Something that was found, with what to do about it. Codes are never renamed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Fault { $($(#[$doc])* $variant,)* }

        impl Fault {
            pub const ALL: &[Fault] = &[$(Fault::$variant,)*];

            pub const fn code(self) -> &'static str {
                match self { $(Fault::$variant => $code,)* }
            }

            pub fn parse(code: &str) -> Option<Self> {
                match code { $($code => Some(Fault::$variant),)* _ => None }
            }

            /// What to fix, in a sentence or two.
            pub const fn fix(self) -> Text {
                match self { $(Fault::$variant => Text::new($zh, $en),)* }
            }

            /// The chapter of the documentation that says more, as a path.
            pub const fn chapter(self) -> &'static str {
                match self { $(Fault::$variant => chapter::$chapter,)* }
            }
        }
    };
}

faults! { // variant, code, chapter, what to fix (zh, en)
    NoEndpoint "no_endpoint" ENDPOINTS,
        "还没有可用的回调地址。请在“回调”里添加并启用，或运行时指定 callback_url。"
        "There is no callback address. Add one under Callbacks and switch it on, or name a callback_url for the run.";
    EventNotWanted "event_not_wanted" ENDPOINTS,
        "没有地址订阅这个事件，网店不会知道。请在回调地址里勾选它。"
        "No address subscribes to this event, so the shop would never know. Tick it at the callback address.";
    NoAnswer "no_answer" CALLBACKS,
        "网店没有应答。请先让这个地址能从钱匣访问，并返回 2xx。"
        "The shop did not answer. Make the address reachable from Coffer, and answer 2xx.";
    TimedOut "timed_out" CALLBACKS,
        "15 秒内没有应答。请先保存消息并返回 2xx，再做慢的事情（发货、发邮件）。"
        "No answer within 15 seconds. Store the message, answer 2xx, and do what is slow (shipping, mail) afterwards.";
    Slow "slow" CALLBACKS,
        "应答太慢，高峰时会超时。请先保存消息并返回 2xx，再做慢的事情。"
        "The answer is slow and will time out on a busy day. Store the message, answer 2xx, and do what is slow afterwards.";
    Redirects "redirects" CALLBACKS,
        "地址发生跳转，回调不会跟随。请填写最终地址（注意 https、www 和结尾的斜杠）。"
        "The address redirects, and callbacks do not follow. Enter the final address (mind https, www and the slash at the end).";
    Crashes "crashes" CALLBACKS,
        "处理正常回调时程序出错。请查看网店的错误日志；不认识的订单也要返回 2xx。"
        "The handler failed on a plain callback. See the shop's error log; an order that it does not know deserves a 2xx too.";
    Refuses "refuses" CALLBACKS,
        "签名正确的回调没有得到 2xx。请核对密钥和验签；不认识的订单也要返回 2xx。"
        "A rightly signed callback was not answered 2xx. Check the secret and the verification; an order that the shop does not know deserves a 2xx too.";
    WebPage "web_page" CALLBACKS,
        "返回了 2xx，但内容是网页。请确认地址指向回调程序，而不是首页或登录页。"
        "It answered 2xx with a web page. Make sure that the address is your handler and not a home or login page.";
    RepeatRefused "repeat_refused" CALLBACKS,
        "重复的事件没有得到 2xx。请按 webhook-id 去重：见过的直接返回 200，不再处理。"
        "An event that came again was not answered 2xx. Remember webhook-id: answer 200 to those you have seen, and do nothing.";
    ParallelRefused "parallel_refused" CALLBACKS,
        "同时到达的同一事件有一份失败。请在同一个数据库事务里登记 webhook-id，唯一键冲突时也返回 200。"
        "One of several copies at the same time failed. Record webhook-id in one transaction, and answer 200 when it is there already.";
    OrderRefused "order_refused" CALLBACKS,
        "较早的事件晚到时没有得到 2xx。请比较对象的 version，旧的忽略并返回 200。"
        "An older event that came later was not answered 2xx. Compare the object's version; ignore older ones and answer 200.";
    ForgeryBelieved "forgery_believed" CALLBACKS,
        "严重：网店接受了伪造的付款通知，任何人都能让订单变成已付。请用回调密钥对原始正文验签，不符就返回 401。"
        "Serious: the shop believed a forged notice, so anybody can have an order marked paid. Verify the signature over the raw body with your secret, and answer 401 if it is wrong.";
    UnsignedBelieved "unsigned_believed" CALLBACKS,
        "严重：没有签名的付款通知被接受。缺少 webhook-signature 时必须返回 401。"
        "Serious: a notice without any signature was believed. Answer 401 when webhook-signature is missing.";
    TamperedBelieved "tampered_believed" CALLBACKS,
        "严重：改动过的消息被接受。签名必须覆盖 webhook-id、webhook-timestamp 和收到的原始正文。"
        "Serious: a message that was changed was believed. The signature covers webhook-id, webhook-timestamp and the raw body as received; check all three.";
    StaleBelieved "stale_believed" CALLBACKS,
        "过期的消息被接受，截获的回调可以被重放。webhook-timestamp 相差超过 5 分钟就返回 401。"
        "An old message was believed, so a captured callback can be replayed. Answer 401 when webhook-timestamp is more than 5 minutes away.";
    ForgeryUnclear "forgery_unclear" CALLBACKS,
        "不可信的消息没有被接受，但应答不明确。请立即返回 401，不要让程序出错、跳转或断开。"
        "A message that must not be believed was turned down in an unclear way. Answer 401 at once instead of failing, redirecting or hanging up.";
    UnknownEventRefused "unknown_event_refused" CALLBACKS,
        "不认识的事件没有得到 2xx，以后新增的事件会让地址被停用。请忽略并返回 200。"
        "An event of an unknown type was not answered 2xx; new types would get the address switched off. Ignore them and answer 200.";
    UnknownFieldsRefused "unknown_fields_refused" RULES,
        "正文多了字段就失败。请忽略不认识的字段，新版本会增加字段。"
        "New fields in the body make it fail. Ignore fields that you do not know; later versions add some.";
    LargeRefused "large_refused" CALLBACKS,
        "较大的正文没有被接受。请把这个路径的请求体上限放宽到 128 kB 以上。"
        "A larger body was not taken. Allow at least 128 kB for request bodies on this path.";
    Paused "paused" CALLBACKS,
        "这个地址连续失败，钱匣暂停了发送。先修好上面的问题，再运行一次。"
        "The address failed several times in a row, so Coffer pauses it. Fix what is found above, then run again.";
    NotDelivered "not_delivered" CALLBACKS,
        "回调在限定时间内没有发出。请看“回调”页里这个地址的状态。"
        "The callback was not sent in time. See the state of this address under Callbacks.";
    /// From here on they are Coffer's own, or the installation's.
    WrongState "wrong_state" TEST,
        "钱匣一侧：支付没有走到应有的状态。请把报告发给钱匣的维护者。"
        "On Coffer's side: the payment did not come to the state that it should. Please send this report to Coffer's maintainers.";
    WrongEvents "wrong_events" TEST,
        "钱匣一侧：事件的数量不对。请把报告发给钱匣的维护者。"
        "On Coffer's side: the events are not those expected. Please send this report to Coffer's maintainers.";
    WrongBooks "wrong_books" TEST,
        "钱匣一侧：账目对不上。请运行 coffer verify，并把报告发给钱匣的维护者。"
        "On Coffer's side: the books disagree. Run coffer verify, and please send this report to Coffer's maintainers.";
    Stuck "stuck" TEST,
        "模拟渠道没有在限定时间内应答。请看日志；机器太忙时可以再运行一次。"
        "The simulated channel did not answer in time. See the log; if the machine is busy, run again.";
}

impl Fault {
    /// Strangers can use it to have goods for nothing.
    pub const fn is_serious(self) -> bool {
        match self {
            Fault::ForgeryBelieved | Fault::UnsignedBelieved | Fault::TamperedBelieved | Fault::StaleBelieved => true,
            Fault::NoEndpoint
            | Fault::EventNotWanted
            | Fault::NoAnswer
            | Fault::TimedOut
            | Fault::Slow
            | Fault::Redirects
            | Fault::Crashes
            | Fault::Refuses
            | Fault::WebPage
            | Fault::RepeatRefused
            | Fault::ParallelRefused
            | Fault::OrderRefused
            | Fault::ForgeryUnclear
            | Fault::UnknownEventRefused
            | Fault::UnknownFieldsRefused
            | Fault::LargeRefused
            | Fault::Paused
            | Fault::NotDelivered
            | Fault::WrongState
            | Fault::WrongEvents
            | Fault::WrongBooks
            | Fault::Stuck => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_name_one_line_each() {
        let cases: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        let faults: BTreeSet<_> = Fault::ALL.iter().map(|fault| fault.code()).collect();
        assert_eq!((cases.len(), faults.len()), (Code::ALL.len(), Fault::ALL.len()));
        assert!(Code::ALL.iter().all(|code| Code::parse(code.as_str()) == Some(*code)));
        assert!(Fault::ALL.iter().all(|fault| Fault::parse(fault.code()) == Some(*fault)));
    }

    #[test]
    fn cases_of_a_group_stand_together() {
        assert!(Code::ALL.is_sorted_by_key(|code| code.group()));
        assert!(Group::ALL.iter().all(|group| Code::ALL.iter().any(|code| code.group() == *group)));
    }

    #[test]
    fn sentences_are_whole_in_both_languages() {
        for text in Fault::ALL.iter().map(|fault| fault.fix()).chain(Code::ALL.iter().map(|code| code.wants())) {
            assert!(text.zh.ends_with('。') && text.en.ends_with('.'), "{text:?}");
        }
    }
}
