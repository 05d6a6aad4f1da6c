//! The command: where it runs, which file it is, and what is said when it cannot run.

use std::ffi::{CStr, CString, OsStr};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use lapstrake_sys::process;
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::error::{StartError, StartErrorKind, words};

/// The most bytes read of `/etc/passwd`.
const PASSWD_LIMIT: u64 = 4 << 20;

/// Makes `directory` the working directory.
pub(super) fn enter_directory(directory: &Path) -> Result<(), StartError> {
    let path = directory.display();
    rustix::process::chdir(directory).map_err(|errno| {
        let reason = words(&errno.into());
        let message = format!("chdir to cwd (\"{path}\") set in config.json failed: {reason}");
        let kind = match errno {
            Errno::NOTDIR => StartErrorKind::NotDirectory,
            Errno::NOENT => StartErrorKind::NotFound,
            Errno::ACCESS => StartErrorKind::NotExecutable,
            _ => StartErrorKind::Other,
        };
        StartError::new(kind, message)
    })?;
    // A path like /proc/self/fd/7 may lead out through a descriptor that is still open.
    let inside =
        rustix::process::getcwd(Vec::new()).is_ok_and(|path| path.to_bytes()[..1] == *b"/");
    if inside {
        return Ok(());
    }
    Err(StartError::other(
        "current working directory is outside of container mount namespace root -- possible \
         container breakout detected",
    ))
}

/// Adds `HOME` where it is missing, from the container's `/etc/passwd`.
pub(super) fn add_home(environment: &mut Vec<CString>, uid: u32) {
    if variable(environment, b"HOME").is_some_and(|home| !home.is_empty()) {
        return;
    }
    environment.retain(|entry| !entry.to_bytes().starts_with(b"HOME="));
    let home = home_of(uid).unwrap_or_else(|| b"/".to_vec());
    let entry = [b"HOME=".as_slice(), &home].concat();
    environment.extend(CString::new(entry));
}

fn home_of(uid: u32) -> Option<Vec<u8>> {
    let file = std::fs::File::open("/etc/passwd").ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = Vec::new();
    file.take(PASSWD_LIMIT).read_to_end(&mut text).ok()?;
    let uid = uid.to_string();
    let home = text.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':').skip(2);
        (fields.next()? == uid.as_bytes()).then(|| fields.nth(2))?
    })?;
    (!home.is_empty()).then(|| home.to_vec())
}

/// The value of a variable; the last one counts.
fn variable<'a>(environment: &'a [CString], name: &[u8]) -> Option<&'a [u8]> {
    environment
        .iter()
        .rev()
        .find_map(|entry| entry.to_bytes().strip_prefix(name)?.strip_prefix(b"="))
}

/// Finds the file to execute, as Go's `exec.LookPath` does, with its words.
pub(super) fn find(arguments: &[CString], environment: &[CString]) -> Result<CString, StartError> {
    let name = arguments.first().map(CString::as_c_str).unwrap_or_default();
    if name.to_bytes().contains(&b'/') {
        return match check(name) {
            Ok(()) => Ok(name.to_owned()),
            Err(problem) => Err(problem.describe(name)),
        };
    }
    let path = variable(environment, b"PATH").unwrap_or_default();
    if !name.is_empty() && !path.is_empty() {
        for directory in path.split(|byte| *byte == b':') {
            // Go refuses what is found in the working directory by an empty or relative element.
            if !directory.starts_with(b"/") {
                continue;
            }
            let candidate = [directory, b"/", name.to_bytes()].concat();
            if let Ok(candidate) = CString::new(candidate)
                && check(&candidate).is_ok()
            {
                return Ok(candidate);
            }
        }
    }
    let name = name.to_string_lossy();
    let message = format!("exec: {name:?}: executable file not found in $PATH");
    Err(StartError::new(StartErrorKind::NotFound, message))
}

/// Why a file cannot be executed.
#[derive(Debug, Clone, Copy)]
enum Problem {
    Stat(Errno),
    Directory,
    Denied,
}

fn check(path: &CStr) -> Result<(), Problem> {
    let stat = rustix::fs::stat(path).map_err(Problem::Stat)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(Problem::Directory);
    }
    // The access check alone calls a file executable for root that has no such bit at all on some
    // file systems.
    if stat.st_mode & 0o111 == 0 || process::is_executable(path).is_err() {
        return Err(Problem::Denied);
    }
    Ok(())
}

impl Problem {
    fn describe(self, path: &CStr) -> StartError {
        let path = path.to_string_lossy();
        let (kind, reason) = match self {
            Self::Stat(errno) => {
                let kind = match errno {
                    Errno::ACCESS => StartErrorKind::NotExecutable,
                    Errno::NOTDIR => StartErrorKind::NotDirectory,
                    _ => StartErrorKind::NotFound,
                };
                (kind, format!("stat {path}: {}", words(&errno.into())))
            }
            Self::Directory => (StartErrorKind::NotExecutable, "is a directory".to_owned()),
            Self::Denied => (
                StartErrorKind::NotExecutable,
                "permission denied".to_owned(),
            ),
        };
        StartError::new(kind, format!("exec: {path:?}: {reason}"))
    }
}

/// Says on the container's standard error why its command, though found, cannot be executed.
pub(super) fn complain(program: &CStr, error: &std::io::Error) {
    let path = Path::new(OsStr::from_bytes(program.to_bytes())).display();
    let line = format!("exec {path}: {}\n", words(error));
    // Nobody is left to be told when that fails.
    rustix::io::write(rustix::stdio::stderr(), line.as_bytes()).ok();
}
