//! Network interfaces and namespaces.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::thread::LinkNameSpaceType;

/// `IFF_UP` and `IFF_RUNNING`, as an `ifreq` has them.
const UP_AND_RUNNING: libc::c_short = 0x41;

/// Switches the loopback interface of the calling process's network namespace on.
pub fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: every field of an ifreq may be zero.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(*b"lo") {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request.ifr_ifru.ifru_flags = UP_AND_RUNNING;
    // SAFETY: the request is an ifreq with a name and flags, as SIOCSIFFLAGS takes it.
    let result = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS as _,
            &raw const request,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Calls `call` with the calling thread in another network namespace: what is opened there stays there.
pub fn inside<T>(netns: BorrowedFd<'_>, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let network = Some(LinkNameSpaceType::Network);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let outside = rustix::fs::open(c"/proc/thread-self/ns/net", flags, Mode::empty())?;
    rustix::thread::move_into_link_name_space(netns, network)?;
    let result = call();
    rustix::thread::move_into_link_name_space(outside.as_fd(), network)?;
    result
}
