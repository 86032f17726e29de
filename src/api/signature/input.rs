//! Reads `Signature-Input` and `Signature`: structured fields (RFC 8941) as RFC 9421, 4.1 and 4.2 lay them out.

use std::borrow::Cow;

use actix_web::http::header::HeaderMap;
use sfv::{BareItem, Dictionary, FieldType, InnerList, Item, ListEntry, Parser};

use super::super::error::{ErrorCode, Problem, Words};
use crate::domain::time::Timestamp;

/// Components that one signature may cover.
const COMPONENTS_MAX: usize = 32;

/// One signature of a message, with what it says about itself.
pub(super) struct Candidate {
    pub components: Vec<Component>,
    pub created: Option<Timestamp>,
    pub expires: Option<Timestamp>,
    pub nonce: Option<String>,
    pub keyid: Option<String>,
    pub alg: Option<String>,
    /// The value of `@signature-params`: the list and its parameters, serialised as RFC 9421, 2.3 says.
    pub params: String,
    pub signature: Vec<u8>,
}

/// A covered component: its name, and its parameters if it has any.
pub(super) struct Component {
    /// Lowercase; derived components begin with `@`.
    pub name: String,
    /// Parameters such as `;sf` change the value; none of them is supported.
    pub plain: bool,
    /// The identifier as it stands in the signature base, quotes included.
    pub identifier: String,
}

impl Candidate {
    pub fn covers(&self, name: &str) -> bool {
        self.components.iter().any(|c| c.plain && c.name == name)
    }

    /// Whether the base depends on how the client calls this server.
    pub fn names_origin(&self) -> bool {
        ["@authority", "@scheme", "@target-uri"].iter().any(|name| self.covers(name))
    }
}

/// All signatures of a message, in the order in which they are listed.
pub(super) fn parse(headers: &HeaderMap) -> Result<Vec<Candidate>, Problem> {
    let (Some(inputs), Some(signatures)) = (dictionary(headers, "signature-input")?, dictionary(headers, "signature")?)
    else {
        return Err(Problem::new(ErrorCode::SignatureMissing));
    };
    let mut candidates = Vec::with_capacity(inputs.len());
    for (label, entry) in inputs {
        let ListEntry::InnerList(list) = entry else {
            return Err(malformed(
                "Signature-Input 的每一项须为带括号的列表",
                "every member of Signature-Input must be a list in parentheses",
            ));
        };
        match signatures.get(&label) {
            Some(ListEntry::Item(Item { bare_item: BareItem::ByteSequence(bytes), .. })) => {
                candidates.push(candidate(list, bytes.clone())?);
            }
            Some(ListEntry::Item(_) | ListEntry::InnerList(_)) => {
                return Err(malformed("Signature 的每一项须为 :base64:", "every member of Signature must be :base64:"));
            }
            // RFC 9421, 4.2: a label in one field only is no signature.
            None => {}
        }
    }
    if candidates.is_empty() { Err(Problem::new(ErrorCode::SignatureMissing)) } else { Ok(candidates) }
}

/// A header that is a dictionary, its lines joined; `None` when it is not there.
pub(super) fn dictionary(headers: &HeaderMap, name: &'static str) -> Result<Option<Dictionary>, Problem> {
    let mut lines = headers.get_all(name);
    let Some(first) = lines.next() else { return Ok(None) };
    let mut value = Cow::Borrowed(first.as_bytes());
    for line in lines {
        value.to_mut().extend_from_slice(b", ");
        value.to_mut().extend_from_slice(line.as_bytes());
    }
    Parser::new(value.as_ref()).parse().map(Some).map_err(|error| {
        malformed(format!("请求头 {name} 无法解析：{error}"), format!("the header {name} cannot be read: {error}"))
    })
}

fn candidate(list: InnerList, signature: Vec<u8>) -> Result<Candidate, Problem> {
    if list.items.len() > COMPONENTS_MAX {
        return Err(malformed("覆盖的组成部分太多", "too many components are covered"));
    }
    let mut components: Vec<Component> = Vec::with_capacity(list.items.len());
    for item in &list.items {
        let component = component(item)?;
        // RFC 9421, 2: each component identifier must occur only once.
        if components.iter().any(|other| other.identifier == component.identifier) {
            let name = component.name;
            return Err(malformed(format!("{name} 被覆盖了两次"), format!("{name} is covered twice")));
        }
        components.push(component);
    }
    let params = |name: &str| list.params.get(name);
    let created = params("created").map(time).transpose()?;
    let expires = params("expires").map(time).transpose()?;
    let nonce = params("nonce").map(text).transpose()?;
    let keyid = params("keyid").map(text).transpose()?;
    let alg = params("alg").map(text).transpose()?;
    let params = vec![ListEntry::InnerList(list)].serialize().expect("a list of one element is not empty");
    Ok(Candidate { components, created, expires, nonce, keyid, alg, params, signature })
}

fn component(item: &Item) -> Result<Component, Problem> {
    let name = match &item.bare_item {
        BareItem::String(name) => name.as_str(),
        BareItem::Decimal(_)
        | BareItem::Integer(_)
        | BareItem::ByteSequence(_)
        | BareItem::Boolean(_)
        | BareItem::Token(_)
        | BareItem::Date(_)
        | BareItem::DisplayString(_) => {
            return Err(malformed("组成部分的名称须带引号", "names of components must be quoted"));
        }
    };
    let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.strip_prefix('@').unwrap_or(name).bytes().all(is_name) {
        return Err(malformed(
            "组成部分的名称须为小写的请求头名",
            "names of components must be lowercase header names",
        ));
    }
    Ok(Component { name: name.to_owned(), plain: item.params.is_empty(), identifier: item.serialize() })
}

fn time(value: &BareItem) -> Result<Timestamp, Problem> {
    value
        .as_integer()
        .map(i64::from)
        .filter(|seconds| *seconds >= 0)
        .map(Timestamp::from_seconds)
        .ok_or_else(|| malformed("created 和 expires 须为秒数", "`created` and `expires` must be whole seconds"))
}

fn text(value: &BareItem) -> Result<String, Problem> {
    let text = value.as_string().map(|text| text.as_str().to_owned());
    text.ok_or_else(|| malformed("nonce、keyid、alg 须带引号", "`nonce`, `keyid` and `alg` must be quoted"))
}

pub(super) fn malformed(zh: impl Into<Cow<'static, str>>, en: impl Into<Cow<'static, str>>) -> Problem {
    Problem::new(ErrorCode::SignatureMalformed).detail(Words::new(zh, en))
}
