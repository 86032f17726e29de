//! The first page: what needs attention, today against the same weekday, thirty days as a chart. Everything comes from
//! one row per day and method, so the page costs the same after five million payments.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use askama::Template;

use super::auth::roles::Permission;
use super::days::date_of;
use super::visit::{Member, Reply};
use super::{refunds, words};
use crate::channels::errors::wants_balance;
use crate::domain::approval::PROPOSALS_WAITING_MAX;
use crate::domain::case::Case;
use crate::domain::endpoint::{ENDPOINTS_MAX, Endpoint, EndpointState};
use crate::domain::ids::Scope;
use crate::domain::merchant::ChannelAccount;
use crate::domain::method::Method;
use crate::domain::money::{Currency, Money};
use crate::domain::refund::{Refund, RefundState};
use crate::domain::time::{Duration, Timestamp};
use crate::flows::accounts::ACCOUNTS_MAX;
use crate::flows::record::{day_in_zone, method_key, refund_state_key};
use crate::store::tables::{
    ACCOUNTS, CASES, CASES_OPEN, DAYS, DayTotals, ENDPOINTS, ENDPOINTS_FAILING, KEYS, PAYMENTS, PROPOSALS_WAITING,
    REFUNDS, REFUNDS_BY_STATE,
};
use crate::store::{Order, Read, Span, StoreError};
use crate::web::{Day, DayChart, Frame, Icon, Page, Room, Share, Shares};

/// Days of the chart, today included.
const CHART_DAYS: u32 = 30;
/// Rows of [`CHART_DAYS`] at most: every method and the row without one.
const ROWS_MAX: usize = CHART_DAYS as usize * 64;
/// Differences that are named one by one.
const CASES_SHOWN: usize = 3;
/// Methods named one by one; the rest is added up.
const SHARES_MAX: usize = 6;
/// A refund whose outcome is unknown for this long deserves a look.
const REFUND_SLOW: Duration = Duration::from_hours(24);
/// Refunds under way that are looked through for slow ones.
const REFUNDS_MAX: usize = 200;

#[derive(Template)]
#[template(path = "console/home.html")]
struct HomePage {
    page: Page,
    frame: Frame,
    currency: Currency,
    attention: Vec<Attention>,
    today: DayTotals,
    /// The same weekday a week ago, the whole of it.
    then: DayTotals,
    chart: DayChart,
    shares: Option<Shares>,
    /// Found paid by asking, in [`CHART_DAYS`].
    healed: u64,
    /// No payment was ever made here.
    is_new: bool,
    has_key: bool,
    may_see_settings: bool,
}

/// One thing that a person should look at.
struct Attention {
    bad: bool,
    icon: Icon,
    what: String,
    why: String,
    href: String,
    way: String,
}

impl HomePage {
    fn takings(&self) -> i128 {
        i128::from(self.today.paid_minor)
    }

    fn refunds(&self) -> i128 {
        i128::from(self.today.refunded_minor)
    }

    fn takings_then(&self) -> i128 {
        i128::from(self.then.paid_minor)
    }

    /// In whole per cent against the same weekday; nothing when there is nothing to compare with.
    fn delta(&self) -> Option<(&'static str, String)> {
        let (now, then) = (i128::from(self.today.paid_minor), i128::from(self.then.paid_minor));
        if then == 0 {
            return None;
        }
        let percent = (now - then) * 100 / then;
        let shape = match percent {
            1.. => "up",
            0 => "same",
            _ => "down",
        };
        Some((shape, format!("{}%", percent.abs())))
    }

    /// Of what ended today, how much ended paid.
    fn success(&self) -> String {
        let ended = self.today.paid + self.today.ended;
        match (self.today.paid * 1000).checked_div(ended) {
            Some(permille) => format!("{}.{}%", permille / 10, permille % 10),
            None => "—".to_owned(),
        }
    }
}

/// What is wrong with a channel account in use, or soon will be.
fn trouble(member: &Member, account: &ChannelAccount) -> Option<Attention> {
    let (page, now) = (&member.page, member.now);
    let channels = &member.console.gateway().channels;
    let day = |at: Timestamp| at.in_zone(&member.merchant.zone).strftime("%Y-%m-%d").to_string();
    let (bad, icon, what, why) = match channels.get(account.id) {
        None => (
            true,
            Icon::Key,
            page.t(
                "渠道账户的密钥打不开，收不了款",
                "The keys of a channel account cannot be opened; it takes no money",
            ),
            page.t("重新填写一次密钥。", "Enter its keys again.").to_owned(),
        ),
        Some(open) => match (open.ending(now), channels.health(account.id)) {
            (Some((label, at)), _) => (
                at <= now,
                Icon::Key,
                match at <= now {
                    true => page.t("渠道证书已经过期", "A channel's certificate has ended"),
                    false => page.t("渠道证书快到期了", "A channel's certificate ends soon"),
                },
                match page.zh() {
                    true => format!("{}，有效期至 {}", label.get(page.lang), day(at)),
                    false => format!("{}, until {}", label.get(page.lang), day(at)),
                },
            ),
            (None, health) if health.rests(now) => (
                true,
                Icon::Alert,
                page.t("渠道一直不应答，暂时不再选用", "A channel keeps failing and is not chosen for now"),
                match page.zh() {
                    true => format!("连续失败 {} 次，之后会再试", health.failures),
                    false => format!("{} failures in a row; it is tried again later", health.failures),
                },
            ),
            (None, _) => return None,
        },
    };
    Some(Attention {
        bad,
        icon,
        what: what.to_owned(),
        why: format!("{} · {why}", account.label),
        href: format!("/console/settings/channels/{}", account.id),
        way: page.t("去看", "Look").to_owned(),
    })
}

/// What one snapshot tells.
struct Facts {
    days: BTreeMap<u32, DayTotals>,
    methods: BTreeMap<u8, DayTotals>,
    /// Those that somebody should look at.
    endpoints: Vec<Endpoint>,
    cases: Vec<Case>,
    slow_refunds: Vec<Refund>,
    /// Refunds that wait until the merchant has money at the channel.
    poor_refunds: Vec<Refund>,
    /// Refunds that cannot go back, or that the merchant has to pay by hand.
    blocked_refunds: Vec<Refund>,
    /// Refunds that wait for a second person.
    proposals: usize,
    accounts: Vec<ChannelAccount>,
    is_new: bool,
    has_key: bool,
}

pub(super) async fn page(member: Member) -> Reply {
    let (scope, now) = (member.scope(), member.now);
    let today = day_in_zone(&member.merchant.zone, now);
    let facts = member.console.store().read(move |tx| read(tx, scope, today, now)).await?;
    let currency = member.merchant.currency;
    let page = member.page.clone();
    let of = |day: u32| facts.days.get(&day).copied().unwrap_or_default();
    let home = HomePage {
        frame: member.frame(Room::Home),
        currency,
        attention: attention(&member, &facts),
        today: of(today),
        then: of(today.saturating_sub(7)),
        chart: chart(&page, &facts, today, currency),
        shares: shares(&page, &facts, currency),
        healed: facts.days.values().map(|day| day.healed).sum(),
        is_new: facts.is_new,
        has_key: facts.has_key,
        may_see_settings: member.may(Permission::ViewSettings),
        page,
    };
    Ok(member.render(StatusCode::OK, &home))
}

fn read(tx: &impl Read, scope: Scope, today: u32, now: Timestamp) -> Result<Facts, StoreError> {
    let first = today.saturating_sub(CHART_DAYS - 1);
    let span = Span::prefix(&scope).from(&(scope, first));
    let (mut days, mut methods) = (BTreeMap::new(), BTreeMap::new());
    for ((_, day, method), totals) in tx.scan(&DAYS, &span, Order::Ascending, ROWS_MAX)? {
        add(days.entry(day).or_default(), &totals);
        add(methods.entry(method).or_default(), &totals);
    }
    let of_scope = Span::prefix(&scope);
    let mut endpoints = Vec::new();
    for (row, ()) in tx.scan(&ENDPOINTS_FAILING, &of_scope, Order::Ascending, ENDPOINTS_MAX)? {
        endpoints.extend(tx.get(&ENDPOINTS, &row)?);
    }
    let mut cases = Vec::new();
    for ((_, id), ()) in tx.scan(&CASES_OPEN, &of_scope, Order::Descending, CASES_SHOWN + 1)? {
        cases.extend(tx.get(&CASES, &(scope, id))?);
    }
    let (mut slow_refunds, mut poor_refunds) = (Vec::new(), Vec::new());
    for state in [RefundState::Pending, RefundState::Processing] {
        let place = refund_state_key(state);
        // Ids begin with their time, so the oldest come first.
        let rows = tx.scan(&REFUNDS_BY_STATE, &Span::prefix(&(scope, place)), Order::Ascending, REFUNDS_MAX)?;
        for ((_, _, id), ()) in rows {
            let Some(refund) = tx.get(&REFUNDS, &(scope, id))? else { continue };
            if refund.failure.as_ref().is_some_and(wants_balance) {
                poor_refunds.push(refund);
            } else if now.since(id.created_at()) >= REFUND_SLOW {
                slow_refunds.push(refund);
            }
        }
    }
    Ok(Facts {
        days,
        methods,
        endpoints,
        cases,
        slow_refunds,
        poor_refunds,
        accounts: tx
            .scan(&ACCOUNTS, &of_scope, Order::Ascending, ACCOUNTS_MAX)?
            .into_iter()
            .map(|(_, row)| row)
            .collect(),
        blocked_refunds: refunds::for_a_person(tx, scope, REFUNDS_MAX)?,
        proposals: tx.scan(&PROPOSALS_WAITING, &of_scope, Order::Ascending, PROPOSALS_WAITING_MAX)?.len(),
        is_new: tx.scan(&PAYMENTS, &of_scope, Order::Ascending, 1)?.is_empty(),
        has_key: !tx.scan(&KEYS, &of_scope, Order::Ascending, 1)?.is_empty(),
    })
}

fn add(sum: &mut DayTotals, more: &DayTotals) {
    sum.created += more.created;
    sum.paid += more.paid;
    sum.paid_minor = sum.paid_minor.saturating_add(more.paid_minor);
    sum.ended += more.ended;
    sum.refunded += more.refunded;
    sum.refunded_minor = sum.refunded_minor.saturating_add(more.refunded_minor);
    sum.healed += more.healed;
    sum.late += more.late;
}

fn chart(page: &Page, facts: &Facts, today: u32, currency: Currency) -> DayChart {
    let first = today.saturating_sub(CHART_DAYS - 1);
    let days = (first..=today).map(|day| {
        let totals = facts.days.get(&day).copied().unwrap_or_default();
        let amount = Money::new(totals.paid_minor, currency).to_display();
        let count = totals.paid;
        Day {
            label: date_of(day).strftime("%m-%d").to_string(),
            value: totals.paid_minor,
            shown: match page.zh() {
                true => format!("{amount} · {count} 笔"),
                false => format!("{amount} · {count} paid"),
            },
        }
    });
    DayChart {
        lang: page.lang,
        title: page.t("近 30 天收款", "Takings of the last 30 days").to_owned(),
        heads: [page.t("日期", "Day").to_owned(), page.t("收款", "Takings").to_owned()],
        days: days.collect(),
        last_is_open: true,
        axis: if currency.digits() == 0 { short_number } else { short_hundredths },
    }
}

fn short_hundredths(minor: u64) -> String {
    short_number(minor / 100)
}

/// `800`, `12k`, `3M`.
fn short_number(whole: u64) -> String {
    match whole {
        0..=9_999 => whole.to_string(),
        10_000..=9_999_999 => format!("{}k", whole / 1_000),
        10_000_000.. => format!("{}M", whole / 1_000_000),
    }
}

fn shares(page: &Page, facts: &Facts, currency: Currency) -> Option<Shares> {
    let mut parts: Vec<Share> = Method::ALL
        .iter()
        .filter_map(|method| {
            let totals = facts.methods.get(&method_key(Some(*method))).filter(|totals| totals.paid_minor > 0)?;
            Some(Share {
                name: words::method_word(method, page.lang).to_owned(),
                value: totals.paid_minor,
                shown: Money::new(totals.paid_minor, currency).to_display(),
            })
        })
        .collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.value));
    if parts.len() > SHARES_MAX {
        let rest: u64 = parts.drain(SHARES_MAX - 1..).fold(0, |sum, part| sum.saturating_add(part.value));
        let shown = Money::new(rest, currency).to_display();
        parts.push(Share { name: page.t("其他", "Others").to_owned(), value: rest, shown });
    }
    let title = page.t("按付款方式", "By method").to_owned();
    (!parts.is_empty()).then_some(Shares { title, parts })
}

fn attention(member: &Member, facts: &Facts) -> Vec<Attention> {
    let page = &member.page;
    let mut list = Vec::new();
    for case in facts.cases.iter().take(CASES_SHOWN) {
        list.push(Attention {
            bad: true,
            icon: Icon::Alert,
            what: words::case_word(case.kind, page.lang).to_owned(),
            why: match page.zh() {
                true => format!("应收 {}，渠道报告 {}", case.expected.to_display(), case.seen.to_display()),
                false => {
                    format!("Expected {}, the channel reports {}", case.expected.to_display(), case.seen.to_display())
                }
            },
            href: format!("/console/cases/{}", case.id),
            way: page.t("去处理", "Decide").to_owned(),
        });
    }
    if facts.cases.len() > CASES_SHOWN {
        list.push(Attention {
            bad: true,
            icon: Icon::Alert,
            what: page.t("还有更多差异等待处理", "More differences wait for a decision").to_owned(),
            why: String::new(),
            href: "/console/attention".to_owned(),
            way: page.t("看全部", "Show all").to_owned(),
        });
    }
    for refund in facts.blocked_refunds.iter().take(CASES_SHOWN) {
        let (what, why) = match refund.state {
            RefundState::Returned => (
                page.t("退款退到了您的账户，请付给顾客", "A refund came back to you: pay the customer"),
                page.t("顾客收到后在这里确认。", "Confirm here once the customer has it."),
            ),
            RefundState::Undeliverable
            | RefundState::Pending
            | RefundState::Processing
            | RefundState::Succeeded
            | RefundState::Failed => (
                page.t("退款异常，等您决定去向", "A refund is blocked: decide where it goes"),
                page.t("顾客原来的付款账户收不了钱。", "Where the customer paid from cannot take the money."),
            ),
        };
        list.push(Attention {
            bad: refund.state == RefundState::Undeliverable,
            icon: Icon::Refunds,
            what: format!("{what} · {}", refund.amount.to_display()),
            why: why.to_owned(),
            href: format!("/console/refunds/{}", refund.id),
            way: page.t("去处理", "Decide").to_owned(),
        });
    }
    if facts.proposals > 0 && member.may(Permission::Refund) {
        let count = facts.proposals;
        list.push(Attention {
            bad: false,
            icon: Icon::Refunds,
            what: match page.zh() {
                true => format!("{count} 笔大额退款等待复核"),
                false => format!("{count} large refunds wait for a second person"),
            },
            why: String::new(),
            href: "/console/attention".to_owned(),
            way: page.t("去看", "Look").to_owned(),
        });
    }
    list.extend(facts.accounts.iter().filter(|account| account.active).filter_map(|account| trouble(member, account)));
    for endpoint in &facts.endpoints {
        let what = match endpoint.state {
            EndpointState::Suspended => page.t("回调地址已自动停用", "An endpoint was switched off by us"),
            EndpointState::Enabled => page.t("网店收不到通知", "Your shop does not receive its callbacks"),
            EndpointState::Disabled => continue,
        };
        let failures = endpoint.breaker.failures;
        list.push(Attention {
            bad: endpoint.state == EndpointState::Suspended,
            icon: Icon::Callbacks,
            what: what.to_owned(),
            why: match page.zh() {
                true => format!("{} · 连续失败 {failures} 次", endpoint.url),
                false => format!("{} · {failures} failures in a row", endpoint.url),
            },
            href: format!("/console/callbacks/{}", endpoint.id),
            way: page.t("看诊断", "See why").to_owned(),
        });
    }
    if let Some(oldest) = facts.poor_refunds.first() {
        let count = facts.poor_refunds.len();
        list.push(Attention {
            bad: true,
            icon: Icon::Refunds,
            what: match page.zh() {
                true => format!("{count} 笔退款因渠道余额不足没有退出去"),
                false if count == 1 => "A refund waits: the balance at the channel is too low".to_owned(),
                false => format!("{count} refunds wait: the balance at the channel is too low"),
            },
            why: page
                .t(
                    "给商户号充值，或等新的收款到账；系统会用原单号自动重试。",
                    "Top the account up, or wait for new income; they are repeated by themselves.",
                )
                .to_owned(),
            href: format!("/console/refunds/{}", oldest.id),
            way: page.t("去看", "Look").to_owned(),
        });
    }
    if let Some(oldest) = facts.slow_refunds.first() {
        let count = facts.slow_refunds.len();
        list.push(Attention {
            bad: false,
            icon: Icon::Refunds,
            what: match page.zh() {
                true => format!("{count} 笔退款超过一天没有结果"),
                false => format!("{count} refunds without an outcome for more than a day"),
            },
            why: page
                .t(
                    "系统会继续查询；也可以到渠道后台核对。",
                    "They are still being asked about; you can also look at the channel.",
                )
                .to_owned(),
            href: format!("/console/refunds/{}", oldest.id),
            way: page.t("去看", "Look").to_owned(),
        });
    }
    let left = member.user.recovery.left();
    if left <= 2 {
        list.push(Attention {
            bad: false,
            icon: Icon::Key,
            what: match page.zh() {
                true => format!("只剩 {left} 个恢复码"),
                false => format!("Only {left} recovery codes are left"),
            },
            why: page.t("手机丢失时要靠它登录。", "They let you in when your phone is lost.").to_owned(),
            href: "/console/settings/me".to_owned(),
            way: page.t("换一组", "Renew").to_owned(),
        });
    }
    list
}
