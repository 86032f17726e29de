//! The audit log of a merchant: who did what, newest first, with a check of the whole chain.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use askama::Template;

use super::settings::{Tab, Tabs};
use super::visit::{Member, Reply};
use super::words;
use crate::audit::log;
use crate::audit::{Actor, AuditRecord};
use crate::domain::ids::UserId;
use crate::store::tables::USERS;
use crate::store::{Read, StoreError};
use crate::web::{Frame, Page, Room};

/// Records of one page.
const ROWS: usize = 50;

#[derive(Template)]
#[template(path = "console/audit_log.html")]
struct AuditPage {
    page: Page,
    frame: Frame,
    tabs: Tabs,
    records: Vec<AuditRecord>,
    people: BTreeMap<UserId, String>,
    older: Option<String>,
    is_first: bool,
}

impl AuditPage {
    fn actor(&self, record: &AuditRecord) -> String {
        match &record.actor {
            Actor::User(id) => words::person(&self.people, *id),
            Actor::ApiKey(id) => id.to_string(),
            Actor::System => self.page.t("系统", "The system").to_owned(),
            Actor::Stranger => self.page.t("陌生人", "A stranger").to_owned(),
        }
    }

    fn has_object(&self, record: &AuditRecord) -> bool {
        !record.object.is_empty()
    }
}

pub(super) async fn page(member: Member) -> Reply {
    let chain = member.chain();
    let before: Option<u64> = member.query.text("after").parse().ok();
    let (mut records, people) = member
        .console
        .store()
        .read(move |tx| {
            let records = log::newest(tx, chain, before, ROWS + 1)?;
            let mut people = BTreeMap::new();
            for record in &records {
                if let Actor::User(id) = record.actor
                    && !people.contains_key(&id)
                    && let Some(user) = tx.get(&USERS, &id)?
                {
                    people.insert(id, user.name);
                }
            }
            Ok::<_, StoreError>((records, people))
        })
        .await?;
    let has_older = records.len() > ROWS;
    records.truncate(ROWS);
    let older = records.last().filter(|_| has_older).map(|last| member.page.with("after", &last.seq.to_string()));
    let page = AuditPage {
        records,
        people,
        older,
        is_first: before.is_none(),
        tabs: Tabs::of(&member, Tab::Audit),
        page: member.page.clone(),
        frame: member.frame(Room::Settings),
    };
    Ok(member.render(StatusCode::OK, &page))
}
