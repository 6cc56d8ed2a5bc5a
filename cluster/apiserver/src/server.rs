//! The front doors: TLS on a socket, and a duplex stream for clients in this process.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::api::Api;
use crate::authentication::Peer;
use crate::identity::Identity;
use crate::negotiation;
use crate::pki::Clients;
use crate::status::ApiError;

/// How long a client may take for its TLS handshake and for its request headers.
const PATIENCE: Duration = Duration::from_secs(10);

/// Accepts connections until the server stops.
pub(crate) async fn listen(
    api: Arc<Api>,
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    clients: Arc<Clients>,
) {
    let acceptor = TlsAcceptor::from(tls);
    loop {
        let accepted = tokio::select! {
            () = api.stopping.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: wait for some to be closed.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (api, acceptor, clients) = (api.clone(), acceptor.clone(), clients.clone());
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await else {
                return;
            };
            let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let certificate = chain.first().filter(|_| clients.vouches_for(chain));
            let certificate = certificate.map(|first| Arc::new(first.clone().into_owned()));
            connection(api, Peer::Remote(certificate), stream).await;
        });
    }
}

/// Serves one connection.
async fn connection<S>(api: Arc<Api>, peer: Peer, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    api.metrics.connections.fetch_add(1, Ordering::Relaxed);
    let handler = {
        let api = api.clone();
        service_fn(move |request: http::Request<Incoming>| {
            let (api, peer) = (api.clone(), peer.clone());
            async move {
                // A mistake of ours in one request is answered, and not by closing everybody's connection.
                let served = AssertUnwindSafe(api.serve(peer, request)).catch_unwind().await;
                Ok::<_, Infallible>(served.unwrap_or_else(|_| {
                    negotiation::error(&ApiError::internal("the request could not be handled"))
                }))
            }
        })
    };
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .max_concurrent_streams(1000);
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), handler);
    tokio::pin!(serving);
    tokio::select! {
        _ = serving.as_mut() => {}
        () = api.stopping.cancelled() => {
            serving.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(Duration::from_secs(2), serving).await;
        }
    }
    api.metrics.connections.fetch_sub(1, Ordering::Relaxed);
}

/// Opens connections to the API without a socket, as one account.
#[derive(Clone)]
pub(crate) struct LocalConnector {
    pub(crate) api: Arc<Api>,
    pub(crate) identity: Arc<Identity>,
}

/// Bytes that a local connection holds in each direction before the writer waits.
const LOCAL_BUFFER: usize = 256 * 1024;

impl tower_service::Service<http::Uri> for LocalConnector {
    type Response = LocalStream;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<LocalStream, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        let (client, server) = tokio::io::duplex(LOCAL_BUFFER);
        tokio::spawn(connection(self.api.clone(), Peer::Local(self.identity.clone()), server));
        Box::pin(async move { Ok(LocalStream(TokioIo::new(client))) })
    }
}

/// The client's end of a local connection.
pub(crate) struct LocalStream(TokioIo<DuplexStream>);

impl Connection for LocalStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for LocalStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl hyper::rt::Write for LocalStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Binds the socket, saying which address is taken.
pub(crate) async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}
