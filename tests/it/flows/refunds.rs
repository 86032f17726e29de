//! Refunds: reserved when accepted, followed to their end, in any number of parts.

use super::check;

#[test]
fn sixty_and_sixty_of_a_hundred_never_both_pass() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        notify p1 paid 100.00 -> paid
        refund r1 p1 60.00 -> pending
        refund r2 p1 60.00 -> refused refund_too_large 40.00
        shows p1 paid, refunding 60.00
        books 1001 100.00, 2001 40.00, 2006 60.00
        answer r1 succeeded -> succeeded
        refund r2 p1 60.00 -> refused refund_too_large 40.00
        refund r2 p1 -> pending
        answer r2 succeeded -> succeeded
        refund r3 p1 -> refused refund_nothing_left
        shows p1 paid, refunded 100.00
        books nothing
        ",
    );
}

#[test]
fn a_refund_of_unknown_outcome_keeps_its_amount_reserved() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        notify p1 paid 100.00 -> paid
        refund r1 p1 60.00 -> pending
        answer r1 unknown -> nothing
        wait 30d
        refund r2 p1 60.00 -> refused refund_too_large 40.00
        answer r1 unknown -> nothing
        next r1 ask in 15s
        ",
    );
}

#[test]
fn a_refund_that_failed_gives_its_amount_back_to_the_same_accounts() {
    check(
        "
        merchant fee=0.6%
        pay p1 100.00 by wechat -> processing
        notify p1 paid 100.00 -> paid
        books 1001 100.00, 2001 99.40, 4001 0.60
        refund r1 p1 -> pending
        books 1001 100.00, 1101 0.60, 2006 100.00, 4001 0.60
        answer r1 refused -> failed
        books 1001 100.00, 2001 99.40, 4001 0.60
        shows p1 paid, fee 0.60
        refund r2 p1 -> pending
        answer r2 processing -> processing
        answer r2 failed -> failed
        books 1001 100.00, 2001 99.40, 4001 0.60
        events p1 created, processing, paid, refund.created, refund.failed, refund.created, refund.failed
        told p1 /1 wechat_native, /1 notified paid, /1 paid by notification, refund 1 requested, refund 1 failed, refund 2 requested, refund 2 failed
        ",
    );
}

#[test]
fn refunds_in_parts_return_exactly_the_fee() {
    check(
        "
        merchant fee=0.6%
        pay p1 100.00 by wechat -> processing
        notify p1 paid 100.00 -> paid
        refund r1 p1 33.33 -> pending
        refund r2 p1 33.33 -> pending
        refund r3 p1 33.34 -> pending
        answer r1 succeeded -> succeeded
        shows p1 paid, fee 0.60, refunding 66.67, refunded 33.33, fee back 0.19
        answer r3 succeeded -> succeeded
        shows p1 paid, fee 0.60, refunding 33.33, refunded 66.67, fee back 0.40
        answer r2 succeeded -> succeeded
        shows p1 paid, fee 0.60, refunded 100.00, fee back 0.60
        books nothing
        ",
    );
}

#[test]
fn a_merchant_whose_fees_are_kept_owes_them() {
    check(
        "
        merchant fee=0.6% fees=kept
        pay p1 100.00 by wechat -> processing
        notify p1 paid 100.00 -> paid
        refund r1 p1 -> pending
        answer r1 succeeded -> succeeded
        shows p1 paid, fee 0.60, refunded 100.00
        books 1101 0.60, 4001 0.60
        ",
    );
}

#[test]
fn the_same_refund_number_is_the_same_refund() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        pay p2 100.00 by wechat -> processing
        notify p1 paid 100.00 -> paid
        notify p2 paid 100.00 -> paid
        refund r1 p1 60.00 no=n1 -> pending
        refund r2 p1 60.00 no=n1 -> pending as before
        refund r3 p1 50.00 no=n1 -> refused refund_id_reused
        refund r3 p2 60.00 no=n1 -> refused refund_id_reused
        shows p1 paid, refunding 60.00
        answer r1 refused -> failed
        refund r2 p1 60.00 no=n1 -> failed as before
        ",
    );
}

#[test]
fn what_is_not_paid_is_not_refunded() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        refund r1 p1 -> refused payment_not_paid processing
        notify p1 paid 100.00 -> paid
        refund r1 p1 1.00 USD -> refused currency_mismatch
        refund r1 p1 0.00 -> refused refund_too_large 100.00
        refund r1 p1 100.01 -> refused refund_too_large 100.00
        ",
    );
}

#[test]
fn a_payment_takes_fifty_refunds() {
    let mut story = "pay p1 100.00 by wechat -> processing\nnotify p1 paid 100.00 -> paid\n".to_owned();
    for n in 1..=50 {
        story += &format!("refund r{n} p1 1.00 -> pending\n");
    }
    check(&format!("{story}refund r51 p1 1.00 -> refused too_many_refunds"));
}

#[test]
fn a_refund_is_sent_once_and_asked_for_until_its_end() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        notify p1 paid 100.00 -> paid
        refund r1 p1 -> pending
        next r1 send now
        answer r1 processing -> processing
        next r1 ask in 5s
        answer r1 processing -> nothing
        next r1 ask in 15s
        answer r1 unknown -> nothing
        answer r1 processing -> nothing
        answer r1 processing -> nothing
        answer r1 processing -> nothing
        answer r1 processing -> nothing
        next r1 ask in 3h
        answer r1 processing -> nothing
        next r1 ask in 6h
        answer r1 processing -> nothing
        next r1 ask in 6h
        answer r1 succeeded -> succeeded
        next r1 nothing
        ",
    );
}

#[test]
fn a_refund_that_did_not_arrive_is_sent_again() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        notify p1 paid 100.00 -> paid
        refund r1 p1 -> pending
        answer r1 unknown -> nothing
        next r1 ask in 5s
        answer r1 not_found -> nothing
        next r1 send now
        answer r1 succeeded -> succeeded
        ",
    );
}

#[test]
fn a_refund_may_be_told_before_its_answer_arrives() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        notify p1 paid 100.00 -> paid
        refund r1 p1 -> pending
        notify r1 succeeded -> succeeded
        next r1 nothing
        notify r1 succeeded -> nothing
        books nothing
        ",
    );
}

#[test]
fn a_refund_takes_money_of_other_payments_before_it_makes_a_debt() {
    check(
        "
        merchant fee=1%
        pay p1 100.00 by wechat -> processing
        pay p2 0.50 by wechat -> processing
        notify p1 paid 100.00 -> paid
        notify p2 paid 0.50 -> paid
        books 1001 100.50, 2001 99.49, 4001 1.01
        refund r1 p1 -> pending
        books 1001 100.50, 1101 0.51, 2006 100.00, 4001 1.01
        answer r1 succeeded -> succeeded
        books 1001 0.50, 2002 0.49, 4001 0.01
        ",
    );
}

#[test]
fn a_channel_that_takes_back_a_refunds_end_opens_a_case() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        notify p1 paid 100.00 -> paid
        refund r1 p1 60.00 -> pending
        answer r1 refused -> failed
        notify r1 failed -> nothing
        notify r1 succeeded -> case contradiction
        notify r1 succeeded -> nothing
        books 1001 100.00, 2001 100.00
        refund r2 p1 50.00 -> pending
        answer r2 succeeded -> succeeded
        notify r2 processing -> nothing
        notify r2 failed -> case contradiction
        shows p1 paid, refunded 50.00
        cases p1 contradiction open, contradiction open
        ",
    );
}

#[test]
fn a_success_over_another_amount_is_not_the_success_of_this_refund() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        notify p1 paid 100.00 -> paid
        refund r1 p1 60.00 -> pending
        answer r1 succeeded 6.00 -> case wrong_amount
        shows p1 paid, refunding 60.00
        books 1001 100.00, 2001 40.00, 2006 60.00
        notify r1 succeeded 6.00 -> nothing
        answer r1 succeeded 60.00 -> succeeded
        cases p1 wrong_amount open
        ",
    );
}

#[test]
fn messages_that_say_nothing_do_not_put_off_the_next_question() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        notify p1 paid 100.00 -> paid
        refund r1 p1 -> pending
        answer r1 processing -> processing
        next r1 ask in 5s
        wait 4s
        notify r1 processing -> nothing
        next r1 ask in 1s
        notify r1 unknown -> nothing
        next r1 ask in 1s
        ",
    );
}

/// A refusal of the second sending says nothing about the first one, until the channel does not know that either.
#[test]
fn a_refund_refused_when_it_was_sent_again_fails_when_the_channel_does_not_know_it() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        notify p1 paid 100.00 -> paid
        refund r1 p1 -> pending
        answer r1 unknown -> nothing
        answer r1 not_found -> nothing
        answer r1 refused -> nothing
        next r1 ask_refused in 2m
        answer r1 unknown -> nothing
        answer r1 not_found -> failed
        books 1001 100.00, 2001 100.00
        refund r2 p1 -> pending
        answer r2 unknown -> nothing
        answer r2 not_found -> nothing
        answer r2 refused -> nothing
        answer r2 processing -> processing
        next r2 ask in 5m
        answer r2 succeeded -> succeeded
        ",
    );
}

#[test]
fn only_the_answer_to_its_sending_refuses_a_refund() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        notify p1 paid 100.00 -> paid
        refund r1 p1 -> pending
        notify r1 refused -> nothing
        notify r1 not_found -> nothing
        next r1 send now
        answer r1 processing -> processing
        answer r1 refused -> nothing
        ",
    );
}

#[test]
fn a_channel_gives_nothing_back_after_its_time() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        notify p1 paid 100.00 -> paid
        wait 364d
        refund r1 p1 40.00 no=n1 -> pending
        wait 25h
        refund r1 p1 40.00 no=n1 -> pending as before
        refund r2 p1 -> refused refund_window_over
        books 1001 100.00, 2001 60.00, 2006 40.00
        ",
    );
}
