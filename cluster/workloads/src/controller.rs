//! The loop that every controller runs: take a key, look, write, remember failures.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cache::Key;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::queue::Queue;

/// What is running, and how it is ended.
pub(crate) struct Tasks {
    pub(crate) stop: CancellationToken,
    pub(crate) handles: Vec<JoinHandle<()>>,
}

/// Waits until every kind has been listed: what is decided before that is decided blindly.
async fn filled(cluster: &Cluster, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = cluster.filled() => true,
    }
}

impl Tasks {
    /// Runs something until it ends or everything is stopped.
    pub(crate) fn spawn(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.handles.push(tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = work => {}
            }
        }));
    }
}

/// Brings one object nearer to what it asks for.
pub(crate) trait Reconcile: Send + Sync + 'static {
    /// The controller's name in logs, events and `managedFields`.
    const NAME: &'static str;

    /// Looks at the object behind the key and does what is missing. Says after which time to look again
    /// when nothing has changed by then.
    fn reconcile(&self, key: &Key) -> impl Future<Output = Result<Option<Duration>, Error>> + Send;
}

/// Runs a controller with some workers; each key is in one worker's hands at a time.
pub(crate) fn run<R: Reconcile>(
    cluster: &Arc<Cluster>,
    tasks: &mut Tasks,
    queue: &Arc<Queue>,
    controller: R,
    workers: usize,
) {
    let controller = Arc::new(controller);
    for _ in 0..workers {
        let (queue, controller, stop) = (queue.clone(), controller.clone(), tasks.stop.clone());
        let cluster = cluster.clone();
        // A look that has begun is finished: stopping between a write and its sequel would leave more to
        // do for the next start.
        tasks.handles.push(tokio::spawn(async move {
            if !filled(&cluster, &stop).await {
                return;
            }
            loop {
                let key = tokio::select! {
                    () = stop.cancelled() => return,
                    key = queue.next() => key,
                };
                match controller.reconcile(&key).await {
                    Ok(next) => {
                        queue.done(&key);
                        if let Some(delay) = next {
                            queue.add_after(key, delay);
                        }
                    }
                    Err(error) if error.is_namespace_terminating() => queue.done(&key),
                    Err(error) => {
                        let pause = queue.failed(&key);
                        if error.is_conflict() || error.is_not_found() {
                            tracing::debug!(controller = R::NAME, %key, %error, ?pause, "looking again");
                        } else {
                            tracing::warn!(controller = R::NAME, %key, %error, ?pause, "trying again");
                        }
                    }
                }
            }
        }));
    }
}
