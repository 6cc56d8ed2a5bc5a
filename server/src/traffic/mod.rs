//! How many requests there were, how many failed and how long they took: what a gateway has counted, kept for hours.
//!
//! A gateway counts since its start. What came between two looks at its counters is added to the file, in slots of ten
//! seconds for each route; a slot without requests takes no room. Which routes are an environment's is asked when
//! somebody looks, so that the file knows nothing of environments.

mod quantile;
mod store;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use quantile::quantile;
use store::Store;
pub(crate) use store::{Slot, Sum};

/// Upper bounds of the latency buckets, in seconds; one more bucket holds the rest.
pub const BOUNDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Buckets of latencies.
pub(crate) const BUCKETS: usize = BOUNDS.len() + 1;
/// Width of a slot, in seconds.
pub(crate) const SLOT: i64 = 10;
/// How long slots are kept, in seconds.
pub(crate) const KEPT: i64 = 12 * 3600;
/// More slots of all routes together are not kept; at some 100 bytes each.
const MOST: u64 = 400_000;

/// What a gateway has counted since it started, in one of its counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Which counter; a route has several. One that is not named any more is forgotten.
    pub series: String,
    /// Namespace of the route.
    pub namespace: String,
    /// Name of the route.
    pub route: String,
    /// All requests.
    pub requests: u64,
    /// Those that were answered with a status of 500 or above.
    pub errors: u64,
    /// Requests by their latency, each in one bucket: up to the bound of the same index in [`BOUNDS`], the last above
    /// all.
    pub buckets: [u64; BUCKETS],
}

type Count = Box<dyn Fn() -> Vec<Counted> + Send + Sync>;

/// Why measurements cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum TrafficError {
    /// The file cannot be used.
    #[error("{}: {source}; it holds the measurements of the last hours alone, and may be removed", .file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The file was written by a newer release, or is none of ours.
    #[error(
        "{} has format {found}, this release knows {known}: start the newer release again, or remove the file, which \
         holds the measurements of the last hours alone",
        .file.display()
    )]
    Format {
        /// Which.
        file: PathBuf,
        /// Its format.
        found: i64,
        /// The format that is known.
        known: i64,
    },
}

/// What a gateway counts, and where it is kept.
pub struct Traffic {
    store: Store,
    count: Count,
    pace: Duration,
}

impl Traffic {
    /// Keeps in `file`, which is made when it is absent, what `count` says.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub async fn open(
        file: &Path,
        count: impl Fn() -> Vec<Counted> + Send + Sync + 'static,
    ) -> Result<Self, TrafficError> {
        let store = Store::open(file, MOST).await?;
        Ok(Self { store, count: Box::new(count), pace: Duration::from_secs(SLOT.unsigned_abs()) })
    }

    /// Looks at the counters so often, in place of once in ten seconds.
    #[must_use]
    pub fn paced(mut self, pace: Duration) -> Self {
        self.pace = pace;
        self
    }

    /// Begins to look at the counters; after the end of the task everything is on disk.
    pub(crate) fn start(self, stopping: CancellationToken) -> (Reader, JoinHandle<()>) {
        let Self { store, count, pace } = self;
        let store = Arc::new(store);
        let sampled = Arc::new(AtomicI64::new(Timestamp::now().as_millisecond()));
        let reader = Reader { store: store.clone(), sampled: sampled.clone() };
        let task = tokio::spawn(async move {
            let mut sampler = Sampler::new(&store, count, sampled);
            loop {
                let stopped = tokio::select! {
                    () = stopping.cancelled() => true,
                    () = tokio::time::sleep(until_next(Timestamp::now(), pace)) => false,
                };
                if let Err(error) = sampler.sample(Timestamp::now()).await {
                    tracing::warn!(%error, "requests were measured and could not be kept");
                }
                if stopped {
                    break;
                }
            }
            store.close().await;
        });
        (reader, task)
    }
}

/// Looks come at multiples of the pace, so that each slot is looked at equally often.
fn until_next(now: Timestamp, pace: Duration) -> Duration {
    let pace = i64::try_from(pace.as_millis()).unwrap_or(i64::MAX).max(1);
    let left = pace - now.as_millisecond().rem_euclid(pace);
    Duration::from_millis(left.unsigned_abs())
}

/// Reads what is kept.
#[derive(Clone)]
pub(crate) struct Reader {
    store: Arc<Store>,
    /// When the counters were last looked at, in milliseconds since 1970.
    sampled: Arc<AtomicI64>,
}

impl Reader {
    /// Up to when there are measurements.
    pub(crate) fn sampled(&self) -> Timestamp {
        Timestamp::from_millisecond(self.sampled.load(Ordering::Relaxed)).unwrap_or_default()
    }

    /// The requests of these routes (namespace and name) since a time, in steps of so many seconds: those steps that
    /// have any, oldest first.
    pub(crate) async fn read(
        &self,
        routes: &[(String, String)],
        since: i64,
        step: i64,
    ) -> Result<Vec<Sum>, TrafficError> {
        self.store.read(routes, since, step).await
    }
}

/// Takes from counters that only grow what came between two looks.
struct Sampler<'a> {
    store: &'a Store,
    count: Count,
    known: HashMap<String, Counted>,
    sampled: Arc<AtomicI64>,
}

impl<'a> Sampler<'a> {
    fn new(store: &'a Store, count: Count, sampled: Arc<AtomicI64>) -> Self {
        // What was counted before is of a time that nobody knows.
        let known = (count)().into_iter().map(|one| (one.series.clone(), one)).collect();
        Self { store, count, known, sampled }
    }

    async fn sample(&mut self, now: Timestamp) -> Result<(), TrafficError> {
        let now = now.as_millisecond();
        // What came between two looks is of the slot in the middle of them.
        let middle = i64::midpoint(self.sampled.load(Ordering::Relaxed), now).div_euclid(1000);
        let time = middle.div_euclid(SLOT) * SLOT;
        let mut slots: HashMap<(String, String), Slot> = HashMap::new();
        let mut known = HashMap::with_capacity(self.known.len());
        for counted in (self.count)() {
            let before = self.known.get(&counted.series);
            let delta = |value: u64, before: Option<u64>| value.saturating_sub(before.unwrap_or_default());
            let requests = delta(counted.requests, before.map(|one| one.requests));
            if requests > 0 {
                let slot = slots.entry((counted.namespace.clone(), counted.route.clone())).or_default();
                slot.requests += requests;
                slot.errors += delta(counted.errors, before.map(|one| one.errors));
                for (index, bucket) in slot.buckets.iter_mut().enumerate() {
                    *bucket += delta(counted.buckets[index], before.map(|one| one.buckets[index]));
                }
            }
            known.insert(counted.series.clone(), counted);
        }
        self.known = known;
        self.store.add(time, slots, time - KEPT).await?;
        self.sampled.store(now, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use parking_lot::Mutex;

    fn counted(series: &str, route: &str, requests: u64, errors: u64) -> Counted {
        let mut buckets = [0; BUCKETS];
        buckets[2] = requests;
        let (series, route) = (series.to_owned(), route.to_owned());
        Counted { series, namespace: "shop".to_owned(), route, requests, errors, buckets }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn web() -> Vec<(String, String)> {
        vec![("shop".to_owned(), "web".to_owned())]
    }

    #[tokio::test]
    async fn what_came_between_two_looks_is_kept_and_counters_that_go_are_no_loss() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("traffic.db"), MOST).await.unwrap();
        let counters = Arc::new(Mutex::new(vec![counted("a", "web", 100, 0)]));
        let source = counters.clone();
        let sampled = Arc::new(AtomicI64::new(at(1000).as_millisecond()));
        let mut sampler = Sampler::new(&store, Box::new(move || source.lock().clone()), sampled);

        *counters.lock() =
            vec![counted("a", "web", 110, 1), counted("b", "web", 5, 0), counted("c", "api", 7, 7)];
        sampler.sample(at(1010)).await.unwrap();
        // A rollout: the old counter has gone, the new one goes on.
        *counters.lock() = vec![counted("b", "web", 9, 2)];
        sampler.sample(at(1020)).await.unwrap();
        sampler.sample(at(1030)).await.unwrap();

        let sums = store.read(&web(), 1000, SLOT).await.unwrap();
        let told: Vec<_> = sums.iter().map(|sum| (sum.time, sum.slot.requests, sum.slot.errors)).collect();
        assert_eq!(told, [(1000, 15, 1), (1010, 4, 2)], "and nothing of another route, or of before");
        assert_eq!(sums[0].slot.buckets[2], 15);
        store.close().await;
    }

    #[tokio::test]
    async fn measurements_are_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("traffic.db");
        for _ in 0..2 {
            let stopping = CancellationToken::new();
            let total = Arc::new(Mutex::new(0));
            let count = move || {
                *total.lock() += 3;
                vec![counted("a", "web", *total.lock(), 0)]
            };
            let (reader, task) = Traffic::open(&file, count).await.unwrap().start(stopping.clone());
            stopping.cancel();
            task.await.unwrap();
            drop(reader);
        }
        let store = Store::open(&file, MOST).await.unwrap();
        let sums = store.read(&web(), 0, SLOT).await.unwrap();
        assert_eq!(sums.iter().map(|sum| sum.slot.requests).sum::<u64>(), 6);
        store.close().await;
    }
}
