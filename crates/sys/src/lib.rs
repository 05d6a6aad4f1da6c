//! Every raw system call behind a safe interface. Mechanism only, no policy.

#![expect(
    unsafe_code,
    reason = "this crate is where the system calls without a safe form are"
)]

pub mod boot;
pub mod caps;
pub mod dir;
pub mod direct;
pub mod durable;
pub mod lock;
pub mod mount;
pub mod net;
pub mod netlink;
pub mod process;
pub mod pty;
pub mod seccomp;
pub mod signal;
pub mod socket;
pub mod tty;
pub mod xattr;
