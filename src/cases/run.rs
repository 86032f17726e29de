//! A run and its report as they are kept: which cases, what came of each, and whether it came to its end. Pure.

use serde::{Deserialize, Serialize};

use super::catalogue::{Code, Fault};
use crate::domain::ids::{PaymentId, RunId};
use crate::domain::time::Timestamp;
use crate::lang::{Lang, Text};

/// Runs that are kept of a merchant; the oldest go first.
pub const RUNS_KEPT: usize = 20;
/// Findings that one case tells; a shop with many addresses repeats itself.
pub const FINDINGS_MAX: usize = 20;
/// Characters of what was seen.
const SEEN_CHARS_MAX: usize = 600;

/// A sentence that was put together for one occasion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    pub zh: String,
    pub en: String,
}

impl Said {
    pub fn new(zh: impl Into<String>, en: impl Into<String>) -> Self {
        let short = |text: String| text.chars().take(SEEN_CHARS_MAX).collect();
        Self { zh: short(zh.into()), en: short(en.into()) }
    }

    pub fn get(&self, lang: Lang) -> &str {
        lang.t(&self.zh, &self.en)
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Weight {
    /// Works, and somebody should look at it.
    Look,
    /// Has to be fixed before real money.
    Fail,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub fault: Fault,
    pub weight: Weight,
    /// The shop's address, where it is about one.
    pub url: Option<String>,
    /// What happened, where that says more than the fault.
    pub seen: Option<Said>,
}

/// What came of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Verdict {
    Passed,
    Skipped,
    Look,
    Failed,
}

impl Verdict {
    pub const ALL: [Verdict; 4] = [Verdict::Passed, Verdict::Failed, Verdict::Look, Verdict::Skipped];

    pub const fn code(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Skipped => "skipped",
            Verdict::Look => "to_look_at",
            Verdict::Failed => "failed",
        }
    }

    pub const fn word(self) -> Text {
        match self {
            Verdict::Passed => Text::new("通过", "passed"),
            Verdict::Skipped => Text::new("跳过", "skipped"),
            Verdict::Look => Text::new("建议查看", "to look at"),
            Verdict::Failed => Text::new("未通过", "failed"),
        }
    }
}

/// One case that was run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub code: Code,
    pub verdict: Verdict,
    pub findings: Vec<Finding>,
    /// Why it was not run, or not judged to its end.
    pub skipped: Option<Said>,
    pub payments: Vec<PaymentId>,
    pub took_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    Running,
    Finished,
    /// The server stopped, or the time was over; what was done until then is told.
    Interrupted,
}

impl State {
    pub const fn code(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Finished => "finished",
            State::Interrupted => "interrupted",
        }
    }
}

/// One run of cases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub id: RunId,
    pub state: State,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// An address that the run's payments carry, beside the merchant's own.
    pub callback_url: Option<String>,
    /// The cases that are to be run, in their order.
    pub wanted: Vec<Code>,
    pub outcomes: Vec<Outcome>,
}

impl Run {
    /// `only` empty means all.
    pub fn new(id: RunId, only: &[Code], callback_url: Option<String>, now: Timestamp) -> Self {
        let wanted = Code::ALL.iter().copied().filter(|code| only.is_empty() || only.contains(code)).collect();
        Self { id, state: State::Running, started_at: now, ended_at: None, callback_url, wanted, outcomes: Vec::new() }
    }

    /// The case that is under way.
    pub fn current(&self) -> Option<Code> {
        match self.state {
            State::Running => self.wanted.get(self.outcomes.len()).copied(),
            State::Finished | State::Interrupted => None,
        }
    }

    pub fn count(&self, verdict: Verdict) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.verdict == verdict).count()
    }

    /// The worst verdict, of a run that came to its end.
    pub fn verdict(&self) -> Option<Verdict> {
        match self.state {
            State::Running | State::Interrupted => None,
            State::Finished => {
                Some(self.outcomes.iter().map(|outcome| outcome.verdict).max().unwrap_or(Verdict::Passed))
            }
        }
    }
}

/// What a case collects until it is over.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    findings: Vec<Finding>,
    skipped: Option<Said>,
    payments: Vec<PaymentId>,
}

impl Notes {
    /// The same about the same address is told once.
    pub fn find(&mut self, finding: Finding) {
        let known = self.findings.iter().any(|other| (other.fault, &other.url) == (finding.fault, &finding.url));
        if !known && self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }

    /// Why something could not be judged; the first reason stays.
    pub fn skip(&mut self, why: Said) {
        self.skipped.get_or_insert(why);
    }

    pub fn payment(&mut self, id: PaymentId) {
        self.payments.push(id);
    }

    pub fn close(self, code: Code, took_ms: u64) -> Outcome {
        let worst = self.findings.iter().map(|finding| finding.weight).max();
        let verdict = match (worst, &self.skipped) {
            (Some(Weight::Fail), _) => Verdict::Failed,
            (Some(Weight::Look), _) => Verdict::Look,
            (None, Some(_)) => Verdict::Skipped,
            (None, None) => Verdict::Passed,
        };
        let Notes { findings, skipped, payments } = self;
        Outcome { code, verdict, findings, skipped, payments, took_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(fault: Fault, weight: Weight) -> Finding {
        Finding { fault, weight, url: None, seen: None }
    }

    #[test]
    fn the_worst_finding_decides_and_the_same_is_told_once() {
        let mut notes = Notes::default();
        notes.find(finding(Fault::Slow, Weight::Look));
        assert_eq!(notes.clone().close(Code::Paid, 1).verdict, Verdict::Look);
        notes.find(finding(Fault::Crashes, Weight::Fail));
        notes.find(finding(Fault::Crashes, Weight::Fail));
        let outcome = notes.close(Code::Paid, 1);
        assert_eq!((outcome.verdict, outcome.findings.len()), (Verdict::Failed, 2));
    }

    #[test]
    fn what_could_not_be_judged_is_not_passed() {
        let mut notes = Notes::default();
        notes.skip(Said::new("一", "one"));
        notes.skip(Said::new("二", "two"));
        let outcome = notes.close(Code::Paid, 1);
        assert_eq!((outcome.verdict, outcome.skipped), (Verdict::Skipped, Some(Said::new("一", "one"))));
    }

    #[test]
    fn a_run_has_a_verdict_only_at_its_end() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let mut run = Run::new(RunId::new(now, [0; 10]), &[Code::Refund, Code::Paid], None, now);
        assert_eq!(run.wanted, [Code::Paid, Code::Refund], "in the order of the list");
        assert_eq!((run.verdict(), run.current()), (None, Some(Code::Paid)));
        run.outcomes.push(Notes::default().close(Code::Paid, 1));
        assert_eq!(run.current(), Some(Code::Refund));
        run.state = State::Interrupted;
        assert_eq!((run.verdict(), run.current()), (None, None));
        run.state = State::Finished;
        assert_eq!(run.verdict(), Some(Verdict::Passed));
    }
}
