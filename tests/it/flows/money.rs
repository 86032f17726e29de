//! Money arrives: once, twice, in another amount, for somebody else, after the end.

use super::check;
use super::world::World;

#[test]
fn a_repeated_notification_posts_once() {
    check(
        "
        merchant fee=0.6%
        pay p1 100.00 by wechat -> processing
        answer p1 accepted -> nothing
        notify p1 paid 100.00 -> paid
        shows p1 paid, fee 0.60
        notify p1 paid 100.00 -> nothing
        notify p1 paid 100.00 -> nothing
        events p1 created, processing, paid
        told p1 /1 wechat_native, /1 shown, /1 notified paid, /1 paid by notification, /1 notified paid
        books 1001 100.00, 2001 99.40, 4001 0.60
        days day 1 wechat paid 1 100.00, day 1 any created 1
        ",
    );
}

#[test]
fn a_lost_notification_is_found_by_asking() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        answer p1 accepted -> nothing
        answer p1 paid 100.00 -> paid
        notify p1 paid 100.00 -> nothing
        days day 1 wechat paid 1 100.00 healed 1, day 1 any created 1
        ",
    );
}

#[test]
fn a_notification_may_come_before_the_answer_to_the_order() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        begin p1
        notify p1 paid 100.00 -> paid
        answer p1 accepted -> nothing
        next p1 nothing
        events p1 created, processing, paid
        books 1001 100.00, 2001 100.00
        ",
    );
}

#[test]
fn a_question_that_crossed_the_notification_changes_nothing() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        answer p1 accepted -> nothing
        wait 3s
        begin p1
        notify p1 paid 100.00 -> paid
        answer p1 not_paid -> nothing
        next p1 nothing
        shows p1 paid
        ",
    );
}

#[test]
fn contradicting_notifications_after_the_payment_change_nothing() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        notify p1 paid 100.00 -> paid
        notify p1 closed -> nothing
        notify p1 declined -> nothing
        notify p1 not_paid -> nothing
        shows p1 paid
        books 1001 100.00, 2001 100.00
        ",
    );
}

#[test]
fn a_wrong_amount_books_nothing_and_opens_one_case() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        answer p1 accepted -> nothing
        notify p1 paid 0.01 -> case wrong_amount
        notify p1 paid 0.01 -> nothing
        next p1 hold in 3s
        answer p1 paid 0.01 -> nothing
        next p1 hold in 5s
        shows p1 processing
        books nothing
        cases p1 wrong_amount open
        ",
    );
}

#[test]
fn a_wrong_currency_is_a_wrong_amount() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        notify p1 paid 100.00 USD -> case wrong_amount
        books nothing
        ",
    );
}

#[test]
fn money_for_another_merchant_books_nothing_and_opens_one_case() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        notify p1 paid 100.00 by stranger -> case wrong_identity
        notify p1 paid 100.00 by stranger -> nothing
        books nothing
        cases p1 wrong_identity open
        ",
    );
}

#[test]
fn the_transaction_of_one_payment_pays_no_other() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        pay p2 100.00 by wechat -> processing
        notify p1 paid 100.00 as t1 -> paid
        notify p2 paid 100.00 as t1 -> case wrong_identity
        shows p2 processing
        books 1001 100.00, 2001 100.00
        ",
    );
}

#[test]
fn the_right_amount_after_a_wrong_one_is_booked_and_the_case_stays() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        notify p1 paid 1.00 -> case wrong_amount
        notify p1 paid 100.00 -> paid
        cases p1 wrong_amount open
        books 1001 100.00, 2001 100.00
        ",
    );
}

#[test]
fn a_wrong_amount_is_asked_about_and_the_answer_is_booked_beside_the_case() {
    let mut world = World::new();
    for line in [
        "pay p1 100.00 by wechat",
        "answer p1 accepted",
        "notify p1 paid 99.99 as t1",
        "answer p1 unknown",
        "sync p1",
        "next p1 hold now",
        "answer p1 paid 100.00 as t1",
        "shows p1 paid",
        "cases p1 wrong_amount open",
        "books 1001 100.00, 2001 100.00",
        "next p1 nothing",
        "may p1.c1 close line 2",
    ] {
        world.step(line);
        world.assert_sound(line);
    }
    let said: Vec<_> = world.open_case("p1.c1").lines.iter().map(|line| line.seen.to_decimal()).collect();
    assert_eq!(said, ["99.99", "100.00"], "what the question brought stands beside what opened the case");
}

#[test]
fn a_merchant_may_want_to_look_at_second_payments_first() {
    check(
        "
        merchant duplicate=hold
        pay p1 100.00 -> open
        choose p1 wechat -> processing p1/1
        choose p1 alipay -> processing p1/2
        notify p1/1 paid 100.00 -> paid
        notify p1/2 paid 100.00 -> case second_payment
        cases p1 second_payment open
        books 1001 200.00, 2001 100.00, 2201 100.00
        ",
    );
}

#[test]
fn a_second_payment_does_not_count_as_money_to_refund() {
    check(
        "
        merchant duplicate=hold
        pay p1 100.00 -> open
        choose p1 wechat -> processing p1/1
        choose p1 alipay -> processing p1/2
        notify p1/1 paid 100.00 -> paid
        notify p1/2 paid 100.00 -> case second_payment
        refund r1 p1 100.01 -> refused refund_too_large 100.00
        refund r1 p1 -> pending
        refund r2 p1 0.01 -> refused refund_nothing_left
        ",
    );
}

#[test]
fn late_money_is_booked_and_marked_when_the_policy_says_book() {
    check(
        "
        merchant late=book fee=0.6%
        pay p1 100.00 for 10m -> open
        choose p1 wechat -> processing p1/1
        answer p1 accepted -> nothing
        wait 10m
        answer p1 not_paid -> nothing
        answer p1 closed -> nothing
        answer p1 closed -> expired
        notify p1 paid 100.00 -> paid late
        shows p1 paid late, fee 0.60
        events p1 created, processing, expired, late
        books 1001 100.00, 2001 99.40, 4001 0.60
        days day 1 wechat paid 1 100.00 late 1, day 1 any created 1 ended 1
        ",
    );
}

#[test]
fn late_money_is_booked_and_given_back_when_the_policy_says_refund() {
    check(
        "
        merchant late=refund fee=0.6%
        pay p1 100.00 by wechat -> processing
        answer p1 refused -> failed
        notify p1 paid 100.00 -> paid late, refund
        shows p1 paid late, fee 0.60, refunding 100.00
        books 1001 100.00, 1101 0.60, 2006 100.00, 4001 0.60
        answer p1.r1 succeeded -> succeeded
        shows p1 paid late, fee 0.60, refunded 100.00, fee back 0.60
        books nothing
        events p1 created, processing, failed, late, refund.created, refund.succeeded
        ",
    );
}

#[test]
fn late_money_waits_in_suspense_when_the_policy_says_hold() {
    check(
        "
        merchant late=hold
        pay p1 100.00 by wechat -> processing
        answer p1 refused -> failed
        notify p1 paid 100.00 -> case late_payment
        notify p1 paid 100.00 -> nothing
        shows p1 failed channel_refused
        cases p1 late_payment open
        books 1001 100.00, 2201 100.00
        refund r1 p1 -> refused payment_not_paid failed
        ",
    );
}

#[test]
fn a_paid_order_that_the_channel_names_with_another_amount_opens_a_case() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        notify p1 paid 100.00 -> paid
        notify p1 paid 10.00 -> case wrong_amount
        next p1 nothing
        shows p1 paid
        books 1001 100.00, 2001 100.00
        ",
    );
}

#[test]
fn a_paid_order_that_the_channel_names_with_another_transaction_opens_a_case() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        notify p1 paid 100.00 as t1 -> paid
        notify p1 paid 100.00 as t2 -> case contradiction
        notify p1 paid 100.00 as t2 -> nothing
        notify p1 paid 100.00 as t1 -> nothing
        shows p1 paid
        books 1001 100.00, 2001 100.00
        ",
    );
}

#[test]
fn the_transaction_of_one_attempt_pays_no_other_attempt_of_the_same_payment() {
    check(
        "
        pay p1 100.00 -> open
        choose p1 wechat -> processing p1/1
        choose p1 alipay -> processing p1/2
        notify p1/1 paid 100.00 as t1 -> paid
        notify p1/2 paid 100.00 as t1 -> case wrong_identity
        books 1001 100.00, 2001 100.00
        ",
    );
}

#[test]
fn money_of_a_second_attempt_is_refunded_out_of_suspense() {
    check(
        "
        merchant fee=0.6%
        pay p1 100.00 -> open
        choose p1 wechat -> processing p1/1
        answer p1/1 accepted -> nothing
        choose p1 alipay -> processing p1/2
        answer p1/2 accepted -> nothing
        notify p1/2 paid 100.00 -> paid
        answer p1/1 paid 100.00 -> case second_payment, refund
        notify p1/1 paid 100.00 -> nothing
        books 1001 200.00, 2001 99.40, 2201 100.00, 4001 0.60
        cases p1 second_payment refunding
        answer p1.r1 processing -> processing
        answer p1.r1 succeeded -> succeeded
        cases p1 second_payment refunded
        books 1001 100.00, 2001 99.40, 4001 0.60
        shows p1 paid, fee 0.60
        events p1 created, processing, paid, refund.created, refund.succeeded
        days day 1 alipay paid 1 100.00, day 1 any created 1
        ",
    );
}

#[test]
fn a_refund_out_of_suspense_that_fails_opens_the_case_again() {
    check(
        "
        pay p1 100.00 -> open
        choose p1 wechat -> processing p1/1
        choose p1 alipay -> processing p1/2
        notify p1/2 paid 100.00 -> paid
        notify p1/1 paid 100.00 -> case second_payment, refund
        answer p1.r1 refused -> failed
        cases p1 second_payment open
        books 1001 200.00, 2001 100.00, 2201 100.00
        events p1 created, processing, paid, refund.created, refund.failed
        ",
    );
}

#[test]
fn a_second_attempt_that_pays_late_is_a_second_payment() {
    check(
        "
        pay p1 100.00 -> open
        choose p1 wechat -> processing p1/1
        answer p1 declined -> open
        choose p1 alipay -> processing p1/2
        answer p1 declined -> open
        cancel p1 -> canceled
        notify p1/1 paid 100.00 -> paid late
        notify p1/2 paid 100.00 -> case second_payment, refund
        books 1001 200.00, 2001 100.00, 2201 100.00
        ",
    );
}
