//! Every table of the file with its key and value. Append-only: a table is never renamed or given another meaning.
//!
//! Keys sort as their parts do. Ids begin with their time, so a descending scan shows the newest first.

use serde::{Deserialize, Serialize};

use super::Table;
use crate::audit::AuditRecord;
use crate::cases::run::Run;
use crate::console::auth::records::{Session, SetupToken, User};
use crate::console::verification::Verification;
use crate::crypto::{KeyCheck, Sealed};
use crate::domain::approval::{ApprovalRule, Proposal};
use crate::domain::case::{Case, CaseLine};
use crate::domain::endpoint::{Delivery, DeliveryAttempt, Endpoint};
use crate::domain::ids::{
    AccountId, AttemptId, CaseId, EndpointId, EventId, KeyId, MerchantId, PaymentId, ProposalId, RefundId, RunId,
    Scope, UserId,
};
use crate::domain::key::ApiKey;
use crate::domain::merchant::{CallbackDefaults, ChannelAccount, Merchant};
use crate::domain::payment::{Attempt, Payment};
use crate::domain::redirect::Redirect;
use crate::domain::refund::Refund;
use crate::domain::time::Timestamp;
use crate::flows::connection::ConnectionTest;
use crate::flows::effect::{Effect, Lane};
use crate::flows::events::StoredEvent;
use crate::flows::timeline::Lines;
use crate::flows::unbelieved::Unbelieved;
use crate::ledger::{Account, Balance, Chained, EntryId, Head};
use crate::proof::Checkpoint;
use crate::sandbox::provider::fault::Faults;
use crate::sandbox::provider::{model as sim, records as sim_records};
use crate::sandbox::shop::order::ShopOrder;
use crate::sandbox::wallet::model::{WalletOrder, WalletRefund};
use crate::sandbox::wallet::records::{Letter, Subject, WalletMerchant};

/// Index rows carry nothing but their key.
pub type Unit = ();
/// Which rows of a merchant and mode share something, in the order of their ids.
pub type Index<X, Id> = Table<(Scope, X, Id), Unit>;

pub const MERCHANTS: Table<MerchantId, Merchant> = Table::new("merchants", 1);
pub const CALLBACK_DEFAULTS: Table<Scope, CallbackDefaults> = Table::new("callback_defaults", 1);
pub const ACCOUNTS: Table<(Scope, AccountId), ChannelAccount> = Table::new("accounts", 2);
/// Whose account an id is: notifications name nothing but the account.
pub const ACCOUNT_SCOPES: Table<AccountId, Scope> = Table::new("account_scopes", 1);
/// Whether accounts whose keys were typed in have been answered.
pub const CONNECTION_TESTS: Table<(Scope, AccountId), ConnectionTest> = Table::new("connection_tests", 1);

pub const PAYMENTS: Table<(Scope, PaymentId), Payment> = Table::new("payments", 1);
pub const PAYMENT_BY_ORDER: Table<(Scope, String), PaymentId> = Table::new("payment_by_order", 1);
/// The number in the middle is the state's place in `PaymentState::ALL`: a filtered list needs no scan.
pub const PAYMENTS_BY_STATE: Table<(Scope, u8, PaymentId), Unit> = Table::new("payments_by_state", 1);
pub const PAYMENT_BY_TRANSACTION: Table<(Scope, String), PaymentId> = Table::new("payment_by_transaction", 1);
pub const ATTEMPTS: Table<(Scope, AttemptId), Attempt> = Table::new("attempts", 1);
/// What customers brought along for one attempt, until the channel has heard of it: the digits of a code that was shown
/// (付款码), or who a wallet said they are (openid).
pub const SHOWN_CODES: Table<(Scope, AttemptId), String> = Table::new("shown_codes", 1);
/// The number counts the payment's rows from 0; each holds `LINES_PER_ROW` lines but the last.
pub const TIMELINE: Table<(Scope, PaymentId, u32), Lines> = Table::new("timeline", 2);

pub const REFUNDS: Table<(Scope, RefundId), Refund> = Table::new("refunds", 1);
/// The number is the state's place in `RefundState::ALL`.
pub const REFUNDS_BY_STATE: Table<(Scope, u8, RefundId), Unit> = Table::new("refunds_by_state", 1);
pub const REFUND_BY_NUMBER: Table<(Scope, String), RefundId> = Table::new("refund_by_number", 1);

pub const CASES: Table<(Scope, CaseId), Case> = Table::new("cases", 1);
/// Bytes of the attempt's or refund's id, and the kind (its place in `CaseKind::ALL`): one difference is one case, however
/// often it is seen. The newest, where a decided one was followed by another word of the channel.
pub const CASE_BY_CAUSE: Table<(Scope, [u8; 16], u8), CaseId> = Table::new("case_by_cause", 1);
pub const CASES_OPEN: Table<(Scope, CaseId), Unit> = Table::new("cases_open", 1);

/// Sequence numbers begin with 1 and have no gaps.
pub const JOURNAL: Table<(Scope, u64), Chained> = Table::new("journal", 1);
/// The entry's id derives from its cause, so posting twice is posting once.
pub const JOURNAL_BY_CAUSE: Table<(Scope, [u8; EntryId::BYTES]), u64> = Table::new("journal_by_cause", 1);
pub const JOURNAL_BY_PAYMENT: Table<(Scope, PaymentId, u64), Unit> = Table::new("journal_by_payment", 1);
/// Entries that touch an account code: the number is that of a block of `BLOCK` entries, and the value has a bit for each
/// of them, the lowest for the first.
pub const JOURNAL_BY_ACCOUNT: Table<(Scope, u16, u64), u64> = Table::new("journal_by_account", 2);
/// The end of each chain.
pub const JOURNAL_HEADS: Table<Scope, Head> = Table::new("journal_heads", 1);
/// Currency code, then the account in its byte form.
pub const BALANCES: Table<(Scope, [u8; 3], [u8; Account::BYTES]), Balance> = Table::new("balances", 1);

pub const EVENTS: Table<(Scope, EventId), StoredEvent> = Table::new("events", 2);
pub const EVENTS_BY_PAYMENT: Table<(Scope, PaymentId, EventId), Unit> = Table::new("events_by_payment", 1);
pub const ENDPOINTS: Table<(Scope, EndpointId), Endpoint> = Table::new("endpoints", 1);
/// Endpoints that stand for the hosts of payments' own addresses; apart, because there may be many.
pub const IMPLICIT_ENDPOINTS: Table<(Scope, EndpointId), Endpoint> = Table::new("implicit_endpoints", 1);
pub const DELIVERIES: Table<(Scope, EventId, EndpointId), Delivery> = Table::new("deliveries", 1);
/// The number is the state's place in `DeliveryState::ALL`.
pub const DELIVERIES_BY_ENDPOINT: Table<(Scope, EndpointId, u8, EventId), Unit> =
    Table::new("deliveries_by_endpoint", 1);
pub const DELIVERY_ATTEMPTS: Table<(Scope, EventId, EndpointId, u32), DeliveryAttempt> =
    Table::new("delivery_attempts", 1);

pub const KEYS: Table<(Scope, KeyId), ApiKey> = Table::new("keys", 1);
/// Nonces of signed requests (hashed to 16 bytes), by the slice of time until whose end each is remembered.
pub const NONCES: Table<(u64, KeyId, [u8; 16]), Unit> = Table::new("nonces", 2);
/// SHA-256 of method, path and idempotency key, cut to 16 bytes.
pub const ANSWERS: Table<(Scope, [u8; 16]), StoredAnswer> = Table::new("answers", 1);
pub const ANSWERS_BY_EXPIRY: Table<(Timestamp, Scope, [u8; 16]), Unit> = Table::new("answers_by_expiry", 1);

/// One row, 0: the key behind the cashier's links.
pub const LINK_KEY: Table<u8, Sealed> = Table::new("link_key", 1);
/// One row, 0: the seed of the Ed25519 key that signs replies of the API.
pub const REPLY_KEY: Table<u8, Sealed> = Table::new("reply_key", 1);

/// One row, 0: the seed of the key that signs checkpoints.
pub const CHECKPOINT_KEY: Table<u8, Sealed> = Table::new("checkpoint_key", 1);
/// The last checkpoint of each chain, by the chain's name.
pub const CHECKPOINTS: Table<String, Checkpoint> = Table::new("checkpoints", 1);

/// One row, 0: shows which master key the secrets in this file are sealed under.
pub const KEY_CHECK: Table<u8, KeyCheck> = Table::new("key_check", 1);

/// The queue of what is due.
pub const DUE: Table<(Lane, Timestamp, Effect), Unit> = Table::new("due", 1);

/// Day number (days since 1970-01-01 in the merchant's zone), then the method's place in `Method::ALL`, or 255 for
/// what has no method.
pub const DAYS: Table<(Scope, u32, u8), DayTotals> = Table::new("days", 1);

/// People who log in to the console.
pub const USERS: Table<UserId, User> = Table::new("users", 1);
pub const USER_BY_LOGIN: Table<String, UserId> = Table::new("user_by_login", 1);
pub const USERS_BY_MERCHANT: Table<(MerchantId, UserId), Unit> = Table::new("users_by_merchant", 1);
/// Under the SHA-256 of the token.
pub const SESSIONS: Table<[u8; 32], Session> = Table::new("sessions", 1);
pub const SESSIONS_BY_USER: Table<(UserId, [u8; 32]), Unit> = Table::new("sessions_by_user", 1);
/// One-time links, under the SHA-256 of the token.
pub const SETUP_TOKENS: Table<[u8; 32], SetupToken> = Table::new("setup_tokens", 1);
/// Chain and sequence number, from 1 without gaps.
pub const AUDIT: Table<(MerchantId, u64), AuditRecord> = Table::new("audit", 1);

/// One row, 0: the seed of the simulated provider's signing key.
pub const WALLET_PROVIDER: Table<u8, Sealed> = Table::new("wallet_provider", 1);
/// By merchant number at the simulated provider.
pub const WALLET_MERCHANTS: Table<String, WalletMerchant> = Table::new("wallet_merchants", 1);
/// By the merchant's order number, which is an attempt's bare id.
pub const WALLET_ORDERS: Table<String, WalletOrder> = Table::new("wallet_orders", 1);
/// The code in the address of an order's phone page.
pub const WALLET_CODES: Table<[u8; 16], String> = Table::new("wallet_codes", 1);
/// By the merchant's refund number, which is a refund's bare id.
pub const WALLET_REFUNDS: Table<String, WalletRefund> = Table::new("wallet_refunds", 1);
/// When the simulated provider looks at an order or refund again by itself.
pub const WALLET_WAKES: Table<(Timestamp, Subject), Unit> = Table::new("wallet_wakes", 1);
/// Notifications on their way, by when they are sent next.
pub const WALLET_LETTERS: Table<(Timestamp, [u8; 16]), Letter> = Table::new("wallet_letters", 1);
/// Answers about an order or refund number that were troubled on purpose so far.
pub const WALLET_TROUBLES: Table<String, u32> = Table::new("wallet_troubles", 1);
/// One row, 0: the faults that new orders begin with.
pub const WALLET_FAULTS: Table<u8, Faults> = Table::new("wallet_faults", 1);

/// Orders of the demo's shop by their number, which begins with the time.
pub const SHOP_ORDERS: Table<String, ShopOrder> = Table::new("shop_orders", 1);
/// Which order of the demo's shop a payment belongs to: refunds name nothing else.
pub const SHOP_BY_PAYMENT: Table<String, String> = Table::new("shop_by_payment", 1);

/// Currency code, then account code: the sum over an account's sub-accounts, of which there is one per refund. The trial
/// balance must not cost more with every refund ever made.
pub const ACCOUNT_TOTALS: Table<(Scope, [u8; 3], u16), Balance> = Table::new("account_totals", 1);
/// The last time that the books were recomputed from the console.
pub const VERIFICATIONS: Table<Scope, Verification> = Table::new("verifications", 1);

/// What the channel said about a case, each different word once, counted from 0.
pub const CASE_LINES: Table<(Scope, CaseId, u32), CaseLine> = Table::new("case_lines", 1);

/// Endpoints of their own (not those of payments' addresses) that somebody should look at.
pub const ENDPOINTS_FAILING: Table<(Scope, EndpointId), Unit> = Table::new("endpoints_failing", 1);
/// Of the simulated providers. Their keys begin with the provider's name, and most go on with the merchant's number there.
pub const SIM_COMMON: Table<u8, sim_records::Common> = Table::new("sim_common", 1);
/// By the key's name.
pub const SIM_KEYS: Table<(String, String), sim_records::KeyRecord> = Table::new("sim_keys", 1);
pub const SIM_MEMBERS: Table<(String, String), sim_records::Member> = Table::new("sim_members", 1);
pub const SIM_BOARD: Table<String, sim_records::Board> = Table::new("sim_board", 1);
/// By the order's number.
pub const SIM_ORDERS: Table<(String, String, String), sim::Order> = Table::new("sim_orders", 1);
/// Orders by when they were made: the oldest make room.
pub const SIM_AGES: Table<(Timestamp, String, sim_records::Subject), Unit> = Table::new("sim_ages", 1);
/// Other names of orders and refunds: the provider's own numbers, and the codes that payers scan.
pub const SIM_NAMES: Table<(String, String), sim_records::Subject> = Table::new("sim_names", 1);
/// By the refund's number.
pub const SIM_REFUNDS: Table<(String, String, String), sim::Refund> = Table::new("sim_refunds", 1);
/// Order's number, refund's number.
pub const SIM_REFUNDS_BY_ORDER: Table<(String, String, String, String), Unit> = Table::new("sim_refunds_by_order", 1);
/// Payments by when they came, refunds by when they were made: the rows of bills.
pub const SIM_MOVES: Table<(String, String, Timestamp, sim_records::Subject), Unit> = Table::new("sim_moves", 1);
/// When a simulated provider looks at an order or refund again by itself.
pub const SIM_WAKES: Table<(Timestamp, String, sim_records::Subject), Unit> = Table::new("sim_wakes", 1);
/// Notifications on their way, by when they are sent next.
pub const SIM_LETTERS: Table<(Timestamp, [u8; 16]), sim_records::Letter> = Table::new("sim_letters", 1);
/// Answers about a number that were troubled on purpose so far.
pub const SIM_TROUBLES: Table<(String, String, String), u32> = Table::new("sim_troubles", 1);
/// Codes that payers show, by their digits.
pub const SIM_PAYER_CODES: Table<(String, String), sim_records::PayerCode> = Table::new("sim_payer_codes", 1);

/// What takes two persons, where somebody switched it on.
pub const APPROVAL_RULES: Table<MerchantId, ApprovalRule> = Table::new("approval_rules", 1);
pub const PROPOSALS: Table<(Scope, ProposalId), Proposal> = Table::new("proposals", 1);
pub const PROPOSALS_WAITING: Table<(Scope, ProposalId), Unit> = Table::new("proposals_waiting", 1);
/// Those that wait, by when they have waited long enough.
pub const PROPOSALS_BY_EXPIRY: Table<(Timestamp, Scope, ProposalId), Unit> = Table::new("proposals_by_expiry", 1);
/// By the number that the refund will have.
pub const PROPOSAL_BY_NUMBER: Table<(Scope, String), ProposalId> = Table::new("proposal_by_number", 1);

/// The last payment whose customer's data was taken out because its time is over.
pub const CUSTOMERS_FORGOTTEN: Table<Scope, PaymentId> = Table::new("customers_forgotten", 1);

/// The last decision about a refund that could not go back the way it came. No card is in it.
pub const REDIRECTS: Table<(Scope, RefundId), Redirect> = Table::new("redirects", 1);

/// Runs of acceptance cases with their reports, in test mode.
pub const ACCEPTANCE_RUNS: Table<(Scope, RunId), Run> = Table::new("acceptance_runs", 1);

/// Messages to a channel account that were not believed, of the newest day that had any.
pub const UNBELIEVED: Table<(Scope, AccountId), Unbelieved> = Table::new("unbelieved", 1);

/// The stored reply of an idempotent request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredAnswer {
    /// SHA-256 of the request's body, cut to 16 bytes.
    pub fingerprint: [u8; 16],
    pub at: Timestamp,
    pub reply: AnswerState,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum AnswerState {
    /// The effect is committed and the reply waits for the channel; what it will show is this payment.
    Running(PaymentId),
    Done {
        status: u16,
        body: Vec<u8>,
    },
}

/// What a day and method brought, counted in the same commit as the change itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayTotals {
    pub created: u64,
    pub paid: u64,
    /// Minor units of the merchant's currency; payments in others are counted and not added.
    pub paid_minor: u64,
    /// Ended without money.
    pub ended: u64,
    pub refunded: u64,
    pub refunded_minor: u64,
    /// Found paid by asking, before or instead of a notification.
    pub healed: u64,
    pub late: u64,
}
