//! What control group file systems the host has, and where.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Where control groups are mounted.
const ROOT: &str = "/sys/fs/cgroup";

/// `CGROUP2_SUPER_MAGIC`.
const CGROUP2_MAGIC: i64 = 0x6367_7270;

/// Which control group file systems the host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hierarchy {
    /// No control groups.
    None,
    /// Version 1 only.
    V1,
    /// Version 1 controllers beside a version 2 tree without any.
    Hybrid,
    /// Version 2 only.
    V2,
}

/// Which control group file systems the host has. One system call on a host with version 2 only.
pub fn hierarchy() -> Hierarchy {
    match rustix::fs::statfs(ROOT) {
        Ok(stat) if stat.f_type == CGROUP2_MAGIC => Hierarchy::V2,
        Ok(_) => Layout::of_start().hierarchy,
        Err(_) => Hierarchy::None,
    }
}

/// The control group file systems, with the calling process's own groups.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) hierarchy: Hierarchy,
    /// Where the version 2 tree is mounted.
    pub(crate) unified: Option<PathBuf>,
    /// The version 1 hierarchies.
    pub(crate) v1: Vec<Tree>,
}

/// One version 1 hierarchy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tree {
    /// `cpu,cpuacct`, or `name=systemd`.
    pub(crate) controllers: String,
    /// Where it is mounted.
    pub(crate) mount: PathBuf,
    /// The calling process's group, below what is mounted.
    own: PathBuf,
}

impl Tree {
    /// The directory of the calling process's group.
    pub(crate) fn own_directory(&self) -> PathBuf {
        self.mount.join(&self.own)
    }
}

impl Layout {
    /// As [`Self::detect`] found it first: the list of mounts is long on a busy host, and a start looks three
    /// times. Not for a process that has entered another group since.
    pub(crate) fn of_start() -> &'static Self {
        static FOUND: OnceLock<Layout> = OnceLock::new();
        FOUND.get_or_init(Self::detect)
    }

    /// Reads the calling process's mounts and groups.
    pub(crate) fn detect() -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::parse(&mounts, &own)
    }

    /// From the text of `mountinfo` and `cgroup` in `/proc/self`.
    pub(super) fn parse(mounts: &str, own: &str) -> Self {
        let mut unified = None;
        let mut v1: Vec<Tree> = Vec::new();
        for mount in mounts.lines().filter_map(CgroupMount::parse) {
            if !mount.point.starts_with(ROOT) {
                continue;
            }
            if mount.version2 {
                unified.get_or_insert_with(|| mount.point.to_owned());
                continue;
            }
            // A line is "4:memory:/path".
            let line = own.lines().find_map(|line| {
                let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
                controllers
                    .split(',')
                    .all(|name| mount.options.split(',').any(|option| option == name))
                    .then_some((controllers, path))
            });
            let Some((controllers, path)) = line.filter(|(controllers, _)| !controllers.is_empty())
            else {
                continue;
            };
            if v1.iter().any(|tree| tree.controllers == controllers) {
                continue;
            }
            let path = Path::new(path);
            let below = path
                .strip_prefix(mount.root)
                .or_else(|_| path.strip_prefix("/"));
            v1.push(Tree {
                controllers: controllers.to_owned(),
                mount: mount.point.to_owned(),
                own: below.unwrap_or(Path::new("")).to_owned(),
            });
        }
        let hierarchy = match (&unified, v1.is_empty()) {
            (None, true) => Hierarchy::None,
            (None, false) => Hierarchy::V1,
            (Some(_), true) => Hierarchy::V2,
            (Some(_), false) => Hierarchy::Hybrid,
        };
        Self {
            hierarchy,
            unified,
            v1,
        }
    }

    /// The version 1 hierarchy of a controller.
    pub(crate) fn v1_of(&self, controller: &str) -> Option<&Tree> {
        self.v1
            .iter()
            .find(|tree| tree.controllers.split(',').any(|name| name == controller))
    }
}

/// A line of `mountinfo` that is about control groups.
struct CgroupMount<'a> {
    root: &'a str,
    point: &'a Path,
    version2: bool,
    options: &'a str,
}

impl<'a> CgroupMount<'a> {
    /// `id parent major:minor root point options [tags] - type source super-options`.
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut filesystem = filesystem.split(' ');
        let version2 = match filesystem.next()? {
            "cgroup" => false,
            "cgroup2" => true,
            _ => return None,
        };
        let options = filesystem.nth(1)?;
        let mut mount = mount.split(' ').skip(3);
        Some(Self {
            root: mount.next()?,
            point: Path::new(mount.next()?),
            version2,
            options,
        })
    }
}
