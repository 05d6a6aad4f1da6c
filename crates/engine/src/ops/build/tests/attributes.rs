//! Extended attributes of files in a directory.

use super::Yard;
use lapstrake_sys::xattr;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

/// Names and values of all files of all layers, by the path below the image's root.
fn carried(yard: &Yard) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    for layer in fs::read_dir(yard.directory.join("store/layers")).unwrap() {
        let root = layer.unwrap().path().join("fs");
        walk(&root, &root, &mut all);
    }
    all
}

fn walk(root: &Path, path: &Path, all: &mut BTreeMap<String, Vec<String>>) {
    let file = File::open(path).unwrap();
    let mut found = Vec::new();
    for name in xattr::list(&file).unwrap() {
        let value = xattr::get(&file, name.as_slice()).unwrap().unwrap();
        let text = [name, value].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        found.push(text.join("="));
    }
    let below = path.strip_prefix(root).unwrap().display().to_string();
    if !found.is_empty() {
        all.insert(below, found);
    }
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            walk(root, &entry.unwrap().path(), all);
        }
    }
}

/// docker's client sends them, and its daemon keeps them; capabilities are lost when the file is given to root.
#[test]
fn privileged_attributes_are_kept_and_part_of_the_key() {
    let yard = Yard::new("FROM scratch\nCOPY f /one\nCOPY . /all/\n");
    yard.write("f", "text");
    yard.write("dir/g", "text");
    let set = |path: &str, name: &str, value: &[u8]| {
        let file = File::open(yard.directory.join("context").join(path)).unwrap();
        xattr::set(&file, name, value).unwrap();
    };
    set("f", "user.note", b"1");
    set("dir", "user.note", b"2");
    set("dir/g", "user.note", b"3");
    set("dir/g", "trusted.note", b"4");
    // Binding to low ports, by the second version of the format.
    let mut capability = [0_u8; 20];
    capability[..6].copy_from_slice(&[1, 0, 0, 2, 0, 4]);
    set("f", "security.capability", &capability);
    let (first, _) = yard.build(yard.request());
    let first = first.unwrap();
    let found = carried(&yard);
    let found = found
        .iter()
        .map(|(path, names)| format!("{path} {}", names.join(" ")));
    assert_eq!(
        found.collect::<Vec<_>>(),
        [
            "all/dir user.note=2",
            "all/dir/g trusted.note=4 user.note=3",
            "all/f user.note=1",
            "one user.note=1",
        ]
    );
    let (second, _) = yard.build(yard.request());
    let second = second.unwrap();
    assert_eq!((second.cached, second.id()), ((2, 2), first.id()));
    set("dir/g", "user.note", b"5");
    let (third, _) = yard.build(yard.request());
    let third = third.unwrap();
    assert_eq!(third.cached, (1, 2));
    assert_ne!(third.id(), first.id());
}
