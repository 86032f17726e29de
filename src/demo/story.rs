//! The demo's past as a story: who came to the shop when, bought what, and did what at the cashier. Pure and repeatable.

use data_encoding::BASE32_NOPAD;

use super::random::Dice;
use crate::domain::method::Method;
use crate::domain::time::{Duration, Timestamp};

/// The shop's zone, which has had no summer time since 1991.
pub const ZONE: &str = "Asia/Shanghai";
const ZONE_SECONDS: i64 = 8 * 3600;

/// What a story is told from.
pub const SEED: u64 = 0x636f_6666_6572;

/// Visits of a usual day at today's size of the shop.
const VISITS_PER_DAY: u64 = 56;
/// The shop began at this share of its size, in permille.
const BEGAN_AT: u64 = 600;
/// From Monday to Sunday, in permille of a usual day.
const WEEKDAYS: [u64; 7] = [880, 860, 900, 940, 1060, 1240, 1120];
/// From midnight on.
const HOURS: [u64; 24] = [4, 2, 1, 1, 1, 2, 6, 14, 26, 44, 58, 62, 66, 50, 46, 52, 60, 58, 54, 68, 86, 92, 64, 24];
/// So many days ago there was a sale.
const SALE: (u32, u64) = (41, 2100);

/// Of a thousand payments so many are refunded later.
const REFUNDED: u64 = 22;
/// Of a thousand notifications so many never arrive.
const NOTIFICATIONS_LOST: u64 = 12;

/// What is for sale, with its price in fen.
const GOODS: [(&str, u64, u64); 10] = [
    ("雾蓝马克杯", 5_900, 24),
    ("素白马克杯", 4_900, 22),
    ("山峦马克杯", 6_900, 16),
    ("猫咪马克杯", 7_900, 14),
    ("杯垫四只装", 2_900, 10),
    ("双层玻璃杯", 8_900, 8),
    ("刻字马克杯", 9_900, 7),
    ("旅行杯 350 ml", 12_900, 6),
    ("马克杯礼盒", 13_800, 5),
    ("手冲壶", 16_800, 3),
];
const POSTAGE_MINOR: u64 = 800;
const POSTAGE_FREE_FROM_MINOR: u64 = 9_900;

const METHODS: [(Method, u64); 5] = [
    (Method::WechatNative, 46),
    (Method::AlipayQr, 29),
    (Method::WechatH5, 12),
    (Method::AlipayWap, 8),
    (Method::UnionpayQr, 5),
];

const REASONS: [&str; 6] = ["收到时有裂纹", "颜色与图片不符", "买错了", "七天无理由退货", "少发一只", "刻字有误"];

/// One person who put something into the basket and went to the cashier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    pub at: Timestamp,
    pub order_id: String,
    pub goods: &'static str,
    pub pieces: u64,
    pub amount_minor: u64,
    /// From the order to the choice of a method.
    pub chooses_after: Duration,
    /// From the code on the screen to what the person does.
    pub acts_after: Duration,
    pub conduct: Conduct,
    pub refund: Option<RefundWish>,
}

/// What the person does at the cashier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    Pays {
        method: Method,
        /// Whether the channel's notification arrives.
        told: bool,
    },
    NeverChooses,
    Leaves(Method),
    Cancels(Method),
    /// Looks at the first code and pays with the second.
    ChangesWallet(Method, Method),
    /// The first wallet refuses, the second pays.
    DeclinedOnce(Method, Method),
    /// The shop chose the method and the wallet refuses.
    Declined(Method),
    /// After the payment had expired.
    PaysLate(Method),
    /// Both codes are paid.
    PaysTwice(Method, Method),
    /// The channel reports one fen too little.
    WrongAmount(Method),
}

/// What happens to the money afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefundWish {
    pub after: Duration,
    /// `None`: all of it.
    pub amount_minor: Option<u64>,
    pub reason: &'static str,
    /// A person in the console, or the shop's own system.
    pub by_person: bool,
    /// The channel refuses it.
    pub fails: bool,
}

/// Days since 1970-01-01 where the shop is.
pub fn day_of(at: Timestamp) -> u32 {
    u32::try_from((at.as_seconds() + ZONE_SECONDS).div_euclid(86_400)).unwrap_or(0)
}

/// When the day begins where the shop is.
pub fn midnight(day: u32) -> Timestamp {
    Timestamp::from_seconds(i64::from(day) * 86_400 - ZONE_SECONDS)
}

/// The visits of the day that was `age` days ago, in order. The shop has been open for `days`.
pub fn visits(today: u32, age: u32, days: u32) -> Vec<Visit> {
    let mut dice = Dice::new(SEED, u64::from(age));
    let day = today.saturating_sub(age);
    let mut times: Vec<_> = (0..count(&mut dice, day, age, days)).map(|_| time_of_day(&mut dice)).collect();
    times.sort_unstable();
    let mut visits: Vec<_> =
        times.into_iter().map(|millis| visit(&mut dice, midnight(day).plus(Duration::from_millis(millis)))).collect();
    for (rare, conduct) in rarities(age) {
        // In the morning, so that even today's story has room for what follows from it.
        if let Some(visit) = visits.get_mut(rare) {
            visit.conduct = conduct;
            visit.refund = None;
        }
    }
    visits
}

/// What happens seldom happens on purpose, so that every demo shows it.
fn rarities(age: u32) -> Vec<(usize, Conduct)> {
    use Method::{AlipayQr, WechatNative};
    match age {
        1 => vec![(9, Conduct::WrongAmount(WechatNative)), (14, Conduct::Pays { method: AlipayQr, told: false })],
        2 | 17 | 46 => vec![(11, Conduct::PaysLate(AlipayQr))],
        8 => vec![(12, Conduct::PaysTwice(WechatNative, AlipayQr))],
        _ => Vec::new(),
    }
}

fn count(dice: &mut Dice, day: u32, age: u32, days: u32) -> u64 {
    // 1970-01-01 was a Thursday.
    let weekday = WEEKDAYS[(day as usize + 3) % 7];
    let growth = BEGAN_AT + (1000 - BEGAN_AT) * u64::from(days.saturating_sub(age)) / u64::from(days.max(1));
    let sale = if age == SALE.0 { SALE.1 } else { 1000 };
    VISITS_PER_DAY * weekday * growth / 1000 * sale / 1000 * dice.between(880, 1120) / 1_000_000
}

fn time_of_day(dice: &mut Dice) -> u64 {
    dice.weighted(HOURS) as u64 * 3_600_000 + dice.between(0, 3_599_999)
}

fn visit(dice: &mut Dice, at: Timestamp) -> Visit {
    // As the shop numbers its orders today.
    let order_id =
        format!("S{}-{}", at.in_zone(ZONE).strftime("%Y%m%d%H%M%S"), BASE32_NOPAD.encode(&dice.bytes::<5>()));
    let (goods, price, _) = GOODS[dice.weighted(GOODS.map(|(_, _, weight)| weight))];
    let pieces = [1, 2, 4][dice.weighted([80, 16, 4])];
    let sum = price * pieces;
    let amount_minor = if sum < POSTAGE_FREE_FROM_MINOR { sum + POSTAGE_MINOR } else { sum };
    let conduct = conduct(dice);
    Visit {
        at,
        order_id,
        goods,
        pieces,
        amount_minor,
        chooses_after: Duration::from_millis(dice.between(2_500, 24_000)),
        acts_after: patience(dice),
        refund: refund(dice, conduct, price, pieces),
        conduct,
    }
}

fn conduct(dice: &mut Dice) -> Conduct {
    let method = METHODS[dice.weighted(METHODS.map(|(_, weight)| weight))].0;
    let other = if method == Method::AlipayQr { Method::WechatNative } else { Method::AlipayQr };
    match dice.weighted([884, 28, 40, 14, 18, 10, 6]) {
        0 => Conduct::Pays { method, told: !dice.permille(NOTIFICATIONS_LOST) },
        1 => Conduct::NeverChooses,
        2 => Conduct::Leaves(method),
        3 => Conduct::Cancels(method),
        4 => Conduct::ChangesWallet(method, other),
        5 => Conduct::DeclinedOnce(method, other),
        _ => Conduct::Declined(method),
    }
}

fn patience(dice: &mut Dice) -> Duration {
    let (low, high) = [(5_000, 26_000), (26_000, 90_000), (90_000, 420_000)][dice.weighted([76, 20, 4])];
    Duration::from_millis(dice.between(low, high))
}

fn refund(dice: &mut Dice, conduct: Conduct, price: u64, pieces: u64) -> Option<RefundWish> {
    let pays = matches!(conduct, Conduct::Pays { .. } | Conduct::ChangesWallet(..) | Conduct::DeclinedOnce(..));
    if !pays || !dice.permille(REFUNDED) {
        return None;
    }
    let minutes = [(20, 300), (300, 4_000), (4_000, 13_000)][dice.weighted([3, 5, 2])];
    let one_of_many = pieces > 1 && dice.permille(600);
    let goodwill = dice.permille(200);
    Some(RefundWish {
        after: Duration::from_minutes(dice.between(minutes.0, minutes.1)),
        amount_minor: if one_of_many { Some(price) } else { goodwill.then_some(price / 2) },
        reason: dice.choose(REASONS.as_slice()),
        by_person: dice.permille(400),
        fails: dice.permille(40),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: u32 = 20_780;

    #[test]
    fn the_same_day_tells_the_same_story() {
        assert_eq!(visits(TODAY, 5, 90), visits(TODAY, 5, 90));
        assert_ne!(visits(TODAY, 5, 90).len(), 0);
    }

    #[test]
    fn a_quarter_is_thousands_of_orders_with_a_few_in_a_hundred_refunded() {
        let all: Vec<_> = (0..90).flat_map(|age| visits(TODAY, age, 90)).collect();
        assert!((3_000..6_000).contains(&all.len()), "{}", all.len());
        let refunds = all.iter().filter(|visit| visit.refund.is_some()).count();
        assert!((10..=30).contains(&(refunds * 1000 / all.len())), "{refunds} of {}", all.len());
        let mut orders: Vec<_> = all.iter().map(|visit| &visit.order_id).collect();
        orders.sort();
        orders.dedup();
        assert_eq!(orders.len(), all.len(), "order numbers are used once");
    }

    #[test]
    fn a_day_lies_within_itself_and_a_weekend_sells_more() {
        let sold = |age| visits(TODAY, age, 90).len();
        for visit in visits(TODAY, 3, 90) {
            assert_eq!(day_of(visit.at), TODAY - 3);
        }
        let saturday = (0..7).find(|age| (TODAY - age + 3) % 7 == 5).unwrap();
        assert!(sold(saturday) > sold(saturday + 3), "a Saturday against the Wednesday before");
    }

    #[test]
    fn what_is_rare_is_in_the_story() {
        let rare = |age, wanted: fn(&Conduct) -> bool| visits(TODAY, age, 90).iter().any(|v| wanted(&v.conduct));
        assert!(rare(1, |c| matches!(c, Conduct::WrongAmount(_))));
        assert!(rare(2, |c| matches!(c, Conduct::PaysLate(_))));
        assert!(rare(8, |c| matches!(c, Conduct::PaysTwice(..))));
    }
}
