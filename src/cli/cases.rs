//! `coffer cases`: runs the acceptance cases through a running server and its shop, over the API, and prints the report.

use std::path::Path;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::json;

use super::config::Inputs;
use super::failure::{Exit, Failure};
use super::{Teller, Terminal, print};
use crate::cases::catalogue::{Code, Group};
use crate::cases::report::{CaseReport, Report, ToDo};
use crate::cases::run::Verdict;
use crate::demo::credentials::Credentials;
use crate::domain::time::{Duration, Timestamp};
use crate::env::Env;
use crate::env::http::HttpTransport;
use crate::env::target::TargetPolicy;
use crate::env::transport::{Limits, Method, OutgoingRequest, Transport};
use crate::lang::Lang;

/// Between two questions about the progress.
const ASK_EVERY: Duration = Duration::from_millis(400);
/// Questions in a row that may go unanswered: a server that restarts is back before that.
const UNANSWERED_MAX: u32 = 25;
/// A report is larger than other answers.
const REPORT_MAX_BYTES: usize = 4 << 20;

/// What is asked for on the command line.
#[derive(clap::Args)]
pub struct Options {
    /// Where the server is reached [default: the demo's, or the variable COFFER_URL]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A test key (sk_test_…) that may create payments [default: the demo's, or the variable COFFER_KEY]
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Run this case only; may be given several times
    #[arg(long, value_name = "CODE", value_parser = code)]
    only: Vec<Code>,
    /// For a shop that names a callback_url with each payment: that address
    #[arg(long, value_name = "URL")]
    callback_url: Option<String>,
    /// Print the list of cases and run none
    #[arg(long)]
    list: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Language of the report: zh or en [default: as the locale has it]
    #[arg(long, value_name = "LANG", value_parser = lang)]
    lang: Option<Lang>,
}

fn code(text: &str) -> Result<Code, String> {
    Code::parse(text).ok_or_else(|| "there is no such case; --list shows them".to_owned())
}

fn lang(text: &str) -> Result<Lang, String> {
    Lang::from_tag(text).ok_or_else(|| "zh or en".to_owned())
}

/// Runs the cases. It is a failure when one of them failed, or when they did not come to their end.
pub fn run(inputs: &Inputs, options: &Options) -> Result<(), Failure> {
    let lang = options.lang.unwrap_or_else(|| locale(inputs));
    if options.list {
        print(&catalogue(lang));
        return Ok(());
    }
    let server = Server::find(inputs, options, lang)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::of(Exit::Failed, &error))?;
    let mut terminal = Terminal::default();
    let report = runtime.block_on(server.carry_out(options, &mut terminal))?;
    drop(terminal);
    if options.json {
        print(&(serde_json::to_string_pretty(&report).expect("a report is plain data") + "\n"));
    } else {
        print(&told(&report, lang));
    }
    let failed = report.count(Verdict::Failed);
    let why = match (report.status.as_str(), failed) {
        ("finished", 0) => return Ok(()),
        ("finished", _) => lang.t("有用例未通过，见上面的报告", "some cases failed; the report says what to do"),
        _ => lang.t("运行被中断", "the run was interrupted"),
    };
    Err(Failure::new(Exit::Failed, why))
}

/// The person's language, as POSIX has it; English where nothing is said.
fn locale(inputs: &Inputs) -> Lang {
    let said = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(|name| inputs.environment.get(name));
    said.filter(|value| !value.is_empty())
        .find_map(|value| Lang::from_tag(value.split('.').next()?))
        .unwrap_or(Lang::En)
}

/// A running Coffer, as a shop reaches it.
struct Server {
    url: String,
    key: String,
    lang: Lang,
    transport: HttpTransport,
    env: Env,
    policy: TargetPolicy,
}

/// The part of a problem (RFC 9457) that is shown.
#[derive(Deserialize)]
struct Problem {
    title: String,
    detail: Option<String>,
}

impl Server {
    fn find(inputs: &Inputs, options: &Options, lang: Lang) -> Result<Server, Failure> {
        let variable = |name: &str| inputs.environment.get(name).cloned();
        let (url, key) = (
            options.url.clone().or_else(|| variable("COFFER_URL")),
            options.key.clone().or_else(|| variable("COFFER_KEY")),
        );
        let (url, key) = match (url, key) {
            (Some(url), Some(key)) => (url, key),
            (url, key) => {
                let folder = inputs.data_dir(super::demo::DATA_DIR);
                let demo = demo_of(&folder)?.ok_or_else(|| {
                    Failure::new(
                        Exit::Configuration,
                        format!(
                            "there is no demo in {}; say where the server is with --url, and give a test key with --key or COFFER_KEY \
                             (`coffer key create` makes one)",
                            folder.display()
                        ),
                    )
                })?;
                (url.unwrap_or(demo.base_url), key.unwrap_or(demo.api_key))
            }
        };
        let parsed = url::Url::parse(&url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(parsed) = parsed else {
            return Err(Failure::new(
                Exit::Configuration,
                format!("{url} is not an address such as https://pay.example"),
            ));
        };
        let everywhere = ["0.0.0.0/0", "::/0"].map(|net| net.parse::<IpNet>().expect("a constant"));
        let policy = TargetPolicy {
            https_only: false,
            ports: parsed.port_or_known_default().into_iter().collect(),
            allow_loopback: true,
            allow_subnets: everywhere.into(),
            own_listeners: Vec::new(),
        };
        let transport = HttpTransport::system(&[]).map_err(|error| Failure::of(Exit::Failed, &error))?;
        let url = url.trim_end_matches('/').to_owned();
        Ok(Server { url, key, lang, transport, env: Env::system(), policy })
    }

    async fn carry_out(&self, options: &Options, terminal: &mut Terminal) -> Result<Report, Failure> {
        let mut wanted = json!({});
        if !options.only.is_empty() {
            wanted["only"] = options.only.iter().map(|code| code.as_str()).collect();
        }
        if let Some(url) = &options.callback_url {
            wanted["callback_url"] = url.as_str().into();
        }
        let mut report = self.call(Method::Post, "/v1/test/cases", Some(wanted.to_string())).await?;
        let path = format!("/v1/test/cases/{}", report.id);
        let mut unanswered = 0;
        while report.status == "running" {
            let label = self.lang.t("验收用例", "cases");
            terminal.progress(label, report.done as u64, report.total as u64);
            self.env.sleep(ASK_EVERY).await;
            match self.call(Method::Get, &path, None).await {
                Ok(known) => (report, unanswered) = (known, 0),
                Err(Lost::Unanswered(_)) if unanswered < UNANSWERED_MAX => unanswered += 1,
                Err(lost) => return Err(lost.into()),
            }
        }
        Ok(report)
    }

    async fn call(&self, method: Method, path: &str, body: Option<String>) -> Result<Report, Lost> {
        let mut headers = vec![
            ("authorization".to_owned(), format!("Bearer {}", self.key)),
            ("accept".to_owned(), "application/json".to_owned()),
            ("accept-language".to_owned(), self.lang.tag().to_owned()),
            ("user-agent".to_owned(), crate::callbacks::USER_AGENT.to_owned()),
        ];
        if body.is_some() {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        let url = format!("{}{path}", self.url);
        let request =
            OutgoingRequest { method, url, headers, body: body.unwrap_or_default().into_bytes(), identity: None };
        let limits = Limits { reply_max: REPORT_MAX_BYTES, ..Limits::default() };
        let answer = self.transport.send(request, &self.policy, limits).await;
        let answer = answer.map_err(|error| {
            let why = error.sentence(self.lang);
            Lost::Unanswered(Failure::new(
                Exit::Failed,
                format!("{} does not answer; is the server running? {why}", self.url),
            ))
        })?;
        if !(200..300).contains(&answer.status) {
            let words = serde_json::from_slice::<Problem>(&answer.body).map_or_else(
                |_| format!("HTTP {}", answer.status),
                |problem| problem.detail.map_or(problem.title.clone(), |detail| format!("{}: {detail}", problem.title)),
            );
            return Err(Lost::Refused(Failure::new(Exit::Failed, format!("{} refused: {words}", self.url))));
        }
        let read = serde_json::from_slice(&answer.body);
        read.map_err(|_| {
            Lost::Refused(Failure::new(
                Exit::Failed,
                format!("what answers at {} is no Coffer of this version", self.url),
            ))
        })
    }
}

/// Why there is no report.
enum Lost {
    /// Nobody answered; it may be different in a moment.
    Unanswered(Failure),
    Refused(Failure),
}

impl From<Lost> for Failure {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Unanswered(failure) | Lost::Refused(failure) => failure,
        }
    }
}

fn demo_of(folder: &Path) -> Result<Option<Credentials>, Failure> {
    Credentials::read(folder).map_err(|error| Failure::of(Exit::Configuration, &error))
}

/// The list of cases.
fn catalogue(lang: Lang) -> String {
    let mut text = String::new();
    for group in Group::ALL {
        text += &format!("{}\n", group.title().get(lang));
        for code in Code::ALL.iter().filter(|code| code.group() == group) {
            text += &format!("  {:<23}{}\n", code.as_str(), code.title().get(lang));
            text += &format!("  {:<23}{}\n", "", code.does().get(lang));
            text += &format!("  {:<23}→ {}\n", "", code.wants().get(lang));
        }
    }
    text
}

/// The report for people.
fn told(report: &Report, lang: Lang) -> String {
    let t = |zh: &str, en: &str| lang.t(zh, en).to_owned();
    let mut text = format!("{} {}\n", t("验收报告", "Acceptance report"), report.id);
    let mut told_reason = None;
    for group in Group::ALL {
        let cases: Vec<&CaseReport> = report.cases.iter().filter(|case| case.group == group.code()).collect();
        if cases.is_empty() {
            continue;
        }
        text += &format!("\n{}\n", group.title().get(lang));
        for case in cases {
            text += &line(case, lang);
            // A reason that many share is told once.
            let reason = case.skipped.as_ref().filter(|_| case.verdict == Verdict::Skipped.code());
            if let Some(reason) = reason.filter(|reason| told_reason != Some(*reason)) {
                text += &format!("      {}\n", reason.get(lang));
            }
            told_reason = reason.or(told_reason);
        }
    }
    let list = report.to_do();
    if !list.is_empty() {
        text += &format!("\n{}\n", t("需要处理", "What to do"));
        list.iter().enumerate().for_each(|(number, entry)| text += &task(number + 1, entry, lang));
    }
    if report.status == "interrupted" {
        text += &t("\n运行被中断，只有部分结果。\n", "\nThe run was interrupted; this is as far as it came.\n");
    }
    text + &format!("\n{}\n", sum(report, lang))
}

fn line(case: &CaseReport, lang: Lang) -> String {
    let verdict = Verdict::ALL.into_iter().find(|verdict| verdict.code() == case.verdict);
    let mark = match verdict {
        Some(Verdict::Passed) => "✓",
        Some(Verdict::Failed) => "✗",
        Some(Verdict::Look) => "!",
        Some(Verdict::Skipped) | None => "–",
    };
    format!("  {mark} {:<23} {}\n", case.code, case.title.get(lang))
}

fn task(number: usize, entry: &ToDo<'_>, lang: Lang) -> String {
    let ToDo { finding, cases } = entry;
    let word = if finding.weight == Verdict::Failed.code() { Verdict::Failed } else { Verdict::Look }.word().get(lang);
    let mut text = format!("{number:>3}. {} [{word}] ({})\n", finding.code, cases.join(", "));
    text += &format!("     {}\n", finding.fix.get(lang));
    if let Some(seen) = &finding.seen {
        text += &format!("     {}{}\n", lang.t("看到：", "Seen: "), seen.get(lang));
    }
    let url = finding.url.as_deref().map(|url| format!("{url}  ")).unwrap_or_default();
    text + &format!("     {url}{}\n", finding.docs)
}

fn sum(report: &Report, lang: Lang) -> String {
    let of = |verdict: Verdict| format!("{} {}", report.count(verdict), verdict.word().get(lang));
    let [passed, failed, look, skipped] = Verdict::ALL.map(of);
    let seconds = |text: &str| Timestamp::parse_rfc3339(text);
    let took = seconds(&report.created_at).zip(report.ended_at.as_deref().and_then(seconds));
    let took = took.map(|(from, to)| to.since(from).as_seconds()).unwrap_or(0);
    match lang {
        Lang::Zh => format!("{passed}，{failed}，{look}，{skipped}；用时 {took} 秒。"),
        Lang::En => format!("{passed}, {failed}, {look}, {skipped}, in {took} s."),
    }
}
