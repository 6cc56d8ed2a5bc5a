//! The gRPC health protocol (`grpc.health.v1.Health/Check`), as much of it as a probe needs.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

const MAX_ANSWER: usize = 64 * 1024;
/// `HealthCheckResponse.ServingStatus`.
const STATES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

/// Asks over a connection whether a service (empty: the server as a whole) is serving.
pub(super) async fn check<S>(stream: S, authority: &str, service: &str) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|e| e.to_string())?;
    let connection = tokio::spawn(connection);
    let request = Request::post(format!("http://{authority}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(question(service)))
        .map_err(|e| e.to_string())?;
    let result = async {
        let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
        let headers = response.headers().clone();
        let body =
            Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|e| e.to_string())?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        verdict(&headers, &trailers, &body.to_bytes())
    };
    let result = result.await;
    connection.abort();
    result
}

/// A framed `HealthCheckRequest`.
fn question(service: &str) -> Bytes {
    let name = &service.as_bytes()[..service.len().min(127)];
    let mut message = BytesMut::new();
    if !name.is_empty() {
        message.put_u8(0x0a);
        message.put_u8(name.len() as u8);
        message.put_slice(name);
    }
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(message.len() as u32);
    framed.put_slice(&message);
    framed.freeze()
}

fn verdict(headers: &HeaderMap, trailers: &HeaderMap, body: &[u8]) -> Result<(), String> {
    let code =
        trailers.get("grpc-status").or_else(|| headers.get("grpc-status")).and_then(|v| v.to_str().ok());
    match code {
        Some("0") => {}
        Some("12") => return Err("this server does not implement the grpc health protocol".to_owned()),
        Some(code) => return Err(format!("grpc status {code}")),
        None => return Err("the server does not speak grpc".to_owned()),
    }
    // A framed message whose only field is the state; 0 is left out.
    let state = match body.get(5..) {
        Some([0x08, state, ..]) => usize::from(*state),
        _ => 0,
    };
    match STATES.get(state) {
        Some(&"SERVING") => Ok(()),
        name => Err(format!("service unhealthy (responded with \"{}\")", name.unwrap_or(&"UNKNOWN"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use http::Response;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use std::convert::Infallible;

    /// A server in memory whose answer depends on the service's name.
    async fn ask(service: &str) -> Result<(), String> {
        let (client, server) = tokio::io::duplex(4096);
        let answer = hyper::service::service_fn(|request: Request<hyper::body::Incoming>| async {
            assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
            let question = request.into_body().collect().await.unwrap().to_bytes();
            let (state, code) = match question.get(7..) {
                Some(b"bad") => (2u8, "0"),
                Some(b"none") => (0, "5"),
                _ => (1, "0"),
            };
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", code.parse().unwrap());
            let frames = [
                Ok::<_, Infallible>(Frame::data(Bytes::from(vec![0, 0, 0, 0, 2, 8, state]))),
                Ok(Frame::trailers(trailers)),
            ];
            Ok::<_, Infallible>(Response::new(StreamBody::new(futures::stream::iter(frames))))
        });
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(server), answer);
        let server = tokio::spawn(server);
        let result = check(client, "10.244.0.2:1", service).await;
        server.abort();
        result
    }

    #[tokio::test]
    async fn only_a_server_that_says_serving_is_healthy() {
        assert_eq!(ask("").await, Ok(()));
        assert_eq!(ask("shop").await, Ok(()));
        assert!(ask("bad").await.unwrap_err().contains("NOT_SERVING"));
        assert!(ask("none").await.unwrap_err().contains("grpc status 5"));
    }
}
