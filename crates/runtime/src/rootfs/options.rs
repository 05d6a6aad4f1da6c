//! Mount options, as specifications and `/etc/fstab` spell them.

use lapstrake_sys::mount::{Attributes, MountAttrFlags, MountPropagationFlags};

/// What the options of one mount mean.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options<'a> {
    /// Changes to this mount alone.
    pub(super) own: Attributes,
    /// Changes to it and all below.
    pub(super) recursive: Attributes,
    /// A bind mount; `Some(true)` with the mounts below it.
    pub(super) bind: Option<bool>,
    /// Of one mount, then of a tree, as given.
    pub(super) propagation: Vec<(MountPropagationFlags, bool)>,
    /// What is for the file system: `size=64m`.
    pub(super) data: Vec<&'a str>,
}

impl<'a> Options<'a> {
    pub(super) fn parse(options: impl IntoIterator<Item = &'a str>) -> Self {
        let mut parsed = Self::default();
        parsed.recursive.recursive = true;
        for option in options {
            parsed.add(option);
        }
        parsed
    }

    fn add(&mut self, option: &'a str) {
        match option {
            "" | "defaults" => {}
            "bind" => self.bind = Some(self.bind.unwrap_or(false)),
            "rbind" => self.bind = Some(true),
            _ => {
                if let Some((flags, recursive)) = propagation(option) {
                    self.propagation.push((flags, recursive));
                } else if let Some(change) = attribute(option) {
                    change.apply(&mut self.own);
                } else if let Some(change) = option.strip_prefix('r').and_then(attribute) {
                    change.apply(&mut self.recursive);
                } else {
                    self.data.push(option);
                }
            }
        }
    }
}

/// `rslave` and the like, with whether it is of the whole tree.
pub(super) fn propagation(option: &str) -> Option<(MountPropagationFlags, bool)> {
    let flags = |name: &str| match name {
        "private" => Some(MountPropagationFlags::PRIVATE),
        "shared" => Some(MountPropagationFlags::SHARED),
        "slave" => Some(MountPropagationFlags::DOWNSTREAM),
        "unbindable" => Some(MountPropagationFlags::UNBINDABLE),
        _ => None,
    };
    match flags(option) {
        Some(flags) => Some((flags, false)),
        None => Some((flags(option.strip_prefix('r')?)?, true)),
    }
}

/// What one option does to the attributes.
struct Change {
    set: MountAttrFlags,
    clear: MountAttrFlags,
}

impl Change {
    fn apply(self, attributes: &mut Attributes) {
        attributes.set = attributes.set.difference(self.clear).union(self.set);
        attributes.clear = attributes.clear.difference(self.set).union(self.clear);
    }
}

fn attribute(option: &str) -> Option<Change> {
    use MountAttrFlags as Flags;
    let on = |set| {
        Some(Change {
            set,
            clear: Flags::empty(),
        })
    };
    let off = |clear| {
        Some(Change {
            set: Flags::empty(),
            clear,
        })
    };
    let access_time = |set| {
        Some(Change {
            set,
            clear: Flags::MOUNT_ATTR__ATIME,
        })
    };
    match option {
        "ro" => on(Flags::MOUNT_ATTR_RDONLY),
        "rw" => off(Flags::MOUNT_ATTR_RDONLY),
        "nosuid" => on(Flags::MOUNT_ATTR_NOSUID),
        "suid" => off(Flags::MOUNT_ATTR_NOSUID),
        "nodev" => on(Flags::MOUNT_ATTR_NODEV),
        "dev" => off(Flags::MOUNT_ATTR_NODEV),
        "noexec" => on(Flags::MOUNT_ATTR_NOEXEC),
        "exec" => off(Flags::MOUNT_ATTR_NOEXEC),
        "nodiratime" => on(Flags::MOUNT_ATTR_NODIRATIME),
        "diratime" => off(Flags::MOUNT_ATTR_NODIRATIME),
        "nosymfollow" => on(Flags::MOUNT_ATTR_NOSYMFOLLOW),
        "symfollow" => off(Flags::MOUNT_ATTR_NOSYMFOLLOW),
        "noatime" => access_time(Flags::MOUNT_ATTR_NOATIME),
        "strictatime" => access_time(Flags::MOUNT_ATTR_STRICTATIME),
        "relatime" | "atime" | "norelatime" | "nostrictatime" => {
            access_time(Flags::MOUNT_ATTR_RELATIME)
        }
        _ => None,
    }
}
