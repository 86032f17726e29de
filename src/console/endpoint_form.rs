//! Adding and changing an endpoint. The secret of a new one is shown once.

use std::collections::BTreeSet;

use actix_web::http::StatusCode;
use askama::Template;

use super::endpoint::SecretPage;
use super::visit::{Member, Problem, Reply};
use super::words;
use crate::audit::{Action, Detail};
use crate::domain::endpoint::Endpoint;
use crate::domain::event::EventType;
use crate::domain::ids::EndpointId;
use crate::flows::endpoints::{self, Change, NewEndpoint};
use crate::flows::{FlowError, Moment};
use crate::store::Read;
use crate::store::tables::ENDPOINTS;
use crate::web::{Frame, Page, Room};

/// Bytes of an address.
const URL_BYTES_MAX: usize = 2048;
/// Characters of a note.
const DESCRIPTION_CHARS_MAX: usize = 40;

#[derive(Template)]
#[template(path = "console/endpoint_form.html")]
struct EndpointForm {
    page: Page,
    frame: Frame,
    /// The one that is changed; none for a new one.
    id: Option<EndpointId>,
    url: String,
    description: String,
    /// Empty means all.
    events: BTreeSet<EventType>,
    kinds: Vec<EventType>,
    url_error: String,
    whole_error: String,
}

impl EndpointForm {
    fn new(member: &Member) -> Self {
        // Tests are sent on request and cannot be chosen.
        let kinds = EventType::ALL.iter().copied().filter(|kind| *kind != EventType::WebhookPing).collect();
        Self {
            page: member.page.clone(),
            frame: member.frame(Room::Callbacks),
            id: None,
            url: String::new(),
            description: String::new(),
            events: BTreeSet::new(),
            kinds,
            url_error: String::new(),
            whole_error: String::new(),
        }
    }

    fn is_chosen(&self, kind: &EventType) -> bool {
        self.events.contains(kind)
    }

    /// Reads what was typed and says what is wrong.
    fn read(&mut self, member: &Member) -> bool {
        self.url = member.form.text("url").to_owned();
        self.description = member.form.text("description").chars().take(DESCRIPTION_CHARS_MAX).collect();
        self.events = member.form.all("events[]").filter_map(EventType::parse).collect();
        let policy = &member.console.gateway().settings.callbacks;
        if self.url.is_empty() || self.url.len() > URL_BYTES_MAX {
            self.url_error = member.page.t("请填写地址。", "An address is needed.").to_owned();
        } else if let Err(reason) = policy.check_url(&self.url) {
            self.url_error = reason.sentence(member.page.lang);
        }
        self.url_error.is_empty()
    }
}

pub(super) async fn new_page(member: Member) -> Reply {
    Ok(member.render(StatusCode::OK, &EndpointForm::new(&member)))
}

pub(super) async fn create(member: Member) -> Reply {
    let mut form = EndpointForm::new(&member);
    if !form.read(&member) {
        return Ok(member.render(StatusCode::UNPROCESSABLE_ENTITY, &form));
    }
    let env = member.console.env();
    let id = EndpointId::new(member.now, env.random());
    let (scope, stamp, moment) = (member.scope(), member.stamp(), Moment::new(env));
    let fresh = endpoints::fresh_secret(member.console.gateway(), scope, id);
    let new = NewEndpoint {
        id,
        url: form.url.clone(),
        description: form.description.clone(),
        events: form.events.clone(),
        secret: fresh.sealed,
    };
    let created = member
        .console
        .store()
        .write(move |tx| {
            endpoints::create(tx, scope, &new, &moment)?;
            stamp.record(tx, scope.merchant, Action::EndpointCreated, id, Detail::new().with("url", &new.url))?;
            Ok::<_, FlowError>(())
        })
        .await;
    match created {
        Ok(()) => {}
        Err(FlowError::Refused(refusal)) => {
            form.whole_error = words::refusal_text(&refusal, &member.page);
            return Ok(member.render(StatusCode::CONFLICT, &form));
        }
        Err(other) => return Err(other.into()),
    }
    let secret = fresh.shown.to_text();
    let page = SecretPage {
        page: &member.page,
        frame: member.frame(Room::Callbacks),
        title: member.page.t("回调地址已添加", "The endpoint was added"),
        what: member.page.t(
            "网店用这个密钥核对通知确实来自这里。下一页有 PHP、Node、Python、Java、Go 的现成代码。",
            "Your shop uses this secret to see that a callback really comes from here. The next page has ready code in PHP, Node, Python, Java and Go.",
        ),
        secret: secret.expose_str().map_err(|error| Problem::Internal(error.to_string()))?,
        href: format!("/console/callbacks/{id}"),
    };
    Ok(member.render(StatusCode::OK, &page))
}

async fn load(member: &Member) -> Result<Endpoint, Problem> {
    let id: EndpointId = member.part("endpoint")?;
    let scope = member.scope();
    member.console.store().read(move |tx| tx.get(&ENDPOINTS, &(scope, id))).await?.ok_or(Problem::NotFound)
}

pub(super) async fn edit_page(member: Member) -> Reply {
    let endpoint = load(&member).await?;
    let form = EndpointForm {
        id: Some(endpoint.id),
        url: endpoint.url,
        description: endpoint.description,
        events: endpoint.events,
        ..EndpointForm::new(&member)
    };
    Ok(member.render(StatusCode::OK, &form))
}

pub(super) async fn edit(member: Member) -> Reply {
    let endpoint = load(&member).await?;
    let mut form = EndpointForm { id: Some(endpoint.id), ..EndpointForm::new(&member) };
    if !form.read(&member) {
        return Ok(member.render(StatusCode::UNPROCESSABLE_ENTITY, &form));
    }
    let change = Change {
        // The same address keeps its record of failures.
        url: Some(form.url.clone()).filter(|url| *url != endpoint.url),
        description: Some(form.description.clone()),
        events: Some(form.events.clone()),
        enabled: None,
    };
    let (scope, stamp, id) = (member.scope(), member.stamp(), endpoint.id);
    let saved = member
        .console
        .store()
        .write(move |tx| {
            let changed = endpoints::update(tx, scope, id, &change)?;
            let detail = Detail::new().with("from", &endpoint.url).with("url", &changed.url);
            stamp.record(tx, scope.merchant, Action::EndpointChanged, id, detail)?;
            Ok::<_, FlowError>(())
        })
        .await;
    match saved {
        Ok(()) => Ok(member.go(&format!("/console/callbacks/{id}?done=endpoint_saved"))),
        Err(error) => member.refuse(error, "/console/callbacks"),
    }
}
