//! Serving, and stopping without losing a request.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tower::ServiceExt;

use crate::service::Service;

/// Connections at the same time.
const MAX_CONNECTIONS: usize = 512;
/// Until a request's head must be there.
const HEAD: Duration = Duration::from_secs(15);
/// Bytes of a request's head.
const MAX_HEAD: usize = 32 * 1024;
/// How long requests that are being answered may still take after the end of the drain.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// Ends at SIGTERM or Ctrl-C. The signals are asked for at once: the first process of a pod ignores others.
pub(crate) fn asked_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Serves until it is asked to stop; then goes on for the drain's time, since callers hear of the end later than the
/// pod itself, and at last waits for the answers that are on their way.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    service: &Arc<Service>,
    drain: Duration,
    stop: impl Future<Output = ()>,
) {
    let connections = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let end = async {
        stop.await;
        service.drain();
        tokio::time::sleep(drain).await;
    };
    tokio::pin!(end);
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await.ok()?;
            Some((listener.accept().await.ok()?.0, place))
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            () = &mut end => break,
        };
        let Some((stream, place)) = accepted else {
            // Out of file handles, for instance: others have to end first.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let router = router.clone();
        let answer = hyper::service::service_fn(move |request: Request<Incoming>| {
            let router = router.clone();
            async move {
                Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(|never| match never {}))
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), answer);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            // Callers that go away are no trouble of ours.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(LAST_ANSWERS, connections.shutdown()).await;
}
