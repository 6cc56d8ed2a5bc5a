//! Connections to one endpoint: the idle ones to take, and new ones.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;

use super::body::RequestBody;
use super::{Dial, Limits};

/// Idle connections that are kept for each endpoint.
const MAX_IDLE: usize = 64;

/// How long an idle connection is kept at most.
pub(crate) const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// A request that must not be sent twice only takes a connection that was in
/// use just now: one that idled longer may be closed by the backend at the very
/// moment of sending, and nobody could tell whether the request was read.
pub(crate) const FRESH_LIMIT: Duration = Duration::from_secs(1);

/// One endpoint as the proxy sees it. It outlives tables: its connections are
/// kept while its address stays in use, and go with the last request when the
/// address has left the table.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    idle: Mutex<Vec<Idle>>,
    in_flight: AtomicUsize,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<RequestBody>,
    since: Instant,
}

impl Upstream {
    pub(crate) fn new(address: SocketAddr) -> Arc<Self> {
        Arc::new(Self { address, idle: Mutex::default(), in_flight: AtomicUsize::new(0) })
    }

    /// Requests that have not got their whole response yet.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// The connection that idled the shortest, if it idled no longer than `limit`.
    pub(crate) fn take_idle(&self, limit: Duration) -> Option<SendRequest<RequestBody>> {
        let mut idle = self.idle.lock();
        while let Some(last) = idle.last() {
            if last.since.elapsed() > limit {
                return None;
            }
            let sender = idle.pop()?.sender;
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    /// Closes all idle connections.
    pub(crate) fn close_idle(&self) {
        self.idle.lock().clear();
    }

    fn put_idle(&self, sender: SendRequest<RequestBody>) {
        let now = Instant::now();
        let mut idle = self.idle.lock();
        idle.retain(|each| !each.sender.is_closed() && now.duration_since(each.since) < IDLE_LIMIT);
        if idle.len() < MAX_IDLE {
            idle.push(Idle { sender, since: now });
        }
    }

    /// Opens a connection.
    pub(crate) async fn connect(
        &self,
        dial: &Dial,
        limits: &Limits,
    ) -> Result<SendRequest<RequestBody>, String> {
        let stream = match tokio::time::timeout(limits.connect, dial(self.address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(format!("cannot connect to {}: {error}", self.address)),
            Err(_) => return Err(format!("no connection to {} within {:?}", self.address, limits.connect)),
        };
        // Small requests should not wait for the acknowledgement of earlier ones.
        let _ = stream.set_nodelay(true);
        let (sender, connection) = http1::Builder::new()
            .max_headers(limits.headers)
            .max_buf_size(limits.header_bytes)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| format!("connection to {} failed: {error}", self.address))?;
        tokio::spawn(async move {
            // An error of the connection reaches the request that it served.
            let _ = connection.with_upgrades().await;
        });
        Ok(sender)
    }
}

/// A request on its way: counts for its endpoint, and gives the connection back
/// when the response is complete. Dropped before, it closes the connection.
#[derive(Debug)]
pub(crate) struct Lease {
    upstream: Arc<Upstream>,
    sender: Option<SendRequest<RequestBody>>,
}

impl Lease {
    pub(crate) fn new(upstream: Arc<Upstream>) -> Self {
        upstream.in_flight.fetch_add(1, Relaxed);
        Self { upstream, sender: None }
    }

    pub(crate) fn hold(&mut self, sender: SendRequest<RequestBody>) {
        self.sender = Some(sender);
    }

    /// The response is complete: the connection can serve the next request.
    pub(crate) fn complete(mut self) {
        let Some(mut sender) = self.sender.take() else { return };
        if sender.is_ready() {
            self.upstream.put_idle(sender);
        } else if !sender.is_closed() {
            // The connection's own task has yet to notice the end of the response.
            let upstream = Arc::clone(&self.upstream);
            tokio::spawn(async move {
                if let Ok(Ok(())) = tokio::time::timeout(FRESH_LIMIT, sender.ready()).await {
                    upstream.put_idle(sender);
                }
            });
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.upstream.in_flight.fetch_sub(1, Relaxed);
    }
}
