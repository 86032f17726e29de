//! Ends without money: the clock and the shop ask for them, only the channel's word brings them.

use super::check;

#[test]
fn an_open_payment_ends_at_once() {
    check(
        "
        pay p1 100.00 for 10m -> open
        wait 10m
        shows p1 expired expired
        events p1 created, expired
        told p1 ended expired
        pay p2 100.00 -> open
        cancel p2 -> canceled
        shows p2 canceled canceled_by_merchant
        told p2 end requested canceled_by_merchant, ended canceled_by_merchant
        pay p3 100.00 -> open
        cancel p3 customer -> canceled
        shows p3 canceled canceled_by_customer
        ",
    );
}

#[test]
fn a_live_attempt_expires_only_when_the_channel_has_said_so() {
    check(
        "
        pay p1 100.00 by wechat for 10m -> processing
        answer p1 accepted -> nothing
        wait 10m
        shows p1 processing
        next p1 ask_before_close now
        answer p1 unknown -> nothing
        shows p1 processing
        next p1 ask_before_close in 5s
        answer p1 not_paid -> nothing
        next p1 close now
        answer p1 unknown -> nothing
        answer p1 not_paid -> nothing
        answer p1 closed -> nothing
        shows p1 processing
        next p1 ask_after_close now
        answer p1 closed -> expired
        events p1 created, processing, expired
        ",
    );
}

#[test]
fn money_that_races_the_expiry_wins() {
    check(
        "
        pay p1 100.00 by wechat for 10m -> processing
        answer p1 accepted -> nothing
        wait 10m
        answer p1 paid 100.00 -> paid
        shows p1 paid
        events p1 created, processing, paid
        pay p2 100.00 by wechat for 10m -> processing
        answer p2 accepted -> nothing
        wait 10m
        answer p2 not_paid -> nothing
        answer p2 closed -> nothing
        answer p2 paid 100.00 -> paid
        shows p2 paid
        ",
    );
}

#[test]
fn money_that_races_the_cancel_wins() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        answer p1 accepted -> nothing
        cancel p1 -> processing
        cancel p1 -> processing
        answer p1 not_paid -> nothing
        begin p1
        notify p1 paid 100.00 -> paid
        answer p1 refused -> nothing
        cancel p1 -> refused payment_ended paid
        events p1 created, processing, paid
        told p1 /1 wechat_native, /1 shown, end requested canceled_by_merchant, /1 asked not_paid, /1 notified paid, /1 paid by notification, /1 asked NO
        ",
    );
}

#[test]
fn a_canceled_payment_is_told_once_and_canceled_twice_is_canceled_once() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        answer p1 accepted -> nothing
        cancel p1 -> processing
        answer p1 not_paid -> nothing
        answer p1 closed -> nothing
        answer p1 not_found -> canceled
        cancel p1 -> canceled
        cancel p1 customer -> canceled
        events p1 created, processing, canceled
        choose p1 wechat -> refused payment_ended canceled
        refund r1 p1 -> refused payment_not_paid canceled
        ",
    );
}

#[test]
fn who_gave_up_first_names_the_end() {
    check(
        "
        pay p1 100.00 by wechat for 10m -> processing
        answer p1 accepted -> nothing
        cancel p1 customer -> processing
        cancel p1 -> processing
        wait 10m
        answer p1 not_paid -> nothing
        answer p1 closed -> nothing
        answer p1 closed -> canceled
        shows p1 canceled canceled_by_customer
        ",
    );
}

#[test]
fn a_payment_that_is_being_ended_takes_no_new_attempt_and_no_change() {
    check(
        "
        pay p1 100.00 -> open
        choose p1 wechat -> processing p1/1
        answer p1 accepted -> nothing
        cancel p1 -> processing
        choose p1 alipay -> refused payment_ended processing
        patch p1 text=x -> refused payment_ended processing
        ",
    );
}

#[test]
fn a_payment_with_two_live_attempts_ends_with_the_last_of_them() {
    check(
        "
        pay p1 100.00 -> open
        choose p1 wechat -> processing p1/1
        answer p1/1 accepted -> nothing
        choose p1 alipay -> processing p1/2
        answer p1/2 accepted -> nothing
        cancel p1 -> processing
        answer p1/2 not_paid -> nothing
        answer p1/2 closed -> nothing
        answer p1/2 closed -> nothing
        answer p1/1 not_paid -> nothing
        answer p1/1 closed -> nothing
        answer p1/1 closed -> canceled
        ",
    );
}

#[test]
fn an_order_that_never_reached_the_channel_ends_with_its_first_question() {
    check(
        "
        pay p1 100.00 by wechat for 10m -> processing
        answer p1 unknown -> nothing
        cancel p1 -> processing
        answer p1 not_found -> canceled
        ",
    );
}

#[test]
fn an_attempt_that_is_held_keeps_its_payment_from_ending() {
    check(
        "
        pay p1 100.00 by wechat for 10m -> processing
        answer p1 accepted -> nothing
        notify p1 paid 1.00 -> case wrong_amount
        wait 10m
        shows p1 processing
        cancel p1 -> processing
        next p1 hold now
        answer p1 not_paid -> nothing
        next p1 hold in 1m
        notify p1 closed -> expired
        ",
    );
}
