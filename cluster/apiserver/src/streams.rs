//! `pods/log`, `pods/exec` and `pods/attach`: answered by the node, carried here.
//!
//! exec and attach speak WebSocket with Kubernetes' subprotocol `v5.channel.k8s.io` (KEP-4006): each
//! message begins with its channel, the outcome comes as a Status on channel 3.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use crate::api::Context;
use crate::negotiation::Body;
use crate::node_streams::{ContainerRef, ExecOptions, ExecSession, LogOptions, NodeError, NodeStreams};
use crate::rbac::Attributes;
use crate::status::{ApiError, Result};

/// Subprotocols that we speak, best first. v4 lacks the message that closes one channel.
const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
/// In v5 this channel closes the one that its next byte names.
const CLOSE: u8 = 255;
const CHUNK: usize = 32 * 1024;

pub(crate) fn node(context: &Context) -> Result<Arc<dyn NodeStreams>> {
    context.api.node.get().cloned().ok_or_else(|| {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "no node runs in this server")
    })
}

pub(crate) fn node_error(error: NodeError) -> ApiError {
    match error {
        NodeError::BadRequest(message) => ApiError::bad_request(message),
        NodeError::NotFound(message) => ApiError::new(StatusCode::NOT_FOUND, "NotFound", message),
        NodeError::Internal(message) => ApiError::internal(message),
    }
}

/// The container that is asked for, or the only one (or the default one) of the pod.
fn container(context: &Context) -> Result<ContainerRef> {
    let entry = context.present()?;
    let pod = entry.value();
    let names = |list: &str| -> Vec<String> {
        let list = pod["spec"][list].as_array();
        list.into_iter().flatten().filter_map(|c| c["name"].as_str().map(str::to_owned)).collect()
    };
    let regular = names("containers");
    let every = [regular.clone(), names("initContainers"), names("ephemeralContainers")].concat();
    let name = &context.path.name;
    let chosen = match context.query.get("container") {
        Some(asked) if every.iter().any(|c| c == asked) => asked.to_owned(),
        Some(asked) => {
            return Err(ApiError::bad_request(format!("container {asked} is not valid for pod {name}")));
        }
        None => match regular.as_slice() {
            [only] => only.clone(),
            [] => return Err(ApiError::bad_request(format!("pod {name} has no containers"))),
            several => {
                return Err(ApiError::bad_request(format!(
                    "a container name must be specified for pod {name}, choose one of: [{}]",
                    several.join(" ")
                )));
            }
        },
    };
    if pod["spec"]["nodeName"].as_str().is_none_or(str::is_empty) {
        return Err(ApiError::bad_request(format!("pod {name} does not have a host assigned")));
    }
    Ok(ContainerRef { namespace: entry.key.namespace.clone(), pod: name.clone(), container: chosen })
}

/// `pods/log`.
pub(crate) async fn logs(context: &Context) -> Result<Response<Body>> {
    let container = container(context)?;
    let query = &context.query;
    let since = match (query.get("sinceTime"), query.number::<i64>("sinceSeconds")?) {
        (Some(time), _) => Some(time.parse().map_err(|e| ApiError::bad_request(format!("sinceTime: {e}")))?),
        (None, Some(seconds)) => {
            jiff::Timestamp::now().checked_sub(jiff::SignedDuration::from_secs(seconds)).ok()
        }
        (None, None) => None,
    };
    let options = LogOptions {
        follow: query.flag("follow"),
        previous: query.flag("previous"),
        timestamps: query.flag("timestamps"),
        tail_lines: query.number("tailLines")?,
        since,
        limit_bytes: query.number("limitBytes")?,
    };
    let lines = node(context)?.logs(container, options).await.map_err(node_error)?;
    let stopping = context.api.stopping.clone();
    // A read that fails in the middle ends the stream; there is no way left to say why.
    let frames = lines
        .take_until(async move { stopping.cancelled().await })
        .take_while(|line| futures::future::ready(line.is_ok()))
        .filter_map(|line| futures::future::ready(line.ok()))
        .map(|bytes| Ok(Frame::data(bytes)));
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

/// A WebSocket is opened by a GET, which the authorizer knows as `get`; who may only read must not run commands.
pub(crate) fn may_create(context: &Context) -> Result<()> {
    let attributes = Attributes {
        verb: "create".into(),
        resource: format!("pods/{}", context.path.subresource),
        namespace: context.path.namespace.clone(),
        name: context.path.name.clone(),
        ..Attributes::default()
    };
    if context.api.authorizer.allowed(&context.identity, &attributes) {
        return Ok(());
    }
    let why = attributes.refusal(&context.identity.name);
    Err(ApiError::forbidden("", "pods", &context.path.name, why))
}

/// What makes a request a WebSocket (RFC 6455, 4.2).
pub(crate) struct Handshake {
    accept: String,
    protocol: &'static str,
}

impl Handshake {
    /// The first of the subprotocols that the client offers; `None` when it wants none of them, or no WebSocket.
    pub(crate) fn of(headers: &HeaderMap, protocols: &[&'static str]) -> Option<(Self, &'static str)> {
        let header = |name: &http::HeaderName| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("");
        let key = header(&SEC_WEBSOCKET_KEY);
        if !header(&UPGRADE).eq_ignore_ascii_case("websocket") || key.is_empty() {
            return None;
        }
        let offered: Vec<&str> = header(&SEC_WEBSOCKET_PROTOCOL).split(',').map(str::trim).collect();
        let protocol = protocols.iter().copied().find(|p| offered.contains(p))?;
        Some((Self { accept: derive_accept_key(key.as_bytes()), protocol }, protocol))
    }

    /// The answer that switches to it.
    pub(crate) fn answer(&self) -> Response<Body> {
        let mut response = Response::new(crate::negotiation::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(self.protocol));
        if let Ok(accept) = HeaderValue::from_str(&self.accept) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        response
    }
}

/// `pods/exec` and `pods/attach`: starts the command, then answers with the upgrade.
pub(crate) async fn upgrade(context: Context, upgrade: OnUpgrade) -> Result<Response<Body>> {
    if &*context.served.storage != "/pods" {
        return Err(ApiError::no_such_resource());
    }
    may_create(&context)?;
    let options = ExecOptions {
        command: match context.path.subresource.as_str() {
            "exec" => context.query.all("command").to_vec(),
            _ => vec![],
        },
        stdin: context.query.flag("stdin"),
        tty: context.query.flag("tty"),
    };
    if context.path.subresource == "exec" && options.command.is_empty() {
        return Err(ApiError::bad_request("you must specify at least one command for the container"));
    }
    // What is wrong with the request is told before what is wrong with its protocol: kubectl tries an older protocol after
    // any refusal, and shows what the last one said.
    let container = container(&context)?;
    let Some((handshake, _)) = Handshake::of(&context.headers, &PROTOCOLS) else {
        return Err(ApiError::bad_request(format!(
            "exec and attach are served over WebSocket with the subprotocol {}: use kubectl 1.30 or newer",
            PROTOCOLS[0]
        )));
    };
    let session = match node(&context)?.exec(container, options).await {
        Ok(session) => Ok(session),
        // The container cannot run it, or runs no more; that is the outcome of a command.
        Err(NodeError::Internal(problem) | NodeError::NotFound(problem)) => Err(problem),
        Err(refused) => return Err(node_error(refused)),
    };
    let stopping = context.api.stopping.clone();
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        let carried = async {
            match session {
                Ok(session) => carry(socket, session).await,
                Err(problem) => refuse(socket, problem).await,
            }
        };
        tokio::select! {
            () = carried => {}
            () = stopping.cancelled() => {}
        }
    });
    Ok(handshake.answer())
}

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Carries bytes between the client and the command until the command ends or the client goes.
async fn carry(socket: Socket, session: ExecSession) {
    let ExecSession { stdin, stdout, stderr, resize, exit } = session;
    let (sink, source) = socket.split();
    let (out, messages) = mpsc::channel::<Message>(16);
    let writer = tokio::spawn(send(sink, messages));
    let input = receive(source, stdin, resize);
    let output = async move {
        let stdout = pump(1, stdout, out.clone());
        let stderr = async {
            if let Some(stderr) = stderr {
                pump(2, stderr, out.clone()).await;
            }
        };
        // All that was printed goes out before the outcome does.
        let (code, (), ()) = tokio::join!(exit, stdout, stderr);
        for message in ending(&code) {
            let _ = out.send(message).await;
        }
    };
    // Whichever ends first drops the other, and with it the last sender: the writer ends too.
    tokio::select! {
        () = output => {}
        () = input => {}
    }
    let _ = writer.await;
}

/// Tells why a command could not be run.
async fn refuse(mut socket: Socket, problem: String) {
    for message in ending(&Err(std::io::Error::other(problem))) {
        let _ = socket.send(message).await;
    }
    // The client answers the end; reading that keeps its last bytes from breaking the connection.
    while let Some(Ok(_)) = socket.next().await {}
}

/// The outcome, and the end of the connection.
fn ending(code: &std::io::Result<i32>) -> [Message; 2] {
    let mut message = vec![3];
    message.extend_from_slice(outcome(code).to_string().as_bytes());
    // Without a code clients take the end for an abrupt one.
    let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    [Message::Binary(message.into()), Message::Close(Some(normal))]
}

async fn send(mut sink: SplitSink<Socket, Message>, mut messages: mpsc::Receiver<Message>) {
    while let Some(message) = messages.recv().await {
        if sink.send(message).await.is_err() {
            return;
        }
    }
    let _ = sink.flush().await;
}

async fn pump(channel: u8, mut from: Box<dyn AsyncRead + Send + Unpin>, to: mpsc::Sender<Message>) {
    let mut buffer = vec![0; CHUNK];
    loop {
        match from.read(&mut buffer).await {
            // A terminal ends with an error when its last process does.
            Ok(0) | Err(_) => return,
            Ok(n) => {
                let mut message = Vec::with_capacity(n + 1);
                message.push(channel);
                message.extend_from_slice(&buffer[..n]);
                if to.send(Message::Binary(message.into())).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Reads the client's messages; returns when the client goes.
async fn receive(
    mut source: SplitStream<Socket>,
    mut stdin: Option<Box<dyn tokio::io::AsyncWrite + Send + Unpin>>,
    resize: mpsc::Sender<(u16, u16)>,
) {
    while let Some(Ok(message)) = source.next().await {
        let bytes: Bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Close(_) => return,
            _ => continue,
        };
        match bytes.split_first() {
            Some((0, data)) => {
                if let Some(input) = &mut stdin
                    && input.write_all(data).await.is_err()
                {
                    stdin = None;
                }
            }
            Some((4, data)) => {
                let size: Value = serde_json::from_slice(data).unwrap_or_default();
                let side = |name: &str| size[name].as_u64().and_then(|n| u16::try_from(n).ok());
                if let (Some(width), Some(height)) = (side("Width"), side("Height")) {
                    let _ = resize.send((width, height)).await;
                }
            }
            Some((&CLOSE, [0, ..])) => stdin = None,
            _ => {}
        }
    }
}

/// The Status that ends an exec.
fn outcome(code: &std::io::Result<i32>) -> Value {
    match code {
        Ok(0) => json!({"metadata": {}, "status": "Success"}),
        Ok(code) => json!({
            "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "message": format!("command terminated with non-zero exit code: exit status {code}"),
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
        Err(error) => json!({
            "metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
            "message": format!("Internal error occurred: error executing command in container: {error}"),
        }),
    }
}
