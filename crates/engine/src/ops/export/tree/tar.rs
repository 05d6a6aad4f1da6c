//! A merged tree as a tar.

use super::{Attributes, Target};
use lapstrake_layer::{TarEntry, TarWriter, Time};
use rustix::fs::{FileType, Stat};
use std::fs::File;
use std::io::{self, Read, Write};

/// A tar that is being written.
pub(super) struct Tar<W: Write> {
    writer: TarWriter<W>,
}

impl<W: Write> Tar<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            writer: TarWriter::new(out),
        }
    }

    /// A folder that no tree has.
    pub(super) fn folder(&mut self, path: &[u8], seconds: i64) -> io::Result<()> {
        let name = [path, b"/"].concat();
        let entry = TarEntry {
            name: &name,
            link: &[],
            kind: b'5',
            mode: 0o755,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: Time {
                seconds,
                nanoseconds: 0,
            },
            device: (0, 0),
            xattrs: &[],
        };
        self.writer.header(&entry).map_err(writing)
    }

    pub(super) fn finish(self) -> io::Result<()> {
        self.writer.finish().map_err(writing)?.flush()
    }

    fn header(&mut self, entry: &TarEntry<'_>) -> io::Result<()> {
        self.writer.header(entry).map_err(writing)
    }
}

/// The system's own error where there is one.
fn writing(error: lapstrake_layer::Error) -> io::Error {
    match error {
        lapstrake_layer::Error::Write(error) => error,
        other => io::Error::other(other),
    }
}

impl<W: Write> Target for Tar<W> {
    fn enter(&mut self, path: &[u8], stat: &Stat, attributes: Attributes) -> io::Result<()> {
        let name = [path, b"/"].concat();
        self.header(&TarEntry {
            xattrs: &attributes,
            ..TarEntry::of(&name, b'5', stat)
        })
    }

    fn leave(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn link(&mut self, path: &[u8], first: &[u8], stat: &Stat) -> io::Result<()> {
        self.header(&TarEntry {
            link: first,
            ..TarEntry::of(path, b'1', stat)
        })
    }

    fn file(
        &mut self,
        path: &[u8],
        stat: &Stat,
        mut content: File,
        attributes: Attributes,
    ) -> io::Result<()> {
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        self.header(&TarEntry {
            size,
            xattrs: &attributes,
            ..TarEntry::of(path, b'0', stat)
        })?;
        let mut broken = None;
        self.writer
            .content(size, |room| {
                Ok(content.read(room).unwrap_or_else(|error| {
                    broken = Some(error);
                    0
                }))
            })
            .map_err(writing)?;
        broken.map_or(Ok(()), Err)
    }

    fn symlink(&mut self, path: &[u8], stat: &Stat, target: &[u8]) -> io::Result<()> {
        self.header(&TarEntry {
            link: target,
            ..TarEntry::of(path, b'2', stat)
        })
    }

    fn special(&mut self, path: &[u8], stat: &Stat) -> io::Result<()> {
        let numbers = || {
            let device = stat.st_rdev;
            (rustix::fs::major(device), rustix::fs::minor(device))
        };
        let (kind, device) = match FileType::from_raw_mode(stat.st_mode) {
            FileType::CharacterDevice => (b'3', numbers()),
            FileType::BlockDevice => (b'4', numbers()),
            _ => (b'6', (0, 0)),
        };
        self.header(&TarEntry {
            device,
            ..TarEntry::of(path, kind, stat)
        })
    }
}
