//! How long to wait after an error: longer with each error in a row, for each object on its own.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rand::Rng as _;

/// Wait after the first error.
const FIRST: Duration = Duration::from_secs(1);
/// Longest wait, before jitter.
const LONGEST: Duration = Duration::from_secs(90);

/// Consecutive errors of each object, by UID.
#[derive(Debug, Default)]
pub struct Backoff {
    errors: Mutex<HashMap<String, u32>>,
}

impl Backoff {
    /// Notes an error and says how long to wait: 1 s, doubled with each error in a row up to 90 s, and up to a quarter
    /// more at random, so that objects that failed together do not come back together.
    pub fn failed(&self, uid: &str) -> Duration {
        let count = {
            let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
            let count = errors.entry(uid.to_owned()).or_default();
            *count = count.saturating_add(1);
            *count
        };
        let delay = delay(count);
        delay + delay.mul_f64(rand::rng().random_range(0.0..0.25))
    }

    /// Forgets the errors of an object: it went well, or it is gone.
    pub fn forget(&self, uid: &str) {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

fn delay(errors: u32) -> Duration {
    let doublings = errors.saturating_sub(1).min(16);
    FIRST.saturating_mul(1 << doublings).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_are_capped() {
        let waits: Vec<u64> = (1..=9).map(|errors| delay(errors).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 90, 90]);
        assert_eq!(delay(u32::MAX), LONGEST);
    }

    #[test]
    fn each_object_has_its_own_count_and_success_clears_it() {
        let backoff = Backoff::default();
        for _ in 0..5 {
            backoff.failed("a");
        }
        assert!(backoff.failed("b") < Duration::from_secs(2), "b failed once");
        assert!(backoff.failed("a") >= Duration::from_secs(32), "a failed six times");
        backoff.forget("a");
        assert!(backoff.failed("a") < Duration::from_secs(2), "a went well");
    }
}
