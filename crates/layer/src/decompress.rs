//! Compressed layers, recognised by their first bytes. What is wrong with one is said in docker's words.

use std::fmt;
use std::io::{self, BufReader, Chain, Cursor, Read};

use bzip2::bufread::MultiBzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

use crate::error::Error;

mod gzip;

use gzip::GzipReader;

/// Compressed bytes are read in pieces of this size.
const BUFFER_BYTES: usize = 128 << 10;

/// The longest magic number.
const MAGIC_BYTES: usize = 6;

/// What an xz stream may ask for; `xz -9` asks for 65 MiB.
const XZ_MEMORY_BYTES: u64 = 128 << 20;

/// The largest zstd window, as a power of two: 128 MiB, which is also the format's recommendation for its readers.
const ZSTD_WINDOW_LOG: u32 = 27;

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, one member or several.
    Gzip,
    /// Zstandard, one frame or several.
    Zstd,
    /// bzip2
    Bzip2,
    /// xz
    Xz,
}

impl Compression {
    /// Recognises a compression by the first bytes; six are enough. Anything else counts as not compressed.
    pub fn detect(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, 0x08, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            _ => Self::None,
        }
    }
}

/// The bytes that were looked at, and the rest.
type Whole<R> = Chain<Cursor<Vec<u8>>, R>;

/// Reads what the inner reader's bytes decompress to, to the inner reader's end.
///
/// An error that comes from the compressed bytes wraps an [`Error`]; `apply` takes it out again.
pub struct Decoder<R: Read> {
    inner: Inner<R>,
}

enum Inner<R: Read> {
    Plain(Whole<R>),
    Gzip(GzipReader<BufReader<Whole<R>>>),
    Zstd(zstd::stream::read::Decoder<'static, BufReader<Whole<R>>>),
    Bzip2(MultiBzDecoder<BufReader<Whole<R>>>),
    Xz(XzDecoder<BufReader<Whole<R>>>),
}

/// Looks at the first bytes of `reader` and decompresses them and the rest accordingly.
pub fn decompress<R: Read>(mut reader: R) -> Result<Decoder<R>, Error> {
    let mut start = Vec::with_capacity(MAGIC_BYTES);
    let head = reader
        .by_ref()
        .take(MAGIC_BYTES as u64)
        .read_to_end(&mut start);
    head.map_err(Error::from_reader)?;
    let compression = Compression::detect(&start);
    let whole = Cursor::new(start).chain(reader);
    let buffered = |whole| BufReader::with_capacity(BUFFER_BYTES, whole);
    let inner = match compression {
        Compression::None => Inner::Plain(whole),
        Compression::Gzip => Inner::Gzip(GzipReader::new(buffered(whole))),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(buffered(whole))
                .map_err(Error::from_reader)?;
            decoder
                .window_log_max(ZSTD_WINDOW_LOG)
                .map_err(Error::from_reader)?;
            Inner::Zstd(decoder)
        }
        Compression::Bzip2 => Inner::Bzip2(MultiBzDecoder::new(buffered(whole))),
        Compression::Xz => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY_BYTES, CONCATENATED)
                .map_err(|error| Error::Corrupt(format!("xz: {error}")))?;
            Inner::Xz(XzDecoder::new_stream(buffered(whole), stream))
        }
    };
    Ok(Decoder { inner })
}

impl<R: Read> Decoder<R> {
    /// How the bytes are compressed.
    pub fn compression(&self) -> Compression {
        match &self.inner {
            Inner::Plain(_) => Compression::None,
            Inner::Gzip(_) => Compression::Gzip,
            Inner::Zstd(_) => Compression::Zstd,
            Inner::Bzip2(_) => Compression::Bzip2,
            Inner::Xz(_) => Compression::Xz,
        }
    }

    /// The inner reader; bytes that were read but not yet decompressed are lost.
    pub fn into_inner(self) -> R {
        let whole = match self.inner {
            Inner::Plain(whole) => whole,
            Inner::Gzip(decoder) => decoder.into_inner().into_inner(),
            Inner::Zstd(decoder) => decoder.finish().into_inner(),
            Inner::Bzip2(decoder) => decoder.into_inner().into_inner(),
            Inner::Xz(decoder) => decoder.into_inner().into_inner(),
        };
        whole.into_inner().1
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.inner {
            Inner::Plain(reader) => reader.read(buffer),
            Inner::Gzip(reader) => reader.read(buffer),
            Inner::Zstd(reader) => reader.read(buffer).map_err(|error| say("zstd", error)),
            Inner::Bzip2(reader) => reader.read(buffer).map_err(|error| say("bzip2", error)),
            Inner::Xz(reader) => reader.read(buffer).map_err(|error| say("xz", error)),
        }
    }
}

impl<R: Read> fmt::Debug for Decoder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("compression", &self.compression())
            .finish_non_exhaustive()
    }
}

/// Tells a damaged stream from a reader that failed: the decoders' own errors have no number of the operating system.
fn say(format: &str, error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::UnexpectedEof.into(),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other
            if error.raw_os_error().is_none() && !is_ours(&error) =>
        {
            Error::Corrupt(format!("{format}: {}", error.to_string().to_lowercase())).into()
        }
        _ => error,
    }
}

fn is_ours(error: &io::Error) -> bool {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>())
        .is_some()
}

#[cfg(test)]
mod tests;
