//! How long to wait before connecting again: exponential, with full jitter.

use std::time::Duration;

/// Doubling bounds; every wait is a random part of its bound, so that the nodes of a cluster do not come back in step.
#[derive(Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, failures: 0 }
    }

    /// The link has proved itself.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next wait; `random` is uniform in 0..1.
    pub(super) fn next(&mut self, random: f64) -> Duration {
        let bound = self.min.saturating_mul(1 << self.failures.min(20)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_bound_and_starts_again_after_a_reset() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        let bounds: Vec<u128> = (0..7).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(bounds, [100, 200, 400, 800, 1600, 2000, 2000]);
        for _ in 0..100 {
            assert!(backoff.next(1.0) <= Duration::from_secs(2));
        }
        backoff.reset();
        assert_eq!(backoff.next(0.5).as_millis(), 50);
        assert_eq!(backoff.next(0.0), Duration::ZERO);
    }
}
