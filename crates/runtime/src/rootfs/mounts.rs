//! The mounts of a specification, in its order.

use std::fmt::Display;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use lapstrake_sys::mount::{
    self, Attributes, Configuration, MountAttrFlags, MountPropagationFlags,
};
use oci_spec::runtime::{LinuxNamespaceType, Mount, Spec};
use rustix::fs::FileType;
use rustix::io::Errno;

use super::options::Options;
use super::resolve::{self, Missing};
use super::{DeviceRules, cgroups};
use crate::error::{StartError, StartErrorKind, words};

/// Mounts everything the specification names.
pub(super) fn mount_all(
    root: BorrowedFd<'_>,
    spec: &Spec,
    rules: &DeviceRules,
    entered: bool,
) -> Result<(), StartError> {
    let own_cgroup_namespace = has_namespace(spec, LinuxNamespaceType::Cgroup);
    for mount in spec.mounts().iter().flatten() {
        let options = mount.options().iter().flatten().map(String::as_str);
        let options = Options::parse(options);
        let result = match mount.typ().as_deref() {
            _ if options.bind.is_some() => bind(root, mount, &options, rules),
            Some("bind") => bind(root, mount, &options, rules),
            Some("cgroup" | "cgroup2") => {
                let path = mount.destination();
                cgroups::mount_cgroups(root, path, &options, (own_cgroup_namespace, entered))
            }
            Some(kind) => new_filesystem(root, mount, kind, &options, rules),
            None => Err(io::Error::other("no type")),
        };
        result.map_err(|error| mount_error(mount, &error))?;
    }
    Ok(())
}

/// Whether `/dev` is another directory's rather than made here.
pub(super) fn binds_dev(spec: &Spec) -> bool {
    spec.mounts().iter().flatten().any(|mount| {
        let options = mount.options().iter().flatten().map(String::as_str);
        mount.destination() == Path::new("/dev")
            && (mount.typ().as_deref() == Some("bind") || Options::parse(options).bind.is_some())
    })
}

/// Whether the container is in another namespace of this type than the host.
pub(super) fn has_namespace(spec: &Spec, kind: LinuxNamespaceType) -> bool {
    let namespaces = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.namespaces().as_ref());
    namespaces
        .into_iter()
        .flatten()
        .any(|namespace| namespace.typ() == kind)
}

/// Docker's words for a mount that failed.
fn mount_error(mount: &Mount, error: &io::Error) -> StartError {
    let empty = Path::new("");
    let source = mount.source().as_deref().unwrap_or(empty).display();
    let destination = mount.destination().display();
    let message = mount_message(&source, &destination, &words(error));
    let not_directory = error.raw_os_error() == Some(Errno::NOTDIR.raw_os_error());
    let kind = if not_directory {
        StartErrorKind::NotDirectory
    } else {
        StartErrorKind::Other
    };
    StartError::new(kind, message)
}

fn mount_message(source: &dyn Display, destination: &dyn Display, reason: &str) -> String {
    format!(
        "error mounting \"{source}\" to rootfs at \"{destination}\": \
         mount {source}:{destination}: {reason}"
    )
}

fn bind(
    root: BorrowedFd<'_>,
    mount: &Mount,
    options: &Options<'_>,
    rules: &DeviceRules,
) -> io::Result<()> {
    let source = mount.source().as_deref().ok_or(Errno::INVAL)?;
    let tree = mount::clone_path(source, options.bind == Some(true))?;
    let stat = rustix::fs::fstat(&tree)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let missing = if kind == FileType::Directory {
        Missing::Directory
    } else {
        Missing::File
    };
    let target = resolve::ensure(root, mount.destination(), missing)?;
    let target_kind = FileType::from_raw_mode(rustix::fs::fstat(&target)?.st_mode);
    if (kind == FileType::Directory) != (target_kind == FileType::Directory) {
        // The kernel has only "invalid argument" for it.
        return Err(Errno::NOTDIR.into());
    }
    let private = [(MountPropagationFlags::PRIVATE, true)];
    let propagation = match options.propagation.as_slice() {
        [] => private.as_slice(),
        given => given,
    };
    for (flags, recursive) in propagation {
        let change = Attributes {
            propagation: Some(*flags),
            recursive: *recursive,
            ..Attributes::default()
        };
        mount::set_attributes(tree.as_fd(), &change)?;
    }
    apply(&tree, options)?;
    if !rules.allow_node(kind, stat.st_rdev) && !rules.allow_everything() {
        let set = MountAttrFlags::MOUNT_ATTR_NODEV;
        let change = Attributes {
            set,
            recursive: true,
            ..Attributes::default()
        };
        mount::set_attributes(tree.as_fd(), &change)?;
    }
    mount::attach(tree.as_fd(), target.as_fd())
}

/// Applies the attributes that options ask for.
fn apply(tree: &OwnedFd, options: &Options<'_>) -> io::Result<()> {
    for change in [&options.own, &options.recursive] {
        if !change.set.is_empty() || !change.clear.is_empty() {
            mount::set_attributes(tree.as_fd(), change)?;
        }
    }
    Ok(())
}

fn new_filesystem(
    root: BorrowedFd<'_>,
    mount: &Mount,
    kind: &str,
    options: &Options<'_>,
    rules: &DeviceRules,
) -> io::Result<()> {
    let target = match kind {
        // A link would have the kernel's files appear where the image likes.
        "proc" | "sysfs" => plain_directory(root, mount.destination())?,
        _ => resolve::ensure(root, mount.destination(), Missing::Directory)?,
    };
    let configuration = Configuration::new(kind)?;
    let source = mount.source().as_deref().unwrap_or(Path::new(kind));
    configuration.set("source", source)?;
    for option in &options.data {
        set_option(&configuration, option)?;
    }
    if kind == "tmpfs"
        && !options
            .data
            .iter()
            .any(|option| option.starts_with("mode="))
    {
        // As the directory that it hides.
        let mode = rustix::fs::fstat(&target)?.st_mode & 0o7777;
        configuration.set("mode", Path::new(&format!("{mode:o}")))?;
    }
    let mut attributes = options.own.set.union(options.recursive.set);
    // `/dev` gets it once its nodes are there; terminals need their nodes.
    let dev = mount.destination() == Path::new("/dev");
    if !rules.allow_everything() && !dev && kind != "devpts" {
        attributes |= MountAttrFlags::MOUNT_ATTR_NODEV;
    }
    let tree = configuration
        .mount(attributes)
        .map_err(|error| explain(&configuration, error))?;
    for (flags, recursive) in &options.propagation {
        let change = Attributes {
            propagation: Some(*flags),
            recursive: *recursive,
            ..Attributes::default()
        };
        mount::set_attributes(tree.as_fd(), &change)?;
    }
    mount::attach(tree.as_fd(), target.as_fd())
}

fn plain_directory(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    match resolve::find_plain(root, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            resolve::ensure(root, path, Missing::Directory)?;
            resolve::find_plain(root, path)
        }
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            let path = path.display();
            Err(io::Error::other(format!(
                "{path:?} must be mounted on ordinary directory"
            )))
        }
        result => result,
    }
}

fn set_option(configuration: &Configuration, option: &str) -> io::Result<()> {
    let result = match option.split_once('=') {
        Some((key, value)) => configuration.set(key, Path::new(value)),
        None => configuration.flag(option),
    };
    result.map_err(|error| explain(configuration, error))
}

/// Adds the kernel's own words, when it has any.
fn explain(configuration: &Configuration, error: io::Error) -> io::Error {
    match configuration.message() {
        Some(message) => io::Error::other(format!("{}: {message}", words(&error))),
        None => error,
    }
}
