//! What adapters are tried with, whichever provider they speak to.

use coffer::channels::{ChannelError, Observation};
use coffer::sandbox::provider::fault::Fault;

/// Faults of answers that end after some, but for the one that keeps everybody waiting.
pub const TROUBLED: [Fault; 7] = [
    Fault::Throttle,
    Fault::AnswerError,
    Fault::AnswerErrorAfterDoing,
    Fault::AnswerCut,
    Fault::AnswerRubbish,
    Fault::AnswerUnsigned,
    Fault::AnswerTampered,
];

/// Nothing was learned.
pub fn is_unknown(heard: &Result<Observation, ChannelError>) -> bool {
    matches!(
        heard,
        Ok(Observation::Unknown { .. }) | Err(ChannelError::NotGenuine { .. } | ChannelError::Malformed { .. })
    )
}
