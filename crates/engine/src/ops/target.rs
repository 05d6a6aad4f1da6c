//! Where an archive is written to: a file that appears when it is whole, or a descriptor.

use crate::error::{Error, ErrorKind, Origin};
use lapstrake_image::ErrorKind as TransferKind;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use std::fs::{File, FileType, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How many temporary names are tried.
const NAMES: u32 = 1000;

/// Where an archive goes.
#[derive(Debug)]
pub enum ArchiveTarget {
    /// A file that has its name when it is whole, and that nobody else can read.
    File(PathBuf),
    /// A descriptor that is written to as it is, and what errors call it: `/dev/stdout`.
    Descriptor(File, String),
}

/// A target that is open.
#[derive(Debug)]
pub(super) struct OpenTarget {
    file: File,
    name: String,
    new: Option<NewName>,
}

/// What the temporary file becomes.
#[derive(Debug)]
struct NewName {
    /// Its name until then, on file systems where a file must have one. Removed when it is dropped before.
    temporary: Option<PathBuf>,
    target: PathBuf,
}

impl OpenTarget {
    /// Opens a target. `failed` begins the message when that cannot be: `failed to save image`.
    pub(super) fn open(target: ArchiveTarget, failed: &str) -> Result<Self, Error> {
        match target {
            ArchiveTarget::Descriptor(file, name) => Ok(Self {
                file,
                name,
                new: None,
            }),
            ArchiveTarget::File(path) => {
                let opened = check(&path).and_then(|()| create(&path));
                opened.map_err(|(kind, text)| {
                    Error::new(kind, format!("{failed}: {text}")).with_origin(Origin::Client)
                })
            }
        }
    }

    /// What is written to; the target itself is only kept by [`keep`](Self::keep).
    pub(super) fn descriptor(&self) -> Result<File, Error> {
        let duplicate = self.file.try_clone();
        duplicate.map_err(|error| lapstrake_image::Error::io("dup", error).into())
    }

    /// Whether it is a file of its own, of which what is wrong can be taken back.
    pub(super) fn is_file(&self) -> bool {
        self.new.is_some()
    }

    /// What errors call it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Gives the file its name.
    pub(super) fn keep(mut self) -> Result<(), Error> {
        let Some(new) = &mut self.new else {
            return Ok(());
        };
        new.appear(&self.file).map_err(|error| {
            let action = format!("rename {}", new.target.display());
            Error::from(lapstrake_image::Error::io(action, error)).with_origin(Origin::Client)
        })
    }
}

impl NewName {
    /// A file without a name can be linked where nothing is, and else has to be renamed over what is there.
    fn appear(&mut self, file: &File) -> io::Result<()> {
        if self.temporary.is_none() {
            match link(file, &self.target) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                done => return done,
            }
            let ((), hidden) = beside(&self.target, |hidden| link(file, hidden))?;
            self.temporary = Some(hidden);
        }
        if let Some(temporary) = &self.temporary {
            std::fs::rename(temporary, &self.target)?;
        }
        self.temporary = None;
        Ok(())
    }
}

impl Drop for NewName {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // Best effort: the error that matters is on its way.
            std::fs::remove_file(temporary).ok();
        }
    }
}

type Refused = (ErrorKind, String);

fn refused(text: &str) -> Refused {
    (ErrorKind::InvalidArgument, text.to_owned())
}

fn system(action: &str, path: &Path, error: &io::Error) -> Refused {
    let kind = match TransferKind::of_io(error) {
        TransferKind::NotFound => ErrorKind::NotFound,
        TransferKind::NoSpace => ErrorKind::NoSpace,
        TransferKind::ReadOnly => ErrorKind::ReadOnly,
        _ => ErrorKind::InvalidArgument,
    };
    let words = TransferKind::io_words(error);
    (kind, format!("{action} {}: {words}", path.display()))
}

/// What docker's client looks at before it asks for anything.
fn check(path: &Path) -> Result<(), Refused> {
    if path.as_os_str().is_empty() {
        return Err(refused("file name is empty"));
    }
    if path.file_name().is_none() {
        return Err(refused("cannot write to a directory"));
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    if !folder.as_os_str().is_empty() {
        let invalid = |(kind, text): Refused| (kind, format!("invalid output path: {text}"));
        let found =
            std::fs::metadata(folder).map_err(|error| invalid(system("stat", folder, &error)))?;
        if !found.is_dir() {
            let error = io::Error::from(io::ErrorKind::NotADirectory);
            return Err(invalid(system("stat", folder, &error)));
        }
    }
    // What a rename would replace: not what a link leads to.
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => {
            let (kind, text) = system("lstat", path, &error);
            Err((kind, format!("failed to stat output path: {text}")))
        }
        Ok(found) => match obstacle(found.file_type()) {
            None => Ok(()),
            Some(what) => Err(refused(&format!("cannot write to {what}"))),
        },
    }
}

/// What cannot be replaced by a file, in docker's words.
fn obstacle(kind: FileType) -> Option<&'static str> {
    Some(match kind {
        _ if kind.is_file() => return None,
        _ if kind.is_dir() => "a directory",
        _ if kind.is_symlink() => "a symbolic link directly",
        _ if kind.is_fifo() => "a named pipe (FIFO)",
        _ if kind.is_socket() => "a socket",
        _ if kind.is_char_device() => "a character device file",
        _ => "a block device file",
    })
}

/// A new file in the folder of the one that it is to become: without a name where that is possible, so that
/// nothing is left of it however this process ends.
fn create(path: &Path) -> Result<OpenTarget, Refused> {
    let (file, temporary) = match unnamed(path) {
        Some(file) => (file, None),
        None => {
            let made = beside(path, |hidden| {
                let mut options = OpenOptions::new();
                options.write(true).create_new(true).mode(0o600);
                options.open(hidden)
            });
            let (file, hidden) = made.map_err(|error| system("open", path, &error))?;
            (file, Some(hidden))
        }
    };
    Ok(OpenTarget {
        file,
        name: path.display().to_string(),
        new: Some(NewName {
            temporary,
            target: path.to_owned(),
        }),
    })
}

/// A file without a name; none where the file system knows no such thing, or it could not be named later.
fn unnamed(path: &Path) -> Option<File> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR).ok()?;
    let file = File::from(file);
    std::fs::symlink_metadata(descriptor_path(&file)).ok()?;
    Some(file)
}

/// Gives a file without a name this one, which nothing may have.
fn link(file: &File, name: &Path) -> io::Result<()> {
    let from = descriptor_path(file);
    rustix::fs::linkat(CWD, &from, CWD, name, AtFlags::SYMLINK_FOLLOW)?;
    Ok(())
}

fn descriptor_path(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Makes something under a hidden name beside a file.
fn beside<T>(path: &Path, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<(T, PathBuf)> {
    let name = path.file_name().unwrap_or_default();
    let process = std::process::id();
    for number in 0..NAMES {
        let mut hidden = std::ffi::OsString::from(".tmp-");
        hidden.push(name);
        hidden.push(format!("-{process}-{number}"));
        let hidden = path.with_file_name(hidden);
        match make(&hidden) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(made) => return Ok((made, hidden)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}
