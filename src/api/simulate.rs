//! Test mode: ends a payment without a person at the simulated payer's phone.

use actix_web::http::Method as Verb;

use super::commit::Committed;
use super::endpoint::{Endpoint, Group, ReplyDoc, body, schema_of};
use super::error::{ErrorCode, Problem};
use super::fields::Fields;
use super::kinds::OneOf;
use super::objects::PaymentObject;
use super::payments::{is_shown, load, render};
use super::service::{Call, Reply};
use super::wait;
use crate::domain::follow::Step;
use crate::domain::ids::{Mode, PaymentId};
use crate::domain::key::Permission;
use crate::domain::payment::{Attempt, Ending, Payment};
use crate::flows::{Refusal, payments as flow};
use crate::lang::Text;
use crate::sandbox::provider::play::{SimulateError, Simulation};
use crate::store::tables::AnswerState;

pub const ENDPOINTS: &[Endpoint] = &[Endpoint {
    id: "simulate_payment",
    group: Group::Test,
    method: Verb::POST,
    path: "/v1/test/payments/{id}/simulate",
    permission: Some(Permission::Write),
    summary: Text::new("模拟付款结果", "Simulate the payer"),
    about: Text::new(
        "仅限测试模式。没有选择方式的支付会先用第一个可用方式下单，然后由模拟的渠道（微信支付、支付宝、银联或测试钱包）给出所选结果：付款、失败、过期、结束后才付款、金额不符、丢失通知、重复通知。支付宝只有“交易关闭”，没有“付款失败”：那里的 failed 只关闭这一次尝试，支付仍为 open，顾客可以再付，直到过期。",
        "Test mode only. A payment without a method first gets the first one available; then whoever simulates its channel (WeChat Pay, Alipay, UnionPay or the \
         test wallet) does what `outcome` says, by the same paths as a real channel: notification, query, refusal. Alipay tells of closed trades only, never of failed payments: there `failed` closes \
         the attempt, and the payment stays `open`, to be paid again until it expires.",
    ),
    query: None,
    body: body!(wanted, r#"{"outcome":"paid"}"#),
    status: 200,
    reply: ReplyDoc::One(schema_of::<PaymentObject<'static>>),
    refusals: &[
        ErrorCode::TestModeOnly,
        ErrorCode::PaymentNotFound,
        ErrorCode::PaymentEnded,
        ErrorCode::MethodUnavailable,
        ErrorCode::SimulationRefused,
    ],
    handler: |call| Box::pin(simulate(call)),
}];

fn wanted(f: &mut Fields<'_>) -> Option<Simulation> {
    let codes = || Simulation::ALL.iter().map(|simulation| simulation.code()).collect();
    f.required("outcome", Text::new("要发生的结果。", "What is to happen."), OneOf::new(codes, Simulation::parse))
}

async fn simulate(call: Call) -> Result<Reply, Problem> {
    if call.scope().mode != Mode::Test {
        return Err(Problem::new(ErrorCode::TestModeOnly));
    }
    let id: PaymentId = call.id(ErrorCode::PaymentNotFound)?;
    let outcome = call.read_body(wanted)?;
    let scope = call.scope();
    let (payment, _) = load(&call.api, scope, id)?;
    let registry = &call.api.gateway.channels;
    let offer = registry.offers(scope, Some(payment.amount)).into_iter().next();
    let offer =
        offer.and_then(|offer| Some((offer.method, call.api.gateway.route(scope, offer.method, payment.amount)?)));
    let committed = call.commit(move |_, tx, moment| {
        let payment = crate::flows::record::payment(tx, scope, id)?;
        let live = match payment.current {
            Some(current) => crate::flows::record::attempt(tx, scope, current)?.state.is_live(),
            None => false,
        };
        if !live {
            let (method, route) = offer.ok_or(Refusal::MethodUnavailable)?;
            flow::choose_method(tx, scope, id, method, route, moment)?;
        }
        Ok(AnswerState::Running(id))
    });
    match committed.await? {
        Committed::Answered(reply) => return Ok(reply),
        Committed::Wait(_) => {}
    }
    let (payment, attempt) = wait::until(&call.api, scope, id, is_shown).await?;
    // A request whose answer was lost is repeated: then the provider did it the first time, and what became of it is told.
    let done_before = match &attempt {
        // Money is late when the payment has ended before.
        Some(attempt) if outcome == Simulation::Late => !play(&call, attempt, Simulation::Expired).await?,
        Some(attempt) => !play(&call, attempt, outcome).await?,
        None => payment.state.is_final(),
    };
    if let Some(attempt) = attempt.filter(|_| !done_before && outcome.runs_out()) {
        ask(&call, &attempt).await?;
        if outcome != Simulation::Failed {
            end(&call, id).await?;
        }
        if outcome == Simulation::Late {
            wait::until(&call.api, scope, id, |payment, _| payment.state.is_final()).await?;
            play(&call, &attempt, outcome).await?;
        }
    }
    let (payment, attempt) =
        wait::until(&call.api, scope, id, |payment, attempt| has_happened(outcome, payment, attempt)).await?;
    if done_before && !payment.state.is_final() {
        return Err(Problem::new(ErrorCode::SimulationRefused));
    }
    call.finish(200, render(&call.api, scope, &payment, attempt.as_ref())).await
}

/// `false` when the provider's order has ended before.
async fn play(call: &Call, attempt: &Attempt, outcome: Simulation) -> Result<bool, Problem> {
    match call.api.players.simulate(attempt, outcome).await {
        Ok(()) => Ok(true),
        Err(SimulateError::Ended) => Ok(false),
        Err(SimulateError::Unknown) => Err(Problem::new(ErrorCode::SimulationRefused)),
        Err(SimulateError::Store(error)) => Err(error.into()),
    }
}

/// Providers tell of payments alone: whoever waits for another end has to ask, after the time to pay where need be.
async fn ask(call: &Call, attempt: &Attempt) -> Result<(), Problem> {
    let gateway = &call.api.gateway;
    let (scope, id, payment, moment) =
        (call.scope(), attempt.id, attempt.payment, crate::flows::Moment::new(&gateway.env));
    let asked = gateway.store.write(move |tx| {
        flow::run_out(tx, scope, id, flow::OVER_SINCE, &moment)?;
        flow::ask_now(tx, scope, payment, &mut moment.clone()).map(drop)
    });
    asked.await.map_err(|error: crate::flows::FlowError| error.into())
}

/// Money that comes late needs a payment that has ended, and time is not waited for in tests.
async fn end(call: &Call, id: PaymentId) -> Result<(), Problem> {
    let (scope, by) = (call.scope(), call.actor());
    let moment = crate::flows::Moment::new(&call.api.gateway.env);
    let ended = call.api.gateway.store.write(move |tx| {
        let mut moment = moment;
        flow::end(tx, scope, id, Ending::Expire, by.clone(), &mut moment).map(drop)
    });
    ended.await.map_err(|error: crate::flows::FlowError| error.into())
}

/// Nothing more is to be expected of this outcome.
fn has_happened(outcome: Simulation, payment: &Payment, attempt: Option<&Attempt>) -> bool {
    let is_over = |attempt: &Attempt| !attempt.state.is_live() || attempt.step == Step::Hold;
    match outcome {
        Simulation::Late => payment.late,
        Simulation::Paid
        | Simulation::Failed
        | Simulation::Expired
        | Simulation::WrongAmount
        | Simulation::LostNotification
        | Simulation::DuplicateNotification => payment.state.is_final() || attempt.is_none_or(is_over),
    }
}
