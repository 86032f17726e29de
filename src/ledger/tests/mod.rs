//! The posting rules as a specification: small stories with the postings and balances they must leave, and random
//! stories against a plain model. Every invariant is checked after every step of every story.

mod world;

use proptest::prelude::*;

use self::world::{World, cny, cny_minor, share};
use super::rules::{self, Collected, GivenBack, RefundLegs};
use super::{ChannelPosition, MerchantPosition, Side};
use crate::domain::money::{Currency, Money};
use crate::domain::time::Timestamp;

#[test]
fn a_payment_is_booked_gross_and_its_fee_and_cost_are_taken_from_it() {
    check(
        "
        pay p1 100.00 fee 0.60 cost 0.38
          posts Dr 1001 100.00, Cr 2001 100.00, Dr 2001 0.60, Cr 4001 0.60, Dr 5001 0.38, Cr 1001 0.38
          books 1001 99.62, 2001 99.40, 4001 0.60, 5001 0.38
        ",
    );
}

#[test]
fn without_fee_and_cost_there_are_two_legs() {
    check(
        "
        pay p1 100.00
          posts Dr 1001 100.00, Cr 2001 100.00
          books 1001 100.00, 2001 100.00
        ",
    );
}

#[test]
fn one_fen_can_be_paid_and_refunded_even_when_the_fee_takes_all_of_it() {
    check(
        "
        pay p1 0.01 fee 0.01
          books 1001 0.01, 4001 0.01
        refund r1 p1 0.01
          posts Dr 1101 0.01, Cr 2006 0.01
        succeed r1 with fee
          posts Dr 2006 0.01, Cr 1001 0.01, Dr 4001 0.01, Cr 1101 0.01
          books nothing
        ",
    );
}

#[test]
fn clearing_makes_pending_money_available() {
    check(
        "
        pay p1 100.00 fee 0.60
        clear p1
          posts Dr 2001 99.40, Cr 2002 99.40
          books 1001 100.00, 2002 99.40, 4001 0.60
        ",
    );
}

#[test]
fn a_refund_takes_available_money_then_pending_money_then_a_debt() {
    check(
        "
        pay p1 30.00
        clear p1
        pay p2 50.00
        refund r1 p2 20.00
          posts Dr 2002 20.00, Cr 2006 20.00
        refund r2 p2 30.00
          posts Dr 2002 10.00, Dr 2001 20.00, Cr 2006 30.00
        refund r3 p1 30.00
          posts Dr 2001 30.00, Cr 2006 30.00
          books 1001 80.00, 2006 80.00
        ",
    );
    check(
        "
        pay p1 100.00 fee 0.60
        refund r1 p1 100.00
          posts Dr 2001 99.40, Dr 1101 0.60, Cr 2006 100.00
          books 1001 100.00, 1101 0.60, 2006 100.00, 4001 0.60
        ",
    );
}

#[test]
fn a_refund_that_succeeds_leaves_the_channel_and_gives_back_its_share_of_the_fee() {
    check(
        "
        pay p1 100.00 fee 0.60
        pay p2 1.00
        refund r1 p1 33.33
        succeed r1 with fee
          posts Dr 2006 33.33, Cr 1001 33.33, Dr 4001 0.19, Cr 2002 0.19
        refund r2 p1 66.67
        succeed r2 with fee
          posts Dr 2006 66.67, Cr 1001 66.67, Dr 4001 0.41, Cr 2002 0.41
          books 1001 1.00, 2001 0.59, 2002 0.41
        ",
    );
}

#[test]
fn a_refund_without_fee_return_leaves_the_fee_and_a_debt() {
    check(
        "
        pay p1 100.00 fee 0.60
        refund r1 p1 100.00
        succeed r1
          books 1101 0.60, 4001 0.60
        ",
    );
}

#[test]
fn a_channel_that_returns_its_cost_is_believed() {
    check(
        "
        pay p1 100.00 cost 0.38
        pay p2 100.00 cost 0.38
        refund r1 p1 100.00
        succeed r1 cost 0.38
          posts Dr 2006 100.00, Cr 1001 100.00, Dr 1001 0.38, Cr 5001 0.38
          books 1001 99.62, 2001 100.00, 5001 0.38
        ",
    );
}

#[test]
fn what_the_channel_refunds_beyond_the_books_came_from_the_owner() {
    check(
        "
        pay p1 100.00 cost 0.38
        refund r1 p1 100.00
        succeed r1
          posts Dr 2006 100.00, Cr 1001 99.62, Cr 3001 0.38
          books 3001 0.38, 5001 0.38
        ",
    );
}

#[test]
fn a_refund_that_fails_goes_back_to_where_it_was_taken() {
    check(
        "
        pay p1 30.00
        clear p1
        pay p2 50.00 fee 1.00
        refund r1 p2 40.00
          posts Dr 2002 30.00, Dr 2001 10.00, Cr 2006 40.00
        fail r1
          posts Dr 2006 40.00, Cr 2001 10.00, Cr 2002 30.00
        refund r2 p2 50.00
        refund r3 p1 30.00
          posts Dr 2001 29.00, Dr 1101 1.00, Cr 2006 30.00
        fail r3
          posts Dr 2006 30.00, Cr 2001 29.00, Cr 1101 1.00
        fail r2
          books 1001 80.00, 2001 49.00, 2002 30.00, 4001 1.00
        ",
    );
}

#[test]
fn what_a_failed_refund_gives_back_pays_a_newer_debt_first() {
    check(
        "
        pay p1 100.00
        clear p1
        pay p2 50.00 fee 10.00
        refund r1 p1 100.00
        refund r2 p2 50.00
          posts Dr 2001 40.00, Dr 1101 10.00, Cr 2006 50.00
        fail r1
          posts Dr 2006 100.00, Cr 1101 10.00, Cr 2002 90.00
        fail r2
          posts Dr 2006 50.00, Cr 2001 40.00, Cr 2002 10.00
          books 1001 150.00, 2001 40.00, 2002 100.00, 4001 10.00
        ",
    );
}

#[test]
fn pending_money_pays_no_debt_until_it_is_cleared() {
    check(
        "
        pay p1 100.00 fee 10.00
        refund r1 p1 100.00
        succeed r1
          books 1101 10.00, 4001 10.00
        pay p2 50.00
          books 1001 50.00, 1101 10.00, 2001 50.00, 4001 10.00
        clear p1
          posts nothing
        clear p2
          posts Dr 2001 50.00, Cr 1101 10.00, Cr 2002 40.00
          books 1001 50.00, 2002 40.00, 4001 10.00
        ",
    );
}

#[test]
fn clearing_releases_nothing_too_early_when_refunds_took_pending_money() {
    check(
        "
        pay p1 100.00
        pay p2 100.00
        refund r1 p1 60.00
          books 1001 200.00, 2001 140.00, 2006 60.00
        clear p1
          posts Dr 2001 40.00, Cr 2002 40.00
        clear p2
          posts Dr 2001 100.00, Cr 2002 100.00
        fail r1
          posts Dr 2006 60.00, Cr 2001 60.00
        pay p3 5.00
        clear p3
          posts Dr 2001 65.00, Cr 2002 65.00
          books 1001 205.00, 2002 205.00
        ",
    );
}

#[test]
fn money_without_a_payment_is_visible_and_nobodys_until_it_is_booked_or_paid_back() {
    check(
        "
        surplus c1 100.00
          posts Dr 1001 100.00, Cr 2201 100.00
        surplus c2 20.00
        book c1 p1 fee 0.60
          posts Dr 2201 100.00, Cr 2001 100.00, Dr 2001 0.60, Cr 4001 0.60
        repay c2
          posts Dr 2201 20.00, Cr 1001 20.00
          books 1001 100.00, 2001 99.40, 4001 0.60
        refund r1 p1 100.00
        succeed r1 with fee
          books nothing
        ",
    );
}

#[test]
fn an_event_seen_twice_posts_once() {
    check(
        "
        pay p1 100.00
        again
        refund r1 p1 40.00
        again
        succeed r1
        again
          books 1001 60.00, 2001 60.00
        ",
    );
}

#[test]
fn a_reversal_undoes_an_entry_and_names_it() {
    check(
        "
        pay p1 100.00 fee 0.60 cost 0.38
        reverse
          posts Cr 1001 100.00, Dr 2001 100.00, Cr 2001 0.60, Dr 4001 0.60, Cr 5001 0.38, Dr 1001 0.38
          books nothing
        ",
    );
}

#[test]
fn a_refund_leaves_what_is_in_transit_then_what_was_settled() {
    let world = World::new();
    let fact = world.collected("p1", cny("1.00"), cny("0.00"), cny("0.00"));
    let refund = world.refunding("r1", "p1", cny("1.00"));
    let back = GivenBack { fee: cny("0.00"), cost: cny("0.00") };
    let merchant = MerchantPosition::default();
    let credits = |in_transit, settled| {
        let position = ChannelPosition { in_transit, settled };
        let entry =
            rules::refund_succeeded(&refund, fact.channel, &back, &merchant, &position, Timestamp::MIN).unwrap();
        let credits = entry.postings().iter().filter(|posting| posting.side == Side::Credit);
        credits.map(|posting| (posting.account.code().code(), posting.minor)).collect::<Vec<_>>()
    };
    assert_eq!(credits(100, 100), [(1001, 100)]);
    assert_eq!(credits(60, 100), [(1001, 60), (1002, 40)]);
    assert_eq!(credits(60, 10), [(1001, 60), (1002, 10), (3001, 30)]);
    // Sums outgrow 64 bits long before single amounts do.
    assert_eq!(credits(1 << 64, 0), [(1001, 100)]);
}

#[test]
fn contradictory_facts_are_refused() {
    let fact = World::new().collected("p1", cny("1.00"), cny("0.00"), cny("0.00"));
    let paid = |fact: Collected| rules::paid(&fact, Timestamp::MIN).err();
    assert_eq!(paid(fact), None);
    assert_eq!(paid(Collected { fee: cny("1.01"), ..fact }), Some(rules::CannotPost::FeeAboveAmount));
    assert_eq!(paid(Collected { cost: cny("1.01"), ..fact }), Some(rules::CannotPost::CostAboveAmount));
    let dollar = Money::new(1, Currency::USD);
    assert_eq!(paid(Collected { fee: dollar, ..fact }), Some(rules::CannotPost::MixedCurrencies));
    let nothing = Collected { amount: cny("0.00"), ..fact };
    assert_eq!(paid(nothing), Some(rules::CannotPost::Unbalanced(super::Unbalanced::Empty)));

    let refund = World::new().refunding("r1", "p1", cny("1.00"));
    let other = RefundLegs { available: 50, pending: 49, owed: 0 };
    let position = MerchantPosition::default();
    let failed = rules::refund_failed(&refund, &other, &position, Timestamp::MIN);
    assert_eq!(failed.err(), Some(rules::CannotPost::LegsDiffer));
}

/// What can happen next in a random story. Indexes are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Pay {
        minor: u64,
        fee_ppm: u32,
        cost_ppm: u32,
    },
    /// A part of what is left to refund; at least one fen.
    Refund {
        payment: usize,
        part_ppm: u32,
    },
    Succeed {
        refund: usize,
        with_fee: bool,
    },
    Fail {
        refund: usize,
    },
    Clear {
        payment: usize,
    },
    Surplus {
        minor: u64,
    },
    Book {
        case: usize,
        fee_ppm: u32,
    },
    Repay {
        case: usize,
    },
    /// Whatever happened last is reported once more.
    Again,
}

fn step() -> impl Strategy<Value = Step> {
    let minor = prop_oneof![1..=3u64, 1..=20_000u64, 1..=crate::domain::money::AMOUNT_MAX_MINOR];
    let ppm = || prop_oneof![Just(0u32), Just(6_000), Just(1_000_000), 0..=1_000_000u32];
    prop_oneof![
        4 => (minor.clone(), ppm(), ppm()).prop_map(|(minor, fee_ppm, cost_ppm)| Step::Pay { minor, fee_ppm, cost_ppm }),
        6 => (any::<usize>(), ppm()).prop_map(|(payment, part_ppm)| Step::Refund { payment, part_ppm }),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(refund, with_fee)| Step::Succeed { refund, with_fee }),
        3 => any::<usize>().prop_map(|refund| Step::Fail { refund }),
        2 => any::<usize>().prop_map(|payment| Step::Clear { payment }),
        1 => minor.prop_map(|minor| Step::Surplus { minor }),
        1 => (any::<usize>(), ppm()).prop_map(|(case, fee_ppm)| Step::Book { case, fee_ppm }),
        1 => any::<usize>().prop_map(|case| Step::Repay { case }),
        1 => Just(Step::Again),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_books_hold_after_every_step_of_any_story(steps in proptest::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
            world.assert_sound();
        }
    }

    #[test]
    fn a_full_refund_in_any_parts_and_any_order_leaves_nothing(
        parts in proptest::collection::vec(1..50_000u64, 1..12),
        fee_ppm in 0..=1_000_000u32,
        order in any::<u64>(),
    ) {
        let mut world = World::new();
        let amount = cny_minor(parts.iter().sum());
        world.pay("p1", amount, share(amount, fee_ppm), cny_minor(0));
        let mut open: Vec<String> = (0..parts.len()).map(|i| format!("r{i}")).collect();
        for (name, part) in open.iter().zip(&parts) {
            world.refund(name, "p1", cny_minor(*part));
        }
        let mut order = order;
        while !open.is_empty() {
            let next = open.remove((order % open.len() as u64) as usize);
            order = order.rotate_left(7).wrapping_mul(31);
            world.succeed(&next, true, cny_minor(0));
            world.assert_sound();
        }
        prop_assert_eq!(world.books(), "nothing");
    }
}

/// Runs a story of one merchant with one channel account, in CNY.
#[track_caller]
fn check(story: &str) {
    let mut world = World::new();
    for line in story.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let option = |name| words.iter().position(|w| *w == name).map_or(cny_minor(0), |i| cny(words[i + 1]));
        match words[..] {
            ["pay", payment, amount, ..] => world.pay(payment, cny(amount), option("fee"), option("cost")),
            ["clear", payment] => world.clear(payment),
            ["refund", refund, payment, amount] => world.refund(refund, payment, cny(amount)),
            ["succeed", refund, ..] => world.succeed(refund, words.contains(&"with"), option("cost")),
            ["fail", refund] => world.fail(refund),
            ["surplus", case, amount] => world.surplus(case, cny(amount)),
            ["book", case, payment, ..] => world.book(case, payment, option("fee")),
            ["repay", case] => world.repay(case),
            ["again"] => world.again(),
            ["reverse"] => world.reverse(),
            ["posts", ..] => assert_eq!(world.last_postings(), line["posts ".len()..], "in {line:?}"),
            ["books", ..] => assert_eq!(world.books(), line["books ".len()..], "in {line:?}"),
            _ => panic!("not a step: {line:?}"),
        }
        world.assert_sound();
    }
}
