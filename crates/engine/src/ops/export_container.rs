//! `export`: a container's files as a tar. Nothing is mounted, and the container may run meanwhile.

use super::export::merged_tar;
use super::save::writing;
use super::target::OpenTarget;
use crate::Engine;
use crate::error::{Error, Origin};
use crate::ops::ArchiveTarget;
use std::fs::File;
use std::io::{self, BufWriter, Write};

/// Bytes written at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// Writes the files of a container (name, id or the beginning of one), mount points included and what is
/// mounted on them not.
pub fn export_container(
    engine: &Engine,
    container: &str,
    target: ArchiveTarget,
) -> Result<(), Error> {
    let target = OpenTarget::open(target, "failed to export container")?;
    let containers = engine.containers()?;
    let container = containers.find(container)?;
    let overlay = containers.snapshot(&container.record.id)?.overlay();
    let trees = std::iter::once(overlay.upper).chain(overlay.lowers);
    let mut out = BufWriter::with_capacity(
        BUFFER_BYTES,
        Noting {
            inner: target.descriptor()?,
            failure: None,
        },
    );
    let written = merged_tar(trees.collect(), &mut out);
    let flushed = out.flush();
    if let Some(failure) = out.get_mut().failure.take() {
        let action = format!("write {}", target.name());
        return Err(writing(lapstrake_image::Error::io(action, failure)));
    }
    written.map_err(|error| error.with_origin(Origin::Stream))?;
    flushed.map_err(|error| lapstrake_image::Error::io("write", error))?;
    target.keep()
}

/// Keeps apart what fails because of the archive from what fails because of the container's files.
struct Noting {
    inner: File,
    failure: Option<io::Error>,
}

impl Write for Noting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes).map_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                // One to keep, one to end the walk with.
                self.failure = Some(error);
                return io::ErrorKind::WriteZero.into();
            }
            error
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
