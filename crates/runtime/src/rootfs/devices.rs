//! `/dev`: docker's nodes and links.
//!
//! A container may make device nodes (`CAP_MKNOD`), so what keeps it from the host's disks is
//! `nodev` on every mount it can write to. The nodes it may use are bind mounts of their own,
//! without that attribute. A container with all devices gets plain nodes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use lapstrake_sys::mount::{self, Attributes, MountAttrFlags};
use oci_spec::runtime::{Linux, LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::resolve::{self, Missing};

/// The nodes of every container: name, major, minor.
const NODES: [(&str, i64, i64); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// The links of every container.
const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];

/// What `/dev/core` leads to.
const KCORE: &str = "/proc/kcore";

/// Which devices a container may use.
#[derive(Debug)]
pub(crate) struct DeviceRules(Vec<LinuxDeviceCgroup>);

impl DeviceRules {
    /// The rules of the specification. Without any, nothing is allowed but what is given.
    pub(crate) fn new(linux: Option<&Linux>) -> Self {
        let resources = linux.and_then(|linux| linux.resources().as_ref());
        let rules = resources.and_then(|resources| resources.devices().clone());
        Self(rules.unwrap_or_default())
    }

    /// Whether every device is allowed.
    pub(crate) fn allow_everything(&self) -> bool {
        self.decide(|rule| {
            rule.typ().is_none_or(|kind| kind == LinuxDeviceType::A)
                && rule.major().is_none_or(|major| major < 0)
                && rule.minor().is_none_or(|minor| minor < 0)
        })
    }

    /// Whether a file is a device node that is allowed.
    pub(crate) fn allow_node(&self, kind: FileType, device: u64) -> bool {
        let kind = match kind {
            FileType::CharacterDevice => LinuxDeviceType::C,
            FileType::BlockDevice => LinuxDeviceType::B,
            _ => return false,
        };
        let major = i64::from(rustix::fs::major(device));
        let minor = i64::from(rustix::fs::minor(device));
        self.decide(|rule| {
            rule.typ()
                .is_none_or(|typ| typ == LinuxDeviceType::A || typ == kind)
                && rule
                    .major()
                    .is_none_or(|number| number < 0 || number == major)
                && rule
                    .minor()
                    .is_none_or(|number| number < 0 || number == minor)
        })
    }

    /// The last rule about reading and writing that matches decides.
    fn decide(&self, matches: impl Fn(&LinuxDeviceCgroup) -> bool) -> bool {
        let about_use = |rule: &&LinuxDeviceCgroup| {
            let access = rule.access().as_deref().unwrap_or("rwm");
            access.contains('r') || access.contains('w')
        };
        let last = self
            .0
            .iter()
            .rev()
            .filter(about_use)
            .find(|rule| matches(rule));
        last.is_some_and(LinuxDeviceCgroup::allow)
    }
}

/// Makes nodes and links in the container's `/dev`.
pub(super) fn furnish(
    root: BorrowedFd<'_>,
    linux: Option<&Linux>,
    rules: &DeviceRules,
) -> io::Result<()> {
    let dev = resolve::ensure(root, Path::new("/dev"), Missing::Directory)?;
    let dev = rustix::fs::openat(
        &dev,
        c".",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let own_mount = is_mount_point(&dev)?;
    let restricted = !rules.allow_everything() && own_mount;
    for (name, major, minor) in NODES {
        let mut device = LinuxDevice::default();
        device
            .set_path(PathBuf::from(name))
            .set_typ(LinuxDeviceType::C);
        device.set_major(major).set_minor(minor);
        make(dev.as_fd(), &device, restricted)?;
    }
    for device in linux
        .iter()
        .flat_map(|linux| linux.devices().iter().flatten())
    {
        let Ok(below) = device.path().strip_prefix("/dev") else {
            let path = device.path().display();
            return Err(io::Error::other(format!("device {path} is not in /dev")));
        };
        let mut below_dev = device.clone();
        below_dev.set_path(below.to_owned());
        make(dev.as_fd(), &below_dev, restricted)?;
    }
    // Not every kernel has it.
    let core = Path::new(KCORE).exists().then_some((KCORE, "core"));
    for (target, name) in LINKS.into_iter().chain(core) {
        match rustix::fs::symlinkat(target, &dev, name) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    if restricted {
        let set = MountAttrFlags::MOUNT_ATTR_NODEV;
        mount::set_attributes(
            dev.as_fd(),
            &Attributes {
                set,
                ..Attributes::default()
            },
        )?;
    }
    Ok(())
}

fn is_mount_point(directory: &OwnedFd) -> io::Result<bool> {
    use rustix::fs::{AtFlags, StatxAttributes, StatxFlags};
    let stat = rustix::fs::statx(directory, c"", AtFlags::EMPTY_PATH, StatxFlags::TYPE)?;
    Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Makes one node; where nodes are not for everybody's use, a mount of itself keeps this one usable.
fn make(dev: BorrowedFd<'_>, device: &LinuxDevice, restricted: bool) -> io::Result<()> {
    let path = device.path();
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        resolve::ensure(dev, parent, Missing::Directory)?;
    }
    let made = make_node(dev, device);
    let source = match made {
        Ok(()) | Err(Errno::EXIST) => {
            if !restricted {
                return Ok(());
            }
            mount::clone_at(dev, path, false)?
        }
        // In a user namespace there are no new nodes: the host's own is mounted.
        Err(Errno::PERM) => {
            resolve::ensure(dev, path, Missing::File)?;
            mount::clone_path(&Path::new("/dev").join(path), false)?
        }
        Err(errno) => return Err(errno.into()),
    };
    let target = resolve::find(dev, path)?;
    mount::attach(source.as_fd(), target.as_fd())
}

fn make_node(dev: BorrowedFd<'_>, device: &LinuxDevice) -> rustix::io::Result<()> {
    let (kind, number) = match device.typ() {
        LinuxDeviceType::P => (FileType::Fifo, 0),
        LinuxDeviceType::B => (FileType::BlockDevice, number(device)),
        _ => (FileType::CharacterDevice, number(device)),
    };
    let mode = Mode::from_raw_mode(device.file_mode().unwrap_or(0o666) & 0o7777);
    rustix::fs::mknodat(dev, device.path(), kind, mode, number)?;
    let owner = (device.uid().unwrap_or(0), device.gid().unwrap_or(0));
    if owner != (0, 0) {
        let uid = rustix::fs::Uid::from_raw(owner.0);
        let gid = rustix::fs::Gid::from_raw(owner.1);
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(dev, device.path(), Some(uid), Some(gid), flags)?;
    }
    Ok(())
}

fn number(device: &LinuxDevice) -> u64 {
    let part = |number: i64| u32::try_from(number).unwrap_or_default();
    rustix::fs::makedev(part(device.major()), part(device.minor()))
}

/// Makes the terminal known as `/dev/console` too.
pub(super) fn bind_console(root: BorrowedFd<'_>, slave: BorrowedFd<'_>) -> io::Result<()> {
    let target = resolve::ensure(root, Path::new("/dev/console"), Missing::File)?;
    let tree = mount::clone_at(slave, Path::new(""), false)?;
    mount::attach(tree.as_fd(), target.as_fd())
}
