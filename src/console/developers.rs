//! API keys: listed without their secrets, made with a secret that is shown once, revoked for good.

use std::collections::BTreeSet;

use actix_web::http::StatusCode;
use askama::Template;
use data_encoding::BASE64;

use super::auth::roles::Permission as Right;
use super::endpoint::SecretPage;
use super::visit::{Member, Problem, Reply};
use crate::api::keys::{NewKey, NewKeyKind, issue, parse_network, store_key};
use crate::audit::{Action, Detail};
use crate::domain::ids::{KeyId, Scope};
use crate::domain::key::{ApiKey, KEYS_MAX, KeySecret, Permission};
use crate::domain::time::{Duration, Timestamp};
use crate::lang::Lang;
use crate::store::tables::KEYS;
use crate::store::{Order, Read, Span, StoreError};
use crate::web::{Frame, Page, Room};

/// Characters of a key's name.
const NAME_CHARS_MAX: usize = 40;
/// Addresses and networks of one allow-list.
const NETWORKS_MAX: usize = 20;
/// What a key's life can be, in days; 0 is for ever.
const LIVES_DAYS: [u64; 5] = [0, 30, 90, 180, 365];
/// Rights that mean something already; splits are not offered yet.
const OFFERED: [Permission; 3] = [Permission::Read, Permission::Write, Permission::Refund];
/// Revoked keys stay listed, so more rows than live keys are read.
const ROWS_MAX: usize = KEYS_MAX * 4;

#[derive(Template)]
#[template(path = "console/developers.html")]
struct DevelopersPage {
    page: Page,
    frame: Frame,
    keys: Vec<ApiKey>,
    base_url: String,
    may_manage: bool,
    done: Option<&'static str>,
}

impl DevelopersPage {
    fn is_live(&self, key: &ApiKey) -> bool {
        is_live(key, self.page.now)
    }

    fn is_revoked(&self, key: &ApiKey) -> bool {
        key.revoked_at.is_some()
    }

    fn kind(&self, key: &ApiKey) -> &'static str {
        match key.secret {
            KeySecret::Bearer { .. } => self.page.lang.t("直接出示", "Bearer"),
            KeySecret::Hmac { .. } => "HMAC-SHA256",
            KeySecret::Ed25519 { .. } => "Ed25519",
            KeySecret::Rsa { .. } => "RSA",
        }
    }

    /// What a bearer token is recognised by.
    fn tail(&self, key: &ApiKey) -> Option<String> {
        match &key.secret {
            KeySecret::Bearer { tail, .. } => Some(format!("sk_{}_…{tail}", key.scope.mode.as_str())),
            KeySecret::Hmac { .. } | KeySecret::Ed25519 { .. } | KeySecret::Rsa { .. } => None,
        }
    }

    fn right(&self, permission: &Permission) -> &'static str {
        permission_word(*permission, self.page.lang)
    }
}

fn permission_word(permission: Permission, lang: Lang) -> &'static str {
    match permission {
        Permission::Read => lang.t("查询", "Read"),
        Permission::Write => lang.t("下单", "Create payments"),
        Permission::Refund => lang.t("退款", "Refund"),
        Permission::Split => lang.t("分账", "Split"),
    }
}

fn is_live(key: &ApiKey, now: Timestamp) -> bool {
    key.revoked_at.is_none() && key.expires_at.is_none_or(|at| at > now)
}

fn keys_of(tx: &impl Read, scope: Scope) -> Result<Vec<ApiKey>, StoreError> {
    let rows = tx.scan(&KEYS, &Span::prefix(&scope), Order::Descending, ROWS_MAX)?;
    Ok(rows.into_iter().map(|(_, key)| key).collect())
}

pub(super) async fn page(member: Member) -> Reply {
    let scope = member.scope();
    let mut keys = member.console.store().read(move |tx| keys_of(tx, scope)).await?;
    // Those that work first; within that the newest first, as they were read.
    keys.sort_by_key(|key| !is_live(key, member.now));
    let page = DevelopersPage {
        keys,
        base_url: member.console.link(""),
        may_manage: member.may(Right::ManageKeys),
        done: member.done(),
        page: member.page.clone(),
        frame: member.frame(Room::Developers),
    };
    Ok(member.render(StatusCode::OK, &page))
}

#[derive(Template)]
#[template(path = "console/key_form.html")]
struct KeyForm {
    page: Page,
    frame: Frame,
    name: String,
    kind: String,
    public: String,
    permissions: BTreeSet<Permission>,
    networks: String,
    days: u64,
    errors: Errors,
}

/// What is wrong with each field; empty is right.
#[derive(Default)]
struct Errors {
    name: &'static str,
    permissions: &'static str,
    networks: &'static str,
    public: &'static str,
    whole: &'static str,
}

impl Errors {
    fn any(&self) -> bool {
        [self.name, self.permissions, self.networks, self.public, self.whole].iter().any(|error| !error.is_empty())
    }
}

impl KeyForm {
    fn new(member: &Member) -> Self {
        Self {
            page: member.page.clone(),
            frame: member.frame(Room::Developers),
            name: String::new(),
            kind: "bearer".to_owned(),
            public: String::new(),
            permissions: BTreeSet::from([Permission::Read, Permission::Write]),
            networks: String::new(),
            days: 0,
            errors: Errors::default(),
        }
    }

    fn has(&self, permission: &Permission) -> bool {
        self.permissions.contains(permission)
    }

    fn is_kind(&self, kind: &str) -> bool {
        self.kind == kind
    }

    fn is_days(&self, days: &u64) -> bool {
        self.days == *days
    }

    fn word(&self, permission: &Permission) -> &'static str {
        permission_word(*permission, self.page.lang)
    }

    fn life(&self, days: &u64) -> String {
        match (days, self.page.zh()) {
            (0, true) => "长期有效".to_owned(),
            (0, false) => "No expiry".to_owned(),
            (days, true) => format!("{days} 天"),
            (days, false) => format!("{days} days"),
        }
    }
}

pub(super) async fn new_page(member: Member) -> Reply {
    Ok(member.render(StatusCode::OK, &KeyForm::new(&member)))
}

pub(super) async fn create(member: Member) -> Reply {
    let mut form = KeyForm::new(&member);
    let new = read(&mut form, &member);
    let (Some(new), false) = (new, form.errors.any()) else {
        return Ok(member.render(StatusCode::UNPROCESSABLE_ENTITY, &form));
    };
    let Ok(issued) = issue(new, member.console.env(), member.console.vault()) else {
        form.errors.public = member.page.lang.t("这不是 Ed25519 公钥。", "This is not an Ed25519 public key.");
        return Ok(member.render(StatusCode::UNPROCESSABLE_ENTITY, &form));
    };
    let (key, stamp, scope, now) = (issued.key, member.stamp(), member.scope(), member.now);
    let id = key.id;
    let stored = member
        .console
        .store()
        .write(move |tx| {
            if keys_of(tx, scope)?.iter().filter(|key| is_live(key, now)).count() >= KEYS_MAX {
                return Ok::<_, StoreError>(false);
            }
            store_key(tx, &key)?;
            let rights: Vec<&str> = key.permissions.iter().map(|permission| permission.code()).collect();
            let detail = Detail::new().with("name", &key.name).with("permissions", rights.join(" "));
            stamp.record(tx, scope.merchant, Action::KeyCreated, key.id, detail)?;
            Ok(true)
        })
        .await?;
    if !stored {
        form.errors.whole =
            member.page.lang.t("密钥太多了，请先吊销不用的。", "There are too many keys. Revoke those not in use.");
        return Ok(member.render(StatusCode::CONFLICT, &form));
    }
    let Some(secret) = issued.secret else { return Ok(member.go("/console/developers")) };
    let what = if form.is_kind("bearer") {
        member.page.t(
            "把它放进网店服务器的配置，请求时写在 Authorization 头里。不要写进网页或 App。",
            "Put it into the configuration of your shop's server and send it in the Authorization header. Never into a page or an app.",
        )
    } else {
        member.page.t(
            "这是签名用的共享密钥（Base64）。请求里的 keyid 用列表中的编号。",
            "This is the shared secret that signs (Base64). The keyid of your requests is the id in the list.",
        )
    };
    let title = match member.page.zh() {
        true => format!("密钥已创建 · {id}"),
        false => format!("The key was created · {id}"),
    };
    let page = SecretPage {
        page: &member.page,
        frame: member.frame(Room::Developers),
        title: &title,
        what,
        secret: secret.expose_str().map_err(|error| Problem::Internal(error.to_string()))?,
        href: "/console/developers".to_owned(),
    };
    Ok(member.render(StatusCode::OK, &page))
}

/// Reads the form and says what is wrong.
fn read(form: &mut KeyForm, member: &Member) -> Option<NewKey> {
    let lang = member.page.lang;
    form.name = member.form.text("name").to_owned();
    form.kind = member.form.text("kind").to_owned();
    form.public = member.form.text("public").to_owned();
    form.networks = member.form.text("networks").to_owned();
    form.permissions = member.form.all("permissions[]").filter_map(Permission::parse).collect();
    form.days = member.form.text("days").parse().ok().filter(|days| LIVES_DAYS.contains(days)).unwrap_or(0);
    if form.name.is_empty() || form.name.chars().count() > NAME_CHARS_MAX {
        form.errors.name = lang.t("请写 1 到 40 个字，说明给谁用。", "Write 1 to 40 characters that say who uses it.");
    }
    if form.permissions.is_empty() {
        form.errors.permissions = lang.t("至少选一项权限。", "Choose at least one right.");
    }
    let networks: Vec<String> = form
        .networks
        .split([',', '，', ' ', '\n', '\r', '\t'])
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .collect();
    if networks.len() > NETWORKS_MAX || networks.iter().any(|text| parse_network(text).is_none()) {
        form.errors.networks = lang.t(
            "每行一个地址或网段，例如 203.0.113.7 或 203.0.113.0/24，最多 20 个。",
            "One address or network per line, such as 203.0.113.7 or 203.0.113.0/24, at most 20.",
        );
    }
    let kind = match form.kind.as_str() {
        "bearer" => NewKeyKind::Bearer,
        "hmac" => NewKeyKind::Hmac,
        "ed25519" => match BASE64.decode(form.public.as_bytes()) {
            Ok(public) => NewKeyKind::Ed25519(public),
            Err(_) => {
                form.errors.public =
                    lang.t("请粘贴 Base64 编码的 32 字节公钥。", "Paste the public key of 32 bytes as Base64.");
                return None;
            }
        },
        _ => return None,
    };
    let expires_at = (form.days > 0).then(|| member.now.plus(Duration::from_days(form.days)));
    Some(NewKey {
        scope: member.scope(),
        name: form.name.clone(),
        permissions: form.permissions.clone(),
        allowed_ips: networks,
        expires_at,
        kind,
    })
}

pub(super) async fn revoke(member: Member) -> Reply {
    let (scope, id, now): (Scope, KeyId, Timestamp) = (member.scope(), member.part("key")?, member.now);
    let stamp = member.stamp();
    let revoked = member
        .console
        .store()
        .write(move |tx| {
            let Some(mut key) = tx.get(&KEYS, &(scope, id))? else { return Ok::<_, StoreError>(false) };
            if key.revoked_at.is_none() {
                key.revoked_at = Some(now);
                store_key(tx, &key)?;
                let detail = Detail::new().with("name", &key.name);
                stamp.record(tx, scope.merchant, Action::KeyRevoked, id, detail)?;
            }
            Ok(true)
        })
        .await?;
    if revoked { Ok(member.go("/console/developers?done=key_revoked")) } else { Err(Problem::NotFound) }
}
