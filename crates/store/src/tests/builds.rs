//! What builds need of the store.

use super::fixture::Folder;
use crate::LayerMount;
use lapstrake_spec::{Digest, MediaType};
use std::io::Write;

#[test]
fn a_tree_becomes_the_layer_of_its_blob() {
    let folder = Folder::fast();
    let store = folder.store();
    let lease = store.lease().unwrap();
    let tree = store.new_layer_tree().unwrap();
    let work = tree.work().unwrap();
    std::fs::create_dir(work.join("work")).unwrap();
    std::fs::write(tree.path().join("file"), b"1").unwrap();
    let mut blob = store.new_blob().unwrap();
    blob.write_all(b"the tar").unwrap();
    let blob = blob.finish(MediaType::OCI_LAYER_TAR, &lease).unwrap();
    assert_eq!(blob.digest, Digest::sha256(b"the tar"));
    tree.adopt(&blob.digest, &blob.digest, (1, 1)).unwrap();
    let mounts = store.lowers(std::slice::from_ref(&blob.digest)).unwrap();
    let [LayerMount::Tree(path)] = mounts.as_slice() else {
        panic!("{mounts:?}");
    };
    assert_eq!(std::fs::read(path.join("file")).unwrap(), b"1");
    assert!(!path.parent().unwrap().join("work").exists());
    assert_eq!(store.layer_size(&blob.digest).unwrap(), 1);
    // The same again: what is there stays, and nothing is left over.
    let again = store.new_layer_tree().unwrap();
    again.adopt(&blob.digest, &blob.digest, (2, 2)).unwrap();
    assert_eq!(store.layer_size(&blob.digest).unwrap(), 1);
    drop(store.new_blob().unwrap());
    let ingest = std::fs::read_dir(folder.path().join("store/ingest")).unwrap();
    assert_eq!(ingest.count(), 0);
}

#[test]
fn cache_records_are_roots() {
    let folder = Folder::fast();
    let store = folder.store();
    let lease = store.lease().unwrap();
    let mut blob = store.new_blob().unwrap();
    blob.write_all(b"layer").unwrap();
    let blob = blob.finish(MediaType::OCI_LAYER_TAR, &lease).unwrap();
    drop(lease);
    let records = folder.path().join("store/build/records");
    std::fs::create_dir_all(&records).unwrap();
    let digest = &blob.digest;
    let text = format!(
        r#"{{"Layers":["{digest}"],"LayerBlobs":[{{"mediaType":"{}","digest":"{digest}","size":5}}]}}"#,
        MediaType::OCI_LAYER_TAR
    );
    std::fs::write(records.join("one"), text).unwrap();
    std::fs::write(records.join("torn"), b"{\"Layers\":[").unwrap();
    assert!(store.collect(&[]).unwrap().blobs.is_empty());
    assert!(store.check(false).unwrap().is_whole());
    std::fs::remove_file(records.join("one")).unwrap();
    assert_eq!(store.collect(&[]).unwrap().blobs, [blob.digest]);
}
