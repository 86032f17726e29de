//! Repeatable randomness: the same seed tells the same story. Nothing secret comes from here.

/// SplitMix64. Source: Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// `stream` sets dice of one seed apart, so that one day's story does not change with the length of another's.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut dice = Self(seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        dice.roll();
        dice
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.roll() % (high - low + 1)
    }

    /// True in so many of a thousand throws.
    pub fn permille(&mut self, chances: u64) -> bool {
        self.roll() % 1000 < chances
    }

    /// The place of one of the weights, each as likely as it is heavy.
    pub fn weighted(&mut self, weights: impl IntoIterator<Item = u64, IntoIter: Clone>) -> usize {
        let weights = weights.into_iter();
        let mut left = self.roll() % weights.clone().sum::<u64>().max(1);
        weights
            .enumerate()
            .find(|(_, weight)| {
                let hit = left < *weight;
                left = left.saturating_sub(*weight);
                hit
            })
            .map_or(0, |(place, _)| place)
    }

    pub fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.weighted(from.iter().map(|_| 1))]
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.roll().to_be_bytes()[..chunk.len()]);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_kept_and_what_weighs_nothing_never_comes() {
        let mut dice = Dice::new(1, 0);
        let mut seen = [0u32; 4];
        for _ in 0..10_000 {
            seen[dice.weighted([1, 0, 6, 3])] += 1;
        }
        assert_eq!(seen[1], 0);
        assert!((800..1200).contains(&seen[0]) && (5700..6300).contains(&seen[2]), "{seen:?}");
    }

    #[test]
    fn streams_of_one_seed_differ_and_repeat() {
        let first = |stream| Dice::new(7, stream).roll();
        assert_eq!(first(1), first(1));
        assert_ne!(first(1), first(2));
    }
}
