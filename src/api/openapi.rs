//! The OpenAPI 3.1 description, generated from the table of endpoints, the readers of their requests and the structs of
//! their replies.

use actix_web::http::Method;
use serde_json::{Map, Value, json};

use super::endpoint::{COMMON_REFUSALS, Endpoint, Group, ReplyDoc, Schemas, all, schema_of};
use super::error::ErrorCode;
use super::events::CallbackBody;
use super::fields::{FieldDoc, object_schema};
use crate::domain::event::EventType;

/// The whole description. `server` is where clients reach this server.
pub fn description(server: &str) -> Value {
    let mut schemas = Schemas::new();
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in all() {
        let path = paths.entry(endpoint.path).or_insert_with(|| path_item(endpoint.path));
        path[endpoint.method.as_str().to_ascii_lowercase()] = operation(endpoint, &mut schemas);
    }
    let callback = schema_of::<CallbackBody>(&mut schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Coffer API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Payments, refunds, callbacks and books of one merchant. Amounts are decimal strings, times RFC 3339 in UTC. \
                Unknown request fields are refused; ignore unknown reply fields and treat every list of words as open.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": server}],
        "security": [{"bearer": []}, {"signature": []}],
        "tags": Group::ALL.map(|group| json!({"name": group.code(), "description": group.title().en})),
        "paths": paths,
        "webhooks": webhooks(&callback),
        "components": {
            "schemas": components(schemas),
            "parameters": {"IdempotencyKey": idempotency_key()},
            "responses": {"Problem": problem_response()},
            "securitySchemes": security_schemes(),
        },
    })
}

fn path_item(path: &str) -> Value {
    let named = path
        .contains("{id}")
        .then(|| json!([{"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}]));
    named.map_or_else(|| json!({}), |parameters| json!({"parameters": parameters}))
}

fn operation(endpoint: &Endpoint, schemas: &mut Schemas) -> Value {
    let mut parameters: Vec<Value> = Vec::new();
    if endpoint.method != Method::GET {
        parameters.push(json!({"$ref": "#/components/parameters/IdempotencyKey"}));
    }
    parameters.extend(endpoint.query.iter().flat_map(|describe| describe()).map(query_parameter));
    let mut operation = json!({
        "operationId": endpoint.id,
        "tags": [endpoint.group.code()],
        "summary": endpoint.summary.en,
        "description": endpoint.about.en,
        "parameters": parameters,
        "responses": responses(endpoint, schemas),
    });
    if let Some(permission) = endpoint.permission {
        operation["x-permission"] = permission.code().into();
    }
    if let Some(body) = &endpoint.body {
        let fields = (body.describe)();
        let sample: Value = serde_json::from_str(body.sample).expect("samples are JSON");
        operation["requestBody"] = json!({
            "required": fields.iter().any(|field| field.required),
            "content": {"application/json": {"schema": object_schema(&fields), "example": sample}},
        });
    }
    operation
}

fn query_parameter(field: FieldDoc) -> Value {
    // Lists are words with commas between.
    let is_list = field.shape.schema["type"] == "array";
    let mut parameter = json!({
        "name": field.name,
        "in": "query",
        "required": field.required,
        "description": field.about.en,
        "schema": field.shape.schema,
    });
    if is_list {
        parameter["style"] = "form".into();
        parameter["explode"] = false.into();
    }
    parameter
}

fn responses(endpoint: &Endpoint, schemas: &mut Schemas) -> Value {
    let schema = match endpoint.reply {
        ReplyDoc::One(of) => reference(&of(schemas)),
        ReplyDoc::List(of) => list_of(&of(schemas)),
    };
    let mut responses = json!({
        endpoint.status.to_string(): {
            "description": "Done.",
            "headers": {"Request-Id": {"schema": {"type": "string"}}},
            "content": {"application/json": {"schema": schema}},
        },
    });
    for code in COMMON_REFUSALS.iter().chain(endpoint.refusals) {
        let status = code.status().as_u16().to_string();
        if responses.get(&status).is_none() {
            responses[status] = json!({"$ref": "#/components/responses/Problem"});
        }
    }
    responses
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn list_of(name: &str) -> Value {
    json!({
        "type": "object",
        "required": ["object", "data", "has_more", "next"],
        "properties": {
            "object": {"type": "string", "const": "list"},
            "data": {"type": "array", "items": reference(name)},
            "has_more": {"type": "boolean"},
            "next": {"type": ["string", "null"], "description": "The address of the next page."},
        },
    })
}

fn webhooks(callback: &str) -> Value {
    let webhook = |kind: &EventType| {
        let post = json!({
            "operationId": format!("on_{}", kind.code().replace('.', "_")),
            "summary": kind.code(),
            "requestBody": {"content": {"application/json": {"schema": reference(callback)}}},
            "responses": {"2XX": {"description": "Taken. Anything else is tried again."}},
        });
        (kind.code().to_owned(), json!({"post": post}))
    };
    Value::Object(EventType::ALL.iter().map(webhook).collect())
}

fn components(schemas: Schemas) -> Map<String, Value> {
    let to_json = |schema| serde_json::to_value(schema).expect("schemas are plain data");
    let mut components: Map<String, Value> =
        schemas.into_iter().map(|(name, schema)| (name, to_json(schema))).collect();
    let codes: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    components.insert(
        "Problem".to_owned(),
        json!({
            "type": "object",
            "description": "RFC 9457. Match on `code`; `title` and `detail` follow Accept-Language.",
            "required": ["type", "title", "status", "detail", "code"],
            "properties": {
                "type": {"type": "string", "description": "A page that explains the code."},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string"},
                "code": {"type": "string", "examples": codes},
                "errors": {"type": "array", "items": {
                    "type": "object",
                    "properties": {
                        "pointer": {"type": "string", "description": "JSON pointer into the body, as in #/amount/value."},
                        "parameter": {"type": "string", "description": "Name of a query parameter."},
                        "code": {"type": "string"},
                        "detail": {"type": "string"},
                    },
                }},
                "request_id": {"type": "string"},
            },
        }),
    );
    components
}

fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Makes repeating harmless for 72 hours: the same key and body get the same answer.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    })
}

fn problem_response() -> Value {
    json!({
        "description": "Refused; `code` says why.",
        "headers": {
            "Request-Id": {"schema": {"type": "string"}},
            "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds, where trying again can help."},
        },
        "content": {"application/problem+json": {"schema": reference("Problem")}},
    })
}

fn security_schemes() -> Value {
    json!({
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key: sk_test_… or sk_live_…."},
        "signature": {
            "type": "apiKey",
            "in": "header",
            "name": "Signature",
            "description": "RFC 9421 with hmac-sha256, ed25519 or rsa-v1_5-sha256, covering @method, @path, @query where there is one and \
                content-digest where there is a body, with created, nonce and keyid.",
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    match value.as_str().filter(|_| name == "$ref") {
                        Some(target) => found.push(target.to_owned()),
                        None => references(value, found),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_operation_has_its_own_name() {
        let description = description("https://pay.example");
        let mut found = Vec::new();
        references(&description, &mut found);
        assert!(found.len() > 50);
        for target in found {
            let pointer = target.strip_prefix('#').unwrap();
            assert!(description.pointer(pointer).is_some(), "{target} leads nowhere");
        }
        let names: BTreeSet<_> = all().map(|endpoint| endpoint.id).collect();
        assert_eq!(names.len(), all().count());
    }

    #[test]
    fn the_description_has_every_endpoint_of_the_table_and_its_fields() {
        let description = description("https://pay.example");
        for endpoint in all() {
            let method = endpoint.method.as_str().to_ascii_lowercase();
            assert_eq!(description["paths"][endpoint.path][method]["operationId"], endpoint.id);
        }
        let create = &description["paths"]["/v1/payments"]["post"]["requestBody"]["content"]["application/json"];
        assert_eq!(create["schema"]["required"], json!(["amount", "order_id", "description"]));
        assert_eq!(create["schema"]["properties"]["amount"]["properties"]["value"]["type"], "string");
        assert_eq!(create["schema"]["additionalProperties"], false);
        let payment = &description["components"]["schemas"]["Payment"]["properties"];
        assert!(payment["status"]["description"].as_str().unwrap().contains("expired"));
        assert_eq!(payment["amount"]["$ref"], "#/components/schemas/Amount");
    }

    #[test]
    fn samples_are_bodies_that_work() {
        for endpoint in all() {
            if let Some(body) = &endpoint.body {
                assert!((body.accepts)(body.sample.as_bytes()).is_ok(), "{}", endpoint.id);
            }
        }
    }

    #[test]
    fn refusals_are_listed_once_and_not_again_what_every_endpoint_has() {
        for endpoint in all() {
            let own: BTreeSet<_> = endpoint.refusals.iter().collect();
            assert_eq!(own.len(), endpoint.refusals.len(), "{}", endpoint.id);
            assert!(COMMON_REFUSALS.iter().all(|common| !own.contains(common)), "{}", endpoint.id);
        }
    }
}
