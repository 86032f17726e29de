//! A payment's story: its own lines, its callbacks and its bookings, merged in time and told in sentences.

use super::payment::{Dossier, Told};
use super::words;
use crate::callbacks::diagnosis::diagnose;
use crate::channels::errors::explain;
use crate::domain::endpoint::DeliveryState;
use crate::domain::event::{Actor, Happening, PaidSource};
use crate::domain::merchant::ChannelKind;
use crate::domain::payment::{Ending, RouteReason};
use crate::domain::redirect::Destination;
use crate::domain::time::Timestamp;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::web::Page;

/// One line of a timeline.
pub(super) struct Line {
    pub at: Timestamp,
    /// `ok`, `warn`, `bad`, `idle` or `now`.
    pub shape: &'static str,
    pub what: String,
    pub why: String,
    /// The provider's code and words as they came, in small print.
    pub raw: String,
    /// What the line speaks of, and its name.
    pub link: Option<(String, String)>,
}

impl Line {
    fn new(at: Timestamp, shape: &'static str, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { at, shape, what: what.into(), why: why.into(), raw: String::new(), link: None }
    }

    /// Explains what went wrong, and shows how it was said.
    fn because(self, trouble: &Trouble, page: &Page) -> Self {
        Self { why: explain(trouble).merchant.get(page.lang).to_owned(), raw: trouble.raw(), ..self }
    }

    fn linked(self, href: String, name: impl Into<String>) -> Self {
        Self { link: Some((href, name.into())), ..self }
    }
}

/// Newest first, as a person looks for what happened last.
pub(super) fn tell(dossier: &Dossier, page: &Page) -> Vec<Line> {
    let payment = &dossier.payment;
    let mut lines = vec![Line::new(
        payment.created_at,
        "idle",
        page.t("网店创建了订单", "The shop created the order"),
        format!("{} · {}", payment.order_id, payment.amount.to_display()),
    )];
    lines.extend(dossier.timeline.iter().map(|entry| happened(dossier, page, entry.at, &entry.what)));
    callbacks(dossier, page, &mut lines);
    for chained in &dossier.entries {
        let what = words::posting_word(chained.entry.reason(), page.lang);
        let why = match page.zh() {
            true => format!("账本第 {} 号分录", chained.seq),
            false => format!("Entry {} of the ledger", chained.seq),
        };
        let href = format!("/console/ledger/entries/{}", chained.seq);
        lines.push(Line::new(chained.entry.at(), "ok", what, "").linked(href, why));
    }
    // Stable: what happened in one millisecond stays in the order it was told.
    lines.sort_by_key(|line| line.at);
    lines.reverse();
    lines
}

fn callbacks(dossier: &Dossier, page: &Page, lines: &mut Vec<Line>) {
    for Told { event, deliveries } in &dossier.events {
        for (delivery, last) in deliveries {
            let name = words::event_word(event.kind, page.lang);
            let (shape, what) = match delivery.state {
                DeliveryState::Delivered => ("ok", page.t("已通知网店", "The shop was told")),
                DeliveryState::Pending if delivery.attempts == 0 => ("now", page.t("正在通知网店", "Telling the shop")),
                DeliveryState::Pending => {
                    ("warn", page.t("通知失败，稍后重试", "Telling the shop failed and is repeated"))
                }
                DeliveryState::Dead => ("bad", page.t("通知多次失败，已放弃", "Telling the shop failed too often")),
                DeliveryState::Held => ("warn", page.t("回调地址停用，通知暂存", "Held: the endpoint is off")),
            };
            let address = dossier.addresses.get(&delivery.endpoint).map_or("", String::as_str);
            let why = match last {
                Some(attempt) if delivery.state != DeliveryState::Delivered => {
                    format!("{address} · {}", diagnose(&attempt.transcript, page.lang))
                }
                Some(_) | None => address.to_owned(),
            };
            let at = last.as_ref().map_or(delivery.created_at, |attempt| attempt.transcript.started_at);
            let href = format!("/console/callbacks/{}/{}", delivery.endpoint, delivery.event);
            lines.push(
                Line::new(at, shape, format!("{what} · {name}"), why)
                    .linked(href, page.t("查看请求", "See the request")),
            );
        }
    }
}

/// Who did it, for looking up names.
pub(super) fn actor(what: &Happening) -> Option<&Actor> {
    match what {
        Happening::EndRequested { by, .. }
        | Happening::RefundRequested { by, .. }
        | Happening::RefundRedirected { by, .. }
        | Happening::RefundPaidOutside { by, .. }
        | Happening::Changed { by, .. } => Some(by),
        Happening::AttemptStarted { .. }
        | Happening::CodeShown { .. }
        | Happening::Asked { .. }
        | Happening::Notified { .. }
        | Happening::NotificationRefused { .. }
        | Happening::ChannelTrouble { .. }
        | Happening::Paid { .. }
        | Happening::AttemptEnded { .. }
        | Happening::Ended { .. }
        | Happening::RefundFinished { .. }
        | Happening::CaseOpened { .. }
        | Happening::CaseChanged { .. }
        | Happening::RefundUndeliverable { .. }
        | Happening::RefundReturned { .. }
        | Happening::Routed { .. } => None,
    }
}

fn by_whom(dossier: &Dossier, page: &Page, by: &Actor) -> String {
    match by {
        Actor::Api(key) => match page.zh() {
            true => format!("网店，用密钥 {key}"),
            false => format!("The shop, with key {key}"),
        },
        Actor::User(user) => words::person(&dossier.people, *user),
        Actor::Customer => page.t("顾客", "The customer").to_owned(),
        Actor::System => page.t("系统自动", "By itself").to_owned(),
    }
}

fn happened(dossier: &Dossier, page: &Page, at: Timestamp, what: &Happening) -> Line {
    let line = |shape, zh, en, why: String| Line::new(at, shape, page.t(zh, en), why);
    match what {
        Happening::AttemptStarted { attempt, method } => {
            let account = dossier.attempts.iter().find(|known| known.id == *attempt);
            let name = account.and_then(|attempt| dossier.accounts.get(&attempt.account));
            let method = words::method_word(method, page.lang);
            let what = name.map_or_else(|| method.to_string(), |name| format!("{method} · {name}"));
            line("now", "开始一次付款尝试", "An attempt to pay began", what)
        }
        Happening::Routed { account, why, .. } => {
            let name = dossier.accounts.get(account).map_or("", String::as_str);
            let reason = match why {
                RouteReason::Only => String::new(),
                RouteReason::Share { of: 1 } => {
                    page.t("只有它有份额，其余备用", "the only one with a share; the others are reserves").to_owned()
                }
                RouteReason::Share { of } => match page.zh() {
                    true => format!("按份额从 {of} 个中选出"),
                    false => format!("drawn by share out of {of}"),
                },
                RouteReason::OthersRest { resting } => match page.zh() {
                    true => format!("另有 {resting} 个连续失败，暂停使用"),
                    false => format!("{resting} that kept failing rest"),
                },
                RouteReason::AllRest => {
                    page.t("全部连续失败，仍然一试", "all keep failing; tried all the same").to_owned()
                }
                RouteReason::OtherBarred => {
                    page.t("渠道拒绝了前一个账户，自动换用", "the channel refused the one before").to_owned()
                }
                RouteReason::CodeLost => {
                    let zh = "前一个单号的付款码随答复丢失，自动换了新单号";
                    page.t(zh, "the code of the number before was lost with an answer; this is a new number").to_owned()
                }
            };
            line("now", "选定渠道账户", "Channel account chosen", format!("{name} · {reason}"))
        }
        Happening::CodeShown { .. } => {
            line("now", "渠道已受理，等顾客付款", "The channel accepted it, waiting for the customer", String::new())
        }
        Happening::Asked { attempt, answer } => {
            let line = line("idle", "主动查询渠道", "Asked the channel", String::new());
            answered(line, answer, dossier.channel_of(*attempt), page)
        }
        Happening::Notified { attempt, status } => {
            let (zh, en) = ("收到渠道通知，签名有效", "The channel told us, and its signature is right");
            answered(line("now", zh, en, String::new()), status, dossier.channel_of(*attempt), page)
        }
        Happening::NotificationRefused { reason, from } => {
            let line = line(
                "bad",
                "来了一条通知，没有通过验证，没有采信",
                "A notification came, was not proved genuine, and was not believed",
                String::new(),
            );
            let mut line = line.because(reason, page);
            if let Some(ip) = from {
                line.raw = if line.raw.is_empty() { ip.to_string() } else { format!("{} · {ip}", line.raw) };
            }
            line
        }
        Happening::ChannelTrouble { detail, .. } => {
            line("warn", "联系渠道出错，会重试", "Talking to the channel failed and is repeated", String::new())
                .because(detail, page)
        }
        Happening::Paid { source, late, .. } => {
            let why = match source {
                PaidSource::Notification => page.t("由渠道通知得知。", "The channel told us."),
                PaidSource::Query if dossier.refused_a_notification() => page.t(
                    "来过的通知没有通过验证，由系统主动查到。",
                    "A notification had come and was refused; it was found by asking.",
                ),
                PaidSource::Query => page.t(
                    "没有等到可信的通知，由系统主动查到。",
                    "No notification that could be believed had come; it was found by asking.",
                ),
                PaidSource::Person => page.t("由人工核对后入账。", "A person looked at it and booked it."),
            };
            let (zh, en) =
                if *late { ("过期后收到付款", "Paid after the end") } else { ("收款成功", "Paid") };
            line("ok", zh, en, why.to_owned())
        }
        Happening::AttemptEnded { attempt, reason } => {
            let why = words::reason_word(reason, page.lang).to_owned();
            let line = line("idle", "这次付款尝试结束", "This attempt ended", why);
            let attempt = dossier.attempts.iter().find(|one| one.id == *attempt);
            match attempt.and_then(|attempt| attempt.trouble.as_ref()) {
                Some(trouble) => line.because(trouble, page),
                None => line,
            }
        }
        Happening::EndRequested { by, ending } => {
            let (zh, en) = match ending {
                Ending::Expire => ("付款时限已到，向渠道确认关闭", "Time is over, asking the channel to close"),
                Ending::CancelByMerchant | Ending::CancelByCustomer => {
                    ("请求取消，向渠道确认关闭", "Cancellation asked for, closing at the channel")
                }
                Ending::Fail => ("不再尝试，向渠道确认关闭", "No further attempt, closing at the channel"),
            };
            line("idle", zh, en, by_whom(dossier, page, by))
        }
        Happening::Ended { reason } => {
            line("idle", "订单结束，没有收款", "Ended without money", words::reason_word(reason, page.lang).to_owned())
        }
        Happening::RefundRequested { refund, by } => {
            line("now", "退款已受理", "Refund accepted", by_whom(dossier, page, by))
                .linked(format!("/console/refunds/{refund}"), page.t("看退款", "See the refund"))
        }
        Happening::RefundFinished { refund, succeeded } => {
            let (shape, zh, en) = if *succeeded {
                ("ok", "退款成功", "Refunded")
            } else {
                ("bad", "退款失败", "The refund failed")
            };
            let line = line(shape, zh, en, String::new());
            let failed = dossier.refunds.iter().find(|one| one.id == *refund).and_then(|one| one.failure.as_ref());
            let line = match failed {
                Some(trouble) => line.because(trouble, page),
                None => line,
            };
            line.linked(format!("/console/refunds/{refund}"), page.t("看退款", "See the refund"))
        }
        Happening::RefundUndeliverable { refund } => line(
            "bad",
            "退款异常：钱退不回顾客原来的付款账户，等您决定去向",
            "The refund is blocked: the money cannot go back where it came from, decide where it goes",
            String::new(),
        )
        .linked(format!("/console/refunds/{refund}"), page.t("去处理", "Decide")),
        Happening::RefundRedirected { refund, to, by } => {
            let (zh, en) = match to {
                Destination::CustomerCard => {
                    ("异常退款改退到顾客的银行卡", "The blocked refund goes to a bank card of the customer")
                }
                Destination::Merchant => {
                    ("异常退款退到商户自己的账户", "The blocked refund goes to the merchant's own account")
                }
            };
            line("now", zh, en, by_whom(dossier, page, by))
                .linked(format!("/console/refunds/{refund}"), page.t("看退款", "See the refund"))
        }
        Happening::RefundReturned { refund } => line(
            "warn",
            "退款已退到商户账户，请另行付给顾客",
            "The refund is in the merchant's account; pay the customer by hand",
            String::new(),
        )
        .linked(format!("/console/refunds/{refund}"), page.t("去处理", "Decide")),
        Happening::RefundPaidOutside { refund, by, note } => {
            let why = format!("{note} · {}", by_whom(dossier, page, by));
            line("ok", "已另行付给顾客", "The customer was paid by hand", why)
                .linked(format!("/console/refunds/{refund}"), page.t("看退款", "See the refund"))
        }
        Happening::CaseOpened { case } => {
            line("bad", "发现差异，没有记到订单上", "A difference was found and not booked to the order", String::new())
                .linked(format!("/console/cases/{case}"), page.t("看差异", "See the case"))
        }
        Happening::CaseChanged { case } => line("idle", "差异有了新进展", "The difference moved on", String::new())
            .linked(format!("/console/cases/{case}"), page.t("看差异", "See the case")),
        Happening::Changed { by, fields } => line(
            "idle",
            "订单内容被修改",
            "The order was changed",
            format!("{} · {}", fields.join(", "), by_whom(dossier, page, by)),
        ),
    }
}

/// The channel's word, in ours where we know it.
fn answered(line: Line, answer: &str, channel: Option<ChannelKind>, page: &Page) -> Line {
    let known = match answer {
        "accepted" => page.t("订单有效，还没付款", "The order stands, not paid yet"),
        "not_paid" => page.t("还没付款", "Not paid yet"),
        "paid" => page.t("已付款", "Paid"),
        "closed" => page.t("已关闭", "Closed"),
        "declined" => page.t("付款被拒绝", "Declined"),
        "not_found" => page.t("渠道没有这笔订单", "The channel does not know the order"),
        "unfit" => page.t("订单不符合渠道的规则，没有发出", "Outside the channel's rules, so it was not sent"),
        "unknown" => page.t("没有得到明确答复，会再问", "No clear answer; it will be asked again"),
        "refund_processing" => page.t("退款处理中", "The refund is on its way"),
        "refund_succeeded" => page.t("退款成功", "Refunded"),
        "refund_undeliverable" => page.t("退款异常", "The refund is blocked"),
        "refund_returned" => page.t("退款退到商户账户", "The refund went to the merchant's account"),
        "refund_failed" => page.t("退款失败", "The refund failed"),
        code => {
            let refused = Trouble { channel, code: Some(code.to_owned()), ..Trouble::new(TroubleKind::Told, "") };
            return line.because(&refused, page);
        }
    };
    Line { why: known.to_owned(), ..line }
}
