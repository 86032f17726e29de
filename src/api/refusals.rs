//! What the flows and the store refuse, in the API's words.

use super::error::{ErrorCode, Problem, Words};
use crate::flows::{FlowError, Refusal};
use crate::store::StoreError;

/// Seconds after which a busy server is worth another try.
const BUSY_RETRY_S: u64 = 1;

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        use ErrorCode as C;
        let plain = Problem::new;
        let state = |code, state: &str| {
            Problem::new(code).detail(Words::new(
                format!("当前状态是 {state}，不能这样做"),
                format!("its status is {state}, so this cannot be done"),
            ))
        };
        match refusal {
            Refusal::PaymentNotFound => plain(C::PaymentNotFound),
            Refusal::RefundNotFound => plain(C::RefundNotFound),
            Refusal::EventNotFound => plain(C::EventNotFound),
            Refusal::EndpointNotFound => plain(C::WebhookEndpointNotFound),
            Refusal::OrderIdReused { payment } => plain(C::OrderIdReused).detail(Words::new(
                format!("这个 order_id 属于 {payment}，内容与本次不同"),
                format!("this order_id belongs to {payment}, which has other content"),
            )),
            Refusal::RefundIdReused { refund } => plain(C::RefundIdReused).detail(Words::new(
                format!("这个 refund_id 属于 {refund}，内容与本次不同"),
                format!("this refund_id belongs to {refund}, which has other content"),
            )),
            Refusal::PaymentEnded { state: is } => state(C::PaymentEnded, is.code()),
            Refusal::PaymentNotPaid { state: is } => state(C::PaymentNotPaid, is.code()),
            Refusal::RefundTooLarge { left } => plain(C::RefundTooLarge)
                .detail(Words::new(format!("最多还可以退 {left}"), format!("at most {left} can still be refunded"))),
            Refusal::RefundNothingLeft => plain(C::RefundNothingLeft),
            Refusal::CurrencyMismatch { expected } => plain(C::CurrencyMismatch)
                .detail(Words::new(format!("应使用 {expected}"), format!("the currency must be {expected}"))),
            Refusal::TooManyRefunds => plain(C::TooManyRefunds),
            Refusal::RefundWindowOver { until } => plain(C::RefundWindowOver).detail(Words::new(
                format!("渠道只在 {} 之前接受这笔支付的退款", until.to_rfc3339()),
                format!("the channel gave money of this payment back until {}", until.to_rfc3339()),
            )),
            Refusal::TooManyAttempts => plain(C::TooManyAttempts),
            Refusal::TooManyEndpoints => plain(C::TooManyWebhookEndpoints),
            Refusal::MethodUnavailable => plain(C::MethodUnavailable),
            Refusal::EndpointDisabled { .. } => plain(C::WebhookEndpointDisabled),
            Refusal::ExpiryOutOfRange => plain(C::ExpiryOutOfRange),
            Refusal::RefundFinished { state: is } => state(C::RefundFinished, is.code()),
            // Cases are decided in the console only, and so is where a refund goes.
            Refusal::RefundNotWaiting { .. }
            | Refusal::CaseNotFound
            | Refusal::CaseDecided { .. }
            | Refusal::DecisionImpossible => Problem::new(C::InternalError).because("a case was decided over the API"),
            Refusal::ApprovalNeeded { over } => plain(C::RefundNeedsApproval).detail(Words::new(
                format!("同一笔支付累计退款超过 {over} 时，需要在控制台由两个人办理"),
                format!("refunds of one payment beyond {over} take two persons in the console"),
            )),
            Refusal::ProposalNotFound
            | Refusal::ProposalOver
            | Refusal::OwnProposal
            | Refusal::ProposalChanged
            | Refusal::TooManyProposals => Problem::new(C::InternalError).because("a proposal came over the API"),
        }
    }
}

impl From<FlowError> for Problem {
    fn from(error: FlowError) -> Self {
        match error {
            FlowError::Refused(refusal) => refusal.into(),
            FlowError::Store(error) => error.into(),
            FlowError::Books(cause) => Problem::new(ErrorCode::InternalError).because(cause),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Problem::new(ErrorCode::Busy).retry_after_s(BUSY_RETRY_S),
            StoreError::Stopped => Problem::new(ErrorCode::Busy).retry_after_s(BUSY_RETRY_S).because(error),
            StoreError::Panicked
            | StoreError::Corrupt { .. }
            | StoreError::Damaged { .. }
            | StoreError::Foreign { .. }
            | StoreError::Empty { .. }
            | StoreError::Missing { .. }
            | StoreError::Locked
            | StoreError::NewerSchema { .. }
            | StoreError::UnknownTable { .. }
            | StoreError::TooLarge { .. }
            | StoreError::Exists { .. }
            | StoreError::Io { .. } => Problem::new(ErrorCode::InternalError).because(error),
        }
    }
}
