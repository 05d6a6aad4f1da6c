use super::*;
use crate::view::tests::Scratch;

#[test]
fn sizes_count_files_once_and_folders_not_at_all() {
    let scratch = Scratch::new("sizes");
    assert_eq!(writable_size(&scratch.0).unwrap(), 0);
    scratch.file("upper/a/b/six", "12345\n");
    scratch.file("upper/empty", "");
    std::fs::hard_link(
        scratch.0.join("upper/a/b/six"),
        scratch.0.join("upper/again"),
    )
    .unwrap();
    std::os::unix::fs::symlink("1234", scratch.0.join("upper/link")).unwrap();
    assert_eq!(writable_size(&scratch.0).unwrap(), 10);
}

#[test]
fn the_base_tree_is_made_once() {
    let scratch = Scratch::new("base");
    let path = base::ensure(&scratch.0).unwrap();
    assert!(path.join("etc/resolv.conf").is_file() && path.join("proc").is_dir());
    assert_eq!(base::ensure(&scratch.0).unwrap(), path);
    let folder = scratch.0.join("containers");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1);
}
