//! What went wrong between us and a channel, as attempts, refunds and stories keep it: its kind, who said it, the
//! provider's code, and the words as they came.
//!
//! What it means for people is looked up when it is shown (`channels::errors::explain`), so that a better sentence also
//! serves what is old.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::merchant::ChannelKind;

macro_rules! trouble_kinds {
    ($($(#[doc = $doc:literal])+ $name:ident $code:literal,)*) => {
        /// What went wrong. Words are append-only and never renamed: they are stored, and shops see them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum TroubleKind { $($(#[doc = $doc])+ $name,)* }

        impl TroubleKind {
            pub const ALL: &[TroubleKind] = &[$(TroubleKind::$name,)*];

            pub const fn code(self) -> &'static str {
                match self { $(TroubleKind::$name => $code,)* }
            }
        }
    };
}

trouble_kinds! {
    /// The provider said it, with a code or in words.
    Told "told",
    /// The order does not fit the provider's rules, so nothing was sent.
    Unfit "unfit",
    /// The stored credentials cannot be used, or the provider does not accept them.
    Credentials "credentials",
    /// A signature, certificate or encryption is wrong, or the message is about something else.
    NotGenuine "not_genuine",
    /// Signed with a key that is not known here.
    UnknownKey "unknown_key",
    /// Genuine, and not understood.
    Unreadable "unreadable",
    /// The provider does not do this.
    Unsupported "unsupported",
    /// Something in between answered, without the provider's words.
    NoWords "no_words",
    /// No connection came about, so nothing arrived.
    Unreachable "unreachable",
    /// It was sent, and no whole answer came in time.
    NoAnswer "no_answer",
    /// The channel account cannot be opened here.
    NoAccount "no_account",
    /// The time in which the provider does this is over, so nothing was sent.
    TooLate "too_late",
    /// The bank card that a refund was to go to is not known any more, so nothing was sent.
    NoCard "no_card",
    /// A genuine message about an order or refund that this account does not have.
    Stranger "stranger",
}

/// Kept as one line of text, `kind|channel|code|words`. What was kept before there were kinds is words alone, and reads as
/// something the provider said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Trouble {
    pub kind: TroubleKind,
    pub channel: Option<ChannelKind>,
    /// The provider's own word for it.
    pub code: Option<String>,
    /// The provider's sentence as it came, or ours for engineers. Cut to a line; never the only thing that people see.
    pub words: String,
}

/// Between the parts of the text.
const MARK: char = '|';

impl Trouble {
    pub fn new(kind: TroubleKind, words: impl AsRef<str>) -> Self {
        let words = words.as_ref().chars().filter(|c| !c.is_control()).collect();
        Self { kind, channel: None, code: None, words }
    }

    /// Code and words, for small print behind the sentence.
    pub fn raw(&self) -> String {
        match &self.code {
            Some(code) if self.words.is_empty() => code.clone(),
            Some(code) if !self.words.contains(code.as_str()) => format!("{code} · {}", self.words),
            Some(_) | None => self.words.clone(),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Trouble { kind: TroubleKind::Told, channel: None, code: None, words } = self {
            return f.write_str(words);
        }
        let channel = self.channel.map_or("", ChannelKind::code);
        let code = self.code.as_deref().unwrap_or("");
        write!(f, "{}{MARK}{channel}{MARK}{code}{MARK}{}", self.kind.code(), self.words)
    }
}

impl From<Trouble> for String {
    fn from(trouble: Trouble) -> Self {
        trouble.to_string()
    }
}

impl From<String> for Trouble {
    fn from(text: String) -> Self {
        // One spelling for each: what we would write otherwise is words.
        let known = read(&text).filter(|trouble| trouble.to_string() == text);
        known.unwrap_or(Self { kind: TroubleKind::Told, channel: None, code: None, words: text })
    }
}

impl From<&str> for Trouble {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

fn read(text: &str) -> Option<Trouble> {
    let mut parts = text.splitn(4, MARK);
    let [kind, channel, code, words] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    let kind = TroubleKind::ALL.iter().copied().find(|known| known.code() == kind)?;
    let channel = match channel {
        "" => None,
        named => Some(ChannelKind::ALL.into_iter().find(|known| known.code() == named)?),
    };
    let code = Some(code).filter(|code| !code.is_empty()).map(str::to_owned);
    Some(Trouble { kind, channel, code, words: words.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(text: &str) -> Trouble {
        let trouble = Trouble::from(text);
        assert_eq!(trouble.to_string(), text, "one spelling");
        trouble
    }

    #[test]
    fn what_is_kept_reads_as_it_was_written() {
        let trouble = Trouble {
            kind: TroubleKind::Credentials,
            channel: Some(ChannelKind::WechatPay),
            code: Some("SIGN_ERROR".to_owned()),
            words: "签名|错误".to_owned(),
        };
        assert_eq!(same("credentials|wechatpay|SIGN_ERROR|签名|错误"), trouble);
        assert_eq!(same("no_answer|||").kind, TroubleKind::NoAnswer);
    }

    #[test]
    fn what_was_kept_before_there_were_kinds_is_words_of_the_provider() {
        for text in ["余额不足", "", "told", "a|b", "unheard|wechatpay|X|y", "told|nobody|X|y", "told|||y"] {
            let trouble = same(text);
            assert_eq!(
                (trouble.kind, trouble.code.as_deref(), trouble.words.as_str()),
                (TroubleKind::Told, None, text)
            );
        }
    }

    #[test]
    fn small_print_names_the_code_once() {
        let of = |text: &str| Trouble::from(text).raw();
        assert_eq!(of("told|wechatpay|NOT_ENOUGH|余额不足"), "NOT_ENOUGH · 余额不足");
        assert_eq!(of("told|unionpay|64|64 余额不足"), "64 余额不足");
        assert_eq!(of("told|unionpay|64|"), "64");
        assert_eq!(of("no_words|||HTTP 502"), "HTTP 502");
    }
}
