//! The ladder of questions, and answers that arrive when something else has happened meanwhile.

use coffer::flows::timeline::TIMELINE_CHATTER_MAX;

use super::check;
use super::world::World;

#[test]
fn an_order_that_did_not_arrive_is_told_again() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        answer p1 unknown -> nothing
        next p1 ask in 5s
        answer p1 not_found -> nothing
        next p1 create now
        answer p1 accepted -> nothing
        told p1 /1 wechat_native, /1 trouble, /1 asked not_found, /1 shown
        ",
    );
}

#[test]
fn repeated_answers_are_one_line() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        answer p1 accepted -> nothing
        answer p1 not_paid -> nothing
        answer p1 not_paid -> nothing
        answer p1 unknown -> nothing
        answer p1 unknown -> nothing
        answer p1 not_paid -> nothing
        told p1 /1 wechat_native, /1 shown, /1 asked not_paid, /1 trouble, /1 asked not_paid
        ",
    );
}

#[test]
fn late_money_is_asked_for_on_a_ladder_after_the_expiry() {
    check(
        "
        pay p1 100.00 by wechat for 10m -> processing
        answer p1 accepted -> nothing
        wait 10m
        answer p1 not_paid -> nothing
        answer p1 closed -> nothing
        answer p1 closed -> expired
        next p1 ask_late in 1m
        answer p1 closed -> nothing
        next p1 ask_late in 4m
        answer p1 unknown -> nothing
        next p1 ask_late in 25m
        answer p1 closed -> nothing
        next p1 ask_late in 90m
        answer p1 closed -> nothing
        next p1 ask_late in 4h
        answer p1 closed -> nothing
        next p1 ask_late in 18h
        answer p1 closed -> nothing
        next p1 nothing
        ",
    );
}

#[test]
fn an_answer_to_the_close_is_a_promise_even_when_a_person_holds_the_attempt_meanwhile() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        answer p1 accepted -> nothing
        cancel p1 -> processing
        answer p1 not_paid -> nothing
        begin p1
        notify p1 paid 1.00 -> case wrong_amount
        answer p1 closed -> nothing
        next p1 hold in 3s
        shows p1 processing
        ",
    );
}

#[test]
fn an_order_refused_while_it_was_canceled_ends_with_that() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        begin p1
        cancel p1 -> processing
        answer p1 refused -> canceled
        ",
    );
}

/// Canceled while the order was on its way: the answer must not be taken for one to the question that is planned now.
#[test]
fn an_order_accepted_while_it_was_canceled_is_asked_about_and_closed() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        begin p1
        cancel p1 -> processing
        answer p1 accepted -> nothing
        next p1 ask_before_close now
        answer p1 not_paid -> nothing
        answer p1 closed -> nothing
        answer p1 closed -> canceled
        told p1 /1 wechat_native, end requested canceled_by_merchant, /1 shown, /1 asked not_paid, /1 asked closed, /1 ended expired, ended canceled_by_merchant
        ",
    );
}

#[test]
fn an_order_whose_answer_is_lost_while_it_expires_is_asked_about() {
    check(
        "
        pay p1 100.00 by wechat for 10m -> processing
        begin p1
        wait 10m
        answer p1 unknown -> nothing
        next p1 ask_before_close now
        answer p1 not_found -> expired
        ",
    );
}

#[test]
fn a_code_that_was_lost_on_its_way_back_is_fetched_again() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        answer p1 unknown -> nothing
        answer p1 not_paid -> nothing
        next p1 create now
        answer p1 accepted -> nothing
        next p1 ask in 3s
        ",
    );
}

#[test]
fn questions_become_rarer_and_stop_at_the_expiry() {
    check(
        "
        pay p1 100.00 by wechat for 6m -> processing
        answer p1 accepted -> nothing
        next p1 ask in 3s
        answer p1 not_paid -> nothing
        next p1 ask in 5s
        answer p1 unknown -> nothing
        next p1 ask in 8s
        answer p1 not_paid -> nothing
        answer p1 not_paid -> nothing
        answer p1 not_paid -> nothing
        next p1 ask in 34s
        answer p1 not_paid -> nothing
        answer p1 not_paid -> nothing
        next p1 ask in 2m
        answer p1 not_paid -> nothing
        next p1 ask in 96s
        ",
    );
}

#[test]
fn the_shop_may_ask_to_ask_now() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        answer p1 accepted -> nothing
        next p1 ask in 3s
        sync p1
        next p1 ask now
        answer p1 not_paid -> nothing
        next p1 ask in 5s
        notify p1 paid 100.00 -> paid
        sync p1
        next p1 nothing
        ",
    );
}

#[test]
fn an_attempt_is_closed_at_its_own_time_when_the_payments_was_moved() {
    check(
        "
        pay p1 100.00 for 1m -> open
        choose p1 wechat -> processing p1/1
        answer p1 accepted -> nothing
        patch p1 for=10m -> processing
        wait 1m
        answer p1 not_paid -> nothing
        next p1 ask_before_close in 3s
        answer p1 not_paid -> nothing
        answer p1 closed -> nothing
        answer p1 closed -> open
        choose p1 wechat -> processing p1/2
        ",
    );
}

#[test]
fn an_order_is_not_told_again_after_its_time() {
    check(
        "
        pay p1 100.00 by wechat for 1m -> processing
        patch p1 for=10m -> processing
        answer p1 unknown -> nothing
        wait 1m
        answer p1 not_found -> nothing
        next p1 ask_before_close now
        answer p1 not_found -> open
        ",
    );
}

#[test]
fn an_attempt_that_ended_early_is_asked_for_late_money_soon_and_again_after_its_expiry() {
    check(
        "
        pay p1 100.00 for 1d -> open
        choose p1 wechat -> processing p1/1
        answer p1 declined -> open
        next p1 ask_late in 1m
        answer p1 closed -> nothing
        next p1 ask_late in 4m
        answer p1 closed -> nothing
        answer p1 closed -> nothing
        answer p1 closed -> nothing
        next p1 ask_late in 4h
        answer p1 closed -> nothing
        next p1 ask_late in 1081m
        answer p1 paid 100.00 -> paid late
        ",
    );
}

#[test]
fn a_notification_of_the_end_crosses_the_question_about_it() {
    check(
        "
        pay p1 100.00 by wechat for 10m -> processing
        answer p1 accepted -> nothing
        wait 3s
        begin p1
        notify p1 closed -> open
        answer p1 not_paid -> nothing
        next p1 ask_late in 1m
        ",
    );
}

/// Somebody who sends messages without end fills neither the file nor the page, and hides nothing that matters.
#[test]
fn the_story_of_a_payment_has_room_for_a_thousand_messages_and_for_everything_else() {
    let mut world = World::new();
    world.step("pay p1 100.00 by wechat");
    for _ in 0..=TIMELINE_CHATTER_MAX / 2 {
        world.step("notify p1 not_paid");
        world.step("notify p1 unknown");
    }
    world.step("notify p1 paid 100.00");
    world.step("notify p1 not_paid");
    world.step("notify p1 paid 100.00");
    let told = world.told("p1");
    let lines: Vec<&str> = told.split(", ").collect();
    assert_eq!(lines.len(), TIMELINE_CHATTER_MAX as usize + 3);
    assert_eq!(lines[lines.len() - 3..], ["/1 notified paid", "/1 paid by notification", "/1 notified paid"]);
}

/// Money that comes while its charge is taken back is either the payment's or the customer's: only the channel knows.
#[test]
fn a_message_about_a_charge_that_is_taken_back_is_asked_about() {
    check(
        "
        pay p1 100.00 by barcode -> processing
        answer p1 not_paid -> nothing
        wait 44s
        answer p1 not_paid -> nothing
        answer p1 not_paid -> nothing
        answer p1 not_paid -> nothing
        next p1 close now
        answer p1 unknown -> nothing
        notify p1 paid 100.00 -> nothing
        shows p1 processing
        answer p1 closed -> nothing
        notify p1 paid 100.00 -> nothing
        answer p1 closed -> failed
        notify p1 paid 100.00 -> nothing
        next p1 ask_late now
        books nothing
        answer p1 paid 100.00 -> paid late
        books 1001 100.00, 2001 100.00
        ",
    );
}

#[test]
fn a_code_that_the_customer_showed_is_asked_about_quickly_and_reversed_when_nobody_confirms() {
    check(
        "
        pay p1 100.00 by barcode -> processing
        answer p1 not_paid -> nothing
        next p1 ask in 4s
        wait 44s
        answer p1 not_paid -> nothing
        next p1 ask in 1s
        answer p1 not_paid -> nothing
        next p1 ask_before_close in 3s
        answer p1 not_paid -> nothing
        next p1 close now
        answer p1 closed -> nothing
        next p1 ask_after_close now
        answer p1 closed -> failed
        next p1 ask_late in 57s
        ",
    );
}

#[test]
fn a_code_that_the_customer_showed_is_not_charged_again_when_the_answer_was_lost() {
    check(
        "
        pay p1 100.00 by barcode -> processing
        answer p1 unknown -> nothing
        next p1 ask in 4s
        answer p1 not_paid -> nothing
        next p1 ask in 4s
        notify p1 paid 100.00 -> paid
        ",
    );
}

#[test]
fn a_code_that_is_told_once_and_was_lost_gives_way_to_another_number() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        answer p1 unknown -> nothing
        answer p1 not_found -> nothing
        answer p1 code_lost -> nothing
        next p1 ask_lost now
        answer p1 unknown -> nothing
        answer p1 not_found -> nothing
        next p1/2 create now
        answer p1/2 accepted -> nothing
        next p1/1 ask_before_close now
        answer p1/1 not_found -> nothing
        next p1/1 ask_late in 1m
        shows p1 processing
        events p1 created, processing
        told p1 /1 wechat_native, /1 trouble, /1 asked not_found, /1 asked code_lost, /1 trouble, /1 asked not_found, /2 wechat_native, /2 routed, /2 shown, /1 asked not_found, /1 ended expired
        notify p1/2 paid 100.00 as t2 -> paid
        notify p1/1 paid 100.00 as t1 -> case second_payment, refund
        ",
    );
}

#[test]
fn a_code_that_was_lost_and_paid_all_the_same_is_paid() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        answer p1 unknown -> nothing
        answer p1 not_paid -> nothing
        answer p1 code_lost -> nothing
        answer p1 paid 100.00 -> paid
        told p1 /1 wechat_native, /1 trouble, /1 asked not_paid, /1 asked code_lost, /1 asked paid, /1 paid by query
        ",
    );
}

#[test]
fn codes_that_are_lost_again_and_again_are_given_up() {
    let lost = "
        answer p1 unknown -> nothing
        answer p1 not_found -> nothing
        answer p1 code_lost -> nothing
        answer p1 not_found -> nothing
        ";
    let four = lost.repeat(4);
    check(&format!(
        "
        pay p1 100.00 by wechat -> processing
        {four}
        next p1/4 ask_before_close now
        answer p1/1 not_found -> nothing
        answer p1/2 not_found -> nothing
        answer p1/3 not_found -> nothing
        answer p1/4 not_found -> failed
        shows p1 failed channel_refused
        "
    ));
    check(&format!(
        "
        pay p1 100.00 -> open
        choose p1 wechat -> processing p1/1
        {four}
        answer p1/1 not_found -> nothing
        answer p1/2 not_found -> nothing
        answer p1/3 not_found -> nothing
        answer p1/4 not_found -> open
        choose p1 alipay -> processing p1/5
        "
    ));
}

#[test]
fn nobody_waits_for_a_lost_code_of_an_order_that_was_given_up() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        answer p1 unknown -> nothing
        answer p1 not_found -> nothing
        begin p1
        cancel p1 -> processing
        answer p1 code_lost -> nothing
        next p1 ask_before_close now
        answer p1 not_found -> canceled
        ",
    );
}

#[test]
fn an_account_that_the_channel_refuses_hands_its_payment_to_another() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        answer p1 barred elsewhere -> nothing
        shows p1 processing
        next p1/1 ask_late in 1m
        next p1/2 create now
        answer p1/2 accepted -> nothing
        events p1 created, processing
        told p1 /1 wechat_native, /1 asked NO, /1 ended channel_refused, /2 wechat_native, /2 routed, /2 shown
        notify p1/2 paid 100.00 -> paid
        ",
    );
}

#[test]
fn without_another_account_a_refused_one_ends_the_attempt() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        answer p1 barred -> failed
        shows p1 failed channel_refused
        pay p2 100.00 -> open
        choose p2 wechat -> processing p2/1
        answer p2 barred -> open
        choose p2 alipay -> processing p2/2
        pay p3 100.00 by wechat -> processing
        begin p3
        cancel p3 -> processing
        answer p3 barred elsewhere -> canceled
        ",
    );
}
