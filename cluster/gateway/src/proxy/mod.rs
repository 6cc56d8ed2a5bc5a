//! The data plane: sockets, requests, connections to pods.
//!
//! A [`Proxy`] serves a [`RoutingTable`] until it gets the next one. Clients
//! speak HTTP/1.1 or HTTP/2 (with prior knowledge, or as TLS negotiates);
//! backends are reached over HTTP/1.1. Bodies stream both ways.

mod accept;
mod answer;
mod body;
mod certificates;
mod connection;
mod exchange;
mod forward;
mod headers;
mod live;
mod mirror;
mod tunnel;
mod upstream;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::Error;
use crate::metrics::Metrics;
use crate::table::{HostPattern, RoutingTable};
use certificates::Certificates;
pub use certificates::{Certificate, certificate};
use live::Live;

/// Opens a connection to a pod. Pods live in another network namespace: whoever
/// owns it opens the socket there and hands it over.
pub type Dial = Arc<dyn Fn(SocketAddr) -> BoxFuture<'static, io::Result<TcpStream>> + Send + Sync>;

/// Uniform random numbers, which divide requests among backends.
pub type Random = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What a proxy needs.
#[derive(Clone)]
pub struct ProxyOptions {
    /// Where HTTP is served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where HTTPS is served, if there is a certificate.
    pub tls: Option<TlsListener>,
    /// How pods are reached.
    pub dial: Dial,
    /// Where random numbers come from.
    pub random: Random,
    /// Bounds on what clients and backends may do.
    pub limits: Limits,
}

/// A TLS socket.
#[derive(Clone, Debug)]
pub struct TlsListener {
    /// Where HTTPS is served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Certificates and protocols. For HTTP/2, `alpn_protocols` has to name `h2`.
    pub config: Arc<ServerConfig>,
}

/// Bounds on what clients and backends may do.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections from clients at a time; more wait.
    pub connections: usize,
    /// Headers in one request or response. Any number but [`Limits::FREE_HEADERS`] costs memory for each message.
    pub headers: usize,
    /// Bytes of one head.
    pub header_bytes: usize,
    /// How long a client may take for a request's head, and stay idle between requests.
    pub head_time: Duration,
    /// How long opening a connection to a pod may take.
    pub connect: Duration,
}

impl Limits {
    /// So many headers find room on the stack of the parser, as hyper builds it.
    pub const FREE_HEADERS: usize = 100;

    /// The limit of headers to set; `None` for the one that holds anyway.
    fn max_headers(&self) -> Option<usize> {
        (self.headers != Self::FREE_HEADERS).then_some(self.headers)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            headers: Self::FREE_HEADERS,
            header_bytes: 64 * 1024,
            head_time: Duration::from_secs(60),
            connect: Duration::from_secs(5),
        }
    }
}

/// A running data plane. Dropped, it closes everything at once; [`Proxy::shutdown`] is gentler.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    tls_address: Option<SocketAddr>,
}

/// What every request needs.
pub(crate) struct Shared {
    live: watch::Sender<Arc<Live>>,
    metrics: Arc<Metrics>,
    dial: Dial,
    random: Random,
    limits: Limits,
    certificates: Arc<Certificates>,
    /// For clients that begin with TLS on the plain socket.
    tls: Arc<ServerConfig>,
    tasks: TaskTracker,
    /// No new connections or requests.
    draining: CancellationToken,
    /// No connections at all.
    closing: CancellationToken,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Shared {
    fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live.borrow())
    }

    fn random(&self) -> u64 {
        (self.random)()
    }

    /// Whether a table other than `live` is there within `patience`.
    async fn wait_for_table_after(&self, live: &Arc<Live>, patience: Duration) -> bool {
        let mut tables = self.live.subscribe();
        let newer = tables.wait_for(|now| !Arc::ptr_eq(now, live));
        tokio::time::timeout(patience, newer).await.is_ok_and(|newer| newer.is_ok())
    }

    /// Resolves once the table has no endpoint at this address.
    async fn has_left(&self, address: SocketAddr) {
        let mut tables = self.live.subscribe();
        if tables.wait_for(|now| !now.has(address)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Proxy {
    /// Listens and serves; with an empty table until [`Proxy::set_table`].
    pub async fn start(options: ProxyOptions) -> Result<Self, Error> {
        let certificates = Arc::<Certificates>::default();
        let shared = Arc::new(Shared {
            tls: certificates::server_config(Arc::clone(&certificates)),
            certificates,
            live: watch::Sender::new(Arc::default()),
            metrics: Arc::default(),
            dial: options.dial,
            random: options.random,
            limits: options.limits,
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            closing: CancellationToken::new(),
        });
        let (plain, address) = bind(options.listen).await?;
        let mut tls_address = None;
        let mut secure = None;
        if let Some(tls) = options.tls {
            let (listener, address) = bind(tls.listen).await?;
            tls_address = Some(address);
            secure = Some((listener, tls.config));
        }
        accept::serve(&shared, plain, None);
        if let Some((listener, config)) = secure {
            accept::serve(&shared, listener, Some(config));
        }
        Ok(Self { shared, address, tls_address })
    }

    /// Serves another table from the next request on. Requests under way finish
    /// as they began; endpoints that are gone get no new ones.
    pub fn set_table(&self, table: RoutingTable) {
        let shared = &self.shared;
        let previous = shared.live();
        shared.live.send_replace(Arc::new(Live::new(table, &previous, &shared.metrics)));
    }

    /// Shows these certificates to clients that begin with TLS, on the same socket as plain HTTP: each for the hosts of
    /// its pattern, the narrowest first.
    pub fn set_certificates(&self, certificates: Vec<(HostPattern, Certificate)>) {
        self.shared.certificates.set(certificates);
    }

    /// Where HTTP is served.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Where HTTPS is served.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.tls_address
    }

    /// What was counted so far.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.shared.metrics)
    }

    /// Takes no more requests, lets those under way finish for up to `grace`,
    /// then closes what is left, such as tunnels.
    pub async fn shutdown(&self, grace: Duration) {
        self.shared.draining.cancel();
        self.shared.tasks.close();
        if tokio::time::timeout(grace, self.shared.tasks.wait()).await.is_err() {
            self.shared.closing.cancel();
            self.shared.tasks.wait().await;
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.draining.cancel();
        self.shared.closing.cancel();
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}
