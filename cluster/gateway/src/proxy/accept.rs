//! Connections from clients.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::forward::{Session, respond};
use super::headers::Client;
use super::{Limits, Shared};

/// How long a TLS handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// A pause after a failed accept (out of file descriptors, mostly), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Requests on one HTTP/2 connection at a time.
const MAX_STREAMS: u32 = 250;

/// Accepts connections until the proxy drains.
pub(super) fn serve(shared: &Arc<Shared>, listener: TcpListener, tls: Option<Arc<ServerConfig>>) {
    let tls = tls.map(TlsAcceptor::from);
    let server = Arc::new(server(&shared.limits));
    let permits = Arc::new(Semaphore::new(shared.limits.connections));
    let shared = Arc::clone(shared);
    let tasks = shared.tasks.clone();
    tasks.spawn(async move {
        loop {
            let accepted = async {
                // The semaphore is never closed, so a permit comes sooner or later.
                let permit = Arc::clone(&permits).acquire_owned().await.ok();
                (listener.accept().await, permit)
            };
            let (accepted, permit) = tokio::select! {
                accepted = accepted => accepted,
                () = shared.draining.cancelled() => return,
            };
            let (stream, peer) = match accepted {
                Ok(connection) => connection,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let connection = connection(Arc::clone(&shared), Arc::clone(&server), stream, peer, tls.clone());
            shared.tasks.spawn(async move {
                connection.await;
                drop(permit);
            });
        }
    });
}

fn server(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(limits.header_bytes);
    if let Some(most) = limits.max_headers() {
        server.http1().max_headers(most);
    }
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.head_time);
    server
}

async fn connection(
    shared: Arc<Shared>,
    server: Arc<auto::Builder<TokioExecutor>>,
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
) {
    let _ = stream.set_nodelay(true);
    let tls = match tls {
        None if shared.certificates.are_there() => {
            let first = tokio::select! {
                first = begins_with_tls(&stream, shared.limits.head_time) => first,
                () = shared.draining.cancelled() => return,
            };
            match first {
                None => return,
                Some(is_tls) => is_tls.then(|| TlsAcceptor::from(Arc::clone(&shared.tls))),
            }
        }
        own => own,
    };
    let client = Client::new(peer.ip().to_canonical(), tls.is_some());
    match tls {
        None => serve_connection(&shared, &server, stream, client).await,
        Some(tls) => {
            let handshake = tokio::time::timeout(HANDSHAKE_LIMIT, tls.accept(stream));
            let stream = tokio::select! {
                handshake = handshake => handshake,
                () = shared.draining.cancelled() => return,
            };
            match stream {
                Ok(Ok(stream)) => serve_connection(&shared, &server, stream, client).await,
                Ok(Err(error)) => tracing::debug!(%error, %peer, "TLS handshake failed"),
                Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
            }
        }
    }
}

/// Whether a client's first byte is that of a TLS handshake, which no HTTP begins with. `None` when none comes in time.
async fn begins_with_tls(stream: &TcpStream, limit: Duration) -> Option<bool> {
    const HANDSHAKE: u8 = 22;
    let mut first = [0];
    match tokio::time::timeout(limit, stream.peek(&mut first)).await {
        Ok(Ok(1..)) => Some(first[0] == HANDSHAKE),
        _ => None,
    }
}

async fn serve_connection<S>(
    shared: &Arc<Shared>,
    server: &auto::Builder<TokioExecutor>,
    stream: S,
    client: Client,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let session = Arc::new(Session { shared: Arc::clone(shared), client });
    let service = service_fn(|request| {
        let session = Arc::clone(&session);
        async move { Ok::<_, Infallible>(respond(session, request).await) }
    });
    // What went wrong with a client's connection is the client's to know.
    let mut connection = pin!(server.serve_connection_with_upgrades(TokioIo::new(stream), service));
    tokio::select! {
        biased;
        _ = connection.as_mut() => return,
        () = shared.draining.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = connection => {}
        () = shared.closing.cancelled() => {}
    }
}
