//! Signals, pause and removal of a running container.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus};

use crate::cgroup::Cgroup;
use crate::error::Error;
use crate::launch::{Exit, Running};

/// How often processes are looked for again, in case they have made new ones meanwhile.
const ROUNDS: usize = 10;

impl Running {
    /// Sends a signal to the first process.
    pub fn signal(&self, signal: i32) -> Result<(), Error> {
        lapstrake_sys::process::send_signal(self.pidfd.as_fd(), signal).map_err(|error| match error
            .raw_os_error()
        {
            Some(code) if code == Errno::SRCH.raw_os_error() => Error::NotRunning,
            _ => Error::Io {
                action: "cannot send a signal",
                source: error,
            },
        })
    }

    /// Kills every process of the container.
    pub fn kill_all(&self) -> Result<(), Error> {
        let first = self.signal(Signal::KILL.as_raw());
        if !self.own_pid_namespace {
            // Again and again, for those made meanwhile; none left is what is wanted.
            for pid in (0..ROUNDS).flat_map(|_round| self.processes().unwrap_or_default()) {
                send(pid, Signal::KILL);
            }
        }
        match first {
            Err(Error::NotRunning) => Ok(()),
            other => other,
        }
    }

    /// Stops every process where it is: in a control group that freezes, else by `SIGSTOP`.
    pub fn pause(&mut self) -> Result<(), Error> {
        if !self.cgroup.ensure_freezer()? {
            return self.send_all(Signal::STOP);
        }
        self.gather()?;
        self.cgroup.freeze(true)?;
        // Those made while the others were moved.
        self.gather()
    }

    /// Continues a paused container.
    pub fn resume(&mut self) -> Result<(), Error> {
        if self.cgroup.can_freeze() {
            return self.cgroup.freeze(false);
        }
        self.send_all(Signal::CONT)
    }

    /// Moves every process into the group that freezes.
    fn gather(&self) -> Result<(), Error> {
        let mut moved = BTreeSet::new();
        for _ in 0..ROUNDS {
            let strays: Vec<i32> = self
                .related()
                .into_iter()
                .filter(|pid| !moved.contains(pid))
                .collect();
            if strays.is_empty() {
                return Ok(());
            }
            for pid in strays {
                self.cgroup.adopt(pid)?;
                moved.insert(pid);
            }
        }
        Ok(())
    }

    fn send_all(&self, signal: Signal) -> Result<(), Error> {
        let mut done = BTreeSet::new();
        for _ in 0..ROUNDS {
            let new: Vec<i32> = self
                .related()
                .into_iter()
                .filter(|pid| done.insert(*pid))
                .collect();
            if new.is_empty() {
                break;
            }
            for pid in new {
                send(pid, signal);
            }
        }
        if done.is_empty() {
            Err(Error::NotRunning)
        } else {
            Ok(())
        }
    }

    /// The processes of the container, as the caller's process namespace numbers them, ascending.
    pub fn processes(&self) -> Result<Vec<i32>, Error> {
        let pids = match self.cgroup.processes() {
            Some(pids) => pids,
            None => self.related(),
        };
        if pids.is_empty() {
            Err(Error::NotRunning)
        } else {
            Ok(pids)
        }
    }

    /// The first process, its descendants, and all others of its process namespace.
    fn related(&self) -> Vec<i32> {
        let namespace = self
            .own_pid_namespace
            .then(|| pid_namespace(self.pid))
            .flatten();
        let mut parents = Vec::new();
        let mut found = BTreeSet::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            if let Some(parent) = parent_of(pid) {
                parents.push((pid, parent));
            }
            if namespace.is_some() && pid_namespace(pid) == namespace {
                found.insert(pid);
            }
        }
        if parents.iter().any(|(pid, _)| *pid == self.pid) {
            found.insert(self.pid);
        }
        // Numbers wrap around, so a child may come before its parent.
        loop {
            let before = found.len();
            for (pid, parent) in &parents {
                if found.contains(parent) {
                    found.insert(*pid);
                }
            }
            if found.len() == before {
                return found.into_iter().collect();
            }
        }
    }

    /// Waits for the first process and reaps it. Blocks unless `pidfd` is readable.
    pub fn wait(&self) -> Result<Exit, Error> {
        loop {
            match self.reap(WaitIdOptions::EXITED) {
                Ok(Some(exit)) => return Ok(exit),
                Ok(None) | Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::io("cannot wait for the container")(errno)),
            }
        }
    }

    /// Reaps the first process if it has ended.
    pub fn try_wait(&self) -> Result<Option<Exit>, Error> {
        self.reap(WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
            .map_err(Error::io("cannot wait for the container"))
    }

    fn reap(&self, options: WaitIdOptions) -> rustix::io::Result<Option<Exit>> {
        let status = rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), options)?;
        Ok(status.as_ref().map(Exit::from_status))
    }

    /// Removes the control group. Call after the end; [`cleanup`] does the same by id.
    pub fn delete(&self) -> Result<(), Error> {
        self.cgroup.remove();
        Ok(())
    }
}

impl Exit {
    fn from_status(status: &WaitIdStatus) -> Self {
        let signal = status.terminating_signal();
        let killed = signal.map(|signal| 128 + signal);
        Self {
            code: status.exit_status().or(killed).unwrap_or(255),
            signal,
        }
    }
}

/// The process namespace that a process is in, as its link names it.
fn pid_namespace(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}

fn parent_of(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may have anything in it.
    let (_, after) = stat.rsplit_once(") ")?;
    after.split(' ').nth(1)?.parse().ok()
}

/// Signals a process that may have ended meanwhile.
fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        rustix::process::kill_process(pid, signal).ok();
    }
}

/// Removes what a container whose monitor was killed may have left: its control groups, with every
/// process that is still in them. `cgroups_path` is that of its specification. Nothing to do is not an
/// error.
pub fn cleanup(id: &str, cgroups_path: Option<&Path>) -> Result<(), Error> {
    Cgroup::find(id, cgroups_path).remove();
    Ok(())
}
