//! What slows down guessing: after some attempts each further one has to wait, twice as long as the one before.
//!
//! It is kept in memory alone. The longest wait is short enough that nobody can lock out somebody else for long by
//! guessing at his account, and long enough that guessing a password of twelve characters leads nowhere.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(60);
/// After this time without an attempt all is forgotten.
const FORGOTTEN: SignedDuration = SignedDuration::from_mins(15);
/// As much is remembered at most.
const REMEMBERED: usize = 10_000;

/// Whose attempts are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// Those at this account, whether it exists or not.
    Account(String),
    /// Logins from this address.
    Address(IpAddr),
    /// Logins from this address that ask a provider for something.
    External(IpAddr),
    /// Attempts from this address at a code: that of the first account, or of an invitation.
    Setup(IpAddr),
}

impl Key {
    /// Attempts without a wait.
    fn free(&self) -> u32 {
        match self {
            Self::Account(_) => 5,
            Self::Setup(_) => 10,
            // Several people can have one address.
            Self::Address(_) | Self::External(_) => 20,
        }
    }

    /// Whoever has one IPv6 address has all of its network.
    fn normal(&self) -> Self {
        let network = |address: &IpAddr| match address.to_canonical() {
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
            v4 => v4,
        };
        match self {
            Self::Account(name) => Self::Account(name.clone()),
            Self::Address(address) => Self::Address(network(address)),
            Self::Setup(address) => Self::Setup(network(address)),
            Self::External(address) => Self::External(network(address)),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Made {
    count: u32,
    last: Timestamp,
}

impl Made {
    fn wait(self, free: u32, now: Timestamp) -> Duration {
        let Some(beyond) = self.count.checked_sub(free) else { return Duration::ZERO };
        let wait = Duration::from_secs(1 << beyond.min(31)).min(LONGEST);
        // A clock that was set back makes nobody wait for longer.
        wait.saturating_sub(now.duration_since(self.last).try_into().unwrap_or_default())
    }
}

/// The attempts of the last minutes.
#[derive(Default)]
pub(super) struct Attempts(Mutex<HashMap<Key, Made>>);

impl Attempts {
    /// Counts an attempt, before it is known how it ends: many at once are not more than many after each other.
    ///
    /// # Errors
    /// How long to wait. Such an attempt is not counted.
    pub(super) fn begin(&self, keys: &[Key], now: Timestamp) -> Result<(), Duration> {
        let mut made = self.0.lock();
        let keys: Vec<Key> = keys.iter().map(Key::normal).collect();
        let forgotten = |made: &Made| now.duration_since(made.last) >= FORGOTTEN;
        let wait = |key: &Key| made.get(key).map_or(Duration::ZERO, |made| made.wait(key.free(), now));
        match keys.iter().map(wait).max() {
            Some(wait) if !wait.is_zero() => return Err(wait),
            _ => {}
        }
        for key in keys {
            if made.len() >= REMEMBERED && !made.contains_key(&key) {
                made.retain(|_, made| !forgotten(made));
                let oldest = made.iter().min_by_key(|(_, made)| made.last).map(|(key, _)| key.clone());
                if let Some(oldest) = oldest.filter(|_| made.len() >= REMEMBERED) {
                    made.remove(&oldest);
                }
            }
            let one = made.entry(key).or_insert(Made { count: 0, last: now });
            let count = if forgotten(one) { 0 } else { one.count };
            *one = Made { count: count.saturating_add(1), last: now };
        }
        Ok(())
    }

    /// Takes an attempt back: it was none at guessing.
    pub(super) fn refund(&self, keys: &[Key]) {
        let mut made = self.0.lock();
        for key in keys.iter().map(Key::normal) {
            if let Some(one) = made.get_mut(&key) {
                one.count = one.count.saturating_sub(1);
                if one.count == 0 {
                    made.remove(&key);
                }
            }
        }
    }

    /// Begins anew.
    pub(super) fn forget(&self, key: &Key) {
        self.0.lock().remove(&key.normal());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn jane() -> [Key; 1] {
        [Key::Account("jane".into())]
    }

    #[test]
    fn each_wait_is_twice_as_long_up_to_a_minute() {
        let attempts = Attempts::default();
        for _ in 0..5 {
            attempts.begin(&jane(), at(0)).unwrap();
        }
        let mut now = 0;
        for expected in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            let wait = attempts.begin(&jane(), at(now)).unwrap_err();
            assert_eq!(wait, Duration::from_secs(expected));
            let almost = attempts.begin(&jane(), at(now + i64::try_from(expected).unwrap() - 1));
            assert_eq!(almost, Err(Duration::from_secs(1)));
            now += i64::try_from(expected).unwrap();
            attempts.begin(&jane(), at(now)).unwrap();
        }
        attempts.begin(&jane(), at(now + 15 * 60)).unwrap();
        attempts.begin(&jane(), at(now + 15 * 60)).unwrap();
    }

    #[test]
    fn whoever_gets_in_begins_anew_and_others_do_not_wait() {
        let attempts = Attempts::default();
        for _ in 0..5 {
            attempts.begin(&jane(), at(0)).unwrap();
        }
        attempts.begin(&[Key::Account("john".into())], at(0)).unwrap();
        assert!(attempts.begin(&jane(), at(0)).is_err());
        attempts.forget(&jane()[0]);
        attempts.begin(&jane(), at(0)).unwrap();
        attempts.refund(&jane());
        assert!(!attempts.0.lock().contains_key(&jane()[0]));
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nobody_wait_longer() {
        let attempts = Attempts::default();
        for _ in 0..5 {
            attempts.begin(&jane(), at(1_000)).unwrap();
        }
        assert_eq!(attempts.begin(&jane(), at(0)), Err(Duration::from_secs(1)));
    }

    #[test]
    fn an_address_stands_for_its_network() {
        let attempts = Attempts::default();
        let key = |text: &str| [Key::Setup(text.parse().unwrap())];
        for host in 0..10 {
            attempts.begin(&key(&format!("2001:db8::{host}")), at(0)).unwrap();
        }
        assert!(attempts.begin(&key("2001:db8::ffff"), at(0)).is_err());
        attempts.begin(&key("2001:db8:0:1::1"), at(0)).unwrap();
        for _ in 0..5 {
            attempts.begin(&key("127.0.0.1"), at(0)).unwrap();
            attempts.begin(&key("::ffff:127.0.0.1"), at(0)).unwrap();
        }
        assert!(attempts.begin(&key("127.0.0.1"), at(0)).is_err());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let attempts = Attempts::default();
        let key = |n: usize| [Key::Account(format!("a{n}"))];
        for n in 0..REMEMBERED + 100 {
            attempts.begin(&key(n), at(i64::try_from(n).unwrap() / 100)).unwrap();
        }
        assert_eq!(attempts.0.lock().len(), REMEMBERED);
        assert!(attempts.0.lock().contains_key(&key(REMEMBERED + 99)[0]));
    }
}
