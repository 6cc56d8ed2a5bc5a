//! A compressed layer on its way to a folder: decompressed, hashed on both sides, limited.

use super::Limits;
use super::manifest::Descriptor;
use super::unpack::unpack;
use super::zstd::ZstdReader;
use crate::error::{Error, Result};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// Unpacks a compressed layer and checks both hashes; the folder is worth something only after `Ok`.
pub(super) fn unpack_checked(
    file: File,
    descriptor: &Descriptor,
    diff_id: &str,
    folder: &Path,
    owners: bool,
    limits: &Limits,
) -> Result<()> {
    let fail = |problem: String| Error::Blob { digest: descriptor.digest.clone(), problem };
    let mut compressed = Hashing::new(file, descriptor.size);
    let mut magic = [0u8; 4];
    let read = read_up_to(&mut compressed, &mut magic).map_err(|e| fail(e.to_string()))?;
    let start = std::io::Cursor::new(magic[..read].to_vec());
    let mut reader = BufReader::with_capacity(128 * 1024, start.chain(&mut compressed));
    let mut plain: Box<dyn Read + '_> = if magic.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(&mut reader))
    } else if magic == [0x28, 0xb5, 0x2f, 0xfd] || magic[1..] == [0x2a, 0x4d, 0x18] {
        Box::new(ZstdReader::new(&mut reader))
    } else {
        Box::new(&mut reader)
    };
    let mut content = Hashing::new(&mut plain, limits.layer_bytes);
    let unpacked = unpack(diff_id, &mut content, folder, owners, limits);
    if content.exceeded {
        return Err(fail(format!("unpacks to more than {} bytes", limits.layer_bytes)));
    }
    // What follows the archive's end belongs to the hash as well.
    let drained = unpacked.and_then(|_| {
        std::io::copy(&mut content, &mut std::io::sink())
            .map_err(|e| fail(format!("cannot be unpacked: {e}")))
    });
    let (exceeded, plain_hash) = (content.exceeded, content.digest());
    drop(plain);
    if exceeded {
        return Err(fail(format!("unpacks to more than {} bytes", limits.layer_bytes)));
    }
    let rest = std::io::copy(&mut reader, &mut std::io::sink());
    drop(reader);
    // A wrong digest explains every other trouble, so it is told first.
    if rest.is_ok() && compressed.digest() != descriptor.digest {
        return Err(fail(format!("the content is {}", compressed.digest())));
    }
    if compressed.exceeded {
        return Err(fail(format!("is longer than the {} bytes announced", descriptor.size)));
    }
    drained?;
    rest.map_err(|e| fail(e.to_string()))?;
    if plain_hash != diff_id {
        return Err(fail(format!("unpacks to {plain_hash}, the image's configuration says {diff_id}")));
    }
    Ok(())
}

fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

/// Hashes what is read through it, up to a limit of bytes.
struct Hashing<R> {
    inner: R,
    hash: Sha256,
    left: u64,
    exceeded: bool,
}

impl<R: Read> Hashing<R> {
    fn new(inner: R, limit: u64) -> Self {
        Self { inner, hash: Sha256::new(), left: limit, exceeded: false }
    }

    fn digest(&self) -> String {
        format!("sha256:{}", hex::encode(self.hash.clone().finalize()))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if read as u64 > self.left {
            self.exceeded = true;
            return Err(std::io::Error::other("more bytes than allowed"));
        }
        self.left -= read as u64;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}
