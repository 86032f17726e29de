//! The ladder of questions, and answers that arrive when something else has happened meanwhile.

use super::check;

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
        next p1 hold
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
