//! Layers that are made here.

use super::fixture::{Folder, gzip, noise};
use lapstrake_image::ErrorKind;
use lapstrake_image::memory::tiny_tar;
use lapstrake_spec::{Digest, MediaType};
use std::io::Cursor;

#[test]
fn an_archive_becomes_a_layer_as_it_is() {
    let folder = Folder::new();
    let store = folder.store();
    let tar = tiny_tar("file", &noise(80, 200_000));
    for (bytes, media_type) in [
        (tar.clone(), MediaType::OCI_LAYER_TAR),
        (gzip(&tar), MediaType::OCI_LAYER_GZIP),
    ] {
        for unpack in [false, true] {
            let made = store
                .layer_from_tar(Cursor::new(bytes.clone()), unpack)
                .unwrap();
            assert_eq!(made.diff_id, Digest::sha256(&tar));
            assert_eq!(made.descriptor.digest, Digest::sha256(&bytes));
            assert_eq!(made.descriptor.size, bytes.len() as u64);
            assert_eq!(made.descriptor.media_type, media_type);
            assert_eq!(made.entries > 0, unpack);
            store.collect(&[]).unwrap();
            assert!(store.has_blob(&made.descriptor.digest).unwrap());
            if unpack {
                assert_eq!(made.size, 200_000);
                assert_eq!(store.layer_size(&made.diff_id).unwrap(), 200_000);
            }
        }
    }
    store.collect(&[]).unwrap();
    assert_eq!(store.usage().unwrap().blobs, 0);
}

#[test]
fn nonsense_is_refused() {
    let folder = Folder::new();
    let store = folder.store();
    for nonsense in [
        noise(81, 5000),
        noise(82, 3_000_000),
        b"garbage-not-a-tar\n".to_vec(),
    ] {
        let error = store
            .layer_from_tar(Cursor::new(nonsense), true)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidContent, "{error}");
        let words = "Error processing tar file(exit status 1): ";
        assert!(error.to_string().starts_with(words), "{error}");
    }
    let error = store
        .layer_from_writer(|_| Err(std::io::Error::other("the container is gone")))
        .unwrap_err();
    assert_eq!(error.to_string(), "the container is gone");
    store.reap_trash().unwrap();
    assert!(store.check(false).unwrap().garbage.is_empty());
}

#[test]
fn a_layer_is_compressed_for_a_registry() {
    let folder = Folder::new();
    let store = folder.store();
    let tar = tiny_tar("file", &vec![7; 500_000]);
    let made = store
        .layer_from_writer(|out| tar.chunks(999).try_for_each(|part| out.write_all(part)))
        .unwrap();
    let lease = store.lease().unwrap();
    let small = store.compress_layer(&made.descriptor, &lease).unwrap();
    assert_eq!(small.media_type, MediaType::OCI_LAYER_GZIP);
    assert!(small.size < 10_000);
    drop(made.lease);
    store.collect(&[]).unwrap();
    assert!(!store.has_layer(&made.diff_id).unwrap());
    store.ensure_layer(&made.diff_id, &small).unwrap();
    assert_eq!(store.layer_size(&made.diff_id).unwrap(), 500_000);
}
