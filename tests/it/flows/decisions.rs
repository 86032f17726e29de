//! A person decides about a difference: what becomes of the money, the order, the attempt and the books.

use super::check;
use super::world::{SCOPE, START, World};

use coffer::domain::event::Actor;
use coffer::domain::ids::UserId;
use coffer::flows::decisions::{Decision, decide};
use coffer::flows::{FlowError, Moment, Refusal};

#[test]
fn an_amount_that_is_too_small_goes_back_and_the_order_can_be_paid_again() {
    check(
        "
        merchant fee=0.6%
        pay p1 100.00 by wechat -> processing
        answer p1 accepted -> nothing
        notify p1 paid 99.99 as t1 -> case wrong_amount
        may p1.c1 give_back, close
        decide p1.c1 book -> refused impossible
        decide p1.c1 give_back -> refunding
        shows p1 open
        next p1/1 nothing
        books 1001 99.99, 2201 99.99
        events p1 created, processing, refund.created
        decide p1.c1 give_back -> refused case_decided
        notify p1/1 paid 99.99 as t1 -> nothing
        choose p1 wechat -> processing p1/2
        notify p1/2 paid 100.00 as t2 -> paid
        answer p1.r1 succeeded -> succeeded
        cases p1 wrong_amount refunded
        shows p1 paid, fee 0.60
        books 1001 100.00, 2001 99.40, 4001 0.60
        ",
    );
}

#[test]
fn an_amount_that_is_too_large_is_booked_and_the_rest_goes_back() {
    check(
        "
        merchant fee=0.6%
        pay p1 100.00 by wechat -> processing
        answer p1 accepted -> nothing
        notify p1 paid 120.00 as t1 -> case wrong_amount
        may p1.c1 book, give_back, close
        decide p1.c1 book -> refunding
        shows p1 paid, fee 0.60
        events p1 created, processing, paid, refund.created
        told p1 /1 wechat_native, /1 shown, /1 notified paid, case opened, case changed, /1 paid by a person, refund 1 requested
        books 1001 120.00, 2001 99.40, 2201 20.00, 4001 0.60
        days day 1 wechat paid 1 100.00, day 1 any created 1
        answer p1.r1 failed -> failed
        cases p1 wrong_amount open
        may p1.c1 give_back, elsewhere
        decide p1.c1 give_back -> refunding
        answer p1.r2 succeeded -> succeeded
        cases p1 wrong_amount refunded
        books 1001 100.00, 2001 99.40, 4001 0.60
        ",
    );
}

#[test]
fn a_held_attempt_ends_when_a_person_finds_no_money_and_the_order_goes_on() {
    check(
        "
        pay p1 100.00 -> open
        choose p1 wechat -> processing p1/1
        answer p1/1 accepted -> nothing
        notify p1/1 paid 1.00 as t1 -> case wrong_amount
        next p1/1 hold in 3s
        decide p1.c1 close -> closed
        shows p1 open
        books nothing
        notify p1/1 paid 1.00 as t1 -> nothing
        choose p1 alipay -> processing p1/2
        notify p1/2 paid 100.00 -> paid
        decide p1.c1 close -> refused case_decided
        ",
    );
}

#[test]
fn an_order_that_was_to_end_ends_with_the_decision() {
    check(
        "
        pay p1 100.00 by wechat for 30m -> processing
        answer p1 accepted -> nothing
        notify p1 paid 1.00 as t1 -> case wrong_amount
        wait 40m
        shows p1 processing
        decide p1.c1 close -> closed
        shows p1 expired expired
        events p1 created, processing, expired
        notify p1 paid 100.00 as t1 -> paid late
        ",
    );
}

#[test]
fn every_open_case_keeps_the_attempt() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        notify p1 paid 1.00 as t1 -> case wrong_amount
        notify p1 paid 100.00 as t1 by stranger -> case wrong_identity
        decide p1.c1 close -> closed
        shows p1 processing
        next p1 hold in 3s
        may p1.c2 close
        decide p1.c2 give_back -> refused impossible
        decide p1.c2 close -> closed
        shows p1 open
        ",
    );
}

#[test]
fn late_money_that_was_held_is_booked_late() {
    check(
        "
        merchant fee=0.6% late=hold
        pay p1 100.00 by wechat for 30m -> processing
        answer p1 accepted -> nothing
        wait 31m
        notify p1 closed -> expired
        notify p1 paid 100.00 as t1 -> case late_payment
        may p1.c1 book, give_back, elsewhere
        decide p1.c1 book -> booked
        shows p1 paid late, fee 0.60
        events p1 created, processing, expired, late
        books 1001 100.00, 2001 99.40, 4001 0.60
        refund r1 p1 -> pending
        answer r1 succeeded -> succeeded
        ",
    );
}

#[test]
fn only_one_of_two_late_payments_can_be_booked() {
    check(
        "
        merchant late=hold
        pay p1 100.00 for 30m -> open
        choose p1 wechat -> processing p1/1
        choose p1 alipay -> processing p1/2
        notify p1/1 closed -> nothing
        notify p1/2 closed -> open
        wait 31m
        notify p1/1 paid 100.00 as t1 -> case late_payment
        notify p1/2 paid 100.00 as t2 -> case late_payment
        decide p1.c2 book -> booked
        may p1.c1 give_back, elsewhere
        decide p1.c1 book -> refused impossible
        decide p1.c1 give_back -> refunding
        answer p1.r1 succeeded -> succeeded
        books 1001 100.00, 2001 100.00
        ",
    );
}

#[test]
fn a_doubled_payment_whose_refund_failed_is_tried_again_or_paid_back_by_another_way() {
    check(
        "
        pay p1 100.00 -> open
        choose p1 wechat -> processing p1/1
        notify p1/1 paid 100.00 as t1 -> paid
        notify p1/1 paid 100.00 as t1 -> nothing
        pay p2 50.00 -> open
        choose p2 wechat -> processing p2/1
        choose p2 alipay -> processing p2/2
        notify p2/2 paid 50.00 as t3 -> paid
        notify p2/1 paid 50.00 as t2 -> case second_payment, refund
        may p2.c1 nothing
        answer p2.r1 failed -> failed
        may p2.c1 give_back, elsewhere
        decide p2.c1 close -> refused impossible
        decide p2.c1 give_back -> refunding
        answer p2.r2 failed -> failed
        decide p2.c1 elsewhere -> closed
        cases p2 second_payment closed
        books 1001 200.00, 2001 150.00, 3001 50.00
        ",
    );
}

#[test]
fn another_wrong_amount_is_another_line_and_after_the_decision_another_case() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        notify p1 paid 1.00 as t1 -> case wrong_amount
        notify p1 paid 120.00 as t1 -> nothing
        notify p1 paid 1.00 as t1 -> nothing
        may p1.c1 give_back, close
        may p1.c1 book, give_back, close line 2
        told p1 /1 wechat_native, /1 notified paid, case opened, /1 notified paid, case changed, /1 notified paid
        decide p1.c1 give_back line 2 -> refunding
        books 1001 120.00, 2201 120.00
        answer p1.r1 succeeded -> succeeded
        notify p1 paid 2.00 as t9 -> case wrong_amount
        may p1.c2 close
        cases p1 wrong_amount refunded, wrong_amount open
        notify p1 paid 120.00 as t1 -> nothing
        may p1.c2 close line 2
        decide p1.c2 close -> closed
        books nothing
        ",
    );
}

#[test]
fn money_that_paid_another_order_is_not_given_back_here() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        notify p1 paid 100.00 as t1 -> paid
        pay p2 50.00 by wechat -> processing
        notify p2 paid 100.00 as t1 -> case wrong_amount
        may p2.c1 close
        decide p2.c1 give_back -> refused impossible
        ",
    );
}

#[test]
fn the_right_money_settles_what_a_wrong_word_had_opened() {
    check(
        "
        pay p1 100.00 by wechat -> processing
        notify p1 paid 120.00 as t1 -> case wrong_amount
        notify p1 paid 100.00 as t1 -> paid
        may p1.c1 close
        decide p1.c1 book -> refused impossible
        decide p1.c1 close -> closed
        shows p1 paid
        ",
    );
}

#[test]
fn a_case_that_two_people_decide_at_once_is_decided_once() {
    let mut world = World::new();
    for line in [
        "merchant late=hold",
        "pay p1 100.00 by wechat for 30m",
        "wait 31m",
        "notify p1 closed",
        "notify p1 paid 100.00 as t1",
    ] {
        world.step(line);
    }
    let id = world.case_record("p1.c1").id;
    let decisions = [Decision::Book, Decision::GiveBack, Decision::Book, Decision::GiveBack];
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let outcomes: Vec<Result<_, FlowError>> = runtime.block_on(async {
        let deciding = (0u8..).zip(decisions).map(|(i, decision)| {
            let (store, by) = (world.store.clone(), Actor::User(UserId::from_bytes([i; 16])));
            let moment = Moment::at(START, [i; 10]);
            tokio::spawn(async move {
                store.write(move |tx| decide(tx, SCOPE, id, 0, &decision, by.clone(), &mut moment.clone())).await
            })
        });
        let mut outcomes = Vec::new();
        for one in deciding.collect::<Vec<_>>() {
            outcomes.push(one.await.unwrap());
        }
        outcomes
    });
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert!(matches!(refused, FlowError::Refused(Refusal::CaseDecided { .. })), "{refused}");
    }
    world.assert_sound("four decisions at once");
}
