//! Seaway's end of a channel to a helper.

use crate::helper::wire;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// Sends a message with descriptors. Not to be cancelled half-way: callers do it from tasks of their own.
pub(super) async fn send<T: serde::Serialize>(
    channel: &mut OwnedWriteHalf,
    message: &T,
    fds: &[OwnedFd],
) -> std::io::Result<()> {
    let json = serde_json::to_vec(message)?;
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let stream: &UnixStream = channel.as_ref();
    stream.async_io(Interest::WRITABLE, || wire::send_head(stream.as_raw_fd(), json.len(), &raw)).await?;
    channel.write_all(&json).await
}

/// The next message; `None` when the helper is gone.
pub(super) async fn receive<T: serde::de::DeserializeOwned>(
    channel: &mut OwnedReadHalf,
) -> std::io::Result<Option<(T, Vec<OwnedFd>)>> {
    let stream: &UnixStream = channel.as_ref();
    let head = stream.async_io(Interest::READABLE, || wire::receive_head(stream.as_raw_fd())).await?;
    let Some((length, fds)) = head else { return Ok(None) };
    let mut json = vec![0; length];
    channel.read_exact(&mut json).await?;
    Ok(Some((serde_json::from_slice(&json)?, fds)))
}

/// A connected pair: ours, and the one to hand over.
pub(super) fn pair() -> std::io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs.into()))
}
