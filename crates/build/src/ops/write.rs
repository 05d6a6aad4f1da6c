//! A draft becomes a tree and a tar in one pass: each file is read once, and its bytes are hashed, put into the tar and
//! written into the tree. The tar is the one that the tree itself would give.

use super::draft::{Content, Draft, Planned};
use super::path::TreePath;
use crate::cache::Key;
use crate::cancel::CancelToken;
use crate::error::StepError;
use crate::source::{FileKind, Metadata, SourceTree, Time};
use lapstrake_layer::{TarEntry, TarWriter};
use lapstrake_spec::{Descriptor, MediaType};
use lapstrake_store::{LayerTree, Lease, NewBlob, Store};
use lapstrake_sys::xattr;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Bytes read at a time.
const BUFFER_BYTES: usize = 256 << 10;
/// Pieces of the tar that wait for the thread that hashes and stores them.
const QUEUE: usize = 8;
/// What names of whiteouts begin with.
const WHITEOUT: &[u8] = b".wh.";
/// A tar of less is written by the same thread.
const SMALL_BYTES: u64 = 1 << 20;

/// Where a layer is written to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) store: &'a Store,
    pub(crate) tree: &'a LayerTree,
    pub(crate) lease: &'a Lease,
    /// The latest time that an entry may have.
    pub(crate) latest: Option<i64>,
    pub(crate) cancel: &'a CancelToken,
}

/// A layer that was written.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) blob: Descriptor,
    pub(crate) entries: u64,
    /// Bytes of its files.
    pub(crate) size: u64,
    /// Hashes of the contents that were read, by slot.
    pub(crate) digests: BTreeMap<usize, Key>,
}

/// Writes the layer.
pub(crate) fn write(draft: &Draft, place: Place<'_>) -> Result<Written, StepError> {
    let bytes: u64 = draft
        .entries()
        .values()
        .map(|planned| planned.metadata.size)
        .sum();
    check_whiteouts(draft)?;
    let mut blob = place.store.new_blob()?;
    let (counts, blob) = if bytes < SMALL_BYTES {
        (write_entries(draft, place, &mut blob)?, blob)
    } else {
        write_beside(draft, place, blob)?
    };
    let (entries, size, digests) = counts;
    Ok(Written {
        blob: blob.finish(MediaType::OCI_LAYER_TAR, place.lease)?,
        entries,
        size,
        digests,
    })
}

/// Writes the tree alone: nobody needs a tar of it. The hashes of the contents that were read, by slot.
pub(crate) fn write_tree(
    draft: &Draft,
    place: Place<'_>,
) -> Result<BTreeMap<usize, Key>, StepError> {
    let (_, _, digests) = write_entries(draft, place, &mut io::sink())?;
    Ok(digests)
}

/// Refuses what a tar and a tree would say differently: in a tar a name that begins with `.wh.` takes a file of the layers
/// below away (OCI image layer specification, whiteouts), in a tree a device 0:0 does.
fn check_whiteouts(draft: &Draft) -> Result<(), StepError> {
    for (path, planned) in draft.entries() {
        let metadata = &planned.metadata;
        if path.name().starts_with(WHITEOUT) {
            return Err(StepError::Invalid(format!(
                "{path}: a name that begins with .wh. marks a removed file and cannot be kept in a layer"
            )));
        }
        if metadata.kind == FileKind::CharDevice && metadata.device == (0, 0) {
            return Err(StepError::Invalid(format!(
                "{path}: a whiteout, or a device 0:0, which marks a removed file, cannot be kept in a layer"
            )));
        }
    }
    Ok(())
}

type Counts = (u64, u64, BTreeMap<usize, Key>);

/// The same with the tar on a thread of its own.
fn write_beside(
    draft: &Draft,
    place: Place<'_>,
    blob: NewBlob,
) -> Result<(Counts, NewBlob), StepError> {
    let (sender, receiver) = sync_channel(QUEUE);
    std::thread::scope(|scope| {
        let store = std::thread::Builder::new()
            .name("tar".to_owned())
            .spawn_scoped(scope, move || store_pieces(&receiver, blob))
            .map_err(StepError::io("spawn thread"))?;
        let counts = write_entries(draft, place, &mut Pieces(sender));
        let stored = store
            .join()
            .map_err(|_panic| StepError::invalid("the thread that writes the layer died"))?;
        // A writer that failed is why the other one has nobody to write to.
        let blob = stored.map_err(StepError::io("write layer"))?;
        Ok((counts?, blob))
    })
}

fn store_pieces(receiver: &Receiver<Vec<u8>>, mut blob: NewBlob) -> io::Result<NewBlob> {
    for piece in receiver {
        blob.write_all(&piece)?;
    }
    Ok(blob)
}

struct Pieces(SyncSender<Vec<u8>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .send(bytes.to_vec())
            .map_err(|_closed| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_entries(
    draft: &Draft,
    place: Place<'_>,
    out: &mut (dyn Write + Send),
) -> Result<Counts, StepError> {
    let root = place.tree.path();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(&root, flags, Mode::empty())
        .map_err(StepError::io(format!("open {}", root.display())))?;
    let mut writer = Writer {
        tar: TarWriter::new(out),
        stack: vec![(TreePath::root(), root, None)],
        first_names: BTreeMap::new(),
        place,
        owners: rustix::process::geteuid().is_root(),
        buffer: vec![0; BUFFER_BYTES],
        size: 0,
        digests: BTreeMap::new(),
    };
    for (path, planned) in draft.entries() {
        if place.cancel.is_cancelled() {
            return Err(StepError::Cancelled);
        }
        writer.entry(path, planned)?;
    }
    writer.leave(0)?;
    let count = draft.entries().len() as u64;
    writer.tar.finish()?;
    Ok((count, writer.size, writer.digests))
}

struct Writer<'a, W> {
    tar: TarWriter<W>,
    /// Open directories, each below the one before it, with the time they get when they are left.
    stack: Vec<(TreePath, OwnedFd, Option<Time>)>,
    /// First names of files that have several.
    first_names: BTreeMap<(usize, u64, u64), TreePath>,
    place: Place<'a>,
    /// Whether this process may give files away.
    owners: bool,
    buffer: Vec<u8>,
    size: u64,
    digests: BTreeMap<usize, Key>,
}

impl<W: Write> Writer<'_, W> {
    fn entry(&mut self, path: &TreePath, planned: &Planned) -> Result<(), StepError> {
        let parent = path.parent().unwrap_or_default();
        let depth = self
            .stack
            .iter()
            .rposition(|(open, ..)| parent.starts_with(open))
            .unwrap_or(0);
        self.leave(depth + 1)?;
        if self.link_to_first(path, planned)? {
            return Ok(());
        }
        let name = path.to_bytes();
        match planned.metadata.kind {
            FileKind::Directory => self.directory(path, planned),
            FileKind::File => match &planned.content {
                Content::Source(tree, source) => self.file(path, planned, (tree.as_ref(), source)),
                _ => Err(StepError::Invalid(format!("{path} has no content"))),
            },
            FileKind::Socket => Ok(()),
            _ => self.other(&name, path, planned),
        }
    }

    /// Closes directories down to this many, and sets their times.
    fn leave(&mut self, keep: usize) -> Result<(), StepError> {
        while self.stack.len() > keep {
            if let Some((path, fd, Some(time))) = self.stack.pop() {
                rustix::fs::futimens(&fd, &timestamps(time))
                    .map_err(StepError::io(format!("utimensat {path}")))?;
            }
        }
        Ok(())
    }

    fn here(&self) -> Result<BorrowedFd<'_>, StepError> {
        self.stack
            .last()
            .map(|(_, fd, _)| fd.as_fd())
            .ok_or_else(|| StepError::invalid("no open directory"))
    }

    fn header(
        &mut self,
        name: &[u8],
        planned: &Planned,
        kind: u8,
        link: &[u8],
    ) -> Result<(), StepError> {
        let metadata = &planned.metadata;
        let time = self.time(metadata);
        Ok(self.tar.header(&TarEntry {
            name,
            link,
            kind,
            mode: metadata.mode,
            uid: metadata.uid,
            gid: metadata.gid,
            size: if kind == b'0' { metadata.size } else { 0 },
            mtime: lapstrake_layer::Time {
                seconds: time.seconds,
                nanoseconds: time.nanoseconds,
            },
            device: if matches!(kind, b'3' | b'4') {
                metadata.device
            } else {
                (0, 0)
            },
            xattrs: if kind == b'1' { &[] } else { &planned.xattrs },
        })?)
    }

    /// The time that an entry gets.
    fn time(&self, metadata: &Metadata) -> Time {
        match self.place.latest {
            Some(latest) if metadata.modified.seconds >= latest => Time {
                seconds: latest,
                nanoseconds: 0,
            },
            _ => metadata.modified,
        }
    }

    fn link_to_first(&mut self, path: &TreePath, planned: &Planned) -> Result<bool, StepError> {
        let Some(id) = planned.link else {
            return Ok(false);
        };
        let Some(first) = self.first_names.get(&id).cloned() else {
            self.first_names.insert(id, path.clone());
            return Ok(false);
        };
        let (name, target) = (path.to_bytes(), first.to_bytes());
        let root = self.stack.first().map(|(_, fd, _)| fd.as_fd());
        let root = root.ok_or_else(|| StepError::invalid("no open directory"))?;
        rustix::fs::linkat(
            root,
            target.as_slice(),
            self.here()?,
            path.name(),
            AtFlags::empty(),
        )
        .map_err(StepError::io(format!("link {path}")))?;
        self.header(&name, planned, b'1', &target)?;
        Ok(true)
    }

    fn directory(&mut self, path: &TreePath, planned: &Planned) -> Result<(), StepError> {
        let failed = |what: &str| StepError::io::<Errno>(format!("{what} {path}"));
        let here = self.here()?;
        rustix::fs::mkdirat(here, path.name(), Mode::RWXU).map_err(failed("mkdir"))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd =
            rustix::fs::openat(here, path.name(), flags, Mode::empty()).map_err(failed("open"))?;
        self.finish(&fd, path, planned)?;
        let mut name = path.to_bytes();
        name.push(b'/');
        self.header(&name, planned, b'5', b"")?;
        let time = self.time(&planned.metadata);
        self.stack.push((path.clone(), fd, Some(time)));
        Ok(())
    }

    /// Owner, attributes and mode, in the order that keeps set-id bits and capabilities.
    fn finish(&self, fd: &OwnedFd, path: &TreePath, planned: &Planned) -> Result<(), StepError> {
        let metadata = &planned.metadata;
        if self.owners && (metadata.uid, metadata.gid) != (0, 0) {
            let (uid, gid) = (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
            rustix::fs::fchown(fd, Some(uid), Some(gid))
                .map_err(StepError::io(format!("chown {path}")))?;
        }
        for (name, value) in &planned.xattrs {
            match xattr::set(fd, name.as_slice(), value) {
                Err(error) if is_refused(&error) => {}
                other => other.map_err(StepError::io(format!("setxattr {path}")))?,
            }
        }
        rustix::fs::fchmod(fd, Mode::from_raw_mode(metadata.mode))
            .map_err(StepError::io(format!("chmod {path}")))
    }

    fn file(
        &mut self,
        path: &TreePath,
        planned: &Planned,
        (tree, source): (&dyn SourceTree, &Path),
    ) -> Result<(), StepError> {
        let mut input = tree.open(source)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self.here()?, path.name(), flags, Mode::RUSR | Mode::WUSR)
            .map_err(StepError::io(format!("create {path}")))?;
        self.header(&path.to_bytes(), planned, b'0', b"")?;
        let size = planned.metadata.size;
        let mut copy = Copying {
            input: &mut input,
            output: &fd,
            hasher: blake3::Hasher::new(),
            left: size,
            error: None,
        };
        let buffer = &mut self.buffer;
        self.tar.content(size, |room| Ok(copy.piece(room)))?;
        copy.check_end(buffer);
        if let Some(error) = copy.error.take() {
            return Err(error.of(tree, source, path));
        }
        let digest = Key::from_bytes(*copy.hasher.finalize().as_bytes());
        if let Some(slot) = planned.slot {
            self.digests.insert(slot, digest);
        }
        self.size = self.size.saturating_add(size);
        self.finish(&fd, path, planned)?;
        let time = self.time(&planned.metadata);
        rustix::fs::futimens(&fd, &timestamps(time))
            .map_err(StepError::io(format!("utimensat {path}")))
    }

    /// Links, devices and pipes.
    fn other(&mut self, name: &[u8], path: &TreePath, planned: &Planned) -> Result<(), StepError> {
        let failed = |what: &str| StepError::io::<Errno>(format!("{what} {path}"));
        let metadata = &planned.metadata;
        let mode = Mode::from_raw_mode(metadata.mode);
        let here = self.here()?;
        let (kind, file_type) = match metadata.kind {
            FileKind::Symlink => (b'2', FileType::Symlink),
            FileKind::CharDevice => (b'3', FileType::CharacterDevice),
            FileKind::BlockDevice => (b'4', FileType::BlockDevice),
            _ => (b'6', FileType::Fifo),
        };
        let target = match &planned.content {
            Content::Link(target) => target.as_slice(),
            _ => b"",
        };
        if kind == b'2' {
            rustix::fs::symlinkat(target, here, path.name()).map_err(failed("symlink"))?;
        } else {
            let device = rustix::fs::makedev(metadata.device.0, metadata.device.1);
            rustix::fs::mknodat(here, path.name(), file_type, mode, device)
                .map_err(failed("mknod"))?;
        }
        if self.owners && (metadata.uid, metadata.gid) != (0, 0) {
            let (uid, gid) = (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(here, path.name(), Some(uid), Some(gid), flags)
                .map_err(failed("chown"))?;
        }
        if kind != b'2' {
            rustix::fs::chmodat(here, path.name(), mode, AtFlags::empty())
                .map_err(failed("chmod"))?;
        }
        let time = timestamps(self.time(metadata));
        rustix::fs::utimensat(here, path.name(), &time, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(failed("utimensat"))?;
        self.size = self.size.saturating_add(target.len() as u64);
        self.header(name, planned, kind, target)
    }
}

/// One file on its way.
struct Copying<'a> {
    input: &'a mut (dyn Read + Send),
    output: &'a OwnedFd,
    hasher: blake3::Hasher,
    left: u64,
    error: Option<CopyError>,
}

enum CopyError {
    Read(io::Error),
    Write(io::Error),
    /// It is not as long as it was.
    Changed,
}

impl CopyError {
    fn of(self, tree: &dyn SourceTree, source: &Path, path: &TreePath) -> StepError {
        let from = format!("{} of {}", source.display(), tree.describe());
        match self {
            Self::Read(error) => StepError::io(format!("read {from}"))(error),
            Self::Write(error) => StepError::io(format!("write {path}"))(error),
            Self::Changed => StepError::Invalid(format!("file changed as it was read: {from}")),
        }
    }
}

impl Copying<'_> {
    /// Reads a piece, and passes it on. After an error the rest is taken as it comes: the layer is thrown away.
    fn piece(&mut self, room: &mut [u8]) -> usize {
        if self.error.is_some() {
            return 0;
        }
        let count = loop {
            match self.input.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.error = Some(CopyError::Read(error));
                    return 0;
                }
                Ok(0) => {
                    self.error = Some(CopyError::Changed);
                    return 0;
                }
                Ok(count) => break count,
            }
        };
        let bytes = room.get(..count).unwrap_or_default();
        self.hasher.update(bytes);
        if let Err(error) = write_all(self.output, bytes) {
            self.error = Some(CopyError::Write(error.into()));
        }
        self.left = self.left.saturating_sub(count as u64);
        count
    }

    /// After the last byte that was promised there must be no more.
    fn check_end(&mut self, buffer: &mut [u8]) {
        if self.error.is_none()
            && self.left == 0
            && matches!(self.input.read(buffer), Ok(count) if count > 0)
        {
            self.error = Some(CopyError::Changed);
        }
    }
}

fn write_all(fd: &OwnedFd, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        let count = rustix::io::retry_on_intr(|| rustix::io::write(fd, bytes))?;
        if count == 0 {
            return Err(Errno::IO);
        }
        bytes = bytes.get(count..).unwrap_or_default();
    }
    Ok(())
}

/// This file system, or this process, may not have the attribute.
fn is_refused(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::OPNOTSUPP | Errno::PERM)
    )
}

fn timestamps(time: Time) -> Timestamps {
    let at = Timespec {
        tv_sec: time.seconds,
        tv_nsec: time.nanoseconds.into(),
    };
    Timestamps {
        last_access: at,
        last_modification: at,
    }
}
