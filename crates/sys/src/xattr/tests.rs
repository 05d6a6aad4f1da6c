use std::fs;
use std::os::unix::fs::symlink;

use super::{get, get_at, list, list_at, set, set_at};
use crate::dir::Dir;
use crate::dir::tests::TempDir;

#[test]
fn attributes_of_descriptors_and_names() {
    let temp = TempDir::new();
    let dir = Dir::open(temp.path()).unwrap();
    let file = dir.create_file("f", 0o600).unwrap();
    assert_eq!(list(&file).unwrap(), Vec::<Vec<u8>>::new());
    assert_eq!(get(&file, "user.none").unwrap(), None);
    set(&file, "user.b", b"1").unwrap();
    set_at(&dir, b"f", "user.a", &[b'x'; 1000]).unwrap();
    assert_eq!(list(&file).unwrap(), [b"user.a", b"user.b"]);
    assert_eq!(list_at(&dir, b"f").unwrap(), [b"user.a", b"user.b"]);
    assert_eq!(get(&file, "user.a").unwrap().unwrap(), [b'x'; 1000]);
    assert_eq!(get_at(&dir, b"f", "user.b").unwrap().unwrap(), b"1");
}

#[test]
fn a_link_has_its_own() {
    let temp = TempDir::new();
    let dir = Dir::open(temp.path()).unwrap();
    fs::write(temp.path().join("f"), "").unwrap();
    symlink("f", temp.path().join("l")).unwrap();
    set_at(&dir, b"l", "trusted.test", b"link").expect("these tests need root");
    assert_eq!(get_at(&dir, b"f", "trusted.test").unwrap(), None);
    assert_eq!(
        get_at(&dir, b"l", "trusted.test").unwrap().unwrap(),
        b"link"
    );
}
