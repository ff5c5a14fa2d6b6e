//! Medians, spreads, and whether two servers differ.

use serde::Serialize;

/// Several measurements of the same thing.
#[derive(Copy, Clone, PartialEq, Debug, Serialize)]
pub struct Spread {
    /// Half of them are not above it.
    pub median: f64,
    /// The smallest.
    pub low: f64,
    /// The largest.
    pub high: f64,
    /// How many there were.
    pub count: usize,
}

impl Spread {
    /// The spread of these values; `None` without any.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            median: median(&sorted)?,
            low: *sorted.first()?,
            high: *sorted.last()?,
            count: sorted.len(),
        })
    }
}

/// The median of sorted values.
fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 { Some(upper) } else { Some(f64::midpoint(sorted[middle - 1], upper)) }
}

/// What the ratios of a comparison say.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// A costs less than B.
    Less,
    /// A costs more than B.
    More,
    /// No difference that is both sure and larger than what is tolerated.
    Equal,
    /// Too few rounds to be sure of anything.
    Unsure,
}

impl Verdict {
    /// As it is shown in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Less => "less",
            Self::More => "more",
            Self::Equal => "equal",
            Self::Unsure => "too few rounds",
        }
    }
}

/// Two servers compared: the ratios A / B of rounds that were measured one right after the other.
///
/// Machines drift by a third within minutes, so only a ratio within one round means something. The interval is
/// the distribution-free one of the sign test: two of the sorted ratios, counted in from both ends, between which
/// the true median lies with at least 95 %.
#[derive(Copy, Clone, PartialEq, Debug, Serialize)]
pub struct Comparison {
    /// The ratios' median, smallest and largest.
    pub ratio: Spread,
    /// The interval in which the true median lies with at least 95 %; needs six rounds.
    pub interval: Option<(f64, f64)>,
    /// What it means.
    pub verdict: Verdict,
}

impl Comparison {
    /// Compares measurements that belong together by index. `tolerance`: the relative difference, say 0.05, up to
    /// which the two count as equal. `None` without any pair.
    #[must_use]
    pub fn of(a: &[f64], b: &[f64], tolerance: f64) -> Option<Self> {
        let mut ratios: Vec<f64> = a.iter().zip(b).filter(|&(_, &b)| b > 0.0).map(|(a, b)| a / b).collect();
        ratios.sort_by(f64::total_cmp);
        let ratio = Spread::of(&ratios)?;
        let interval = cut(ratios.len()).map(|cut| (ratios[cut], ratios[ratios.len() - 1 - cut]));
        let verdict = match interval {
            None => Verdict::Unsure,
            Some((_, high)) if high < 1.0 && ratio.median < 1.0 - tolerance => Verdict::Less,
            Some((low, _)) if low > 1.0 && ratio.median > 1.0 + tolerance => Verdict::More,
            Some(_) => Verdict::Equal,
        };
        Some(Self { ratio, interval, verdict })
    }
}

/// How many of `n` sorted values may be cut off at each end so that the median still lies between the rest with
/// 95 %: the largest k with 2·P(Binomial(n, ½) ≤ k) ≤ 5 %, counted from 0.
fn cut(n: usize) -> Option<usize> {
    let mut probability = 0.5f64.powi(i32::try_from(n).ok()?);
    let mut tail = 0.0;
    let mut found = None;
    for k in 0..n / 2 {
        tail += probability;
        if 2.0 * tail > 0.05 {
            break;
        }
        found = Some(k);
        probability *= (n - k) as f64 / (k + 1) as f64;
    }
    found
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn medians_of_odd_and_even_counts() {
        assert_eq!(Spread::of(&[]), None);
        let odd = Spread::of(&[3.0, 1.0, 2.0]).expect("values");
        assert_eq!((odd.median, odd.low, odd.high), (2.0, 1.0, 3.0));
        assert_eq!(Spread::of(&[4.0, 1.0]).map(|s| s.median), Some(2.5));
    }

    #[test]
    fn the_interval_is_the_one_of_the_sign_test() {
        // Tables of the sign test: 6 rounds: none may be cut, 20 rounds: 5 at each end, 25: 7.
        assert_eq!(cut(5), None);
        assert_eq!(cut(6), Some(0));
        assert_eq!(cut(20), Some(5));
        assert_eq!(cut(25), Some(7));
    }

    #[test]
    fn finds_a_slow_down_of_15_percent_in_noise_of_10_and_calls_equals_equal() {
        let mut random = StdRng::seed_from_u64(6);
        let mut wrong = 0;
        for _ in 0..200 {
            let mut noisy = |factor: f64| -> Vec<f64> {
                (0..20).map(|_| factor * random.random_range(0.9..1.1)).collect()
            };
            let (fast, also_fast, slow) = (noisy(1.0), noisy(1.0), noisy(1.15));
            let verdict = |a: &[f64], b: &[f64]| Comparison::of(a, b, 0.05).map(|c| c.verdict);
            wrong += usize::from(verdict(&slow, &fast) != Some(Verdict::More));
            wrong += usize::from(verdict(&fast, &slow) != Some(Verdict::Less));
            wrong += usize::from(verdict(&fast, &also_fast) != Some(Verdict::Equal));
        }
        assert!(wrong <= 6, "{wrong} of 600 verdicts are wrong");
    }

    #[test]
    fn few_rounds_give_a_ratio_but_no_verdict() {
        let found = Comparison::of(&[1.0, 1.1], &[2.0, 2.0], 0.05).expect("pairs");
        assert_eq!((found.verdict, found.interval), (Verdict::Unsure, None));
        assert!((found.ratio.median - 0.525).abs() < 1e-9);
        assert_eq!(Comparison::of(&[1.0], &[0.0], 0.05), None);
    }
}
