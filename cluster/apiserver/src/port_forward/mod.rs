//! `pods/portforward`: connections of a client to ports inside a pod.
//!
//! Three ways are spoken. kubectl since 1.30 multiplexes by SPDY/3.1 inside a WebSocket (KEP-4006), older programs by
//! SPDY/3.1 on the upgraded connection itself: both are [`tunnel`]. Client libraries without SPDY (Rust's, Python's,
//! JavaScript's) open one connection per port, in a WebSocket of numbered channels: [`channels`].

mod channels;
mod tunnel;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt, TryStreamExt};
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_util::codec::{BytesCodec, FramedRead, FramedWrite};

use crate::api::Context;
use crate::negotiation::Body;
use crate::node_streams::PodPorts;
use crate::status::{ApiError, Result};
use crate::streams::{Handshake, may_create, node, node_error};

/// SPDY inside a WebSocket (KEP-4006).
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
/// Numbered channels in a WebSocket; the name is that of exec's protocol, as the kubelet has it.
const CHANNELS: &str = "v4.channel.k8s.io";
/// What is said inside SPDY, when SPDY is the upgrade itself.
const STREAMS: &str = "portforward.k8s.io";
const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
/// Longest WebSocket message. client-go sends at most 32 KiB at once.
const MAX_MESSAGE: usize = 1024 * 1024;

enum Protocol {
    Tunnel,
    Channels(Vec<u16>),
    Spdy,
}

/// Finds the pod, then answers with the upgrade.
pub(crate) async fn upgrade(context: Context, upgrade: OnUpgrade) -> Result<Response<Body>> {
    if &*context.served.storage != "/pods" {
        return Err(ApiError::no_such_resource());
    }
    may_create(&context)?;
    let (protocol, response) = negotiate(&context)?;
    let entry = context.present()?;
    if entry.value()["spec"]["nodeName"].as_str().is_none_or(str::is_empty) {
        let message = format!("pod {} does not have a host assigned", context.path.name);
        return Err(ApiError::bad_request(message));
    }
    let pod = node(&context)?.ports(entry.key.namespace.clone(), context.path.name.clone());
    let pod: Arc<dyn PodPorts> = pod.await.map_err(node_error)?.into();
    let stopping = context.api.stopping.clone();
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        tokio::select! {
            () = carry(protocol, upgraded, pod) => {}
            () = stopping.cancelled() => {}
        }
    });
    Ok(response)
}

fn negotiate(context: &Context) -> Result<(Protocol, Response<Body>)> {
    if let Some((handshake, protocol)) = Handshake::of(&context.headers, &[TUNNEL, CHANNELS]) {
        let protocol =
            if protocol == TUNNEL { Protocol::Tunnel } else { Protocol::Channels(ports(context)?) };
        return Ok((protocol, handshake.answer()));
    }
    let asks = |name: &HeaderName, word: &str| {
        let values = context.headers.get_all(name).iter().filter_map(|v| v.to_str().ok());
        values.flat_map(|v| v.split(',')).any(|v| v.trim().eq_ignore_ascii_case(word))
    };
    if asks(&UPGRADE, "SPDY/3.1") && asks(&STREAM_PROTOCOL, STREAMS) {
        let mut response = Response::new(crate::negotiation::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("SPDY/3.1"));
        headers.insert(STREAM_PROTOCOL, HeaderValue::from_static(STREAMS));
        return Ok((Protocol::Spdy, response));
    }
    Err(ApiError::bad_request(format!(
        "port-forward is served over WebSocket with the subprotocol {TUNNEL} or {CHANNELS}, and over SPDY/3.1 with {STREAMS}"
    )))
}

/// The ports that a client without streams names in its request.
fn ports(context: &Context) -> Result<Vec<u16>> {
    let words = context.query.all("ports").iter().flat_map(|list| list.split(','));
    let ports: Vec<u16> = words
        .map(|word| {
            let port = word.trim().parse().ok().filter(|port| *port > 0);
            port.ok_or_else(|| ApiError::bad_request(format!("ports: {word:?} is not a port")))
        })
        .collect::<Result<_>>()?;
    match ports.len() {
        0 => Err(ApiError::bad_request("query parameter \"ports\" is required")),
        // Each has two channels, which are numbered by one byte.
        1..=128 => Ok(ports),
        _ => Err(ApiError::bad_request("ports: at most 128 in one request")),
    }
}

async fn carry(protocol: Protocol, upgraded: Upgraded, pod: Arc<dyn PodPorts>) {
    let connection = TokioIo::new(upgraded);
    if matches!(protocol, Protocol::Spdy) {
        let (read, write) = tokio::io::split(connection);
        let read = FramedRead::new(read, BytesCodec::new()).map_ok(BytesMut::freeze);
        let write = FramedWrite::new(write, BytesCodec::new());
        return tunnel::serve(read, write, pod).await;
    }
    let limits =
        WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    let socket = WebSocketStream::from_raw_socket(connection, Role::Server, Some(limits)).await;
    let (write, read) = socket.split();
    let read = read.try_filter_map(|message| async move {
        Ok(match message {
            Message::Binary(bytes) => Some(bytes),
            _ => None,
        })
    });
    let read = read.map_err(std::io::Error::other);
    let write = write
        .sink_map_err(std::io::Error::other)
        .with(|bytes: Bytes| futures::future::ok::<_, std::io::Error>(Message::Binary(bytes)));
    match protocol {
        Protocol::Channels(ports) => channels::serve(read, write, &ports, pod).await,
        Protocol::Tunnel | Protocol::Spdy => tunnel::serve(read, write, pod).await,
    }
}

/// What a client is told when a port cannot be reached.
fn refusal(port: u16, error: &std::io::Error) -> String {
    format!("failed to connect to localhost:{port} inside the pod: {error}")
}
