//! Messages between Seaway and its helper processes: a length, JSON, and file descriptors beside them.
//!
//! Both sides are the same program, so there is no version to agree on. The functions here block; Seaway's side waits
//! for readiness first (`sandbox/channel.rs`).

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg};
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

/// Longest message: a container's environment may hold a few ConfigMaps of 1 MiB.
pub(crate) const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// Most descriptors beside one message.
pub(crate) const MAX_FDS: usize = 16;

/// Sends the length with the descriptors, which travel with its first byte.
pub(crate) fn send_head(socket: RawFd, length: usize, fds: &[RawFd]) -> std::io::Result<()> {
    let length = u32::try_from(length).map_err(|_| std::io::Error::other("message too long"))?.to_be_bytes();
    let rights = [ControlMessage::ScmRights(fds)];
    let control: &[ControlMessage<'_>] = if fds.is_empty() { &[] } else { &rights };
    let flags = MsgFlags::MSG_NOSIGNAL;
    match sendmsg::<UnixAddr>(socket, &[IoSlice::new(&length)], control, flags, None)? {
        4 => Ok(()),
        _ => Err(std::io::Error::other("short write")),
    }
}

/// Receives a length and its descriptors. `None` when the other side is gone.
#[allow(unsafe_code)]
pub(crate) fn receive_head(socket: RawFd) -> std::io::Result<Option<(usize, Vec<OwnedFd>)>> {
    let mut length = [0u8; 4];
    let mut space = cmsg_space!([RawFd; MAX_FDS]);
    let mut buffers = [IoSliceMut::new(&mut length)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = match recvmsg::<UnixAddr>(socket, &mut buffers, Some(&mut space), flags) {
        Err(Errno::ECONNRESET) => return Ok(None),
        other => other?,
    };
    let mut fds = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(received) = control {
            // SAFETY: the kernel just made these descriptors for us; nobody else owns them.
            fds.extend(received.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    match message.bytes {
        0 => Ok(None),
        4 => {
            let length = u32::from_be_bytes(length) as usize;
            if length > MAX_MESSAGE {
                return Err(std::io::Error::other("message too long"));
            }
            Ok(Some((length, fds)))
        }
        _ => Err(std::io::Error::other("torn message")),
    }
}

/// Sends a message from a helper.
pub(crate) fn send<T: serde::Serialize>(
    mut socket: &UnixStream,
    message: &T,
    fds: &[RawFd],
) -> std::io::Result<()> {
    let json = serde_json::to_vec(message)?;
    send_head(socket.as_raw_fd(), json.len(), fds)?;
    socket.write_all(&json)
}

/// Receives a message in a helper.
pub(crate) fn receive<T: serde::de::DeserializeOwned>(
    mut socket: &UnixStream,
) -> std::io::Result<Option<(T, Vec<OwnedFd>)>> {
    let Some((length, fds)) = receive_head(socket.as_raw_fd())? else { return Ok(None) };
    let mut json = vec![0; length];
    socket.read_exact(&mut json)?;
    Ok(Some((serde_json::from_slice(&json)?, fds)))
}
