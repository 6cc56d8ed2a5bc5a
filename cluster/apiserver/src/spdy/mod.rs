//! The part of SPDY/3.1 that Kubernetes' streams use: frames and compressed headers, with limits on everything.
//!
//! SPDY is long gone from the web; client-go still multiplexes port-forwards by it, today inside a WebSocket (KEP-4006).
//! What is left out, since no such client uses it: pushed streams, priorities, settings, and flow control. client-go never
//! announces a window, so none is kept here either; what slows a sender down is the connection itself.
//!
//! [`Decoder`] and [`Encoder`] are pure: bytes in, frames out. Start at [`frame`]; [`headers`] holds the compression.

mod frame;
mod headers;

pub(crate) use frame::{Decoder, Encoder, Frame, REFUSED_STREAM};

/// Longest control frame as sent, in bytes. client-go's headers need about a hundred.
const MAX_CONTROL: usize = 16 * 1024;
/// Longest header block once decompressed, in bytes.
const MAX_HEADERS: usize = 16 * 1024;
/// Most headers of one stream.
const MAX_HEADER_COUNT: usize = 64;
/// Data frames are passed on in pieces of at most so many bytes, however long the frame is.
const MAX_PIECE: usize = 16 * 1024;

/// Why a connection cannot go on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SpdyError {
    /// Another version, or not SPDY at all.
    #[error("the client speaks SPDY version {0}, not 3")]
    Version(u16),
    /// A frame that is too long, too short or inconsistent.
    #[error("{0}")]
    Malformed(&'static str),
    /// The header compression is broken.
    #[error("headers cannot be decompressed: {0}")]
    Compression(String),
}
