//! Limits of a specification as the files of control groups.

use std::fs;
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;

use super::{Hierarchy, Layout, at, make_directory, write};
use crate::error::Error;

/// The limits that are set.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    memory: Option<i64>,
    swap: Option<i64>,
    reservation: Option<i64>,
    swappiness: Option<u64>,
    oom_kill_disable: bool,
    shares: Option<u64>,
    quota: Option<i64>,
    period: Option<u64>,
    cpus: Option<String>,
    memory_nodes: Option<String>,
    pids: Option<i64>,
    /// Files of version 2, as given.
    unified: Vec<(String, String)>,
}

/// The controllers that the limits of `resources` need and the host does not have, for a warning:
/// such limits are not applied.
pub fn missing_controllers(resources: &LinuxResources) -> Vec<&'static str> {
    let limits = Limits::new(resources);
    if limits.is_empty() {
        return Vec::new();
    }
    let layout = Layout::detect();
    let unified = match (&layout.hierarchy, &layout.unified) {
        (Hierarchy::V2, Some(root)) => {
            fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default()
        }
        _ => String::new(),
    };
    let missing = |controller: &&str| {
        layout.v1_of(controller).is_none()
            && !unified.split_whitespace().any(|name| name == *controller)
    };
    limits.controllers().into_iter().filter(missing).collect()
}

impl Limits {
    pub(super) fn new(resources: &LinuxResources) -> Self {
        // Docker sends zero for what was not asked.
        let mut limits = Self::default();
        if let Some(memory) = resources.memory() {
            limits.memory = memory.limit().filter(|limit| *limit != 0);
            limits.swap = memory.swap().filter(|limit| *limit != 0);
            limits.reservation = memory.reservation().filter(|limit| *limit != 0);
            limits.swappiness = memory.swappiness();
            limits.oom_kill_disable = memory.disable_oom_killer().unwrap_or(false);
        }
        if let Some(cpu) = resources.cpu() {
            limits.shares = cpu.shares().filter(|shares| *shares != 0);
            limits.quota = cpu.quota().filter(|quota| *quota != 0);
            limits.period = cpu.period().filter(|period| *period != 0);
            limits.cpus = cpu.cpus().clone().filter(|cpus| !cpus.is_empty());
            limits.memory_nodes = cpu.mems().clone().filter(|nodes| !nodes.is_empty());
        }
        if let Some(pids) = resources.pids() {
            limits.pids = Some(pids.limit()).filter(|limit| *limit != 0);
        }
        let unified = resources.unified().iter().flatten();
        limits.unified = unified
            .map(|(file, value)| (file.clone(), value.clone()))
            .collect();
        limits.unified.sort();
        limits
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The controllers that have something to limit.
    pub(super) fn controllers(&self) -> Vec<&'static str> {
        let memory = self.memory.is_some()
            || self.swap.is_some()
            || self.reservation.is_some()
            || self.swappiness.is_some()
            || self.oom_kill_disable;
        let cpu = self.shares.is_some() || self.quota.is_some() || self.period.is_some();
        let cpuset = self.cpus.is_some() || self.memory_nodes.is_some();
        [
            ("memory", memory),
            ("cpu", cpu),
            ("cpuset", cpuset),
            ("pids", self.pids.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, needed)| needed.then_some(name))
        .collect()
    }

    /// Has the parents of a version 2 group hand their controllers down.
    pub(super) fn enable_unified(&self, parents: &[PathBuf]) -> Result<(), Error> {
        for parent in parents {
            let file = parent.join("cgroup.controllers");
            let offered = fs::read_to_string(&file).map_err(at(&file))?;
            for controller in self.controllers() {
                if offered.split_whitespace().any(|name| name == controller) {
                    write(
                        &parent.join("cgroup.subtree_control"),
                        &format!("+{controller}"),
                    )?;
                }
            }
        }
        Ok(())
    }

    /// Writes the limits to a version 2 group.
    pub(super) fn write_unified(&self, group: &Path) -> Result<(), Error> {
        let set = |file: &str, value: String| {
            let file = group.join(file);
            // Controllers that the host lacks have no file.
            if file.exists() {
                write(&file, &value)
            } else {
                Ok(())
            }
        };
        if let Some(limit) = self.memory {
            set("memory.max", or_max(limit))?;
        }
        if let Some(total) = self.swap {
            let swap = match self.memory {
                Some(memory) if memory > 0 && total > 0 => total.saturating_sub(memory),
                _ => total,
            };
            set("memory.swap.max", or_max(swap))?;
        }
        if let Some(reservation) = self.reservation {
            set("memory.low", or_max(reservation))?;
        }
        if let Some(shares) = self.shares {
            set("cpu.weight", weight(shares).to_string())?;
        }
        if self.quota.is_some() || self.period.is_some() {
            let quota = self.quota.map_or("max".to_owned(), or_max);
            let period = self.period.unwrap_or(DEFAULT_PERIOD_US);
            set("cpu.max", format!("{quota} {period}"))?;
        }
        if let Some(cpus) = &self.cpus {
            set("cpuset.cpus", cpus.clone())?;
        }
        if let Some(nodes) = &self.memory_nodes {
            set("cpuset.mems", nodes.clone())?;
        }
        if let Some(pids) = self.pids {
            set("pids.max", or_max(pids))?;
        }
        for (file, value) in &self.unified {
            if file.contains('/') {
                return Err(Error::Cgroup {
                    path: PathBuf::from(file),
                    source: std::io::ErrorKind::InvalidInput.into(),
                });
            }
            write(&group.join(file), value)?;
        }
        Ok(())
    }

    /// Writes the limits of one controller to a version 1 group, `path` below the mount.
    pub(super) fn write_v1(
        &self,
        controller: &str,
        mount: &Path,
        path: &Path,
    ) -> Result<(), Error> {
        let group = mount.join(path);
        let set = |file: &str, value: String| write(&group.join(file), &value);
        match controller {
            "memory" => self.write_v1_memory(&group),
            "cpu" => {
                if let Some(shares) = self.shares {
                    set("cpu.shares", shares.to_string())?;
                }
                if let Some(period) = self.period {
                    set("cpu.cfs_period_us", period.to_string())?;
                }
                self.quota
                    .map_or(Ok(()), |quota| set("cpu.cfs_quota_us", quota.to_string()))
            }
            "cpuset" => {
                inherit_cpuset(mount, path)?;
                if let Some(cpus) = &self.cpus {
                    set("cpuset.cpus", cpus.clone())?;
                }
                self.memory_nodes
                    .as_ref()
                    .map_or(Ok(()), |nodes| set("cpuset.mems", nodes.clone()))
            }
            "pids" => self
                .pids
                .map_or(Ok(()), |pids| set("pids.max", or_max(pids))),
            _ => Ok(()),
        }
    }

    fn write_v1_memory(&self, group: &Path) -> Result<(), Error> {
        let set = |file: &str, value: String| write(&group.join(file), &value);
        if let Some(limit) = self.memory {
            set("memory.limit_in_bytes", limit.to_string())?;
        }
        if let Some(total) = self.swap
            // There only when the kernel accounts swap.
            && group.join("memory.memsw.limit_in_bytes").exists()
        {
            set("memory.memsw.limit_in_bytes", total.to_string())?;
        }
        if let Some(reservation) = self.reservation {
            set("memory.soft_limit_in_bytes", reservation.to_string())?;
        }
        if let Some(swappiness) = self.swappiness {
            set("memory.swappiness", swappiness.to_string())?;
        }
        if self.oom_kill_disable {
            set("memory.oom_control", "1".to_owned())?;
        }
        Ok(())
    }
}

/// What `cpu.max` has when no period is given.
const DEFAULT_PERIOD_US: u64 = 100_000;

/// Negative is no limit.
fn or_max(limit: i64) -> String {
    if limit < 0 {
        "max".to_owned()
    } else {
        limit.to_string()
    }
}

/// Shares (2 to 262144) as a weight (1 to 10000).
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9_999 / 262_142
}

/// A new version 1 cpuset is empty, and processes cannot enter it: each level takes its parent's.
fn inherit_cpuset(mount: &Path, path: &Path) -> Result<(), Error> {
    let mut parent = mount.to_owned();
    for name in path.components() {
        let group = parent.join(name);
        make_directory(&group)?;
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let own = fs::read_to_string(group.join(file)).unwrap_or_default();
            if own.trim().is_empty() {
                let given = fs::read_to_string(parent.join(file)).map_err(at(&parent))?;
                write(&group.join(file), given.trim())?;
            }
        }
        parent = group;
    }
    Ok(())
}
