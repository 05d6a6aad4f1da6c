//! System call filters: docker's profile format, docker's default profile, and a compiler to BPF.

#[cfg(target_arch = "aarch64")]
mod calls_arm;
#[cfg(not(target_arch = "aarch64"))]
mod calls_x86;
mod compile;
mod docker;
mod profile;
#[cfg(test)]
mod tests;

pub use compile::{Filter, compile};
pub use profile::Profile;

use crate::defaults::DEFAULT_CAPABILITIES;
use crate::error::Error;
use lapstrake_sys::caps::CapSet;
use oci_spec::runtime::LinuxSeccomp;
use std::sync::OnceLock;

/// Docker's profile for a container with the default capabilities, and its program.
static USUAL: OnceLock<(LinuxSeccomp, Filter)> = OnceLock::new();

/// Works the usual filter out, for a process that has time now and none later.
pub(crate) fn prepare() {
    let profile = Profile::docker_default().resolve(DEFAULT_CAPABILITIES);
    if let Ok(filter) = compile(&profile) {
        USUAL.get_or_init(|| (profile, filter));
    }
}

/// Docker's default profile for these capabilities.
pub(crate) fn default_for(capabilities: CapSet) -> LinuxSeccomp {
    match USUAL.get() {
        Some((profile, _)) if capabilities == DEFAULT_CAPABILITIES => profile.clone(),
        _ => Profile::docker_default().resolve(capabilities),
    }
}

/// [`compile`], from memory where [`prepare`] has done it.
pub(crate) fn compiled(seccomp: &LinuxSeccomp) -> Result<Filter, Error> {
    match USUAL.get() {
        Some((profile, filter)) if profile == seccomp => Ok(filter.clone()),
        _ => compile(seccomp),
    }
}
