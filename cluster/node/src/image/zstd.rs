//! Zstandard data as layers hold it: one frame after another, with frames between them that carry no content.

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::{BufRead, Error, Read, Result};

/// Decompresses all frames.
pub(super) struct ZstdReader<R> {
    source: R,
    frame: FrameDecoder,
    is_inside: bool,
}

impl<R: BufRead> ZstdReader<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, frame: FrameDecoder::new(), is_inside: false }
    }

    /// Begins the next frame; `false` at the end.
    fn next_frame(&mut self) -> Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.frame.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    if std::io::copy(&mut self.source.by_ref().take(length), &mut std::io::sink())? != length
                    {
                        return Err(Error::from(std::io::ErrorKind::UnexpectedEof));
                    }
                }
                Err(e) => return Err(Error::other(format!("not zstd data: {e}"))),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for ZstdReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            if !self.is_inside {
                if !self.next_frame()? {
                    return Ok(0);
                }
                self.is_inside = true;
            }
            while self.frame.can_collect() == 0 && !self.frame.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.frame.decode_blocks(&mut self.source, one).map_err(|e| Error::other(e.to_string()))?;
            }
            if self.frame.can_collect() > 0 {
                return self.frame.read(buffer);
            }
            self.is_inside = false;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    #[test]
    fn several_frames_and_skipped_ones_are_one_content() {
        let (first, second) = (vec![b'a'; 300_000], b"second".to_vec());
        let mut data = compress_to_vec(&first[..], CompressionLevel::Fastest);
        data.extend_from_slice(&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9]);
        data.extend(compress_to_vec(&second[..], CompressionLevel::Fastest));
        let mut content = Vec::new();
        ZstdReader::new(&data[..]).read_to_end(&mut content).unwrap();
        assert_eq!(content, [first, second].concat());
        for cut in [3, data.len() / 2, data.len() - 1] {
            assert!(ZstdReader::new(&data[..cut]).read_to_end(&mut Vec::new()).is_err(), "cut at {cut}");
        }
    }
}
