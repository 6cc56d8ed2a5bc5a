//! Quantiles of a histogram.

use super::{BOUNDS, BUCKETS};

/// The latency in milliseconds below which this part of the requests was answered, as Prometheus' `histogram_quantile`
/// says it: even within a bucket, and the highest bound for what is above all. `None`: there are no requests.
pub(crate) fn quantile(buckets: &[u64; BUCKETS], part: f64) -> Option<f64> {
    let total: u64 = buckets.iter().sum();
    if total == 0 {
        return None;
    }
    // Counts of requests are far below what a float says exactly.
    #[allow(clippy::cast_precision_loss)]
    let as_float = |count: u64| count as f64;
    let rank = part * as_float(total);
    let mut below = 0;
    for (index, count) in buckets.iter().enumerate() {
        if *count > 0 && as_float(below + count) >= rank {
            let from = if index == 0 { 0.0 } else { BOUNDS[index - 1] };
            let to = BOUNDS.get(index).copied().unwrap_or(from);
            let within = (rank - as_float(below)).max(0.0) / as_float(*count);
            return Some((from + (to - from) * within) * 1000.0);
        }
        below += count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        let mut buckets = [0; BUCKETS];
        assert_eq!(quantile(&buckets, 0.5), None);
        buckets[3] = 90; // 5 to 10 ms
        buckets[6] = 10; // 50 to 100 ms
        assert_eq!(quantile(&buckets, 0.45).map(f64::round), Some(8.0));
        assert_eq!(quantile(&buckets, 0.9).map(f64::round), Some(10.0));
        assert_eq!(quantile(&buckets, 0.95).map(f64::round), Some(75.0));
        assert_eq!(quantile(&buckets, 1.0).map(f64::round), Some(100.0));
    }

    #[test]
    fn what_is_above_all_bounds_is_told_as_the_highest() {
        let mut buckets = [0; BUCKETS];
        buckets[BUCKETS - 1] = 1;
        assert_eq!(quantile(&buckets, 0.5), Some(10_000.0));
    }
}
