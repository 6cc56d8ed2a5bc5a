//! How far a pull has come.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes of the layers that a pull has to bring, and of those that came. Filled by the pull, read by others meanwhile.
#[derive(Debug, Default)]
pub struct Progress {
    total: AtomicU64,
    received: AtomicU64,
}

impl Progress {
    /// A source is asked, perhaps after another that failed.
    pub(super) fn begin(&self, total: u64) {
        self.received.store(0, Relaxed);
        self.total.store(total, Relaxed);
    }

    pub(super) fn add(&self, bytes: u64) {
        self.received.fetch_add(bytes, Relaxed);
    }

    /// So much is here, whether it came now or was here before.
    pub(super) fn reach(&self, bytes: u64) {
        self.received.store(bytes, Relaxed);
    }

    /// Bytes that came, and of how many; `None` before that is known.
    pub fn now(&self) -> Option<(u64, u64)> {
        let total = self.total.load(Relaxed);
        (total > 0).then(|| (self.received.load(Relaxed).min(total), total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_exceeds_what_there_is() {
        let progress = Progress::default();
        assert_eq!(progress.now(), None);
        progress.begin(100);
        progress.add(30);
        assert_eq!(progress.now(), Some((30, 100)));
        progress.reach(60);
        progress.add(90);
        assert_eq!(progress.now(), Some((100, 100)));
        // Another source begins anew.
        progress.begin(80);
        assert_eq!(progress.now(), Some((0, 80)));
    }
}
