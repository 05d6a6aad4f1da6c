//! Control groups as a container sees them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use lapstrake_sys::mount::{
    self, Attributes, Configuration, MountAttrFlags, MountPropagationFlags,
};

use super::options::Options;
use super::resolve::{self, Missing};
use crate::cgroup::{Hierarchy, Layout};

/// Mounts the control groups at `path`: the version 2 tree, or a directory with one mount for each
/// version 1 hierarchy. Nothing on a host without any. `entered` tells that the process has been moved into
/// groups of the container's own.
pub(super) fn mount_cgroups(
    root: BorrowedFd<'_>,
    path: &Path,
    options: &Options<'_>,
    (own_namespace, entered): (bool, bool),
) -> io::Result<()> {
    let layout = if entered {
        &Layout::detect()
    } else {
        Layout::of_start()
    };
    let attributes = options.own.set;
    match layout.hierarchy {
        Hierarchy::None => Ok(()),
        Hierarchy::V2 => {
            let target = resolve::ensure(root, path, Missing::Directory)?;
            let configuration = Configuration::new("cgroup2")?;
            configuration.set("source", Path::new("cgroup"))?;
            let tree = configuration.mount(attributes)?;
            mount::attach(tree.as_fd(), target.as_fd())
        }
        Hierarchy::V1 | Hierarchy::Hybrid => {
            mount_v1(root, path, layout, attributes, own_namespace)
        }
    }
}

fn mount_v1(
    root: BorrowedFd<'_>,
    path: &Path,
    layout: &Layout,
    attributes: MountAttrFlags,
    own_namespace: bool,
) -> io::Result<()> {
    let target = resolve::ensure(root, path, Missing::Directory)?;
    let configuration = Configuration::new("tmpfs")?;
    configuration.set("source", Path::new("tmpfs"))?;
    configuration.set("mode", Path::new("755"))?;
    let writable = attributes.difference(MountAttrFlags::MOUNT_ATTR_RDONLY);
    let directory = configuration.mount(writable)?;
    mount::attach(directory.as_fd(), target.as_fd())?;
    for tree in &layout.v1 {
        let Some(name) = tree.mount.file_name().map(Path::new) else {
            continue;
        };
        let mounted = if own_namespace {
            let configuration = Configuration::new("cgroup")?;
            configuration.set("source", Path::new("cgroup"))?;
            for controller in tree.controllers.split(',') {
                match controller.split_once('=') {
                    Some((key, value)) => {
                        configuration.set(key, Path::new(value))?;
                        configuration.flag("none")?;
                    }
                    None => configuration.flag(controller)?,
                }
            }
            configuration.mount(attributes)?
        } else {
            // The group that the process is in, as its root.
            let tree = mount::clone_path(&tree.own_directory(), false)?;
            let propagation = Some(MountPropagationFlags::PRIVATE);
            let change = Attributes {
                set: attributes,
                propagation,
                ..Attributes::default()
            };
            mount::set_attributes(tree.as_fd(), &change)?;
            tree
        };
        let place = resolve::ensure(directory.as_fd(), name, Missing::Directory)?;
        mount::attach(mounted.as_fd(), place.as_fd())?;
        // cpu,cpuacct is also known by each name.
        if tree.controllers.contains(',') {
            for link in tree.controllers.split(',') {
                rustix::fs::symlinkat(name, &directory, link)?;
            }
        }
    }
    let set = attributes;
    mount::set_attributes(
        directory.as_fd(),
        &Attributes {
            set,
            ..Attributes::default()
        },
    )
}
