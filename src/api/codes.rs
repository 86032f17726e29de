//! Every error code of the API in one table: what merchants' programs match on, and what the pages under
//! `/docs/errors` explain. Codes are never renamed; a new refusal gets a new line.

use actix_web::http::StatusCode;

use crate::lang::Text;

macro_rules! error_codes {
    ($($variant:ident $code:literal $status:literal, $title_zh:literal $title_en:literal, $help_zh:literal $help_en:literal;)*) => {
        /// What went wrong, in a word that stays the same for ever.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorCode { $($variant,)* }

        impl ErrorCode {
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$variant,)*];

            pub const fn as_str(self) -> &'static str {
                match self { $(ErrorCode::$variant => $code,)* }
            }

            pub fn parse(code: &str) -> Option<Self> {
                match code { $($code => Some(ErrorCode::$variant),)* _ => None }
            }

            pub fn status(self) -> StatusCode {
                let number: u16 = match self { $(ErrorCode::$variant => $status,)* };
                StatusCode::from_u16(number).expect("the table holds valid status codes")
            }

            pub const fn title(self) -> Text {
                match self { $(ErrorCode::$variant => Text::new($title_zh, $title_en),)* }
            }

            /// Why it happens and what to do about it.
            pub const fn help(self) -> Text {
                match self { $(ErrorCode::$variant => Text::new($help_zh, $help_en),)* }
            }
        }
    };
}

error_codes! { // variant, code, status, title (zh, en), help (zh, en)
    InvalidJson "invalid_json" 400,
        "请求体不是有效的 JSON" "The body is not valid JSON",
        "请求体必须是 UTF-8 编码、不带 BOM 的 JSON 对象，键不能重复，嵌套不能过深。请按提示的行列检查。"
        "The body must be a JSON object in UTF-8 without a byte order mark, without duplicate keys and not nested too deeply. Look at the line and column that the answer names.";
    InvalidRequest "invalid_request" 400,
        "请求格式不正确" "The request is malformed",
        "有字段缺失、多余、重复或类型不对。errors 里逐一列出了位置和原因；拼错的字段名会给出最接近的名称。"
        "Fields are missing, unknown, repeated or of the wrong type. `errors` lists each place with its reason; a misspelt name comes with the nearest known one.";
    IdempotencyKeyInvalid "idempotency_key_invalid" 400,
        "Idempotency-Key 不符合要求" "The Idempotency-Key is not acceptable",
        "Idempotency-Key 须为 1–255 个可打印 ASCII 字符，且只能出现一次。建议每个业务操作生成一个 UUID。"
        "Idempotency-Key must be 1 to 255 printable ASCII characters and be sent once. A UUID per business operation is a good choice.";
    BodyUnreadable "body_unreadable" 400,
        "请求体没有完整收到" "The body did not arrive completely",
        "连接在请求体传完之前中断，什么也没有执行，可以放心重发。"
        "The connection broke before the body was complete. Nothing was done; send the request again.";
    AuthenticationMissing "authentication_missing" 401,
        "缺少身份凭证" "No credentials were sent",
        "请发送 Authorization: Bearer sk_test_…，或按 RFC 9421 对请求签名。"
        "Send Authorization: Bearer sk_test_…, or sign the request as RFC 9421 says.";
    ApiKeyInvalid "api_key_invalid" 401,
        "API 密钥无效" "The API key is not valid",
        "密钥不存在、已吊销或抄写有误。请在控制台「开发」页核对；密钥只在创建时完整显示一次。"
        "The key does not exist, was revoked, or was copied incompletely. Compare it in the console under Developers; a key is shown in full only once, when it is made.";
    ApiKeyExpired "api_key_expired" 401,
        "API 密钥已过期" "The API key has expired",
        "请在控制台创建新密钥并替换。两个密钥可以同时有效，便于无中断轮换。"
        "Create a new key in the console and replace this one. Two keys may live side by side, so that the change needs no downtime.";
    SignatureMissing "signature_missing" 401,
        "缺少签名" "A signature header is missing",
        "签名请求需要同时带 Signature-Input 和 Signature 两个请求头，且标签一致。"
        "A signed request needs both Signature-Input and Signature, with the same label in each.";
    SignatureMalformed "signature_malformed" 401,
        "签名请求头无法解析" "The signature headers cannot be read",
        "Signature-Input、Signature、Content-Digest 须为 RFC 8941 结构化字段。请使用成熟的 RFC 9421 库生成。"
        "Signature-Input, Signature and Content-Digest must be structured fields (RFC 8941). Let an RFC 9421 library write them.";
    SignatureIncomplete "signature_incomplete" 401,
        "签名没有覆盖全部必要内容" "The signature does not cover everything it must",
        "必须覆盖 @method、@path、有查询串时的 @query、有请求体时的 content-digest；参数须含 created、nonce（16–128 个字符）和 keyid。"
        "It must cover @method, @path, @query when there is one and content-digest when there is a body, with the parameters created, nonce (16 to 128 characters) and keyid.";
    SignatureInvalid "signature_invalid" 401,
        "签名验证不通过" "The signature does not verify",
        "密钥编号、算法、密钥或签名基串与服务器计算的不一致。请核对 keyid 和密钥，并确认代理没有改写路径或请求头。"
        "Key id, algorithm, key or signature base differ from what the server computes. Check keyid and key, and that no proxy rewrites the path or headers.";
    SignatureExpired "signature_expired" 401,
        "签名不在有效时间内" "The signature is outside its time window",
        "created 与服务器时间相差超过 300 秒，或 expires 已过。请校准时钟后重新签名。"
        "`created` is more than 300 seconds away from the server's time, or `expires` has passed. Set the clock and sign again.";
    NonceReused "nonce_reused" 401,
        "nonce 已经用过" "The nonce was used before",
        "每个签名请求都要用新的随机 nonce。重试时请重新签名，并沿用原来的 Idempotency-Key。"
        "Every signed request needs a fresh random nonce. When retrying, sign again and keep the Idempotency-Key.";
    DigestMismatch "digest_mismatch" 401,
        "请求体与 Content-Digest 不符" "The body does not match Content-Digest",
        "请对实际发送的字节计算 sha-256 或 sha-512 摘要，签名之后不要再改动请求体。"
        "Compute the sha-256 or sha-512 digest over the bytes that are sent, and do not change the body after signing.";
    ScopeMissing "scope_missing" 403,
        "密钥没有这项权限" "The key lacks the permission",
        "请在控制台为密钥添加所需权限，或换用有权限的密钥。"
        "Add the permission to the key in the console, or use a key that has it.";
    IpNotAllowed "ip_not_allowed" 403,
        "来源地址不在白名单内" "The address is not on the allow-list",
        "请把服务器的出口地址加入密钥的白名单。如果前面有反向代理，请在配置中填写 trusted_proxies。"
        "Add your server's outgoing address to the key's allow-list. Behind a reverse proxy, `trusted_proxies` must name it.";
    TestModeOnly "test_mode_only" 403,
        "只能在测试模式使用" "Only available in test mode",
        "模拟类接口只接受测试密钥。"
        "Simulations accept test keys only.";
    CaseRunNotFound "case_run_not_found" 404,
        "没有这次运行" "There is no such run",
        "编号有误，或已被更新的报告取代：只保留最近 20 次。"
        "The id is wrong, or newer reports took its place: the last twenty are kept.";
    PaymentNotFound "payment_not_found" 404,
        "没有这笔支付" "There is no such payment",
        "请核对编号，并确认密钥属于同一商户和同一模式（test / live）。"
        "Check the id, and that the key belongs to the same merchant and the same mode (test or live).";
    RefundNotFound "refund_not_found" 404,
        "没有这笔退款" "There is no such refund",
        "请核对编号，并确认密钥属于同一商户和同一模式（test / live）。"
        "Check the id, and that the key belongs to the same merchant and the same mode (test or live).";
    EventNotFound "event_not_found" 404,
        "没有这个事件" "There is no such event",
        "请核对编号，并确认密钥属于同一商户和同一模式（test / live）。"
        "Check the id, and that the key belongs to the same merchant and the same mode (test or live).";
    WebhookEndpointNotFound "webhook_endpoint_not_found" 404,
        "没有这个回调地址" "There is no such webhook endpoint",
        "请核对编号，并确认密钥属于同一商户和同一模式（test / live）。"
        "Check the id, and that the key belongs to the same merchant and the same mode (test or live).";
    UnknownPath "unknown_path" 404,
        "没有这个接口" "There is no such endpoint",
        "请对照 /docs/api 检查路径；路径区分大小写，末尾不带斜杠。"
        "Compare the path with /docs/api. Paths are case-sensitive and do not end with a slash.";
    MethodNotAllowed "method_not_allowed" 405,
        "该接口不支持这个方法" "The endpoint does not know this method",
        "响应头 Allow 列出了可用的方法。"
        "The Allow header lists the methods that it knows.";
    RequestTimeout "request_timeout" 408,
        "请求体传输太慢" "The body arrived too slowly",
        "什么也没有执行，可以放心重发。"
        "Nothing was done; send the request again.";
    IdempotencyInProgress "idempotency_in_progress" 409,
        "相同的请求正在处理" "The same request is still being answered",
        "第一次请求的结果还没有出来。请在 Retry-After 给出的秒数后，用同一个 Idempotency-Key 再问一次。"
        "The first request has no result yet. Ask again with the same Idempotency-Key after the seconds given by Retry-After.";
    OrderIdReused "order_id_reused" 409,
        "order_id 已用于另一笔支付" "The order_id belongs to another payment",
        "同一商户、同一模式下 order_id 永久唯一。内容相同会返回原支付；内容不同请换一个 order_id。"
        "An order_id is unique for ever per merchant and mode. The same content returns the first payment; other content needs another order_id.";
    RefundIdReused "refund_id_reused" 409,
        "refund_id 已用于另一笔退款" "The refund_id belongs to another refund",
        "同一商户、同一模式下 refund_id 永久唯一。内容相同会返回原退款；内容不同请换一个 refund_id。"
        "A refund_id is unique for ever per merchant and mode. The same content returns the first refund; other content needs another refund_id.";
    PaymentEnded "payment_ended" 409,
        "支付已经结束" "The payment has ended",
        "只有未结束的支付可以修改或取消。已支付的请用退款。"
        "Only a payment that has not ended can be changed or canceled. Refund one that was paid.";
    PaymentNotPaid "payment_not_paid" 409,
        "支付尚未成功" "The payment is not paid",
        "只有已支付的订单可以退款。未支付的请取消。"
        "Only what was paid can be refunded. Cancel a payment that was not.";
    RefundNothingLeft "refund_nothing_left" 409,
        "没有可退金额" "Nothing is left to refund",
        "已退和正在退的金额之和已等于支付金额。"
        "Refunds that succeeded or are under way already add up to the payment.";
    TooManyRefunds "too_many_refunds" 409,
        "退款次数已达上限" "Too many refunds of one payment",
        "一笔支付最多退款 50 次。"
        "A payment can be refunded in at most 50 parts.";
    RefundWindowOver "refund_window_over" 409,
        "已过退款期限" "The time for refunds is over",
        "渠道只在付款后的一定期限内受理退款，之后请线下处理。"
        "The channel refunds only for some time after the payment. Settle it with the customer in another way.";
    RefundNeedsApproval "refund_needs_approval" 409,
        "退款需要第二个人复核" "The refund takes a second person",
        "商户设定了限额，同一笔支付累计退款超过它时，请在控制台提出，由另一个人复核。"
        "The shop has set a limit. Refunds of one payment beyond it are proposed in the console and approved by another person.";
    RefundFinished "refund_finished" 409,
        "退款已经结束" "The refund has ended",
        "已经成功或失败的退款不会再变。"
        "A refund that succeeded or failed does not change any more.";
    TooManyAttempts "too_many_attempts" 409,
        "支付方式更换次数过多" "The method was changed too often",
        "一笔支付最多尝试 20 次，请新建支付。"
        "A payment has at most 20 attempts. Create a new one.";
    TooManyWebhookEndpoints "too_many_webhook_endpoints" 409,
        "回调地址数量已达上限" "Too many webhook endpoints",
        "每个模式最多 20 个回调地址，请先删除不用的。"
        "There can be 20 endpoints per mode. Delete one that is not needed.";
    WebhookEndpointDisabled "webhook_endpoint_disabled" 409,
        "回调地址已停用" "The webhook endpoint is disabled",
        "请先启用该回调地址，再发送。"
        "Enable the endpoint before sending to it.";
    SimulationRefused "simulation_refused" 409,
        "现在不能这样模拟" "This cannot be simulated now",
        "模拟的渠道里没有等待付款的订单：支付可能已经结束，或渠道还没有应答。"
        "The simulated channel has no order that waits for its payer: the payment may have ended, or the channel has not answered yet.";
    CasesRunning "cases_running" 409,
        "验收用例正在运行" "The cases are running already",
        "同一商户同一时间只运行一次。请等它结束，用 GET /v1/test/cases 查看进度。"
        "A merchant has one run at a time. Wait for its end; GET /v1/test/cases shows how far it is.";
    BodyTooLarge "body_too_large" 413,
        "请求体过大" "The body is too large",
        "请求体上限为 64 kB。"
        "Bodies are limited to 64 kB.";
    UnsupportedMediaType "unsupported_media_type" 415,
        "不支持的请求体类型" "The body's type is not supported",
        "请发送 Content-Type: application/json，不要压缩。"
        "Send Content-Type: application/json, without compression.";
    InvalidValue "invalid_value" 422,
        "字段的值不可接受" "A value is not acceptable",
        "格式正确，但值超出范围或没有意义。errors 里列出了每个字段的原因。"
        "The form is right, but a value is out of range or means nothing. `errors` gives the reason for each field.";
    IdempotencyKeyReused "idempotency_key_reused" 422,
        "Idempotency-Key 已用于其他内容" "The Idempotency-Key was used for other content",
        "同一个 Idempotency-Key 只能对应同一个请求体。新的操作请使用新的键。"
        "One Idempotency-Key stands for one body. Use a new key for a new operation.";
    RefundTooLarge "refund_too_large" 422,
        "退款金额超过可退金额" "The refund is larger than what is left",
        "可退金额等于已支付金额减去已退和正在退的金额；不填 amount 即退全部剩余。"
        "What is left is the amount paid less refunds that succeeded or are under way. Without `amount`, all of it is refunded.";
    CurrencyMismatch "currency_mismatch" 422,
        "币种不一致" "The currency differs",
        "退款币种必须与支付一致。"
        "A refund has the currency of its payment.";
    MethodUnavailable "method_unavailable" 422,
        "支付方式不可用" "The method is not available",
        "当前商户没有可用的渠道支持该方式、币种或金额。GET /v1/payment_methods 列出可用的方式；不填 method 由顾客选择。"
        "No active channel of the merchant takes this method for this currency and amount. GET /v1/payment_methods lists what is available; without `method` the customer chooses.";
    ExpiryOutOfRange "expiry_out_of_range" 422,
        "有效期超出范围" "The expiry is out of range",
        "有效期须在 1 分钟到 7 天之间，从创建时起算最长 7 天。"
        "A payment can be open from one minute to seven days, counted from its creation.";
    RateLimited "rate_limited" 429,
        "请求太频繁" "Too many requests",
        "请等待 Retry-After 给出的秒数后再试。"
        "Wait for the seconds given by Retry-After, then try again.";
    InternalError "internal_error" 500,
        "服务器内部错误" "Something went wrong on our side",
        "可以用同一个 Idempotency-Key 放心重试。如果反复出现，请附上 request_id 联系运营方。"
        "Retry with the same Idempotency-Key. If it stays, tell the operator the request_id.";
    ChannelUnavailable "channel_unavailable" 502,
        "支付渠道暂时没有应答" "The channel does not answer at the moment",
        "结果未知不等于失败：系统会继续查询。请稍后再查看支付状态。"
        "Unknown is not failed: Coffer goes on asking. Look at the payment again later.";
    Busy "busy" 503,
        "服务繁忙" "The server is busy",
        "什么也没有执行，请在 Retry-After 给出的秒数后重试。"
        "Nothing was done. Try again after the seconds given by Retry-After.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_unique_snake_case_and_have_all_texts() {
        let mut seen = BTreeSet::new();
        for &code in ErrorCode::ALL {
            let text = code.as_str();
            assert!(seen.insert(text), "{text} appears twice");
            assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{text}");
            assert_eq!(ErrorCode::parse(text), Some(code));
            assert!((400..=599).contains(&code.status().as_u16()));
            for words in [code.title(), code.help()] {
                let is_han = |c: char| ('\u{3400}'..='\u{9fff}').contains(&c);
                assert!(words.zh.contains(is_han) && !words.en.contains(is_han), "{text}: one sentence per language");
            }
        }
    }

    #[test]
    fn the_table_is_ordered_by_status() {
        let statuses: Vec<_> = ErrorCode::ALL.iter().map(|c| c.status()).collect();
        assert!(statuses.is_sorted(), "the documentation pages list codes by status");
    }
}
