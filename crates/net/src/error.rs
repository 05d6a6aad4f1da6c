//! Why a container has no network.

use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// The errors of this crate.
#[expect(
    clippy::error_impl_error,
    reason = "read as the crate's error, by its path"
)]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The process may not make interfaces.
    #[error("{action}: operation not permitted (the bridge needs CAP_NET_ADMIN)")]
    NotPermitted {
        /// What was tried.
        action: &'static str,
    },
    /// Something else has the bridge's name.
    #[error("interface {0} is not a bridge")]
    NotABridge(&'static str),
    /// Every network of the default pools overlaps with a route, an address or a name server of the host.
    #[error(
        "could not find an available, non-overlapping IPv4 address pool for the bridge network"
    )]
    NoSubnet,
    /// Every address that was tried is taken.
    #[error("no available IPv4 addresses on the bridge network {0}/16")]
    NoAddress(Ipv4Addr),
    /// The host does not forward packets and cannot be told to.
    #[error("IPv4 forwarding is off and {path} cannot be written")]
    Forwarding {
        /// The kernel setting.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The lock of the host's networks.
    #[error("locking {path}")]
    Lock {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The kernel refused something, or has not got it.
    #[error("{action}")]
    Kernel {
        /// What was tried.
        action: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

/// Results of this crate.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Says what was tried.
pub(crate) fn doing(action: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| match source.kind() {
        io::ErrorKind::PermissionDenied => Error::NotPermitted { action },
        _ => Error::Kernel { action, source },
    }
}
