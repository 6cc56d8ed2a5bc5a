//! Many connections over SPDY/3.1, as client-go makes them.
//!
//! For each connection the client opens two streams with the same `requestID`: one for data, and one on which it is told
//! why there is none. Streams are answered before anything is sent on them: client-go drops what comes earlier.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{Sink, SinkExt, Stream, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::refusal;
use crate::node_streams::PodPorts;
use crate::spdy::{Decoder, Encoder, Frame, REFUSED_STREAM};

/// Most connections at a time, over one client's tunnel.
const MAX_CONNECTIONS: usize = 256;
/// Pieces (of 16 KiB at most) that wait for a program that does not read; then the whole tunnel waits with them, since
/// SPDY as client-go speaks it has no other way to say so.
const INPUT_PIECES: usize = 32;
const OUTPUT_FRAMES: usize = 16;
const CHUNK: usize = 32 * 1024;

/// Carries connections until the client or the pod goes.
pub(super) async fn serve<R, W>(read: R, write: W, pod: Arc<dyn PodPorts>)
where
    R: Stream<Item = std::io::Result<Bytes>>,
    W: Sink<Bytes, Error = std::io::Error> + Send + 'static,
{
    let (out, frames) = mpsc::channel(OUTPUT_FRAMES);
    let writer = tokio::spawn(send(write, frames));
    let ended = pod.ended();
    let mut tunnel = Tunnel {
        pod,
        out: out.clone(),
        connections: HashMap::new(),
        streams: HashMap::new(),
        last: 0,
        tasks: JoinSet::new(),
    };
    tokio::select! {
        () = tunnel.receive(read) => {}
        () = ended => {
            let _ = out.send(Frame::GoAway { last: tunnel.last }).await;
        }
    }
    // With the last sender the writer ends, and closes.
    drop((tunnel, out));
    let _ = writer.await;
}

async fn send<W: Sink<Bytes, Error = std::io::Error>>(write: W, mut frames: mpsc::Receiver<Frame>) {
    let mut write = std::pin::pin!(write);
    let Ok(mut encoder) = Encoder::new() else { return };
    while let Some(frame) = frames.recv().await {
        let Ok(bytes) = encoder.encode(&frame) else { return };
        if write.send(bytes).await.is_err() {
            return;
        }
    }
    let _ = write.close().await;
}

/// A connection, once both of its streams are there.
#[derive(Default)]
struct Connection {
    error: Option<u32>,
    data: Option<(u32, u16)>,
    /// Ended when the client has sent all.
    input: Option<mpsc::Sender<Bytes>>,
    /// Where the input goes until the connection is made.
    waiting: Option<mpsc::Receiver<Bytes>>,
    task: Option<AbortHandle>,
}

struct Tunnel {
    pod: Arc<dyn PodPorts>,
    out: mpsc::Sender<Frame>,
    /// By `requestID`.
    connections: HashMap<String, Connection>,
    /// Which connection a stream belongs to.
    streams: HashMap<u32, String>,
    last: u32,
    tasks: JoinSet<String>,
}

impl Tunnel {
    async fn receive(&mut self, read: impl Stream<Item = std::io::Result<Bytes>>) {
        let mut read = std::pin::pin!(read);
        let (mut decoder, mut buffer) = (Decoder::new(), BytesMut::new());
        loop {
            let bytes = tokio::select! {
                bytes = read.next() => bytes,
                Some(ended) = self.tasks.join_next() => {
                    if let Ok(request) = ended {
                        self.forget(&request);
                    }
                    continue;
                }
            };
            let Some(Ok(bytes)) = bytes else { return };
            buffer.extend_from_slice(&bytes);
            loop {
                match decoder.decode(&mut buffer) {
                    Ok(Some(frame)) => {
                        if self.take(frame).await.is_none() {
                            return;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        tracing::debug!(%error, "a port-forward ends: the client's frames cannot be read");
                        return;
                    }
                }
            }
        }
    }

    /// `None` ends the tunnel: nobody listens any more, or the client breaks the protocol.
    async fn take(&mut self, frame: Frame) -> Option<()> {
        match frame {
            Frame::SynStream { stream, headers, fin } => return self.open(stream, &headers, fin).await,
            Frame::Data { stream, bytes, fin } => {
                let connection =
                    self.streams.get(&stream).and_then(|request| self.connections.get_mut(request));
                let connection = connection.filter(|c| c.data.is_some_and(|(data, _)| data == stream));
                if let Some(connection) = connection {
                    // One that has ended takes nothing more; that it has is told by its own end.
                    if let Some(input) = connection.input.as_ref().filter(|_| !bytes.is_empty()) {
                        let _ = input.send(bytes).await;
                    }
                    if fin {
                        connection.input = None;
                    }
                }
            }
            Frame::RstStream { stream, .. } => {
                let Some(request) = self.streams.get(&stream).cloned() else { return Some(()) };
                let connection = self.forget(&request)?;
                if let Some(task) = connection.task {
                    task.abort();
                }
                // The client waits for the end of the other one.
                let other = connection.error.filter(|error| *error != stream);
                if let Some(stream) = other {
                    self.out.send(end(stream)).await.ok()?;
                }
            }
            // Even numbers would be answers to pings of ours, of which there are none.
            Frame::Ping { id } if id % 2 == 1 => self.out.send(Frame::Ping { id }).await.ok()?,
            Frame::Ping { .. } | Frame::GoAway { .. } | Frame::SynReply { .. } => {}
        }
        Some(())
    }

    async fn open(&mut self, stream: u32, headers: &[(String, String)], fin: bool) -> Option<()> {
        if stream.is_multiple_of(2) || stream <= self.last {
            return None;
        }
        self.last = stream;
        let header =
            |name: &str| headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str());
        let port = header("port").and_then(|port| port.parse::<u16>().ok()).filter(|port| *port > 0);
        let (kind, request) = (header("streamType"), header("requestID").unwrap_or_default());
        let is_full = self.connections.len() >= MAX_CONNECTIONS && !self.connections.contains_key(request);
        let taken = port.filter(|_| !is_full && !request.is_empty()).and_then(|port| {
            let connection = self.connections.entry(request.to_owned()).or_default();
            match kind {
                Some("error") if connection.error.is_none() => connection.error = Some(stream),
                Some("data") if connection.data.is_none() => {
                    connection.data = Some((stream, port));
                    let (input, waiting) = mpsc::channel(INPUT_PIECES);
                    connection.input = Some(input).filter(|_| !fin);
                    connection.waiting = Some(waiting);
                }
                _ => return None,
            }
            self.streams.insert(stream, request.to_owned());
            Some(())
        });
        if taken.is_none() {
            return self.out.send(Frame::RstStream { stream, status: REFUSED_STREAM }).await.ok();
        }
        self.out.send(Frame::SynReply { stream }).await.ok()?;
        if let Some(connection) = self.connections.get_mut(request)
            && let (Some(error), Some((data, port))) = (connection.error, connection.data)
            && let Some(input) = connection.waiting.take()
        {
            let (pod, out, request) = (self.pod.clone(), self.out.clone(), request.to_owned());
            connection.task = Some(self.tasks.spawn(async move {
                connect(pod, port, input, &out, (data, error)).await;
                request
            }));
        }
        Some(())
    }

    fn forget(&mut self, request: &str) -> Option<Connection> {
        self.streams.retain(|_, of| of != request);
        self.connections.remove(request)
    }
}

fn end(stream: u32) -> Frame {
    Frame::Data { stream, bytes: Bytes::new(), fin: true }
}

/// One connection, until the program in the pod ends it.
async fn connect(
    pod: Arc<dyn PodPorts>,
    port: u16,
    mut input: mpsc::Receiver<Bytes>,
    out: &mpsc::Sender<Frame>,
    (data, error): (u32, u32),
) {
    match pod.connect(port).await {
        Ok(socket) => {
            let (mut read, mut write) = socket.into_split();
            let to_pod = async move {
                while let Some(bytes) = input.recv().await {
                    if write.write_all(&bytes).await.is_err() {
                        break;
                    }
                }
                // The client has sent all; it may still read.
                let _ = write.shutdown().await;
                std::future::pending::<()>().await;
            };
            let from_pod = async {
                let mut buffer = BytesMut::with_capacity(CHUNK);
                while let Ok(1..) = read.read_buf(&mut buffer).await {
                    let bytes = buffer.split().freeze();
                    if out.send(Frame::Data { stream: data, bytes, fin: false }).await.is_err() {
                        return;
                    }
                    buffer.reserve(CHUNK);
                }
            };
            tokio::select! {
                () = from_pod => {}
                () = to_pod => {}
            }
        }
        Err(problem) => {
            let bytes = refusal(port, &problem).into();
            let _ = out.send(Frame::Data { stream: error, bytes, fin: false }).await;
        }
    }
    let _ = out.send(end(data)).await;
    let _ = out.send(end(error)).await;
}
