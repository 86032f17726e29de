//! Create, choose, change: the payment before any money moves.

use coffer::domain::payment::{Customer, Payment};
use coffer::flows::Moment;
use coffer::flows::sweep::sweep;
use coffer::store::Read;
use coffer::store::tables::PAYMENTS;

use super::check;
use super::world::{SCOPE, World};

#[test]
fn a_payment_without_a_method_is_open_and_asks_no_channel() {
    check(
        "
        pay p1 100.00 -> open
        events p1 created
        shows p1 open
        books nothing
        ",
    );
}

#[test]
fn the_same_order_again_is_the_same_payment() {
    check(
        "
        pay p1 100.00 order=o1 -> open
        pay p2 100.00 order=o1 -> open as before
        choose p2 wechat -> processing p2/1
        pay p3 100.00 order=o1 -> processing as before
        events p1 created, processing
        ",
    );
}

#[test]
fn an_order_number_with_other_content_is_refused_for_ever() {
    check(
        "
        pay p1 100.00 order=o1 -> open
        pay p2 100.01 order=o1 -> refused order_id_reused
        pay p2 100.00 order=o1 text=two_mugs -> refused order_id_reused
        cancel p1 -> canceled
        pay p2 100.01 order=o1 -> refused order_id_reused
        pay p3 100.00 order=o1 -> canceled as before
        ",
    );
}

#[test]
fn choosing_the_method_that_is_shown_starts_nothing() {
    check(
        "
        pay p1 100.00 -> open
        choose p1 wechat -> processing p1/1
        choose p1 wechat -> processing p1/1
        answer p1 accepted -> nothing
        choose p1 wechat -> processing p1/1
        ",
    );
}

#[test]
fn changing_the_method_closes_the_other_attempt_by_asking_closing_and_asking() {
    check(
        "
        pay p1 100.00 -> open
        choose p1 wechat -> processing p1/1
        answer p1 accepted -> nothing
        choose p1 alipay -> processing p1/2
        next p1/1 ask_before_close now
        next p1/2 create now
        answer p1/2 accepted -> nothing
        answer p1/1 not_paid -> nothing
        next p1/1 close now
        answer p1/1 closed -> nothing
        next p1/1 ask_after_close now
        answer p1/1 closed -> nothing
        told p1 /1 wechat_native, /1 shown, /2 alipay_qr, /2 shown, /1 asked not_paid, /1 asked closed, /1 ended expired
        answer p1/2 paid 100.00 -> paid
        events p1 created, processing, paid
        ",
    );
}

#[test]
fn a_refused_attempt_with_a_fixed_method_fails_the_payment() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        answer p1 refused -> failed
        shows p1 failed channel_refused
        events p1 created, processing, failed
        pay p2 100.00 by wechat -> processing
        answer p2 accepted -> nothing
        notify p2 declined -> failed
        shows p2 failed declined
        choose p2 wechat -> refused payment_ended failed
        days day 1 any created 2 ended 2
        ",
    );
}

#[test]
fn a_refused_attempt_with_the_customers_choice_leaves_the_payment_open() {
    check(
        "
        pay p1 100.00 -> open
        choose p1 wechat -> processing p1/1
        answer p1 accepted -> nothing
        answer p1 declined -> open
        choose p1 wechat -> processing p1/2
        answer p1 refused -> open
        choose p1 alipay -> processing p1/3
        events p1 created, processing, processing, processing
        told p1 /1 wechat_native, /1 shown, /1 asked declined, /1 ended declined, /2 wechat_native, /2 asked NO, /2 ended channel_refused, /3 alipay_qr
        ",
    );
}

#[test]
fn a_payment_takes_twenty_attempts() {
    let mut story = "pay p1 100.00 -> open\n".to_owned();
    for n in 1..=20 {
        story += &format!("choose p1 {} -> processing p1/{n}\n", if n % 2 == 0 { "alipay" } else { "wechat" });
    }
    check(&format!("{story}\nchoose p1 wechat -> refused too_many_attempts"));
}

#[test]
fn a_change_of_the_expiry_moves_the_end() {
    check(
        "
        pay p1 100.00 for 10m -> open
        wait 9m
        patch p1 for=10m -> open
        wait 9m
        shows p1 open
        wait 1m
        shows p1 expired expired
        pay p2 100.00 for 10m -> open
        patch p2 for=1m -> open
        wait 1m
        shows p2 expired expired
        ",
    );
}

#[test]
fn no_payment_waits_longer_than_a_week() {
    check(
        "
        pay p1 100.00 for 7d -> open
        patch p1 for=7d -> open
        wait 1m
        patch p1 for=7d -> refused expiry_out_of_range
        patch p1 for=6d -> open
        ",
    );
}

#[test]
fn totals_are_counted_by_the_merchants_day_and_the_method() {
    check(
        "
        pay p1 100.00 by wechat for 1d -> processing
        pay p2 50.00 by alipay for 1d -> processing
        pay p3 10.00 -> open
        cancel p3 -> canceled
        notify p1 paid 100.00 -> paid
        answer p2 accepted -> nothing
        wait 13h
        answer p2 paid 50.00 -> paid
        wait 1h
        refund r1 p1 40.00 -> pending
        answer r1 succeeded -> succeeded
        pay p4 10.00 -> open
        days day 1 wechat paid 1 100.00, day 1 alipay paid 1 50.00 healed 1, day 1 any created 3 ended 1, day 2 wechat refunded 1 40.00, day 2 any created 1
        ",
    );
}

#[test]
fn a_payment_with_a_method_tells_its_channel_at_once() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        next p1 create now
        answer p1 accepted -> nothing
        next p1 ask in 3s
        answer p1 not_paid -> nothing
        next p1 ask in 5s
        answer p1 paid 100.00 -> paid
        next p1 nothing
        events p1 created, processing, paid
        told p1 /1 wechat_native, /1 shown, /1 asked not_paid, /1 asked paid, /1 paid by query
        books 1001 100.00, 2001 100.00
        ",
    );
}

#[test]
fn a_change_is_one_line_and_one_version() {
    check(
        "
        pay p1 100.00 -> open
        patch p1 text=two_mugs -> open
        patch p1 note=gift text=three_mugs -> open
        patch p1 text=four_mugs -> open
        patch p1 text=five_mugs -> open
        patch p1 -> open
        told p1 changed description, changed description metadata, changed description, changed description
        cancel p1 -> canceled
        patch p1 text=x -> refused payment_ended canceled
        ",
    );
}

#[test]
fn a_shop_that_fixed_the_method_gets_no_other() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        choose p1 alipay -> refused method_unavailable
        choose p1 wechat -> processing p1/1
        ",
    );
}

/// The runner had taken the row when the shop moved the expiry.
#[test]
fn an_expiry_that_was_moved_in_the_last_moment_does_not_end_the_payment() {
    check(
        "
        pay p1 100.00 for 10m -> open
        patch p1 for=20m -> open
        expire p1
        shows p1 open
        wait 20m
        shows p1 expired expired
        ",
    );
}

#[test]
fn totals_add_no_foreign_currency_to_the_merchants_own() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        pay p2 30.00 USD by wechat -> processing
        notify p1 paid 100.00 -> paid
        notify p2 paid 30.00 USD -> paid
        refund r1 p2 -> pending
        answer r1 succeeded -> succeeded
        days day 1 wechat paid 2 100.00 refunded 1, day 1 any created 2
        books 1001 100.00, 2001 100.00
        ",
    );
}

#[test]
fn what_is_known_about_a_customer_is_forgotten_half_a_year_later() {
    let mut world = World::new();
    let known = Customer {
        ip: Some("203.0.113.9".parse().unwrap()),
        email: Some("li@mugs.example".to_owned()),
        openid: Some("o-1".to_owned()),
        ..Customer::default()
    };
    for (name, wait) in [("p1", "100d"), ("p2", "81d")] {
        world.step(&format!("pay {name} 100.00 by wechat"));
        world.step(&format!("notify {name} paid 100.00 as {name}"));
        let (id, customer) = (world.payment(name).id, known.clone());
        let tell = move |tx: &mut coffer::store::WriteTx<'_>| {
            let payment = Payment { customer: customer.clone(), ..tx.get(&PAYMENTS, &(SCOPE, id))?.unwrap() };
            tx.put(&PAYMENTS, &(SCOPE, id), &payment)
        };
        world.store.write_blocking(tell).unwrap();
        world.step(&format!("wait {wait}"));
    }
    for _ in 0..2 {
        let now = world.now;
        let sweep = move |tx: &mut coffer::store::WriteTx<'_>| sweep(tx, now, Moment::at(now, [1; 10]));
        world.store.write_blocking(sweep).unwrap();
        let (old, young) = (world.payment("p1"), world.payment("p2"));
        assert_eq!((&old.customer, &young.customer), (&Customer::default(), &known));
        assert_eq!((old.amount, old.state.code()), (young.amount, "paid"), "nothing else went");
    }
    world.assert_sound("forgetting");
}
