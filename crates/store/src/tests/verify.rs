//! What a manifest says of blobs and trees that are here already is checked like what comes in.

use super::fixture::{Folder, Log, endpoint, gzip, image, layer, name, noise, pull, two_layers};
use crate::{Error, Faults, OpenOptions, Store};
use lapstrake_image::memory::{Memory, MemoryLayer, tiny_tar};
use lapstrake_image::{CopyOptions, ErrorKind, copy};
use lapstrake_spec::{
    Descriptor, Digest, ImageConfig, Manifest, MediaType, Platform, Reference, RootFs,
};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

const MISMATCH: &str = "layers from manifest don't match image configuration";

/// A store with an image of these layers, called `good:1`.
async fn store_with(folder: &Folder, layers: &[MemoryLayer]) -> Store {
    let store = folder.store();
    let (memory, _) = image(&name("good:1"), layers);
    pull(&store, &memory, &name("good:1")).await.unwrap();
    store
}

async fn assert_refused(store: &Store, memory: &Memory, wanted: &Reference) {
    let error = pull(store, memory, wanted).await.unwrap_err();
    assert_eq!(error.message(), MISMATCH);
    assert_eq!(error.kind(), ErrorKind::InvalidContent);
    assert!(store.images().unwrap().by_name(wanted).is_none());
    assert!(store.check(false).unwrap().is_whole());
}

#[tokio::test]
async fn a_new_blob_is_not_taken_for_a_tree_that_is_here() {
    let folder = Folder::new();
    let [good, _] = two_layers(100);
    let store = store_with(&folder, std::slice::from_ref(&good)).await;
    let mut other = layer("other", &noise(101, 10_000));
    other.diff_id = good.diff_id;
    let (memory, _) = image(&name("bad:1"), &[other]);
    assert_refused(&store, &memory, &name("bad:1")).await;
}

#[tokio::test]
async fn a_blob_that_is_here_is_not_taken_for_a_tree_of_another() {
    let folder = Folder::new();
    let [first, second] = two_layers(102);
    let store = store_with(&folder, &[first.clone(), second.clone()]).await;
    let crossed = MemoryLayer {
        diff_id: second.diff_id,
        ..first
    };
    let (memory, _) = image(&name("bad:1"), &[crossed]);
    assert_refused(&store, &memory, &name("bad:1")).await;
}

#[tokio::test]
async fn a_blob_does_not_stand_for_two_trees() {
    let folder = Folder::new();
    let store = folder.store();
    let [first, second] = two_layers(104);
    let again = MemoryLayer {
        diff_id: second.diff_id,
        ..first.clone()
    };
    let (memory, _) = image(&name("bad:1"), &[first, again]);
    assert_refused(&store, &memory, &name("bad:1")).await;
}

#[tokio::test]
async fn another_compression_of_a_tree_that_is_here_is_taken_and_not_unpacked_again() {
    let folder = Folder::new();
    let tar = tiny_tar("a", &noise(106, 50_000));
    let packed = layer("a", &noise(106, 50_000));
    let store = store_with(&folder, std::slice::from_ref(&packed)).await;
    let (memory, _) = image(&name("plain:1"), &[MemoryLayer::plain(tar)]);
    for _ in 0..2 {
        let copied = pull(&store, &memory, &name("plain:1")).await.unwrap();
        assert_eq!(copied.layers.len(), 1);
    }
    assert!(store.check(false).unwrap().is_whole());
    assert_eq!(store.usage().unwrap().layers, 1);
    // The first one is still known to be of this tree.
    let (memory, _) = image(&name("again:1"), &[packed]);
    pull(&store, &memory, &name("again:1")).await.unwrap();
}

/// An image of one layer, the size of its blob in the manifest changed.
fn with_size(memory: &Memory, wanted: &Reference, layer: &MemoryLayer, size: u64) -> Descriptor {
    let config = ImageConfig {
        architecture: Platform::host().architecture,
        os: "linux".to_owned(),
        rootfs: RootFs::layers(vec![layer.diff_id.clone()]),
        ..ImageConfig::default()
    };
    let config = memory.add_blob(MediaType::OCI_CONFIG, config.to_bytes());
    let mut blob = memory.add_blob(layer.media_type.clone(), layer.bytes.clone());
    blob.size = size;
    let manifest = Manifest::new(MediaType::OCI_MANIFEST, config, vec![blob]);
    let desc = memory.add_manifest(MediaType::OCI_MANIFEST, manifest.to_bytes());
    memory.name(wanted, &desc);
    desc
}

#[tokio::test]
async fn a_wrong_size_of_a_blob_that_is_here_is_refused() {
    let folder = Folder::new();
    let [good, _] = two_layers(108);
    let store = store_with(&folder, std::slice::from_ref(&good)).await;
    let memory = Memory::new();
    with_size(&memory, &name("bad:1"), &good, 7);
    let error = pull(&store, &memory, &name("bad:1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidContent, "{error}");
    assert!(store.images().unwrap().by_name(&name("bad:1")).is_none());
    assert!(store.check(false).unwrap().is_whole());
}

#[tokio::test]
async fn a_repair_leaves_a_good_blob_of_which_a_manifest_tells_a_wrong_size() {
    let folder = Folder::new();
    let [good, _] = two_layers(110);
    let store = store_with(&folder, std::slice::from_ref(&good)).await;
    let memory = Memory::new();
    let desc = with_size(&memory, &name("bad:1"), &good, 7);
    // As another tool would enter it.
    let raw = lapstrake_image::ContentSource::manifest(&memory, &desc)
        .await
        .unwrap();
    store.put_bytes(MediaType::OCI_MANIFEST, &raw).unwrap();
    let config = store.manifest(&desc).unwrap().config;
    let raw = memory.blob_bytes(&config.digest).unwrap();
    store.put_bytes(MediaType::OCI_CONFIG, &raw).unwrap();
    store
        .update(|images| {
            let mut entry = images.entries()[0].clone();
            assert!(images.remove(&entry.id));
            (entry.manifest, entry.id) = (desc.clone(), config.digest.clone());
            images.insert(entry);
            Ok::<_, Error>(())
        })
        .unwrap();
    let report = store.check(true).unwrap();
    assert_eq!(report.problems.len(), 2, "{report:?}");
    assert!(store.has_blob(&Digest::sha256(&good.bytes)).unwrap());
}

#[tokio::test]
async fn the_size_of_a_manifest_is_that_of_its_bytes() {
    let folder = Folder::new();
    let store = folder.store();
    let (memory, desc) = image(&name("one:1"), &two_layers(112));
    let mut wrong = desc.clone();
    wrong.size += 1;
    memory.add_index(&name("many:1"), vec![wrong.clone()]);
    pull(&store, &memory, &name("many:1")).await.unwrap();
    // As a registry's header may tell it.
    let options = CopyOptions {
        tag: Some(name("one:1")),
        ..CopyOptions::pull()
    };
    copy(
        &memory,
        &endpoint(&store),
        &wrong,
        &options,
        &Log::default(),
    )
    .await
    .unwrap();
    let report = store.check(false).unwrap();
    assert!(report.is_whole(), "{report:?}");
    for entry in store.images().unwrap().entries() {
        assert_eq!(entry.manifest.size, desc.size);
    }
}

#[tokio::test]
async fn a_pull_mends_documents() {
    let folder = Folder::new();
    let store = folder.store();
    let (memory, desc) = image(&name("one:1"), &two_layers(120));
    let pulled = pull(&store, &memory, &name("one:1")).await.unwrap();
    let whole = store.blob_bytes(&desc.digest, 1 << 20).unwrap();
    let path = |digest: &Digest| {
        let blob = format!("image/blobs/sha256/{}", digest.hex());
        store.root().join(blob)
    };
    let mut other = whole.clone();
    other[0] ^= 1;
    for damaged in [&whole[..whole.len() / 2], b"", &other] {
        std::fs::write(path(&desc.digest), damaged).unwrap();
        pull(&store, &memory, &name("one:1")).await.unwrap();
        assert!(store.blob_bytes(&desc.digest, 1 << 20).unwrap() == whole);
        store.manifest(&desc).unwrap();
    }
    std::fs::write(path(&pulled.config), b"{").unwrap();
    pull(&store, &memory, &name("one:1")).await.unwrap();
    assert!(store.check(false).unwrap().is_whole());
}

#[tokio::test]
async fn a_damaged_image_does_not_hide_the_layers_of_others() {
    let folder = Folder::new();
    let store = store_with(&folder, &two_layers(114)).await;
    let (memory, _) = image(&name("lost:1"), &two_layers(116));
    let lost = pull(&store, &memory, &name("lost:1")).await.unwrap();
    let blob = format!("image/blobs/sha256/{}", lost.config.hex());
    std::fs::remove_file(store.root().join(blob)).unwrap();
    assert_eq!(store.layer_chains().unwrap().len(), 1);
}

#[tokio::test]
async fn what_another_tool_entered_must_have_a_layer_for_each_diff_id() {
    let folder = Folder::new();
    let [first, second] = two_layers(118);
    let store = store_with(&folder, &[first, second]).await;
    let good = store.images().unwrap().entries()[0].clone();
    let manifest = store.manifest(&good.manifest).unwrap();
    let enter = |layers: Vec<Descriptor>| {
        let made = Manifest::new(MediaType::OCI_MANIFEST, manifest.config.clone(), layers);
        let desc = store
            .put_bytes(MediaType::OCI_MANIFEST, &made.to_bytes())
            .unwrap();
        let index = serde_json::json!({"schemaVersion": 2, "manifests": [desc]});
        std::fs::write(store.root().join("image/index.json"), index.to_string()).unwrap();
        store.images().unwrap()
    };
    assert!(enter(manifest.layers[..1].to_vec()).entries().is_empty());
    let mut layers = manifest.layers.clone();
    for layer in &mut layers {
        layer.size = u64::MAX;
    }
    assert_eq!(enter(layers).entries()[0].size, good.size);
}

/// Makes the tree of a layer anew while others are being synced.
#[derive(Debug)]
struct Replacing(Mutex<Option<(Store, Digest, Descriptor)>>);

impl Faults for Replacing {
    fn step(&self, what: &str) -> io::Result<()> {
        if what != "sync " {
            return Ok(());
        }
        if let Some((store, diff_id, blob)) = self.0.lock().unwrap().take() {
            let folder = store.root().join(format!("layers/{}", diff_id.hex()));
            std::fs::rename(folder, store.root().join("trash/old"))?;
            store
                .ensure_layer(&diff_id, &blob)
                .map_err(io::Error::other)?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_tree_that_was_made_anew_while_others_were_synced_is_not_taken_for_synced() {
    let folder = Folder::new();
    let packed = MemoryLayer {
        bytes: gzip(&tiny_tar("a", b"content")).into(),
        ..layer("a", b"content")
    };
    let store = store_with(&folder, std::slice::from_ref(&packed)).await;
    let blob = Descriptor::of(MediaType::OCI_LAYER_GZIP, &packed.bytes);
    let replacing = Replacing(Mutex::new(Some((
        store.clone(),
        packed.diff_id.clone(),
        blob,
    ))));
    let options = OpenOptions {
        faults: Some(Arc::new(replacing)),
        ..OpenOptions::default()
    };
    folder.try_store(&options).unwrap().settle().unwrap();
    let record = || store.layer_record(&packed.diff_id).unwrap().unwrap();
    assert_ne!(record().boot, "settled");
    store.settle().unwrap();
    assert_eq!(record().boot, "settled");
}

/// Puts a whole blob in the place of a damaged one, or takes it away, when its finder is about to throw it out.
#[derive(Debug)]
struct Meanwhile {
    blob: PathBuf,
    replacement: Option<Vec<u8>>,
}

impl Faults for Meanwhile {
    fn step(&self, what: &str) -> io::Result<()> {
        if what.starts_with("discard ") {
            // Another file, as another process makes it.
            std::fs::rename(&self.blob, self.blob.with_extension("old"))?;
            if let Some(bytes) = &self.replacement {
                std::fs::write(&self.blob, bytes)?;
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_damaged_blob_that_another_process_has_dealt_with_is_left_alone() {
    for repair in [false, true] {
        for replaced in [false, true] {
            let folder = Folder::new();
            let store = store_with(&folder, &two_layers(110)).await;
            let entry = store.images().unwrap().entries()[0].clone();
            let layer = store.manifest(&entry.manifest).unwrap().layers[0].clone();
            let blob = store.root().join(crate::layout::blob(&layer.digest));
            let good = std::fs::read(&blob).unwrap();
            std::fs::write(&blob, b"short").unwrap();
            let meanwhile = Meanwhile {
                blob: blob.clone(),
                replacement: replaced.then(|| good.clone()),
            };
            let options = OpenOptions {
                faults: Some(Arc::new(meanwhile)),
                ..OpenOptions::default()
            };
            let other = folder.try_store(&options).unwrap();
            if repair {
                other.check(true).unwrap();
            } else {
                assert!(!other.is_complete(&entry.manifest).unwrap());
            }
            let left = std::fs::read(&blob).ok();
            assert_eq!(left, replaced.then_some(good), "{repair} {replaced}");
        }
    }
}
