//! What a step finds mounted beside its root, and where.

use super::{Step, StepMount};
use crate::files;
use crate::record::Mount;
use lapstrake_runtime::OverlaySpec;
use lapstrake_snapshot::{Directory, Item, View, build_base_tree};
use lapstrake_sys::mount::{Configuration, MountAttrFlags, attach};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use std::collections::{BTreeMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::{Component, Path, PathBuf};

/// How many symbolic links the way to a mount point may lead through.
const LINK_LIMIT: u32 = 40;
/// What the base tree of a [`Step::is_bare`] lacks.
const NOT_BARE: [&str; 3] = [".dockerenv", "etc/hostname", "etc/mtab"];

/// Gives the calling, single-threaded process mounts of its own, with an empty file system in memory over `scratch`.
pub(super) fn mount_scratch(scratch: &Path) -> Result<(), String> {
    lapstrake_runtime::external::isolate_mounts().map_err(|error| error.to_string())?;
    let mount = || -> std::io::Result<()> {
        let configuration = Configuration::new("tmpfs")?;
        configuration.set("source", Path::new("tmpfs"))?;
        configuration.set("mode", Path::new("711"))?;
        let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        let tree = configuration.mount(flags)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let target = rustix::fs::open(scratch, flags, Mode::empty())?;
        attach(tree.as_fd(), target.as_fd())
    };
    mount().map_err(|error| format!("mounting memory at {}: {error}", scratch.display()))
}

/// What was prepared for a step.
#[derive(Debug, Default)]
pub(super) struct Furniture {
    /// The step's trees; the last one has every mount point that the others lack.
    pub(super) lowers: Vec<PathBuf>,
    /// Binds.
    pub(super) mounts: Vec<Mount>,
    /// File systems in memory and their options.
    pub(super) tmpfs: BTreeMap<String, String>,
    /// Where overlays are mounted.
    overlays: Vec<PathBuf>,
}

impl Furniture {
    /// Takes mounts away again.
    pub(super) fn clear(self) {
        for path in self.overlays {
            // It goes with this process's mount namespace at the latest.
            rustix::mount::unmount(&path, rustix::mount::UnmountFlags::DETACH).ok();
        }
    }

    fn bind(&mut self, source: &Path, target: &str, read_only: bool) {
        self.mounts.push(Mount {
            kind: "bind".to_owned(),
            name: String::new(),
            source: source.to_string_lossy().into_owned(),
            destination: target.to_owned(),
            driver: String::new(),
            mode: String::new(),
            read_write: !read_only,
            propagation: "rprivate".to_owned(),
            anonymous: false,
        });
    }
}

/// Prepares all mounts in the directory `home`.
pub(super) fn furnish(step: &Step, home: &Path) -> Result<Furniture, String> {
    let mut furniture = Furniture {
        lowers: step.lowers.clone(),
        ..Furniture::default()
    };
    for (index, mount) in step.mounts.iter().enumerate() {
        let place = home.join(format!("mount{index}"));
        if let Err(error) = prepare(&mut furniture, mount, &place) {
            furniture.clear();
            return Err(format!("preparing the {mount:?}: {error}"));
        }
    }
    match mount_points(step, &furniture, home) {
        Ok(Some(tree)) => {
            furniture.lowers.pop();
            furniture.lowers.push(tree);
            Ok(furniture)
        }
        Ok(None) => Ok(furniture),
        Err(error) => {
            furniture.clear();
            Err(format!("preparing mount points: {error}"))
        }
    }
}

fn prepare(furniture: &mut Furniture, mount: &StepMount, place: &Path) -> std::io::Result<()> {
    match mount {
        StepMount::Bind {
            source,
            target,
            read_only,
        } => furniture.bind(source, target, *read_only),
        StepMount::Tmpfs { target, size_bytes } => {
            let size = size_bytes.map(|bytes| format!(",size={bytes}"));
            let options = format!("exec{}", size.unwrap_or_default());
            furniture.tmpfs.insert(target.clone(), options);
        }
        StepMount::Secret {
            content,
            target,
            mode,
            uid,
            gid,
        } => {
            let mut file = File::options()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(place)?;
            file.write_all(content)?;
            fchown(&file, Some(*uid), Some(*gid))?;
            rustix::fs::fchmod(&file, Mode::from_raw_mode(*mode))?;
            furniture.bind(place, target, true);
        }
        StepMount::Overlay {
            lowers,
            upper,
            subpath,
            target,
        } => {
            let source = overlay(furniture, lowers, upper.as_ref(), subpath, place)?;
            furniture.bind(&source, target, upper.is_none());
        }
    }
    Ok(())
}

/// Mounts a merged tree at `place`, and tells by which path its part is reached.
fn overlay(
    furniture: &mut Furniture,
    lowers: &[PathBuf],
    upper: Option<&(PathBuf, PathBuf)>,
    subpath: &str,
    place: &Path,
) -> std::io::Result<PathBuf> {
    let merged = place.join("merged");
    let own = (place.join("upper"), place.join("work"));
    for path in [place, &merged, &own.0, &own.1] {
        std::fs::create_dir(path)?;
    }
    // A tree that may not be written gets an upper directory that stays empty.
    let (upper, work) = upper.cloned().unwrap_or(own);
    let spec = OverlaySpec {
        lowers: lowers.to_vec(),
        upper,
        work,
        volatile: true,
    };
    lapstrake_runtime::mount_overlay_at(&spec, &merged)?;
    furniture.overlays.push(merged.clone());
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let root = rustix::fs::open(&merged, flags, Mode::empty())?;
    let part = rustix::fs::openat2(
        &root,
        if subpath.is_empty() { "." } else { subpath },
        flags,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )?;
    // By its path: the step's mount namespace is a copy, in which this descriptor's mount is another one.
    let path = rustix::fs::readlink(format!("/proc/self/fd/{}", part.as_raw_fd()), Vec::new())?;
    let path = PathBuf::from(OsStr::from_bytes(path.as_bytes()));
    if path.starts_with(&merged) {
        Ok(path)
    } else {
        Err(std::io::Error::from(std::io::ErrorKind::NotFound))
    }
}

/// A base tree of the step's own, with the mount points that its root lacks; `None` when the common one will do. So
/// the runtime need not make them, which would show up as changes.
fn mount_points(
    step: &Step,
    furniture: &Furniture,
    home: &Path,
) -> std::io::Result<Option<PathBuf>> {
    let mut trees: Vec<PathBuf> = std::iter::once(&step.upper)
        .chain(&step.lowers)
        .cloned()
        .collect();
    if step.is_bare {
        trees.pop();
    }
    let view = View::of(&trees).map_err(std::io::Error::other)?;
    let generated = files::paths(home);
    let generated = generated.iter().map(|(target, _)| (*target, true));
    let generated =
        generated.filter(|(target, _)| !step.is_bare || *target != files::HOSTNAME_TARGET);
    let binds = furniture.mounts.iter().map(|mount| {
        (
            mount.destination.as_str(),
            !Path::new(&mount.source).is_dir(),
        )
    });
    let memory = furniture
        .tmpfs
        .keys()
        .map(|target| (target.as_str(), false));
    let mut missing = Vec::new();
    for (target, is_file) in generated.chain(binds).chain(memory) {
        if let Some(path) = missing_place(&view, target)? {
            missing.push((path, is_file));
        }
    }
    if missing.is_empty() && !step.is_bare {
        return Ok(None);
    }
    let tree = home.join("base");
    build_base_tree(&tree).map_err(std::io::Error::other)?;
    if step.is_bare {
        for path in NOT_BARE {
            std::fs::remove_file(tree.join(path))?;
        }
    }
    for (path, is_file) in missing {
        let Some(path) = join_inside(&tree, &path) else {
            continue;
        };
        let folder = if is_file {
            path.parent()
        } else {
            Some(path.as_path())
        };
        if let Some(folder) = folder {
            std::fs::create_dir_all(folder)?;
        }
        if is_file && !path.exists() {
            File::create(&path)?;
        }
    }
    Ok(Some(tree))
}

/// Where a path leads that does not exist, links followed; `None` when it exists, or cannot be made.
fn missing_place(view: &View, target: &str) -> std::io::Result<Option<PathBuf>> {
    let mut stack: Vec<(Directory, OsString)> = Vec::new();
    let mut names = split(OsStr::new(target));
    let mut links = 0;
    while let Some(name) = names.pop_front() {
        if name == ".." {
            stack.pop();
            continue;
        }
        let directory = stack
            .last()
            .map_or_else(|| view.root(), |(directory, _)| directory.clone());
        match directory.look_up(name.as_bytes())? {
            Some(Item::Directory(child, _)) => stack.push((child, name)),
            Some(Item::Other(place)) => {
                if FileType::from_raw_mode(place.stat.st_mode) != FileType::Symlink {
                    return Ok(None);
                }
                links += 1;
                if links > LINK_LIMIT {
                    return Ok(None);
                }
                let link = OsString::from_vec(place.read_link()?);
                if link.as_bytes().starts_with(b"/") {
                    stack.clear();
                }
                for name in split(&link).into_iter().rev() {
                    names.push_front(name);
                }
            }
            None => {
                let mut path: PathBuf = stack.iter().map(|(_, name)| name).collect();
                path.push(name);
                path.extend(names);
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

fn split(path: &OsStr) -> VecDeque<OsString> {
    path.as_bytes()
        .split(|byte| *byte == b'/')
        .filter(|name| !matches!(*name, b"" | b"."))
        .map(|name| OsString::from_vec(name.to_vec()))
        .collect()
}

/// A path below `tree`; `None` for one that would leave it.
fn join_inside(tree: &Path, path: &Path) -> Option<PathBuf> {
    let plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    plain.then(|| tree.join(path))
}
