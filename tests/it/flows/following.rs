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
