//! Which objects are to be looked at: each at most once at a time, failed ones later and later.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::cache::Key;

/// Pauses after failures double from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LAST_PAUSE: Duration = Duration::from_secs(60);

/// A set of keys with an order, delays and memory of failures.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Key>,
    /// What is in `ready`.
    queued: HashSet<Key>,
    running: HashSet<Key>,
    /// Asked for while it ran: it runs once more.
    again: HashSet<Key>,
    delayed: BTreeSet<(Instant, Key)>,
    due: HashMap<Key, Instant>,
    failures: HashMap<Key, u32>,
}

impl State {
    fn add(&mut self, key: Key) {
        if self.running.contains(&key) {
            self.again.insert(key);
        } else if self.queued.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    fn add_at(&mut self, key: Key, at: Instant) {
        match self.due.get(&key) {
            Some(earlier) if *earlier <= at => return,
            Some(later) => {
                self.delayed.remove(&(*later, key.clone()));
            }
            None => {}
        }
        self.due.insert(key.clone(), at);
        self.delayed.insert((at, key));
    }
}

impl Queue {
    /// Asks for a look as soon as possible.
    pub(crate) fn add(&self, key: Key) {
        self.state.lock().add(key);
        self.wake.notify_one();
    }

    /// Asks for a look after a while, or earlier when that was asked already.
    pub(crate) fn add_after(&self, key: Key, delay: Duration) {
        self.state.lock().add_at(key, Instant::now() + delay);
        self.wake.notify_one();
    }

    /// The next key; it counts as running until [`Queue::done`] or [`Queue::failed`].
    pub(crate) async fn next(&self) -> Key {
        loop {
            let sleep_until = {
                let mut state = self.state.lock();
                let now = Instant::now();
                while state.delayed.first().is_some_and(|(at, _)| *at <= now) {
                    if let Some((_, key)) = state.delayed.pop_first() {
                        state.due.remove(&key);
                        state.add(key);
                    }
                }
                if let Some(key) = state.ready.pop_front() {
                    state.queued.remove(&key);
                    state.running.insert(key.clone());
                    if !state.ready.is_empty() {
                        self.wake.notify_one();
                    }
                    return key;
                }
                state.delayed.first().map(|(at, _)| *at)
            };
            match sleep_until {
                None => self.wake.notified().await,
                Some(at) => {
                    let _ = tokio::time::timeout_at(at, self.wake.notified()).await;
                }
            }
        }
    }

    /// The look went well.
    pub(crate) fn done(&self, key: &Key) {
        let mut state = self.state.lock();
        state.failures.remove(key);
        self.finish(&mut state, key);
    }

    /// The look failed: another follows after a pause, which is returned.
    pub(crate) fn failed(&self, key: &Key) -> Duration {
        let mut state = self.state.lock();
        let count = state.failures.entry(key.clone()).or_insert(0);
        let pause = FIRST_PAUSE.saturating_mul(1 << (*count).min(20)).min(LAST_PAUSE);
        *count += 1;
        state.add_at(key.clone(), Instant::now() + pause);
        self.finish(&mut state, key);
        self.wake.notify_one();
        pause
    }

    fn finish(&self, state: &mut State, key: &Key) {
        state.running.remove(key);
        if state.again.remove(key) {
            state.add(key.clone());
            self.wake.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("shop", name)
    }

    #[tokio::test]
    async fn a_key_is_handed_out_once_and_again_after_it_was_asked_for_while_running() {
        let queue = Queue::default();
        queue.add(key("a"));
        queue.add(key("a"));
        queue.add(key("b"));
        assert_eq!(queue.next().await, key("a"));
        queue.add(key("a"));
        assert_eq!(queue.next().await, key("b"));
        queue.done(&key("a"));
        assert_eq!(queue.next().await, key("a"));
    }

    #[tokio::test]
    async fn failures_wait_longer_and_longer_until_one_look_goes_well() {
        let queue = Queue::default();
        let mut pauses = Vec::new();
        queue.add(key("a"));
        for _ in 0..16 {
            let next = queue.next().await;
            pauses.push(queue.failed(&next));
            // Asked for anew, it need not wait.
            queue.add(key("a"));
        }
        assert_eq!(pauses[..3], [5, 10, 20].map(Duration::from_millis));
        assert_eq!(pauses[15], LAST_PAUSE);
        let next = queue.next().await;
        queue.done(&next);
        queue.add(key("a"));
        let next = queue.next().await;
        assert_eq!(queue.failed(&next), FIRST_PAUSE);
    }

    #[tokio::test]
    async fn the_earliest_of_several_delays_counts() {
        let queue = Queue::default();
        queue.add_after(key("a"), Duration::from_secs(3600));
        queue.add_after(key("a"), Duration::from_millis(1));
        queue.add_after(key("a"), Duration::from_secs(1800));
        let next = tokio::time::timeout(Duration::from_secs(60), queue.next()).await;
        assert_eq!(next, Ok(key("a")));
    }
}
