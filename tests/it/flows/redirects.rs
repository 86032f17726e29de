//! Refunds that cannot go back the way they came: a person decides, the channel is told once, and asked about it.

use super::check;

const BLOCKED: &str = "
    pay p1 100.00 by wechat -> processing
    notify p1 paid 100.00 -> paid
    refund r1 p1 60.00 -> pending
    answer r1 processing -> processing
";

/// A story about a refund that the channel is moving.
fn blocked(story: &str) {
    check(&format!("{BLOCKED}{story}"));
}

#[test]
fn a_blocked_refund_is_neither_failed_nor_done_and_its_money_stays_in_transit() {
    blocked(
        "
        notify r1 undeliverable -> undeliverable
        books 1001 100.00, 2001 40.00, 2006 60.00
        shows p1 paid, refunding 60.00
        refund r2 p1 60.00 -> refused refund_too_large 40.00
        answer r1 undeliverable -> nothing
        answer r1 unknown -> nothing
        notify r1 undeliverable -> nothing
        events p1 created, processing, paid, refund.created, refund.undeliverable
        told p1 /1 wechat_native, /1 notified paid, /1 paid by notification, refund 1 requested, refund 1 undeliverable
        ",
    );
}

#[test]
fn to_another_card_it_succeeds_when_the_channel_says_so() {
    blocked(
        "
        answer r1 undeliverable -> undeliverable
        redirect r1 customer_card -> processing
        next r1 redirect now
        answer r1 processing -> nothing
        next r1 ask in 5s
        books 1001 100.00, 2001 40.00, 2006 60.00
        notify r1 succeeded -> succeeded
        books 1001 40.00, 2001 40.00
        events p1 created, processing, paid, refund.created, refund.undeliverable, refund.succeeded
        redirect r1 customer_card -> refused refund_not_waiting succeeded
        ",
    );
}

#[test]
fn to_the_merchant_it_is_done_only_when_a_person_says_that_the_customer_was_paid() {
    blocked(
        "
        answer r1 undeliverable -> undeliverable
        paid r1 cash -> refused refund_not_waiting undeliverable
        redirect r1 merchant -> processing
        answer r1 processing -> nothing
        answer r1 succeeded -> returned
        books 1001 40.00, 1002 60.00, 2001 40.00, 2006 60.00
        shows p1 paid, refunding 60.00
        notify r1 succeeded -> nothing
        redirect r1 customer_card -> refused refund_not_waiting returned
        paid r1 cash -> succeeded
        books 1002 40.00, 2001 40.00
        shows p1 paid, refunded 60.00
        paid r1 cash -> refused refund_not_waiting succeeded
        notify r1 succeeded -> nothing
        events p1 created, processing, paid, refund.created, refund.undeliverable, refund.returned, refund.succeeded
        ",
    );
}

#[test]
fn what_the_merchant_settles_on_the_channels_own_pages_is_followed() {
    blocked(
        "
        answer r1 undeliverable -> undeliverable
        answer r1 processing -> processing
        answer r1 returned -> returned
        notify r1 failed -> case contradiction
        paid r1 transfer -> succeeded
        ",
    );
    blocked(
        "
        answer r1 undeliverable -> undeliverable
        notify r1 succeeded -> succeeded
        ",
    );
}

#[test]
fn a_refusal_asks_the_person_again_at_once() {
    blocked(
        "
        answer r1 undeliverable -> undeliverable
        redirect r1 customer_card -> processing
        answer r1 refused -> undeliverable
        redirect r1 merchant -> processing
        answer r1 processing -> nothing
        answer r1 succeeded -> returned
        ",
    );
}

#[test]
fn a_lost_answer_is_asked_about_and_nothing_else_is_said_meanwhile() {
    blocked(
        "
        answer r1 undeliverable -> undeliverable
        redirect r1 customer_card -> processing
        answer r1 unknown -> nothing
        next r1 ask_redirected in 5s
        redirect r1 merchant -> refused refund_not_waiting processing
        answer r1 undeliverable -> nothing
        answer r1 not_found -> nothing
        notify r1 undeliverable -> nothing
        redirect r1 merchant -> refused refund_not_waiting processing
        answer r1 processing -> nothing
        next r1 ask in 5m
        answer r1 succeeded -> succeeded
        ",
    );
}

#[test]
fn a_card_that_never_arrived_is_asked_for_again_when_it_cannot_be_on_its_way_any_more() {
    blocked(
        "
        answer r1 undeliverable -> undeliverable
        redirect r1 customer_card -> processing
        answer r1 unknown -> nothing
        answer r1 undeliverable -> nothing
        answer r1 undeliverable -> nothing
        answer r1 undeliverable -> nothing
        next r1 ask_redirected in 40s
        answer r1 undeliverable -> undeliverable
        redirect r1 merchant -> processing
        ",
    );
}

#[test]
fn the_merchants_account_is_named_again_without_asking_the_person_but_not_for_ever() {
    blocked(
        "
        answer r1 undeliverable -> undeliverable
        redirect r1 merchant -> processing
        answer r1 unknown -> nothing
        wait 2m
        answer r1 undeliverable -> nothing
        next r1 redirect now
        answer r1 unknown -> nothing
        wait 2m
        answer r1 undeliverable -> nothing
        answer r1 unknown -> nothing
        wait 2m
        answer r1 undeliverable -> undeliverable
        ",
    );
}

#[test]
fn a_restart_between_decision_and_answer_loses_the_card_and_sends_nothing_twice() {
    blocked(
        "
        answer r1 undeliverable -> undeliverable
        redirect r1 customer_card -> processing
        restart
        next r1 ask_redirected now
        answer r1 undeliverable -> nothing
        redirect r1 merchant -> refused refund_not_waiting processing
        wait 2m
        answer r1 undeliverable -> undeliverable
        ",
    );
    // It had arrived before the process died.
    blocked(
        "
        answer r1 undeliverable -> undeliverable
        redirect r1 customer_card -> processing
        restart
        answer r1 processing -> nothing
        answer r1 succeeded -> succeeded
        ",
    );
}

#[test]
fn an_answer_that_was_under_way_while_a_person_decided_takes_nothing_back() {
    blocked(
        "
        answer r1 undeliverable -> undeliverable
        begin r1
        redirect r1 customer_card -> processing
        answer r1 undeliverable -> nothing
        next r1 redirect now
        answer r1 processing -> nothing
        ",
    );
}

#[test]
fn a_second_card_that_is_closed_as_well_is_a_new_question() {
    blocked(
        "
        answer r1 undeliverable -> undeliverable
        redirect r1 customer_card -> processing
        answer r1 processing -> nothing
        notify r1 undeliverable -> nothing
        next r1 ask now
        answer r1 undeliverable -> undeliverable
        events p1 created, processing, paid, refund.created, refund.undeliverable, refund.undeliverable
        redirect r1 merchant -> processing
        ",
    );
}

#[test]
fn money_of_a_second_payment_can_be_blocked_as_well() {
    check(
        "
        pay p1 100.00 -> open
        choose p1 wechat -> processing p1/1
        choose p1 alipay -> processing p1/2
        notify p1/1 paid 100.00 -> paid
        notify p1/2 paid 100.00 as t2 -> case second_payment, refund
        answer p1.r1 undeliverable -> undeliverable
        redirect p1.r1 merchant -> processing
        answer p1.r1 processing -> nothing
        answer p1.r1 returned -> returned
        cases p1 second_payment refunding
        paid p1.r1 transfer -> succeeded
        cases p1 second_payment refunded
        ",
    );
}
