//! What the tests of this crate share: a maker of tars, good and bad, and pictures of trees.
#![expect(clippy::format_push_string, reason = "tests read better so")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use lapstrake_sys::xattr;

use crate::{Applied, ApplyOptions, DiffOptions, Error};

/// A directory that goes away with the test.
pub(crate) struct TempDir {
    path: PathBuf,
    file: File,
}

impl TempDir {
    pub(crate) fn new() -> Self {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("lapstrake-layer-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        let file = File::open(&path).unwrap();
        xattr::set(&file, "trusted.lapstrake", b"test").unwrap_or_else(|error| {
            panic!("these tests need root and a file system with trusted attributes in {path:?}: {error}")
        });
        rustix::fs::fremovexattr(&file, "trusted.lapstrake").unwrap();
        Self { path, file }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    pub(crate) fn apply(&self, tar: &[u8]) -> Result<Applied, Error> {
        crate::apply(tar, self.fd(), &ApplyOptions::default())
    }

    pub(crate) fn diff(&self) -> Vec<u8> {
        let mut tar = Vec::new();
        crate::diff(self.fd(), &mut tar, &DiffOptions::default()).unwrap();
        tar
    }

    pub(crate) fn picture(&self) -> BTreeMap<String, String> {
        picture(&self.path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let name = self.path.file_name().unwrap().as_bytes();
        let parent = File::open(self.path.parent().unwrap()).unwrap();
        lapstrake_sys::dir::remove_tree(&parent, name).unwrap();
    }
}

/// Everything below `root` in words, by path: kind, mode, owner, time, content, attributes, and which names share a file.
pub(crate) fn picture(root: &Path) -> BTreeMap<String, String> {
    let mut pictures = BTreeMap::new();
    let mut first_names = BTreeMap::new();
    let mut todo = vec![root.to_path_buf()];
    while let Some(dir) = todo.pop() {
        let mut names: Vec<_> = fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort();
        for path in names {
            let meta = fs::symlink_metadata(&path).unwrap();
            let name = path
                .strip_prefix(root)
                .unwrap()
                .to_string_lossy()
                .into_owned();
            let mut text = describe(&path, &meta);
            if !meta.is_dir()
                && meta.nlink() > 1
                && meta.rdev() == 0
                && !meta.file_type().is_char_device()
            {
                let first = first_names.entry(meta.ino()).or_insert_with(Vec::new);
                first.push(name.clone());
                text.push_str(&format!(" links={}", meta.nlink()));
            }
            if meta.is_dir() {
                todo.push(path);
            }
            pictures.insert(name, text);
        }
    }
    for names in first_names.values_mut() {
        names.sort();
        for name in names.iter() {
            pictures
                .get_mut(name)
                .unwrap()
                .push_str(&format!(" first={}", names[0]));
        }
    }
    pictures
}

fn describe(path: &Path, meta: &fs::Metadata) -> String {
    let kind = meta.file_type();
    let mut text = if kind.is_dir() {
        "dir".to_owned()
    } else if kind.is_file() {
        let content = fs::read(path).unwrap();
        let start = String::from_utf8_lossy(&content[..content.len().min(40)]).into_owned();
        format!("file {} {:?} {:08x}", content.len(), start, sum(&content))
    } else if kind.is_symlink() {
        format!("link {:?}", fs::read_link(path).unwrap())
    } else if kind.is_fifo() {
        "fifo".to_owned()
    } else if kind.is_char_device() && meta.rdev() == 0 {
        return "whiteout".to_owned();
    } else {
        let rdev = meta.rdev();
        let letter = if kind.is_block_device() { 'b' } else { 'c' };
        format!(
            "{letter} {}:{}",
            rustix::fs::major(rdev),
            rustix::fs::minor(rdev)
        )
    };
    text.push_str(&format!(
        " {:o} {}:{} {}.{:09}",
        meta.mode() & 0o7777,
        meta.uid(),
        meta.gid(),
        meta.mtime(),
        meta.mtime_nsec()
    ));
    let parent = File::open(path.parent().unwrap()).unwrap();
    let name = path.file_name().unwrap().as_bytes();
    for attribute in xattr::list_at(&parent, name).unwrap() {
        let value = xattr::get_at(&parent, name, attribute.as_slice())
            .unwrap()
            .unwrap();
        let attribute = String::from_utf8_lossy(&attribute).into_owned();
        text.push_str(&format!(
            " {attribute}={:?}",
            String::from_utf8_lossy(&value)
        ));
    }
    text
}

/// FNV, to tell contents apart.
fn sum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, &byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// Seconds that the made entries have.
pub(crate) const MTIME: u64 = 1_600_000_000;

/// Makes tars by hand.
#[derive(Default)]
pub(crate) struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A header with these fields, its checksum right.
    pub(crate) fn header(kind: u8, name: &[u8], size: u64) -> [u8; 512] {
        let mut block = [0; 512];
        block[..name.len().min(100)].copy_from_slice(&name[..name.len().min(100)]);
        let mode = if kind == b'5' { "0000755" } else { "0000644" };
        block[100..107].copy_from_slice(mode.as_bytes());
        block[108..115].copy_from_slice(b"0000000");
        block[116..123].copy_from_slice(b"0000000");
        block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        block[136..147].copy_from_slice(format!("{MTIME:011o}").as_bytes());
        block[156] = kind;
        block[257..265].copy_from_slice(b"ustar\x0000");
        checked(block)
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Adds content and its padding.
    pub(crate) fn content(mut self, content: &[u8]) -> Self {
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn entry(self, kind: u8, name: &str, content: &[u8]) -> Self {
        let header = Self::header(kind, name.as_bytes(), content.len() as u64);
        self.raw(&header).content(content)
    }

    pub(crate) fn file(self, name: &str, content: &str) -> Self {
        self.entry(b'0', name, content.as_bytes())
    }

    pub(crate) fn dir(self, name: &str) -> Self {
        self.entry(b'5', name, b"")
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.linked(b'2', name, target)
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.linked(b'1', name, target)
    }

    fn linked(self, kind: u8, name: &str, target: &str) -> Self {
        let mut header = Self::header(kind, name.as_bytes(), 0);
        header[157..157 + target.len()].copy_from_slice(target.as_bytes());
        self.raw(&checked(header))
    }

    pub(crate) fn device(self, kind: u8, name: &str, major: u32, minor: u32) -> Self {
        let mut header = Self::header(kind, name.as_bytes(), 0);
        header[329..336].copy_from_slice(format!("{major:07o}").as_bytes());
        header[337..344].copy_from_slice(format!("{minor:07o}").as_bytes());
        self.raw(&checked(header))
    }

    /// An extended header for the next entry.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut bytes = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while rest + length.to_string().len() != length {
                length += 1;
            }
            bytes.extend_from_slice(format!("{length} {key}=").as_bytes());
            bytes.extend_from_slice(value);
            bytes.push(b'\n');
        }
        self.entry(b'x', "PaxHeaders/x", &bytes)
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&[0; 1024]);
        self.bytes
    }

    /// Without the blocks of zeros.
    pub(crate) fn unended(self) -> Vec<u8> {
        self.bytes
    }
}

/// The header with its checksum made right.
pub(crate) fn checked(mut block: [u8; 512]) -> [u8; 512] {
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// Numbers that are the same in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

/// Some of everything.
pub(crate) fn sample() -> Vec<u8> {
    Tar::new()
        .dir("d/")
        .pax(&[
            ("path", b"d/long name"),
            ("mtime", b"1.5"),
            ("SCHILY.xattr.user.x", b"y"),
        ])
        .file("short", "content")
        .symlink("d/s", "long name")
        .entry(b'L', "././@LongLink", b"gnu/long/name\0")
        .file("gnu", "x")
        .hard_link("d/h", "d/long name")
        .file("d/.wh.w", "")
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.realsize", b"9000"),
            ("GNU.sparse.name", b"sparse"),
        ])
        .entry(
            b'0',
            "GNUSparseFile.0/sparse",
            &[b"1\n4096\n4\n".as_slice(), &[0; 503], b"data"].concat(),
        )
        .end()
}

/// Makes the sums of what may be headers right, so that mutations get past them.
pub(crate) fn mend_checksums(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(512) {
        if block.get(257..262) == Some(b"ustar") {
            let mended = checked((&*block).try_into().unwrap());
            block.copy_from_slice(&mended);
        }
    }
}
