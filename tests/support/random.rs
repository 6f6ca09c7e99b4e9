//! Random numbers that can be had again: the seed is printed, and may be given.

use std::time::{SystemTime, UNIX_EPOCH};

/// A small generator (`SplitMix64`).
pub struct Random(u64);

impl Random {
    /// From the variable `EXPORTJOB_SEED`, else from the clock. Prints the seed.
    pub fn from_environment() -> Self {
        let given = std::env::var("EXPORTJOB_SEED")
            .ok()
            .map(|seed| seed.parse().expect("EXPORTJOB_SEED is a number"));
        let clock = || {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |time| u64::from(time.subsec_nanos()))
        };
        let seed = given.unwrap_or_else(clock);
        println!("EXPORTJOB_SEED={seed}");
        Self(seed)
    }

    /// A number from 0 to `bound - 1`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
