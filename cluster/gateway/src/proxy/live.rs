//! What serves requests now: a table, with the connections and counters that
//! belong to it. Replaced as a whole; a request keeps the one it started with.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;

use crate::metrics::{Metrics, Series, SeriesKey};
use crate::table::{Backend, Endpoint, RoutingTable, Rule};

use super::upstream::Upstream;

#[derive(Debug, Default)]
pub(crate) struct Live {
    pub(crate) table: RoutingTable,
    upstreams: HashMap<SocketAddr, Arc<Upstream>>,
    /// By rule, then by backend; the last entry of a rule is for no backend.
    series: Vec<Vec<Revisions>>,
}

/// Counters by revision; that of no revision is always there and first.
type Revisions = Vec<(Arc<str>, Arc<Series>)>;

impl Live {
    /// Puts a table to work; endpoints that the previous one had keep their connections.
    pub(crate) fn new(table: RoutingTable, previous: &Live, metrics: &Metrics) -> Self {
        let upstreams = table
            .addresses()
            .into_iter()
            .map(|address| {
                let upstream = previous.upstreams.get(&address).map(Arc::clone);
                (address, upstream.unwrap_or_else(|| Upstream::new(address)))
            })
            .collect();
        let mut in_use = HashSet::from([SeriesKey::default()]);
        let mut open = |key: SeriesKey| {
            let series = metrics.series(&key);
            in_use.insert(key);
            series
        };
        let series = table
            .rules()
            .iter()
            .map(|rule| {
                let mut backends: Vec<Revisions> = rule
                    .backends
                    .iter()
                    .enumerate()
                    .map(|(index, weighted)| {
                        let mut revisions: Revisions =
                            vec![(Arc::from(""), open(series_key(rule, Some(index), "")))];
                        for endpoint in weighted.backend.iter().flat_map(|backend| &backend.endpoints) {
                            if revisions.iter().all(|(revision, _)| *revision != endpoint.revision) {
                                let series = open(series_key(rule, Some(index), &endpoint.revision));
                                revisions.push((Arc::clone(&endpoint.revision), series));
                            }
                        }
                        revisions
                    })
                    .collect();
                backends.push(vec![(Arc::from(""), open(series_key(rule, None, "")))]);
                backends
            })
            .collect();
        metrics.retain(&in_use, Instant::now());
        Self { table, upstreams, series }
    }

    /// Counts a request for a rule, one of its backends if one was chosen, and a revision.
    pub(crate) fn record(
        &self,
        (rule, backend, revision): (usize, Option<usize>, &str),
        metrics: &Metrics,
        status: StatusCode,
        latency: Duration,
    ) {
        let revisions = &self.series[rule][backend.unwrap_or(self.series[rule].len() - 1)];
        match revisions.iter().find(|(known, _)| &**known == revision) {
            Some((_, series)) => series.record(status, latency),
            // A retry reached an endpoint of a newer table.
            None => metrics
                .series(&series_key(&self.table.rules()[rule], backend, revision))
                .record(status, latency),
        }
    }

    /// Whether any backend has an endpoint at this address.
    pub(crate) fn has(&self, address: SocketAddr) -> bool {
        self.upstreams.contains_key(&address)
    }

    /// One of the endpoints that were not tried yet: of two at random the less busy.
    pub(crate) fn choose<'a>(
        &self,
        backend: &'a Backend,
        tried: &[SocketAddr],
        random: u64,
    ) -> Option<(&'a Endpoint, &Arc<Upstream>)> {
        let left = || backend.endpoints.iter().filter(|endpoint| !tried.contains(&endpoint.address));
        let count = if tried.is_empty() { backend.endpoints.len() } else { left().count() };
        let find = |index: usize| {
            let endpoint = left().nth(index)?;
            Some((endpoint, self.upstreams.get(&endpoint.address)?))
        };
        // Two independent numbers of 32 bits, scaled to the length.
        let scale = |number: u64, length: usize| (number.saturating_mul(length as u64) >> 32) as usize;
        match count {
            0 => None,
            1 => find(0),
            many => {
                let one = scale(random & 0xffff_ffff, many);
                let other = (one + 1 + scale(random >> 32, many - 1)) % many;
                let (one, other) = (find(one)?, find(other)?);
                Some(if one.1.in_flight() > other.1.in_flight() { other } else { one })
            }
        }
    }
}

fn series_key(rule: &Rule, backend: Option<usize>, revision: &str) -> SeriesKey {
    let backend = backend.map(|index| &rule.backends[index]);
    SeriesKey {
        route_namespace: rule.namespace.clone(),
        route: rule.route.clone(),
        rule: rule.name.clone(),
        backend_namespace: backend.map(|backend| backend.namespace.clone()).unwrap_or_default(),
        backend: backend.map(|backend| backend.service.clone()).unwrap_or_default(),
        pod_template_hash: revision.to_owned(),
    }
}
