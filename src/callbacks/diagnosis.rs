//! What happened to an attempt and what to do about it: a sentence or two for the shop's owner or developer.
//!
//! Behind the guesses: shops sit behind hosters' filters that dislike unknown callers, frameworks that expect a form
//! token on every POST, and rewrite rules that redirect.

use super::outcome::Outcome;
use super::transcript::Transcript;
use crate::lang::{Lang, Text};

/// Characters of a redirect's destination that are shown.
const LOCATION_SHOWN: usize = 120;

/// What happened, then what to do.
pub fn diagnose(transcript: &Transcript, lang: Lang) -> String {
    match &transcript.outcome {
        Outcome::Failed(error) => error.sentence(lang),
        Outcome::Answered { status, .. } => match (*status, transcript.reply_header("location")) {
            (300..=399, Some(location)) => redirect(location, lang),
            (500..=599, _) => server_error(*status, lang),
            (status, _) => {
                let found = answer(status, transcript).get(lang);
                if status < 300 { found.to_owned() } else { with_status(found, status, lang) }
            }
        },
    }
}

fn answer(status: u16, transcript: &Transcript) -> Text {
    match status {
        200..=299 if is_web_page(transcript) => Text::new(
            "已送达，但对方返回的是网页而不是接口应答。请确认地址指向回调程序，而不是首页或登录页。",
            "Delivered, but the answer is a web page. Make sure the address leads to your callback handler, not to a home or login page.",
        ),
        200..=299 => Text::new("已送达。", "Delivered."),
        300..=399 => Text::new(
            "对方要求跳转，但回调不跟随跳转。请直接填写最终地址。",
            "The server redirects, but redirects are not followed. Enter the final address.",
        ),
        _ if asks_for_form_token(status, transcript) => Text::new(
            "被网站的 CSRF 防护拦截。请把回调路径加入免 CSRF 校验的名单。",
            "The site's CSRF protection refused the call. Exempt the callback path from CSRF checks.",
        ),
        400 | 401 if mentions(transcript, &["signature", "签名", "验签"]) => Text::new(
            "对方验签失败。请核对回调密钥，并用收到的原始正文验签，不要重新生成 JSON。",
            "The shop could not verify the signature. Check the secret, and verify the raw body as received, not JSON that was written again.",
        ),
        400 | 422 => Text::new(
            "对方不接受回调内容。请查看下方答复，并核对验签和解析代码。",
            "The shop did not accept the content. Read its reply below and check how it verifies and parses the message.",
        ),
        401 | 403 | 406 => Text::new(
            "访问被拒绝，多半是防火墙（WAF）或主机商的拦截，或该路径需要登录。请放行以 Coffer/ 开头的 User-Agent，并取消该路径的登录要求。",
            "Access was denied, most likely by a firewall (WAF), the hoster's filter or a login. Let user agents starting with Coffer/ through and ask for no login on this path.",
        ),
        404 => Text::new(
            "地址不存在。请检查路径是否正确、回调程序或插件是否已启用。",
            "There is nothing at this address. Check the path, and that the callback handler or plugin is enabled.",
        ),
        405 => Text::new(
            "该地址不接受 POST 请求。请让回调程序处理 POST，或检查地址是否填错。",
            "The address does not accept POST. Have your handler take POST requests, or check the address.",
        ),
        408 => Text::new(
            "对方认为请求来得太慢。请检查服务器负载和反向代理的超时设置。",
            "The server gave up waiting for the request. Check its load and the proxy's time limits.",
        ),
        410 => Text::new(
            "对方表示该地址已永久停用，回调已停止。请填写新地址后重新启用。",
            "The shop says this address is closed for good, so callbacks stopped. Enter the new address and switch it on again.",
        ),
        411 | 413 => Text::new(
            "服务器的请求大小限制拦下了回调。请放宽该路径的请求体限制。",
            "The server's size limit refused the call. Raise the request body limit for this path.",
        ),
        415 => Text::new(
            "对方不接受 JSON 格式。请让回调程序读取 application/json 正文。",
            "The shop does not take JSON. Have your handler read an application/json body.",
        ),
        429 => Text::new(
            "对方限制了访问频率，稍后会自动重试。请放宽该路径的限速。",
            "The server limits how often it may be called; we try again later. Raise the limit for this path.",
        ),
        _ => Text::new(
            "对方没有返回 2xx。请让回调程序在收到后返回 200。",
            "The answer was not 2xx. Have your handler answer 200 once it has the message.",
        ),
    }
}

fn server_error(status: u16, lang: Lang) -> String {
    let text = match status {
        502 | 504 => Text::new(
            "网关没有得到应用程序的答复。请检查 PHP、Node 等应用进程是否在运行、是否超时。",
            "The gateway got no answer from the application. Check that the PHP, Node or other process is running and fast enough.",
        ),
        503 => Text::new(
            "对方暂时停止服务，可能在维护或过载。稍后会自动重试。",
            "The shop is unavailable for now, in maintenance or overloaded. We try again later.",
        ),
        520..=527 | 530 => Text::new(
            "CDN 连不上源站。请检查源站是否在线、证书是否有效、是否放行 CDN。",
            "The CDN cannot reach the origin server. Check that it is online, has a valid certificate and lets the CDN in.",
        ),
        _ => Text::new(
            "对方程序出错。请按时间查看服务器错误日志。",
            "The shop's program failed. Look into the server's error log at this time.",
        ),
    };
    with_status(text.get(lang), status, lang)
}

fn redirect(location: &str, lang: Lang) -> String {
    let shown: String = location.chars().filter(|c| !c.is_whitespace()).take(LOCATION_SHOWN).collect();
    match lang {
        Lang::Zh => format!("对方要求跳转到 {shown}，但回调不跟随跳转。请直接填写最终地址。"),
        Lang::En => {
            format!("The server redirects to {shown}, but redirects are not followed. Enter the final address.")
        }
    }
}

fn with_status(sentence: &str, status: u16, lang: Lang) -> String {
    match lang {
        Lang::Zh => format!("HTTP {status}：{sentence}"),
        Lang::En => format!("HTTP {status}: {sentence}"),
    }
}

/// The reply is a page for people, whatever its status says.
pub fn is_web_page(transcript: &Transcript) -> bool {
    let typed =
        transcript.reply_header("content-type").is_some_and(|t| t.to_ascii_lowercase().starts_with("text/html"));
    // Plain PHP says text/html whatever it prints, so a type alone proves nothing.
    let start = transcript.reply_excerpt.trim_start().to_ascii_lowercase();
    start.starts_with("<!doctype html") || start.starts_with("<html") || (typed && start.starts_with('<'))
}

/// Laravel answers 419; Django, Rails and others 403 or 400 with a word about it.
fn asks_for_form_token(status: u16, transcript: &Transcript) -> bool {
    status == 419 || (matches!(status, 400 | 403 | 422) && mentions(transcript, &["csrf", "authenticity token"]))
}

fn mentions(transcript: &Transcript, words: &[&str]) -> bool {
    let text = transcript.reply_excerpt.to_lowercase();
    words.iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::callbacks::Trigger;
    use crate::domain::time::Timestamp;
    use crate::env::target::BlockReason;
    use crate::env::transport::{ConnectFault, Phase, SendError, TlsFault};

    fn transcript(outcome: Outcome, headers: &[(&str, &str)], reply: &str) -> Transcript {
        Transcript {
            trigger: Trigger::Auto,
            started_at: Timestamp::from_seconds(1_800_000_000),
            duration_ms: 12,
            url: "https://shop.example/hook".into(),
            address: None,
            request_headers: Vec::new(),
            outcome,
            reply_headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            reply_excerpt: reply.to_owned(),
            reply_cut: false,
        }
    }

    fn answered(status: u16, headers: &[(&str, &str)], reply: &str) -> Transcript {
        transcript(Outcome::Answered { status, retry_after: None }, headers, reply)
    }

    fn check(transcript: &Transcript, zh: &str, en: &str) {
        let (in_zh, in_en) = (diagnose(transcript, Lang::Zh), diagnose(transcript, Lang::En));
        assert!(in_zh.contains(zh), "{in_zh:?} should contain {zh:?}");
        assert!(in_en.contains(en), "{in_en:?} should contain {en:?}");
    }

    #[test]
    fn answers_are_explained_with_the_way_out() {
        for (status, headers, reply, zh, en) in [
            (200, [("content-type", "application/json")], "{}", "已送达。", "Delivered."),
            (200, [("content-type", "text/html")], "success", "已送达。", "Delivered."),
            (200, [("content-type", "text/html")], "<!DOCTYPE html><title>登录", "网页", "web page"),
            (
                301,
                [("location", "https://www.shop.example/hook")],
                "",
                "https://www.shop.example/hook",
                "Enter the final address",
            ),
            (307, [("server", "nginx")], "", "最终地址", "redirects are not followed"),
            (403, [("server", "cloudflare")], "<html>", "防火墙", "firewall"),
            (401, [("server", "nginx")], "", "登录", "login"),
            (401, [("server", "nginx")], "Invalid Signature", "密钥", "raw body"),
            (400, [("server", "nginx")], "验签失败", "密钥", "raw body"),
            (403, [("server", "nginx")], "CSRF verification failed", "CSRF", "CSRF"),
            (419, [("server", "nginx")], "Page Expired", "CSRF", "CSRF"),
            (404, [("server", "nginx")], "", "路径", "path"),
            (405, [("server", "nginx")], "", "POST", "POST"),
            (415, [("server", "nginx")], "", "JSON", "JSON"),
            (410, [("server", "nginx")], "", "停用", "closed for good"),
            (429, [("server", "nginx")], "", "频率", "limits how often"),
            (500, [("server", "nginx")], "", "错误日志", "error log"),
            (502, [("server", "nginx")], "", "PHP", "PHP"),
            (522, [("server", "cloudflare")], "", "CDN", "CDN"),
            (599, [("server", "nginx")], "", "HTTP 599", "HTTP 599"),
            (700, [("server", "nginx")], "", "HTTP 700", "2xx"),
        ] {
            check(&answered(status, &headers, reply), zh, en);
        }
    }

    #[test]
    fn a_long_or_broken_redirect_stays_on_one_line() {
        let location = format!("https://shop.example/\n{}", "a".repeat(500));
        let sentence = diagnose(&answered(302, &[("location", &location)], ""), Lang::En);
        assert!(!sentence.contains('\n') && sentence.len() < 250);
    }

    #[test]
    fn every_failure_has_its_own_sentence_in_both_languages() {
        let failures = [
            SendError::Blocked { reason: BlockReason::PlainHttp },
            SendError::Blocked { reason: BlockReason::OwnListener },
            SendError::Blocked { reason: BlockReason::BadUrl },
            SendError::Blocked { reason: BlockReason::UserInfo },
            SendError::Blocked { reason: BlockReason::Fragment },
            SendError::Blocked { reason: BlockReason::Port { port: 22 } },
            SendError::InvalidRequest,
            SendError::Dns,
            SendError::Connect { fault: ConnectFault::Refused },
            SendError::Connect { fault: ConnectFault::Unreachable },
            SendError::Tls { fault: TlsFault::WrongName },
            SendError::Tls { fault: TlsFault::Expired },
            SendError::Tls { fault: TlsFault::UnknownIssuer },
            SendError::Tls { fault: TlsFault::BadCertificate },
            SendError::Tls { fault: TlsFault::Handshake },
            SendError::Timeout { phase: Phase::Lookup },
            SendError::Timeout { phase: Phase::Connect },
            SendError::Timeout { phase: Phase::Handshake },
            SendError::Timeout { phase: Phase::Reply },
            SendError::Protocol,
        ];
        for lang in Lang::ALL {
            let sentences: BTreeSet<_> = failures
                .iter()
                .map(|failure| diagnose(&transcript(Outcome::Failed(failure.clone()), &[], ""), lang))
                .collect();
            assert_eq!(sentences.len(), failures.len());
            // Chinese sentences are Chinese, English ones are not.
            assert!(sentences.iter().all(|s| s.contains('。') == (lang == Lang::Zh)));
        }
    }

    #[test]
    fn a_blocked_address_is_named() {
        let reason =
            BlockReason::Address { address: "10.0.0.5".parse().unwrap(), range: crate::env::target::Range::Private };
        check(
            &transcript(Outcome::Failed(SendError::Blocked { reason }), &[], ""),
            "10.0.0.5（内网地址）",
            "10.0.0.5 (private)",
        );
    }
}
