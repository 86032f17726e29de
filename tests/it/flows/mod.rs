//! The use cases as stories: one merchant, two channel accounts, a clock that the story moves, and no network. What the
//! channel says is part of the story. Every invariant is checked after every line.

mod decisions;
mod endings;
mod following;
mod model;
mod money;
mod payments;
mod random;
mod redirects;
mod refunds;
mod world;

use world::World;

/// Runs a story. Each line is one step; what stands behind `->` is what it must come to.
///
/// ```text
/// merchant fee=0.6% late=book|refund|hold duplicate=refund|hold fees=kept    optional, first
/// pay p1 100.00 [USD] [by wechat|alipay] [for 10m] [order=o1] [text=mug] [fixed]  -> state
/// choose p1 alipay                  the customer picks a wallet        -> state
/// cancel p1 [customer]                                                -> state
/// patch p1 for=10m text=mug note=x                                    -> state
/// sync p1                           the shop asks to ask
/// wait 30m                          own work that falls due is done on the way
/// expire p1                         as a runner that had taken the row before it was moved
/// answer p1 accepted                what the channel answers to what was due  -> what changed
/// answer p1 barred [elsewhere]      it refuses the account; another one takes the payment  -> what changed
/// begin p1                          an exchange goes out; the next `answer` belongs to it
/// notify p1 paid 100.00 [as t7] [by stranger]                         -> what changed
/// refund r1 p1 60.00 [no=n1] [text=x]     without an amount: the rest -> state
/// answer r1 succeeded [60.00] | processing | failed | not_found | refused | unknown  -> what changed
/// decide p1.c1 book | give_back | elsewhere | close [line 2]   what a person decides about a case -> its state
/// next p1 ask in 3s | nothing       the next follow-up of an attempt or a refund
/// books 1001 100.00, 2001 99.40     all balances that are not zero, added up by account
/// shows p1 paid late, fee 0.60      the payment
/// events p1 created, processing, paid
/// told p1 …                         the payment's timeline
/// cases p1 second_payment refunded
/// may p1.c1 give_back, elsewhere    what can be decided about a case, or about its `line 2`
/// days wechat paid 1 100.00         totals of the day
/// ```
/// `p1` as an attempt is the payment's last one, `p1/1` its first; `p1.r1` is its first refund, `p1.c1` its first case.
#[track_caller]
fn check(story: &str) {
    let mut world = World::new();
    for line in story.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (step, expected) = line.split_once("->").map_or((line, None), |(s, e)| (s.trim(), Some(e.trim())));
        let outcome = world.step(step);
        match (outcome, expected) {
            (Some(outcome), Some(expected)) => assert_eq!(outcome, expected, "in {line:?}"),
            (None, None) => {}
            (Some(outcome), None) => panic!("{line:?} comes to {outcome:?}, which the story does not say"),
            (None, Some(_)) => panic!("{line:?} comes to nothing"),
        }
        world.assert_sound(line);
    }
}
