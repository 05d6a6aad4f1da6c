use super::{Lock, is_locked, open_lock_file};
use crate::dir::Dir;
use crate::dir::tests::TempDir;

#[test]
fn one_at_a_time() {
    let temp = TempDir::new();
    let dir = Dir::open(temp.path()).unwrap();
    let open = || open_lock_file(&dir, "lock").unwrap();
    let held = Lock::exclusive(open()).unwrap();
    let other = Lock::try_exclusive(open()).unwrap().unwrap_err();
    assert!(is_locked(&other).unwrap());
    assert!(Lock::try_shared(other).unwrap().is_err());
    drop(held);
    let first = Lock::shared(open()).unwrap();
    let second = Lock::try_shared(open()).unwrap().unwrap();
    assert!(Lock::try_exclusive(open()).unwrap().is_err());
    drop((first, second));
    let file = open();
    assert!(!is_locked(&file).unwrap());
    let held = Lock::try_exclusive(file).unwrap().unwrap();
    held.downgrade().unwrap();
    assert!(Lock::try_shared(open()).unwrap().is_ok());
}

#[test]
fn a_lock_knows_its_name() {
    let temp = TempDir::new();
    let dir = Dir::open(temp.path()).unwrap();
    let held = Lock::exclusive(open_lock_file(&dir, "lock").unwrap()).unwrap();
    assert!(held.is_at(&dir, "lock").unwrap());
    dir.remove_file("lock").unwrap();
    assert!(!held.is_at(&dir, "lock").unwrap());
    let other = open_lock_file(&dir, "lock").unwrap();
    assert!(!held.is_at(&dir, "lock").unwrap());
    assert!(Lock::try_exclusive(other).unwrap().is_ok());
}
