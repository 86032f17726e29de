//! Roles and what each may do: the only place that answers "may this person do that?".
//!
//! The console's routes each name one permission (`console/routes.rs`), and this table says who has it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a person is to one merchant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything, owners included.
    Owner,
    /// Runs the installation: people, keys, endpoints, settings. Moves no money.
    Admin,
    /// Money and books: refunds, ledger, exports.
    Finance,
    /// Day-to-day: payments, asking the channel, callbacks.
    Operator,
    /// Answers customers: looks up payments, sends a callback again.
    Support,
    /// Reads everything, the audit log included; changes nothing.
    Auditor,
}

/// One thing that can be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Payments, refunds and callbacks, to look at.
    ViewPayments,
    /// Keys (without their secret), endpoints and settings, to look at.
    ViewSettings,
    /// Accounts, entries, trial balance.
    ViewBooks,
    /// Who did what.
    ViewAudit,
    /// Take what can be seen as a file.
    Export,
    /// Ask the channel about a payment, cancel an open one.
    WorkPayments,
    /// Give money back.
    Refund,
    /// Decide what becomes of money that nobody waited for.
    DecideCases,
    /// Recompute the books and the chains now.
    VerifyBooks,
    /// Send a callback again, fire a test.
    ResendCallbacks,
    /// API keys and webhook endpoints.
    ManageKeys,
    /// Name, zone, fees, policies.
    ManageSettings,
    /// People and their roles; only an owner touches owners.
    ManageUsers,
}

impl Role {
    pub const ALL: [Role; 6] = [Role::Owner, Role::Admin, Role::Finance, Role::Operator, Role::Support, Role::Auditor];

    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Owner => "owner",
            Role::Admin => "admin",
            Role::Finance => "finance",
            Role::Operator => "operator",
            Role::Support => "support",
            Role::Auditor => "auditor",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// The table. Owner, admin, finance, operator, support, auditor from left to right.
    pub const fn may(self, permission: Permission) -> bool {
        let row: [u8; 6] = match permission {
            Permission::ViewPayments => [1, 1, 1, 1, 1, 1],
            Permission::ViewSettings => [1, 1, 0, 1, 0, 1],
            Permission::ViewBooks => [1, 1, 1, 0, 0, 1],
            Permission::ViewAudit => [1, 1, 0, 0, 0, 1],
            Permission::Export => [1, 1, 1, 0, 0, 1],
            Permission::WorkPayments => [1, 1, 1, 1, 0, 0],
            Permission::Refund => [1, 0, 1, 0, 0, 0],
            Permission::DecideCases => [1, 0, 1, 0, 0, 0],
            Permission::VerifyBooks => [1, 1, 1, 0, 0, 0],
            Permission::ResendCallbacks => [1, 1, 0, 1, 1, 0],
            Permission::ManageKeys => [1, 1, 0, 0, 0, 0],
            Permission::ManageSettings => [1, 1, 0, 0, 0, 0],
            Permission::ManageUsers => [1, 1, 0, 0, 0, 0],
        };
        row[self as usize] == 1
    }

    /// Whether somebody of this role may give or take the other role: nobody hands out more than he has.
    pub fn may_assign(self, other: Role) -> bool {
        match self {
            Role::Owner => true,
            // Money roles come from an owner alone: an admin could otherwise make himself a refunder.
            Role::Admin => matches!(other, Role::Operator | Role::Support | Role::Auditor),
            Role::Finance | Role::Operator | Role::Support | Role::Auditor => false,
        }
    }
}

impl Permission {
    pub const ALL: [Permission; 13] = [
        Permission::ViewPayments,
        Permission::ViewSettings,
        Permission::ViewBooks,
        Permission::ViewAudit,
        Permission::Export,
        Permission::WorkPayments,
        Permission::Refund,
        Permission::DecideCases,
        Permission::VerifyBooks,
        Permission::ResendCallbacks,
        Permission::ManageKeys,
        Permission::ManageSettings,
        Permission::ManageUsers,
    ];

    /// Looks and changes nothing.
    pub const fn only_views(self) -> bool {
        match self {
            Permission::ViewPayments
            | Permission::ViewSettings
            | Permission::ViewBooks
            | Permission::ViewAudit
            | Permission::Export => true,
            Permission::WorkPayments
            | Permission::Refund
            | Permission::DecideCases
            | Permission::VerifyBooks
            | Permission::ResendCallbacks
            | Permission::ManageKeys
            | Permission::ManageSettings
            | Permission::ManageUsers => false,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_may_everything_and_an_auditor_reads_everything_and_changes_nothing() {
        for permission in Permission::ALL {
            assert!(Role::Owner.may(permission));
            assert_eq!(Role::Auditor.may(permission), permission.only_views(), "{permission:?}");
        }
    }

    #[test]
    fn money_is_given_back_by_owner_and_finance_alone() {
        let may: Vec<Role> = Role::ALL.into_iter().filter(|role| role.may(Permission::Refund)).collect();
        assert_eq!(may, [Role::Owner, Role::Finance]);
    }

    #[test]
    fn nobody_hands_out_what_he_lacks() {
        for giver in Role::ALL {
            for role in Role::ALL.into_iter().filter(|role| giver.may_assign(*role)) {
                assert!(giver.may(Permission::ManageUsers));
                assert!(Permission::ALL.into_iter().all(|p| giver.may(p) || !role.may(p)), "{giver} gives {role}");
            }
        }
    }

    #[test]
    fn role_names_are_read_back() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        assert_eq!(Role::parse("Owner"), None);
    }
}
