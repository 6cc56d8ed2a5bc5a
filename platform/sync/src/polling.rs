//! How often repositories are asked, while they answer and while they do not.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use seaway_git::RepositoryUrl;

/// A repository that does not answer is asked once in so many intervals, in the end.
const MOST_INTERVALS: u32 = 4;

/// How long to wait before a repository is asked again, which has failed so many times. `jitter` is of 0 to 1: many
/// repositories on one server are not asked all at once.
pub(crate) fn pause(interval: Duration, failures: u32, jitter: f64) -> Duration {
    let intervals = 1_u32.checked_shl(failures).unwrap_or(MOST_INTERVALS).min(MOST_INTERVALS);
    interval.saturating_mul(intervals).mul_f64(0.8 + 0.4 * jitter)
}

/// How long to wait before a repository is asked whose server answers again: all those that waited for it are asked
/// within an interval.
pub(crate) fn return_pause(interval: Duration, jitter: f64) -> Duration {
    interval.mul_f64(jitter)
}

/// Servers that do not answer: one of their repositories is asked in an interval, for all of them.
#[derive(Default)]
pub(crate) struct SilentServers {
    asked: HashMap<String, Instant>,
}

impl SilentServers {
    /// Whether a repository may be asked, whose server is silent. It is the one of its server, then.
    pub(crate) fn may_ask(&mut self, repository: &RepositoryUrl, now: Instant, interval: Duration) -> bool {
        // What is older does not count any more.
        self.asked.retain(|_, asked| now.saturating_duration_since(*asked) < interval);
        if self.asked.contains_key(&repository.origin()) {
            return false;
        }
        self.asked.insert(repository.origin(), now);
        true
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    #[test]
    fn what_does_not_answer_is_asked_less_often_and_never_less_than_once_in_four_intervals() {
        let intervals = |failures| pause(INTERVAL, failures, 0.5).as_secs_f64() / INTERVAL.as_secs_f64();
        let pauses: Vec<u32> =
            [0, 1, 2, 3, 40, u32::MAX].map(|failures| intervals(failures).round() as u32).into();
        assert_eq!(pauses, [1, 2, 4, 4, 4, 4]);
        assert!(pause(INTERVAL, 9, 1.0) <= INTERVAL * 5);
    }

    #[test]
    fn no_two_are_asked_at_once() {
        assert!(pause(INTERVAL, 0, 0.0) < pause(INTERVAL, 0, 0.1));
        assert!(return_pause(INTERVAL, 0.1) < return_pause(INTERVAL, 0.2));
        assert!(return_pause(INTERVAL, 1.0) <= INTERVAL);
    }

    #[test]
    fn one_repository_of_a_silent_server_is_asked_in_an_interval() {
        let [one, two, other] = ["https://a/1", "https://a/2", "https://b/1"].map(|url| url.parse().unwrap());
        let (mut servers, begin) = (SilentServers::default(), Instant::now());
        let mut may_ask =
            |url: &RepositoryUrl, after: Duration| servers.may_ask(url, begin + after, INTERVAL);
        assert!(may_ask(&one, Duration::ZERO));
        assert!(!may_ask(&two, Duration::from_secs(29)) && may_ask(&other, Duration::from_secs(29)));
        assert!(may_ask(&two, INTERVAL) && !may_ask(&one, INTERVAL));
        // One alone is never in its own way.
        assert!(pause(INTERVAL, 1, 0.0) > INTERVAL);
    }
}
