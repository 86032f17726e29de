//! How soon an account's keys are fetched because a message was signed with one that is not known here.
//!
//! At once, because until then nothing that the provider says is believed. Never in a storm, because anybody can send
//! messages that name a key: so messages have an allowance of their own, and cannot use up that of the provider's answers.

use std::collections::VecDeque;

use crate::domain::time::{Duration, Timestamp};

/// Fetchings before their time that one allowance has within [`WINDOW`].
pub const HURRIES_MAX: usize = 4;
pub const WINDOW: Duration = Duration::from_minutes(10);
/// Between one and the next: several answers on their way name the same key.
pub const GAP: Duration = Duration::from_seconds(5);

/// Who named the unknown key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NamedBy {
    /// The provider, answering a call of ours.
    Answer,
    /// A message that anybody may have sent.
    Message,
}

/// What was granted within the last [`WINDOW`], the oldest first.
#[derive(Clone, Debug, Default)]
pub struct Allowance(VecDeque<Timestamp>);

impl Allowance {
    /// When to fetch; `None` when that was granted too often already.
    pub fn grant(&mut self, now: Timestamp) -> Option<Timestamp> {
        while self.0.front().is_some_and(|at| at.plus(WINDOW) <= now) {
            self.0.pop_front();
        }
        let last = self.0.back().copied();
        if let Some(waits) = last.filter(|last| *last > now) {
            return Some(waits);
        }
        if self.0.len() >= HURRIES_MAX {
            return None;
        }
        let at = last.map_or(now, |last| last.plus(GAP).max(now));
        self.0.push_back(at);
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    #[test]
    fn the_first_is_granted_at_once_and_a_flood_only_a_few() {
        let mut allowance = Allowance::default();
        assert_eq!(allowance.grant(NOW), Some(NOW));
        let mut granted = Vec::new();
        for second in 0..600 {
            let at = NOW.plus(Duration::from_seconds(second));
            granted.extend(allowance.grant(at).filter(|granted| *granted >= at));
        }
        granted.dedup();
        let after = |gaps: u64| NOW.plus(Duration::from_seconds(gaps * GAP.as_seconds()));
        assert_eq!(granted, [after(1), after(2), after(3)], "what waits is not granted twice");
        assert_eq!(allowance.grant(NOW.plus(WINDOW)), Some(NOW.plus(WINDOW)), "the window moves on");
    }
}
