//! Acceptance cases over the API: start a run, read its report.

use std::collections::BTreeSet;

use actix_web::http::Method as Verb;

use super::endpoint::{Endpoint, Group, ReplyDoc, body, schema_of};
use super::error::{ErrorCode, Problem};
use super::fields::Fields;
use super::kinds::{ListOf, OneOf, WebAddress};
use super::objects::to_bytes;
use super::page::ListReply;
use super::payments::nothing;
use super::service::{Call, Reply};
use crate::api::commit::Committed;
use crate::cases;
use crate::cases::catalogue::Code;
use crate::cases::report::Report;
use crate::cases::run::Run;
use crate::domain::ids::{Mode, RunId};
use crate::domain::key::Permission;
use crate::lang::Text;
use crate::store::tables::AnswerState;

const RUN: ReplyDoc = ReplyDoc::One(schema_of::<Report>);

pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        id: "start_cases",
        group: Group::Test,
        method: Verb::POST,
        path: "/v1/test/cases",
        permission: Some(Permission::Write),
        summary: Text::new("运行验收用例", "Run the acceptance cases"),
        about: Text::new(
            "仅限测试模式。钱匣自己下单，扮演付款人和渠道（付款、撤销、退款、超时、网络异常、重复和伪造的回调），检查网店对每个回调的应答，\
             并说明要改什么。一次运行约一分钟，同一时间只有一次；用 GET 读取进度和报告。命令行：`coffer cases`。",
            "Test mode only. Coffer creates payments, plays payer and channel (payment, cancellation, refund, time-out, outage, repeated and forged \
             callbacks), checks what your shop answers to each callback, and says what to fix. A run takes about a minute, and there is one at a time; \
             read its progress and report with GET. On the command line: `coffer cases`.",
        ),
        query: None,
        body: body!(wanted, r#"{"only":["paid","refund","repeated","forged"]}"#),
        status: 201,
        reply: RUN,
        refusals: &[ErrorCode::InvalidValue, ErrorCode::TestModeOnly, ErrorCode::CasesRunning],
        handler: |call| Box::pin(start(call)),
    },
    Endpoint {
        id: "list_cases",
        group: Group::Test,
        method: Verb::GET,
        path: "/v1/test/cases",
        permission: Some(Permission::Read),
        summary: Text::new("验收报告列表", "List case runs"),
        about: Text::new("最近 20 次，从新到旧，一页返回。", "The last twenty, newest first, on one page."),
        query: None,
        body: None,
        status: 200,
        reply: ReplyDoc::List(schema_of::<Report>),
        refusals: &[ErrorCode::TestModeOnly],
        handler: |call| Box::pin(list(call)),
    },
    Endpoint {
        id: "get_cases",
        group: Group::Test,
        method: Verb::GET,
        path: "/v1/test/cases/{id}",
        permission: Some(Permission::Read),
        summary: Text::new("查询验收报告", "Get a case run"),
        about: Text::new(
            "运行中也可以读取：`done` 和 `total` 是进度。`fix` 是要改什么，`docs` 是对应的文档。",
            "Also while it runs: `done` and `total` are its progress. `fix` says what to change, `docs` leads to the chapter.",
        ),
        query: None,
        body: None,
        status: 200,
        reply: RUN,
        refusals: &[ErrorCode::TestModeOnly, ErrorCode::CaseRunNotFound],
        handler: |call| Box::pin(get(call)),
    },
];

struct Wanted {
    only: Vec<Code>,
    callback_url: Option<String>,
}

fn wanted(f: &mut Fields<'_>) -> Option<Wanted> {
    let only = f.optional(
        "only",
        Text::new("只运行这些用例；不填为全部。", "Run these only; all without it."),
        ListOf {
            kind: OneOf::new(|| Code::ALL.iter().map(|code| code.as_str()).collect(), Code::parse),
            elements_max: Code::ALL.len(),
        },
    );
    let callback_url = f.optional(
        "callback_url",
        Text::new(
            "网店在下单时指定 callback_url 的，在这里填同一个地址，用默认密钥签名。",
            "For shops that name a `callback_url` with each payment: that address; the merchant's default secret signs.",
        ),
        WebAddress,
    );
    let only: BTreeSet<Code> = only.into_iter().flatten().collect();
    Some(Wanted { only: only.into_iter().collect(), callback_url })
}

fn in_test_mode(call: &Call) -> Result<(), Problem> {
    match call.scope().mode {
        Mode::Test => Ok(()),
        Mode::Live => Err(Problem::new(ErrorCode::TestModeOnly)),
    }
}

fn report(call: &Call, run: &Run) -> Report {
    Report::of(call.scope(), run, &call.api.gateway.settings.public_url)
}

async fn start(call: Call) -> Result<Reply, Problem> {
    in_test_mode(&call)?;
    let Wanted { only, callback_url } = call.read_body(wanted)?;
    let scope = call.scope();
    let place = call.api.cases.place(scope).ok_or_else(|| Problem::new(ErrorCode::CasesRunning))?;
    let run = Run::new(place.run(), &only, callback_url, call.now);
    let body = to_bytes(&report(&call, &run));
    let committed = call.commit(move |_, tx, _| {
        cases::store(tx, scope, &run)?;
        Ok(AnswerState::Done { status: 201, body: body.clone() })
    });
    match committed.await? {
        Committed::Answered(reply) => {
            // The answer to an earlier request with the same key began nothing.
            if !reply.is_replay() {
                place.begin();
            }
            Ok(reply)
        }
        Committed::Wait(_) => {
            Err(Problem::new(ErrorCode::InternalError).because("a run of cases waits for no channel"))
        }
    }
}

async fn list(call: Call) -> Result<Reply, Problem> {
    in_test_mode(&call)?;
    call.read_query(nothing)?;
    let runs = call.api.cases.newest(call.scope()).await?;
    let data = runs.iter().map(|run| report(&call, run)).collect();
    Ok(Reply::ok(to_bytes(&ListReply::new(data, false, None))))
}

async fn get(call: Call) -> Result<Reply, Problem> {
    in_test_mode(&call)?;
    call.read_query(nothing)?;
    let id: RunId = call.id(ErrorCode::CaseRunNotFound)?;
    let run = call.api.cases.get(call.scope(), id).await?;
    let run = run.ok_or_else(|| Problem::new(ErrorCode::CaseRunNotFound))?;
    Ok(Reply::ok(to_bytes(&report(&call, &run))))
}
