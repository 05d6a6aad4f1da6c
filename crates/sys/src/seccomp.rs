//! Loading a system call filter.

use std::io;

/// One instruction of a classic BPF program.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip when a comparison holds.
    pub jump_true: u8,
    /// Instructions to skip when it does not.
    pub jump_false: u8,
    /// Operand.
    pub operand: u32,
}

/// The most instructions the kernel takes.
pub const INSTRUCTION_LIMIT: usize = 4096;

/// `struct sock_fprog`.
#[repr(C)]
struct Program {
    length: libc::c_ushort,
    filter: *const Instruction,
}

/// Filters the system calls of the calling thread and all its descendants from now on.
/// Needs `CAP_SYS_ADMIN` or `no_new_privs`.
pub fn load(filter: &[Instruction], log: bool) -> io::Result<()> {
    if filter.len() > INSTRUCTION_LIMIT {
        return Err(io::Error::from_raw_os_error(libc::E2BIG));
    }
    let length = libc::c_ushort::try_from(filter.len()).unwrap_or_default();
    let program = Program {
        length,
        filter: filter.as_ptr(),
    };
    let mut flags = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    if log {
        flags |= libc::SECCOMP_FILTER_FLAG_LOG;
    }
    let operation = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: `program` describes a live array of `length` instructions, which the kernel checks
    // and copies.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, &raw const program) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
