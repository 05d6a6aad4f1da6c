use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use super::{MODE_PRIVATE, rename_durable, sync_filesystem, write_atomic, write_atomic_with};
use crate::dir::Dir;
use crate::dir::tests::TempDir;

#[test]
fn files_are_replaced_whole() {
    let temp = TempDir::new();
    let dir = Dir::open(temp.path()).unwrap();
    write_atomic(&dir, "a", b"one").unwrap();
    write_atomic(&dir, "a", b"two").unwrap();
    assert_eq!(fs::read(temp.path().join("a")).unwrap(), b"two");
    let failed = write_atomic_with(&dir, "a", MODE_PRIVATE, |file| {
        file.write_all(b"half")?;
        Err(std::io::ErrorKind::StorageFull.into())
    });
    assert!(failed.is_err());
    assert_eq!(fs::read(temp.path().join("a")).unwrap(), b"two");
    write_atomic_with(&dir, "b", MODE_PRIVATE, |file| file.write_all(b"secret")).unwrap();
    let mode = fs::metadata(temp.path().join("b"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    rename_durable(&dir, "b", &dir, "c").unwrap();
    sync_filesystem(&dir).unwrap();
    let names: Vec<_> = dir
        .entries()
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    assert_eq!(names, ["a", "c"]);
}
