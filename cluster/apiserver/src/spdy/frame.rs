//! Frames of SPDY/3.1 (2.2 and 2.6 of its specification).

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::headers::{HeaderReader, HeaderWriter};
use super::{MAX_CONTROL, MAX_PIECE, SpdyError};

/// Bytes before each frame's content.
const HEAD: usize = 8;
const FIN: u8 = 1;
/// Status of a reset: the stream was not taken up.
pub(crate) const REFUSED_STREAM: u32 = 3;

/// What is said on a connection. What Kubernetes' clients never need is not told: settings, windows, later headers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// The client opens a stream.
    SynStream {
        /// Odd for streams that a client opens.
        stream: u32,
        /// As sent.
        headers: Vec<(String, String)>,
        /// The client will send nothing on it.
        fin: bool,
    },
    /// The stream is taken up.
    SynReply {
        /// Which one.
        stream: u32,
    },
    /// Bytes of a stream, perhaps a part of what was sent as one frame.
    Data {
        /// Which one.
        stream: u32,
        /// May be empty.
        bytes: Bytes,
        /// The sender will send nothing more on it.
        fin: bool,
    },
    /// A stream ends at once, both ways.
    RstStream {
        /// Which one.
        stream: u32,
        /// Why, by the specification's numbers.
        status: u32,
    },
    /// To be sent back as it is.
    Ping {
        /// Odd for a client's.
        id: u32,
    },
    /// No more streams are opened.
    GoAway {
        /// The last one that was taken up.
        last: u32,
    },
}

/// Bytes of a connection to frames.
pub(crate) struct Decoder {
    headers: HeaderReader,
    /// Stream, bytes that are still to come, and whether its data ends with them.
    data: Option<(u32, usize, bool)>,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self { headers: HeaderReader::new(), data: None }
    }

    /// The next frame, or `None` when more bytes are needed first. After an error the connection is of no use.
    pub(crate) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, SpdyError> {
        loop {
            if let Some((stream, left, fin)) = self.data {
                let Some(take) = Some(left.min(buffer.len()).min(MAX_PIECE)).filter(|n| *n > 0 || left == 0)
                else {
                    return Ok(None);
                };
                let bytes = buffer.split_to(take).freeze();
                let is_last = take == left;
                self.data = (!is_last).then_some((stream, left - take, fin));
                return Ok(Some(Frame::Data { stream, bytes, fin: fin && is_last }));
            }
            let Some(head) = buffer.first_chunk::<HEAD>().copied() else { return Ok(None) };
            let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
            let (first, flags, length) = (word(0), head[4], (word(4) & 0x00ff_ffff) as usize);
            if first >> 31 == 0 {
                buffer.advance(HEAD);
                self.data = Some((first, length, flags & FIN != 0));
                continue;
            }
            let (version, kind) = ((first >> 16 & 0x7fff) as u16, first & 0xffff);
            if version != 3 {
                return Err(SpdyError::Version(version));
            }
            if length > MAX_CONTROL {
                return Err(SpdyError::Malformed("a control frame is too long"));
            }
            if buffer.len() < HEAD + length {
                return Ok(None);
            }
            buffer.advance(HEAD);
            let body = buffer.split_to(length).freeze();
            if let Some(frame) = self.control(kind, flags, body)? {
                return Ok(Some(frame));
            }
        }
    }

    fn control(&mut self, kind: u32, flags: u8, mut body: Bytes) -> Result<Option<Frame>, SpdyError> {
        const SHORT: SpdyError = SpdyError::Malformed("a control frame is too short");
        fn number(body: &mut Bytes) -> Result<u32, SpdyError> {
            body.try_get_u32().map_err(|_| SHORT)
        }
        Ok(match kind {
            1 => {
                let stream = number(&mut body)? & 0x7fff_ffff;
                let _associated = number(&mut body)?;
                let _priority_and_slot = body.try_get_u16().map_err(|_| SHORT)?;
                Some(Frame::SynStream { stream, headers: self.headers.read(&body)?, fin: flags & FIN != 0 })
            }
            // Answers and later headers tell nothing here, but they are part of the compression.
            2 | 8 => {
                number(&mut body)?;
                self.headers.read(&body)?;
                None
            }
            3 => Some(Frame::RstStream {
                stream: number(&mut body)? & 0x7fff_ffff,
                status: number(&mut body)?,
            }),
            6 => Some(Frame::Ping { id: number(&mut body)? }),
            7 => Some(Frame::GoAway { last: number(&mut body)? & 0x7fff_ffff }),
            _ => None,
        })
    }
}

/// Frames to bytes of a connection.
pub(crate) struct Encoder {
    headers: HeaderWriter,
}

impl Encoder {
    pub(crate) fn new() -> Result<Self, SpdyError> {
        Ok(Self { headers: HeaderWriter::new()? })
    }

    /// A frame as it is sent.
    pub(crate) fn encode(&mut self, frame: &Frame) -> Result<Bytes, SpdyError> {
        let mut body = BytesMut::new();
        let (first, flags) = match frame {
            Frame::SynStream { stream, headers, fin } => {
                body.put_u32(*stream);
                body.put_bytes(0, 6);
                body.put_slice(&self.headers.write(headers)?);
                (control(1), u8::from(*fin))
            }
            Frame::SynReply { stream } => {
                body.put_u32(*stream);
                body.put_slice(&self.headers.write(&[])?);
                (control(2), 0)
            }
            Frame::Data { stream, bytes, fin } => {
                body.put_slice(bytes);
                (stream & 0x7fff_ffff, u8::from(*fin))
            }
            Frame::RstStream { stream, status } => {
                body.put_u32(*stream);
                body.put_u32(*status);
                (control(3), 0)
            }
            Frame::Ping { id } => {
                body.put_u32(*id);
                (control(6), 0)
            }
            Frame::GoAway { last } => {
                body.put_u32(*last);
                body.put_u32(0);
                (control(7), 0)
            }
        };
        let length = u32::try_from(body.len()).ok().filter(|n| *n <= 0x00ff_ffff);
        let length = length.ok_or(SpdyError::Malformed("a frame is too long"))?;
        let mut bytes = BytesMut::with_capacity(HEAD + body.len());
        bytes.put_u32(first);
        bytes.put_u32(u32::from(flags) << 24 | length);
        bytes.put_slice(&body);
        Ok(bytes.freeze())
    }
}

fn control(kind: u32) -> u32 {
    1 << 31 | 3 << 16 | kind
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn all(decoder: &mut Decoder, bytes: &[u8]) -> Result<Vec<Frame>, SpdyError> {
        let mut buffer = BytesMut::from(bytes);
        let mut frames = vec![];
        while let Some(frame) = decoder.decode(&mut buffer)? {
            frames.push(frame);
        }
        Ok(frames)
    }

    fn sent() -> Vec<Frame> {
        let headers =
            vec![("streamtype".to_owned(), "error".to_owned()), ("port".to_owned(), "80".to_owned())];
        vec![
            Frame::SynStream { stream: 1, headers: headers.clone(), fin: true },
            Frame::SynStream { stream: 3, headers, fin: false },
            Frame::Ping { id: 1 },
            Frame::Data { stream: 3, bytes: Bytes::from_static(b"hello"), fin: false },
            Frame::Data { stream: 3, bytes: Bytes::new(), fin: true },
            Frame::RstStream { stream: 3, status: 5 },
            Frame::GoAway { last: 3 },
        ]
    }

    #[test]
    fn frames_are_read_as_they_were_sent_however_the_bytes_arrive() {
        let mut encoder = Encoder::new().unwrap();
        let bytes: Vec<u8> = sent().iter().flat_map(|f| encoder.encode(f).unwrap()).collect();
        assert_eq!(all(&mut Decoder::new(), &bytes).unwrap(), sent());
        let (mut decoder, mut buffer, mut frames, mut text) =
            (Decoder::new(), BytesMut::new(), vec![], vec![]);
        for byte in bytes {
            buffer.put_u8(byte);
            while let Some(frame) = decoder.decode(&mut buffer).unwrap() {
                match frame {
                    Frame::Data { stream: 3, bytes, fin: false } => text.extend_from_slice(&bytes),
                    other => frames.push(other),
                }
            }
        }
        assert_eq!(text, b"hello");
        let others = sent().into_iter().filter(|f| !matches!(f, Frame::Data { fin: false, .. }));
        assert_eq!(frames, others.collect::<Vec<_>>());
    }

    #[test]
    fn a_long_data_frame_is_passed_on_in_pieces_and_ends_once() {
        let content: Vec<u8> = (0..3 * MAX_PIECE + 5).map(|n| (n % 251) as u8).collect();
        let frame = Frame::Data { stream: 7, bytes: content.clone().into(), fin: true };
        let frames = all(&mut Decoder::new(), &Encoder::new().unwrap().encode(&frame).unwrap()).unwrap();
        let mut joined = vec![];
        for (n, frame) in frames.iter().enumerate() {
            let Frame::Data { stream: 7, bytes, fin } = frame else { panic!("{frame:?}") };
            assert_eq!(*fin, n == frames.len() - 1);
            assert!(bytes.len() <= MAX_PIECE);
            joined.extend_from_slice(bytes);
        }
        assert_eq!(joined, content);
    }

    #[test]
    fn what_is_not_spdy_3_or_too_long_is_refused() {
        let refused = |bytes: &[u8]| all(&mut Decoder::new(), bytes).unwrap_err();
        assert_eq!(refused(&[0x80, 2, 0, 1, 0, 0, 0, 0]), SpdyError::Version(2));
        assert_eq!(
            refused(&[0x80, 3, 0, 1, 0, 1, 0, 0]),
            SpdyError::Malformed("a control frame is too long")
        );
        assert_eq!(
            refused(&[0x80, 3, 0, 6, 0, 0, 0, 0]),
            SpdyError::Malformed("a control frame is too short")
        );
    }

    #[test]
    fn settings_windows_and_unknown_frames_are_passed_over() {
        let mut bytes = vec![];
        for kind in [4, 9, 200] {
            bytes.extend_from_slice(&[0x80, 3, 0, kind, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 9]);
        }
        bytes.extend_from_slice(&[0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 9]);
        assert_eq!(all(&mut Decoder::new(), &bytes).unwrap(), [Frame::Ping { id: 9 }]);
    }

    proptest::proptest! {
        #[test]
        fn no_input_breaks_the_decoder(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400), kind in 0..12u8) {
            let mut encoder = Encoder::new().unwrap();
            let mut input: Vec<u8> = sent().iter().take(2).flat_map(|f| encoder.encode(f).unwrap()).collect();
            input.extend_from_slice(&[0x80, 3, 0, kind, 0, 0, 0, 20]);
            input.extend_from_slice(&bytes);
            let _ = all(&mut Decoder::new(), &input);
            let _ = all(&mut Decoder::new(), &bytes);
        }
    }
}
