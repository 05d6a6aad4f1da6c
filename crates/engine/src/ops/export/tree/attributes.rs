//! Extended attributes of what is exported.

use super::Attributes;
use rustix::io::Errno;
use std::ffi::CStr;
use std::io;
use std::os::fd::BorrowedFd;

/// The longest list of names, and the longest value: what the kernel has.
const LIMIT: usize = 64 << 10;

/// Those of these kinds belong to this host or to the overlay, not to the file.
const LEFT_OUT: [&[u8]; 4] = [
    b"trusted.",
    b"user.overlay.",
    b"security.selinux",
    b"system.",
];

/// The attributes of an open file that belong to it, sorted.
pub(super) fn read(file: BorrowedFd<'_>) -> io::Result<Attributes> {
    let mut list = [0_u8; 1024];
    let mut large;
    let names = match rustix::fs::flistxattr(file, &mut list[..]) {
        Ok(length) => list.get(..length),
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(Errno::RANGE) => {
            large = vec![0_u8; LIMIT];
            let length = rustix::fs::flistxattr(file, &mut large[..])?;
            large.get(..length)
        }
        Err(error) => return Err(error.into()),
    };
    let mut attributes = Vec::new();
    for name in names.unwrap_or_default().split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else {
            continue;
        };
        let bytes = name.to_bytes();
        if LEFT_OUT.iter().any(|prefix| bytes.starts_with(prefix)) {
            continue;
        }
        let mut value = vec![0_u8; LIMIT];
        let length = rustix::fs::fgetxattr(file, name, &mut value[..])?;
        value.truncate(length);
        attributes.push((bytes.to_vec(), value));
    }
    attributes.sort();
    Ok(attributes)
}
