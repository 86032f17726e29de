//! Pages of the console as a person who is logged in asks for them, one after the other.

use super::BenchError;
use super::load::Script;
use super::site::Site;
use crate::console::auth::password::{Hasher, Password};
use crate::console::auth::people;
use crate::console::auth::records::{Login, Membership, Session};
use crate::console::auth::roles::Role;
use crate::console::auth::session::{CookieKind, Token};
use crate::console::auth::sessions;
use crate::domain::ids::UserId;

/// Payments whose pages are looked at, spread over the whole history.
const PAYMENTS: usize = 200;

pub struct Pages {
    requests: Vec<Vec<u8>>,
}

impl Pages {
    /// Lets an owner in, without a password that anybody knows.
    pub fn new(site: &Site) -> Result<Self, BenchError> {
        let env = &site.env;
        let now = env.now();
        let unknown = Password::new(data_encoding::BASE32.encode(&env.random::<20>()));
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(BenchError::io("hashing a password"))?;
        let hash = runtime.block_on(Hasher::new(env.entropy.clone()).hash(unknown));
        let hash = hash.unwrap_or_else(|_| unreachable!("nobody else hashes here"));
        let membership = Membership { merchant: site.scope.merchant, role: Role::Owner };
        let login = Login::parse("bench").expect("it is one");
        let user = people::new_user(UserId::new(now, env.random()), login, "Bench".to_owned(), hash, membership, now);
        let token = Token::generate(env.entropy.as_ref());
        let session = Session {
            user: user.id,
            epoch: user.epoch,
            scope: site.scope,
            second_factor_due: false,
            verified_at: now,
            enrolling: None,
            created_at: now,
            last_seen_at: now,
            ip: "127.0.0.1".to_owned(),
            device: String::new(),
        };
        let key = token.hash();
        let made = site.house.gateway.store.write_blocking(move |tx| {
            people::create(tx, &user)?;
            Ok::<_, people::PeopleError>(sessions::start(tx, key, &session)?)
        });
        made.map_err(|error| BenchError::Setup(format!("{error:?}")))?;

        let cookie = format!("{}={}", CookieKind::Loopback.name(), token.to_text().as_str());
        let step = (site.known.len() / PAYMENTS).max(1);
        let lists =
            ["/console", "/console/payments", "/console/payments?status=paid", "/console/callbacks", "/console/ledger"];
        let mut requests = Vec::new();
        for (number, id) in site.known.iter().step_by(step).enumerate() {
            let list = lists[number % lists.len()].to_owned();
            for path in [list, format!("/console/payments/{id}")] {
                let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\ncookie: {cookie}\r\n\r\n");
                requests.push(request.into_bytes());
            }
        }
        Ok(Self { requests })
    }
}

impl Script for Pages {
    fn request(&self, connection: usize, number: u64, out: &mut Vec<u8>) {
        let place = usize::try_from(number).unwrap_or_default().wrapping_add(connection) % self.requests.len();
        out.extend_from_slice(&self.requests[place]);
    }

    fn status(&self) -> u16 {
        200
    }
}
