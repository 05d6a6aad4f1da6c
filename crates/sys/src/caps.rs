//! Capability sets and names.

use rustix::thread::{CapabilitySet, CapabilitySets};

/// A set of capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CapSet(u64);

/// Names in kernel order: the index is the capability's number.
const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// `CAP_SYS_ADMIN`, which loading a filter without `no_new_privs` needs.
pub const SYS_ADMIN: CapSet = CapSet(1 << 21);

impl CapSet {
    /// No capability.
    pub const EMPTY: Self = Self(0);
    /// Every capability this program knows a name for.
    pub const ALL: Self = Self((1 << NAMES.len()) - 1);

    /// From the kernel's bit mask.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The kernel's bit mask.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Parses one name: `CAP_NET_ADMIN`, `net_admin`, in any case; `ALL` is every capability.
    pub fn parse(name: &str) -> Option<Self> {
        let upper = name.to_ascii_uppercase();
        if upper == "ALL" || upper == "CAP_ALL" {
            return Some(Self::ALL);
        }
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        let number = NAMES.iter().position(|known| &known[4..] == bare)?;
        Some(Self(1 << number))
    }

    /// Whether every capability of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without the other.
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What both sets have.
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names (`CAP_CHOWN`, …) in kernel order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES
            .iter()
            .enumerate()
            .filter(move |(n, _)| self.0 & (1 << n) != 0)
            .map(|(_, name)| *name)
    }
}

/// The capabilities of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sets {
    /// What it may use now.
    pub effective: CapSet,
    /// What it may make effective.
    pub permitted: CapSet,
    /// What it may hand to a program with file capabilities.
    pub inheritable: CapSet,
}

/// The calling thread's capabilities.
pub fn current() -> rustix::io::Result<Sets> {
    let sets = rustix::thread::capabilities(None)?;
    Ok(Sets {
        effective: CapSet(sets.effective.bits()),
        permitted: CapSet(sets.permitted.bits()),
        inheritable: CapSet(sets.inheritable.bits()),
    })
}

/// Sets the calling thread's capabilities.
pub fn set(sets: Sets) -> rustix::io::Result<()> {
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: CapabilitySet::from_bits_retain(sets.effective.0),
            permitted: CapabilitySet::from_bits_retain(sets.permitted.0),
            inheritable: CapabilitySet::from_bits_retain(sets.inheritable.0),
        },
    )
}

/// Drops everything but `keep` from the calling thread's bounding set.
pub fn limit_bounding(keep: CapSet) -> rustix::io::Result<()> {
    for number in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if keep.0 & one.bits() != 0 {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(one) {
            Ok(()) => {}
            // Past the last capability that the kernel knows.
            Err(rustix::io::Errno::INVAL) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Sets the calling thread's ambient capabilities to exactly `ambient`.
pub fn set_ambient(ambient: CapSet) -> rustix::io::Result<()> {
    match rustix::thread::clear_ambient_capability_set() {
        // Kernels without ambient capabilities have none to clear.
        Err(rustix::io::Errno::INVAL) if ambient.is_empty() => {}
        other => other?,
    }
    for number in 0..NAMES.len() {
        if ambient.0 & (1 << number) != 0 {
            let one = CapabilitySet::from_bits_retain(1 << number);
            rustix::thread::configure_capability_in_ambient_set(one, true)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
