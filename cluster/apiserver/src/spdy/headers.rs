//! Header blocks: name/value pairs in one zlib stream per direction, with the dictionary that both sides know
//! (SPDY/3.1, 2.6.10 and 2.6.10.1).

use std::sync::LazyLock;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{MAX_HEADER_COUNT, MAX_HEADERS, SpdyError};

/// Words that the dictionary holds with their length before them.
const COUNTED: &str = "options head post put delete trace accept accept-charset accept-encoding accept-language \
    accept-ranges age allow authorization cache-control connection content-base content-encoding content-language \
    content-length content-location content-md5 content-range content-type date etag expect expires from host if-match \
    if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma \
    proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade \
    user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie \
    keep-alive origin";
/// What follows them as it is.
const PLAIN: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505\
    203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden\
    404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug \
    Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,\
    application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdch\
    charset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

static DICTIONARY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut bytes = Vec::with_capacity(1423);
    for word in COUNTED.split_ascii_whitespace() {
        let word = word.replace('_', " ");
        bytes.extend_from_slice(&u32::try_from(word.len()).unwrap_or(0).to_be_bytes());
        bytes.extend_from_slice(word.as_bytes());
    }
    bytes.extend_from_slice(PLAIN.as_bytes());
    bytes
});

/// Reads the header blocks of one direction, in order.
pub(super) struct HeaderReader(Decompress);

impl HeaderReader {
    pub(super) fn new() -> Self {
        Self(Decompress::new(true))
    }

    /// The pairs of one block. Names are as sent; client-go writes them in lower case.
    pub(super) fn read(&mut self, block: &[u8]) -> Result<Vec<(String, String)>, SpdyError> {
        pairs(&self.inflate(block)?)
    }

    fn inflate(&mut self, mut block: &[u8]) -> Result<Vec<u8>, SpdyError> {
        let broken = |problem: &str| SpdyError::Compression(problem.to_owned());
        let mut plain = vec![0; MAX_HEADERS];
        let mut length = 0;
        loop {
            let (read, written) = (self.0.total_in(), self.0.total_out());
            let step = self.0.decompress(block, &mut plain[length..], FlushDecompress::Sync);
            block = &block[usize::try_from(self.0.total_in() - read).unwrap_or(block.len())..];
            length += usize::try_from(self.0.total_out() - written).unwrap_or(0);
            match step {
                Ok(Status::StreamEnd) => return Err(broken("the stream of headers has ended")),
                Ok(_) if length == plain.len() => return Err(SpdyError::Malformed("too many headers")),
                Ok(Status::BufError) | Ok(Status::Ok) if block.is_empty() => break,
                Ok(Status::Ok) => {}
                Ok(Status::BufError) => return Err(broken("the block does not end")),
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0.set_dictionary(&DICTIONARY).map_err(|e| broken(&e.to_string()))?;
                }
                Err(error) => return Err(broken(&error.to_string())),
            }
        }
        plain.truncate(length);
        Ok(plain)
    }
}

fn pairs(mut block: &[u8]) -> Result<Vec<(String, String)>, SpdyError> {
    const TORN: SpdyError = SpdyError::Malformed("a header block is torn");
    fn number(block: &mut &[u8]) -> Result<usize, SpdyError> {
        let (number, rest) = block.split_first_chunk::<4>().ok_or(TORN)?;
        *block = rest;
        usize::try_from(u32::from_be_bytes(*number)).map_err(|_| TORN)
    }
    fn text(block: &mut &[u8]) -> Result<String, SpdyError> {
        let length = number(block)?;
        let (text, rest) = block.split_at_checked(length).ok_or(TORN)?;
        *block = rest;
        String::from_utf8(text.to_vec()).map_err(|_| SpdyError::Malformed("a header is not text"))
    }
    let count = number(&mut block)?;
    if count > MAX_HEADER_COUNT {
        return Err(SpdyError::Malformed("too many headers"));
    }
    let pairs = (0..count).map(|_| Ok((text(&mut block)?, text(&mut block)?))).collect();
    if block.is_empty() { pairs } else { Err(TORN) }
}

/// Writes the header blocks of one direction, in order.
pub(super) struct HeaderWriter(Compress);

impl HeaderWriter {
    pub(super) fn new() -> Result<Self, SpdyError> {
        let mut compress = Compress::new(Compression::fast(), true);
        compress.set_dictionary(&DICTIONARY).map_err(|e| SpdyError::Compression(e.to_string()))?;
        Ok(Self(compress))
    }

    /// One block.
    pub(super) fn write(&mut self, pairs: &[(String, String)]) -> Result<Vec<u8>, SpdyError> {
        let number = |n: usize| {
            let number = u32::try_from(n).map_err(|_| SpdyError::Malformed("a header is too long"));
            number.map(u32::to_be_bytes)
        };
        let mut plain = number(pairs.len())?.to_vec();
        for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
            plain.extend_from_slice(&number(text.len())?);
            plain.extend_from_slice(text.as_bytes());
        }
        let mut block = Vec::with_capacity(plain.len() + 64);
        let mut rest = plain.as_slice();
        loop {
            let read = self.0.total_in();
            block.reserve(256);
            self.0
                .compress_vec(rest, &mut block, FlushCompress::Sync)
                .map_err(|e| SpdyError::Compression(e.to_string()))?;
            rest = &rest[usize::try_from(self.0.total_in() - read).unwrap_or(rest.len())..];
            // Room that is left says that all was flushed.
            if rest.is_empty() && block.len() < block.capacity() {
                return Ok(block);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn the_dictionary_is_the_one_that_every_peer_has() {
        assert_eq!(DICTIONARY.len(), 1423);
        // A zlib stream with a preset dictionary names it by its checksum (RFC 1950).
        let block = HeaderWriter::new().unwrap().write(&[]).unwrap();
        assert_eq!(block[2..6], [0xe3, 0xc6, 0xa7, 0xc2]);
    }

    #[test]
    fn blocks_of_one_stream_are_read_as_they_were_written() {
        let (mut writer, mut reader) = (HeaderWriter::new().unwrap(), HeaderReader::new());
        for n in 0..100 {
            let long = "x".repeat(n * 20);
            let sent = vec![
                pair("streamtype", "data"),
                pair("port", "80"),
                pair("requestid", &n.to_string()),
                pair("x", &long),
            ];
            assert_eq!(reader.read(&writer.write(&sent).unwrap()).unwrap(), sent);
        }
        assert_eq!(reader.read(&writer.write(&[]).unwrap()).unwrap(), []);
    }

    #[test]
    fn a_block_that_swells_up_is_refused() {
        let bomb = pair("a", &"a".repeat(10 * MAX_HEADERS));
        let block = HeaderWriter::new().unwrap().write(&[bomb]).unwrap();
        assert!(block.len() < 4000, "{}", block.len());
        assert_eq!(HeaderReader::new().read(&block), Err(SpdyError::Malformed("too many headers")));
        let many = vec![pair("a", "b"); MAX_HEADER_COUNT + 1];
        let block = HeaderWriter::new().unwrap().write(&many).unwrap();
        assert_eq!(HeaderReader::new().read(&block), Err(SpdyError::Malformed("too many headers")));
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(HeaderReader::new().read(b"GET / HTTP/1.1\r\n").is_err());
        assert!(HeaderReader::new().read(&[]).is_err());
        let block = HeaderWriter::new().unwrap().write(&[pair("a", "b")]).unwrap();
        assert!(HeaderReader::new().read(&block[..block.len() - 6]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_input_breaks_the_reader(blocks in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 0..200), 1..5), good in 0..3usize) {
            let (mut writer, mut reader) = (HeaderWriter::new().unwrap(), HeaderReader::new());
            for _ in 0..good {
                reader.read(&writer.write(&[pair("a", "b")]).unwrap()).unwrap();
            }
            for block in blocks {
                let _ = reader.read(&block);
            }
        }
    }
}
