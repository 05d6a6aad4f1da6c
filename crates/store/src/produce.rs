//! Layers that are made here: imported, committed, compressed for a registry.

use crate::feed::{self, Feed, FeedReader, Feeder, Received};
use crate::ingest::NewFile;
use crate::layers::Unpacked;
use crate::{Error, Lease, Store};
use bytes::Bytes;
use lapstrake_image::ErrorKind;
use lapstrake_layer::{Compression, GzipWriter, HashingReader, compress_zstd};
use lapstrake_spec::{Descriptor, Digest, Hasher, MediaType};
use lapstrake_sys::direct::DirectWriter;
use std::io::{self, BufWriter, Cursor, Read, Write};
use std::path::PathBuf;

/// Bytes read or written at a time.
const BUFFER_BYTES: usize = 128 << 10;
/// Bytes that tell how an archive is compressed.
const SNIFF_BYTES: usize = 512;
/// How hard layers are compressed for a registry: four times as fast as gzip's default, a tenth larger.
const GZIP_LEVEL: u32 = 3;
/// zstd's own default.
const ZSTD_LEVEL: i32 = 3;

/// A layer that was made here.
#[derive(Debug)]
pub struct NewLayer {
    /// The blob.
    pub descriptor: Descriptor,
    /// The digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Bytes of its files.
    pub size: u64,
    /// Entries of its tar, when it was unpacked.
    pub entries: u64,
    /// Keeps blob and tree until the layer is dropped.
    pub lease: Lease,
}

impl Store {
    /// Makes a layer of an archive, stored as it is. The compressions that registries do not take
    /// (bzip2, xz) are undone. Unpacked at once when that is wanted and possible.
    pub fn layer_from_tar(
        &self,
        mut reader: impl Read + Send,
        unpack: bool,
    ) -> Result<NewLayer, Error> {
        let mut start = Vec::with_capacity(SNIFF_BYTES);
        (&mut reader)
            .take(SNIFF_BYTES as u64)
            .read_to_end(&mut start)
            .map_err(Error::Content)?;
        let compression = Compression::detect(&start);
        let whole = Cursor::new(start).chain(reader);
        let (media_type, mut input): (_, Box<dyn Read + Send + '_>) = match compression {
            Compression::Gzip => (MediaType::OCI_LAYER_GZIP, Box::new(whole)),
            Compression::Zstd => (MediaType::OCI_LAYER_ZSTD, Box::new(whole)),
            Compression::None => (MediaType::OCI_LAYER_TAR, Box::new(whole)),
            _ => {
                let plain = lapstrake_layer::decompress(whole).map_err(Error::Archive)?;
                (MediaType::OCI_LAYER_TAR, Box::new(plain))
            }
        };
        self.produce(media_type, unpack, |out| {
            let mut out = BufWriter::with_capacity(BUFFER_BYTES, out);
            io::copy(&mut input, &mut out)?;
            out.flush()
        })
    }

    /// Makes a layer of the uncompressed tar that the closure writes, and unpacks it if possible.
    pub fn layer_from_writer(
        &self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<NewLayer, Error> {
        self.produce(MediaType::OCI_LAYER_TAR, true, |out| {
            let mut out = BufWriter::with_capacity(BUFFER_BYTES, out);
            write(&mut out)?;
            out.flush()
        })
    }

    /// Makes the gzip form of a layer blob. The lease keeps it.
    pub fn compress_layer(&self, blob: &Descriptor, lease: &Lease) -> Result<Descriptor, Error> {
        self.recompress_layer(blob, MediaType::OCI_LAYER_GZIP, lease)
    }

    /// Makes the form of a layer blob that has this type: gzip, zstd, or a plain tar. The lease keeps it.
    pub fn recompress_layer(
        &self,
        blob: &Descriptor,
        to: MediaType,
        lease: &Lease,
    ) -> Result<Descriptor, Error> {
        let mut plain =
            lapstrake_layer::decompress(self.blob_file(&blob.digest)?).map_err(Error::Archive)?;
        let new = NewFile::create(self)?;
        let mut out = BlobWriter::new(self, &new, None)?;
        let mut buffered = BufWriter::with_capacity(BUFFER_BYTES, &mut out);
        let written = if to == MediaType::OCI_LAYER_GZIP {
            let mut gzip = GzipWriter::new(buffered, GZIP_LEVEL);
            io::copy(&mut plain, &mut gzip).and_then(|_| gzip.finish())
        } else if to == MediaType::OCI_LAYER_ZSTD {
            compress_zstd(&mut plain, buffered, ZSTD_LEVEL)
        } else {
            io::copy(&mut plain, &mut buffered).map(|_| buffered)
        };
        if let Err(error) = written.and_then(|mut buffered| buffered.flush()) {
            new.discard();
            return Err(Error::Content(error));
        }
        let (digest, size) = out.finish(self, &new)?;
        lease.protect(std::slice::from_ref(&digest))?;
        new.become_blob(&digest)?;
        Ok(Descriptor::new(to, digest, size))
    }

    /// One pass: what is written becomes a blob and, on another thread, a tree.
    fn produce(
        &self,
        media_type: MediaType,
        unpack: bool,
        write: impl FnOnce(&mut BlobWriter) -> io::Result<()>,
    ) -> Result<NewLayer, Error> {
        let unpack = unpack && rustix::process::geteuid().is_root();
        let new = NewFile::create(self)?;
        let (feeder, receiver) = feed::channel();
        let store = self.clone();
        let reader = std::thread::Builder::new()
            .name("unpack".to_owned())
            .spawn(move || store.read_back(receiver, unpack))
            .map_err(Error::io("spawn thread"))?;
        let mut out = BlobWriter::new(self, &new, Some(feeder))?;
        let written = write(&mut out);
        let feed = out.feed.take();
        if let (Ok(()), Some(feed)) = (&written, feed) {
            feed.end(None);
        }
        let read = reader.join().unwrap_or_else(|_panic| {
            Err(Error::Io {
                action: "join".to_owned(),
                source: io::Error::other("panic"),
            })
        });
        let made = match (written, read) {
            (Err(error), Ok(_)) => Err(Error::Content(error)),
            (Err(error), Err(other)) if other.is_cancelled() => Err(Error::Content(error)),
            (_, Err(error)) => Err(error),
            (Ok(()), Ok(read)) => out.finish(self, &new).map(|blob| (blob, read)),
        };
        let ((digest, size), read) = match made {
            Ok(made) => made,
            Err(error) => {
                new.discard();
                return Err(error);
            }
        };
        let diff_id = read.diff_id().cloned().unwrap_or_else(|| digest.clone());
        let lease = self.lease()?;
        lease.protect(&[digest.clone(), diff_id.clone()])?;
        new.become_blob(&digest)?;
        let descriptor = Descriptor::new(media_type, digest, size);
        let (size, entries) = read.counts();
        if let ReadBack::Tree(unpacked) = read {
            unpacked.publish(self, &diff_id, &descriptor.digest)?;
        }
        Ok(NewLayer {
            descriptor,
            diff_id,
            size,
            entries,
            lease,
        })
    }

    /// The reading thread: a tree, or without one only the diff id.
    fn read_back(&self, receiver: Received, unpack: bool) -> Result<ReadBack, Error> {
        let reader = FeedReader::new(receiver, |_done| {});
        let archive = |error: Error| match error {
            Error::Layer(error) => Error::Archive(error),
            other => other,
        };
        if unpack {
            return self
                .unpack(reader, true)
                .map(ReadBack::Tree)
                .map_err(archive);
        }
        let decoder = lapstrake_layer::decompress(reader).map_err(Error::Archive)?;
        let plain = decoder.compression() == Compression::None;
        let mut hashing = HashingReader::new(decoder, Hasher::sha256());
        io::copy(&mut hashing, &mut io::sink())
            .map_err(Error::reader)
            .map_err(archive)?;
        let (_, diff_id, bytes) = hashing.finish();
        Ok(ReadBack::Digest {
            diff_id: (!plain).then_some(diff_id),
            bytes,
        })
    }
}

/// What the reading thread made of a layer.
enum ReadBack {
    Tree(Unpacked),
    Digest { diff_id: Option<Digest>, bytes: u64 },
}

impl ReadBack {
    fn diff_id(&self) -> Option<&Digest> {
        match self {
            Self::Tree(unpacked) => unpacked.diff_id.as_ref(),
            Self::Digest { diff_id, .. } => diff_id.as_ref(),
        }
    }

    /// Bytes of files and entries. Without a tree only the tar's length is known.
    fn counts(&self) -> (u64, u64) {
        match self {
            Self::Tree(unpacked) => (unpacked.applied.bytes, unpacked.applied.entries),
            Self::Digest { bytes, .. } => (*bytes, 0),
        }
    }
}

/// Writes a blob whose digest is not known yet, and feeds the same bytes to a reading thread.
#[derive(Debug)]
pub(crate) struct BlobWriter {
    path: PathBuf,
    output: DirectWriter,
    hasher: Hasher,
    feed: Option<Feeder>,
}

impl BlobWriter {
    pub(crate) fn new(store: &Store, new: &NewFile, feed: Option<Feeder>) -> Result<Self, Error> {
        let failed = || store.disk().failed("open", new.path());
        let file = new.file().try_clone().map_err(failed())?;
        let output = DirectWriter::resume(file, 0).map_err(failed())?;
        Ok(Self {
            path: store.disk().path(new.path()),
            output,
            hasher: Hasher::sha256(),
            feed,
        })
    }

    /// How many bytes were written.
    pub(crate) fn position(&self) -> u64 {
        self.output.position()
    }

    /// The digest of what was written.
    pub(crate) fn digest_so_far(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// Makes the bytes durable; their digest and number.
    pub(crate) fn finish(self, store: &Store, new: &NewFile) -> Result<(Digest, u64), Error> {
        let size = self.output.position();
        drop(store.disk().finish_durable(self.output, new.path())?);
        Ok((self.hasher.finish(), size))
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write_all(bytes).map_err(|error| {
            let (path, words) = (self.path.display(), ErrorKind::io_words(&error));
            io::Error::new(error.kind(), format!("write {path}: {words}"))
        })?;
        self.hasher.update(bytes);
        if let Some(feed) = &self.feed
            && !feed.send(Feed::Data(Bytes::copy_from_slice(bytes)))
        {
            // There is nobody to write for; the reader says why when it is joined.
            return Err(io::Error::other("layer is not readable"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
