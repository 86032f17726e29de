//! Accounts, people and sessions: their indexes both ways.

use super::{Finding, Run, Snapshots, lost, stray};
use crate::flows::effect::{Effect, Lane};
use crate::store::Read;
use crate::store::tables::{
    ACCOUNT_SCOPES, ACCOUNTS, DUE, SESSIONS, SESSIONS_BY_USER, USER_BY_LOGIN, USERS, USERS_BY_MERCHANT,
};

pub(super) fn verify<S: Snapshots>(run: &mut Run<'_, S>) -> Result<(), Finding> {
    run.each(&ACCOUNTS, |tx, (scope, id), account| {
        if tx.get(&ACCOUNT_SCOPES, &id)? != Some(scope) {
            return lost(&ACCOUNT_SCOPES, id);
        }
        match account.upkeep_at {
            Some(at) if !tx.contains(&DUE, &(Lane::account(id), at, Effect::Upkeep(scope, id)))? => lost(&DUE, id),
            Some(_) | None => Ok(()),
        }
    })?;
    run.each(
        &ACCOUNT_SCOPES,
        |tx, id, scope| {
            if tx.contains(&ACCOUNTS, &(scope, id))? { Ok(()) } else { stray(&ACCOUNT_SCOPES, id) }
        },
    )?;
    run.each(&USERS, |tx, id, user| {
        if tx.get(&USER_BY_LOGIN, &user.login.as_str().to_owned())? != Some(id) {
            return lost(&USER_BY_LOGIN, id);
        }
        for membership in &user.memberships {
            if !tx.contains(&USERS_BY_MERCHANT, &(membership.merchant, id))? {
                return lost(&USERS_BY_MERCHANT, id);
            }
        }
        Ok(())
    })?;
    run.each(&USER_BY_LOGIN, |tx, login, id| match tx.get(&USERS, &id)? {
        Some(user) if user.login.as_str() == login => Ok(()),
        Some(_) | None => stray(&USER_BY_LOGIN, id),
    })?;
    run.each(&USERS_BY_MERCHANT, |tx, (merchant, id), ()| match tx.get(&USERS, &id)? {
        Some(user) if user.memberships.iter().any(|membership| membership.merchant == merchant) => Ok(()),
        Some(_) | None => stray(&USERS_BY_MERCHANT, id),
    })?;
    run.each(&SESSIONS, |tx, hash, session| {
        let row = (session.user, hash);
        if tx.contains(&SESSIONS_BY_USER, &row)? { Ok(()) } else { lost(&SESSIONS_BY_USER, session.user) }
    })?;
    run.each(&SESSIONS_BY_USER, |tx, (user, hash), ()| match tx.get(&SESSIONS, &hash)? {
        Some(session) if session.user == user => Ok(()),
        Some(_) | None => stray(&SESSIONS_BY_USER, user),
    })?;
    Ok(())
}
