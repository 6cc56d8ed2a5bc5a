//! Connections to one endpoint: the idle ones to take, and new ones.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use parking_lot::Mutex;

use super::body::RequestBody;
use super::connection::Connection;
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
    idle: Mutex<IdleConnections>,
    in_flight: AtomicUsize,
}

#[derive(Debug, Default)]
struct IdleConnections {
    /// In the order in which they became idle.
    all: Vec<Idle>,
    /// Whether a task looks after those that idle for long.
    minded: bool,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
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
    pub(crate) fn take_idle(&self, limit: Duration) -> Option<Connection> {
        let mut idle = self.idle.lock();
        while let Some(last) = idle.all.last() {
            if last.since.elapsed() > limit {
                return None;
            }
            let connection = idle.all.pop()?.connection;
            if connection.is_ready() && !connection.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    /// Closes all idle connections.
    pub(crate) fn close_idle(&self) {
        self.idle.lock().all.clear();
    }

    fn put_idle(self: &Arc<Self>, mut connection: Connection) {
        connection.rest();
        let mut idle = self.idle.lock();
        if idle.all.len() < MAX_IDLE {
            idle.all.push(Idle { connection, since: Instant::now() });
            if !idle.minded {
                idle.minded = true;
                mind_idle(self);
            }
        }
    }

    /// Lets go of connections that are of no more use, and gives those that idle for long a task of their own, which
    /// sees when the backend closes them. Returns whether any are left.
    fn tend_idle(&self) -> bool {
        let now = Instant::now();
        let mut idle = self.idle.lock();
        idle.all.retain(|each| !each.connection.is_closed() && now.duration_since(each.since) < IDLE_LIMIT);
        // The oldest come first.
        for each in idle.all.iter_mut().take_while(|each| now.duration_since(each.since) >= FRESH_LIMIT) {
            each.connection.detach();
        }
        idle.minded = !idle.all.is_empty();
        idle.minded
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self, dial: &Dial, limits: &Limits) -> Result<Connection, String> {
        let stream = match tokio::time::timeout(limits.connect, dial(self.address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(format!("cannot connect to {}: {error}", self.address)),
            Err(_) => return Err(format!("no connection to {} within {:?}", self.address, limits.connect)),
        };
        // Small requests should not wait for the acknowledgement of earlier ones.
        let _ = stream.set_nodelay(true);
        let opened = Connection::open(stream, limits).await;
        opened.map_err(|error| format!("connection to {} failed: {error}", self.address))
    }
}

/// Looks after an endpoint's idle connections as long as there are some.
fn mind_idle(upstream: &Arc<Upstream>) {
    let upstream = Arc::downgrade(upstream);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(FRESH_LIMIT).await;
            // An endpoint that has left the table goes with its connections.
            if !upstream.upgrade().is_some_and(|upstream| upstream.tend_idle()) {
                return;
            }
        }
    });
}

/// A request on its way: counts for its endpoint, and gives the connection back
/// when the response is complete. Dropped before, it closes the connection.
#[derive(Debug)]
pub(crate) struct Lease {
    upstream: Arc<Upstream>,
    connection: Option<Connection>,
}

impl Lease {
    pub(crate) fn new(upstream: Arc<Upstream>) -> Self {
        upstream.in_flight.fetch_add(1, Relaxed);
        Self { upstream, connection: None }
    }

    /// Sends a request over this connection, and keeps that for the response.
    pub(crate) async fn send(
        &mut self,
        connection: Connection,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, (Option<Box<Request<RequestBody>>>, String)> {
        let connection = self.connection.insert(connection);
        connection.send(request, self.upstream.address).await
    }

    /// Somebody else moves the connection from now on, whether or not the response is read.
    pub(crate) fn detach(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.detach();
        }
    }

    /// Asks `next` for what comes over the connection, and moves the connection forward as long as it has nothing.
    pub(crate) fn poll_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut next: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        match &mut self.connection {
            Some(connection) => connection.poll_with(cx, next),
            None => next(cx),
        }
    }

    /// The response is complete: the connection can serve the next request.
    pub(crate) fn complete(mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        if connection.is_closed() {
            return;
        }
        if connection.is_ready() {
            self.upstream.put_idle(connection);
        } else {
            // The connection has yet to notice the end of the response.
            let upstream = Arc::clone(&self.upstream);
            tokio::spawn(async move {
                if let Ok(Ok(())) = tokio::time::timeout(FRESH_LIMIT, connection.ready()).await {
                    upstream.put_idle(connection);
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
