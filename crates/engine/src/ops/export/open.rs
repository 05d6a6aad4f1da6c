//! Opening an archive that somebody hands in: a file or a stream, compressed or not.

use super::failed;
use crate::Engine;
use crate::error::{Error, ErrorKind};
use lapstrake_archive::Archive;
use lapstrake_layer::Compression;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::FileExt;

/// Bytes that an archive may have when it is not compressed any more.
const ARCHIVE_LIMIT: u64 = 1 << 40;
/// Bytes that show a web page.
pub(in crate::ops) const PAGE_BYTES: usize = 64;
/// The longest magic number.
const MAGIC_BYTES: usize = 6;

/// Where an archive comes from.
#[expect(missing_debug_implementations, reason = "of an object of a trait")]
pub enum ArchiveInput {
    /// An open file: read where it is when it is a plain tar.
    File(File),
    /// Bytes that come once.
    Stream(Box<dyn Read + Send>),
}

/// Opens a docker archive or a tar of an OCI layout. What is compressed (gzip, bzip2, xz, zstd), or comes
/// once, goes through a file without a name in the store's folder. `name` is what errors call it. Reads
/// the whole of it: not for a thread that others wait for.
pub fn open_archive(engine: &Engine, input: ArchiveInput, name: &str) -> Result<Archive, Error> {
    let reader: Box<dyn Read + Send> = match input {
        ArchiveInput::File(file) => match plain(file).map_err(failed(format!("read {name}")))? {
            Ok(file) => return open(file, name),
            Err(file) => Box::new(file),
        },
        ArchiveInput::Stream(stream) => stream,
    };
    open(spool(engine, reader)?, name)
}

fn open(file: File, name: &str) -> Result<Archive, Error> {
    let mut start = [0; PAGE_BYTES];
    // A file that cannot be read says so below.
    let count = file.read_at(&mut start, 0).unwrap_or_default();
    let opened = Archive::open_tar(file, name).map_err(lapstrake_image::Error::from);
    opened.map_err(|error| told_of_page(error.into(), start.get(..count).unwrap_or_default()))
}

/// What a download that went wrong mostly is, said so.
pub(in crate::ops) fn told_of_page(error: Error, start: &[u8]) -> Error {
    let start = String::from_utf8_lossy(start).to_ascii_lowercase();
    let start = start.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let is_page = ["<!doctype", "<html", "<?xml"]
        .iter()
        .any(|word| start.starts_with(word));
    if is_page && error.kind() == ErrorKind::Corrupt {
        return error.with_hint("this is a web page and no archive: look at where it came from");
    }
    error
}

/// The file, at its start, when it can be read as it is.
fn plain(mut file: File) -> io::Result<Result<File, File>> {
    if !file.metadata()?.is_file() {
        return Ok(Err(file));
    }
    let mut start = Vec::with_capacity(MAGIC_BYTES);
    (&mut file)
        .take(MAGIC_BYTES as u64)
        .read_to_end(&mut start)?;
    file.rewind()?;
    Ok(match Compression::detect(&start) {
        Compression::None => Ok(file),
        _ => Err(file),
    })
}

/// Writes what a stream decompresses to into a file that vanishes with its descriptor.
fn spool(engine: &Engine, reader: Box<dyn Read + Send>) -> Result<File, Error> {
    let folder = engine.store()?.root().join("ingest");
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::open(&folder, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|error| failed(format!("open {}", folder.display()))(error.into()))?;
    let mut file = File::from(file);
    let corrupt = |error: lapstrake_layer::Error| Error::new(ErrorKind::Corrupt, error.to_string());
    let mut plain = lapstrake_layer::decompress(reader)
        .map_err(corrupt)?
        .take(ARCHIVE_LIMIT);
    let copied = io::copy(&mut plain, &mut file).map_err(|error| {
        let damaged = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<lapstrake_layer::Error>());
        match damaged {
            Some(damaged) => Error::new(ErrorKind::Corrupt, damaged.to_string()),
            None => failed(format!("write {}", folder.display()))(error),
        }
    })?;
    if copied == ARCHIVE_LIMIT {
        let text = format!("archive is larger than {ARCHIVE_LIMIT} bytes");
        return Err(Error::new(ErrorKind::Corrupt, text));
    }
    Ok(file)
}
