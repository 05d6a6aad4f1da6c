//! Receive buffers of connections within this machine.
//!
//! The kernel lets the buffer of a fast connection grow to many megabytes. When the process is killed, all that
//! waits there is lost and has to be fetched again. Between two programs of one machine there is no distance
//! that a large buffer would bridge, so there it is bounded.

use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

/// Bytes that may wait in one connection; the kernel doubles the number for its own needs.
const LOCAL_BYTES: usize = 256 << 10;

/// Bounds the buffers of this process's connections with `peer`, if that is on this machine. The HTTP client does
/// not give its sockets away, so they are looked for. Where that is not possible nothing is bounded.
pub(super) fn bound(peer: SocketAddr) {
    if !peer.ip().to_canonical().is_loopback() {
        return;
    }
    let Ok(process) = pidfd_open(getpid(), PidfdFlags::empty()) else {
        return;
    };
    let Ok(names) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    let numbers = names
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    for number in numbers {
        let Ok(file) = pidfd_getfd(&process, number, PidfdGetfdFlags::empty()) else {
            // Closed meanwhile.
            continue;
        };
        if is_connected_with(file.as_fd(), peer) {
            set_socket_recv_buffer_size(&file, LOCAL_BYTES).ok();
        }
    }
}

fn is_connected_with(file: BorrowedFd<'_>, peer: SocketAddr) -> bool {
    rustix::net::getpeername(file)
        .ok()
        .flatten()
        .and_then(|address| SocketAddr::try_from(address).ok())
        == Some(peer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn connections_within_the_machine_are_bounded() {
        let size =
            |socket: &TcpStream| rustix::net::sockopt::socket_recv_buffer_size(socket).unwrap();
        let [one, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let bounded = TcpStream::connect(one.local_addr().unwrap()).unwrap();
        let untouched = TcpStream::connect(other.local_addr().unwrap()).unwrap();
        let before = size(&untouched);
        bound(one.local_addr().unwrap());
        assert!(size(&bounded) <= 2 * LOCAL_BYTES, "{}", size(&bounded));
        assert_ne!(size(&bounded), before);
        assert_eq!(size(&untouched), before);
    }
}
