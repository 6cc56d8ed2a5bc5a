//! What an environment's worker is to look at next. Any number of news of one kind are one.

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::error::Error;
use crate::view::SyncRecord;

/// News for a worker.
pub(crate) enum Mail {
    /// The Environment or its Stack has changed.
    Spec,
    /// A followed revision is another commit now.
    Source,
    /// A repository cannot be read any more. It is shown, but stops nothing.
    Trouble,
    /// A hold, a suspension: something that the records say.
    Records,
    /// A person wants a sync now.
    Sync(SyncRequest),
}

/// What a person asks for.
#[derive(Debug)]
pub(crate) struct SyncRequest {
    pub(crate) actor: String,
    /// Only these objects; empty: all. No hooks run then.
    pub(crate) objects: Vec<crate::plan::ObjectRef>,
    pub(crate) answer: oneshot::Sender<Result<Option<SyncRecord>, Error>>,
}

/// What has come since the worker last looked.
#[derive(Default)]
pub(crate) struct Letters {
    pub(crate) spec: bool,
    pub(crate) source: bool,
    pub(crate) trouble: bool,
    pub(crate) records: bool,
    pub(crate) requests: Vec<SyncRequest>,
}

impl Letters {
    fn is_empty(&self) -> bool {
        !self.preempts() && !self.trouble
    }

    /// Whether a sync that goes on must end for it.
    fn preempts(&self) -> bool {
        self.spec || self.source || self.records || !self.requests.is_empty()
    }
}

/// News that wait for a worker.
#[derive(Default)]
pub(crate) struct Mailbox {
    letters: Mutex<Letters>,
    /// The sync that a person has cancelled.
    cancelled: Mutex<Option<u64>>,
    wake: Notify,
}

impl Mailbox {
    pub(crate) fn put(&self, mail: Mail) {
        {
            let mut letters = self.letters.lock();
            match mail {
                Mail::Spec => letters.spec = true,
                Mail::Source => letters.source = true,
                Mail::Trouble => letters.trouble = true,
                Mail::Records => letters.records = true,
                Mail::Sync(request) => letters.requests.push(request),
            }
        }
        self.wake.notify_waiters();
    }

    /// Everything that has come.
    pub(crate) fn take(&self) -> Letters {
        std::mem::take(&mut *self.letters.lock())
    }

    /// Waits until there is something to take.
    pub(crate) async fn has_mail(&self) {
        self.until(|| !self.letters.lock().is_empty()).await;
    }

    /// Waits until there is something for which a sync that goes on must end.
    pub(crate) async fn preempts(&self) {
        self.until(|| self.letters.lock().preempts()).await;
    }

    /// A sync is to stop where it can.
    pub(crate) fn cancel(&self, sync: u64) {
        *self.cancelled.lock() = Some(sync);
        self.wake.notify_waiters();
    }

    /// Whether a sync is to stop.
    pub(crate) fn is_cancelled(&self, sync: u64) -> bool {
        *self.cancelled.lock() == Some(sync)
    }

    /// Waits until a sync is to stop.
    pub(crate) async fn cancelled(&self, sync: u64) {
        self.until(|| self.is_cancelled(sync)).await;
    }

    async fn until(&self, holds: impl Fn() -> bool) {
        loop {
            let woken = self.wake.notified();
            let mut woken = std::pin::pin!(woken);
            // Listens before it looks, so that nothing can come in between.
            woken.as_mut().enable();
            if holds() {
                return;
            }
            woken.await;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[tokio::test]
    async fn news_of_one_kind_are_one_and_none_is_lost() {
        let mailbox = Mailbox::default();
        assert!(mailbox.has_mail().now_or_never().is_none());
        mailbox.put(Mail::Spec);
        mailbox.put(Mail::Spec);
        mailbox.put(Mail::Source);
        mailbox.has_mail().await;
        let letters = mailbox.take();
        assert!(letters.spec && letters.source && !letters.records);
        assert!(mailbox.has_mail().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_sync_is_cancelled_and_no_other() {
        let mailbox = Mailbox::default();
        assert!(mailbox.cancelled(7).now_or_never().is_none());
        mailbox.cancel(7);
        mailbox.cancelled(7).await;
        assert!(mailbox.is_cancelled(7) && !mailbox.is_cancelled(8));
        assert!(mailbox.cancelled(8).now_or_never().is_none());
        assert!(mailbox.has_mail().now_or_never().is_none(), "it is no news for the next look");
    }
}
