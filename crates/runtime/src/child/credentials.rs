//! User, groups, capabilities and the system call filter.

use lapstrake_sys::caps::{self, CapSet, SYS_ADMIN, Sets};
use lapstrake_sys::seccomp;
use oci_spec::runtime::{Capabilities, LinuxCapabilities, Process, User};
use rustix::thread::{Gid, Uid};

use crate::error::{StartError, failed};
use crate::seccomp::Filter;

/// What the container's command runs with.
#[derive(Debug)]
pub(super) struct Credentials<'a> {
    user: &'a User,
    bounding: CapSet,
    ambient: CapSet,
    sets: Sets,
    no_new_privileges: bool,
}

impl<'a> Credentials<'a> {
    pub(super) fn new(process: &'a Process) -> Result<Self, StartError> {
        let given = process.capabilities().as_ref();
        let set = |set: Option<&Option<Capabilities>>| to_set(set.and_then(Option::as_ref));
        Ok(Self {
            user: process.user(),
            bounding: set(given.map(LinuxCapabilities::bounding))?,
            ambient: set(given.map(LinuxCapabilities::ambient))?,
            sets: Sets {
                effective: set(given.map(LinuxCapabilities::effective))?,
                permitted: set(given.map(LinuxCapabilities::permitted))?,
                inheritable: set(given.map(LinuxCapabilities::inheritable))?,
            },
            no_new_privileges: process.no_new_privileges().unwrap_or(false),
        })
    }

    /// Becomes the container's user, with the capabilities that are still needed.
    pub(super) fn change_user(&self) -> Result<(), StartError> {
        let what = "unable to apply caps";
        caps::limit_bounding(self.bounding).map_err(failed(what))?;
        rustix::thread::set_keep_capabilities(true).map_err(failed(what))?;
        let groups = self.user.additional_gids().as_deref().unwrap_or_default();
        set_ids(self.user.uid(), self.user.gid(), Some(groups))
            .map_err(failed("unable to change the user"))?;
        rustix::thread::set_keep_capabilities(false).map_err(failed(what))?;
        // The container's, so that files are looked up as it will look them up; and what loading
        // a filter needs.
        let current = caps::current().map_err(failed(what))?;
        let loading = SYS_ADMIN.intersection(current.permitted);
        let sets = Sets {
            effective: self.sets.effective.union(loading),
            permitted: self.sets.permitted.union(loading),
            inheritable: self.sets.inheritable,
        };
        caps::set(sets).map_err(failed(what))
    }

    /// Gives up the rest and loads the filter.
    pub(super) fn restrict(&self, filter: Option<&Filter>) -> Result<(), StartError> {
        let drop_rest = || {
            let what = "unable to apply caps";
            caps::set(self.sets).map_err(failed(what))?;
            caps::set_ambient(self.ambient).map_err(failed(what))
        };
        let load = || match filter {
            Some(filter) => seccomp::load(&filter.program, filter.log).map_err(failed(
                "unable to init seccomp: error loading seccomp filter",
            )),
            None => Ok(()),
        };
        if self.no_new_privileges {
            rustix::thread::set_no_new_privs(true).map_err(failed("error setting no_new_privs"))?;
            drop_rest()?;
            return load();
        }
        // Without that, loading takes a capability.
        load()?;
        drop_rest()
    }
}

/// Changes all user and group ids of the calling process.
pub(super) fn set_ids(uid: u32, gid: u32, groups: Option<&[u32]>) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    if let Some(groups) = groups {
        let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
        rustix::thread::set_thread_groups(&groups)?;
    }
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)
}

fn to_set(capabilities: Option<&Capabilities>) -> Result<CapSet, StartError> {
    let mut set = CapSet::EMPTY;
    for capability in capabilities.into_iter().flatten() {
        let name = capability.to_string();
        let one = CapSet::parse(&name)
            .ok_or_else(|| StartError::other(format!("unknown capability {name}")))?;
        set = set.union(one);
    }
    Ok(set)
}
