//! Processes: fork into namespaces, execute, descriptors, exit.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

pub use rustix::thread::UnshareFlags as Namespaces;

/// `struct clone_args`, version 2.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const CLONE_PIDFD: u64 = 0x1000;
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// The flags that name namespaces; the others share or unshare something else.
const NAMESPACES: Namespaces = Namespaces::NEWNS
    .union(Namespaces::NEWCGROUP)
    .union(Namespaces::NEWUTS)
    .union(Namespaces::NEWIPC)
    .union(Namespaces::NEWUSER)
    .union(Namespaces::NEWPID)
    .union(Namespaces::NEWNET)
    .union(Namespaces::NEWTIME);

/// Which side of a fork this is.
#[derive(Debug)]
pub enum Forked {
    /// The calling process, with its child.
    Parent {
        /// The child's number in the caller's process namespace.
        pid: i32,
        /// A descriptor of the child, readable once it has ended.
        pidfd: OwnedFd,
    },
    /// The new process.
    Child,
}

/// Forks into new namespaces, and into a version 2 control group given as an open directory.
///
/// The child goes on with ordinary code. When the caller has other threads, one of them may hold
/// a lock (of the allocator, say) that nobody in the child will ever release: see
/// [`is_single_threaded`].
pub fn fork(namespaces: Namespaces, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Forked> {
    let mut pidfd: RawFd = -1;
    let mut args = CloneArgs {
        flags: u64::from(namespaces.intersection(NAMESPACES).bits())
            | CLONE_PIDFD
            | CLONE_CLEAR_SIGHAND,
        pidfd: ptr::from_mut(&mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    if let Some(dir) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::try_from(dir.as_raw_fd()).unwrap_or_default();
    }
    let size = size_of::<CloneArgs>();
    // SAFETY: `args` is a valid clone_args of `size` bytes whose pidfd points to a live i32. No
    // stack and no CLONE_VM: the child runs on a copy of everything, as after fork.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, ptr::from_ref(&args), size) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent {
            pid: i32::try_from(pid).unwrap_or_default(),
            // SAFETY: the kernel has stored a new descriptor there that nobody else owns.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        }),
    }
}

/// Whether the calling process has no other thread. Unknown (no `/proc`) counts as yes.
pub fn is_single_threaded() -> bool {
    // Two links plus one for every thread's directory.
    rustix::fs::stat("/proc/self/task").is_ok_and(|stat| stat.st_nlink <= 3)
}

/// Moves the calling process into new namespaces.
pub fn unshare(namespaces: Namespaces) -> io::Result<()> {
    let namespaces = namespaces.intersection(NAMESPACES);
    // SAFETY: only namespaces are unshared, never the descriptor table.
    unsafe { rustix::thread::unshare_unsafe(namespaces) }?;
    Ok(())
}

/// Replaces the program. Returns only when that fails.
pub fn exec(path: &CStr, arguments: &[CString], environment: &[CString]) -> io::Error {
    let arguments = pointers(arguments);
    let environment = pointers(environment);
    // SAFETY: the path is terminated, both lists hold terminated strings that outlive the call and
    // end with a null pointer.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// The null-terminated list of C strings that `execve` takes.
fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings
        .iter()
        .map(|string| string.as_ptr())
        .chain([ptr::null()])
        .collect()
}

/// Ends the process at once: no destructors, no buffers written.
pub fn exit(code: i32) -> ! {
    // SAFETY: has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Marks every descriptor from `first` on close-on-exec.
pub fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    let first = libc::c_uint::try_from(first).unwrap_or(0);
    // SAFETY: changes flags only, no descriptor is closed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Whether a process with the calling one's effective ids may do this to `path`.
pub fn is_executable(path: &CStr) -> io::Result<()> {
    // SAFETY: the path is a terminated string.
    let result =
        unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::X_OK, libc::AT_EACCESS) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Leaves the caller's session keyring for a new one of this name.
pub fn join_session_keyring(name: &CStr) -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: the name is a terminated string.
    let result =
        unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) };
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Forks without new namespaces, by the oldest of the system calls for it: a filter lets it pass.
/// The child's number, or `None` in the child. The remarks of [`fork`] hold.
pub fn fork_plain() -> io::Result<Option<i32>> {
    // SAFETY: the child has a copy of the calling thread and of all memory, and no handlers that
    // would touch other threads' state are registered.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => Ok(Some(pid)),
    }
}

/// Closes every descriptor from `first` on, whoever thinks to own it: for a process that goes on
/// without them for good.
pub fn close_all_from(first: RawFd) -> io::Result<()> {
    let first = libc::c_uint::try_from(first).unwrap_or(0);
    // SAFETY: the caller's process has nothing left to do with the descriptors.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sends a signal, real-time ones included, to the process of a descriptor.
pub fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let info = ptr::null::<libc::siginfo_t>();
    let fd = pidfd.as_raw_fd();
    // SAFETY: without a siginfo the kernel makes the one that kill would.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, info, 0) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sends a signal, real-time ones included, to a child of the calling process.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    if pid <= 0 {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    // SAFETY: has no preconditions.
    let result = unsafe { libc::kill(pid, signal) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
