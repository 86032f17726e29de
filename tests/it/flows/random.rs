//! Random stories: channels that answer, tell, repeat, contradict and confuse themselves in any order. After every step the
//! gateway agrees with the plain model and all invariants hold.

use coffer::domain::follow::Step;
use coffer::ledger::{Account, AccountCode};
use coffer::store::tables::BALANCES;
use coffer::store::{Order, Read, Span};
use proptest::prelude::*;

use super::model::{Choice, Late, Model, Policy, RefundWord, Word, spelt};
use super::world::{SCOPE, World, duration};

/// What can happen next. Indexes are taken modulo what there is.
#[derive(Clone, Debug)]
enum Op {
    Pay {
        minor: u64,
        fixed: Option<usize>,
        minutes: u64,
    },
    Choose {
        payment: usize,
        wallet: usize,
    },
    Cancel {
        payment: usize,
    },
    Wait {
        seconds: u64,
    },
    Sync {
        payment: usize,
    },
    /// A question goes out; its answer comes with a later `Answer`.
    Begin {
        attempt: usize,
    },
    Answer {
        attempt: usize,
        word: Word,
    },
    Notify {
        attempt: usize,
        word: Word,
    },
    /// All that is left, or a part in thousandths of the payment.
    Refund {
        payment: usize,
        part: Option<u64>,
    },
    AnswerRefund {
        refund: usize,
        word: RefundWord,
    },
    NotifyRefund {
        refund: usize,
        word: RefundWord,
    },
    /// A person decides about a case, sensibly or not.
    Decide {
        case: usize,
        line: usize,
        choice: Choice,
    },
}

const WALLETS: [&str; 2] = ["wechat", "alipay"];

fn word() -> impl Strategy<Value = Word> {
    let paid = (prop_oneof![9 => Just(0u64), 1 => 1..3u64], 0..12u8, prop::bool::weighted(0.05))
        .prop_map(|(off_by, transaction, stranger)| Word::Paid { off_by, transaction, stranger });
    prop_oneof![
        4 => Just(Word::Accepted),
        3 => Just(Word::NotPaid),
        5 => paid,
        4 => Just(Word::Closed),
        1 => Just(Word::Declined),
        2 => Just(Word::NotFound),
        1 => Just(Word::Refused),
        2 => Just(Word::Unknown),
    ]
}

fn refund_word() -> impl Strategy<Value = RefundWord> {
    prop_oneof![
        3 => Just(RefundWord::Processing),
        5 => prop_oneof![9 => Just(0u64), 1 => 1..3u64].prop_map(|off_by| RefundWord::Succeeded { off_by }),
        2 => Just(RefundWord::Failed),
        2 => Just(RefundWord::NotFound),
        2 => Just(RefundWord::Refused),
        2 => Just(RefundWord::Unknown),
    ]
}

fn choice() -> impl Strategy<Value = Choice> {
    prop_oneof![Just(Choice::Book), Just(Choice::GiveBack), Just(Choice::Elsewhere), Just(Choice::Close)]
}

fn op() -> impl Strategy<Value = Op> {
    let minor = prop_oneof![1..=3u64, 1..=20_000u64, 1..=10_000_000_000u64];
    let any_of = any::<usize>;
    prop_oneof![
        3 => (minor, prop::option::of(0..2usize), 1..40u64)
            .prop_map(|(minor, fixed, minutes)| Op::Pay { minor, fixed, minutes }),
        4 => (any_of(), 0..2usize).prop_map(|(payment, wallet)| Op::Choose { payment, wallet }),
        1 => any_of().prop_map(|payment| Op::Cancel { payment }),
        2 => prop_oneof![1..60u64, 60..6_000u64].prop_map(|seconds| Op::Wait { seconds }),
        1 => any_of().prop_map(|payment| Op::Sync { payment }),
        2 => any_of().prop_map(|attempt| Op::Begin { attempt }),
        12 => (any_of(), word()).prop_map(|(attempt, word)| Op::Answer { attempt, word }),
        8 => (any_of(), word()).prop_map(|(attempt, word)| Op::Notify { attempt, word }),
        4 => (any_of(), prop::option::of(0..=1_000u64)).prop_map(|(payment, part)| Op::Refund { payment, part }),
        5 => (any_of(), refund_word()).prop_map(|(refund, word)| Op::AnswerRefund { refund, word }),
        3 => (any_of(), refund_word()).prop_map(|(refund, word)| Op::NotifyRefund { refund, word }),
        3 => (any_of(), any_of(), choice()).prop_map(|(case, line, choice)| Op::Decide { case, line, choice }),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let fee_ppm = prop_oneof![Just(0u64), Just(6_000), Just(1_000_000), 0..200_000u64];
    let late = prop_oneof![Just(Late::Book), Just(Late::Refund), Just(Late::Hold)];
    (fee_ppm, any::<bool>(), late, any::<bool>()).prop_map(|(fee_ppm, fee_returned, late, second_refunded)| {
        // The story language speaks of hundredths of a percent.
        Policy { fee_ppm: fee_ppm / 100 * 100, fee_returned, late, second_refunded }
    })
}

/// A story that writes itself: the gateway and the model side by side.
struct Pair {
    world: World,
    model: Model,
    policy: Policy,
    /// Questions that are out: payment, attempt, what was asked.
    out: Vec<(usize, usize, Step)>,
    /// Every line so far, so that a failure can be told as a story.
    story: Vec<String>,
}

impl Pair {
    fn new(policy: Policy) -> Self {
        let mut pair =
            Self { world: World::new(), model: Model::new(policy), policy, out: Vec::new(), story: Vec::new() };
        let (late, second) = (format!("{:?}", policy.late).to_lowercase(), policy.second_refunded);
        let percent = format!("{}.{:04}", policy.fee_ppm / 10_000, policy.fee_ppm % 10_000);
        pair.tell(format!(
            "merchant fee={percent}% late={late} duplicate={}{}",
            if second { "refund" } else { "hold" },
            if policy.fee_returned { "" } else { " fees=kept" }
        ));
        pair
    }

    fn tell(&mut self, line: String) -> String {
        let outcome = self.world.step(&line).unwrap_or_default();
        self.story.push(line);
        outcome
    }

    fn pick_payment(&self, index: usize) -> Option<usize> {
        let count = self.model.payments.len();
        (count > 0).then(|| index % count)
    }

    fn pick_attempt(&self, index: usize, due: bool) -> Option<(usize, usize)> {
        let all = self.model.payments.iter().enumerate();
        let all = all.flat_map(|(p, payment)| (0..payment.attempts.len()).map(move |a| (p, a)));
        let due = |&(p, a): &(usize, usize)| !due || self.world.attempt(&attempt_name(p, a)).follow_up.is_some();
        let all: Vec<_> = all.filter(due).collect();
        (!all.is_empty()).then(|| all[index % all.len()])
    }

    fn pick_refund(&self, index: usize, due: bool) -> Option<(usize, usize)> {
        let all = self.model.payments.iter().enumerate();
        let all = all.flat_map(|(p, payment)| (0..payment.refunds.len()).map(move |r| (p, r)));
        let due = |&(p, r): &(usize, usize)| !due || self.world.refund_record(&refund_name(p, r)).follow_up.is_some();
        let all: Vec<_> = all.filter(due).collect();
        (!all.is_empty()).then(|| all[index % all.len()])
    }

    fn take(&mut self, op: Op) {
        match op {
            Op::Pay { minor, fixed, minutes } => {
                let by = fixed.map_or(String::new(), |wallet| format!(" by {}", WALLETS[wallet]));
                let n = self.model.payments.len() + 1;
                self.tell(format!("pay p{n} {}{by} for {minutes}m", spelt(minor)));
                self.model.pay(minor, fixed, duration(&format!("{minutes}m")), self.world.now);
            }
            Op::Choose { payment, wallet } => {
                let Some(p) = self.pick_payment(payment) else { return };
                if self.model.payments[p].attempts.len() >= 20 {
                    return;
                }
                let possible = self.model.choose(p, wallet, self.world.now);
                let outcome = self.tell(format!("choose p{} {}", p + 1, WALLETS[wallet]));
                assert_eq!(outcome.starts_with("refused"), !possible, "{outcome}");
            }
            Op::Cancel { payment } => {
                let Some(p) = self.pick_payment(payment) else { return };
                self.tell(format!("cancel p{}", p + 1));
                self.model.cancel(p);
            }
            Op::Wait { seconds } => {
                self.tell(format!("wait {seconds}s"));
                self.model.time_passes(self.world.now);
            }
            Op::Sync { payment } => {
                let Some(p) = self.pick_payment(payment) else { return };
                self.tell(format!("sync p{}", p + 1));
            }
            Op::Begin { attempt } => {
                let Some((p, a)) = self.pick_attempt(attempt, true) else { return };
                if self.out.iter().any(|(q, b, _)| (*q, *b) == (p, a)) {
                    return;
                }
                let name = attempt_name(p, a);
                self.out.push((p, a, self.world.attempt(&name).step));
                self.tell(format!("begin {name}"));
            }
            Op::Answer { attempt, word } => self.answer(attempt, word),
            Op::Notify { attempt, word } => {
                let Some((p, a)) = self.pick_attempt(attempt, false) else { return };
                self.tell(format!("notify {} {}", attempt_name(p, a), self.spoken(p, word)));
                self.model.hear(p, a, word, None);
            }
            Op::Refund { payment, part } => {
                let Some(p) = self.pick_payment(payment) else { return };
                if self.model.payments[p].refunds.len() >= 50 {
                    return;
                }
                let amount = part.map(|part| self.model.payments[p].amount * part / 1_000);
                let words = amount.map_or(String::new(), |minor| format!(" {}", spelt(minor)));
                let accepted = self.model.refund(p, amount);
                let outcome = self.tell(format!("refund r p{}{words}", p + 1));
                assert_eq!(outcome, if accepted { "pending" } else { outcome.as_str() });
                assert_eq!(outcome.starts_with("refused"), !accepted, "{outcome}");
            }
            Op::AnswerRefund { refund, word } => {
                let Some((p, r)) = self.pick_refund(refund, true) else { return };
                let name = refund_name(p, r);
                let asked = self.world.refund_record(&name).step;
                self.tell(format!("answer {name} {}", self.spoken_of_refund(p, r, word)));
                self.model.time_passes(self.world.now);
                self.model.hear_refund(p, r, word, Some(asked));
            }
            Op::NotifyRefund { refund, word } => {
                let Some((p, r)) = self.pick_refund(refund, false) else { return };
                self.tell(format!("notify {} {}", refund_name(p, r), self.spoken_of_refund(p, r, word)));
                self.model.hear_refund(p, r, word, None);
            }
            Op::Decide { case, line, choice } => self.decide(case, line, choice),
        }
    }

    fn decide(&mut self, case: usize, line: usize, choice: Choice) {
        let all = self.model.payments.iter().enumerate();
        let all: Vec<_> = all.flat_map(|(p, payment)| (0..payment.cases.len()).map(move |c| (p, c))).collect();
        if all.is_empty() {
            return;
        }
        let (p, c) = all[case % all.len()];
        if self.model.payments[p].refunds.len() >= 50 {
            return;
        }
        let line = line % self.model.payments[p].cases[c].lines.len();
        let word = match choice {
            Choice::Book => "book",
            Choice::GiveBack => "give_back",
            Choice::Elsewhere => "elsewhere",
            Choice::Close => "close",
        };
        let possible = self.model.decide(p, c, line, choice);
        let outcome = self.tell(format!("decide p{}.c{} {word} line {}", p + 1, c + 1, line + 1));
        assert_eq!(!outcome.starts_with("refused"), possible, "{outcome}");
    }

    /// The answer to a question that is out, or to one that is due, asked at its time.
    fn answer(&mut self, index: usize, word: Word) {
        let out = (!self.out.is_empty() && index.is_multiple_of(2)).then(|| index % self.out.len());
        let (p, a, asked) = match out {
            Some(i) => self.out.remove(i),
            None => {
                let Some((p, a)) = self.pick_attempt(index, true) else { return };
                if self.out.iter().any(|(q, b, _)| (*q, *b) == (p, a)) {
                    return;
                }
                let name = attempt_name(p, a);
                let due = self.world.attempt(&name).follow_up.unwrap();
                self.world.wait_until(due);
                (p, a, self.world.attempt(&name).step)
            }
        };
        self.model.time_passes(self.world.now);
        self.tell(format!("answer {} {}", attempt_name(p, a), self.spoken(p, word)));
        self.model.hear(p, a, word, Some(asked));
    }

    fn spoken(&self, p: usize, word: Word) -> String {
        match word {
            Word::Accepted => "accepted".to_owned(),
            Word::NotPaid => "not_paid".to_owned(),
            Word::Paid { off_by, transaction, stranger } => {
                let amount = spelt(self.model.payments[p].amount + off_by);
                format!("paid {amount} as t{transaction}{}", if stranger { " by stranger" } else { "" })
            }
            Word::Closed => "closed".to_owned(),
            Word::Declined => "declined".to_owned(),
            Word::NotFound => "not_found".to_owned(),
            Word::Refused => "refused".to_owned(),
            Word::Unknown => "unknown".to_owned(),
        }
    }

    fn spoken_of_refund(&self, p: usize, r: usize, word: RefundWord) -> String {
        match word {
            RefundWord::Processing => "processing".to_owned(),
            RefundWord::Succeeded { off_by } => {
                format!("succeeded {}", spelt(self.model.payments[p].refunds[r].amount + off_by))
            }
            RefundWord::Failed => "failed".to_owned(),
            RefundWord::NotFound => "not_found".to_owned(),
            RefundWord::Refused => "refused".to_owned(),
            RefundWord::Unknown => "unknown".to_owned(),
        }
    }

    fn assert_agree(&mut self) {
        let line = self.story.last().cloned().unwrap_or_default();
        self.world.assert_sound(&line);
        assert_eq!(self.held(), self.model.books(), "the books after {line:?}");
        for (p, expected) in self.model.payments.iter().enumerate() {
            let name = format!("p{}", p + 1);
            let reasonless = self.world.shows(&name).replace(&reason(&self.world, &name), "");
            assert_eq!(reasonless, expected.shows(self.policy), "{name} after {line:?}");
            assert_eq!(self.world.events(&name), expected.events.join(", "), "events of {name} after {line:?}");
            let cases = self.world.cases(&name);
            let count = if cases == "none" { 0 } else { cases.split(", ").count() };
            assert_eq!(count, expected.cases.len(), "{cases} of {name} after {line:?}: {:?}", expected.cases);
            assert_eq!(self.world.payment(&name).attempts.len(), expected.attempts.len(), "attempts of {name}");
        }
    }

    /// In the order of [`Model::books`].
    fn held(&self) -> [i128; 6] {
        let mut held = [0i128; 6];
        let rows = self.world.read(|tx| tx.scan(&BALANCES, &Span::prefix(&SCOPE), Order::Ascending, 10_000));
        for ((_, _, account), balance) in rows {
            let code = Account::from_bytes(account).unwrap().code();
            let minor = i128::try_from(balance.of(code).unwrap()).unwrap();
            let (place, minor) = match code {
                AccountCode::ChannelReceivable => (0, minor),
                AccountCode::MerchantPending | AccountCode::MerchantAvailable => (1, minor),
                AccountCode::OwedByMerchant => (1, -minor),
                AccountCode::RefundInTransit => (2, minor),
                AccountCode::SuspenseLong => (3, minor),
                AccountCode::FeeIncome => (4, minor),
                AccountCode::Equity => (5, minor),
                other => panic!("nothing here touches {other:?}"),
            };
            held[place] += minor;
        }
        held
    }
}

fn reason(world: &World, name: &str) -> String {
    world.payment(name).reason.map_or(" (none)".to_owned(), |reason| format!(" {}", reason.code()))
}

fn attempt_name(p: usize, a: usize) -> String {
    format!("p{}/{}", p + 1, a + 1)
}

fn refund_name(p: usize, r: usize) -> String {
    format!("p{}.r{}", p + 1, r + 1)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn the_gateway_agrees_with_the_plain_model_in_any_story(
        policy in policy(),
        ops in proptest::collection::vec(op(), 1..60),
    ) {
        let mut pair = Pair::new(policy);
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for op in ops {
                pair.take(op);
                pair.assert_agree();
            }
        }));
        if let Err(panic) = told {
            let why = panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "it panicked".to_owned());
            return Err(TestCaseError::fail(format!("{why}\n{}", pair.story.join("\n"))));
        }
    }
}
