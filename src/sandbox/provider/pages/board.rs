//! `/sim/faults`: how the providers misbehave, and the time machine.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::{busy, is_foreign, missing, read_page, respond, see};
use crate::domain::time::{Duration, Timestamp};
use crate::lang::Text;
use crate::sandbox::provider::World;
use crate::sandbox::provider::fault::{Fault, Faults};
use crate::web::{Icon, Page};

pub(super) fn routes(scope: &mut web::ServiceConfig) {
    scope
        .route("/faults", web::get().to(show))
        .route("/faults/{provider}", web::post().to(set))
        .route("/clock", web::post().to(skip));
}

/// The furthest jump of the time machine.
pub(super) const SKIP_MAX: Duration = Duration::from_days(400);

#[derive(Template)]
#[template(path = "sandbox/sim_board.html")]
struct Board<'a> {
    page: &'a Page,
    providers: Vec<Provider>,
    ahead: Duration,
}

struct Provider {
    name: &'static str,
    title: Text,
    glyph: &'static str,
    brand: &'static str,
    groups: Vec<(Text, Vec<(Fault, bool)>)>,
    on: usize,
}

impl Board<'_> {
    fn is_ahead(&self) -> bool {
        self.ahead > Duration::ZERO
    }

    /// Jumps: name, and seconds as the form has them.
    fn jumps(&self) -> Vec<(&'static str, u64)> {
        let t = |zh, en| self.page.lang.t(zh, en);
        vec![
            (t("一分钟", "A minute"), 60),
            (t("半小时", "Half an hour"), 1800),
            (t("两小时", "Two hours"), 7200),
            (t("一天", "A day"), 86_400),
            (t("到明天上午十点", "To ten tomorrow"), until_ten(self.page.now)),
            (t("三十天", "30 days"), 30 * 86_400),
        ]
    }
}

/// Seconds until ten in the morning of the next day in Beijing, when bills are ready.
fn until_ten(now: Timestamp) -> u64 {
    let beijing = now.in_zone("Asia/Shanghai");
    let since_midnight = beijing.hour() as u64 * 3600 + beijing.minute() as u64 * 60 + beijing.second() as u64;
    34 * 3600 - since_midnight
}

/// Where a fault stands on the board.
const fn group(fault: Fault) -> usize {
    match fault {
        Fault::LoseNotification
        | Fault::DoubleNotification
        | Fault::DelayNotification
        | Fault::ForgeNotification
        | Fault::MisstateAmount
        | Fault::ProbeNotification
        | Fault::ReorderNotification => 0,
        Fault::Throttle
        | Fault::AnswerError
        | Fault::AnswerErrorAfterDoing
        | Fault::AnswerLate
        | Fault::AnswerRubbish
        | Fault::AnswerSlow
        | Fault::AnswerCut => 1,
        Fault::AnswerUnsigned
        | Fault::AnswerTampered
        | Fault::ProbeAnswer
        | Fault::ClockSkew
        | Fault::NewKey
        | Fault::MixedKeys => 2,
        Fault::PayAfterClose
        | Fault::PasswordLate
        | Fault::RefundSlow
        | Fault::RefundAbnormal
        | Fault::RefundStuck
        | Fault::CardClosed
        | Fault::BalanceShort => 3,
        Fault::BillRowMissing
        | Fault::BillRowExtra
        | Fault::BillRowAltered
        | Fault::BillLate
        | Fault::BillHashWrong
        | Fault::BillCut
        | Fault::BillLinkDead => 4,
    }
}

const GROUPS: [Text; 5] = [
    Text::new("通知", "Notifications"),
    Text::new("答复", "Answers"),
    Text::new("签名与证书", "Signatures and keys"),
    Text::new("收款与退款", "Payments and refunds"),
    Text::new("账单", "Bills"),
];

async fn show(request: HttpRequest, world: web::Data<World>) -> HttpResponse {
    let page = read_page(&request, &world).await;
    let mut providers = Vec::new();
    for dialect in world.dialects() {
        let board = match world.board(dialect.name()).await {
            Ok(board) => board,
            Err(error) => return busy(&page, &error),
        };
        let groups = GROUPS.into_iter().enumerate().map(|(place, title)| {
            let here = dialect.facts().faults.iter().copied().filter(|fault| group(*fault) == place);
            (title, here.map(|fault| (fault, board.faults.has(fault))).collect::<Vec<_>>())
        });
        providers.push(Provider {
            name: dialect.name(),
            title: dialect.title(),
            glyph: super::home::phone_glyph(dialect.brand()),
            brand: dialect.brand().code(),
            groups: groups.filter(|(_, faults)| !faults.is_empty()).collect(),
            on: board.faults.iter().count(),
        });
    }
    let ahead = page.now.since(world.wire_now());
    // A moment passes between the two readings of the clock.
    let ahead = if ahead < Duration::from_seconds(5) { Duration::ZERO } else { ahead };
    respond(&page, &Board { page: &page, providers, ahead })
}

async fn set(
    request: HttpRequest,
    provider: web::Path<String>,
    body: web::Bytes,
    world: web::Data<World>,
) -> HttpResponse {
    let page = read_page(&request, &world).await;
    let Some(dialect) = world.dialect(&provider).filter(|_| !is_foreign(&request)) else { return missing(&page) };
    let ticked = url::form_urlencoded::parse(&body).filter(|(name, _)| name == "fault");
    let known = |fault: &Fault| dialect.facts().faults.contains(fault);
    let faults: Faults = ticked.filter_map(|(_, value)| Fault::parse(&value)).filter(known).collect();
    match world.set_faults(dialect.name(), faults).await {
        Ok(()) => see("/sim/faults"),
        Err(error) => busy(&page, &error),
    }
}

async fn skip(request: HttpRequest, body: web::Bytes, world: web::Data<World>) -> HttpResponse {
    let page = read_page(&request, &world).await;
    let seconds = url::form_urlencoded::parse(&body).find(|(name, _)| name == "seconds");
    let seconds: Option<u64> = seconds.and_then(|(_, value)| value.parse().ok());
    let ahead = seconds.map(Duration::from_seconds).filter(|ahead| *ahead <= SKIP_MAX);
    let Some(ahead) = ahead.filter(|_| !is_foreign(&request)) else { return missing(&page) };
    match world.skip(ahead).await {
        Ok(()) => see("/sim/faults"),
        Err(error) => busy(&page, &error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_tomorrow_is_the_next_day_at_every_hour() {
        for (now, hours) in [("2026-11-23T00:00:00+08:00", 34), ("2026-11-23T23:00:00+08:00", 11)] {
            assert_eq!(until_ten(Timestamp::parse_rfc3339(now).unwrap()), hours * 3600);
        }
    }
}
