//! People in the store: found by login, members of merchants, changed with their sessions in mind.

use super::attempts::{Attempts, SECOND_FACTOR_WAIT_MAX};
use super::password::PasswordHash;
use super::records::{Login, MEMBERSHIPS_MAX, Membership, SecondFactor, User, second_factor_place};
use super::recovery::RecoveryCodes;
use super::roles::Role;
use super::totp::TotpSecret;
use crate::audit::log::Stamp;
use crate::audit::{Action, Detail};
use crate::crypto::Vault;
use crate::domain::ids::{MerchantId, Mode, Scope, UserId};
use crate::domain::time::{Duration, Timestamp};
use crate::store::tables::{USER_BY_LOGIN, USERS, USERS_BY_MERCHANT};
use crate::store::{Order, Read, Span, StoreError, WriteTx};

/// People of one merchant.
pub const MEMBERS_MAX: usize = 200;

/// Why a change to a person was refused.
#[derive(Debug)]
pub enum PeopleError {
    /// Somebody else has this login.
    LoginTaken,
    /// No such person at this merchant.
    NotFound,
    /// The last owner of a merchant can be neither removed nor made less.
    LastOwner,
    /// [`MEMBERS_MAX`] or [`MEMBERSHIPS_MAX`] is reached.
    TooMany,
    Store(StoreError),
}

impl From<StoreError> for PeopleError {
    fn from(error: StoreError) -> Self {
        PeopleError::Store(error)
    }
}

/// Whether anybody exists at all.
pub fn anybody(tx: &impl Read) -> Result<bool, StoreError> {
    Ok(!tx.scan(&USERS, &Span::all(), Order::Ascending, 1)?.is_empty())
}

pub fn find(tx: &impl Read, id: UserId) -> Result<Option<User>, StoreError> {
    tx.get(&USERS, &id)
}

pub fn find_by_login(tx: &impl Read, login: &Login) -> Result<Option<User>, StoreError> {
    match tx.get(&USER_BY_LOGIN, &login.as_str().to_owned())? {
        Some(id) => tx.get(&USERS, &id),
        None => Ok(None),
    }
}

/// The people of a merchant, oldest first.
pub fn members(tx: &impl Read, merchant: MerchantId) -> Result<Vec<User>, StoreError> {
    let rows = tx.scan(&USERS_BY_MERCHANT, &Span::prefix(&merchant), Order::Ascending, MEMBERS_MAX)?;
    let users = rows.into_iter().map(|((_, id), ())| tx.get(&USERS, &id));
    Ok(users.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// Stores a new person.
pub fn create(tx: &mut WriteTx<'_>, user: &User) -> Result<(), PeopleError> {
    let login = user.login.as_str().to_owned();
    if tx.contains(&USER_BY_LOGIN, &login)? {
        return Err(PeopleError::LoginTaken);
    }
    if user.memberships.len() > MEMBERSHIPS_MAX {
        return Err(PeopleError::TooMany);
    }
    tx.put(&USER_BY_LOGIN, &login, &user.id)?;
    for membership in &user.memberships {
        let count = tx.scan(&USERS_BY_MERCHANT, &Span::prefix(&membership.merchant), Order::Ascending, MEMBERS_MAX)?;
        if count.len() == MEMBERS_MAX {
            return Err(PeopleError::TooMany);
        }
        tx.put(&USERS_BY_MERCHANT, &(membership.merchant, user.id), &())?;
    }
    Ok(tx.put(&USERS, &user.id, user)?)
}

/// A person who has just been made: no second factor yet.
pub fn new_user(
    id: UserId,
    login: Login,
    name: String,
    password: PasswordHash,
    membership: Membership,
    now: Timestamp,
) -> User {
    User {
        id,
        login,
        name,
        password,
        password_changed_at: now,
        second_factor: None,
        recovery: RecoveryCodes::default(),
        attempts: Attempts::NONE,
        epoch: 0,
        memberships: vec![membership],
        language: None,
        home: Scope { merchant: membership.merchant, mode: Mode::Test },
        created_at: now,
        disabled_at: None,
    }
}

/// Changes what somebody is to a merchant and ends all sessions of that person.
pub fn change_role(
    tx: &mut WriteTx<'_>,
    merchant: MerchantId,
    id: UserId,
    role: Role,
    stamp: &Stamp,
) -> Result<(), PeopleError> {
    let mut user = member(tx, merchant, id)?;
    let before = user.role_at(merchant).ok_or(PeopleError::NotFound)?;
    if before == role {
        return Ok(());
    }
    keep_an_owner(tx, merchant, &user)?;
    for membership in user.memberships.iter_mut().filter(|membership| membership.merchant == merchant) {
        membership.role = role;
    }
    user.epoch += 1;
    tx.put(&USERS, &id, &user)?;
    let detail = Detail::new().masked("login", user.login.as_str()).with("from", before).with("to", role);
    Ok(stamp.record(tx, merchant, Action::UserRoleChanged, id, detail)?)
}

/// Takes somebody's access to a merchant away. Whoever works for no other merchant is switched off; the record stays,
/// because the audit log speaks of it.
pub fn remove(tx: &mut WriteTx<'_>, merchant: MerchantId, id: UserId, stamp: &Stamp) -> Result<(), PeopleError> {
    let mut user = member(tx, merchant, id)?;
    keep_an_owner(tx, merchant, &user)?;
    if user.memberships.len() > 1 {
        user.memberships.retain(|membership| membership.merchant != merchant);
    } else {
        user.disabled_at = Some(stamp.at);
    }
    user.epoch += 1;
    tx.delete(&USERS_BY_MERCHANT, &(merchant, id))?;
    tx.put(&USERS, &id, &user)?;
    let detail = Detail::new().masked("login", user.login.as_str());
    Ok(stamp.record(tx, merchant, Action::UserDisabled, id, detail)?)
}

/// Sets a new password and ends all sessions.
pub fn set_password(
    tx: &mut WriteTx<'_>,
    user: &mut User,
    password: PasswordHash,
    chain: MerchantId,
    stamp: &Stamp,
) -> Result<(), StoreError> {
    user.password = password;
    user.password_changed_at = stamp.at;
    user.epoch += 1;
    tx.put(&USERS, &user.id, user)?;
    stamp.record(tx, chain, Action::PasswordChanged, user.id, Detail::new())
}

/// Stores a confirmed authenticator and fresh recovery codes, and ends all sessions.
pub fn enrol(
    tx: &mut WriteTx<'_>,
    user: &mut User,
    factor: SecondFactor,
    recovery: RecoveryCodes,
    chain: MerchantId,
    stamp: &Stamp,
) -> Result<(), StoreError> {
    user.second_factor = Some(factor);
    user.recovery = recovery;
    user.attempts = Attempts::NONE;
    user.epoch += 1;
    tx.put(&USERS, &user.id, user)?;
    stamp.record(tx, chain, Action::SecondFactorEnrolled, user.id, Detail::new())
}

/// What became of a second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    Accepted,
    /// With one of the recovery codes; so many are left.
    AcceptedRecovery {
        left: usize,
    },
    Wrong,
    /// Too many failures: not even looked at.
    Locked(Duration),
}

/// Checks a time-based or recovery code and stores what follows: the step is used, the code is spent, the failure
/// counts. All in one transaction, so that the same code sent twice at once is accepted once.
pub fn check_second_factor(
    tx: &mut WriteTx<'_>,
    vault: &Vault,
    id: UserId,
    code: &str,
    chain: MerchantId,
    stamp: &Stamp,
) -> Result<Checked, StoreError> {
    let Some(mut user) = find(tx, id)? else { return Ok(Checked::Wrong) };
    if let Some(wait) = user.attempts.wait(stamp.at) {
        return Ok(Checked::Locked(wait));
    }
    let step = user.second_factor.as_ref().and_then(|factor| {
        let secret = vault.open(&second_factor_place(&id.to_bytes()), &factor.secret).ok()?;
        TotpSecret::from_bytes(secret.expose().to_vec()).matching_step(code, stamp.at, Some(factor.last_step))
    });
    let (checked, action) = if let (Some(step), Some(factor)) = (step, &mut user.second_factor) {
        factor.last_step = step;
        (Checked::Accepted, None)
    } else if let Some(rest) = user.recovery.used(code) {
        let left = rest.left();
        user.recovery = rest;
        (Checked::AcceptedRecovery { left }, Some((Action::RecoveryCodeUsed, Detail::new().with("left", left))))
    } else {
        user.attempts = user.attempts.failed(stamp.at, SECOND_FACTOR_WAIT_MAX);
        let detail = Detail::new().with("failures", user.attempts.failures);
        (Checked::Wrong, Some((Action::SecondFactorFailed, detail)))
    };
    if checked != Checked::Wrong {
        user.attempts = Attempts::NONE;
    }
    tx.put(&USERS, &id, &user)?;
    if let Some((action, detail)) = action {
        stamp.record(tx, chain, action, id, detail)?;
    }
    Ok(checked)
}

fn member(tx: &impl Read, merchant: MerchantId, id: UserId) -> Result<User, PeopleError> {
    let user = find(tx, id)?.filter(|user| user.role_at(merchant).is_some() && user.disabled_at.is_none());
    user.ok_or(PeopleError::NotFound)
}

/// Errors when `user` is the only owner left.
fn keep_an_owner(tx: &impl Read, merchant: MerchantId, user: &User) -> Result<(), PeopleError> {
    let is_owner = |user: &User| user.role_at(merchant) == Some(Role::Owner) && user.disabled_at.is_none();
    if !is_owner(user) {
        return Ok(());
    }
    let others = members(tx, merchant)?.iter().filter(|other| other.id != user.id && is_owner(other)).count();
    if others == 0 { Err(PeopleError::LastOwner) } else { Ok(()) }
}
