//! The engine's own program, out of a container's reach.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use lapstrake_sys::mount::{self, Attributes, MountAttrFlags};

/// The calling program on a read-only mount of its own.
///
/// For a moment the processes of a container still run the program that starts them, and by
/// `/proc/self/exe` they reach its file, past all mounts. Whoever executes the monitor does so by
/// this descriptor (`/proc/self/fd/N`): then what is reached cannot be written to.
pub fn protected_program() -> io::Result<OwnedFd> {
    let copy = mount::clone_path(Path::new("/proc/self/exe"), false)?;
    let set = MountAttrFlags::MOUNT_ATTR_RDONLY;
    mount::set_attributes(
        copy.as_fd(),
        &Attributes {
            set,
            ..Attributes::default()
        },
    )?;
    Ok(copy)
}
