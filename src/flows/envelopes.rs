//! Where a refund goes that a person has just said: kept in memory until the channel has heard it, and nowhere else.
//!
//! A card's number and its holder's name are never stored, so a crash loses them, and the person is asked again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::channels::RefundTarget;
use crate::domain::time::{Duration, Timestamp};

/// How long something is kept that nobody sends: a second person may have to agree first.
pub const KEPT_FOR: Duration = Duration::from_hours(2);
/// Kept at once; the oldest makes room.
const KEPT_MAX: usize = 200;

/// What waits to be sent, by the name that its decision has for it.
#[derive(Clone, Default)]
pub struct Envelopes(Arc<Mutex<Kept>>);

/// Each with the time when it was typed.
type Kept = BTreeMap<[u8; 16], (Timestamp, RefundTarget)>;

impl Envelopes {
    /// Keeps what was typed first under a name: whoever compared it may rely on it.
    pub fn keep(&self, token: [u8; 16], target: RefundTarget, now: Timestamp) {
        let mut kept = self.fresh(now);
        if kept.contains_key(&token) {
            return;
        }
        if kept.len() >= KEPT_MAX
            && let Some(oldest) = kept.iter().min_by_key(|(_, (at, _))| *at).map(|(token, _)| *token)
        {
            kept.remove(&oldest);
        }
        kept.insert(token, (now, target));
    }

    /// Takes it out: what is sent once is not there to be sent again.
    pub fn take(&self, token: [u8; 16], now: Timestamp) -> Option<RefundTarget> {
        self.fresh(now).remove(&token).map(|(_, target)| target)
    }

    /// Whether this card was typed before under the same name; `None` when that one is not kept any more.
    pub fn is_card(&self, token: [u8; 16], typed: &crate::crypto::Secret, now: Timestamp) -> Option<bool> {
        match self.fresh(now).get(&token)?.1 {
            RefundTarget::CustomerCard { ref card_no, .. } => Some(card_no == typed),
            RefundTarget::Merchant => Some(false),
        }
    }

    /// What is not too old. A clock that was set back makes nothing older.
    fn fresh(&self, now: Timestamp) -> MutexGuard<'_, Kept> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (at, _)| now.since(*at) < KEPT_FOR);
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Secret;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn card(number: &str) -> RefundTarget {
        let secret = |text: &str| Secret::from(text.to_owned());
        RefundTarget::CustomerCard { bank: "CMB_DEBIT".to_owned(), card_no: secret(number), holder: secret("张三") }
    }

    #[test]
    fn what_is_taken_is_gone_and_what_nobody_takes_is_forgotten() {
        let envelopes = Envelopes::default();
        envelopes.keep([1; 16], card("6225881234567890"), NOW);
        assert_eq!(envelopes.is_card([1; 16], &Secret::from("6225881234567891".to_owned()), NOW), Some(false));
        assert_eq!(envelopes.is_card([1; 16], &Secret::from("6225881234567890".to_owned()), NOW), Some(true));
        assert_eq!(envelopes.take([2; 16], NOW), None, "another decision's");
        assert_eq!(envelopes.take([1; 16], NOW), Some(card("6225881234567890")));
        assert_eq!(envelopes.take([1; 16], NOW), None, "it is sent once");
        envelopes.keep([1; 16], card("6225881234567890"), NOW);
        assert_eq!(envelopes.take([1; 16], NOW.plus(KEPT_FOR)), None);
    }

    #[test]
    fn there_is_room_for_so_many_and_the_oldest_goes() {
        let envelopes = Envelopes::default();
        for i in 0..=KEPT_MAX {
            let mut token = [0; 16];
            token[..8].copy_from_slice(&(i as u64).to_be_bytes());
            envelopes.keep(token, RefundTarget::Merchant, NOW.plus(Duration::from_millis(i as u64)));
        }
        assert_eq!(envelopes.take([0; 16], NOW.plus(Duration::from_seconds(1))), None);
        assert_eq!(envelopes.fresh(NOW).len(), KEPT_MAX);
    }
}
