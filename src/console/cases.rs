//! Acceptance cases: a button that runs them, how far they are, and the reports that were kept.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use askama::Template;

use super::auth::roles::Permission as Right;
use super::visit::{Member, Problem, Reply};
use crate::cases::catalogue::{Code, Group};
use crate::cases::report::{CaseReport, Report};
use crate::cases::run::{Run, State, Verdict};
use crate::domain::ids::{Mode, RunId, Scope};
use crate::web::{Frame, Page, Room};

/// Milliseconds between two looks at a run that is under way; without a script, seconds.
const LOOK_EVERY_MS: u32 = 1500;
const LOOK_EVERY_S: u32 = 3;
/// Bytes of an address that callbacks go to.
const URL_BYTES_MAX: usize = 2048;
const HERE: &str = "/console/developers/cases";

#[derive(Template)]
#[template(path = "console/cases.html")]
struct CasesPage {
    page: Page,
    frame: Frame,
    shown: Option<Shown>,
    older: Vec<Run>,
    may_run: bool,
    busy: bool,
    error: &'static str,
    callback_url: String,
}

/// One run with its report.
struct Shown {
    run: Run,
    report: Report,
}

impl CasesPage {
    fn class(&self, verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Passed => "ok",
            Verdict::Skipped => "idle",
            Verdict::Look => "warn",
            Verdict::Failed => "bad",
        }
    }

    fn word(&self, verdict: &Verdict) -> &'static str {
        verdict.word().get(self.page.lang)
    }

    fn title(&self, group: &Group) -> &'static str {
        group.title().get(self.page.lang)
    }

    /// The word for the whole run.
    fn badge(&self, run: &Run) -> (&'static str, &'static str) {
        match (run.state, run.verdict()) {
            (State::Running, _) => ("now", self.page.lang.t("正在运行", "Running")),
            (State::Interrupted, _) | (State::Finished, None) => ("idle", self.page.lang.t("被中断", "Interrupted")),
            (State::Finished, Some(Verdict::Failed)) => ("bad", self.page.lang.t("需要修正", "To fix")),
            (State::Finished, Some(Verdict::Look)) => ("warn", self.page.lang.t("建议查看", "To look at")),
            (State::Finished, Some(Verdict::Passed | Verdict::Skipped)) => {
                ("ok", self.page.lang.t("没有问题", "Nothing to fix"))
            }
        }
    }

    /// Verdicts that occurred, with their numbers.
    fn counts(&self, run: &Run) -> Vec<(Verdict, usize)> {
        let all = Verdict::ALL.into_iter().map(|verdict| (verdict, run.count(verdict)));
        all.filter(|(_, count)| *count > 0).collect()
    }

    fn codes(&self, group: &Group) -> Vec<Code> {
        Code::ALL.iter().copied().filter(|code| code.group() == *group).collect()
    }

    /// Seconds to the tenth; nothing for what was not run.
    fn seconds(&self, case: &CaseReport) -> String {
        let tenths = case.took_ms.div_ceil(100);
        if tenths == 0 { String::new() } else { format!("{}.{} s", tenths / 10, tenths % 10) }
    }

    fn took(&self, run: &Run) -> Option<u64> {
        run.ended_at.map(|at| at.since(run.started_at).as_seconds())
    }
}

impl Shown {
    fn of(scope: Scope, run: Run, base_url: &str) -> Self {
        let report = Report::of(scope, &run, base_url);
        Self { run, report }
    }

    fn running(&self) -> bool {
        self.run.state == State::Running
    }

    /// Groups that have a case in the report, with these.
    fn groups(&self) -> Vec<(Group, Vec<(&CaseReport, Verdict)>)> {
        let of = |group: &Group| -> Vec<(&CaseReport, Verdict)> {
            let both = self.report.cases.iter().zip(&self.run.outcomes);
            both.filter(|(_, outcome)| outcome.code.group() == *group)
                .map(|(case, outcome)| (case, outcome.verdict))
                .collect()
        };
        Group::ALL.into_iter().map(|group| (group, of(&group))).filter(|(_, cases)| !cases.is_empty()).collect()
    }
}

/// Test mode is where cases live, whatever the person looks at.
fn in_test(member: &Member) -> Scope {
    Scope { mode: Mode::Test, ..member.scope() }
}

pub(super) async fn page(member: Member) -> Reply {
    let runs = member.console.cases().newest(in_test(&member)).await?;
    show(&member, runs, None, "", String::new())
}

/// An older report.
pub(super) async fn run_page(member: Member) -> Reply {
    let id: RunId = member.part("run")?;
    let runs = member.console.cases().newest(in_test(&member)).await?;
    show(&member, runs, Some(id), "", String::new())
}

fn show(
    member: &Member,
    mut runs: Vec<Run>,
    wanted: Option<RunId>,
    error: &'static str,
    callback_url: String,
) -> Reply {
    let busy = runs.iter().any(|run| run.state == State::Running);
    let at = match wanted {
        Some(id) => Some(runs.iter().position(|run| run.id == id).ok_or(Problem::NotFound)?),
        None => (!runs.is_empty()).then_some(0),
    };
    let shown = at.map(|at| Shown::of(in_test(member), runs.remove(at), &member.console.link("")));
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = CasesPage {
        shown,
        older: runs,
        may_run: member.may(Right::ManageKeys),
        busy,
        error,
        callback_url,
        page: member.page.clone(),
        frame: member.frame(Room::Developers),
    };
    Ok(member.render(status, &page))
}

pub(super) async fn start(member: Member) -> Reply {
    let scope = member.scope();
    let cases = member.console.cases();
    let callback_url = member.form.text("callback_url").to_owned();
    let address = url::Url::parse(&callback_url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let bad = !callback_url.is_empty() && (address.is_none() || callback_url.len() > URL_BYTES_MAX);
    if bad {
        let error = member.page.lang.t("请填写完整的 http 或 https 地址。", "Enter a complete http or https address.");
        let runs = cases.newest(in_test(&member)).await?;
        return show(&member, runs, None, error, callback_url);
    }
    // In live mode there is no place, and the page says why; another run is there to be looked at.
    if let Some(place) = cases.place(scope) {
        let run = Run::new(place.run(), &[], (!callback_url.is_empty()).then_some(callback_url), member.now);
        member.console.store().write(move |tx| crate::cases::store(tx, scope, &run)).await?;
        place.begin();
    }
    Ok(member.go(HERE))
}

/// The report as a file.
pub(super) async fn file(member: Member) -> Reply {
    let (scope, id): (Scope, RunId) = (in_test(&member), member.part("run")?);
    let run = member.console.cases().get(scope, id).await?.ok_or(Problem::NotFound)?;
    let report = Report::of(scope, &run, &member.console.link(""));
    let bytes = serde_json::to_vec_pretty(&report).map_err(|error| Problem::Internal(error.to_string()))?;
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"coffer-cases-{}.json\"", run.id)))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(bytes))
}
