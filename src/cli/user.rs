//! `coffer user`: people who log in to the console, for when nobody can log in to manage them there.

use super::Teller;
use super::admin::Workbench;
use super::failure::{Exit, Failure};
use crate::audit::log::Stamp;
use crate::audit::{Action, Detail};
use crate::console::auth::people::{self, PeopleError};
use crate::console::auth::records::{Login, Membership, SetupPurpose, User};
use crate::console::auth::roles::Role;
use crate::console::auth::setup::Link;
use crate::domain::ids::MerchantId;
use crate::store::tables::MERCHANTS;
use crate::store::{Order, Read, Span, StoreError};

/// Merchants that are looked through for the only one.
const MERCHANTS_LOOKED_AT: usize = 2;

#[derive(Clone, Debug, clap::Subcommand, serde::Serialize, serde::Deserialize)]
pub enum Command {
    /// Print a link with which a new person chooses a password and enrols an authenticator
    Add {
        /// What the person logs in with: an e-mail address or a short name
        #[arg(value_parser = login)]
        login: Login,
        /// The person's name [default: the login]
        #[arg(long)]
        name: Option<String>,
        /// owner, admin, finance, operator, support or auditor
        #[arg(long, default_value = "owner", value_parser = role)]
        role: Role,
        /// The merchant's id, where there are several
        #[arg(long)]
        merchant: Option<String>,
    },
    /// Print a link with which a person who lost access chooses a new password and enrols a new authenticator
    Reset {
        #[arg(value_parser = login)]
        login: Login,
    },
    /// List the people of all merchants
    List,
    /// Take a person's access away and end all sessions
    Disable {
        #[arg(value_parser = login)]
        login: Login,
    },
}

impl Command {
    pub fn perform(&self, bench: &Workbench, teller: &mut dyn Teller) -> Result<(), Failure> {
        match self {
            Command::Add { login, name, role, merchant } => {
                let merchant = only_merchant(bench, merchant.as_deref())?;
                if bench.store.read_blocking(|tx| people::find_by_login(tx, login))?.is_some() {
                    return Err(Failure::new(Exit::Failed, format!("{login} exists already; use `coffer user reset`")));
                }
                let name = name.clone().unwrap_or_else(|| login.to_string());
                let membership = Membership { merchant, role: *role };
                let purpose = SetupPurpose::Invitation { login: login.clone(), name, membership };
                let detail = Detail::new().masked("login", login.as_str()).with("role", role);
                let link = link(bench, purpose, merchant, Action::UserInvited, login.to_string(), detail)?;
                teller.say(&format!("{login} opens this link once, within two days:\n{link}"));
            }
            Command::Reset { login } => {
                let user = find(bench, login)?;
                let detail = Detail::new().masked("login", login.as_str());
                let purpose = SetupPurpose::Reset { user: user.id };
                let id = user.id.to_string();
                let link = link(bench, purpose, user.home.merchant, Action::UserResetIssued, id, detail)?;
                teller.say(&format!("{login} opens this link once, within two days:\n{link}"));
            }
            Command::List => list(bench, teller)?,
            Command::Disable { login } => {
                let user = find(bench, login)?;
                let stamp = Stamp::system(bench.env.now());
                let removed = bench.store.write_blocking(move |tx| {
                    for membership in &user.memberships {
                        people::remove(tx, membership.merchant, user.id, &stamp)?;
                    }
                    Ok(())
                });
                removed.map_err(refused)?;
                teller.say(&format!("{login} cannot log in any more"));
            }
        }
        Ok(())
    }
}

fn list(bench: &Workbench, teller: &mut dyn Teller) -> Result<(), Failure> {
    let people = bench.store.read_blocking(|tx| {
        let mut lines = Vec::new();
        tx.walk(&MERCHANTS, &Span::all(), |id, merchant| {
            for user in people::members(tx, id)? {
                let role = user.role_at(id).map(|role| role.to_string()).unwrap_or_default();
                let state = match (user.disabled_at, &user.second_factor) {
                    (Some(_), _) => "disabled",
                    (None, Some(_)) => "active",
                    (None, None) => "no authenticator",
                };
                lines.push(format!("{:<32} {role:<10} {state:<17} {} ({id})", user.login.as_str(), merchant.name));
            }
            Ok::<_, StoreError>(std::ops::ControlFlow::Continue(()))
        })?;
        Ok::<_, StoreError>(lines)
    })?;
    if people.is_empty() {
        teller.say("nobody yet; open the link that `coffer init` printed, or run `coffer user add`");
    }
    people.iter().for_each(|line| teller.say(line));
    Ok(())
}

/// Stores a one-time link with its line in the audit log.
fn link(
    bench: &Workbench,
    purpose: SetupPurpose,
    chain: MerchantId,
    action: Action,
    object: String,
    detail: Detail,
) -> Result<String, Failure> {
    let link = Link::new(purpose, &bench.env, &bench.base_url);
    let (url, stamp) = (link.url.clone(), Stamp::system(bench.env.now()));
    bench.store.write_blocking(move |tx| {
        link.store(tx)?;
        stamp.record(tx, chain, action, &object, detail.clone())
    })?;
    Ok(url)
}

fn find(bench: &Workbench, login: &Login) -> Result<User, Failure> {
    let user = bench.store.read_blocking(|tx| people::find_by_login(tx, login))?;
    user.filter(|user| user.disabled_at.is_none())
        .ok_or_else(|| Failure::new(Exit::Failed, format!("there is no {login}; see `coffer user list`")))
}

/// The named merchant, or the only one.
pub fn only_merchant(bench: &Workbench, named: Option<&str>) -> Result<MerchantId, Failure> {
    if let Some(text) = named {
        let id: MerchantId = text.parse().map_err(|error| Failure::of(Exit::Failed, &error))?;
        let exists = bench.store.read_blocking(|tx| tx.contains(&MERCHANTS, &id))?;
        return if exists { Ok(id) } else { Err(Failure::new(Exit::Failed, format!("there is no merchant {id}"))) };
    }
    let some =
        bench.store.read_blocking(|tx| tx.scan(&MERCHANTS, &Span::all(), Order::Ascending, MERCHANTS_LOOKED_AT))?;
    match some.as_slice() {
        [(id, _)] => Ok(*id),
        [] => Err(Failure::new(Exit::Failed, "there is no merchant yet")),
        _ => Err(Failure::new(Exit::Failed, "there are several merchants; name one with --merchant")),
    }
}

fn refused(error: PeopleError) -> Failure {
    match error {
        PeopleError::LastOwner => {
            Failure::new(Exit::Failed, "this is the last owner; make another one with `coffer user add` first")
        }
        PeopleError::NotFound => Failure::new(Exit::Failed, "there is no such person any more"),
        PeopleError::LoginTaken => Failure::new(Exit::Failed, "somebody else uses this login"),
        PeopleError::TooMany => Failure::new(Exit::Failed, "the merchant has too many people"),
        PeopleError::Store(error) => error.into(),
    }
}

fn login(text: &str) -> Result<Login, String> {
    Login::parse(text).map_err(|_| "must be an e-mail address or letters, digits, dots and dashes".to_owned())
}

fn role(text: &str) -> Result<Role, String> {
    Role::ALL
        .into_iter()
        .find(|role| role.as_str() == text)
        .ok_or_else(|| "must be owner, admin, finance, operator, support or auditor".to_owned())
}
