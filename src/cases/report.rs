//! The report of a run as the API, the console's file and `coffer cases` have it: every sentence in both languages, so that
//! one file serves everybody.

use std::borrow::Borrow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::catalogue::Fault;
use super::run::{Finding, Outcome, Run, Said, Verdict, Weight};
use crate::domain::ids::{Mode, Scope};
use crate::lang::{Lang, Text};

/// One run of acceptance cases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CaseRun)]
pub struct Report {
    #[schema(example = "run_01JD3Q9W8XK2V5N7R4T6Y0ABCD")]
    pub id: String,
    #[schema(example = "case_run")]
    pub object: String,
    #[schema(example = "test")]
    pub mode: String,
    /// `running`, `finished` or `interrupted`.
    #[schema(example = "finished")]
    pub status: String,
    /// The worst of all cases, once it is finished: `passed`, `skipped`, `to_look_at` or `failed`.
    #[schema(example = "passed")]
    pub verdict: Option<String>,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[schema(format = DateTime)]
    pub ended_at: Option<String>,
    /// An address that the payments of this run carry, beside those of the merchant.
    pub callback_url: Option<String>,
    /// Cases that are done, and how many there are.
    pub done: usize,
    pub total: usize,
    /// The case that is under way.
    #[schema(example = json!(null))]
    pub current: Option<Named>,
    pub cases: Vec<CaseReport>,
}

/// A case's code and title.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CaseNamed)]
pub struct Named {
    #[schema(example = "refund")]
    pub code: String,
    pub title: Both,
}

/// A text in both languages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BilingualText)]
pub struct Both {
    #[schema(example = "重复回调")]
    pub zh: String,
    #[schema(example = "The same event again")]
    pub en: String,
}

/// What came of one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CaseResult)]
pub struct CaseReport {
    #[schema(example = "repeated")]
    pub code: String,
    /// `reach`, `payments`, `refunds`, `callbacks` or `books`.
    #[schema(example = "callbacks")]
    pub group: String,
    pub title: Both,
    /// What it does.
    pub does: Both,
    /// What has to come of it.
    pub expects: Both,
    /// `passed`, `failed`, `to_look_at` or `skipped`.
    #[schema(example = "failed")]
    pub verdict: String,
    /// Why something was not checked.
    #[schema(example = json!(null))]
    pub skipped: Option<Both>,
    pub findings: Vec<FindingReport>,
    /// Payments that it made.
    #[schema(example = json!(["pay_01JD3Q9W8XK2V5N7R4T6Y0ABCD"]))]
    pub payments: Vec<String>,
    pub took_ms: u64,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CaseFinding)]
pub struct FindingReport {
    #[schema(example = "repeat_refused")]
    pub code: String,
    /// `failed` or `to_look_at`.
    #[schema(example = "failed")]
    pub weight: String,
    /// The shop's address that it is about.
    #[schema(example = "https://shop.example/coffer")]
    pub url: Option<String>,
    /// What happened.
    pub seen: Option<Both>,
    /// What to fix.
    pub fix: Both,
    /// A chapter of this server's documentation.
    #[schema(example = "/docs/api#callbacks")]
    pub docs: String,
}

impl Both {
    /// Takes a reference as well, because templates pass their values as such.
    pub fn get(&self, lang: impl Borrow<Lang>) -> &str {
        lang.borrow().t(&self.zh, &self.en)
    }
}

impl From<Text> for Both {
    fn from(text: Text) -> Self {
        Self { zh: text.zh.to_owned(), en: text.en.to_owned() }
    }
}

impl From<&Said> for Both {
    fn from(said: &Said) -> Self {
        Self { zh: said.zh.clone(), en: said.en.clone() }
    }
}

impl Report {
    /// `base_url` is where the server's documentation is reached.
    pub fn of(scope: Scope, run: &Run, base_url: &str) -> Report {
        let named = |code: super::catalogue::Code| Named { code: code.as_str().to_owned(), title: code.title().into() };
        Report {
            id: run.id.to_string(),
            object: "case_run".to_owned(),
            mode: Mode::as_str(scope.mode).to_owned(),
            status: run.state.code().to_owned(),
            verdict: run.verdict().map(|verdict| verdict.code().to_owned()),
            created_at: run.started_at.to_rfc3339(),
            ended_at: run.ended_at.map(|at| at.to_rfc3339()),
            callback_url: run.callback_url.clone(),
            done: run.outcomes.len(),
            total: run.wanted.len(),
            current: run.current().map(named),
            cases: run.outcomes.iter().map(|outcome| case(outcome, base_url)).collect(),
        }
    }
}

fn case(outcome: &Outcome, base_url: &str) -> CaseReport {
    let code = outcome.code;
    CaseReport {
        code: code.as_str().to_owned(),
        group: code.group().code().to_owned(),
        title: code.title().into(),
        does: code.does().into(),
        expects: code.wants().into(),
        verdict: outcome.verdict.code().to_owned(),
        skipped: outcome.skipped.as_ref().map(Both::from),
        findings: outcome.findings.iter().map(|found| finding(found, base_url)).collect(),
        payments: outcome.payments.iter().map(ToString::to_string).collect(),
        took_ms: outcome.took_ms,
    }
}

fn finding(found: &Finding, base_url: &str) -> FindingReport {
    let fault: Fault = found.fault;
    let weight = match found.weight {
        Weight::Fail => Verdict::Failed,
        Weight::Look => Verdict::Look,
    };
    FindingReport {
        code: fault.code().to_owned(),
        weight: weight.code().to_owned(),
        url: found.url.clone(),
        seen: found.seen.as_ref().map(Both::from),
        fix: fault.fix().into(),
        docs: format!("{base_url}{}", fault.chapter()),
    }
}

/// One thing to do, and the cases that call for it.
pub struct ToDo<'r> {
    pub finding: &'r FindingReport,
    pub cases: Vec<&'r str>,
}

impl Report {
    /// Everything that was found, each thing once for each address: what strangers can use first, then what failed.
    pub fn to_do(&self) -> Vec<ToDo<'_>> {
        let mut list: Vec<ToDo<'_>> = Vec::new();
        for case in &self.cases {
            for finding in &case.findings {
                let same =
                    |other: &&mut ToDo<'_>| (&other.finding.code, &other.finding.url) == (&finding.code, &finding.url);
                match list.iter_mut().find(same) {
                    Some(known) => known.cases.push(&case.code),
                    None => list.push(ToDo { finding, cases: vec![&case.code] }),
                }
            }
        }
        list.sort_by_key(|ToDo { finding, .. }| {
            let serious = Fault::parse(&finding.code).is_some_and(Fault::is_serious);
            (!serious, finding.weight != Verdict::Failed.code())
        });
        list
    }

    pub fn count(&self, verdict: Verdict) -> usize {
        self.cases.iter().filter(|case| case.verdict == verdict.code()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::catalogue::Code;
    use crate::cases::run::{Notes, State};
    use crate::domain::ids::{MerchantId, RunId};
    use crate::domain::time::Timestamp;

    #[test]
    fn the_same_fault_of_an_address_is_one_thing_to_do_and_failures_come_first() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let mut run = Run::new(RunId::new(now, [0; 10]), &[], None, now);
        for (code, fault, weight) in [
            (Code::Paid, Fault::Slow, Weight::Look),
            (Code::Refund, Fault::Crashes, Weight::Fail),
            (Code::Repeated, Fault::Crashes, Weight::Fail),
            (Code::Forged, Fault::ForgeryBelieved, Weight::Fail),
        ] {
            let mut notes = Notes::default();
            notes.find(Finding { fault, weight, url: Some("https://shop.example/".to_owned()), seen: None });
            run.outcomes.push(notes.close(code, 1));
        }
        run.state = State::Finished;
        let scope = Scope { merchant: MerchantId::from_bytes([1; 16]), mode: Mode::Test };
        let report = Report::of(scope, &run, "https://pay.example");
        let list = report.to_do();
        let told: Vec<_> = list.iter().map(|entry| (entry.finding.code.as_str(), entry.cases.clone())).collect();
        let expected =
            [("forgery_believed", vec!["forged"]), ("crashes", vec!["refund", "repeated"]), ("slow", vec!["paid"])];
        assert_eq!(told, expected);
        assert_eq!(report.verdict.as_deref(), Some("failed"));
        assert_eq!(list[0].finding.docs, "https://pay.example/docs/api#callbacks");
        let bytes = serde_json::to_vec(&report).unwrap();
        assert_eq!(serde_json::from_slice::<Report>(&bytes).unwrap(), report, "what is written can be read");
    }
}
