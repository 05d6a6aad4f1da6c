use lapstrake_sys::mount::{MountAttrFlags, MountPropagationFlags};

use super::options::Options;

#[test]
fn options_are_told_apart() {
    let options = "rbind,ro,nosuid,rslave,size=64m,strictatime,rnoexec,newinstance";
    let parsed = Options::parse(options.split(','));
    let set = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_STRICTATIME;
    assert_eq!(parsed.bind, Some(true));
    assert_eq!(parsed.own.set, set);
    assert_eq!(parsed.own.clear, MountAttrFlags::MOUNT_ATTR__ATIME);
    assert_eq!(parsed.recursive.set, MountAttrFlags::MOUNT_ATTR_NOEXEC);
    assert_eq!(
        parsed.propagation,
        [(MountPropagationFlags::DOWNSTREAM, true)]
    );
    assert_eq!(parsed.data, ["size=64m", "newinstance"]);
}

#[test]
fn the_last_option_counts() {
    let parsed = Options::parse(["ro", "rw", "nodev", "dev", "nodev"]);
    assert_eq!(parsed.own.set, MountAttrFlags::MOUNT_ATTR_NODEV);
    assert_eq!(parsed.own.clear, MountAttrFlags::MOUNT_ATTR_RDONLY);
}
