//! The connection test, and the methods that customers can pay with.

use actix_web::http::Method as Verb;
use data_encoding::BASE64;
use ring::signature::KeyPair;
use serde::Serialize;
use utoipa::ToSchema;

use super::endpoint::{Endpoint, Group, ReplyDoc, schema_of};
use super::error::Problem;
use super::objects::{Amount, Moment, to_bytes};
use super::page::ListReply;
use super::payments::nothing;
use super::service::{Call, Reply};
use crate::domain::ids::{KeyId, MerchantId, Mode};
use crate::domain::key::Permission;
use crate::domain::method::{Flow, Method};
use crate::domain::money::{Currency, Money};
use crate::flows::record;
use crate::lang::Text;

pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        id: "get_account",
        group: Group::Account,
        method: Verb::GET,
        path: "/v1/account",
        permission: None,
        summary: Text::new("连接测试", "Test the connection"),
        about: Text::new(
            "返回密钥所属的商户、模式和权限，以及服务器版本和时间。接入的第一步。",
            "Tells which merchant, mode and permissions the key has, and the server's version and time. The first call to make.",
        ),
        query: None,
        body: None,
        status: 200,
        reply: ReplyDoc::One(schema_of::<AccountObject<'static>>),
        refusals: &[],
        handler: |call| Box::pin(account(call)),
    },
    Endpoint {
        id: "list_payment_methods",
        group: Group::Account,
        method: Verb::GET,
        path: "/v1/payment_methods",
        permission: Some(Permission::Read),
        summary: Text::new("支付方式列表", "List payment methods"),
        about: Text::new(
            "列出所有支付方式，available 表示当前商户现在可用。",
            "Lists every method; `available` tells whether the merchant's customers can use it now.",
        ),
        query: None,
        body: None,
        status: 200,
        reply: ReplyDoc::List(schema_of::<MethodObject>),
        refusals: &[],
        handler: |call| Box::pin(methods(call)),
    },
];

/// Who is asking, and who answers.
#[derive(Serialize, ToSchema)]
#[schema(as = Account)]
struct AccountObject<'a> {
    object: &'static str,
    #[schema(value_type = String, example = "test")]
    mode: Mode,
    merchant: MerchantObject<'a>,
    key: KeyObject<'a>,
    server: ServerObject,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AccountMerchant)]
struct MerchantObject<'a> {
    #[schema(value_type = String)]
    id: MerchantId,
    name: &'a str,
    #[schema(example = "CNY")]
    currency: &'static str,
    #[schema(example = "Asia/Shanghai")]
    time_zone: &'a str,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AccountKey)]
struct KeyObject<'a> {
    #[schema(value_type = String)]
    id: KeyId,
    name: &'a str,
    /// `read`, `write`, `refund` and `split`, as far as the key has them.
    scopes: Vec<&'static str>,
    expires_at: Option<Moment>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AccountServer)]
struct ServerObject {
    version: &'static str,
    /// For setting clocks: signatures are accepted within 300 seconds of it.
    time: Moment,
    /// Verifies replies to requests that were signed with a key pair: an Ed25519 public key in base64.
    reply_public_key: String,
}

async fn account(call: Call) -> Result<Reply, Problem> {
    call.read_query(nothing)?;
    let scope = call.scope();
    let merchant = call.api.gateway.store.read_blocking(|tx| record::merchant(tx, scope))?;
    let key = &call.caller.key;
    let object = AccountObject {
        object: "account",
        mode: scope.mode,
        merchant: MerchantObject {
            id: merchant.id,
            name: &merchant.name,
            currency: merchant.currency.code(),
            time_zone: &merchant.zone,
        },
        key: KeyObject {
            id: key.id,
            name: &key.name,
            scopes: key.permissions.iter().map(|permission| permission.code()).collect(),
            expires_at: key.expires_at.map(Moment),
        },
        server: ServerObject {
            version: env!("CARGO_PKG_VERSION"),
            time: Moment(call.now),
            reply_public_key: BASE64.encode(call.api.reply_key.public_key().as_ref()),
        },
    };
    Ok(Reply::ok(to_bytes(&object)))
}

/// One way to pay.
#[derive(Serialize, ToSchema)]
#[schema(as = PaymentMethod)]
struct MethodObject {
    /// The code that `method` takes.
    #[schema(example = "wechat_native")]
    id: &'static str,
    object: &'static str,
    name: NamesObject,
    /// The type of `next_action` that its payments have.
    #[schema(example = "qr_code")]
    next_action: &'static str,
    /// Smallest and largest amount; absent when it is not available.
    min: Option<Amount>,
    max: Option<Amount>,
    refundable: bool,
    available: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Names)]
struct NamesObject {
    zh: &'static str,
    en: &'static str,
}

async fn methods(call: Call) -> Result<Reply, Problem> {
    call.read_query(nothing)?;
    let offers = call.api.gateway.channels.offers(call.scope(), None);
    let cny = |minor| Amount(Money::new(minor, Currency::CNY));
    let objects = Method::ALL.iter().map(|method| {
        let offer = offers.iter().find(|offer| offer.method == *method);
        MethodObject {
            id: method.code(),
            object: "payment_method",
            name: NamesObject { zh: method.name_zh(), en: method.name_en() },
            next_action: match method.flow() {
                Flow::QrCode => "qr_code",
                Flow::Redirect => "redirect",
                Flow::App => "app_params",
                Flow::JsApi => "jsapi_params",
                Flow::BarCode => "none",
            },
            min: offer.map(|offer| cny(offer.min_minor)),
            max: offer.map(|offer| cny(offer.max_minor)),
            refundable: offer.is_some_and(|offer| offer.refundable),
            available: offer.is_some(),
        }
    });
    Ok(Reply::ok(to_bytes(&ListReply::new(objects.collect(), false, None))))
}
