//! How simulated providers can misbehave: named faults, set for one order or for everything that is new. Each provider
//! says which of them it knows.

use serde::{Deserialize, Serialize};

use crate::lang::Text;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident $code:literal $zh:literal $en:literal;)*) => {
        /// One way to misbehave. Codes are append-only and never renamed; so is the order.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault { $($(#[$doc])* $name,)* }

        impl Fault {
            pub const ALL: &[Fault] = &[$(Fault::$name,)*];

            pub const fn code(self) -> &'static str {
                match self { $(Fault::$name => $code,)* }
            }

            /// What it does, for the page that switches it on.
            pub const fn text(self) -> Text {
                match self { $(Fault::$name => Text::new($zh, $en),)* }
            }
        }
    };
}

faults! {
    /// Notifications are never sent.
    LoseNotification "lose_notification" "通知丢失" "Notifications get lost";
    /// Every notification is sent twice at the same moment.
    DoubleNotification "double_notification" "通知重复发送" "Notifications come twice";
    /// The notification of the payment comes a minute late, behind those of later events.
    DelayNotification "delay_notification" "支付通知晚到一分钟" "The payment's notification comes a minute late";
    /// Notifications are signed with a key that is not the provider's.
    ForgeNotification "forge_notification" "通知签名是伪造的" "Notifications carry a forged signature";
    /// Genuine notifications name one unit less than was paid; a query tells the truth.
    MisstateAmount "misstate_amount" "通知金额少一分" "Notifications name a wrong amount";
    /// The first answers are "too many requests", and nothing is done.
    Throttle "throttle" "提示请求过于频繁" "Answers: too many requests";
    /// The first answers are server errors, and nothing is done.
    AnswerError "answer_error" "返回服务器错误，未执行" "Answers: server error, nothing done";
    /// The first answers are server errors, although what was asked is done.
    AnswerErrorAfterDoing "answer_error_after_doing" "返回服务器错误，其实已执行" "Answers: server error, done all the same";
    /// The first answers come after everybody's time-out, although what was asked is done.
    AnswerLate "answer_late" "已执行，但答复超时" "Does it, but answers too late";
    /// The first answers are unsigned rubbish, although what was asked is done.
    AnswerRubbish "answer_rubbish" "已执行，但答复是乱码" "Does it, but answers rubbish";
    /// A closed order takes money all the same, some seconds later.
    PayAfterClose "pay_after_close" "关单后仍然收款" "Takes money after closing";
    /// Refunds take a while.
    RefundSlow "refund_slow" "退款处理较慢" "Refunds take a while";
    /// Refunds take a while and then fail.
    RefundAbnormal "refund_abnormal" "退款最终失败" "Refunds fail in the end";
    /// Refunds stay under way for days.
    RefundStuck "refund_stuck" "退款卡住好几天" "Refunds are stuck for days";
    /// The payer's card is gone, so refunds to it need somebody's help.
    CardClosed "card_closed" "付款人的银行卡已注销，退款异常" "The payer's card is closed: refunds need help";
    /// The merchant's balance does not cover refunds.
    BalanceShort "balance_short" "商户余额不足，退不了款" "The merchant's balance does not cover refunds";
    /// Every answer takes three seconds more.
    AnswerSlow "answer_slow" "答复慢三秒" "Answers take three seconds longer";
    /// The connection ends without an answer, although what was asked is done.
    AnswerCut "answer_cut" "已执行，但连接中断" "Does it, but the connection breaks";
    /// Answers carry no signature.
    AnswerUnsigned "answer_unsigned" "答复没有签名" "Answers carry no signature";
    /// Answers are changed after they were signed.
    AnswerTampered "answer_tampered" "答复在路上被改动" "Answers are changed on their way";
    /// Answers are signed on purpose with what is no signature, to see who notices.
    ProbeAnswer "probe_answer" "答复带签名探测" "Answers carry a signature probe";
    /// Each notification comes first with what is no signature, to see who notices, and properly afterwards.
    ProbeNotification "probe_notification" "通知先带签名探测" "Notifications begin with a signature probe";
    /// Notifications wait until a later one has overtaken them.
    ReorderNotification "reorder_notification" "通知顺序颠倒" "Notifications come in the wrong order";
    /// The provider's clock is ten minutes ahead in what it signs.
    ClockSkew "clock_skew" "渠道时钟快十分钟" "The provider's clock is ten minutes fast";
    /// What is signed is signed with the newest key, which the merchant may not have fetched yet.
    NewKey "new_key" "改用新证书签名" "Signs with its new certificate";
    /// Half of the notifications are signed with the kind of key that the merchant does not name.
    MixedKeys "mixed_keys" "通知的签名密钥灰度切换" "Notifications are signed with either kind of key";
    /// Bills leave out their first row.
    BillRowMissing "bill_row_missing" "账单少一行" "Bills miss a row";
    /// Bills have a row of an order that nobody made.
    BillRowExtra "bill_row_extra" "账单多一行" "Bills have a row too many";
    /// The first row of a bill names one unit more.
    BillRowAltered "bill_row_altered" "账单金额不对" "Bills name a wrong amount";
    /// Bills are not ready yet.
    BillLate "bill_late" "账单还没生成" "Bills are late";
    /// The file is not the one whose hash was told.
    BillHashWrong "bill_hash_wrong" "账单哈希不符" "The bill's hash is wrong";
    /// The file ends in the middle.
    BillCut "bill_cut" "账单下载不完整" "Bills are cut short";
    /// The address of a bill is dead when it is called.
    BillLinkDead "bill_link_dead" "账单链接已过期" "The bill's link has expired";
    /// A payer who is asked for the password after showing a code takes two minutes: longer than shops wait.
    PasswordLate "password_late" "付款码：顾客两分钟后才输密码" "Payment codes: the password takes two minutes";
}

impl Fault {
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|fault| fault.code() == code)
    }

    const fn bit(self) -> u64 {
        1 << self as u32
    }
}

/// A set of faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults(u64);

impl Faults {
    pub const NONE: Faults = Faults(0);

    pub const fn with(self, fault: Fault) -> Self {
        Self(self.0 | fault.bit())
    }

    pub const fn has(self, fault: Fault) -> bool {
        self.0 & fault.bit() != 0
    }

    pub fn iter(self) -> impl Iterator<Item = Fault> {
        Fault::ALL.iter().copied().filter(move |fault| self.has(*fault))
    }
}

/// Faults of an answer's signature, which end as other troubled answers do.
const SIGNATURE_FAULTS: [Fault; 3] = [Fault::AnswerUnsigned, Fault::AnswerTampered, Fault::ProbeAnswer];

impl Faults {
    /// What is left after so many troubled answers about one number.
    #[must_use]
    pub fn after_troubles(self, troubled: u32) -> Self {
        let over = troubled >= TROUBLED_ANSWERS_MAX;
        self.iter().filter(|fault| !over || !SIGNATURE_FAULTS.contains(fault)).collect()
    }
}

impl FromIterator<Fault> for Faults {
    fn from_iter<I: IntoIterator<Item = Fault>>(faults: I) -> Self {
        faults.into_iter().fold(Self::NONE, Self::with)
    }
}

/// So many answers about one order are troubled; then they are proper, so that everything can be found out in the end.
pub const TROUBLED_ANSWERS_MAX: u32 = 2;

/// What becomes of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answering {
    Properly,
    /// Nothing is done; the answer is a signed FREQUENCY_LIMITED.
    Throttled,
    /// Nothing is done; the answer is a signed SYSTEM_ERROR.
    ErrorInstead,
    /// Done; the answer is a bare 502, as from a proxy.
    ErrorAfter,
    /// Done; the answer is proper but comes after every time-out.
    TooLate,
    /// Done; the answer is no JSON and has no signature.
    Rubbish,
    /// Done; the connection ends without an answer.
    Cut,
}

impl Answering {
    /// How to answer about an order that has had so many troubled answers already.
    pub fn choose(faults: Faults, troubled: u32) -> Self {
        if troubled >= TROUBLED_ANSWERS_MAX {
            return Answering::Properly;
        }
        [
            (Fault::Throttle, Answering::Throttled),
            (Fault::AnswerError, Answering::ErrorInstead),
            (Fault::AnswerErrorAfterDoing, Answering::ErrorAfter),
            (Fault::AnswerLate, Answering::TooLate),
            (Fault::AnswerRubbish, Answering::Rubbish),
            (Fault::AnswerCut, Answering::Cut),
        ]
        .into_iter()
        .find(|(fault, _)| faults.has(*fault))
        .map_or(Answering::Properly, |(_, answering)| answering)
    }

    /// Whether what was asked is carried out.
    pub const fn does_it(self) -> bool {
        match self {
            Answering::Properly | Answering::ErrorAfter | Answering::TooLate | Answering::Rubbish | Answering::Cut => {
                true
            }
            Answering::Throttled | Answering::ErrorInstead => false,
        }
    }
}
