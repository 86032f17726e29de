//! `/sim`: how to point a program at the simulators, and the merchant's credentials as JSON and as files.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use serde_json::{Map, Value, json};

use super::{busy, missing, read_page, respond};
use crate::lang::Text;
use crate::sandbox::provider::{CredentialFile, Credentials, Recipe, World};
use crate::store::StoreError;
use crate::web::Page;

pub(super) fn routes(scope: &mut web::ServiceConfig) {
    scope
        .route("", web::get().to(show))
        .route("/credentials", web::get().to(credentials))
        .route("/credentials/{provider}/{folder}/{file}", web::get().to(file));
}

/// What is longer is a key or a certificate.
const FACT_CHARS_MAX: usize = 80;

#[derive(Template)]
#[template(path = "sandbox/sim_home.html")]
struct Home<'a> {
    page: &'a Page,
    base: &'a str,
    providers: Vec<Provider>,
}

struct Provider {
    name: &'static str,
    title: Text,
    glyph: &'static str,
    brand: &'static str,
    base_url: String,
    merchants: Vec<Merchant>,
    recipes: Vec<Recipe>,
}

struct Merchant {
    about: [String; 2],
    facts: Vec<(String, String)>,
    files: Vec<CredentialFile>,
}

impl Merchant {
    /// The last part of a file's name; the first is the merchant's own number.
    fn short<'a>(&self, file: &'a CredentialFile) -> &'a str {
        file.name.split_once('/').map_or(&file.name, |(_, short)| short)
    }
}

impl Provider {
    fn new(name: &'static str, title: Text, brand: crate::domain::method::Brand, given: Credentials) -> Self {
        // Lists are for programs: what is in them stands here under names that say what it is for.
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
        };
        let merchants = given.json.get("merchants").and_then(Value::as_array).cloned().unwrap_or_default();
        let merchant = |merchant: &Value| {
            let about = |lang| merchant.get("about").and_then(|about| about.get(lang)).and_then(Value::as_str);
            let fields = merchant.as_object().cloned().unwrap_or_default();
            // Keys and certificates are files; here stand the short facts.
            let is_short = |text: &String| text.chars().count() <= FACT_CHARS_MAX && !text.contains('\n');
            let short = |(name, value): (String, Value)| text(&value).filter(is_short).map(|value| (name, value));
            let about = ["zh", "en"].map(|lang| about(lang).unwrap_or_default().to_owned());
            let facts: Vec<(String, String)> = fields.into_iter().filter_map(short).collect();
            let is_its =
                |file: &&CredentialFile| facts.iter().any(|(_, fact)| file.name.split('/').next() == Some(fact));
            let files = given.files.iter().filter(is_its).cloned().collect();
            Merchant { about, facts, files }
        };
        Self {
            name,
            title,
            glyph: phone_glyph(brand),
            brand: brand.code(),
            base_url: given.json.get("base_url").and_then(Value::as_str).unwrap_or_default().to_owned(),
            merchants: merchants.iter().map(merchant).collect(),
            recipes: given.recipes,
        }
    }
}

/// A character that stands for a wallet.
pub(super) fn phone_glyph(brand: crate::domain::method::Brand) -> &'static str {
    use crate::domain::method::Brand;
    match brand {
        Brand::WeChat => "微",
        Brand::Alipay => "支",
        Brand::UnionPay => "云",
    }
}

async fn given(
    world: &World,
) -> Result<Vec<(&'static str, Text, crate::domain::method::Brand, Credentials)>, StoreError> {
    let dialects = world.dialects();
    // Keys may have to be made, which takes a while.
    let read = tokio::task::spawn_blocking(move || {
        let one = |dialect: &std::sync::Arc<dyn crate::sandbox::provider::Dialect>| {
            Ok((dialect.name(), dialect.title(), dialect.brand(), dialect.credentials()?))
        };
        dialects.iter().map(one).collect()
    });
    read.await.unwrap_or(Err(StoreError::Panicked))
}

async fn show(request: HttpRequest, world: web::Data<World>) -> HttpResponse {
    let page = read_page(&request, &world).await;
    match given(&world).await {
        Ok(given) => {
            let providers = given.into_iter().map(|(name, title, brand, all)| Provider::new(name, title, brand, all));
            respond(&page, &Home { page: &page, base: world.public_url(), providers: providers.collect() })
        }
        Err(error) => busy(&page, &error),
    }
}

async fn credentials(request: HttpRequest, world: web::Data<World>) -> HttpResponse {
    let given = match given(&world).await {
        Ok(given) => given,
        Err(error) => return busy(&read_page(&request, &world).await, &error),
    };
    let base = format!("{}{}/credentials", world.public_url(), super::PATH);
    let mut all = Map::new();
    let own = |place: &str| format!("{}{}{place}", world.public_url(), super::PATH);
    let simulator = json!({
        "page_url": own(""),
        "phone_url": own("/phone"),
        "pay_url": own("/api/pay"),
        "payer_codes_url": own("/api/payer-codes"),
        "faults_url": own("/api/faults/{provider}"),
        "clock_url": own("/api/clock"),
    });
    all.insert("simulator".to_owned(), simulator);
    for (name, _, _, mut credentials) in given {
        let urls =
            credentials.files.iter().map(|file| (file.name.clone(), json!(format!("{base}/{name}/{}", file.name))));
        credentials.json.insert("files".to_owned(), Value::Object(urls.collect()));
        all.insert(name.to_owned(), Value::Object(credentials.json));
    }
    HttpResponse::Ok().json(Value::Object(all))
}

async fn file(
    request: HttpRequest,
    path: web::Path<(String, String, String)>,
    world: web::Data<World>,
) -> HttpResponse {
    let page = read_page(&request, &world).await;
    let (provider, folder, name) = path.into_inner();
    let wanted = format!("{folder}/{name}");
    let given = match given(&world).await {
        Ok(given) => given,
        Err(error) => return busy(&page, &error),
    };
    let files = given.into_iter().filter(|(of, ..)| *of == provider).flat_map(|(.., all)| all.files);
    match files.into_iter().find(|file| file.name == wanted) {
        Some(file) => HttpResponse::Ok()
            .content_type("application/octet-stream")
            .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
            .body(file.content),
        None => missing(&page),
    }
}
