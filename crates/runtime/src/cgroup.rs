//! Control groups: found in the caller's mounts, made only when something needs them.
//!
//! A container's groups are `lapstrake/<id>` below the root of each hierarchy that is needed (or
//! at the specification's `cgroupsPath`): the version 2 tree where it is the only one, version 1
//! hierarchies of the controllers whose limits are asked for, and a group without controllers or
//! the version 1 freezer when a container is paused, or when it shares a process namespace: then
//! nothing else tells which processes are its own. They outlive the processes in them, so
//! whoever started the container removes them; after a `kill -9` empty directories are left,
//! which [`crate::cleanup`] finds by id.

mod layout;
mod limits;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci_spec::runtime::{Linux, LinuxNamespaceType};

use crate::error::{Error, StartError, words};

pub(crate) use layout::Layout;
pub use layout::{Hierarchy, hierarchy};
pub use limits::missing_controllers;

/// The directory of all our groups in each hierarchy.
const PARENT: &str = "lapstrake";

/// How often a group is tried to be emptied, and how long apart.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(2);

/// The control group directories of one container; empty when none were made.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Cgroup {
    /// Below the root of a hierarchy.
    path: PathBuf,
    /// In the version 2 tree.
    pub(crate) unified: Option<PathBuf>,
    /// In version 1 hierarchies.
    pub(crate) v1: Vec<PathBuf>,
    /// In the version 1 hierarchy that freezes.
    pub(crate) freezer: Option<PathBuf>,
}

impl Cgroup {
    /// Makes the groups that the limits of `linux` need.
    pub(crate) fn create(id: &str, linux: Option<&Linux>) -> Result<Self, StartError> {
        let asked = linux.and_then(|linux| linux.cgroups_path().as_deref());
        let path = relative_path(id, asked);
        let mut cgroup = Self {
            path,
            ..Self::default()
        };
        let resources = linux.and_then(|linux| linux.resources().as_ref());
        let limits = resources.map(limits::Limits::new).unwrap_or_default();
        let shares_processes = !has_own_processes(linux);
        // A place that was asked for has limits of its own, or somebody who counts.
        let is_idle = limits.is_empty() && !shares_processes && asked.is_none();
        if hierarchy() != Hierarchy::V2 && is_idle {
            return Ok(cgroup);
        }
        let layout = Layout::of_start();
        let result = match layout.hierarchy {
            Hierarchy::None => Ok(()),
            Hierarchy::V2 => cgroup.create_unified(layout, &limits),
            Hierarchy::V1 | Hierarchy::Hybrid => cgroup
                .create_v1(layout, &limits)
                .and_then(|()| cgroup.join_v1(layout, asked.is_some())),
        };
        let result = match result {
            Ok(()) if shares_processes => cgroup.gather_members(layout),
            other => other,
        };
        if let Err(error) = result {
            cgroup.remove();
            if limits.is_empty() {
                // Control groups that are not ours to change: nothing was asked of them.
                return Ok(Self {
                    path: cgroup.path,
                    ..Self::default()
                });
            }
            return Err(StartError::other(format!(
                "unable to apply cgroup configuration: {}",
                describe(&error)
            )));
        }
        Ok(cgroup)
    }

    fn create_unified(&mut self, layout: &Layout, limits: &limits::Limits) -> Result<(), Error> {
        let Some(root) = &layout.unified else {
            return Ok(());
        };
        let directory = root.join(&self.path);
        let parents = self.path.ancestors().skip(1).map(|path| root.join(path));
        let mut parents: Vec<PathBuf> = parents.collect();
        parents.reverse();
        make_directory(&directory)?;
        self.unified = Some(directory.clone());
        limits.enable_unified(&parents)?;
        limits.write_unified(&directory)
    }

    fn create_v1(&mut self, layout: &Layout, limits: &limits::Limits) -> Result<(), Error> {
        for controller in limits.controllers() {
            let Some(tree) = layout.v1_of(controller) else {
                // Without the controller there is no limit: docker warns and goes on.
                continue;
            };
            let directory = tree.mount.join(&self.path);
            if !self.v1.contains(&directory) {
                make_directory(&directory)?;
                self.v1.push(directory.clone());
            }
            limits.write_v1(controller, &tree.mount, &self.path)?;
        }
        Ok(())
    }

    /// Makes a group in every hierarchy with a controller that can limit, so that limits of the parent that was asked for
    /// hold. That of processor sets is left out: a group takes nobody before it has a set of its own.
    fn join_v1(&mut self, layout: &Layout, is_asked: bool) -> Result<(), Error> {
        for controller in ["memory", "cpu", "blkio", "pids"] {
            let Some(tree) = layout.v1_of(controller).filter(|_| is_asked) else {
                continue;
            };
            let directory = tree.mount.join(&self.path);
            if !self.v1.contains(&directory) {
                make_directory(&directory)?;
                self.v1.push(directory);
            }
        }
        Ok(())
    }

    /// Makes a group for no other purpose than to know the container's processes, when there is none.
    fn gather_members(&mut self, layout: &Layout) -> Result<(), Error> {
        if self.unified.is_some() || !self.v1.is_empty() {
            return Ok(());
        }
        if let Some(root) = &layout.unified {
            let directory = root.join(&self.path);
            make_directory(&directory)?;
            self.unified = Some(directory);
        } else if let Some(tree) = layout.v1_of("freezer").or(layout.v1_of("pids")) {
            let directory = tree.mount.join(&self.path);
            make_directory(&directory)?;
            self.v1.push(directory);
        }
        Ok(())
    }

    /// Makes a group that freezes, when there is none and the host can.
    pub(crate) fn ensure_freezer(&mut self) -> Result<bool, Error> {
        if self.unified.is_some() || self.freezer.is_some() {
            return Ok(true);
        }
        let layout = Layout::detect();
        if let Some(root) = &layout.unified {
            let directory = root.join(&self.path);
            if make_directory(&directory).is_ok() {
                if directory.join("cgroup.freeze").exists() {
                    self.unified = Some(directory);
                    return Ok(true);
                }
                remove_directory(&directory);
            }
        }
        let Some(tree) = layout.v1_of("freezer") else {
            return Ok(false);
        };
        let directory = tree.mount.join(&self.path);
        make_directory(&directory)?;
        self.v1.push(directory.clone());
        self.freezer = Some(directory);
        Ok(true)
    }

    /// Whether there is a group that freezes.
    pub(crate) fn can_freeze(&self) -> bool {
        self.unified.is_some() || self.freezer.is_some()
    }

    /// Stops or continues everything in the group that freezes.
    pub(crate) fn freeze(&self, frozen: bool) -> Result<(), Error> {
        if let Some(directory) = &self.unified {
            write(
                &directory.join("cgroup.freeze"),
                if frozen { "1" } else { "0" },
            )?;
            let wanted = if frozen { "frozen 1" } else { "frozen 0" };
            return settle(&directory.join("cgroup.events"), wanted);
        }
        if let Some(directory) = &self.freezer {
            let wanted = if frozen { "FROZEN" } else { "THAWED" };
            let file = directory.join("freezer.state");
            write(&file, wanted)?;
            return settle(&file, wanted);
        }
        Ok(())
    }

    /// Moves a process into the group that freezes. One that has ended is not an error.
    pub(crate) fn adopt(&self, pid: i32) -> Result<(), Error> {
        let directory = self.unified.as_ref().or(self.freezer.as_ref());
        let Some(directory) = directory else {
            return Ok(());
        };
        match write(&directory.join("cgroup.procs"), &pid.to_string()) {
            Err(Error::Cgroup { source, .. })
                if source.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) =>
            {
                Ok(())
            }
            result => result,
        }
    }

    /// The processes in one of the groups and the groups below it; `None` without a group.
    pub(crate) fn processes(&self) -> Option<Vec<i32>> {
        let directory = self.unified.as_ref().or(self.v1.first())?;
        let mut pids = Vec::new();
        collect_processes(directory, 0, &mut pids);
        pids.sort_unstable();
        pids.dedup();
        Some(pids)
    }

    /// Kills everything in the groups and removes them.
    pub(crate) fn remove(&self) {
        for directory in self.unified.iter().chain(&self.v1) {
            empty_and_remove(directory);
            if let Some(parent) = directory.parent().filter(|parent| parent.ends_with(PARENT)) {
                // The last one closes the door; with others in it this fails.
                fs::remove_dir(parent).ok();
            }
        }
    }

    /// The groups that exist for an id, or at the specification's `cgroupsPath`, whoever made them.
    pub(crate) fn find(id: &str, asked: Option<&Path>) -> Self {
        let layout = Layout::detect();
        let path = relative_path(id, asked);
        let existing = |root: &Path| Some(root.join(&path)).filter(|path| path.is_dir());
        Self {
            unified: layout.unified.as_deref().and_then(existing),
            v1: layout
                .v1
                .iter()
                .filter_map(|tree| existing(&tree.mount))
                .collect(),
            freezer: layout
                .v1_of("freezer")
                .and_then(|tree| existing(&tree.mount)),
            path,
        }
    }

    /// Where an id's groups are, as a specification names it.
    pub(crate) fn default_path(id: &str) -> PathBuf {
        Path::new("/").join(relative_path(id, None))
    }
}

/// Where a container's groups are below the root of a hierarchy.
fn relative_path(id: &str, asked: Option<&Path>) -> PathBuf {
    let normal = |path: &Path| -> PathBuf {
        let components = path.components();
        components
            .filter(|part| matches!(part, std::path::Component::Normal(_)))
            .collect()
    };
    match asked
        .map(normal)
        .filter(|path| !path.as_os_str().is_empty())
    {
        Some(path) => path,
        None => Path::new(PARENT).join(id.replace('/', "_")),
    }
}

/// Whether the container has a process namespace of its own, which ends with its first process.
fn has_own_processes(linux: Option<&Linux>) -> bool {
    let namespaces = linux.and_then(|linux| linux.namespaces().as_ref());
    namespaces
        .into_iter()
        .flatten()
        .any(|namespace| namespace.typ() == LinuxNamespaceType::Pid && namespace.path().is_none())
}

/// Kills what is in a group until it can be removed.
fn empty_and_remove(directory: &Path) {
    for attempt in 0..ATTEMPTS {
        if remove_directory(directory) {
            return;
        }
        // The kernel's own way; before Linux 5.14 one by one.
        if fs::write(directory.join("cgroup.kill"), "1").is_err() {
            let mut pids = Vec::new();
            collect_processes(directory, 0, &mut pids);
            for pid in pids.into_iter().filter_map(rustix::process::Pid::from_raw) {
                // One that has ended in the meantime is as good.
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
            }
        }
        if attempt > 0 {
            std::thread::sleep(PAUSE);
        }
    }
}

/// Removes a group without processes and the groups below it. True when it is gone.
fn remove_directory(directory: &Path) -> bool {
    match fs::remove_dir(directory) {
        Ok(()) => return true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return true,
        Err(_) => {}
    }
    for below in groups_below(directory) {
        remove_directory(&below);
    }
    fs::remove_dir(directory).is_ok()
}

/// The deepest group below a container's that is looked into.
const DEPTH_LIMIT: usize = 32;

fn collect_processes(directory: &Path, depth: usize, pids: &mut Vec<i32>) {
    if let Ok(text) = fs::read_to_string(directory.join("cgroup.procs")) {
        pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    }
    if depth < DEPTH_LIMIT {
        for below in groups_below(directory) {
            collect_processes(&below, depth + 1, pids);
        }
    }
}

fn groups_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.map(|entry| entry.path()).collect()
}

fn make_directory(directory: &Path) -> Result<(), Error> {
    for _ in 0..ATTEMPTS {
        match fs::create_dir_all(directory) {
            // The end of another container took the parent away just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result.map_err(at(directory)),
        }
    }
    Err(io::ErrorKind::NotFound.into()).map_err(at(directory))
}

fn write(file: &Path, value: &str) -> Result<(), Error> {
    fs::write(file, value).map_err(at(file))
}

/// Names the file that an error is about.
fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Cgroup {
        path: path.to_owned(),
        source,
    }
}

/// Waits until a file has a line of the given text.
fn settle(file: &Path, wanted: &str) -> Result<(), Error> {
    for _ in 0..ATTEMPTS * 5 {
        let text = fs::read_to_string(file).map_err(at(file))?;
        if text.lines().any(|line| line == wanted) {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
    let timeout = io::Error::from(io::ErrorKind::TimedOut);
    Err(timeout).map_err(at(file))
}

/// An error with what it came from.
fn describe(error: &Error) -> String {
    match error {
        Error::Cgroup { path, source } => format!("{}: {}", path.display(), words(source)),
        other => other.to_string(),
    }
}
