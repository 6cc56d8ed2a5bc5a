//! From the API to the proxy and back: watches fill the [`store`], every change
//! makes a new table, and the statuses that differ are written.

mod defaults;
mod kinds;
mod publish;
mod rights;
mod secrets;
mod store;
mod watch;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::task::JoinSet;

use crate::error::Error;
use crate::metrics::Metrics;
use crate::proxy::{Dial, Limits, Proxy, ProxyOptions, TlsListener};
use crate::table::{DataPlane, DesiredStatus, build};
use kinds::Kind;
pub use rights::cluster_role_rules;
use secrets::Secrets;
use store::Store;

/// Changes often come together (a rollout, an apply): one table for all within this time.
const GATHER: Duration = Duration::from_millis(10);

/// How to start a [`Gateway`].
#[derive(Clone)]
pub struct GatewayOptions {
    /// Reads and watches the kinds of the table in all namespaces, creates the default
    /// objects, and patches the status of GatewayClasses, Gateways and HTTPRoutes.
    pub client: Client,
    /// Where HTTP is served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How pods are reached.
    pub dial: Dial,
    /// Where HTTPS is served, if there is a certificate.
    pub tls: Option<TlsListener>,
    /// Bounds on what clients and backends may do.
    pub limits: Limits,
    /// How long requests may take to finish at the end.
    pub grace: Duration,
}

impl GatewayOptions {
    /// Plain HTTP with the default limits and ten seconds of grace.
    pub fn new(client: Client, listen: SocketAddr, dial: Dial) -> Self {
        Self { client, listen, dial, tls: None, limits: Limits::default(), grace: Duration::from_secs(10) }
    }
}

/// A running gateway. Dropped, it stops at once.
#[derive(Debug)]
pub struct Gateway {
    proxy: Arc<Proxy>,
    grace: Duration,
    ready: tokio::sync::watch::Receiver<bool>,
    tasks: JoinSet<()>,
}

impl Gateway {
    /// Listens, and serves routes as soon as the API has them. The API need not
    /// be complete, or even reachable, yet.
    pub async fn start(options: GatewayOptions) -> Result<Self, Error> {
        let GatewayOptions { client, listen, dial, tls, limits, grace } = options;
        let random = Arc::new(rand::random::<u64>);
        let proxy = Arc::new(Proxy::start(ProxyOptions { listen, tls, dial, random, limits }).await?);
        let store = Arc::new(Store::default());
        let mut tasks = JoinSet::new();
        for kind in Kind::ALL {
            tasks.spawn(watch::watch(client.clone(), kind, Arc::clone(&store)));
        }
        let (statuses, wanted) = tokio::sync::watch::channel(Vec::new());
        tasks.spawn(publish::publish(client.clone(), wanted, Arc::clone(&store)));
        let (tables, ready) = tokio::sync::watch::channel(false);
        let secrets = Secrets::new(client.clone(), Arc::clone(&store));
        tasks.spawn(serve(store, secrets, Arc::clone(&proxy), statuses, tables));
        tasks.spawn(defaults::create(
            client,
            proxy.local_addr().port(),
            proxy.tls_addr().map(|address| address.port()),
        ));
        Ok(Self { proxy, grace, ready, tasks })
    }

    /// Waits for the first table: all that the API has is served from then on.
    pub async fn ready(&self) {
        // The sender lives as long as the tasks, that is as long as `self`.
        let _ = self.ready.clone().wait_for(|ready| *ready).await;
    }

    /// Where HTTP is served.
    pub fn local_addr(&self) -> SocketAddr {
        self.proxy.local_addr()
    }

    /// Where HTTPS is served.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.proxy.tls_addr()
    }

    /// The counters, for analyses.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.proxy.metrics()
    }

    /// The counters in Prometheus' text format.
    pub fn metrics_text(&self) -> String {
        self.proxy.metrics().text()
    }

    /// Takes no more requests, lets those under way finish within the grace, and ends.
    pub async fn shutdown(mut self) {
        self.tasks.shutdown().await;
        self.proxy.shutdown(self.grace).await;
    }
}

/// One table for each change of the objects.
async fn serve(
    store: Arc<Store>,
    mut secrets: Secrets,
    proxy: Arc<Proxy>,
    statuses: tokio::sync::watch::Sender<Vec<DesiredStatus>>,
    ready: tokio::sync::watch::Sender<bool>,
) {
    loop {
        store.changed().await;
        tokio::time::sleep(GATHER).await;
        let Some(objects) = store.objects() else { continue };
        let plane = DataPlane {
            tls: proxy.tls_addr().is_some(),
            certificates: secrets.states(),
            address: reachable(proxy.local_addr().ip()).to_string(),
            now: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        };
        let built = build(&objects, &plane);
        secrets.follow(&built.secrets);
        let certificate = |(host, key)| Some((host, secrets.certificate(&key)?));
        proxy.set_certificates(built.certificates.into_iter().filter_map(certificate).collect());
        proxy.set_table(built.table);
        if !secrets.are_known() {
            // They come in a moment; until then nobody is told that they are missing.
            continue;
        }
        ready.send_replace(true);
        if !built.statuses.is_empty() {
            statuses.send_replace(built.statuses);
        }
    }
}

/// The address that a client on this machine can use.
fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}
