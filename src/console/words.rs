//! Words and shapes for states: one place, so that every room says the same thing about the same state.
//!
//! Functions take `impl Borrow<T>`, because a template hands over its fields by reference and results by value.

use std::borrow::Borrow;
use std::fmt;

use askama::filters::HtmlSafe;

use crate::audit::Action;
use crate::channels::errors::explain;
use crate::domain::approval::{Proposal, ProposalState};
use crate::domain::case::{CaseKind, CaseState};
use crate::domain::endpoint::{DeliveryState, EndpointState};
use crate::domain::event::EventType;
use crate::domain::ids::UserId;
use crate::domain::method::Method;
use crate::domain::payment::{AttemptState, Payment, PaymentState, Reason};
use crate::domain::redirect::Destination;
use crate::domain::refund::RefundState;
use crate::domain::time::Timestamp;
use crate::domain::trouble::Trouble;
use crate::flows::Refusal;
use crate::lang::{Lang, Text};
use crate::ledger;
use crate::web::Page;

/// A state as a word, a shape and a colour. Only words of this file get in, so nothing has to be escaped.
#[derive(Clone, Copy)]
pub struct Badge {
    shape: &'static str,
    word: &'static str,
}

impl fmt::Display for Badge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#"<span class="badge {}">{}</span>"#, self.shape, self.word)
    }
}

impl HtmlSafe for Badge {}

const fn badge(lang: Lang, shape: &'static str, zh: &'static str, en: &'static str) -> Badge {
    Badge { shape, word: lang.t(zh, en) }
}

pub fn state_word(state: impl Borrow<PaymentState>, lang: impl Borrow<Lang>) -> &'static str {
    let (state, lang) = (*state.borrow(), *lang.borrow());
    match state {
        PaymentState::Open => lang.t("待付款", "Open"),
        PaymentState::Processing => lang.t("付款中", "Processing"),
        PaymentState::Paid => lang.t("已收款", "Paid"),
        PaymentState::Expired => lang.t("已过期", "Expired"),
        PaymentState::Canceled => lang.t("已取消", "Canceled"),
        PaymentState::Failed => lang.t("未成功", "Failed"),
    }
}

/// A payment's state, with what was given back.
pub fn payment_badge(payment: &Payment, lang: impl Borrow<Lang>) -> Badge {
    let lang = *lang.borrow();
    let shape = match payment.state {
        PaymentState::Open | PaymentState::Expired | PaymentState::Canceled => "idle",
        PaymentState::Processing => "now",
        PaymentState::Failed => "bad",
        PaymentState::Paid if payment.refunded_minor == 0 => "ok",
        PaymentState::Paid if payment.refunded_minor >= payment.amount.minor() => {
            return badge(lang, "idle", "已全额退款", "Refunded");
        }
        PaymentState::Paid => return badge(lang, "ok", "部分退款", "Partly refunded"),
    };
    Badge { shape, word: state_word(payment.state, lang) }
}

pub fn attempt_badge(state: impl Borrow<AttemptState>, lang: impl Borrow<Lang>) -> Badge {
    let lang = *lang.borrow();
    match *state.borrow() {
        AttemptState::Created => badge(lang, "now", "提交中", "Being sent"),
        AttemptState::Pending => badge(lang, "now", "等待付款", "Waiting"),
        AttemptState::Paid => badge(lang, "ok", "已付款", "Paid"),
        AttemptState::Failed => badge(lang, "bad", "被拒绝", "Declined"),
        AttemptState::Closed => badge(lang, "idle", "已关闭", "Closed"),
    }
}

pub fn refund_word(state: impl Borrow<RefundState>, lang: impl Borrow<Lang>) -> &'static str {
    let (state, lang) = (*state.borrow(), *lang.borrow());
    match state {
        RefundState::Pending => lang.t("已受理", "Accepted"),
        RefundState::Processing => lang.t("退款中", "On its way"),
        RefundState::Succeeded => lang.t("已退款", "Refunded"),
        RefundState::Failed => lang.t("退款失败", "Failed"),
        RefundState::Undeliverable => lang.t("退款异常", "Blocked"),
        RefundState::Returned => lang.t("待付顾客", "To pay by hand"),
    }
}

pub fn refund_badge(state: impl Borrow<RefundState>, lang: impl Borrow<Lang>) -> Badge {
    let (state, lang) = (*state.borrow(), *lang.borrow());
    let shape = match state {
        RefundState::Pending | RefundState::Processing => "now",
        RefundState::Succeeded => "ok",
        RefundState::Failed | RefundState::Undeliverable => "bad",
        RefundState::Returned => "warn",
    };
    Badge { shape, word: refund_word(state, lang) }
}

pub fn destination_word(to: impl Borrow<Destination>, lang: impl Borrow<Lang>) -> &'static str {
    let (to, lang) = (*to.borrow(), *lang.borrow());
    match to {
        Destination::CustomerCard => lang.t("顾客的银行卡", "A bank card of the customer"),
        Destination::Merchant => lang.t("商户自己的账户", "The merchant's own account"),
    }
}

pub fn delivery_word(state: impl Borrow<DeliveryState>, lang: impl Borrow<Lang>) -> &'static str {
    let (state, lang) = (*state.borrow(), *lang.borrow());
    match state {
        DeliveryState::Pending => lang.t("待送达", "Waiting"),
        DeliveryState::Delivered => lang.t("已送达", "Delivered"),
        DeliveryState::Dead => lang.t("已放弃", "Given up"),
        DeliveryState::Held => lang.t("已暂存", "Held"),
    }
}

pub fn delivery_badge(state: impl Borrow<DeliveryState>, lang: impl Borrow<Lang>) -> Badge {
    let (state, lang) = (*state.borrow(), *lang.borrow());
    let shape = match state {
        DeliveryState::Pending => "now",
        DeliveryState::Delivered => "ok",
        DeliveryState::Dead => "bad",
        DeliveryState::Held => "warn",
    };
    Badge { shape, word: delivery_word(state, lang) }
}

pub fn endpoint_badge(state: impl Borrow<EndpointState>, failing: impl Borrow<bool>, lang: impl Borrow<Lang>) -> Badge {
    let (state, failing, lang) = (*state.borrow(), *failing.borrow(), *lang.borrow());
    match (state, failing) {
        (EndpointState::Enabled, false) => badge(lang, "ok", "正常", "Healthy"),
        (EndpointState::Enabled, true) => badge(lang, "warn", "连续失败", "Failing"),
        (EndpointState::Disabled, _) => badge(lang, "idle", "已停用", "Off"),
        (EndpointState::Suspended, _) => badge(lang, "bad", "已自动停用", "Stopped by us"),
    }
}

pub fn method_word(method: impl Borrow<Method>, lang: impl Borrow<Lang>) -> &'static str {
    let (method, lang) = (*method.borrow(), *lang.borrow());
    lang.t(method.name_zh(), method.name_en())
}

/// The name of a fact as it is sent, and what it means.
pub fn event_word(kind: impl Borrow<EventType>, lang: impl Borrow<Lang>) -> &'static str {
    let (kind, lang) = (*kind.borrow(), *lang.borrow());
    match kind {
        EventType::PaymentCreated => lang.t("订单已创建", "Payment created"),
        EventType::PaymentProcessing => lang.t("顾客正在付款", "Customer is paying"),
        EventType::PaymentPaid => lang.t("收款成功", "Payment paid"),
        EventType::PaymentFailed => lang.t("收款未成功", "Payment failed"),
        EventType::PaymentExpired => lang.t("订单已过期", "Payment expired"),
        EventType::PaymentCanceled => lang.t("订单已取消", "Payment canceled"),
        EventType::PaymentLate => lang.t("过期后到账", "Paid late"),
        EventType::RefundCreated => lang.t("退款已受理", "Refund accepted"),
        EventType::RefundSucceeded => lang.t("退款成功", "Refund succeeded"),
        EventType::RefundFailed => lang.t("退款失败", "Refund failed"),
        EventType::RefundUndeliverable => lang.t("退款异常，等商户处理", "Refund blocked"),
        EventType::RefundReturned => lang.t("退款退回商户", "Refund came back to the merchant"),
        EventType::WebhookPing => lang.t("测试通知", "Test event"),
    }
}

/// Why a payment or an attempt ended without money.
pub fn reason_word(reason: impl Borrow<Reason>, lang: impl Borrow<Lang>) -> &'static str {
    let (reason, lang) = (*reason.borrow(), *lang.borrow());
    match reason {
        Reason::Expired => {
            lang.t("超过付款时限，渠道已确认关闭。", "Its time was over, and the channel confirmed that it is closed.")
        }
        Reason::CanceledByMerchant => lang.t("商户取消了订单。", "The shop canceled it."),
        Reason::CanceledByCustomer => lang.t("顾客放弃了付款。", "The customer gave up."),
        Reason::Declined => lang.t("顾客的付款被拒绝。", "The customer's payment was declined."),
        Reason::ChannelRefused => lang.t("渠道拒绝了这笔订单。", "The channel refused the order."),
    }
}

/// What went wrong with a channel, for the shop.
pub fn trouble_text(trouble: &Trouble, lang: impl Borrow<Lang>) -> &'static str {
    explain(trouble).merchant.get(lang)
}

pub fn case_word(kind: impl Borrow<CaseKind>, lang: impl Borrow<Lang>) -> &'static str {
    let (kind, lang) = (*kind.borrow(), *lang.borrow());
    match kind {
        CaseKind::WrongAmount => lang.t("渠道报告的金额不符", "The channel reports another amount"),
        CaseKind::WrongIdentity => {
            lang.t("渠道报告的币种或商户号不符", "The channel reports a currency or merchant that is not ours")
        }
        CaseKind::SecondPayment => lang.t("同一订单付了两次", "One order was paid twice"),
        CaseKind::LatePayment => lang.t("过期后到账，等您决定", "Paid after the end, waiting for your decision"),
        CaseKind::Contradiction => lang.t("渠道前后说法不一", "The channel contradicts itself"),
    }
}

/// Whether the channel's own words tell more than the amounts beside them.
pub fn case_has_words(kind: impl Borrow<CaseKind>) -> bool {
    match kind.borrow() {
        CaseKind::WrongIdentity | CaseKind::Contradiction => true,
        CaseKind::WrongAmount | CaseKind::SecondPayment | CaseKind::LatePayment => false,
    }
}

/// What such a difference means, and where to look before deciding.
pub fn case_advice(kind: impl Borrow<CaseKind>, lang: impl Borrow<Lang>) -> &'static str {
    let (kind, lang) = (*kind.borrow(), *lang.borrow());
    match kind {
        CaseKind::WrongAmount => lang.t(
            "先到渠道后台核对这笔交易的实收金额，再决定。",
            "Look at the channel's own page for what was really paid, then decide.",
        ),
        CaseKind::WrongIdentity => lang.t(
            "渠道报告的不是这笔订单的钱。先到渠道后台核对交易号和商户号。",
            "What the channel reports is not this order's money. Compare transaction and merchant number on its own page.",
        ),
        CaseKind::SecondPayment => lang.t(
            "订单已经付过，多出的这笔应该退给顾客。",
            "The order had been paid, so this money should go back to the customer.",
        ),
        CaseKind::LatePayment => lang.t(
            "订单结束后钱才到。还能发货就入账，不能就退回。",
            "The money came after the order had ended. Book it if you can still deliver, give it back if not.",
        ),
        CaseKind::Contradiction => lang.t(
            "渠道先后说了不同的话。以渠道后台为准，核对后写明结论。",
            "The channel said one thing and then another. Its own page decides: look there and write down what you found.",
        ),
    }
}

pub fn case_badge(state: impl Borrow<CaseState>, lang: impl Borrow<Lang>) -> Badge {
    let lang = *lang.borrow();
    match state.borrow() {
        CaseState::Open => badge(lang, "bad", "待处理", "To decide"),
        CaseState::Refunding(_) => badge(lang, "now", "退回途中", "On its way back"),
        CaseState::Refunded(_) => badge(lang, "ok", "已退回", "Given back"),
        CaseState::Booked => badge(lang, "ok", "已入账", "Booked"),
        CaseState::Closed { .. } => badge(lang, "idle", "已关闭", "Closed"),
    }
}

pub fn proposal_badge(proposal: &Proposal, now: impl Borrow<Timestamp>, lang: impl Borrow<Lang>) -> Badge {
    let lang = *lang.borrow();
    match proposal.state {
        ProposalState::Waiting if proposal.is_waiting(*now.borrow()) => badge(lang, "warn", "等待复核", "Waiting"),
        ProposalState::Approved { .. } => badge(lang, "ok", "已同意", "Approved"),
        ProposalState::Refused { .. } => badge(lang, "idle", "未执行", "Refused"),
        ProposalState::Waiting | ProposalState::Expired { .. } => badge(lang, "idle", "已过期", "Expired"),
    }
}

pub fn posting_word(reason: impl Borrow<ledger::Reason>, lang: impl Borrow<Lang>) -> &'static str {
    let (reason, lang) = (*reason.borrow(), *lang.borrow());
    match reason {
        ledger::Reason::Paid => lang.t("收款入账", "Payment booked"),
        ledger::Reason::Cleared => lang.t("清算", "Cleared"),
        ledger::Reason::RefundAccepted => lang.t("退款占用", "Refund reserved"),
        ledger::Reason::RefundSucceeded => lang.t("退款完成", "Refund completed"),
        ledger::Reason::RefundFailed => lang.t("退款失败，金额退回余额", "Refund failed, money back in the balance"),
        ledger::Reason::RefundReturned => lang.t("退款退到商户账户", "Refund paid into your own account"),
        ledger::Reason::LongReceived => lang.t("长款挂账", "Unexplained money received"),
        ledger::Reason::LongBooked => lang.t("长款补单", "Unexplained money booked"),
        ledger::Reason::LongPaidBack => lang.t("长款退回", "Unexplained money paid back"),
        ledger::Reason::LongPaidElsewhere => lang.t("长款另行退还", "Unexplained money paid back by another way"),
        ledger::Reason::Reversal => lang.t("冲正", "Reversal"),
    }
}

/// Why a use case did not do what was asked, and what to do.
pub fn refusal_text(refusal: &Refusal, page: &Page) -> String {
    let fixed = |zh, en| page.t(zh, en).to_owned();
    match refusal {
        Refusal::PaymentNotFound | Refusal::RefundNotFound | Refusal::EventNotFound | Refusal::EndpointNotFound => {
            fixed("它已经不在了。", "It is no longer there.")
        }
        Refusal::OrderIdReused { .. } | Refusal::RefundIdReused { .. } => fixed(
            "这张表单已经提交过，内容不同。请回到订单看一看。",
            "This form was sent before with other content. Look at the payment.",
        ),
        Refusal::PaymentEnded { state } => match page.zh() {
            true => format!("订单已经是“{}”，不能再改。", state_word(*state, page.lang)),
            false => format!("The payment is “{}” and cannot be changed any more.", state_word(*state, page.lang)),
        },
        Refusal::PaymentNotPaid { .. } => {
            fixed("还没有收到钱，没有可退的。", "No money has been received, so there is nothing to give back.")
        }
        Refusal::RefundTooLarge { left } => match page.zh() {
            true => format!("最多还能退 {}。", left.to_display()),
            false => format!("At most {} can still be refunded.", left.to_display()),
        },
        Refusal::RefundNothingLeft => fixed("已经全部退完或正在退。", "All of it is refunded or on its way."),
        Refusal::CurrencyMismatch { expected } => match page.zh() {
            true => format!("币种应为 {expected}。"),
            false => format!("The currency must be {expected}."),
        },
        Refusal::TooManyRefunds => fixed("一笔收款最多退 50 次。", "One payment can be refunded at most 50 times."),
        Refusal::RefundWindowOver { until } => {
            let day = until.in_zone(page.zone()).strftime("%Y-%m-%d");
            match page.zh() {
                true => format!("渠道只在 {day} 之前接受这笔收款的退款。请用别的办法退给顾客。"),
                false => format!("The channel gave money back until {day}. Pay the customer back another way."),
            }
        }
        Refusal::TooManyAttempts => fixed("换付款方式的次数太多。", "The method was changed too often."),
        Refusal::TooManyEndpoints => fixed("最多 20 个回调地址。", "At most 20 endpoints."),
        Refusal::MethodUnavailable => fixed("没有可用的渠道。", "No channel is available."),
        Refusal::EndpointDisabled { .. } => {
            fixed("回调地址已停用，请先启用。", "The endpoint is off. Switch it on first.")
        }
        Refusal::ExpiryOutOfRange => fixed("有效期超出范围。", "The expiry is out of range."),
        Refusal::RefundFinished { .. } => fixed("退款已经结束。", "The refund has ended."),
        Refusal::RefundNotWaiting { .. } => {
            fixed("这笔退款刚有了新进展，请重新看一遍。", "This refund has moved on. Look at it again.")
        }
        Refusal::CaseNotFound => fixed("没有这个差异。", "There is no such case."),
        Refusal::CaseDecided { .. } => {
            fixed("已有人处理过，或钱正在退回。", "Somebody has decided it, or the money is on its way back.")
        }
        Refusal::DecisionImpossible => fixed("现在不能这样处理。", "This cannot be done now."),
        Refusal::ApprovalNeeded { over } => match page.zh() {
            true => format!("累计退款超过 {}，需要两个人办理。", over.to_display()),
            false => format!("Refunds beyond {} take two persons.", over.to_display()),
        },
        Refusal::ProposalNotFound => fixed("没有这个申请。", "There is no such request."),
        Refusal::ProposalOver => {
            fixed("这个申请已经处理过或已过期。", "This request was decided already, or its time is over.")
        }
        Refusal::OwnProposal => fixed("不能自己复核自己提出的退款。", "Nobody approves what he proposed himself."),
        Refusal::ProposalChanged => {
            fixed("申请的内容和您看到的不一样，请重新看一遍。", "The request is not what you saw. Look at it again.")
        }
        Refusal::TooManyProposals => {
            fixed("等待复核的太多，先处理一些。", "Too many requests wait. Decide some of them first.")
        }
    }
}

/// What was just done, told once after the redirect: `?done=` carries the code, and only these codes say anything.
pub fn done_text(code: &str, lang: Lang) -> Option<&'static str> {
    const DONE: [(&str, Text); 31] = [
        ("proposed", Text::new("已提交，等另一位有退款权限的人复核", "Waiting for another person who may refund")),
        ("refused", Text::new("没有退款，申请已结束", "Nothing was refunded; the request is over")),
        (
            "resent_part",
            Text::new(
                "已重新发送 10000 条，后面还有，请再点一次",
                "10,000 are being sent again, and there are more: press it once more",
            ),
        ),
        ("channel_added", Text::new("已保存，还差一步：测试连接", "Saved. One step is left: test the connection")),
        (
            "channel_keys",
            Text::new("密钥已更换，请测试一下连接", "The new keys are in use; please test the connection"),
        ),
        (
            "tested_just_now",
            Text::new("刚刚测过，请等十秒再测", "It was tested just now; wait ten seconds before the next test"),
        ),
        ("decided", Text::new("已按您的决定处理", "Done as you decided")),
        ("redirected", Text::new("已告诉渠道，等待结果", "The channel was told; waiting for the outcome")),
        (
            "paid_outside",
            Text::new("已记下：顾客已收到钱，退款完成", "Noted: the customer has the money, the refund is done"),
        ),
        ("refunded", Text::new("退款已受理", "Refund accepted")),
        ("synced", Text::new("已向渠道查询", "The channel is being asked")),
        ("canceled", Text::new("已请求取消", "Cancellation requested")),
        ("resent", Text::new("已重新发送", "Sent again")),
        ("tested", Text::new("测试通知已发出", "Test event sent")),
        ("endpoint_saved", Text::new("回调地址已保存", "Endpoint saved")),
        ("endpoint_removed", Text::new("回调地址已删除", "Endpoint removed")),
        ("key_revoked", Text::new("密钥已吊销", "Key revoked")),
        ("saved", Text::new("已保存", "Saved")),
        ("fees_saved", Text::new("费率已保存", "Fees saved")),
        ("role_changed", Text::new("角色已更改", "Role changed")),
        ("person_removed", Text::new("已移除", "Removed")),
        ("password_changed", Text::new("密码已更改，其他设备已退出", "Password changed; other devices are logged out")),
        ("sessions_ended", Text::new("其他设备已退出", "Other devices are logged out")),
        ("session_ended", Text::new("该设备已退出", "That device is logged out")),
        ("language", Text::new("语言已更改", "Language changed")),
        (
            "recovery_used",
            Text::new(
                "已用掉一个恢复码。手机若已丢失，请重新绑定验证器",
                "One recovery code is used up. If your phone is lost, set up the authenticator again",
            ),
        ),
        ("endpoint_on", Text::new("回调地址已启用", "Endpoint switched on")),
        ("endpoint_off", Text::new("回调地址已停用", "Endpoint switched off")),
        ("verified", Text::new("账本核对完成", "The books were verified")),
        ("nothing", Text::new("没有需要处理的", "Nothing to do")),
        ("link_revoked", Text::new("链接已作废", "The link no longer works")),
    ];
    DONE.iter().find(|(known, _)| *known == code).map(|(_, text)| text.get(lang))
}

/// What somebody did, as the audit log shows it.
pub fn action_word(action: impl Borrow<Action>, lang: impl Borrow<Lang>) -> &'static str {
    let (action, lang) = (*action.borrow(), *lang.borrow());
    match action {
        Action::SetupCompleted => lang.t("完成开通", "Completed the set-up"),
        Action::LoginSucceeded => lang.t("登录", "Logged in"),
        Action::LoginFailed => lang.t("登录失败", "Failed to log in"),
        Action::SecondFactorFailed => lang.t("验证码错误", "Gave a wrong second factor"),
        Action::RecoveryCodeUsed => lang.t("使用恢复码", "Used a recovery code"),
        Action::LoggedOut => lang.t("退出登录", "Logged out"),
        Action::PasswordChanged => lang.t("更改密码", "Changed the password"),
        Action::SecondFactorEnrolled => lang.t("绑定验证器", "Set up an authenticator"),
        Action::RecoveryCodesRenewed => lang.t("更换恢复码", "Renewed the recovery codes"),
        Action::SessionsEnded => lang.t("退出其他设备", "Logged out other devices"),
        Action::LanguageChanged => lang.t("更改语言", "Changed the language"),
        Action::UserInvited => lang.t("邀请人员", "Invited a person"),
        Action::UserCreated => lang.t("加入", "Joined"),
        Action::UserRoleChanged => lang.t("更改角色", "Changed a role"),
        Action::UserDisabled => lang.t("移除人员", "Removed a person"),
        Action::UserResetIssued => lang.t("发出重置链接", "Issued a reset link"),
        Action::PaymentCanceled => lang.t("取消订单", "Canceled a payment"),
        Action::PaymentSynced => lang.t("向渠道查询", "Asked the channel"),
        Action::RefundCreated => lang.t("退款", "Refunded"),
        Action::CallbackResent => lang.t("重发通知", "Sent callbacks again"),
        Action::CallbackTested => lang.t("测试通知", "Sent a test callback"),
        Action::EndpointCreated => lang.t("添加回调地址", "Added an endpoint"),
        Action::EndpointChanged => lang.t("修改回调地址", "Changed an endpoint"),
        Action::EndpointDeleted => lang.t("删除回调地址", "Deleted an endpoint"),
        Action::EndpointSecretRotated => lang.t("更换回调密钥", "Changed a callback secret"),
        Action::KeyCreated => lang.t("创建接口密钥", "Created an API key"),
        Action::KeyRevoked => lang.t("吊销接口密钥", "Revoked an API key"),
        Action::BooksVerified => lang.t("核对账本", "Verified the books"),
        Action::ChannelAdded => lang.t("接入渠道", "Connected a channel"),
        Action::ChannelChanged => lang.t("更改渠道账户", "Changed a channel account"),
        Action::ChannelKeysReplaced => lang.t("更换渠道密钥", "Replaced the keys of a channel account"),
        Action::ChannelTested => lang.t("测试渠道连接", "Tested a channel's connection"),
        Action::SettingsChanged => lang.t("更改店铺设置", "Changed the settings"),
        Action::FeesChanged => lang.t("更改费率", "Changed the fees"),
        Action::Refused => lang.t("越权被拒", "Was refused for lack of rights"),
        Action::FormRefused => lang.t("伪造表单被拒", "Sent a form that was refused"),
        Action::MerchantSwitched => lang.t("切换商户或模式", "Switched merchant or mode"),
        Action::MerchantCreated => lang.t("创建商户", "Created the merchant"),
        Action::MasterKeyChanged => lang.t("更换主密钥", "Changed the master key"),
        Action::SessionEnded => lang.t("退出一台设备", "Logged out a device"),
        Action::CaseDecided => lang.t("处理差异", "Decided a case"),
        Action::RefundProposed => lang.t("申请大额退款", "Proposed a large refund"),
        Action::RefundApproved => lang.t("复核同意退款", "Approved a refund"),
        Action::RefundRefused => lang.t("复核拒绝或撤回退款", "Refused or withdrew a refund"),
        Action::RefundRedirected => lang.t("决定异常退款的去向", "Decided where a blocked refund goes"),
        Action::RefundPaidOutside => lang.t("确认已另行付给顾客", "Confirmed that the customer was paid by hand"),
        Action::ApprovalRuleChanged => lang.t("更改复核规则", "Changed what takes two persons"),
        Action::Exported => lang.t("导出数据", "Exported data"),
    }
}

/// A person's name by id, or the id when nobody knows it any more.
pub fn person(names: &std::collections::BTreeMap<UserId, String>, id: UserId) -> String {
    names.get(&id).cloned().unwrap_or_else(|| id.to_string())
}
