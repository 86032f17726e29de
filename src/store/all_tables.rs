//! The list of all tables: what `verify` can read, and where a change of the master key looks for what was left behind.

use super::table::TableCheck;
use super::tables::*;

/// Every table of `tables.rs`, in its order. A file with another one is refused by `verify`.
pub const ALL_TABLES: &[TableCheck] = &[
    MERCHANTS.check(),
    CALLBACK_DEFAULTS.check(),
    ACCOUNTS.check(),
    ACCOUNT_SCOPES.check(),
    CONNECTION_TESTS.check(),
    PAYMENTS.check(),
    PAYMENT_BY_ORDER.check(),
    PAYMENTS_BY_STATE.check(),
    PAYMENT_BY_TRANSACTION.check(),
    ATTEMPTS.check(),
    TIMELINE.check(),
    REFUNDS.check(),
    REFUNDS_BY_STATE.check(),
    REFUND_BY_NUMBER.check(),
    CASES.check(),
    CASE_BY_CAUSE.check(),
    CASES_OPEN.check(),
    JOURNAL.check(),
    JOURNAL_BY_CAUSE.check(),
    JOURNAL_BY_PAYMENT.check(),
    JOURNAL_BY_ACCOUNT.check(),
    JOURNAL_HEADS.check(),
    BALANCES.check(),
    EVENTS.check(),
    EVENTS_BY_PAYMENT.check(),
    ENDPOINTS.check(),
    IMPLICIT_ENDPOINTS.check(),
    DELIVERIES.check(),
    DELIVERIES_BY_ENDPOINT.check(),
    DELIVERY_ATTEMPTS.check(),
    KEYS.check(),
    NONCES.check(),
    ANSWERS.check(),
    ANSWERS_BY_EXPIRY.check(),
    LINK_KEY.check(),
    REPLY_KEY.check(),
    CHECKPOINT_KEY.check(),
    CHECKPOINTS.check(),
    KEY_CHECK.check(),
    DUE.check(),
    DAYS.check(),
    USERS.check(),
    USER_BY_LOGIN.check(),
    USERS_BY_MERCHANT.check(),
    SESSIONS.check(),
    SESSIONS_BY_USER.check(),
    SETUP_TOKENS.check(),
    AUDIT.check(),
    WALLET_PROVIDER.check(),
    WALLET_MERCHANTS.check(),
    WALLET_ORDERS.check(),
    WALLET_CODES.check(),
    WALLET_REFUNDS.check(),
    WALLET_WAKES.check(),
    WALLET_LETTERS.check(),
    WALLET_TROUBLES.check(),
    WALLET_FAULTS.check(),
    SHOP_ORDERS.check(),
    SHOP_BY_PAYMENT.check(),
    ACCOUNT_TOTALS.check(),
    VERIFICATIONS.check(),
    CASE_LINES.check(),
    ENDPOINTS_FAILING.check(),
    SIM_COMMON.check(),
    SIM_KEYS.check(),
    SIM_MEMBERS.check(),
    SIM_BOARD.check(),
    SIM_ORDERS.check(),
    SIM_AGES.check(),
    SIM_NAMES.check(),
    SIM_REFUNDS.check(),
    SIM_REFUNDS_BY_ORDER.check(),
    SIM_MOVES.check(),
    SIM_WAKES.check(),
    SIM_LETTERS.check(),
    SIM_TROUBLES.check(),
    SIM_PAYER_CODES.check(),
    SHOWN_CODES.check(),
    APPROVAL_RULES.check(),
    PROPOSALS.check(),
    PROPOSALS_WAITING.check(),
    PROPOSALS_BY_EXPIRY.check(),
    PROPOSAL_BY_NUMBER.check(),
    CUSTOMERS_FORGOTTEN.check(),
    REDIRECTS.check(),
    ACCEPTANCE_RUNS.check(),
    UNBELIEVED.check(),
];

// Whoever declares a table and forgets the list above is told by the compiler.
const _: () = assert!(ALL_TABLES.len() == declared(include_bytes!("tables.rs")), "list every table of tables.rs here");

/// How many tables a source declares.
const fn declared(source: &[u8]) -> usize {
    const DECLARATION: &[u8] = b"Table::new(";
    let (mut count, mut at) = (0, 0);
    while at + DECLARATION.len() <= source.len() {
        let mut same = 0;
        while same < DECLARATION.len() && source[at + same] == DECLARATION[same] {
            same += 1;
        }
        count += (same == DECLARATION.len()) as usize;
        at += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_tables_share_a_name() {
        let mut names: Vec<_> = ALL_TABLES.iter().map(TableCheck::name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL_TABLES.len());
    }
}
