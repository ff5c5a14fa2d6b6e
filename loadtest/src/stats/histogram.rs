//! Latencies in logarithmic buckets.

use std::time::Duration;

use serde::Serialize;

/// Buckets per power of two: values are known to 1/64, 1.6 %.
const STEPS: u64 = 64;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Values up to 2⁴² ns, more than an hour; longer ones count as that.
const BITS: u32 = 42;

/// How often each latency occurred. Recording costs a few nanoseconds and never allocates.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    sum: u128,
    max: u64,
}

/// A distribution in six numbers, in microseconds.
#[derive(Copy, Clone, PartialEq, Debug, Serialize)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// The arithmetic mean.
    pub mean_us: f64,
    /// Half are not above it.
    pub p50_us: f64,
    /// Nine of ten are not above it.
    pub p90_us: f64,
    /// 99 of 100 are not above it.
    pub p99_us: f64,
    /// The longest.
    pub max_us: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        let last = Self::bucket((1 << BITS) - 1);
        Self { buckets: vec![0; last + 1], count: 0, sum: 0, max: 0 }
    }
}

impl Histogram {
    /// The bucket of a value: exact below 128, then 64 buckets for each power of two.
    fn bucket(nanos: u64) -> usize {
        let nanos = nanos.min((1 << BITS) - 1);
        let shift = (nanos | STEPS).ilog2() - STEP_BITS;
        ((u64::from(shift) << STEP_BITS) + (nanos >> shift)) as usize
    }

    /// The largest value of a bucket, in nanoseconds.
    fn upper(bucket: usize) -> u64 {
        let bucket = bucket as u64;
        if bucket < 2 * STEPS {
            return bucket;
        }
        let shift = (bucket >> STEP_BITS) - 1;
        let step = bucket - (shift << STEP_BITS);
        ((step + 1) << shift) - 1
    }

    /// Adds one latency.
    #[inline]
    pub fn record(&mut self, latency: Duration) {
        let nanos =
            latency.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(latency.subsec_nanos()));
        self.buckets[Self::bucket(nanos)] += 1;
        self.count += 1;
        self.sum += u128::from(nanos);
        self.max = self.max.max(nanos);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.buckets.fill(0);
        self.count = 0;
        self.sum = 0;
        self.max = 0;
    }

    /// How many were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The value that a share of `quantile` (0 to 1) of the latencies do not exceed; never above the maximum.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Duration {
        let wanted = ((self.count as f64 * quantile).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (bucket, &count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(Self::upper(bucket).min(self.max));
            }
        }
        Duration::from_nanos(self.max)
    }

    /// The summary; `None` when nothing was recorded.
    #[must_use]
    pub fn summary(&self) -> Option<Latency> {
        let us = |duration: Duration| (duration.as_nanos() as f64) / 1e3;
        (self.count > 0).then(|| Latency {
            count: self.count,
            mean_us: self.sum as f64 / self.count as f64 / 1e3,
            p50_us: us(self.quantile(0.5)),
            p90_us: us(self.quantile(0.9)),
            p99_us: us(self.quantile(0.99)),
            max_us: self.max as f64 / 1e3,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_buckets_are_narrow() {
        for value in (0..2000).chain((0..41).flat_map(|bit| [(1 << bit) - 1, 1 << bit])) {
            let bucket = Histogram::bucket(value);
            let upper = Histogram::upper(bucket);
            assert!(upper >= value, "{value} above {upper}");
            assert!(upper - value <= value / STEPS, "{value} far below {upper}");
            assert_eq!(Histogram::bucket(upper + 1), bucket + 1, "no gap after {upper}");
        }
    }

    #[test]
    fn quantiles_of_a_uniform_distribution() {
        let mut histogram = Histogram::default();
        assert!(histogram.summary().is_none());
        for us in 1..=1000 {
            histogram.record(Duration::from_micros(us));
        }
        let summary = histogram.summary().expect("recorded");
        for (found, expected) in [(summary.p50_us, 500.0), (summary.p90_us, 900.0), (summary.p99_us, 990.0)] {
            assert!((found / expected - 1.0).abs() < 0.02, "{found} for {expected}");
        }
        assert_eq!((summary.max_us, summary.count), (1000.0, 1000));
        histogram.clear();
        assert_eq!(histogram.count(), 0);
    }

    #[test]
    fn endless_latencies_are_kept_as_the_longest() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::MAX);
        assert_eq!(histogram.count(), 1);
        assert!(histogram.quantile(0.5) > Duration::from_secs(3600));
    }
}
