//! One connection per port over numbered channels in a WebSocket.
//!
//! Port number n of the request has channel 2n for its data and 2n + 1 for why there is none. On each, the first message
//! from here is the port itself (two bytes, the low one first). A connection's end is told by the end of them all:
//! the protocol has no other way.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use futures::{Sink, SinkExt, Stream, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::refusal;
use crate::node_streams::PodPorts;

const CHUNK: usize = 32 * 1024;
/// Messages that wait for a program that does not read; then the client waits.
const INPUT_MESSAGES: usize = 16;

/// Carries the connections until all have ended, or the client or the pod goes.
pub(super) async fn serve<R, W>(read: R, write: W, ports: &[u16], pod: Arc<dyn PodPorts>)
where
    R: Stream<Item = std::io::Result<Bytes>>,
    W: Sink<Bytes, Error = std::io::Error> + Send + 'static,
{
    let (out, mut messages) = mpsc::channel::<Bytes>(INPUT_MESSAGES);
    let writer = tokio::spawn(async move {
        let mut write = std::pin::pin!(write);
        while let Some(message) = messages.recv().await {
            if write.send(message).await.is_err() {
                return;
            }
        }
        let _ = write.close().await;
    });
    let ended = pod.ended();
    let mut connections = JoinSet::new();
    let mut inputs = Vec::new();
    // 128 ports at most: the numbers fit.
    for (channel, port) in (0..=u8::MAX).step_by(2).zip(ports.iter().copied()) {
        for number in [channel, channel | 1] {
            let _ = out.send(message(number, &port.to_le_bytes())).await;
        }
        let (input, waiting) = mpsc::channel(INPUT_MESSAGES);
        inputs.push(input);
        connections.spawn(connect(pod.clone(), port, channel, waiting, out.clone()));
    }
    let all = async { while connections.join_next().await.is_some() {} };
    tokio::select! {
        () = receive(read, inputs) => {}
        () = all => {}
        () = ended => {}
    }
    drop((connections, out));
    let _ = writer.await;
}

async fn receive(read: impl Stream<Item = std::io::Result<Bytes>>, inputs: Vec<mpsc::Sender<Bytes>>) {
    let mut read = std::pin::pin!(read);
    while let Some(Ok(mut message)) = read.next().await {
        if message.is_empty() {
            continue;
        }
        let channel = message.split_to(1)[0];
        let input = inputs.get(usize::from(channel / 2)).filter(|_| channel.is_multiple_of(2));
        if let Some(input) = input {
            let _ = input.send(message).await;
        }
    }
}

fn message(channel: u8, content: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(content.len() + 1);
    message.put_u8(channel);
    message.put_slice(content);
    message.freeze()
}

async fn connect(
    pod: Arc<dyn PodPorts>,
    port: u16,
    channel: u8,
    mut input: mpsc::Receiver<Bytes>,
    out: mpsc::Sender<Bytes>,
) {
    let socket = match pod.connect(port).await {
        Ok(socket) => socket,
        Err(problem) => {
            let _ = out.send(message(channel | 1, refusal(port, &problem).as_bytes())).await;
            return;
        }
    };
    let (mut read, mut write) = socket.into_split();
    let to_pod = async move {
        while let Some(bytes) = input.recv().await {
            if write.write_all(&bytes).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let from_pod = async {
        let mut buffer = BytesMut::with_capacity(CHUNK);
        while let Ok(1..) = read.read_buf(&mut buffer).await {
            if out.send(message(channel, &buffer.split())).await.is_err() {
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
