//! Docker's profile format.

use std::fmt;

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompBuilder,
    LinuxSeccompFilterFlag, LinuxSyscall, LinuxSyscallBuilder,
};
use serde::{Deserialize, Deserializer};

use crate::caps::CapSet;
use crate::error::Error;

/// The most bytes of a profile.
const PROFILE_LIMIT: usize = 1 << 20;

/// The machine's name in Go, which profiles use.
const GO_ARCH: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "amd64"
};

/// The machine's name in libseccomp.
pub(super) const NATIVE: Arch = if cfg!(target_arch = "aarch64") {
    Arch::ScmpArchAarch64
} else {
    Arch::ScmpArchX86_64
};

/// A profile in docker's JSON format (`--security-opt seccomp=FILE`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    pub(super) default_action: LinuxSeccompAction,
    #[serde(default)]
    pub(super) default_errno_ret: Option<u32>,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) arch_map: Vec<ArchMap>,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) architectures: Vec<Arch>,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) flags: Vec<LinuxSeccompFilterFlag>,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) syscalls: Vec<Rule>,
}

/// Which further architectures a machine runs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ArchMap {
    pub(super) architecture: Arch,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) sub_architectures: Vec<Arch>,
}

/// What to do with some calls.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rule {
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) names: Vec<String>,
    pub(super) action: LinuxSeccompAction,
    #[serde(default)]
    pub(super) errno_ret: Option<u32>,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) args: Vec<LinuxSeccompArg>,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) includes: Condition,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) excludes: Condition,
}

/// Where a rule holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Condition {
    #[serde(default, deserialize_with = "nullable")]
    pub(super) caps: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) arches: Vec<String>,
    #[serde(default)]
    pub(super) min_kernel: Option<String>,
}

/// Go writes `null` for what is empty.
fn nullable<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Profile {
    /// Docker's default profile.
    pub fn docker_default() -> Self {
        super::docker::profile()
    }

    /// Parses docker's JSON format, or that of the OCI specification.
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        let invalid = |text: &dyn fmt::Display| Error::Seccomp(text.to_string());
        if json.len() > PROFILE_LIMIT {
            return Err(invalid(&"more than 1 MiB"));
        }
        let profile: Self = serde_json::from_slice(json).map_err(|error| invalid(&error))?;
        if !profile.arch_map.is_empty() && !profile.architectures.is_empty() {
            return Err(invalid(
                &"both 'architectures' and 'archMap' are specified in the seccomp profile, use \
                  either 'architectures' or 'archMap'",
            ));
        }
        for rule in &profile.syscalls {
            if rule.name.is_some() && !rule.names.is_empty() {
                return Err(invalid(
                    &"both 'name' and 'names' are specified in the seccomp profile, use either \
                      'name' or 'names'",
                ));
            }
        }
        Ok(profile)
    }

    /// Chooses the rules for this machine and the given capabilities.
    pub fn resolve(&self, capabilities: CapSet) -> LinuxSeccomp {
        let mut architectures = self.architectures.clone();
        if let Some(map) = self.arch_map.iter().find(|map| map.architecture == NATIVE) {
            architectures.push(map.architecture);
            architectures.extend(&map.sub_architectures);
        }
        let kernel = running_kernel();
        let syscalls = self
            .syscalls
            .iter()
            .filter(|rule| rule.holds(capabilities, kernel))
            .map(Rule::to_oci)
            .collect::<Vec<_>>();
        let mut seccomp = LinuxSeccompBuilder::default()
            .default_action(self.default_action)
            .architectures(architectures)
            .syscalls(syscalls);
        if let Some(errno) = self.default_errno_ret {
            seccomp = seccomp.default_errno_ret(errno);
        }
        if !self.flags.is_empty() {
            seccomp = seccomp.flags(self.flags.clone());
        }
        #[expect(
            clippy::expect_used,
            reason = "every field that the builder wants is given"
        )]
        seccomp.build().expect("complete")
    }
}

impl Rule {
    /// Whether the rule holds for these capabilities and this kernel on this machine.
    fn holds(&self, capabilities: CapSet, kernel: (u32, u32)) -> bool {
        let has = |name: &String| {
            CapSet::parse(name).is_some_and(|capability| capabilities.contains(capability))
        };
        let native = |name: &String| name == GO_ARCH;
        let new_enough =
            |minimum: &String| parse_kernel(minimum).is_none_or(|minimum| kernel >= minimum);
        let Condition {
            caps,
            arches,
            min_kernel,
        } = &self.excludes;
        if caps.iter().any(has) || arches.iter().any(native) {
            return false;
        }
        if min_kernel.as_ref().is_some_and(new_enough) {
            return false;
        }
        let Condition {
            caps,
            arches,
            min_kernel,
        } = &self.includes;
        (arches.is_empty() || arches.iter().any(native))
            && caps.iter().all(has)
            && min_kernel.as_ref().is_none_or(new_enough)
    }

    fn to_oci(&self) -> LinuxSyscall {
        let names: Vec<String> = self.names.iter().chain(&self.name).cloned().collect();
        let mut rule = LinuxSyscallBuilder::default()
            .names(names)
            .action(self.action);
        if let Some(errno) = self.errno_ret {
            rule = rule.errno_ret(errno);
        }
        if !self.args.is_empty() {
            rule = rule.args(self.args.clone());
        }
        #[expect(
            clippy::expect_used,
            reason = "every field that the builder wants is given"
        )]
        rule.build().expect("complete")
    }
}

/// Version and patch level of the running kernel.
fn running_kernel() -> (u32, u32) {
    let name = rustix::system::uname();
    name.release()
        .to_str()
        .ok()
        .and_then(parse_kernel)
        .unwrap_or((0, 0))
}

/// Parses the first two numbers of `6.18.44-fc`.
fn parse_kernel(text: impl AsRef<str>) -> Option<(u32, u32)> {
    let mut numbers = text.as_ref().split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next()?.parse().ok();
    Some((next()?, next()?))
}
