//! Typed reading of bodies and query strings. A reader is one function that asks for its fields by name; run over a
//! request it collects every fault with its place, run without one it describes itself for the documentation. So what
//! is documented is what is accepted.

use std::borrow::Cow;

use super::error::{FIELD_ERRORS_MAX, FieldCode, FieldError, Place, Problem, Words};
use super::json::{self, MEMBERS_MAX, Members, Step, Value};
use crate::lang::Text;

/// What a field's value has to be. Implementations stand in `kinds`.
pub trait Kind {
    type Out;
    /// `None` after having refused `here`.
    fn read(&self, value: &Value<'_>, here: &mut Here<'_>) -> Option<Self::Out>;
    fn shape(&self) -> Shape;
}

/// How a kind is documented.
pub struct Shape {
    /// JSON Schema (2020-12, as OpenAPI 3.1 uses it).
    pub schema: serde_json::Value,
    /// The type in a few words for people.
    pub label: Words,
    pub children: Vec<FieldDoc>,
}

/// One documented field.
pub struct FieldDoc {
    pub name: &'static str,
    pub required: bool,
    pub about: Text,
    pub shape: Shape,
}

/// A value's place, and where its faults go.
pub struct Here<'h> {
    step: &'h Step<'h>,
    query: Option<&'h str>,
    faults: &'h mut Vec<FieldError>,
}

impl Here<'_> {
    pub fn refuse<T>(
        &mut self,
        code: FieldCode,
        zh: impl Into<Cow<'static, str>>,
        en: impl Into<Cow<'static, str>>,
    ) -> Option<T> {
        if self.faults.len() < FIELD_ERRORS_MAX {
            let place = match self.query {
                Some(name) => Place::Query(name.to_owned()),
                None => Place::Body(self.step.to_string()),
            };
            self.faults.push(FieldError { place, code, detail: Words::new(zh, en) });
        }
        None
    }

    /// The common refusal of a value that is not even of the right JSON type.
    pub fn wrong_type<T>(&mut self, value: &Value<'_>, zh: &str, en: &str) -> Option<T> {
        let (got_zh, got_en) = value.type_name();
        self.refuse(FieldCode::WrongType, format!("应为{zh}，收到的是{got_zh}"), format!("must be {en}, not {got_en}"))
    }

    /// Query strings have only text, so numbers and booleans are read from it there.
    pub fn in_query(&self) -> bool {
        self.query.is_some()
    }

    /// Reads the value as an object whose members a reader asks for.
    pub fn object<T>(&mut self, value: &Value<'_>, reader: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> Option<T> {
        let Value::Object(members) = value else { return self.wrong_type(value, "对象", "an object") };
        let before = self.faults.len();
        let result = run(members, self.step, false, self.faults, reader);
        (self.faults.len() == before).then_some(result).flatten()
    }

    pub fn key<'s>(&'s mut self, key: &'s str, read: impl FnOnce(&mut Here<'_>)) {
        let step = Step::Key(self.step, key);
        read(&mut Here { step: &step, query: self.query, faults: self.faults });
    }

    pub fn index(&mut self, index: usize, read: impl FnOnce(&mut Here<'_>)) {
        let step = Step::Index(self.step, index);
        read(&mut Here { step: &step, query: self.query, faults: self.faults });
    }
}

/// The members of one object (or of a query string) while a reader asks for them.
pub struct Fields<'f> {
    source: Source<'f>,
}

enum Source<'f> {
    Request {
        members: &'f Members<'f>,
        used: u128,
        asked: Vec<&'static str>,
        step: &'f Step<'f>,
        query: bool,
        faults: &'f mut Vec<FieldError>,
    },
    Description(Vec<FieldDoc>),
}

impl Fields<'_> {
    pub fn required<K: Kind>(&mut self, name: &'static str, about: Text, kind: K) -> Option<K::Out> {
        self.field(name, true, about, kind)
    }

    /// `null` counts as absent: many serialisers write it for fields that were not set.
    pub fn optional<K: Kind>(&mut self, name: &'static str, about: Text, kind: K) -> Option<K::Out> {
        self.field(name, false, about, kind)
    }

    /// An object inside this one.
    pub fn object<T>(
        &mut self,
        name: &'static str,
        required: bool,
        about: Text,
        reader: impl Fn(&mut Fields<'_>) -> Option<T>,
    ) -> Option<T> {
        self.field(name, required, about, Object(reader))
    }

    /// How an object with these members is documented.
    pub fn shape_of<T>(reader: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> Shape {
        let children = describe(reader);
        Shape { schema: object_schema(&children), label: Words::new("对象", "object"), children }
    }

    /// A fault that only several fields together have, blamed on one of them.
    pub fn refuse<T>(&mut self, name: &'static str, code: FieldCode, words: Text) -> Option<T> {
        match &mut self.source {
            Source::Description(_) => None,
            Source::Request { step, query, faults, .. } => {
                let step = Step::Key(step, name);
                Here { step: &step, query: query.then_some(name), faults }.refuse(code, words.zh, words.en)
            }
        }
    }

    /// Nothing was refused so far: what several fields mean together can be asked.
    pub fn is_clean(&self) -> bool {
        match &self.source {
            Source::Description(_) => true,
            Source::Request { faults, .. } => faults.is_empty(),
        }
    }

    /// The same about a member of the object in field `outer`.
    pub fn refuse_in<T>(&mut self, outer: &'static str, name: &'static str, code: FieldCode, words: Text) -> Option<T> {
        match &mut self.source {
            Source::Description(_) => None,
            Source::Request { step, faults, .. } => {
                let outer = Step::Key(step, outer);
                let step = Step::Key(&outer, name);
                Here { step: &step, query: None, faults }.refuse(code, words.zh, words.en)
            }
        }
    }

    fn field<K: Kind>(&mut self, name: &'static str, required: bool, about: Text, kind: K) -> Option<K::Out> {
        match &mut self.source {
            Source::Description(fields) => {
                fields.push(FieldDoc { name, required, about, shape: kind.shape() });
                None
            }
            Source::Request { members, used, asked, step, query, faults } => {
                asked.push(name);
                let step = Step::Key(step, name);
                let mut here = Here { step: &step, query: query.then_some(name), faults };
                let found = members.iter().position(|(key, _)| key == name);
                if let Some(index) = found {
                    *used |= 1 << index;
                }
                match found.map(|index| &members[index].1) {
                    None | Some(Value::Null) if required => {
                        here.refuse(FieldCode::Required, "缺少必填字段", "is required")
                    }
                    None | Some(Value::Null) => None,
                    Some(value) => kind.read(value, &mut here),
                }
            }
        }
    }

    /// Names every member that nobody asked for.
    fn refuse_unknown(self) {
        let Source::Request { members, used, asked, step, query, faults } = self.source else { return };
        for (index, (name, _)) in members.iter().enumerate() {
            if used & (1 << index) != 0 {
                continue;
            }
            let step = Step::Key(step, name);
            let mut here = Here { step: &step, query: query.then_some(name), faults };
            let refused: Option<()> = match nearest(name, &asked) {
                Some(known) => here.refuse(
                    FieldCode::UnknownField,
                    format!("没有这个字段，是不是 {known}？"),
                    format!("is not a field here; did you mean {known}?"),
                ),
                None => here.refuse(FieldCode::UnknownField, "没有这个字段", "is not a field here"),
            };
            debug_assert!(refused.is_none());
        }
    }
}

/// An object that a reader understands.
struct Object<R>(R);

impl<T, R: Fn(&mut Fields<'_>) -> Option<T>> Kind for Object<R> {
    type Out = T;

    fn read(&self, value: &Value<'_>, here: &mut Here<'_>) -> Option<T> {
        here.object(value, &self.0)
    }

    fn shape(&self) -> Shape {
        Fields::shape_of(&self.0)
    }
}

fn run<T>(
    members: &Members<'_>,
    step: &Step<'_>,
    query: bool,
    faults: &mut Vec<FieldError>,
    reader: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Option<T> {
    debug_assert!(members.len() <= MEMBERS_MAX);
    let source = Source::Request { members, used: 0, asked: Vec::with_capacity(16), step, query, faults };
    let mut fields = Fields { source };
    let result = reader(&mut fields);
    fields.refuse_unknown();
    result
}

fn read<T>(
    members: &Members<'_>,
    query: bool,
    reader: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Result<T, Problem> {
    let mut faults = Vec::new();
    let result = run(members, &Step::Root, query, &mut faults, reader);
    if faults.is_empty() {
        return Ok(result.expect("a reader that found no fault returns its value"));
    }
    Err(Problem::fields(faults))
}

/// Reads a JSON body.
pub fn read_body<T>(body: &[u8], reader: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> Result<T, Problem> {
    read(&json::parse_object(body)?, false, reader)
}

/// Reads the raw query string, without its question mark: form-encoded, every name at most once.
pub fn read_query<T>(raw: &str, reader: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> Result<T, Problem> {
    let mut members = Members::new();
    for pair in raw.split('&').filter(|p| !p.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let query_error = |name: &str, code, zh: &'static str, en: &'static str| {
            Problem::field(Place::Query(name.to_owned()), code, Words::new(zh, en))
        };
        let Some((name, value)) = decode(name).zip(decode(value)) else {
            return Err(query_error(name, FieldCode::BadFormat, "百分号编码有误", "is not percent-encoded UTF-8"));
        };
        if members.iter().any(|(other, _)| *other == name) {
            return Err(query_error(&name, FieldCode::Duplicate, "参数出现了多次", "appears more than once"));
        }
        if members.len() == MEMBERS_MAX {
            return Err(query_error(&name, FieldCode::TooMany, "参数太多", "is one parameter too many"));
        }
        members.push((name, Value::Text(value)));
    }
    read(&members, true, reader)
}

/// `+` and `%20` are spaces; anything that is not two hex digits behind `%`, or not UTF-8, is refused.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|b| b == b'%' || b == b'+') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// The fields that a reader asks for, without a request.
pub fn describe<T>(reader: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> Vec<FieldDoc> {
    let mut fields = Fields { source: Source::Description(Vec::new()) };
    // Without a request its value means nothing.
    reader(&mut fields);
    match fields.source {
        Source::Description(fields) => fields,
        Source::Request { .. } => unreachable!("the source was made above"),
    }
}

/// The JSON Schema of an object with these fields and no others.
pub fn object_schema(fields: &[FieldDoc]) -> serde_json::Value {
    let mut properties = serde_json::Map::new();
    for field in fields {
        let mut schema = field.shape.schema.clone();
        if let Some(object) = schema.as_object_mut() {
            object.insert("description".into(), field.about.en.into());
        }
        properties.insert(field.name.into(), schema);
    }
    let required: Vec<&str> = fields.iter().filter(|f| f.required).map(|f| f.name).collect();
    let mut schema = serde_json::json!({"type": "object", "properties": properties, "additionalProperties": false});
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}

/// The candidate that a typist most likely meant: at most a third of its letters differ.
pub fn nearest<'c>(name: &str, candidates: &[&'c str]) -> Option<&'c str> {
    /// Longer names are no slips of the finger.
    const NAME_CHARS_MAX: usize = 40;
    if name.chars().count() > NAME_CHARS_MAX {
        return None;
    }
    let scored = candidates.iter().map(|c| (distance(&name.to_lowercase(), c), *c));
    scored.filter(|(d, c)| *d * 3 <= c.chars().count().max(3)).min_by_key(|(d, _)| *d).map(|(_, c)| c)
}

/// Levenshtein distance, with two swapped neighbours counted as one slip.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1);
            best = best.min(rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]));
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::super::error::ErrorCode;
    use super::super::kinds::{Chars, Flag, Int};
    use super::*;

    const NOTHING: Text = Text::new("说明", "about");

    #[derive(Debug, PartialEq)]
    struct Order {
        order_id: String,
        count: Option<i64>,
        gift: bool,
        city: Option<String>,
    }

    fn order(fields: &mut Fields<'_>) -> Option<Order> {
        let order_id = fields.required("order_id", NOTHING, Chars::new(1..=8));
        let count = fields.optional("count", NOTHING, Int::new(1..=9));
        let gift = fields.optional("gift", NOTHING, Flag);
        let city = fields.object("address", false, NOTHING, |a| a.required("city", NOTHING, Chars::new(1..=5)));
        Some(Order { order_id: order_id?, count, gift: gift.unwrap_or(false), city })
    }

    fn faults(problem: &Problem) -> Vec<String> {
        let place = |p: &Place| match p {
            Place::Body(p) => p.clone(),
            Place::Query(q) => format!("?{q}"),
            Place::Header(h) => format!("{h}:"),
        };
        problem.errors().iter().map(|e| format!("{} {}", place(&e.place), e.code.as_str())).collect()
    }

    #[test]
    fn a_good_body_is_read() {
        let read =
            read_body(br#"{"order_id":"A1","gift":true,"count":null,"address":{"city":"Bern"}}"#, order).unwrap();
        assert_eq!(read, Order { order_id: "A1".into(), count: None, gift: true, city: Some("Bern".into()) });
    }

    #[test]
    fn every_fault_is_told_at_once_with_its_place() {
        let problem = read_body(br#"{"count":99,"gift":"yes","adress":{},"address":{"ctiy":1}}"#, order).unwrap_err();
        assert_eq!(problem.code, ErrorCode::InvalidRequest);
        assert_eq!(
            faults(&problem),
            [
                "#/order_id required",
                "#/count too_large",
                "#/gift wrong_type",
                "#/address/city required",
                "#/address/ctiy unknown_field",
                "#/adress unknown_field",
            ]
        );
        assert!(problem.errors()[5].detail.en.contains("did you mean address?"));
        assert!(problem.errors()[4].detail.zh.contains("city"));
    }

    #[test]
    fn fields_that_only_the_server_may_set_are_unknown() {
        let body = br#"{"order_id":"A1","status":"PAID","fee":0,"merchant_id":"mer_1"}"#;
        let expected = ["#/status unknown_field", "#/fee unknown_field", "#/merchant_id unknown_field"];
        assert_eq!(faults(&read_body(body, order).unwrap_err()), expected);
    }

    #[test]
    fn a_query_is_read_by_the_same_rules() {
        assert_eq!(read_query("order_id=A%2B1&count=3&gift=true", order).unwrap().order_id, "A+1");
        for (query, expected) in [
            ("order_id=a&order_id=b", "?order_id duplicate"),
            ("order_id=a&order%5Fid=b", "?order_id duplicate"),
            ("order_id=a&amount=1&amount=100", "?amount duplicate"),
            ("order_id=%zz", "?order_id bad_format"),
            ("order_id=%ff", "?order_id bad_format"),
            ("order_id=a&count=1e1", "?count wrong_type"),
            ("order_id=a&count=+1", "?count wrong_type"),
            ("order_id=a&x=1", "?x unknown_field"),
            ("count=1", "?order_id required"),
        ] {
            let result = read_query(query, order);
            assert_eq!(faults(&result.unwrap_err()), [expected], "{query}");
        }
    }

    #[test]
    fn the_reader_describes_itself() {
        let fields = describe(order);
        assert_eq!(fields.iter().map(|f| f.name).collect::<Vec<_>>(), ["order_id", "count", "gift", "address"]);
        let schema = object_schema(&fields);
        assert_eq!(schema["required"], serde_json::json!(["order_id"]));
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["properties"]["address"]["properties"]["city"]["maxLength"], 5);
    }

    #[test]
    fn slips_of_the_finger_are_recognised_and_other_words_are_not() {
        let known = ["order_id", "amount", "description", "return_url"];
        for (typo, meant) in
            [("orderid", "order_id"), ("Order_Id", "order_id"), ("amuont", "amount"), ("returnUrl", "return_url")]
        {
            assert_eq!(nearest(typo, &known), Some(meant), "{typo}");
        }
        for other in ["status", "fee", "x", &"a".repeat(1000)] {
            assert_eq!(nearest(other, &known), None, "{other}");
        }
    }
}
