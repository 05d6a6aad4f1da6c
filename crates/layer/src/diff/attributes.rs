//! Extended attributes of a file in an overlay's upper directory: its own, and the overlay's.

use std::io;
use std::os::fd::BorrowedFd;

use lapstrake_sys::xattr;

use crate::apply::OverlayMarks;

/// Labels of the host's security module: they are the host's and not the file's.
const HOST_LABEL: &[u8] = b"security.selinux";

#[derive(Debug, Default)]
pub(super) struct Attributes {
    /// Those that a layer carries, sorted by name.
    pub(super) carried: Vec<(Vec<u8>, Vec<u8>)>,
    /// Nothing of the layers below shows in this directory.
    pub(super) opaque: bool,
    /// Why the file's content is not all here.
    pub(super) unsupported: Option<&'static str>,
}

impl Attributes {
    pub(super) fn of_open(fd: BorrowedFd<'_>, marks: OverlayMarks) -> io::Result<Self> {
        Self::collect(xattr::list(fd)?, marks, |name| xattr::get(fd, name))
    }

    pub(super) fn at(dir: BorrowedFd<'_>, name: &[u8], marks: OverlayMarks) -> io::Result<Self> {
        let names = xattr::list_at(dir, name)?;
        Self::collect(names, marks, |attribute| {
            xattr::get_at(dir, name, attribute)
        })
    }

    fn collect(
        names: Vec<Vec<u8>>,
        marks: OverlayMarks,
        get: impl Fn(&[u8]) -> io::Result<Option<Vec<u8>>>,
    ) -> io::Result<Self> {
        let mut attributes = Self::default();
        for name in names {
            if OverlayMarks::is_mark(&name) {
                if let Some(mark) = name.strip_prefix(marks.prefix()) {
                    attributes.mark(mark, || get(&name))?;
                }
            } else if name != HOST_LABEL
                && !name.contains(&b'=')
                && let Some(value) = get(&name)?
            {
                attributes.carried.push((name, value));
            }
        }
        Ok(attributes)
    }

    fn mark(
        &mut self,
        mark: &[u8],
        value: impl FnOnce() -> io::Result<Option<Vec<u8>>>,
    ) -> io::Result<()> {
        match mark {
            b"opaque" => self.opaque = value()?.as_deref() == Some(b"y"),
            b"redirect" => self.unsupported = Some("moved within an overlay with `redirect_dir`"),
            b"metacopy" => self.unsupported = Some("changed within an overlay with `metacopy`"),
            _ => {}
        }
        Ok(())
    }
}
