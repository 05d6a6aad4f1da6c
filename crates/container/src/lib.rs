//! The life of a container: records, the monitor, logs, attach.
//!
//! # On disk
//!
//! ```text
//! <root>/containers/.lock            flock: names are taken and given back under it
//! <root>/containers/.names/<name>    symbolic link to the id that has the name
//! <root>/containers/<64 hex>/
//!     config.json    the record; the container exists when this file is whole
//!     state.json     the state; missing = created and never started
//!     monitor.lock   flock held by the creator while it creates, by the monitor while it lives
//!     control.sock   the monitor's door
//!     json.log       output, one JSON object a line
//!     upper/ work/   the writable layer
//!     hostname hosts resolv.conf      bind-mounted over the image's; hosts gets the container's own line
//!                                     once it has an address
//! <root>/volumes/<name>/_data        volumes
//! ```
//!
//! Truth about running is the lock: a state that says `running` while nobody holds `monitor.lock` is
//! read as exited with 137, and the next writer records that. Nothing of a container lives outside its
//! folder and its own namespaces, so `kill -9` of anything leaves nothing mounted on the host, and no
//! address taken: see [`network`].
//!
//! A record is written in place and synced once, after the name was linked: a crash leaves either a
//! whole record or a folder without one, which nobody lists and [`Containers::reap`] removes. A state
//! replaces the old one by rename. Containers with `AutoRemove` are never synced: they vanish anyway.
//!
//! # Processes
//!
//! [`Containers::start`] executes the program's own image once more as the *monitor* ([`monitor::main`]),
//! a small single-threaded process in a session of its own. It starts the container, owns its pipes or
//! terminal, writes the log, serves clients and records the exit. The caller is merely its first client.
//! [`Containers::prepare`] executes it before its container is made, so that both happen at once.

pub mod attach;
pub mod lower;
pub mod monitor;
pub mod network;
pub mod record;
pub mod sandbox;
pub mod users;
pub mod volumes;

mod clock;
mod containers;
mod create;
mod error;
mod files;
mod frame;
mod home;
mod host_config;
mod lifecycle;
mod logs;
mod mount_request;
mod names;
mod remove;
mod rename;
mod role;
mod session;

pub use attach::{DEFAULT_DETACH_KEYS, Outcome, Pump, parse_detach_keys};
pub use containers::{Container, Containers, RemoveOptions, Sizes, Unreadable};
pub use create::CreateSpec;
pub use error::{Error, StartKind};
pub use host_config::{
    DEFAULT_SHM_SIZE, Device, HostConfig, LogConfig, PortBinding, RestartPolicy, Ulimit,
};
pub use lapstrake_snapshot::{Layer as LayerRef, Snapshot, View};
pub use lifecycle::{Held, Prepared};
pub use logs::{LogEntry, LogOptions, Logs, Stream};
pub use mount_request::{BindOptions, MountKind, MountRequest, TmpfsOptions};
pub use names::check_name;
pub use network::{BRIDGE_NETWORK, NETWORK_FAILURE, NetworkState, network_name};
pub use record::{ContainerId, Mount, Record, State, Status};
pub use session::{Output, Polled, Session, StartOptions, Window};
