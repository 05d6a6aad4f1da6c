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
