//! Tests of the files of the cache.

use super::*;
use crate::graph::Sharing;
use crate::solve::tests::Folder;
use crate::source::{FileIdentity, FileKind, Metadata};
use std::collections::{BTreeMap, BTreeSet};

fn cache(folder: &Folder) -> Cache {
    Cache::of(&folder.store())
}

#[test]
fn digests_hold_as_long_as_nothing_changed() {
    let folder = Folder::new();
    let cache = cache(&folder);
    let at = |seconds| Time {
        seconds,
        nanoseconds: 7,
    };
    let file = |size, changed| Metadata {
        kind: FileKind::File,
        mode: 0o644,
        uid: 0,
        gid: 0,
        size,
        modified: at(5),
        device: (0, 0),
        links: 1,
        identity: Some(FileIdentity {
            device: 1,
            inode: 2,
            changed: at(changed),
        }),
    };
    let digests = Digests::load(&cache, "context", at(1000));
    digests.put(b"old", &file(1, 10), Key::of(b"old"));
    // Changed in the same moment: it may change again without a trace.
    digests.put(b"young", &file(1, 1000), Key::of(b"young"));
    digests.save().unwrap();
    let digests = Digests::load(&cache, "context", at(2000));
    assert_eq!(digests.get(b"old", &file(1, 10)), Some(Key::of(b"old")));
    assert_eq!(digests.get(b"old", &file(2, 10)), None);
    assert_eq!(digests.get(b"old", &file(1, 11)), None);
    assert_eq!(digests.get(b"young", &file(1, 1000)), None);
    // A torn file is no file.
    let folder = cache.folder().join("digests");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let raw = fs::read(&path).unwrap();
        fs::write(&path, &raw[..raw.len() - 1]).unwrap();
    }
    let digests = Digests::load(&cache, "context", at(2000));
    assert_eq!(digests.get(b"old", &file(1, 10)), None);
}

fn claimed(cache: &Cache, sharing: Sharing, cancel: &CancelToken) -> Option<CacheMount> {
    let wanted = Wanted {
        id: "/root/.cache",
        sharing,
        now: Time::default(),
        cancel,
    };
    let mut fill = |data: &Path| write(&data.join("first"), b"1");
    claim::<CacheError>(cache, &wanted, &mut fill).unwrap()
}

#[test]
fn mounts_are_shared_private_or_waited_for() {
    let folder = Folder::new();
    let cache = cache(&folder);
    let cancel = CancelToken::new().unwrap();
    let first = claimed(&cache, Sharing::Shared, &cancel).unwrap();
    let second = claimed(&cache, Sharing::Shared, &cancel).unwrap();
    assert_eq!(first.path, second.path);
    assert!(first.path.join("first").exists());
    let own = claimed(&cache, Sharing::Private, &cancel).unwrap();
    assert_ne!(own.path, first.path);
    drop((first, second));
    let locked = claimed(&cache, Sharing::Locked, &cancel).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| claimed(&cache, Sharing::Locked, &cancel));
        cancel.cancel();
        assert!(waiting.join().unwrap().is_none());
    });
    // What is in use is not pruned.
    let all = PruneOptions {
        all: true,
        ..PruneOptions::default()
    };
    assert!(
        cache
            .prune(&all, &BTreeSet::new())
            .unwrap()
            .entries
            .is_empty()
    );
    drop((own, locked));
    let pruned = cache.prune(&all, &BTreeSet::new()).unwrap().entries;
    assert_eq!(pruned.len(), 2);
    assert_eq!(pruned[0].description, "/root/.cache");
    let left = fs::read_dir(cache.folder().join("mounts")).unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn mounts_without_content_are_garbage() {
    let folder = Folder::new();
    let cache = cache(&folder);
    let cancel = CancelToken::new().unwrap();
    let mounts = cache.folder().join("mounts");
    let home = mounts.join(Key::of(b"/root/.cache").to_string());
    let leave = || {
        make_folder(&home.join("removed")).unwrap();
        fs::write(home.join("id"), "/root/.cache").unwrap();
        fs::write(home.join("lock"), "").unwrap();
    };
    for sharing in [Sharing::Shared, Sharing::Private, Sharing::Locked] {
        leave();
        let mount = claimed(&cache, sharing, &cancel).unwrap();
        assert_eq!(mount.path, home.join("data"));
        assert!(mount.path.join("first").exists());
        assert!(!home.join("removed").exists());
        drop(mount);
        fs::remove_dir_all(&home).unwrap();
    }
    leave();
    let pruned = cache.prune(&PruneOptions::default(), &BTreeSet::new());
    assert!(pruned.unwrap().entries.is_empty());
    assert_eq!(fs::read_dir(mounts).unwrap().count(), 0);
}

#[test]
fn directories_of_one_id_are_removed_side_by_side() {
    let folder = Folder::new();
    let cache = cache(&folder);
    let cancel = CancelToken::new().unwrap();
    let plain = claimed(&cache, Sharing::Private, &cancel).unwrap();
    let numbered = claimed(&cache, Sharing::Private, &cancel).unwrap();
    drop(numbered);
    let all = PruneOptions::default();
    let pruned = cache.prune(&all, &BTreeSet::new()).unwrap();
    assert_eq!(pruned.entries.len(), 1);
    assert!(plain.path.join("first").exists());
}

#[test]
fn a_dry_prune_counts_what_a_prune_removes() {
    let folder = Folder::new();
    let cache = cache(&folder);
    for name in ["one", "two"] {
        let key = Key::of(name.as_bytes());
        let record = Record {
            version: VERSION,
            key,
            name: name.to_owned(),
            instruction: String::new(),
            created: String::new(),
            size: 1,
            entries: 1,
            inputs: Inputs::default(),
            arguments: BTreeMap::new(),
            mark: None,
            layers: vec![lapstrake_spec::Digest::sha256(name.as_bytes())],
            blobs: Vec::new(),
        };
        cache.enter(&record).unwrap();
        cache
            .point(&Key::of(format!("place of {name}").as_bytes()), &key)
            .unwrap();
    }
    cache.put_note(&Key::of(b"note"), "kept").unwrap();
    let (options, images) = (PruneOptions::default(), BTreeSet::new());
    let thought = cache.prunable(&options, &images).unwrap();
    let pruned = cache.prune(&options, &images).unwrap();
    assert_eq!((thought.entries.len(), thought.bytes), (2, pruned.bytes));
    assert!(pruned.bytes > 0);
}

#[test]
fn keys_are_about_fields() {
    let key = |fields: &[&str]| {
        let mut hasher = KeyHasher::new("test");
        for field in fields {
            hasher.field(field.as_bytes());
        }
        hasher.finish()
    };
    assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
    assert_eq!(Key::parse(&key(&["a"]).to_string()), Some(key(&["a"])));
    assert_eq!(Key::parse("x"), None);
}
